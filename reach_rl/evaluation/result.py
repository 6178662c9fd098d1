"""What an evaluation found: per goal in arrays, in figures for people, and in evaluation.npz."""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from reach_rl.evaluation.statistics import spread, wilson
from reach_rl.mdp.arrays import Array, Bools
from reach_rl.rundir.atomic import write_atomic

FILE = "evaluation.npz"
"""Its name in the folder of a run."""

_CONDITIONS = "conditions"
_MEASURED = "measured."
_LATER = ("share_at_torque_limit", "max_joint_acceleration")
"""Arrays that files of an earlier version lack."""

MOVING = 0.05
"""Norm of the joint speeds above which an arm has not come to rest (rad/s)."""

NEAR, FAR, LOW = 0.35, 0.8, 0.15
"""Bounds of the parts of the workspace, fractions of the reach."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under which an evaluation was made."""

    robot: str
    region: str
    seed: int
    reach: float
    """Reach of the arm (m)."""
    base: tuple[float, float, float]
    """Origin of the base frame in the world (m)."""
    position_threshold: float
    """m."""
    orientation_threshold: float
    """rad."""
    hold_time: float
    """s."""
    episode_time: float
    """s."""
    steps: int
    """Environment steps of an episode."""
    physics_steps: int
    """Physics steps of an episode."""
    start: str
    """Where episodes started: home or region."""
    physics_records: bool
    """Joints and contacts were watched at every physics step, not only at every control step."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One episode for each of m goals; arrays have one row per goal. NaN: there is no such value.

    Speeds, torque, joint range, path and jerk need the records of every physics step.
    """

    conditions: Conditions
    goal_position: Array
    """(m, 3) m in the base frame."""
    goal_quaternion: Array
    """(m, 4) w, x, y, z."""
    success: Bools
    """(m,) the hold was completed within the episode, and the physics stayed sound."""
    time_to_success: Array
    """(m,) from the start until the hold was completed (s); NaN without success."""
    position_error: Array
    """(m,) distance of the tool at the end (m)."""
    orientation_error: Array
    """(m,) angle of the tool at the end (rad)."""
    final_joint_speed: Array
    """(m,) largest norm of the joint speeds in the last control period (rad/s)."""
    self_collision: Bools
    """(m,) the arm touched itself at some time."""
    table_collision: Bools
    """(m,) the arm touched the table at some time."""
    physics_reset: Bools
    """(m,) the physics went bad."""
    action_rate: Array
    """(m,) mean over the control steps of |a - a_before|^2."""
    max_speed_of_limit: Array
    """(m,) largest joint speed as a fraction of its limit."""
    share_above_speed_limit: Array
    """(m,) share of the physics steps with a joint faster than its limit."""
    share_outside_joint_range: Array
    """(m,) share of the physics steps with a joint outside its range."""
    max_torque_of_limit: Array
    """(m,) largest torque of a drive, gravity compensation included, as a fraction of its limit."""
    share_at_torque_limit: Array
    """(m,) share of the physics steps in which a drive gave all its torque, or more."""
    max_joint_acceleration: Array
    """(m,) largest change of a joint's speed in a physics step, over that step (rad/s2)."""
    path_ratio: Array
    """(m,) length of the joints' path over that of the straight line between its ends."""
    jerk: Array
    """(m,) root mean square over the episode of the norm of the joint jerk (rad/s3)."""
    measured: Mapping[str, Array] = field(default_factory=dict)
    """Metric of an extension -> (m,) its mean over the steps of the episode."""

    def __len__(self) -> int:
        """How many goals there are."""
        return len(self.success)

    def summary(self, checkpoint: str | None = None) -> dict[str, Any]:
        """The public figures, plain JSON values; null where there is no value.

        Args:
            checkpoint: name of the checkpoint that was judged.
        """
        c = self.conditions
        return {
            **self.figures(),
            "thresholds": {
                "position_m": c.position_threshold,
                "orientation_rad": c.orientation_threshold,
                "hold_s": c.hold_time,
            },
            "seed": c.seed,
            "checkpoint": checkpoint,
            "robot": c.robot,
            "region": c.region,
            "start": c.start,
            "episode_s": c.episode_time,
            "physics_records": c.physics_records,
            "regions": self.by_region(),
            "worst": self.worst(10),
        }

    def figures(self, rows: Bools | slice = slice(None)) -> dict[str, Any]:
        """Success, precision, stillness and safety over some of the goals (all by default)."""
        success = self.success[rows]
        count, reached = len(success), int(success.sum())
        return {
            "goals": count,
            "success_rate": reached / count if count else None,
            "success_ci95": list(wilson(reached, count)),
            **{name: f.of(getattr(self, f.array)[rows]) for name, f in FIGURES.items()},
            **{name: _mean(values[rows]) for name, values in self.measured.items()},
        }

    def by_region(self) -> dict[str, dict[str, Any]]:
        """Part of the workspace -> figures of its goals; parts overlap, empty ones are left out.

        near: within 0.35 of the reach of the pan axis; far: beyond 0.8 of the reach of the base;
        low: less than 0.15 of the reach above the base; behind: x below 0; middle: none of these.
        """
        parts = self.parts()
        return {name: self.figures(rows) for name, rows in parts.items() if rows.any()}

    def parts(self) -> dict[str, Bools]:
        """Part of the workspace -> its goals, (m,) each; see by_region."""
        p = self.goal_position - np.asarray(self.conditions.base)
        reach = self.conditions.reach
        parts = {
            "near": np.hypot(p[:, 0], p[:, 1]) < NEAR * reach,
            "far": np.linalg.norm(p, axis=1) > FAR * reach,
            "low": p[:, 2] < LOW * reach,
            "behind": p[:, 0] < 0.0,
        }
        parts["middle"] = ~np.logical_or.reduce(list(parts.values()))
        return parts

    def worst(self, count: int = 10) -> list[dict[str, Any]]:
        """The goals that went worst: failures first, by the larger error over its threshold."""
        c = self.conditions
        badness = np.maximum(
            self.position_error / c.position_threshold,
            self.orientation_error / c.orientation_threshold,
        )
        order = np.lexsort((-badness, self.success))[:count]
        return [self.row(int(i)) for i in order]

    def row(self, index: int) -> dict[str, Any]:
        """One goal, plain JSON values."""
        return {
            "index": index,
            "goal_position_m": self.goal_position[index].tolist(),
            "goal_quaternion_wxyz": self.goal_quaternion[index].tolist(),
            "success": bool(self.success[index]),
            "position_error_mm": float(1e3 * self.position_error[index]),
            "orientation_error_deg": float(np.degrees(self.orientation_error[index])),
            "time_to_success_s": _number(self.time_to_success[index]),
            "final_joint_speed_rad_s": float(self.final_joint_speed[index]),
            "self_collision": bool(self.self_collision[index]),
            "table_collision": bool(self.table_collision[index]),
            "outcome": self.outcome(index),
        }

    def outcome(self, index: int) -> str:
        """What happened on the way to one goal, in words."""
        c = self.conditions
        if self.physics_reset[index]:
            return "its physics went bad"
        far = self.position_error[index] > c.position_threshold
        turned = self.orientation_error[index] > c.orientation_threshold
        short = ["too far away"] * bool(far) + ["turned too far"] * bool(turned)
        if self.success[index]:
            story = f"held after {self.time_to_success[index]:.2f} s"
            story += ", then left" if short else ""
        elif short:
            moving = self.final_joint_speed[index] > MOVING
            story = ("still moving, " if moving else "stopped ") + " and ".join(short)
        else:
            story = "there at the end, not held"
        hits = {"itself": self.self_collision[index], "the table": self.table_collision[index]}
        touched = " and ".join(what for what, hit in hits.items() if hit)
        return story + (f"; touched {touched}" if touched else "")


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _mean(values: np.ndarray) -> float | None:
    return _number(values.mean()) if len(values) else None


def _max(values: np.ndarray) -> float | None:
    return _number(values.max()) if len(values) else None


class EpisodeFigure(NamedTuple):
    """How a public figure is taken of an array of the evaluation."""

    array: str
    of: Callable[[np.ndarray], Any]
    recorded: bool = False
    """It needs the records of every physics step."""


FIGURES: dict[str, EpisodeFigure] = {
    "position_error_mm": EpisodeFigure("position_error", lambda m: spread(1e3 * m)),
    "orientation_error_deg": EpisodeFigure("orientation_error", lambda r: spread(np.degrees(r))),
    "time_to_success_s": EpisodeFigure("time_to_success", spread),
    "final_joint_speed_rad_s": EpisodeFigure("final_joint_speed", spread),
    "self_collision_rate": EpisodeFigure("self_collision", _mean),
    "table_collision_rate": EpisodeFigure("table_collision", _mean),
    "physics_reset_rate": EpisodeFigure("physics_reset", _mean),
    "max_joint_speed_of_limit": EpisodeFigure("max_speed_of_limit", _max, True),
    "share_above_speed_limit": EpisodeFigure("share_above_speed_limit", _mean, True),
    "share_outside_joint_range": EpisodeFigure("share_outside_joint_range", _mean, True),
    "max_torque_of_limit": EpisodeFigure("max_torque_of_limit", _max, True),
    "share_at_torque_limit": EpisodeFigure("share_at_torque_limit", _mean, True),
    "max_joint_acceleration_rad_s2": EpisodeFigure("max_joint_acceleration", _max, True),
    "action_rate": EpisodeFigure("action_rate", spread),
    "path_ratio": EpisodeFigure("path_ratio", spread, True),
    "jerk_rad_s3": EpisodeFigure("jerk", spread, True),
}
"""The public figures beside success."""


COMPARED = (
    "success_rate", "success_ci95", "position_error_mm", "orientation_error_deg",
    "time_to_success_s", "self_collision_rate", "table_collision_rate",
)  # fmt: skip
"""The figures that a short account of an evaluation tells, beside the number of goals."""


def joined(parts: list[Evaluation]) -> Evaluation:
    """Evaluations under the same conditions as one."""
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _names()}
    names = parts[0].measured
    measured = {name: np.concatenate([part.measured[name] for part in parts]) for name in names}
    return Evaluation(conditions=parts[0].conditions, measured=measured, **arrays)


def save(path: Path, evaluation: Evaluation) -> None:
    """Write every array of an evaluation, and its conditions as JSON, in one step.

    Numbers are stored with 32 bits: 1000 goals take some 100 kB.
    """
    arrays: dict[str, Any] = {name: _small(getattr(evaluation, name)) for name in _names()}
    arrays |= {_MEASURED + name: _small(values) for name, values in evaluation.measured.items()}
    arrays[_CONDITIONS] = np.array(json.dumps(asdict(evaluation.conditions)))
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_atomic(path, content.getvalue())


def load(path: Path) -> Evaluation:
    """Read an evaluation.

    Raises:
        OSError: there is no such file.
        ValueError: it is not a whole evaluation.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: dict[str, Any] = dict(file)
            conditions = json.loads(str(arrays.pop(_CONDITIONS)))
        unknown = np.full(len(arrays["success"]), np.nan, np.float32)
        arrays = dict.fromkeys(_LATER, unknown) | arrays
        if len({len(array) for array in arrays.values()}) != 1:
            raise ValueError("arrays of different lengths")
        own = {k.removeprefix(_MEASURED): v for k, v in arrays.items() if k.startswith(_MEASURED)}
        arrays = {name: arrays[name] for name in _names()}
        conditions["base"] = tuple(conditions["base"])
        return Evaluation(conditions=Conditions(**conditions), measured=own, **arrays)
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{path}: not a whole evaluation ({error})") from error


def _names() -> list[str]:
    return [f.name for f in fields(Evaluation) if f.name not in (_CONDITIONS, "measured")]


def _small(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype.kind == "f" else array
