"""A run whose terms come from others: what it records, and what is said without them."""

import json
from importlib import import_module

import pytest

from reach_rl import extend, origins
from reach_rl.cli import dispatch
from reach_rl.cli.front_door import front
from reach_rl.config.load import LostExtension, load_run
from reach_rl.rundir import checkpoint, provenance
from reach_rl.sweeps import preset
from tests.evaluation.test_evaluate import write_run
from tests.extending import TERM, forget_all, fresh

CHANGED = TERM.replace("height: float = 0.6", "height: float = 0.7")


def write(folder, code=TERM):
    """A run with the term of a file, in a process that has not loaded it; its folder."""
    file = folder.parent / "my_terms.py"
    file.write_text(code)
    extend.load_file(file)
    write_run(folder, ["++reward.terms.low_tool.weight=-0.1"])
    provenance.write_run_files(folder, load_run(folder))
    forget_all()
    return folder


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with fresh():
        yield write(tmp_path / "run")


def called(capsys, verb, *words):
    code = front(verb, import_module(f"reach_rl.{verb}").job, list(words))
    said = capsys.readouterr()
    return code, said.out, said.err.splitlines()


def test_what_is_recorded(run):
    (found,) = json.loads((run / "provenance.json").read_text())["extensions"].items()
    name, used = found
    assert name == "my_terms.py"
    assert used["registers"] == ["reward_term low_tool"]
    assert used["sha256"] == provenance.sha256(run / "extensions" / name)
    assert (run / "extensions" / name).read_text() == TERM
    assert (run / "config.yaml").read_text().startswith(f"# extension {name} sha256:")


@pytest.mark.parametrize("verb", ["evaluate", "play", "export", "train"])
def test_without_it_one_line_says_what_to_type(run, capsys, verb):
    word = f"resume={run}" if verb == "train" else f"run={run}"
    before = sorted(path.name for path in run.rglob("*"))
    code, _, said = called(capsys, verb, word)
    assert code == 2
    assert len(said) == 1
    assert "needs my_terms.py (reward_term low_tool); if you trust it" in said[0]
    assert said[0].endswith(f"--extend {run}/extensions/my_terms.py")
    assert sorted(path.name for path in run.rglob("*")) == before  # no checkpoint set aside


def test_a_checkpoint_without_it_is_lost_not_damaged(run):
    with pytest.raises(LostExtension):
        checkpoint.newest(run / "checkpoints", pytest.fail)


def test_with_what_the_line_says_it_goes_on(run, capsys):
    copy = f"{run}/extensions/my_terms.py"
    words = ("goals=4", "yardstick=false", "threads=1")
    code, said, err = called(capsys, "evaluate", f"run={run}", "--extend", copy, *words)
    assert (code, err) == (0, []) and "note:" not in said


def test_another_file_is_said(run, capsys):
    (run.parent / "my_terms.py").write_text(CHANGED)
    words = ("goals=4", "yardstick=false", "threads=1")
    code, said, _ = called(capsys, "evaluate", f"run={run}", "--extend=my_terms.py", *words)
    assert code == 0
    assert "note: reward_term low_tool comes from my_terms.py, not as" in said
    assert f"its copy is {run}/extensions/my_terms.py" in said


def test_a_run_that_goes_on_with_another_file_keeps_both(run, capsys):
    (run.parent / "my_terms.py").write_text(CHANGED)
    extend.load_file("my_terms.py")
    provenance.write_config(run, load_run(run))
    kept = {path.name: path.read_text() for path in (run / "extensions").iterdir()}
    assert sorted(kept.values()) == sorted((TERM, CHANGED))
    newer = next(name for name in kept if kept[name] == CHANGED)
    forget_all()
    with pytest.raises(LostExtension, match=newer):
        load_run(run)


def test_a_package_is_to_be_installed(run):
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("my_terms.py", "lab 1.2", 1))
    with pytest.raises(LostExtension, match="pip install lab==1"):
        load_run(run)


def test_what_works_in_every_run_is_missed_when_it_goes_on(run, monkeypatch):
    extend.register("metric", "rollout/mine", object(), "lab")
    extend.load_file("my_terms.py")
    provenance.write_run_files(run, load_run(run))
    assert not list(provenance.lost_extensions(run))
    extend.forget("lab")
    (line,) = provenance.lost_extensions(run)
    assert line == "warning: this run began with lab (metric rollout/mine) and goes on without"


def test_a_preset_of_a_search_tells_what_it_needs(run):
    extend.load_file("my_terms.py")
    words = ["++reward.terms.low_tool.weight=-0.2"]
    path = preset.write("mine", words, {"study": "mine"}, run.parent / "experiment")
    assert "# extension my_terms.py sha256:" in path.read_text()
    assert "--extend my_terms.py" in preset.command(path)


def test_the_command_that_repeats_it(run, capsys):
    assert dispatch(["repro", str(run)]) == 0
    assert f"--extend {run}/extensions/my_terms.py" in capsys.readouterr().out


def test_how_two_runs_differ(run, capsys):
    other = write(run.parent / "other", CHANGED)
    assert dispatch(["diff", str(run), str(other)]) == 0
    told = capsys.readouterr().out.partition("Extensions:")[2].strip().splitlines()[0]
    assert told.strip().startswith("my_terms.py: {version:")
    assert not origins._FILES
