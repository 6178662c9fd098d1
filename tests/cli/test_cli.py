import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from reach_rl import cli

ROOT = Path(__file__).parents[2]


def test_help_lists_the_verbs_that_exist(capsys: pytest.CaptureFixture[str]):
    assert cli.dispatch(["--help"]) == 0
    text = capsys.readouterr().out
    for name, about in cli.verbs().items():
        assert f"  {name:<12}{about}" in text
        room = "reach_rl.cli" if name in cli.TEXTS["usage"] else "reach_rl"
        assert find_spec(f"{room}.{name}") is not None


def test_a_verb_that_is_not_there(capsys: pytest.CaptureFixture[str]):
    assert cli.dispatch(["explian", "ppo"]) == 2
    expected = "error: explian: no such verb; did you mean reach-rl explain?\n"
    assert capsys.readouterr().err == expected


def test_a_verb_gets_its_words(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys, "argv", ["reach-rl"])
    assert cli.dispatch(["explain", "ppo.gamma"]) == 0
    assert "ppo.gamma" in capsys.readouterr().out


def test_main_exits_with_the_code():
    with pytest.raises(SystemExit) as caught:
        cli.main(["nonsense"])
    assert caught.value.code == 2


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["train", "--help"],
        ["train", "--cfg", "job"],
        ["evaluate", "--help"],
        ["explain", "ppo"],
        ["completion", "bash"],
    ],
)
def test_a_reader_that_goes_away_is_no_error(words: list[str]):
    """As in `reach-rl train --help | head -0`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "reach_rl.cli", *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 0


def test_a_broken_pipe_between_processes_is_an_error():
    from reach_rl.cli.termination import piped

    def fail() -> int:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        piped(fail)
