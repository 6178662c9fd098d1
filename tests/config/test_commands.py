"""What is printed to be pasted: the shell and Hydra read back what was meant."""

import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from reach_rl.config.problems import command, override, word

NASTY = [
    "runs/ur5e/2026-01-31_12-00-00",
    "runs/my arm, first",
    "m/experiment=debug,seed=1,wandb=offline",
    "it's",
    'say "so"',
    "back\\slash",
    "ends\\",
    "quote\\'s",
    "${oc.env:HOME}",
    "$HOME/a;b&c|d<e>f",
    "[list]",
    "{a:1}",
    "(b)",
    "a:b",
    "# no comment",
    " spaces ",
    "interval(0,1)",
    "Ärmel/✓",
    "~/runs",
    "5",
    "1e5",
    "1.5",
    "true",
    "NULL",
    "nan",
    "",
]


def read_back(text: str) -> object:
    """The value that Hydra takes from an override."""
    parsed = OverridesParser.create().parse_override(text)
    cfg = OmegaConf.create({parsed.key_or_group: parsed.value()})
    return cfg[parsed.key_or_group]


@pytest.mark.parametrize("text", NASTY)
def test_hydra_reads_an_override_back(text: str):
    assert read_back(override("run_dir", text)) == text


@pytest.mark.parametrize("text", NASTY)
def test_the_shell_passes_it_on(text: str):
    words = shlex.split(command("train", "--config-dir", Path("a b"), resume=text, seed=3))
    assert words[:5] == ["python", "-m", "reach_rl.train", "--config-dir", "a b"]
    assert read_back(words[5]) == text
    assert words[6:] == ["seed=3"]
    assert shlex.split(word("resume", text)) == [words[5]]


@pytest.mark.parametrize("text", ["runs/ur5e/2026-01-31_12-00-00", "runs/mine", "a.b-c+d@e%f"])
def test_plain_paths_are_left_plain(text: str):
    assert command("train", resume=text) == f"python -m reach_rl.train resume={text}"
