"""What each lead gives all around the arm: python benchmarks/leads.py.

Each line of the table trains a UR5e on task=full_sphere with the preset as it was first, changed by
the lead, and shows its success at the periodic evaluations, on goals and a seed that no result is
reported on. --only picks lines by a part of their names, --jobs 2 runs two side by side. Writes
benchmarks/leads.json, which keeps what it holds of other lines, and the table benchmarks/leads.md.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from sweeping import HERE, keep, python_path, train

from reach_rl.monitoring.record import STEP, read_records

SEED, POOL, GOALS, EVERY = 100, 1007, 512, 250_000

COMMON = ("experiment=full_sphere", "vec_env.threads=1", "checkpoint.every=0")


def seen(name: str, *scales: float) -> str:
    """The override that has a term observed at these widths, or as it is."""
    return f"observation.terms.{name}={{scales:{list(scales) or 'null'},noise:0.0}}".replace(
        " ", ""
    )


def price(weight: float) -> tuple[str, ...]:
    """The overrides that a contact costs this much a step with."""
    return tuple(f"reward.terms.{one}_collision.weight={weight}" for one in ("self", "table"))


WIDTHS = (0.5, 0.1, 0.02)
TOOL = (
    seen("joint_angle"),
    seen("position_error", *WIDTHS),
    seen("orientation_error", 2.0, 0.5, 0.1),
    seen("jacobian_transpose", *WIDTHS),
)
LARGE = (
    "ppo.gamma=0.95",
    "ppo.policy_kwargs.net_arch.pi=[128,128]",
    "ppo.policy_kwargs.net_arch.vf=[128,128]",
)
FIRST = (
    *TOOL,
    *LARGE,
    seen("goal_position"),
    seen("goal_quaternion"),
    "observation.terms.joint_error=null",
    "observation.terms.damped_least_squares=null",
    "ppo.min_std=null",
    "task.goal_period=188",
    "reward.terms.joint_progress={weight:10.0,scales:null}",
    "reward.terms.progress={weight:20.0,scales:null}",
    "reward.terms.keypoint_distance={weight:-1.0,scales:null}",
)
"""The preset as it was first."""
SEEN = (seen("damped_least_squares", *WIDTHS),)
PAID = (
    "reward.terms.joint_progress={weight:20.0,scales:null}",
    "reward.terms.progress={weight:10.0,scales:null}",
    "reward.terms.keypoint_distance={weight:-0.1,scales:null}",
)
ONE = ("task.goal_period=375",)
THREE = (*SEEN, *PAID, *ONE)
WIDE = (
    "ppo.policy_kwargs.net_arch.pi=[256,256]",
    "ppo.policy_kwargs.net_arch.vf=[256,256]",
    "ppo.learning_rate=1e-3",
)
ALONE = (
    *SEEN,
    *ONE,
    "reward.terms.keypoint_distance=null",
    "reward.terms.progress=null",
    "reward.terms.joint_progress={weight:40.0,scales:null}",
)
MORE = (*ALONE[:-1], "reward.terms.joint_progress={weight:100.0,scales:null}")
WAY = (*ALONE[1:], "ppo.min_std=0.2", seen("joint_error", 1.0, 0.2, 0.04))
"""The way in the joints in place of the least-squares step."""
SMALL = ("ppo.policy_kwargs.net_arch.pi=[64,64]", "ppo.policy_kwargs.net_arch.vf=[64,64]")
PLAIN = (*WAY, *SMALL, "ppo.gamma=0.92", "ppo.min_std=0.05")
FEW = tuple(f"{word.partition('=')[0]}=null" for word in TOOL)

LEADS: Mapping[str, tuple[tuple[str, ...], float]] = {
    "as it was: progress of tool (20) and joints (10) paid, two goals an episode": ((), 3),
    "the damped least-squares step seen too": (SEEN, 3),
    "joints 20, tool 10, almost no price on distance": (PAID, 3),
    "gamma 0.97 instead of 0.95": (("ppo.gamma=0.97",), 3),
    "one goal an episode": (ONE, 2),
    "all three: least squares, joints 20, one goal": (THREE, 3),
    "the three, gamma 0.92": ((*THREE, "ppo.gamma=0.92"), 1),
    "the three, networks of 256, learning rate 1e-3": ((*THREE, *WIDE), 2),
    "the three, entropy bonus 0.002 instead of -0.01": ((*THREE, "ppo.ent_coef=0.002"), 2),
    "the joints' progress alone (40), nothing for the tool's": (ALONE, 2),
    "the same with 100": (MORE, 3),
    "100, gamma 0.9": ((*MORE, "ppo.gamma=0.9"), 2),
    "100, gamma 0.9, learning rate 5e-4": ((*MORE, "ppo.gamma=0.9", "ppo.learning_rate=5e-4"), 3),
    "the way in the joints seen in place of least squares": (WAY, 1.5),
    "least squares beside it": ((*WAY, *SEEN), 1.5),
    "networks of 64 units": ((*WAY, *SMALL), 0.75),
    "and gamma 0.92, least deviation 0.05, as by default": (PLAIN, 0.75),
    "no errors of the tool seen": ((*WAY, *FEW), 0.75),
    "learning rate 5e-4": ((*WAY, "ppo.learning_rate=5e-4"), 0.75),
    "tool 20, distance -1, nothing for the joints": (
        (*WAY, *FIRST[-2:], "reward.terms.joint_progress=null"),
        0.75,
    ),
    "no errors of the tool seen, networks and gamma by default: the preset": ((*PLAIN, *FEW), 1),
    "contacts at -20 a step instead of -5": ((*PLAIN, *FEW, *price(-20)), 1),
    "contacts at -50": ((*PLAIN, *FEW, *price(-50)), 1),
    "nearness to the table at -10 instead of -2": (
        (*PLAIN, *FEW, "reward.terms.table_margin.weight=-10"),
        1,
    ),
    "the preset, learning rate 5e-4": ((*PLAIN, *FEW, "ppo.learning_rate=5e-4"), 1),
}
"""Overrides of a lead, and the millions of steps that it is trained for."""


def main() -> None:
    """Train what is asked for and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="parts of names, separated by commas")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument("overrides", nargs="*", help="further overrides of every run")
    args = parser.parse_args()
    python_path()
    store = HERE / "leads.json"
    curves = json.loads(store.read_text())["curves"] if store.is_file() else {}
    names = [n for n in LEADS if any(part in n for part in args.only.split(","))]
    with ThreadPoolExecutor(args.jobs) as pool:
        jobs = {pool.submit(one, name, args.overrides): name for name in names}
        for job in as_completed(jobs):
            curves[jobs[job]] = job.result()
            about = {"goals": GOALS, "seed_of_goals": POOL, "seed": SEED}
            keep("leads", {**about, "curves": curves}, table(curves))


def one(name: str, overrides: list[str]) -> list[tuple[int, float]]:
    """Train with a lead; steps and success of each periodic evaluation."""
    changes, millions = LEADS[name]
    # of two words for the same key the later one counts
    words = {word.partition("=")[0]: word for word in (*COMMON, *FIRST, *changes)}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        train(
            *words.values(),
            f"seed={SEED}",
            f"run_dir={run}",
            f"total_timesteps={round(millions * 1_000_000)}",
            f"evaluation.seed={POOL}",
            "evaluation.goals=10",
            f"evaluation.periodic_goals={GOALS}",
            f"evaluation.every={EVERY}",
            *overrides,
        )
        records = list(read_records(run / "metrics.jsonl"))
    key = "eval/success_rate"
    return [(r[STEP], r[key]) for r in records if r.get(key) is not None]


def table(curves: Mapping[str, list[tuple[int, float]]]) -> list[str]:
    """Markdown: a row per lead, in the order of LEADS."""
    most = max(len(curve) for curve in curves.values())
    heads = [f"{EVERY * (i + 1) / 1e6:g}M" for i in range(most)]
    lines = [f"| lead | {' | '.join(heads)} |", "|---|" + "---|" * most]
    for name in LEADS:
        if name in curves:
            cells = [f"{100 * success:.0f} %" for _, success in curves[name]]
            lines.append(f"| {name} | {' | '.join([*cells, *[''] * (most - len(cells))])} |")
    return lines


if __name__ == "__main__":
    main()
