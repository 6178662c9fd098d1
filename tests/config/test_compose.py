"""Every shipped file composes, validates, and says what it is."""

import re
from pathlib import Path

import pytest

from reach_rl.config.load import compose
from reach_rl.config.sheets import chosen, groups, sheets
from tests import small_runs

FILES = sheets()
NEEDS = {
    "robot=custom": ["robot.mjcf={model}"],
    "curriculum=notes": ["reward=notes"],
}
RUN_GROUPS = [group for group in groups(FILES) if group in chosen(FILES, "train")]
OPTIONS = [f"{group}={option}" for group in RUN_GROUPS for option in groups(FILES)[group]]


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_composes(option: str):
    model = Path(__file__).parents[1] / "assets" / "public_style_ur5e.xml"
    more = [text.format(model=model) for text in NEEDS.get(option, [])]
    compose([option, *more])


@pytest.mark.parametrize("words", [(), ("experiment=notes", "vec_env=dummy", "robot.reach=1")])
def test_the_other_tests_compose_the_same_sooner(words: tuple[str, ...]):
    overrides = [*small_runs.SMALL, *words]
    assert small_runs.compose(overrides) == compose(overrides)


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_file_opens_with_a_sentence_and_a_command(name: str):
    sentence, command = FILES[name].head
    assert sentence.endswith(".")
    assert re.match(r"python -m reach_rl\.\w+|reach-rl \w+", command)


@pytest.mark.parametrize(
    "name", sorted(name for name in FILES if "/" in name and "notes" not in name)
)
def test_no_file_repeats_its_parent(name: str):
    """A variant is a delta: a key is not given the value that it has already.

    The notes are pinned: they stay what they are where the defaults come to agree with them.
    """
    from reach_rl.config.sheets import chain, values

    *below, own = chain(FILES, name)
    inherited = values(below)
    same = [k for k, v in values([own]).items() if k in inherited and inherited[k] == v]
    assert same == [], f"take these out of conf/{name}.yaml"


def test_every_verb_composes(tmp_path: Path):
    (tmp_path / "config.yaml").write_text("")
    judged = compose([f"run={tmp_path}", "goals=3", "task=near"], "evaluate")
    assert judged.goals == 3
    assert judged.task.region.name == "near"
    assert compose([f"run={tmp_path}"], "evaluate").task is None
    measured = compose(["vec_env=dummy", "n_envs=4"], "bench")
    assert (measured.n_envs, measured.vec_env.kind) == (4, "dummy")


def test_a_folder_of_ones_own(tmp_path: Path):
    (tmp_path / "robot").mkdir()
    (tmp_path / "robot" / "mine.yaml").write_text("defaults: [ur10e]\nreach: 1.0\n")
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "quick.yaml").write_text("# @package _global_\nseed: 5\n")
    config = compose(["robot=mine", "+lab=quick"], config_dir=tmp_path)
    assert (config.robot.name, config.robot.reach, config.seed) == ("ur10e", 1.0, 5)
