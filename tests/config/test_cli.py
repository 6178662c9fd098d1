import sys
from importlib.util import find_spec

import pytest

from reach_rl import cli


def test_help_lists_the_verbs_that_exist(capsys: pytest.CaptureFixture[str]):
    assert cli.dispatch(["--help"]) == 0
    text = capsys.readouterr().out
    for name, (module, about) in cli.VERBS.items():
        assert (f"  {name:<12}{about}" in text) == (find_spec(module) is not None)


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
