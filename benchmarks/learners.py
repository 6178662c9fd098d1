"""What each learner of examples/ reaches on one task, and in how long, beside our own.

python benchmarks/learners.py [seconds]     (45 for each of the six: eight minutes at most)

Each is asked for as many environment steps as it takes in that time on this machine, which a short
run tells first. Results: benchmarks/learners.json and benchmarks/learners.md.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from reach_rl.rundir.atomic import write_json
from reach_rl.rundir.provenance import machine

HERE = Path(__file__).resolve().parent
TASK = ("robot=ur5e", "task=near", "evaluation.goals=500", "evaluation.also=[]", "wandb=disabled")
QUIET = ("evaluation.every=0", "checkpoint.every=0", "picture=false", "progress=false")
LEARNERS = {
    "reach_rl PPO": ["-m", "reach_rl.train"],
    **{
        name: [str(HERE.parent / "examples" / f"{script}.py")]
        for name, script in {
            "SB3 PPO": "sb3_ppo",
            "SB3 SAC": "sb3_sac",
            "sb3-contrib TQC": "sb3_tqc",
            "sb3-contrib RecurrentPPO": "sb3_recurrent_ppo",
            "torch PPO": "torch_ppo",
        }.items()
    },
}
TRIAL = 6_144
"""Environment steps of the short run."""


def run(command: list[str], steps: int, folder: Path, *more: str) -> dict[str, Any]:
    """The summary of one run of so many steps."""
    words = [*TASK, *QUIET, *more, f"total_timesteps={steps}", f"run_dir={folder}"]
    subprocess.run([sys.executable, *command, *words], check=True, stdout=subprocess.DEVNULL)
    return json.loads((folder / "summary.json").read_text())


def measured(name: str, seconds: float) -> dict[str, Any]:
    """What one learner reaches in about that time."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        trial = run(LEARNERS[name], TRIAL, folder / "trial", "evaluation.goals=2")
        steps = int(seconds * trial["steps_per_second"])
        found = run(LEARNERS[name], max(steps, TRIAL), folder / "run")
    judged = found["evaluation"]
    row = {key: found[key] for key in ("total_timesteps", "wall_time_s", "steps_per_second")}
    for key in ("success_rate", "success_ci95", "position_error_mm", "orientation_error_deg"):
        row[key] = judged[key]
    print(f"{name}: {row['success_rate']:.1%} after {row['wall_time_s']:.0f} s", flush=True)
    return row


def page(found: dict[str, Any]) -> str:
    """The figures as a page."""
    rows = [
        f"| {name} | {r['total_timesteps']:,} | {r['wall_time_s']:.0f} | "
        f"{r['steps_per_second']:,.0f} | {r['success_rate']:.1%} | "
        f"{r['position_error_mm']['median']:.1f} | {r['orientation_error_deg']['median']:.1f} |"
        for name, r in found["learners"].items()
    ]
    where = found["machine"]
    return "\n".join(
        [
            "# What other learners reach",
            "",
            f"`python benchmarks/learners.py`, on {where['cpu']}, {where['usable_cores']} cores. "
            "UR5e, `task=near`, one seed each, the same environments and the same 500 held-out "
            "goals. Each was asked for the steps that a short first run promised for the time, "
            "and took the seconds that are told: read a row by them. The settings are those of "
            "its file in `examples/`, and no search was made for any of them: this tells what "
            "works out of the box, not which algorithm is better.",
            "",
            "| learner | steps | seconds | steps/s | success | position (mm) | orientation (deg) |",
            "|---|--:|--:|--:|--:|--:|--:|",
            *rows,
            "",
            "Errors are medians over the goals, at the end of an episode.",
            "",
        ]
    )


def main(seconds: float = 45.0) -> None:
    """Measure all and write both files."""
    found = {"machine": machine(), "learners": {n: measured(n, seconds) for n in LEARNERS}}
    found["machine"].pop("host")
    write_json(HERE / "learners.json", found)
    (HERE / "learners.md").write_text(page(found))


if __name__ == "__main__":
    main(float((sys.argv[1:] or ["45"])[0]))
