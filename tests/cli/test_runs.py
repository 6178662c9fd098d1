"""runs, diff and repro on made-up run folders."""

import datetime
import json
from pathlib import Path

import pytest

from reach_rl.cli import dispatch
from reach_rl.config.load import compose
from reach_rl.rundir.provenance import write_run_files
from reach_rl.rundir.status import Status


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)


def _make(folder: str, overrides: list[str], state: str, success: float, steps: int = 1000) -> Path:
    path = Path(folder)
    path.mkdir(parents=True)
    write_run_files(path, compose(overrides), ["reach_rl.train", *overrides])
    Status(path).set(state)
    evaluation = {"success_rate": success, "position_error_mm": {"median": 10 * (1 - success)}}
    summary = {"robot": "x", "evaluation": evaluation}
    (path / "summary.json").write_text(json.dumps(summary))
    lines = [{"global_step": steps // 2, "rollout/success_rate": 0.1}, {"global_step": steps}]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def _age(path: Path, hours: float) -> None:
    content = json.loads((path / "status.json").read_text())
    then = datetime.datetime.now().astimezone() - datetime.timedelta(hours=hours)
    content["started"] = then.isoformat(timespec="seconds")
    (path / "status.json").write_text(json.dumps(content))


def test_runs(capsys: pytest.CaptureFixture[str]):
    old = _make("runs/ur5e/a", [], "finished", 0.991, 1_500_000)
    _age(old, 50)
    died = _make("runs/ur10e/b", ["robot=ur10e"], "running", 0.5)
    content = json.loads((died / "status.json").read_text())
    (died / "status.json").write_text(json.dumps(content | {"pid": 2**22 + 1}))
    (died / "summary.json").unlink()
    for number, (state, success) in enumerate([("finished", 0.8), ("diverged", 0.0)]):
        _make(f"multirun/d/t/{number}", [f"seed={number}"], state, success)
    Path("multirun/d/t/multirun.yaml").write_text("")
    assert dispatch(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    cells = {line.split("  ")[0].strip(): line.split() for line in lines}
    assert lines[0].split() == ["run", "state", "robot", "steps", "success", "age"]
    assert cells["runs/ur5e/a"][1:] == ["finished", "ur5e", "1,500,000", "99.1%", "2", "d"]
    assert cells["runs/ur10e/b"][1:5] == ["died", "ur10e", "1,000", "10.0%"]
    assert lines[-1].startswith("runs/ur5e/a")  # the oldest
    (sweep,) = [line for line in lines if "sweep of 2" in line]
    assert "1 finished, 1 diverged" in sweep
    assert "best 80.0%" in sweep


def test_runs_of_broken_folders(capsys: pytest.CaptureFixture[str]):
    Path("runs/x").mkdir(parents=True)
    Path("runs/x/status.json").write_text("{")
    Path("runs/x/metrics.jsonl").write_text('{"global_step": 5}\n{"glob')
    assert dispatch(["runs"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["runs/x", "unknown", "?", "5"]


def test_no_runs(capsys: pytest.CaptureFixture[str]):
    assert dispatch(["runs"]) == 0
    assert capsys.readouterr().out == "no runs; start one with reach-rl train\n"
    assert dispatch(["runs", "nowhere"]) == 2
    assert capsys.readouterr().err == "error: nowhere: no such folder\n"


def test_diff(capsys: pytest.CaptureFixture[str]):
    _make("a", ["ppo.gamma=0.9"], "finished", 0.9)
    b = _make("b", ["ppo.gamma=0.95", "robot=ur10e"], "stopped", 0.95)
    made = json.loads((b / "provenance.json").read_text())
    made["git"] = {"commit": "f" * 40, "diff": "+one\n-two\n"}
    made["packages"]["mujoco"] = "9.9.9"
    (b / "provenance.json").write_text(json.dumps(made))
    assert dispatch(["diff", "a", "b"]) == 0
    text = capsys.readouterr().out
    assert "  robot.name: ur5e -> ur10e" in text
    assert "  ppo.gamma: 0.9 -> 0.95" in text
    assert f"-> {'f' * 40}" in text
    assert " -> 2 changed lines (" in text
    assert "  mujoco: " in text
    assert "  state: finished -> stopped" in text
    assert "  evaluation.success_rate: 0.9 -> 0.95  (+0.05)" in text


def test_diff_of_the_same(capsys: pytest.CaptureFixture[str]):
    _make("a", [], "finished", 0.9)
    assert dispatch(["diff", "a", "a"]) == 0
    assert capsys.readouterr().out.count("  the same") == 7


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["a"], "error: needs two folders; usage: reach-rl diff RUN_A RUN_B\n"),
        (["a", "b"], "error: a: no such folder; see reach-rl runs\n"),
        ([".", "b"], "error: .: not the folder of a run (no config.yaml in it)\n"),
    ],
)
def test_diff_mistakes(words: list[str], error: str, capsys: pytest.CaptureFixture[str]):
    assert dispatch(["diff", *words]) == 2
    assert capsys.readouterr().err == error


def test_repro(capsys: pytest.CaptureFixture[str]):
    path = _make("a", ["ppo.gamma=0.9", "robot=ur10e"], "finished", 0.9)
    made = json.loads((path / "provenance.json").read_text())
    made["git"] = {"commit": "f" * 40, "diff": "+one\n", "untracked": ["lost.py"]}
    made["packages"]["mujoco"] = "9.9.9"
    made["assets"]["assets/robots/ur10e.xml"] = "0" * 64
    (path / "provenance.json").write_text(json.dumps(made))
    text = (path / "config.yaml").read_text().replace("gamma: 0.9\n", "gamma: 0.8\n")
    (path / "config.yaml").write_text(text)
    assert dispatch(["repro", "a"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0] == f"git checkout {'f' * 40}"
    assert lines[1] == f"reach-rl repro {path.absolute()} --patch | git apply"
    assert lines[2].startswith("python -m pip install ")
    assert "mujoco==9.9.9" in lines[2]
    assert lines[3] == "python -m reach_rl.train ppo.gamma=0.9 robot=ur10e"
    assert "warning: packages: mujoco: 9.9.9 -> " in out
    assert "warning: models: assets/robots/ur10e.xml: 0000" in out
    assert "warning: code: untracked files are not recorded: lost.py" in out
    assert "warning: configuration: ppo.gamma: 0.8 -> 0.9" in out
    assert dispatch(["repro", "a", "--patch"]) == 0
    assert capsys.readouterr().out == "+one\n"


def test_diff_tells_the_main_figures_only(capsys: pytest.CaptureFixture[str]):
    for name, success in (("a", 0.5), ("b", 0.75)):
        path = _make(name, [], "finished", success)
        evaluation = {"success_rate": success, "worst": [success], "regions": {"far": success}}
        figures = {"evaluation": evaluation, "also": {"near": evaluation}, "written": name}
        (path / "summary.json").write_text(json.dumps(figures))
    assert dispatch(["diff", "a", "b"]) == 0
    results = capsys.readouterr().out.partition("Results:\n")[2].splitlines()
    assert results == [
        "  evaluation.success_rate: 0.5 -> 0.75  (+0.25)",
        "  also.near.success_rate: 0.5 -> 0.75  (+0.25)",
    ]


def test_repro_from_elsewhere_and_in_a_new_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    start = Path.cwd()
    model = Path(__file__).parents[1] / "assets" / "arm7.xml"
    Path("arm.xml").write_text(model.read_text())
    _make("a", ["robot.mjcf=arm.xml", "run_dir=a", "seed=2"], "finished", 0.9)
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert dispatch(["repro", "../a"]) == 0
    out = capsys.readouterr().out
    assert f"python -m reach_rl.train robot.mjcf={start / 'arm.xml'} seed=2\n" in out
    for part in ("configuration", "refused", "model"):
        assert f"warning: {part}" not in out
    (start / "arm.xml").write_text("<mujoco/>")
    assert dispatch(["repro", "../a"]) == 0
    assert "warning: models: arm.xml: " in capsys.readouterr().out


def test_repro_of_one_run_of_a_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A single run has no sweep, but keeps what the sweep's file sets beside the varied keys."""
    (tmp_path / "mine" / "sweep").mkdir(parents=True)
    text = "# @package _global_\nppo: {gamma: 0.9}\nhydra: {sweeper: {params: {seed: '1,2'}}}\n"
    (tmp_path / "mine" / "sweep" / "short.yaml").write_text(text)
    overrides = ["sweep=[short,seeds]", "seed=2"]
    Path("a").mkdir()
    config = compose(overrides, config_dir=tmp_path / "mine")
    write_run_files(Path("a"), config, ["reach_rl.train", "--config-dir", "mine", *overrides])
    assert dispatch(["repro", "a"]) == 0
    out = capsys.readouterr().out
    assert f"reach_rl.train --config-dir {tmp_path}/mine ppo.gamma=0.9 seed=2\n" in out
    assert "warning: configuration" not in out


def test_repro_of_today_warns_of_nothing_in_the_configuration(
    capsys: pytest.CaptureFixture[str],
):
    _make("a", ["experiment=notes", "ppo.learning_rate=1e-4"], "finished", 0.9)
    assert dispatch(["repro", "a"]) == 0
    out = capsys.readouterr().out
    assert "python -m reach_rl.train experiment=notes ppo.learning_rate=1e-4" in out
    for part in ("configuration", "package", "machine", "model"):
        assert f"warning: {part}" not in out
