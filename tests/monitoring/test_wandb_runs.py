"""Whole training runs with W&B: a multirun, and a service that dies in the middle."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reach_rl.monitoring.record import read_records
from reach_rl.rundir.status import read_status
from tests.small_runs import command

ROOT = Path(__file__).parents[2]
SMALL = [
    "experiment=debug",
    "task.episode_steps=60",
    "task.goal_period=60",
    "evaluation.also=[]",
    "evaluation.goals=4",
    "evaluation.periodic_goals=4",
    "picture=false",
    "wandb=offline",
]
pytestmark = pytest.mark.usefixtures("wandb_home")


def test_a_multirun_is_as_many_finished_runs_in_one_group(tmp_path, read_back, history):
    words = ["-m", "seed=1,2", "total_timesteps=512", "evaluation.every=256"]
    words += [f"hydra.sweep.dir={tmp_path}/multirun/2026-11-22/10-00-00"]
    command("train", *SMALL, *words)
    groups, identities = set(), set()
    for n in range(2):
        folder = tmp_path / "multirun" / "2026-11-22" / "10-00-00" / str(n)
        found = read_back(folder)
        truth = list(read_records(folder / "metrics.jsonl"))
        assert history(found) == truth and len(truth) > 2
        (run,) = found["run"]
        groups.add(run["run_group"])
        identities.add(run["run_id"])
        config = run["config"]["update"]
        assert config["seed"] == n + 1
        assert config["provenance"]["packages"]["wandb"]
        assert found["exit"][0].get("exit_code", 0) == 0
        aliases = [set(a["aliases"]) for a in found["artifact"] if a["type"] == "model"]
        assert {"latest", "best", "step_000000000256"} in aliases
        assert aliases[-1] >= {"latest", "step_000000000512"}
        assert any("evaluation.nrows" in row["item"] for row in found["history"])
    assert groups == {"2026-11-22_10-00-00"} and len(identities) == 2


def wandb_is_up(folder):
    logs = folder.glob("wandb/offline-run-*/logs/debug.log")
    return any("returning control to user process" in log.read_text() for log in logs)


def test_training_outlives_the_service(tmp_path, service_pids, wait_until):
    folder = tmp_path / "run"
    words = [sys.executable, "-m", "reach_rl.train", *SMALL, "total_timesteps=25600"]
    words += ["evaluation.every=12800", f"run_dir={folder}"]
    run = subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        records = folder / "metrics.jsonl"
        wait_until(lambda: wandb_is_up(folder) and records.stat().st_size)
        before = len(list(read_records(records)))
        for pid in service_pids(run.pid):
            os.kill(pid, signal.SIGKILL)
        output, _ = run.communicate(timeout=120)
    finally:
        run.kill()
    assert run.returncode == 0, output
    assert 0 < before < 100
    steps = [r["global_step"] for r in read_records(records) if "time/fps" in r]
    assert steps == list(range(256, 25601, 256))
    assert output.count("W&B failed, training goes on without it") == 1
    assert read_status(folder)["state"] == "finished"
