"""Writes docs/metrics.md, the reference of every metric and warning; make docs calls it.

python -m reach_rl.cli.reference_metrics [--check]
"""

from collections.abc import Iterable, Sequence
from typing import Any

from reach_rl.cli.reference import keep
from reach_rl.extend import entries

MODULE = "reach_rl.cli.reference_metrics"
HEAD = """# Every metric and every warning

Generated from `reach_rl/monitoring` by `make docs`; do not edit. [monitoring.md](monitoring.md)
is the guide. Every metric is recorded at `global_step`, the environment steps of all environments
together so far.
"""
SECTIONS = {
    "rollout/": "Training: the last goals and episodes, `ppo.stats_window_size` of them",
    "eval/": "Periodic evaluations, on goals of their own, acting as configured by `evaluation`",
    "final/": "The verdict",
    "train/": "PPO: the last rollout and its update",
    "std/": "Exploration, per joint",
    "reward/": "Reward terms",
    "curriculum/": "Curriculum",
    "observation/": "Observation terms",
    "normalizer/": "Observations and the normaliser",
    "time/": "Time",
    "health/": "Health",
}
_ARROWS = {"up": "higher", "down": "lower", "neither": ""}


def page() -> str:
    """The whole reference as Markdown."""
    parts = [HEAD]
    for prefix, title in SECTIONS.items():
        found = [m for name, m in entries("metric").items() if name.startswith(prefix)]
        found += [m for name, m in entries("metric_family").items() if name == prefix]
        parts += [f"## {title}", "", *_table(found), ""]
    parts += [
        "## Warnings",
        "",
        "What `health.stop_on` may name. A sign must last; see the guide.",
        "",
    ]
    parts += ["| name | title | when |", "|---|---|---|"]
    for name, check in entries("health_check").items():
        meaning = " ".join((check.look.__doc__ or "").split())
        parts.append(f"| `{name}` | {check.title} | {meaning} |")
    return "\n".join(parts).rstrip() + "\n"


def _table(metrics: Iterable[Any]) -> list[str]:
    rows = ["| name | unit | healthy | better | meaning |", "|---|---|---|---|---|"]
    for m in metrics:
        name = f"{m.name}NAME" if m.name.endswith("/") else m.name
        name = "final/REGION/NAME" if m.name == "final/" else name
        healthy = "" if m.healthy is None else f"{m.healthy[0]:g} to {m.healthy[1]:g}"
        rows.append(f"| `{name}` | {m.unit} | {healthy} | {_ARROWS[m.better]} | {m.meaning} |")
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Write or check docs/metrics.md; returns the exit code."""
    return keep("metrics.md", page(), MODULE, argv)


if __name__ == "__main__":
    raise SystemExit(main())
