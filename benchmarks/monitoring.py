"""What all monitoring costs, in one run: python benchmarks/monitoring.py [overrides].

Rollouts take turns with everything on (sums of motion, figures of the learner, diagnosis, and the
record in metrics.jsonl, TensorBoard and an offline W&B run) and with all of it off, so that both
meet the same machine. Writes benchmarks/monitoring.json. About two minutes on two cores.
"""

import argparse
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import numpy as np  # noqa: E402

from reach_rl.config.load import compose  # noqa: E402
from reach_rl.envs.episodes import Episodes  # noqa: E402
from reach_rl.monitoring.record import Opening, Record, open_record  # noqa: E402
from reach_rl.monitoring.terminal import TeeConsole  # noqa: E402
from reach_rl.rundir.atomic import Disk  # noqa: E402
from reach_rl.rundir.folder import RunFolder  # noqa: E402
from reach_rl.training import loop as run_module  # noqa: E402
from reach_rl.training.loop import TrainingLoop  # noqa: E402
from reach_rl.training.rollout_metrics import Window  # noqa: E402


def main() -> None:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rollouts", type=int, default=200, help="of each kind")
    parser.add_argument("--out", type=Path, default=HERE / "monitoring.json")
    parser.add_argument("overrides", nargs="*")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), args.rollouts, args.overrides)
    args.out.write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


def measure(folder: Path, rollouts: int, overrides: list[str]) -> dict[str, Any]:
    """Seconds of a rollout with its update, on and off."""
    config = compose(["wandb=offline", "progress=false", *overrides])
    size = config.ppo.n_steps * config.vec_env.n_envs
    config = compose(
        ["wandb=offline", "progress=false", *overrides, f"total_timesteps={2 * rollouts * size}"]
    )
    console = TeeConsole(folder / "train.log")
    run = TrainingLoop(config, folder, console, RunFolder(folder, Disk(print)))
    times: dict[bool, list[float]] = {True: [], False: []}
    order = random.Random(0)
    with open_record(Opening(folder, config, say=lambda text: None)) as record:
        run._prepare()
        one(run, record)
        for _ in range(rollouts):
            for on in order.sample((True, False), 2):
                times[on].append(timed(run, record, on))
    run.close()
    on, off = np.array(times[True]), np.array(times[False])
    ratio = (on - off) / np.median(off)
    resampled = np.random.default_rng(0).choice(ratio, (2000, len(ratio)))
    low, high = np.percentile(np.median(resampled, axis=1), (2.5, 97.5))
    return {
        "on_ms": 1e3 * float(np.median(on)),
        "off_ms": 1e3 * float(np.median(off)),
        "cost": float(np.median(on) / np.median(off) - 1.0),
        "cost_paired_median": float(np.median(ratio)),
        "cost_ci95": [float(low), float(high)],
        "rollouts": rollouts,
        "environment_steps": size,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "overrides": overrides,
    }


def timed(run: TrainingLoop, record: Record, on: bool) -> float:
    """One rollout and its update (s)."""
    begin = time.perf_counter()
    if on:
        one(run, record)
    else:
        with switched_off():
            run._iterate()
    return time.perf_counter() - begin


def one(run: TrainingLoop, record: Record) -> None:
    """A rollout with everything that a run does to be watched."""
    values = run._iterate()
    run.marks.seconds += 1.0
    values |= run._time()
    record.write(run.model.num_timesteps, values)
    run.diagnosis.report(record, run.model.num_timesteps, values, lambda text: None)


@contextmanager
def switched_off() -> Iterator[None]:
    """Nothing is summed, looked at or recorded."""
    with (
        patch.object(Episodes, "before", lambda self, state: None),
        patch.object(Episodes, "add", lambda self, state, reward, shares: None),
        patch.object(Window, "metrics", lambda self: {}),
        patch.object(run_module, "learner_metrics", lambda *_: {}),
    ):
        yield


if __name__ == "__main__":
    main()
