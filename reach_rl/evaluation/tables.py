"""Tables of one evaluation: how the arm moved, where it is weak, and what went wrong."""

from collections.abc import Mapping
from typing import Any

from rich.box import Box
from rich.table import Table

PLAIN = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
"""A rule of dashes below the header and nothing else, so that piped text stays text."""


def motion(summary: Mapping[str, Any]) -> Table:
    """Speeds, torques and smoothness over all episodes."""
    table = _table("motion", ("", "highest"))
    for subject, key, digits in (
        ("joint speed", "max_joint_speed_of_limit", "{:.0%} of its limit"),
        ("drive torque, gravity included", "max_torque_of_limit", "{:.0%} of its limit"),
        ("physics steps above a speed limit", "share_above_speed_limit", "{:.3%}"),
        ("physics steps outside a joint range", "share_outside_joint_range", "{:.3%}"),
        ("episodes whose physics went bad", "physics_reset_rate", "{:.1%}"),
    ):
        value = summary.get(key)
        if value is not None and (value or key != "physics_reset_rate"):
            table.add_row(subject, digits.format(value))
    for subject, key, unit in (
        ("action rate*", "action_rate", ""),
        ("joint path, of the straight one*", "path_ratio", ""),
        ("joint jerk*", "jerk_rad_s3", " rad/s3"),
    ):
        pair = summary[key]
        if pair["median"] is not None:
            table.add_row(subject, f"{pair['median']:.3g} / {pair['p95']:.3g}{unit}")
    return table


def by_region(summary: Mapping[str, Any]) -> Table:
    """Success and precision by part of the workspace."""
    table = _table("goals by part", ("part", "goals", "success", "position*", "orientation*"))
    for name, part in summary["regions"].items():
        position, angle = part["position_error_mm"], part["orientation_error_deg"]
        table.add_row(
            name,
            f"{part['goals']:,}",
            f"{part['success_rate']:.1%}",
            f"{position['median']:.3g} / {position['p95']:.3g} mm",
            f"{angle['median']:.2g} / {angle['p95']:.2g} deg",
        )
    return table


def failures(summary: Mapping[str, Any], most: int = 5) -> Table | None:
    """The goals that failed worst; None if none did."""
    failed = [goal for goal in summary["worst"] if not goal["success"]][:most]
    if not failed:
        return None
    table = _table("worst goals", ("goal", "at x, y, z", "position", "orientation", "touched"))
    for goal in failed:
        touched = [name for name in ("self", "table") if goal[f"{name}_collision"]]
        table.add_row(
            f"{goal['index']}",
            ", ".join(f"{value:.2f}" for value in goal["goal_position_m"]) + " m",
            f"{goal['position_error_mm']:.3g} mm",
            f"{goal['orientation_error_deg']:.2g} deg",
            " and ".join(touched) or "-",
        )
    return table


def _table(title: str, columns: tuple[str, ...]) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=PLAIN,
        show_edge=False,
        pad_edge=False,
        header_style="dim",
    )
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left")
    return table
