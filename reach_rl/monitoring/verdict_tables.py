"""Tables of one evaluation: how the arm moved, where it is weak, and what went wrong."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from reach_rl.monitoring.tables import PLAIN


def motion(columns: Mapping[str, Mapping[str, Any]]) -> Table:
    """Speeds, torques and smoothness over all episodes; label -> summary, a column each."""
    table = _table("motion", ("", *columns))
    for subject, key, form in (
        ("highest joint speed", "max_joint_speed_of_limit", "{:.0%} of its limit"),
        ("highest drive torque", "max_torque_of_limit", "{:.0%} of its limit"),
        ("steps above a speed limit", "share_above_speed_limit", "{:.3%}"),
        ("steps outside a joint range", "share_outside_joint_range", "{:.3%}"),
        ("steps at a torque limit", "share_at_torque_limit", "{:.3%}"),
        ("highest joint acceleration", "max_joint_acceleration_rad_s2", "{:.0f} rad/s2"),
        ("episodes with bad physics", "physics_reset_rate", "{:.1%}"),
    ):
        values = [summary.get(key) for summary in columns.values()]
        if any(value or (value == 0 and key != "physics_reset_rate") for value in values):
            cells = ["-" if value is None else form.format(value) for value in values]
            table.add_row(subject, *cells)
    for subject, key, unit in (
        ("action rate*", "action_rate", ""),
        ("joint path / straight*", "path_ratio", ""),
        ("joint jerk*", "jerk_rad_s3", " rad/s3"),
    ):
        pairs = [summary[key] for summary in columns.values()]
        if any(pair["median"] is not None for pair in pairs):
            table.add_row(subject, *(_pair(pair, 3, unit) for pair in pairs))
    return table


def by_region(summary: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> Table:
    """Success and precision by part of the workspace, and the success of others there."""
    names = ("part", "goals", "success", "position*", "orientation*", *others)
    table = _table("goals by part", names)
    for name, part in summary["regions"].items():
        table.add_row(
            name,
            f"{part['goals']:,}",
            f"{part['success_rate']:.1%}",
            _pair(part["position_error_mm"], 3, " mm"),
            _pair(part["orientation_error_deg"], 2, " deg"),
            *(f"{other['regions'][name]['success_rate']:.1%}" for other in others.values()),
        )
    return table


def worst_goals(summary: Mapping[str, Any], most: int = 5) -> Table:
    """The goals that went worst: where, how turned, the errors and what happened."""
    names = ("goal", "x, y, z (m)", "rotation vector", "final error", "what happened")
    table = _table("worst goals", names)
    for column in table.columns[:-1]:
        column.no_wrap = True
    table.columns[-1].justify = "left"
    for goal in summary["worst"][:most]:
        table.add_row(
            f"{goal['index']}",
            " ".join(f"{value:5.2f}" for value in goal["goal_position_m"]),
            " ".join(f"{value:5.2f}" for value in rotation_vector(goal["goal_quaternion_wxyz"])),
            f"{goal['position_error_mm']:.3g} mm, {goal['orientation_error_deg']:.2g} deg",
            goal["outcome"],
        )
    return table


def robustness_table(found: Mapping[str, Any]) -> Table:
    """Success below every value of every factor; nominal in brackets."""
    table = _table("robustness, one change at a time", ("factor", "value, and success with it"))
    table.columns[1].justify = "left"
    table.columns[1].no_wrap = True
    for factor in found.values():
        columns = []
        for point in factor["points"]:
            value = f"{point['value']:.3g}"
            value = f"[{value}]" if point["value"] == factor["nominal"] else value
            columns.append((value, f"{point['success_rate']:.0%}"))
        lines = [
            "".join(
                text.rjust(max(map(len, column)) + 2)
                for text, column in zip(row, columns, strict=True)
            )
            for row in zip(*columns, strict=True)
        ]
        table.add_row(f"{factor['title']}\n({factor['unit']})", Text("\n".join(lines)))
    return table


def rotation_vector(quaternion: Sequence[float]) -> list[float]:
    """Axis times angle of a unit quaternion w, x, y, z, at most pi long (rad)."""
    w, *vector = quaternion
    sine = math.sqrt(sum(value * value for value in vector))
    if sine < 1e-9:
        return [0.0, 0.0, 0.0]
    angle = 2.0 * math.atan2(sine, abs(w))
    return [math.copysign(angle, w) * value / sine for value in vector]


def _pair(pair: Mapping[str, float | None], digits: int, unit: str) -> str:
    if pair["median"] is None:
        return "-"
    return f"{pair['median']:.{digits}g} / {pair['p95']:.{digits}g}{unit}"


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
