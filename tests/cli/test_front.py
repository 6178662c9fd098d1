"""The front door: help, run folders, multiruns, exit codes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reach_rl.cli.front_door import front
from reach_rl.config.problems import ConfigError
from reach_rl.config.sheets import sheets
from reach_rl.config.verbs import VERBS

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)


class Job:
    """A job that notes what it was given."""

    def __init__(self, result: Callable[[Any], Any] = lambda _: {"x": 1.0}) -> None:
        self.result = result
        self.given: list[tuple[Any, Path]] = []

    def __call__(self, config: Any, run_dir: Path) -> Any:
        self.given.append((config, run_dir))
        return self.result(config)


def _raise(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_help_fits_two_screens(verb: str, capsys: pytest.CaptureFixture[str]):
    assert front(verb, _raise, ["--help"]) == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 60
    assert max(map(len, text.splitlines())) <= 80
    for key in sheets()[verb].often:
        assert f"  {key}=" in text
    assert text.count(f"  reach-rl {verb}") >= 5


def test_help_lists_groups_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "mine" / "robot").mkdir(parents=True)
    (tmp_path / "mine" / "robot" / "lab_arm.yaml").write_text("defaults: [ur5e]\n")
    (tmp_path / "mine" / "lab").mkdir()
    (tmp_path / "mine" / "lab" / "night.yaml").write_text("# @package _global_\n")
    assert front("train", _raise, ["--config-dir", "mine", "--help"]) == 0
    text = capsys.readouterr().out
    assert "lab_arm" in text
    assert "lab=         night" in text


@pytest.mark.quiet
def test_help_is_quick(tmp_path: Path):
    """In a whole process, and without importing anything heavy."""
    code = (
        "import sys; from reach_rl.cli.front_door import front; front('train', None, ['--help']);"
        "print([m for m in ('hydra', 'torch', 'mujoco', 'wandb', 'optuna') if m in sys.modules])"
    )
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert time.perf_counter() - start < 1
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_run_gets_its_folder():
    job = Job()
    assert front("train", job, ["robot=ur10e", "seed=4"]) == 0
    ((config, folder),) = job.given
    assert (config.robot.name, config.seed) == ("ur10e", 4)
    assert folder.parent == Path.cwd() / "runs" / "ur10e"
    assert folder.is_dir()
    assert {path.name for path in Path.cwd().iterdir()} == {"runs"}  # nothing of Hydra's


def test_two_runs_in_one_second_do_not_share_a_folder():
    job = Job()
    for _ in range(3):
        front("train", job, [])
    assert len({folder for _, folder in job.given}) == 3


def test_run_dir_and_resume_name_the_folder():
    job = Job()
    assert front("train", job, ["run_dir=a/b"]) == 0
    assert front("train", job, ["resume=a/b"]) == 0
    assert [folder for _, folder in job.given] == [Path.cwd() / "a" / "b"] * 2


@pytest.mark.parametrize("code", [3, 130, 143])
def test_exit_codes_of_the_job(code: int):
    assert front("train", Job(lambda _: code), []) == code


def test_interrupt():
    assert front("train", Job(lambda _: _raise(KeyboardInterrupt())), []) == 130


def test_a_config_error_of_the_job_leaves_nothing(capsys: pytest.CaptureFixture[str]):
    job = Job(lambda _: _raise(ConfigError(["robot.home: touches", "robot.joints: no elbow"])))
    assert front("train", job, ["robot.home=[0,0,0,0,0,0]"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: robot.home (command line): touches",
        "error: robot.joints (conf/robot/ur5e.yaml): no elbow",
    ]
    assert list(Path.cwd().iterdir()) == []


def test_a_config_error_leaves_what_was_there():
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("keep")
    job = Job(lambda _: _raise(ConfigError("no")))
    assert front("train", job, ["run_dir=mine"]) == 2
    assert Path("mine/notes.txt").read_text() == "keep"


def test_a_folder_that_cannot_be_made_is_one_line(capsys: pytest.CaptureFixture[str]):
    assert front("train", Job(), ["run_dir=/proc/mine"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: /proc/mine: cannot be made (No such file or directory); try run_dir=runs/mine"
    ]


def test_a_crash_is_not_hidden():
    """Python shows the traceback and exits with 1."""
    with pytest.raises(RuntimeError, match="boom"):
        front("train", Job(lambda _: _raise(RuntimeError("boom"))), [])


def test_grid():
    job = Job()
    assert front("train", job, ["seed=1,2", "-m", "robot=ur3e,ur5e"]) == 0  # flags anywhere
    runs = [(config.seed, config.robot.name) for config, _ in job.given]
    assert runs == [(1, "ur3e"), (1, "ur5e"), (2, "ur3e"), (2, "ur5e")]
    folders = [folder for _, folder in job.given]
    assert [folder.name for folder in folders] == ["0", "1", "2", "3"]
    assert {folder.parent for folder in folders} == {folders[0].parent}
    assert folders[0].parents[2] == Path.cwd() / "multirun"


@pytest.mark.parametrize(
    ("words", "seeds"),
    [
        (["sweep=seeds"], [0, 1, 2, 3, 4]),
        (["sweep=seeds", "seed=7,8"], [7, 8]),
        (["seed=7", "sweep=seeds"], [7]),
        (["sweep=seeds", "hydra.sweeper.params.seed=5,6"], [5, 6]),
        (["sweep=seeds", "hydra.sweeper.params.seed='range(2,4)'"], [2, 3]),
    ],
)
def test_a_sweep_and_what_the_command_line_makes_of_it(words: list[str], seeds: list[int]):
    job = Job()
    assert front("train", job, ["-m", *words]) == 0
    assert [config.seed for config, _ in job.given] == seeds


def test_two_sweeps_at_once(tmp_path: Path):
    (tmp_path / "mine" / "sweep").mkdir(parents=True)
    text = "# @package _global_\nhydra: {sweeper: {params: {ppo.gamma: '0.9,0.95'}}}\nseed: 6\n"
    (tmp_path / "mine" / "sweep" / "gammas.yaml").write_text(text)
    text = "# @package _global_\nhydra: {sweeper: {params: {robot: 'ur3e,ur30'}}}\n"
    (tmp_path / "mine" / "sweep" / "ends.yaml").write_text(text)
    job = Job()
    words = ["-m", "--config-dir", "mine", "sweep=[ends,gammas]", "ppo.gamma=0.8,0.9"]
    assert front("train", job, words) == 0
    runs = [(config.robot.name, config.ppo.gamma, config.seed) for config, _ in job.given]
    assert sorted(runs) == [(robot, g, 6) for robot in ("ur30", "ur3e") for g in (0.8, 0.9)]


@pytest.mark.parametrize("verb", ["evaluate", "bench"])
def test_help_of_what_runs_once_has_no_sweep(verb: str, capsys: pytest.CaptureFixture[str]):
    front("train", _raise, ["--help"])
    assert "  sweep=       curriculum  fast  pareto  ppo" in capsys.readouterr().out
    front(verb, _raise, ["--help"])
    assert "sweep=" not in capsys.readouterr().out


def test_a_failing_job_of_a_grid_keeps_its_traceback_and_the_others_go_on():
    job = Job(lambda config: _raise(RuntimeError("boom")) if config.seed == 1 else {})
    with pytest.raises(SystemExit) as caught:
        front("train", job, ["-m", "seed=1,2"])
    assert caught.value.code == 1
    assert [config.seed for config, _ in job.given] == [1, 2]
    assert "RuntimeError: boom" in (job.given[0][1] / "train.log").read_text()
    assert not (job.given[1][1] / "train.log").exists()


def test_a_grid_writes_no_credentials(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LAB_TOKEN", "t0psecret")
    job = Job(lambda _: _raise(RuntimeError("no access with t0psecret")))
    with pytest.raises(SystemExit):
        front("train", job, ["-m", "seed=1", "wandb.notes=t0psecret"])
    written = [path for path in Path.cwd().rglob("*") if path.is_file()]
    assert {path.name for path in written} == {"multirun.yaml", "train.log"}
    for path in written:
        assert "t0psecret" not in path.read_text()
        assert "***" in path.read_text()


def test_codes_of_a_grid():
    job = Job(lambda config: 3 if config.seed == 1 else {})
    assert front("train", job, ["-m", "seed=1,2"]) == 3
    assert len(job.given) == 2


def test_a_stopped_job_stops_the_grid():
    job = Job(lambda _: 130)
    with pytest.raises(SystemExit) as caught:
        front("train", job, ["-m", "seed=1,2"])
    assert caught.value.code == 130
    assert len(job.given) == 1


def test_a_sweeper_gets_the_result(monkeypatch: pytest.MonkeyPatch):
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    returned: list[Any] = []
    original = BasicSweeper.sweep

    def spy(self: BasicSweeper, arguments: list[str]) -> Any:
        found = original(self, arguments)
        returned.extend(job.return_value for batch in found for job in batch)
        return found

    monkeypatch.setattr(BasicSweeper, "sweep", spy)
    job = Job(lambda config: {"success_rate": 0.5} if config.seed == 1 else 3)
    front("train", job, ["-m", "seed=1,2"])
    assert returned == [{"success_rate": 0.5}, {"exit_code": 3}]


@pytest.mark.quiet
def test_a_large_grid_is_checked_value_by_value(capsys: pytest.CaptureFixture[str]):
    start = time.perf_counter()
    arguments = ["-m", "seed=range(0,100)", "ppo.gamma=0.9,0.95,1.2", "ppo.n_epochs=1,0"]
    assert front("train", Job(), arguments) == 2
    assert time.perf_counter() - start < 10
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_show_the_configuration(capsys: pytest.CaptureFixture[str]):
    assert front("train", _raise, ["--cfg", "job", "-p", "checkpoint"]) == 0
    assert "every: 100000" in capsys.readouterr().out


def test_a_job_composes_options_of_the_user_s_folder(tmp_path: Path):
    from reach_rl.config.load import compose
    from reach_rl.rundir.provenance import job_overrides

    (tmp_path / "mine" / "task").mkdir(parents=True)
    (tmp_path / "mine" / "task" / "shelf.yaml").write_text("defaults: [front]\nsubsteps: 5\n")
    given: list[Any] = []

    def look(config: Any) -> None:
        given.append((compose(["task=shelf"]).task.substeps, job_overrides([])))

    arguments = ["--config-dir", "mine", "evaluation.also=[shelf]"]
    assert front("train", Job(look), arguments) == 0
    assert given == [(5, ["evaluation.also=[shelf]"])]
    with pytest.raises(ConfigError):
        compose(["task=shelf"])


def test_other_verbs_make_no_folder(tmp_path: Path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("")
    given: list[Any] = []

    def job(config: Any) -> None:
        given.append(config)

    assert front("evaluate", job, ["run=run", "goals=7"]) == 0
    assert given[0].goals == 7
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


def test_joblib_runs_jobs_in_other_processes(tmp_path: Path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    script = tmp_path / "job.py"
    script.write_text(
        "import json\n"
        "from reach_rl.cli.front_door import run\n"
        "def job(config, run_dir):\n"
        "    (run_dir / 'out.json').write_text(json.dumps(config.seed))\n"
        "if __name__ == '__main__':\n"
        "    run('train', job)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script), "-m", "seed=1,2", "hydra/launcher=joblib"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(json.loads(p.read_text()) for p in tmp_path.rglob("out.json")) == [1, 2]
