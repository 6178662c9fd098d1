"""Signals in training, in trials, in judging, and of a cluster that starts jobs again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reach_rl import evaluate, train
from reach_rl.cli.front_door import front
from reach_rl.monitoring.record import JsonLinesWriter, read_records
from reach_rl.monitoring.terminal import Progress
from reach_rl.rundir import checkpoint
from reach_rl.rundir.status import read_status
from tests.small_runs import SMALL

ROOT = Path(__file__).parents[2]
SHORT = [*SMALL, "total_timesteps=512", "checkpoint.every=256"]


@pytest.fixture
def signalled(monkeypatch):
    """Sends this process a signal as soon as a step is recorded, the first time."""
    plain, actions = JsonLinesWriter.write, {}

    def write(self, step, values):
        plain(self, step, values)
        for number in actions.pop(step, ()):
            os.kill(os.getpid(), number)

    monkeypatch.setattr(JsonLinesWriter, "write", write)
    return actions


def steps(folder):
    return [record["global_step"] for record in read_records(folder / "metrics.jsonl")]


def test_a_trial_of_a_sweep_is_saved_and_the_sweep_ends(tmp_path, signalled, capsys):
    words = ["-m", *SHORT, "seed=1,2", f"hydra.sweep.dir={tmp_path}"]
    signalled[256] = [signal.SIGTERM]
    with pytest.raises(SystemExit) as ended:
        front("train", train.job, words)
    assert ended.value.code == 143
    assert read_status(tmp_path / "0")["state"] == "stopped"
    assert steps(tmp_path / "0") == [256]
    assert not (tmp_path / "1").exists()
    assert front("train", train.job, [*words, "resume=auto"]) == 0
    assert [steps(tmp_path / name) for name in "01"] == [[256, 512, 512]] * 2
    assert [read_status(tmp_path / name)["state"] for name in "01"] == ["finished"] * 2
    out = capsys.readouterr().out
    assert out.count("going on at step 256") == 1
    assert front("train", train.job, [*words, "resume=auto"]) == 0
    assert capsys.readouterr().out.count("is complete with 512 steps") == 2


def test_a_job_that_the_cluster_starts_again_goes_on(tmp_path, signalled, monkeypatch, capsys):
    words = [*SHORT, f"run_dir={tmp_path}"]
    signalled[256] = [signal.SIGUSR1]
    assert front("train", train.job, words) == 143
    assert read_status(tmp_path)["reason"] == "SIGUSR1"
    assert front("train", train.job, words) == 2
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert front("train", train.job, words) == 0
    assert "going on at step 256" in capsys.readouterr().out
    assert steps(tmp_path) == [256, 512, 512]
    assert read_status(tmp_path)["state"] == "finished"


def test_the_handler_of_submitit_is_called_once_all_is_saved(tmp_path, signalled):
    seen = []

    def requeue(number, frame):
        latest = checkpoint.read(checkpoint.resolve(tmp_path / "checkpoints", "latest"))
        seen.append((latest.progress["num_timesteps"], read_status(tmp_path)["state"]))

    before = signal.signal(signal.SIGUSR2, requeue)
    try:
        signalled[256] = [signal.SIGUSR2]
        assert front("train", train.job, [*SHORT, f"run_dir={tmp_path}"]) == 143
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert seen == [(256, "stopped")]


def test_judging_ends_at_once_without_a_trace(tmp_path, monkeypatch, capsys):
    assert front("train", train.job, [*SHORT, f"run_dir={tmp_path}"]) == 0
    plain, out = Progress.update, tmp_path / "figures.json"

    def update(self, *arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return plain(self, *arguments)

    monkeypatch.setattr(Progress, "update", update)
    before = sorted(tmp_path.rglob("*"))
    words = [f"run={tmp_path}", "goals=8", f"out={out}", "checkpoint=latest"]
    assert front("evaluate", evaluate.job, words) == 143
    assert sorted(tmp_path.rglob("*")) == before
    assert "Traceback" not in capsys.readouterr().err


def started(*words, wait_for):
    """A multirun in a process group of its own that has recorded something in these folders."""
    process = subprocess.Popen(
        [sys.executable, "-m", "reach_rl.train", "-m", *SMALL, *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    records = [folder / "metrics.jsonl" for folder in wait_for]
    while not all(path.exists() and path.stat().st_size for path in records):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.1)
    return process


@pytest.mark.parametrize(
    ("number", "group"),
    [
        (signal.SIGTERM, False),
        pytest.param(signal.SIGINT, True, marks=pytest.mark.torture),
    ],
)
def test_the_joblib_launcher_lets_its_jobs_save(tmp_path, number, group):
    process = started(
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
        f"hydra.sweep.dir={tmp_path}",
        "seed=1,2,3",
        "total_timesteps=10000000",
        wait_for=[tmp_path / "0", tmp_path / "1"],
    )
    (os.killpg if group else os.kill)(process.pid, number)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == (130 if number == signal.SIGINT else 143), out
    assert "Traceback" not in out
    for name in "01":
        status = read_status(tmp_path / name)
        assert (status["state"], status["reason"]) == ("stopped", number.name)
        latest = checkpoint.read(checkpoint.resolve(tmp_path / name / "checkpoints", "latest"))
        assert latest.progress["num_timesteps"] == steps(tmp_path / name)[-1]
    assert not (tmp_path / "2/status.json").exists()


@pytest.mark.torture
def test_a_job_that_submitit_starts_again_goes_on_by_itself(tmp_path):
    process = started(
        "hydra/launcher=submitit_local",
        f"hydra.sweep.dir={tmp_path}",
        "seed=1,2",
        "total_timesteps=51200",
        wait_for=[tmp_path / "0"],
    )
    first = json.loads((tmp_path / "0/status.json").read_text())["pid"]
    os.kill(first, signal.SIGUSR2)
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 0, out
    for name in "01":
        assert read_status(tmp_path / name)["state"] == "finished"
    assert read_status(tmp_path / "0")["pid"] != first
    log = (tmp_path / "0/train.log").read_text()
    assert "stopped by SIGUSR2" in log and "going on at step" in log
    training = [
        r["global_step"] for r in read_records(tmp_path / "0/metrics.jsonl") if "time/fps" in r
    ]
    assert training == list(range(256, 51201, 256))
