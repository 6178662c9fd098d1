"""Means over the goals and episodes that finished lately."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from reach_rl.envs.statistics import MOTION, Finished

_MEANS = ("ep_rew_mean", "ep_len_mean", "goals_per_episode")
_MEANS += ("self_collision_rate", "table_collision_rate")
_HEAD = len(_MEANS) + 1
_SHARES = (0.5, 0.95)


class Rows:
    """The last rows of numbers, in one array that is written round and round."""

    def __init__(self, size: int, width: int) -> None:
        """Keep the last `size` rows of `width` numbers."""
        self._ring = np.zeros((size, width))
        self._count = 0

    def __len__(self) -> int:
        """How many there are."""
        return min(self._count, len(self._ring))

    def extend(self, rows: Sequence[Sequence[float]]) -> None:
        """Take in rows, the newest last. Raises ValueError: of another width."""
        newest = rows[-len(self._ring) :]
        if not newest:
            return
        places = np.arange(len(newest)) + self._count
        self._ring[places % len(self._ring)] = newest
        self._count += len(newest)

    def array(self) -> np.ndarray:
        """The rows, the newest last; sums over them do not depend on where the ring began."""
        begin = self._count % len(self._ring)
        if self._count <= len(self._ring):
            return self._ring[: self._count]
        return np.concatenate((self._ring[begin:], self._ring[:begin]))


class Window:
    """The last goals and episodes, and what they say."""

    def __init__(self, size: int, terms: Sequence[str]) -> None:
        """Keep the last `size` goals and the last `size` episodes."""
        self.terms = tuple(terms)
        self.goals = Rows(size, 4)
        """Per goal: reached, distance (m), angle (rad), time until it was reached (s)."""
        self.episodes = Rows(size, _HEAD + len(MOTION) + len(self.terms))
        """Per episode: return, length, goals, self collision, table collision, fastest joint as a
        fraction of its limit, the sums of MOTION, terms."""
        self.physics_resets = 0

    def add(self, batches: Iterable[Finished]) -> None:
        """Take in what finished."""
        goals: list[tuple[float, ...]] = []
        episodes: list[tuple[float, ...]] = []
        for f in batches:
            self.physics_resets += f.physics_resets
            goals += zip(f.reached, f.distance, f.angle, f.seconds, strict=True)
            for *numbers, motion, shares in zip(
                f.returns,
                f.lengths,
                f.goals,
                f.self_collided,
                f.table_collided,
                f.peak_speed,
                f.motion,
                f.shares,
                strict=True,
            ):
                episodes.append((*numbers, *motion.tolist(), *shares.tolist()))
        self.goals.extend(goals)
        self.episodes.extend(episodes)

    def metrics(self) -> dict[str, float]:
        """Means under rollout/ and reward/; nothing that has no sample yet."""
        out: dict[str, float] = {"health/physics_resets": self.physics_resets}
        if len(self.goals):
            out |= _of_goals(self.goals.array())
        if len(self.episodes):
            rows = self.episodes.array()
            sums: list[float] = rows.sum(axis=0).tolist()
            means = [total / len(rows) for total in sums]
            out |= {f"rollout/{n}": v for n, v in zip(_MEANS, means, strict=False)}
            terms = zip(self.terms, means[_HEAD + len(MOTION) :], strict=True)
            out |= {f"reward/{name}": value for name, value in terms}
            out["health/joint_speed_of_limit"] = float(rows[:, _HEAD - 1].max())
            out |= _of_motion(sums[_HEAD : _HEAD + len(MOTION)], sums[1])
        return out

    def state(self) -> dict[str, object]:
        """Plain JSON values."""
        return {
            "goals": self.goals.array().tolist(),
            "episodes": self.episodes.array().tolist(),
            "physics_resets": self.physics_resets,
        }

    def load(self, state: dict[str, object]) -> None:
        """Go on from a state."""
        self.goals.extend(state["goals"])  # type: ignore[arg-type]
        self.episodes.extend(state["episodes"])  # type: ignore[arg-type]
        self.physics_resets = int(state["physics_resets"])  # type: ignore[call-overload]


def _of_goals(rows: np.ndarray) -> dict[str, float]:
    """Success, final errors and time to success of finished goals, (k, 4)."""
    reached, distance, angle, seconds = rows.T
    position, position_p95 = _quantiles(distance, _SHARES)
    turn, turn_p95 = _quantiles(angle, _SHARES)
    successes = np.count_nonzero(reached)
    out = {
        "success_rate": successes / len(rows),
        "position_error_mm": 1e3 * position,
        "position_error_mm_p95": 1e3 * position_p95,
        "orientation_error_deg": math.degrees(turn),
        "orientation_error_deg_p95": math.degrees(turn_p95),
    }
    if successes:
        out["time_to_success_s"] = _quantiles(seconds[reached > 0], (0.5,))[0]
    return {f"rollout/{name}": value for name, value in out.items()}


def _quantiles(numbers: np.ndarray, shares: Sequence[float]) -> list[float]:
    """Quantiles of some numbers, (k,), interpolated as np.quantile does, which takes its time."""
    ordered = np.sort(numbers)
    if math.isnan(ordered[-1]):
        return [math.nan] * len(shares)
    out: list[float] = []
    for share in shares:
        part, below = math.modf(share * (len(ordered) - 1))
        low = float(ordered[int(below)])
        high = float(ordered[min(int(below) + 1, len(ordered) - 1)])
        out.append(low + part * (high - low))
    return out


def _of_motion(sums: Sequence[float], steps: float) -> dict[str, float]:
    """Means over the steps of finished episodes, from their sums of MOTION."""
    total = dict(zip(MOTION, sums, strict=True))
    inside = total["goal_steps"]
    out = {name: total[name] / steps for name in ("tool_speed", "action_rate")}
    out["action_saturation"] = total["saturation"] / steps
    out["jerk"] = math.sqrt(total["jerk"] / steps)
    out["goal_share"] = inside / steps
    if inside:
        out |= {n: total[n] / inside for n in ("goal_joint_speed", "goal_action_rate")}
    return {f"rollout/{name}": value for name, value in out.items()}
