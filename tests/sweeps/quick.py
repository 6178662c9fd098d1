"""Trials that take milliseconds, under the real Hydra, sweeper and Optuna.

    python tests/sweeps/quick.py -m sweep=search ppo.gamma='interval(0.8,1)' ...

Instead of training, a run counts to ten in its folder, one checkpoint a count, and is worth
ppo.gamma. What it is told by wandb.notes: `held` stops at three until there is a file `go` beside
its folder, `held:A:B` for gamma from A to B; `fail:A:B` raises for gamma from A to B; `diverge:A:B`
ends like numbers that went bad.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reach_rl.cli.front_door import front
from reach_rl.config.schema import Config
from reach_rl.config.search import current
from reach_rl.rundir.atomic import read_json, write_json
from reach_rl.rundir.status import Status
from reach_rl.training.stopping import listening

COUNTS, HELD_AT = 10, 3
Observer = Callable[[int, float, dict[str, Any]], bool]


def job(config: Config, folder: Path) -> dict[str, Any] | int:
    """As reach_rl.train.job, with a quick run."""
    trial = current()
    assert trial is not None
    from reach_rl.sweeps.trial import run_job

    return run_job(config, folder, *trial, count, listening)


def count(config: Config, folder: Path, observe: Observer | None = None) -> dict[str, Any] | int:
    """Count to ten, going on from where it was."""
    folder.mkdir(parents=True, exist_ok=True)
    with listening() as stop:
        return _count(config, folder, observe or (lambda *_: False), stop)


def _count(config: Config, folder: Path, observe: Observer, stop: Any) -> dict[str, Any] | int:
    word, *ends = (config.wandb.notes or "none").split(":")
    gamma, path = config.ppo.gamma, folder / "checkpoints" / "count.json"
    at = int(read_json(path).get("at", 0))
    assert at == 0 or config.resume == "auto", f"{folder} would be written over"
    path.parent.mkdir(exist_ok=True)
    with (folder / "begun.jsonl").open("a") as log:
        log.write(json.dumps({"at": at, "gamma": gamma, "pid": os.getpid()}) + "\n")
    Status(folder).set("running")
    hit = bool(ends) and float(ends[0]) <= gamma <= float(ends[1])
    if hit and word == "fail":
        raise ZeroDivisionError(f"gamma {gamma} is not for me")
    if hit and word == "diverge":
        Status(folder).set("diverged", "numbers went bad")
        return 3
    if hit and word == "unwell":
        Status(folder).set("pruned", "no exploration (health.stop_on=entropy_collapse) at step 9")
        return 4
    worth = gamma + 0.001 * config.seed
    while at < COUNTS:
        time.sleep(0.002)
        at += 1
        with (folder / "metrics.jsonl").open("a") as records:
            records.write(json.dumps({"global_step": 100 * at}) + "\n")
        enough = observe(at - 1, worth * at / COUNTS, _summary(config, worth))
        write_json(path, {"at": at})
        held = word == "held" and at >= HELD_AT and (hit or not ends)
        while held and stop.signal is None and not (folder.parent / "go").exists():
            time.sleep(0.02)
        if enough and at < COUNTS:
            Status(folder).set("pruned")
            return 4
        if stop.signal is not None:
            Status(folder).set("stopped", stop.name)
            return stop.exit_code
    Status(folder).set("finished")
    summary = _summary(config, worth)
    write_json(folder / "summary.json", summary)
    return summary


def _summary(config: Config, worth: float) -> dict[str, Any]:
    """A summary whose score is its success rate."""
    return {
        "robot": config.robot.name,
        "seed": config.seed,
        "evaluation": {
            "success_rate": worth,
            "position_error_mm": {"median": 0.0},
            "orientation_error_deg": {"median": 0.0},
            "jerk_rad_s3": {"median": config.ppo.learning_rate},
            "thresholds": {"position_m": 0.01, "orientation_rad": 0.1, "hold_s": 0.1},
        },
    }


if __name__ == "__main__":
    raise SystemExit(front("train", job, sys.argv[1:]))
