"""Train the policies that ship for `play`: python benchmarks/ship_policies.py [ROBOT ...].

Each is the best checkpoint of a run of the default experiment, without its optimiser and its
environments, in assets/policies/<robot>; assets/policies/README.md says how well they do.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from reach_rl.config import assets_dir
from reach_rl.rundir import checkpoint
from reach_rl.rundir.atomic import read_json, write_atomic

ROBOTS = ("ur3e", "ur5e", "ur10e")


def main() -> None:
    """Train, strip, write."""
    home = assets_dir() / "policies"
    for robot in sys.argv[1:] or ROBOTS:
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            command = [sys.executable, "-m", "reach_rl.train", f"robot={robot}", f"run_dir={run}"]
            subprocess.run([*command, "wandb=disabled"], check=True)
            ship(run, home / robot)
    write_atomic(home / "README.md", card(home))


def ship(run: Path, home: Path) -> None:
    """Write the best checkpoint of a run into a folder of its own, as small as it gets."""
    checkpoints = run / "checkpoints"
    name = "best" if checkpoint.pointed(checkpoints, "best") else "latest"
    best = checkpoint.resolve(checkpoints, name)
    saved = checkpoint.read(best)
    step = int(best.name.removeprefix("step_"))
    small = replace(
        saved,
        config=replace(
            saved.config,
            run_dir=None,
            resume=None,
            vec_env=replace(saved.config.vec_env, n_envs=1),
            ppo=replace(saved.config.ppo, batch_size=saved.config.ppo.n_steps),
        ),
        normalizer={**saved.normalizer, "returns": np.zeros(1)},
        optimizer={},
        environment=_first_row(saved.environment),
        learner=_first_row(saved.learner),
        progress={"num_timesteps": step},
    )
    shutil.rmtree(home, ignore_errors=True)
    checkpoint.point(home, "best", checkpoint.write(home, step, small))
    summary = read_json(run / "summary.json")
    kept = {key: summary[key] for key in ("robot", "seed", "total_timesteps", "evaluation")}
    write_atomic(home / "summary.json", json.dumps(kept, indent=2) + "\n")


def _first_row(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Of the first environment alone; states of random generators are left out."""
    return {name: value[:1] for name, value in arrays.items() if not name.startswith("random.")}


def card(home: Path) -> str:
    """The table of what ships and how well it does."""
    rows = [
        "# Policies that ship with reach_rl",
        "",
        "Written by `make policies`; `python -m reach_rl.play` plays them. Each was judged on 1000",
        "held-out goals of its region (2 cm, 0.1 rad, held for 0.5 s).",
        "",
        "| robot | region | steps | success | 95 % interval | median error |",
        "|---|---|---|---|---|---|",
    ]
    for path in sorted(home.glob("*/summary.json")):
        summary = read_json(path)
        e = summary["evaluation"]
        low, high = e["success_ci95"]
        rows.append(
            f"| {summary['robot']} | {e['region']} | {summary['total_timesteps']:,} | "
            f"{100 * e['success_rate']:.1f} % | {100 * low:.1f} to {100 * high:.1f} % | "
            f"{e['position_error_mm']['median']:.1f} mm, "
            f"{e['orientation_error_deg']['median']:.2f} deg |"
        )
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
