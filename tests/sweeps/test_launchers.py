import os
import threading
import time

import pytest

from reach_rl.sweeps import launchers, ledger

JOBLIB = {"_target_": "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"}
LOCAL = {"_target_": "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher"}
SLURM = {"_target_": "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"}
BASIC = {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}


@pytest.fixture
def eight(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


@pytest.mark.parametrize(
    ("launcher", "parallel", "share"),
    [
        (BASIC, 1, []),
        (JOBLIB | {"n_jobs": 2}, 2, ["vec_env.threads=4"]),
        (JOBLIB | {"n_jobs": 3}, 3, ["vec_env.threads=2"]),
        (JOBLIB | {"n_jobs": -1}, 8, ["vec_env.threads=1"]),
        (JOBLIB | {"n_jobs": -3}, 6, ["vec_env.threads=1"]),
        (JOBLIB | {"n_jobs": 20}, 20, ["vec_env.threads=1"]),
        (LOCAL | {"cpus_per_task": 4}, 2, ["vec_env.threads=4"]),
        (LOCAL | {"cpus_per_task": None}, 8, ["vec_env.threads=1"]),
        (SLURM | {"cpus_per_task": 16, "array_parallelism": 256}, 4, ["vec_env.threads=16"]),
        (SLURM | {"cpus_per_task": None, "array_parallelism": 2}, 2, []),
    ],
)
def test_cores_are_divided_and_never_shared(eight, launcher, parallel, share):
    assert launchers.workers(launcher) == parallel
    assert launchers.shares(launcher, parallel) == share


def test_what_the_user_says_wins(eight):
    assert launchers.shares(JOBLIB | {"n_jobs": 2}, 2, ["vec_env.threads=3"]) == []
    assert launchers.workers(SLURM | {"array_parallelism": 256}, asked=12) == 12
    assert launchers.workers(BASIC, asked=12) == 1


def test_the_launchers_are_told_apart_by_what_hydra_itself_calls_them():
    from reach_rl.config.composition import Composer

    for name in ("basic", "joblib", "submitit_local", "submitit_slurm"):
        composed = Composer().compose([f"hydra/launcher={name}"])
        assert launchers.kind(composed.hydra["launcher"]) == name


def test_a_job_that_is_just_beginning_hears_the_wish_to_stop(tmp_path):
    """It voids earlier wishes first, and this one may have come a moment before."""
    begun, told = threading.Event(), tmp_path / ledger.STOP

    def step():
        begun.set()
        for _ in range(2):
            end = time.monotonic() + 20
            while not told.exists():
                assert time.monotonic() < end, "nobody told it"
                time.sleep(0.01)
            told.unlink()
        return False

    error = launchers.in_slots(2, 1, step, begun.is_set, lambda: [tmp_path])
    assert error is None
