"""Figures of a rollout and its update, from arrays that the learner holds anyway."""

from collections.abc import Mapping

import numpy as np
from stable_baselines3.common.vec_env import VecNormalize

from reach_rl.learning.ppo import FastPPO


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
    advantages = buffer.advantages
    return {
        "train/value_mean": float(buffer.values.mean()),
        "train/value_std": float(buffer.values.std()),
        "train/return_mean": float(buffer.returns.mean()),
        "train/return_std": float(buffer.returns.std()),
        "train/advantage_mean": float(advantages.mean()),
        "train/advantage_std": float(advantages.std()),
        "train/advantage_max": float(np.abs(advantages).max()),
    }


def _of_observations(
    model: FastPPO, env: VecNormalize, slices: Mapping[str, slice]
) -> dict[str, float]:
    """How far each term moves as the networks see it, and how much of it is clipped."""
    seen = model.rollout_buffer.observations
    seen = seen.reshape(-1, seen.shape[-1])
    deviation = seen.std(axis=0)
    out = {f"observation/{name}": float(deviation[place].min()) for name, place in slices.items()}
    limit = env.clip_obs if env.norm_obs else np.inf
    return out | {
        "normalizer/clipped": float((np.abs(seen) >= limit).mean()),
        "normalizer/seen_std_max": float(deviation.max()),
        "normalizer/seen_mean_max": float(np.abs(seen.mean(axis=0)).max()),
    }


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
