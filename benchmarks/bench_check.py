"""Whether training has become slower: python benchmarks/bench_check.py, or make bench-check.

Measures the ratios that do not depend on the machine (training beside bare mj_step, ours beside
stock PPO, the task beside physics), each as the median of five turns, and compares them with
those in benchmarks/performance.json. Ends with 1 if one of them is more than 15 % worse, with 2 if
there is nothing to compare with. Takes one to two minutes; let nothing else run meanwhile.
`python benchmarks/performance.py --what guard` measures the committed ones anew.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from performance_parts import Scale, clean_environment, guard

from reach_rl.rundir.atomic import read_json

STORE = Path(__file__).with_name("performance.json")
LOSS = 0.15
COSTS = ("task / physics",)
"""Ratios that had better be small; the others had better be large."""


def main() -> int:
    """Measure, compare and say so; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--committed", type=Path, default=STORE, help="figures to compare with")
    parser.add_argument("--measured", type=Path, help="ratios as JSON, in place of measuring them")
    parser.add_argument("--toy", action="store_true", help="the smallest sizes that still run")
    args = parser.parse_args()
    committed = read_json(args.committed).get("guard", {}).get("ratios", {})
    if not committed:
        print(
            f"bench-check: {args.committed} holds no ratios to compare with; measure them with "
            "python benchmarks/performance.py --what guard",
            file=sys.stderr,
        )
        return 2
    clean_environment()
    if args.measured is not None:
        measured = json.loads(args.measured.read_text())
    else:
        measured = guard(Scale(toy=args.toy))["ratios"]
    lines, failed = compare(committed, measured)
    print("\n".join(lines))
    if failed:
        print(f"bench-check: lost more than {LOSS:.0%}: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def compare(
    committed: Mapping[str, float], measured: Mapping[str, float]
) -> tuple[list[str], list[str]]:
    """A line for each ratio, and the names of those that are more than LOSS worse.

    A ratio that is committed and not measured is lost too.
    """
    lines = [f"{'':<26}{'committed':>11}{'measured':>11}{'loss':>9}"]
    failed = []
    for name, before in committed.items():
        if name not in measured:
            lines.append(f"{name:<26}{before:>11.3f}{'missing':>11}")
            failed.append(name)
            continue
        lost = loss(name, before, measured[name])
        lines.append(f"{name:<26}{before:>11.3f}{measured[name]:>11.3f}{lost:>+9.1%}")
        if not lost <= LOSS:  # of what is no number too
            failed.append(name)
    return lines, failed


def loss(name: str, before: float, now: float) -> float:
    """By what share a ratio became worse; below 0 where it became better."""
    return now / before - 1.0 if name in COSTS else 1.0 - now / before


if __name__ == "__main__":
    raise SystemExit(main())
