"""Two trials at once against one after the other: python benchmarks/parallel_sweep.py.

The same search with the random sampler, each trial on one core: once sequentially, once under
joblib with two workers. Writes benchmarks/parallel_sweep.json and .md: seconds of both, and that
every trial came out equal. About four minutes on two cores; --toy tries the script itself.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from sweeping import keep, python_path, sweep

JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


def main() -> None:
    """Search both ways, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--steps", type=int, default=150_000, help="steps of a trial")
    parser.add_argument("--toy", action="store_true", help="the smallest sizes that still run")
    args = parser.parse_args()
    python_path()
    if args.toy:
        args.trials, args.steps = 4, 12_288
    with tempfile.TemporaryDirectory() as scratch:
        ways = {"sequential": (), "joblib, 2 workers": JOBLIB}
        done = {
            name: search(Path(scratch) / f"way_{number}", args, *launcher)
            for number, (name, launcher) in enumerate(ways.items())
        }
    report(done, args)


def search(folder: Path, args: argparse.Namespace, *launcher: str) -> tuple[float, Any]:
    """Seconds and results of one way."""
    return sweep(
        folder,
        *("sweep=search", "hydra.sweeper.study_name=parallel", "hydra.sweeper.confirm_seeds=0"),
        *("ppo.learning_rate=tag(log,interval(3e-4,5e-3))", "ppo.gamma=interval(0.85,0.98)"),
        *("hydra/sweeper/sampler=random", "hydra/sweeper/pruner=none", "vec_env.threads=1"),
        *(f"hydra.sweeper.n_trials={args.trials}", f"total_timesteps={args.steps}"),
        *("evaluation.every=0", "evaluation.goals=100", *launcher),
    )


def report(done: dict[str, tuple[float, Any]], args: argparse.Namespace) -> None:
    """Write the figures; fails if trials differ or two workers take over 0.6 of the time."""
    trials = {
        name: [(row["params"], row["values"]) for row in found["results"]]
        for name, (_, found) in done.items()
    }
    first, second = trials.values()
    equal = first == second
    seconds = {name: round(spent, 1) for name, (spent, _) in done.items()}
    slow, quick = seconds.values()
    lines = [
        f"{args.trials} trials of {args.steps:,} steps, one core each, random sampler.",
        "",
        "| launcher | seconds |",
        "|---|---|",
        *(f"| {name} | {spent:.1f} |" for name, spent in seconds.items()),
        "",
        f"Two workers take {quick / slow:.2f} of the time, start-up included; the trials are "
        f"{'equal' if equal else 'not equal'}.",
    ]
    figures = {"trials": args.trials, "trial_steps": args.steps, "seconds": seconds}
    keep("parallel_sweep", figures | {"ratio": quick / slow, "equal": equal}, lines)
    if not equal or (quick / slow > 0.6 and not args.toy):
        raise SystemExit("the trials differ, or the second core brought too little")


if __name__ == "__main__":
    main()
