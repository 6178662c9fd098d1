"""What pruning saves when half of the trials are hopeless: python benchmarks/pruning.py.

One grid of learning rates, half of them far too small, is searched twice: every trial to its end,
and with the median pruner. Writes benchmarks/pruning.json and .md: environment steps of both, and
that the best trial is the same. About four minutes on two cores; --toy tries the script itself.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from sweeping import keep, python_path, sweep

GOOD = ("5e-4", "1e-3", "1.5e-3", "2e-3", "3e-3")
HOPELESS = ("1e-7", "2e-7", "5e-7", "1e-6", "2e-6")


def main() -> None:
    """Search with and without pruning, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=150_000, help="steps of a whole trial")
    parser.add_argument("--toy", action="store_true", help="the smallest sizes that still run")
    args = parser.parse_args()
    python_path()
    steps = 24_576 if args.toy else args.steps
    rates = (GOOD[1:3], HOPELESS[1:3]) if args.toy else (GOOD, HOPELESS)
    with tempfile.TemporaryDirectory() as scratch:
        found = {
            name: search(Path(scratch) / name, name, steps, [*rates[0], *rates[1]])
            for name in ("none", "median")
        }
    report(found, steps, bool(args.toy))


def search(folder: Path, pruner: str, steps: int, rates: list[str]) -> dict[str, Any]:
    """The results of one search."""
    median = "hydra.sweeper.pruner"
    own = [f"{median}.n_startup_trials=2", f"{median}.n_warmup_steps=1"]
    startup = own if pruner == "median" else []
    _, found = sweep(
        folder,
        *("sweep=search", f"hydra.sweeper.study_name={pruner}", "hydra.sweeper.confirm_seeds=0"),
        *(f"ppo.learning_rate={','.join(rates)}", f"hydra.sweeper.n_trials={len(rates)}"),
        *("hydra/sweeper/sampler=grid", f"hydra/sweeper/pruner={pruner}", *startup),
        *(f"total_timesteps={steps}", f"evaluation.every={steps // 6}", "evaluation.goals=200"),
        "evaluation.periodic_goals=48",
    )
    return found


def report(found: dict[str, dict[str, Any]], steps: int, toy: bool) -> None:
    """Write the figures; fails if pruning saved nothing or lost the best trial."""
    best = {name: result["best"]["params"]["ppo.learning_rate"] for name, result in found.items()}
    used = {name: result["env_steps"] for name, result in found.items()}
    saved = 1.0 - used["median"] / used["none"]
    lines = [
        f"{len(found['none']['results'])} trials of {steps:,} steps, half of them hopeless.",
        "",
        "| pruner | environment steps | complete | pruned | best learning rate | its value |",
        "|---|---|---|---|---|---|",
    ]
    for name, result in found.items():
        states = result["trials"]
        value = next(iter(result["best"]["values"].values()))
        lines.append(
            f"| {name} | {used[name]:,} | {states.get('complete', 0)} | {states.get('pruned', 0)} "
            f"| {best[name]:g} | {value:.4f} |"
        )
    lines += ["", f"Pruning saved {100 * saved:.0f} % of the environment steps."]
    figures = {"trial_steps": steps, "env_steps": used, "best": best, "saved": saved}
    keep("pruning", figures, lines)
    if not toy and (saved <= 0.0 or best["none"] != best["median"]):
        raise SystemExit("pruning saved nothing, or lost the best trial")


if __name__ == "__main__":
    main()
