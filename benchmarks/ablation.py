"""What each choice of a quick recipe is worth: python benchmarks/ablation.py.

Each line of the table changes one thing and trains a small and a large arm; it shows the success on
held-out goals half-way and at the end, for seed 200 or what --seeds says. Goals and seeds are those
of the searches, none of which a result is reported on. --only picks lines by a part of their names,
--jobs 2 runs two side by side. Writes benchmarks/ablation.json, which keeps what it holds of other
lines, and the table benchmarks/ablation.md, which docs/tuning.md discusses.
"""

import argparse
import itertools
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from sweeping import HERE, keep, python_path, train

from reach_rl.monitoring.record import read_records

ROBOTS = ("ur5e", "ur20")
STEPS, GOALS, POOL = 200_000, 300, 1007

BASE = ("experiment=fast",)
"""What is changed."""

CHANGES: Mapping[str, Sequence[str]] = {
    "as it is": (),
    "rollouts of 24 steps, 5 passes": ("ppo.n_steps=24", "ppo.n_epochs=5"),
    "goal for 75 steps": ("task.goal_period=75",),
    "goal for 125 steps": ("task.goal_period=125",),
    "goal for 188 steps, half the episode": ("task.goal_period=188",),
    "new goal after each success": ("task.goal_change=hold",),
    "switch of goals not a truncation": ("vec_env.truncate_at_goal_change=false",),
    "gamma 0.99": ("ppo.gamma=0.99",),
    "gamma 0.96": ("ppo.gamma=0.96",),
    "gamma 0.88": ("ppo.gamma=0.88",),
    "action: increments": ("action=increment",),
    "action: linear": ("action.curve=1",),
    "64 environments x 64": ("vec_env.n_envs=64", "ppo.n_steps=64"),
    "16 environments x 256": ("vec_env.n_envs=16", "ppo.n_steps=256"),
    "1024 environments x 16": ("vec_env.n_envs=1024",),
    "minibatch 256": ("ppo.batch_size=256",),
    "minibatch 4096": ("ppo.batch_size=4096",),
    "1 pass": ("ppo.n_epochs=1",),
    "10 passes": ("ppo.n_epochs=10",),
    "learning rate 3e-4": ("ppo.learning_rate=3e-4",),
    "cheap changes of action": ("reward.terms.action_rate.weight=-0.005",),
    "learning rate constant": ("ppo.learning_rate_schedule.kind=constant",),
    "entropy bonus 0": ("ppo.ent_coef=0",),
    "entropy bonus 0.01": ("ppo.ent_coef=0.01",),
    "nets of 32": (
        "ppo.policy_kwargs.net_arch.pi=[32,32]",
        "ppo.policy_kwargs.net_arch.vf=[32,32]",
    ),
    "nets of 256": (
        "ppo.policy_kwargs.net_arch.pi=[256,256]",
        "ppo.policy_kwargs.net_arch.vf=[256,256]",
    ),
    "errors at one scale": (
        "observation.terms.position_error.scales=[0.1]",
        "observation.terms.orientation_error.scales=[0.5]",
        "observation.terms.jacobian_transpose.scales=[0.1]",
    ),
    "raw errors": (
        "observation.terms.position_error.scales=null",
        "observation.terms.orientation_error.scales=null",
        "observation.terms.jacobian_transpose.scales=null",
    ),
    "no Jacobian-transpose errors": ("observation.terms.jacobian_transpose=null",),
    "damped least-squares step seen too": (
        "++observation.terms.damped_least_squares.scales=[0.5,0.1,0.02]",
        "++observation.terms.damped_least_squares.noise=0",
    ),
    "observation not normalised": ("observation.normalize=false",),
    "reward not normalised": ("reward.normalize=false",),
    "no reward for progress": ("reward.terms.progress=null",),
    "no kernels": ("reward.terms.keypoint_kernel=null",),
    "no stillness": ("reward.terms.stillness=null",),
    "episodes not staggered": ("vec_env.stagger=false",),
}


def main() -> None:
    """Train what is asked for and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="parts of names, separated by commas")
    parser.add_argument("--seeds", default="200")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    args = parser.parse_args()
    python_path()
    store = HERE / "ablation.json"
    runs = json.loads(store.read_text())["runs"] if store.is_file() else {}
    names = [n for n in CHANGES if any(part in n for part in args.only.split(","))]
    with ThreadPoolExecutor(args.jobs) as pool:
        jobs = {
            pool.submit(one, *job): job
            for job in itertools.product(names, ROBOTS, args.seeds.split(","))
        }
        for job in as_completed(jobs):
            name, robot, seed = jobs[job]
            runs.setdefault(name, {})[f"{robot}/{seed}"] = job.result()
            about = {"steps": STEPS, "goals": GOALS, "seed_of_goals": POOL}
            keep("ablation", {**about, "runs": runs}, table(runs))


def one(name: str, robot: str, seed: str) -> dict[str, float]:
    """Train one arm with one change; its success half-way and at the end."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        changed = {words.split("=")[0] for words in CHANGES[name]}
        train(
            *(words for words in BASE if words.split("=")[0] not in changed),
            f"robot={robot}",
            f"seed={seed}",
            f"run_dir={run}",
            f"total_timesteps={STEPS}",
            f"evaluation.seed={POOL}",
            f"evaluation.goals={GOALS}",
            f"evaluation.every={STEPS // 2}",
            f"evaluation.periodic_goals={GOALS}",
            "checkpoint.every=0",
            "vec_env.threads=1",  # the same figures, and two runs fit side by side
            *CHANGES[name],
        )
        key = "eval/success_rate"
        seen = [r[key] for r in read_records(run / "metrics.jsonl") if r.get(key) is not None]
        summary = json.loads((run / "summary.json").read_text())
    return {"half": seen[0], "end": summary["evaluation"]["success_rate"]}


def table(runs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Markdown: a row per change, the mean over seeds for each arm."""
    head = " | ".join(f"{r} {when}" for r in ROBOTS for when in ("half-way", "end"))
    lines = [f"| change | {head} |", "|---|" + "---|" * (2 * len(ROBOTS))]
    for name in CHANGES:
        if name not in runs:
            continue
        cells = []
        for robot, when in itertools.product(ROBOTS, ("half", "end")):
            found = [r[when] for key, r in runs[name].items() if key.split("/")[0] == robot]
            cells.append(f"{100 * sum(found) / len(found):.1f} %" if found else "")
        lines.append("| " + " | ".join([name, *cells]) + " |")
    seeds = sorted({key.split("/")[1] for found in runs.values() for key in found})
    about = (
        f"Success on {GOALS} goals after {STEPS // 2:,} and {STEPS:,} environment steps; mean of "
    )
    lines += ["", about + f"seeds {', '.join(seeds)}."]
    return lines


if __name__ == "__main__":
    sys.exit(main())
