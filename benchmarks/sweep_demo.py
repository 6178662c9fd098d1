"""A search from a poor start, and what it is worth: python benchmarks/sweep_demo.py.

Twenty short trials search the keys of PPO that the start has wrong. Then the start and the best
trial's preset are trained at full length with the same fresh seeds; the difference of their
success rates has Welch's 95 % interval. Writes benchmarks/sweep_demo.json and .md. About eleven
minutes on two cores; --toy tries the script itself in a minute or two.
"""

import argparse
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import Any

from sweeping import keep, python_path, sweep, train

from reach_rl.evaluation.statistics import CONFIDENCE, mean_interval
from reach_rl.sweeps import launchers

START = {
    "ppo.learning_rate": "5e-5",
    "ppo.gamma": "0.995",
    "ppo.n_epochs": "1",
    "ppo.clip_range": "0.05",
}
SPACE = {
    "ppo.learning_rate": "tag(log,interval(3e-5,1e-2))",
    "ppo.gamma": "interval(0.85,0.995)",
    "ppo.n_epochs": "int(interval(1,8))",
    "ppo.clip_range": "interval(0.05,0.4)",
}


def main() -> None:
    """Search, train both at full length, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--short", type=int, default=120_000, help="steps of a trial")
    parser.add_argument("--full", type=int, default=400_000, help="steps of a full run")
    parser.add_argument("--seeds", type=int, default=5, help="full runs of each")
    parser.add_argument("--toy", action="store_true", help="the smallest sizes that still run")
    args = parser.parse_args()
    if args.toy:
        args.trials, args.short, args.full, args.seeds = 4, 12_288, 18_432, 2
    python_path()
    with tempfile.TemporaryDirectory() as scratch:
        compare(Path(scratch), args)


def compare(scratch: Path, args: argparse.Namespace) -> None:
    """The whole experiment in a folder."""
    workers = launchers.cores()
    minutes, found = sweep(
        scratch / "sweep",
        *(f"{key}={values}" for key, values in SPACE.items()),
        *("sweep=search", "hydra.sweeper.study_name=demo", "hydra.sweeper.confirm_seeds=0"),
        *("hydra/launcher=joblib", f"hydra.launcher.n_jobs={workers}"),
        *(f"hydra.sweeper.n_trials={args.trials}", f"total_timesteps={args.short}"),
        *(f"evaluation.every={args.short // 4}", "evaluation.periodic_goals=48"),
        "evaluation.goals=300",
    )
    best = found["best"]
    chosen = {key: str(best["params"][key]) for key in SPACE}
    seeds = range(100, 100 + args.seeds)
    jobs = [(name, seed) for seed in seeds for name in ("start", "tuned")]
    with ThreadPoolExecutor(workers) as pool:
        run = {"start": START, "tuned": chosen}
        done = pool.map(lambda job: full(scratch, job, run[job[0]], args.full), jobs)
        rates = dict(zip(jobs, done, strict=True))
    start, tuned = ([rates[name, seed] for seed in seeds] for name in ("start", "tuned"))
    report(args, minutes, found, chosen, start, tuned)


def full(scratch: Path, job: tuple[str, int], keys: dict[str, str], steps: int) -> float:
    """Success rate of one run at full length."""
    name, seed = job
    folder = scratch / f"{name}_{seed}"
    train(
        *(f"{key}={value}" for key, value in keys.items()),
        *(f"seed={seed}", f"run_dir={folder}", f"total_timesteps={steps}"),
        *("vec_env.threads=1", "evaluation.every=0"),
    )
    return json.loads((folder / "summary.json").read_text())["evaluation"]["success_rate"]


def welch(first: list[float], second: list[float]) -> tuple[float, float, float]:
    """Mean of a second sample minus that of a first, with Welch's interval (Biometrika 34, 28)."""
    difference = fmean(second) - fmean(first)
    from scipy.stats import ttest_ind

    ends = ttest_ind(second, first, equal_var=False).confidence_interval(CONFIDENCE)
    return difference, float(ends.low), float(ends.high)


def report(
    args: argparse.Namespace,
    seconds: float,
    found: dict[str, Any],
    chosen: dict[str, str],
    start: list[float],
    tuned: list[float],
) -> None:
    """Write the figures; fails if the interval reaches zero."""
    gain, low, high = welch(start, tuned)
    rows = [f"| {key} | {START[key]} | {float(chosen[key]):.4g} | {SPACE[key]} |" for key in SPACE]
    means = [mean_interval(values) for values in (start, tuned)]
    told = [f"{100 * m:.1f} % ({100 * a:.1f} to {100 * b:.1f})" for m, a, b in means]
    lines = [
        f"{args.trials} trials of {args.short:,} steps in {seconds / 60:.1f} min "
        f"({found['trials']}), then {args.seeds} runs of {args.full:,} steps each.",
        "",
        "| key | start | found | searched |",
        "|---|---|---|---|",
        *rows,
        f"| success on 1000 held-out goals | {told[0]} | {told[1]} | |",
        "",
        f"The gain is {100 * gain:.1f} points, 95 % interval {100 * low:.1f} to "
        f"{100 * high:.1f} (Welch, {args.seeds} seeds each).",
    ]
    figures = {
        "trials": args.trials,
        "trial_steps": args.short,
        "full_steps": args.full,
        "sweep_seconds": round(seconds, 1),
        "states": found["trials"],
        "start": {"params": START, "success": start},
        "tuned": {"params": chosen, "success": tuned},
        "gain": {"value": gain, "low": low, "high": high},
    }
    keep("sweep_demo", figures, lines)
    if low <= 0.0 and not args.toy:
        raise SystemExit("the interval of the gain reaches zero")


if __name__ == "__main__":
    main()
