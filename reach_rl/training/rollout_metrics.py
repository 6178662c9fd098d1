"""What a rollout and its update say: means over what finished lately, and the learner's arrays."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecNormalize

from reach_rl.envs.episodes import EPISODE, GOAL, INSIDE, MOTION, Finished
from reach_rl.extend import PER_EPISODE
from reach_rl.learning.ppo import FastPPO

_MEANS = ("ep_rew_mean", "ep_len_mean", "goals_per_episode")
_MEANS += ("self_collision_rate", "table_collision_rate")
_HEAD = len(EPISODE)
_SHARES = (0.5, 0.95)
_CACHED = 2**16
"""Numbers that a core has at hand."""


class Window:
    """The last goals and episodes, and what they say."""

    def __init__(self, size: int, terms: Sequence[str], metrics: Sequence[str] = ()) -> None:
        """Keep the last `size` goals and the last `size` episodes, and metrics of extensions."""
        self.terms, self.size, self.own = tuple(terms), size, tuple(metrics)
        self.goals = np.zeros((0, len(GOAL)))
        self.episodes = np.zeros((0, _HEAD + len(MOTION) + len(self.terms)))
        self.measured = np.zeros((0, 1 + len(self.own)))
        self.physics_resets = 0

    def add(self, finished: Finished) -> None:
        """Take in what finished."""
        self.physics_resets += finished.physics_resets
        self.goals = np.concatenate((self.goals, finished.goals))[-self.size :]
        episodes, measured = np.split(finished.episodes, [self.episodes.shape[1]], axis=1)
        self.episodes = np.concatenate((self.episodes, episodes))[-self.size :]
        measured = np.concatenate((episodes[:, 1:2], measured), axis=1)
        self.measured = np.concatenate((self.measured, measured))[-self.size :]

    def metrics(self) -> dict[str, float]:
        """Means under rollout/ and reward/; nothing that has no sample yet."""
        out: dict[str, float] = {"health/physics_resets": self.physics_resets}
        if len(self.goals):
            out |= _of_goals(self.goals)
        if len(self.episodes):
            rows = self.episodes
            sums: list[float] = rows.sum(axis=0).tolist()
            means = [total / len(rows) for total in sums]
            out |= {f"rollout/{n}": v for n, v in zip(_MEANS, means, strict=False)}
            terms = zip(self.terms, means[_HEAD + len(MOTION) :], strict=True)
            out |= {f"reward/{name}": value for name, value in terms}
            out["health/joint_speed_of_limit"] = float(rows[:, _HEAD - 1].max())
            out |= _of_motion(sums[_HEAD : _HEAD + len(MOTION)], sums[1])
        if len(self.measured):
            steps, *totals = self.measured.sum(axis=0).tolist()
            out |= {PER_EPISODE + k: v / steps for k, v in zip(self.own, totals, strict=True)}
        return out

    def state(self) -> dict[str, object]:
        """Plain JSON values."""
        return {
            "goals": self.goals.tolist(),
            "episodes": self.episodes.tolist(),
            "physics_resets": self.physics_resets,
            **({"measured": [self.own, self.measured.tolist()]} if self.own else {}),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state. Raises ValueError: it is of other terms."""
        for name in ("goals", "episodes"):
            rows = np.array(state[name][-self.size :], float)
            setattr(self, name, rows.reshape(len(rows), getattr(self, name).shape[1]))
        self.physics_resets = int(state["physics_resets"])
        names, measured = state.get("measured", ((), []))
        if tuple(names) == self.own and measured:
            self.measured = np.array(measured[-self.size :], float)


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
        ordered[:] = math.nan
    places = np.multiply(shares, len(ordered) - 1)
    return np.interp(places, np.arange(len(ordered)), ordered).tolist()


def _of_motion(sums: Sequence[float], steps: float) -> dict[str, float]:
    """Means over the steps of finished episodes, from their sums of MOTION."""
    total = dict(zip(MOTION, sums, strict=True))
    inside = total["goal_share"]
    out = {name: value / steps for name, value in total.items() if name not in INSIDE}
    out["jerk"] = math.sqrt(out["jerk"])
    if inside:
        out |= {name: total[name] / inside for name in INSIDE}
    return {f"rollout/{name}": value for name, value in out.items()}


def learner_metrics(
    model: FastPPO, env: VecNormalize, slices: Mapping[str, slice]
) -> dict[str, float]:
    """Value, advantage, observation and normaliser statistics of the last rollout.

    Args:
        model: the learner, its buffer full.
        env: its environments.
        slices: observation term -> its place in the observation.
    """
    return _of_values(model) | _of_observations(model, env, slices) | _of_normalizer(env)


def _of_values(model: FastPPO) -> dict[str, float]:
    buffer = model.rollout_buffer
    out: dict[str, float] = {}
    for name in ("value", "return", "advantage"):
        numbers = getattr(buffer, f"{name}s").ravel()
        mean = numbers.mean()
        apart = numbers - mean
        out[f"train/{name}_mean"] = float(mean)
        out[f"train/{name}_std"] = math.sqrt(float(apart.dot(apart)) / len(numbers))
    advantages = buffer.advantages
    out["train/advantage_max"] = float(max(advantages.max(), -advantages.min()))
    return out


def _of_observations(
    model: FastPPO, env: VecNormalize, slices: Mapping[str, slice]
) -> dict[str, float]:
    """How far each term moves as the networks see it, and how much of it is clipped."""
    buffer = model.rollout_buffer
    # SB3's own update leaves the buffer flat, and sorted by environment
    seen = buffer.observations.reshape(buffer.buffer_size, buffer.n_envs, -1)  # type: ignore[union-attr]
    limit = float(env.clip_obs) if env.norm_obs else math.inf
    mean, deviation, clipped = _moments(seen, limit)
    out = {f"observation/{name}": float(deviation[place].min()) for name, place in slices.items()}
    return out | {
        "normalizer/clipped": clipped,
        "normalizer/seen_std_max": float(deviation.max()),
        "normalizer/seen_mean_max": float(np.abs(mean).max()),
    }


def _moments(seen: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean and deviation of each number, both (d,), and the share at or beyond +-limit.

    In pieces that a core's cache holds: a rollout of a thousand environments does not fit.

    Args:
        seen: observations (t, n, d).
        limit: where they are clipped.
    """
    steps, envs, size = seen.shape
    per_step, per_env = (np.full(n, 1.0 / n, seen.dtype) for n in (steps, envs))
    rows = seen.reshape(steps, -1)  # NumPy is slow on short ones
    middle = per_env @ (per_step @ rows).reshape(envs, size)
    centre = np.broadcast_to(middle, (envs, size)).ravel()
    sums, squares, beyond = np.zeros_like(centre), np.zeros_like(centre), 0
    count = max(1, _CACHED // len(centre))
    room = np.empty((count, len(centre)), seen.dtype)
    for begin in range(0, steps, count):
        some = rows[begin : begin + count]
        beyond += np.count_nonzero(some >= limit) + np.count_nonzero(some <= -limit)
        apart = np.subtract(some, centre, out=room[: len(some)])
        sums += per_step[: len(some)] @ apart
        squares += np.einsum("tk,tk->k", apart, apart)
    off = per_env @ sums.reshape(envs, size)  # the middle is the mean but for rounding
    variance = per_env @ squares.reshape(envs, size) / steps - off * off
    return middle + off, np.sqrt(np.maximum(variance, 0.0)), beyond / seen.size


def _of_normalizer(env: VecNormalize) -> dict[str, float]:
    """What the normaliser divides by."""
    out: dict[str, float] = {}
    if env.norm_obs:
        mean, deviation = env.obs_rms.mean, np.sqrt(env.obs_rms.var)  # type: ignore[union-attr]
        out["normalizer/observation_std_min"] = float(deviation.min())
        out["normalizer/observation_std_max"] = float(deviation.max())
        out["normalizer/observation_mean_max"] = float(np.abs(mean).max())
    if env.norm_reward:
        out["normalizer/return_std"] = float(np.sqrt(env.ret_rms.var))
    return out
