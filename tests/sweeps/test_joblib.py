"""Trials side by side in processes of joblib: shared cores, a worker that dies, a key press."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from optuna.study import Study
from optuna.trial import TrialState

from reach_rl.sweeps.storage import open_study

GAMMA = "ppo.gamma=interval(0.5,1)"
WORDS = (GAMMA, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra/sweeper/pruner=none")


def _study(here: Path) -> Study:
    return open_study(str(here / "multirun" / "search" / "study.journal"), "search")


def _both_count(here: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 90
    folders = [here / "multirun" / "search" / name / "checkpoints" for name in "01"]
    while not all((folder / "count.json").exists() for folder in folders):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def _starts(here: Path, number: int) -> list[int]:
    lines = (here / "multirun" / "search" / str(number) / "begun.jsonl").read_text().splitlines()
    return [json.loads(line)["at"] for line in lines]


def test_a_worker_that_dies_takes_no_trial_along(here: Path, start):
    process = start(*WORDS, "hydra.sweeper.n_trials=3", "wandb.notes=held")
    _both_count(here, process)
    owners = [trial.user_attrs["owner"] for trial in _study(here).trials[:2]]
    assert all(owner["job"] for owner in owners)
    assert len({owner["pid"] for owner in owners}) == 2
    os.kill(owners[0]["pid"], signal.SIGKILL)
    (here / "multirun" / "search" / "go").touch()
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 0, text
    trials = _study(here).trials
    reasons = [trial.user_attrs.get("reason") for trial in trials]
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 3, reasons
    assert trials[0].user_attrs["deaths"] >= 1
    assert len(_starts(here, 0)) >= 2
    assert _starts(here, 0)[1] >= 1, "began anew"
    assert any(
        f"vec_env.threads={max(1, len(os.sched_getaffinity(0)) // 2)}"
        in trial.user_attrs["overrides"]
        for trial in trials
    )


def test_a_key_press_stops_all_of_them(here: Path, start):
    process = start(*WORDS, "hydra.sweeper.n_trials=2", "wandb.notes=held")
    _both_count(here, process)
    os.killpg(process.pid, signal.SIGINT)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 130, text
    assert [trial.state for trial in _study(here).trials] == [TrialState.WAITING] * 2
    process = start(*WORDS, "hydra.sweeper.n_trials=2")
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 0, text
    assert [trial.state for trial in _study(here).trials] == [TrialState.COMPLETE] * 2
    for number in range(2):
        first, second = _starts(here, number)
        assert first == 0
        assert second >= 1
