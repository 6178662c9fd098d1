"""Means over the goals and episodes that finished lately."""

from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np

from reach_rl.envs.statistics import MOTION, Finished

_MEANS = ("ep_rew_mean", "ep_len_mean", "goals_per_episode")
_MEANS += ("self_collision_rate", "table_collision_rate")
_HEAD = len(_MEANS) + 1


class Window:
    """The last goals and episodes, and what they say."""

    def __init__(self, size: int, terms: Sequence[str]) -> None:
        """Keep the last `size` goals and the last `size` episodes."""
        self.terms = tuple(terms)
        self.goals: deque[tuple[float, float, float, float]] = deque(maxlen=size)
        """Per goal: reached, distance (m), angle (rad), time until it was reached (s)."""
        self.episodes: deque[tuple[float, ...]] = deque(maxlen=size)
        """Per episode: return, length, goals, self collision, table collision, fastest joint as a
        fraction of its limit, the sums of MOTION, terms."""
        self.physics_resets = 0

    def add(self, batches: Iterable[Finished]) -> None:
        """Take in what finished."""
        for f in batches:
            self.physics_resets += f.physics_resets
            reached = [float(r) for r in f.reached]
            self.goals.extend(zip(reached, f.distance, f.angle, f.seconds, strict=True))
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
                self.episodes.append((*map(float, numbers), *motion.tolist(), *shares.tolist()))

    def metrics(self) -> dict[str, float]:
        """Means under rollout/ and reward/; nothing that has no sample yet."""
        out: dict[str, float] = {"health/physics_resets": self.physics_resets}
        if self.goals:
            out |= _of_goals(np.array(self.goals))
        if self.episodes:
            rows = np.array(self.episodes)
            means = rows.mean(axis=0).tolist()
            out |= {f"rollout/{n}": v for n, v in zip(_MEANS, means, strict=False)}
            terms = zip(self.terms, means[_HEAD + len(MOTION) :], strict=True)
            out |= {f"reward/{name}": value for name, value in terms}
            out["health/joint_speed_of_limit"] = float(rows[:, _HEAD - 1].max())
            out |= _of_motion(rows[:, _HEAD : _HEAD + len(MOTION)], rows[:, 1])
        return out

    def state(self) -> dict[str, object]:
        """Plain JSON values."""
        return {
            "goals": [list(g) for g in self.goals],
            "episodes": [list(e) for e in self.episodes],
            "physics_resets": self.physics_resets,
        }

    def load(self, state: dict[str, object]) -> None:
        """Go on from a state."""
        self.goals.extend(tuple(g) for g in state["goals"])  # type: ignore[attr-defined]
        self.episodes.extend(tuple(e) for e in state["episodes"])  # type: ignore[attr-defined]
        self.physics_resets = int(state["physics_resets"])  # type: ignore[call-overload]


def _of_goals(rows: np.ndarray) -> dict[str, float]:
    """Success, final errors and time to success of finished goals, (k, 4)."""
    reached, distance, angle, seconds = rows.T
    position, position_p95 = np.percentile(1e3 * distance, (50, 95)).tolist()
    turn, turn_p95 = np.degrees(np.percentile(angle, (50, 95))).tolist()
    out = {
        "success_rate": float(reached.mean()),
        "position_error_mm": position,
        "position_error_mm_p95": position_p95,
        "orientation_error_deg": turn,
        "orientation_error_deg_p95": turn_p95,
    }
    if reached.any():
        out["time_to_success_s"] = float(np.median(seconds[reached > 0]))
    return {f"rollout/{name}": value for name, value in out.items()}


def _of_motion(sums: np.ndarray, lengths: np.ndarray) -> dict[str, float]:
    """Means over the steps of finished episodes, (k, 7) and (k,)."""
    total = dict(zip(MOTION, sums.sum(axis=0).tolist(), strict=True))
    steps, inside = float(lengths.sum()), total["goal_steps"]
    out = {name: total[name] / steps for name in ("tool_speed", "action_rate")}
    out["action_saturation"] = total["saturation"] / steps
    out["jerk"] = float(np.sqrt(total["jerk"] / steps))
    out["goal_share"] = inside / steps
    if inside:
        out |= {n: total[n] / inside for n in ("goal_joint_speed", "goal_action_rate")}
    return {f"rollout/{name}": value for name, value in out.items()}
