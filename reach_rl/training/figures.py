"""Figures of a rollout and its update, from arrays that the learner holds anyway."""

import math
from collections.abc import Mapping

import numpy as np
from stable_baselines3.common.vec_env import VecNormalize

from reach_rl.learning.ppo import FastPPO

_CACHED = 2**16
"""Numbers that a core has at hand."""


def learner_figures(
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
        mean, deviation = _spread(getattr(buffer, f"{name}s").ravel())
        out |= {f"train/{name}_mean": mean, f"train/{name}_std": deviation}
    advantages = buffer.advantages
    out["train/advantage_max"] = float(max(advantages.max(), -advantages.min()))
    return out


def _spread(numbers: np.ndarray) -> tuple[float, float]:
    """Mean and deviation, (k,)."""
    mean = numbers.mean()
    apart = numbers - mean
    return float(mean), math.sqrt(float(apart.dot(apart)) / len(numbers))


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
        deviation = np.sqrt(env.obs_rms.var)  # type: ignore[union-attr]
        out["normalizer/observation_std_min"] = float(deviation.min())
        out["normalizer/observation_std_max"] = float(deviation.max())
        out["normalizer/observation_mean_max"] = float(
            np.abs(env.obs_rms.mean).max()  # type: ignore[union-attr]
        )
    if env.norm_reward:
        out["normalizer/return_std"] = float(np.sqrt(env.ret_rms.var))
    return out
