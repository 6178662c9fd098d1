"""SB3's VecNormalize with its arithmetic in compiled loops; same numbers, to the last bit.

Half of what it costs with 512 environments; see `python benchmarks/performance.py --what fast`.
"""

import numpy as np
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from reach_rl.config.schema import Config
from reach_rl.mdp.arrays import Array
from reach_rl.mdp.compiled import compiled


def normalized(env: VecEnv, config: Config) -> VecNormalize:
    """SB3's running normalisation of observations and rewards."""
    out = Normalize(
        env,
        norm_obs=config.observation.normalize,
        norm_reward=config.reward.normalize,
        clip_obs=config.observation.clip,
        clip_reward=config.reward.clip,
        gamma=config.ppo.gamma,
    )
    if out.norm_obs:
        out.obs_rms = Moments(shape=env.observation_space.shape or ())
    return out


class Moments(RunningMeanStd):
    """Mean and variance (d,) of all observations so far."""

    def update(self, arr: np.ndarray) -> None:
        """Take in observations (n, d) float32."""
        self.mean, self.var = _followed(arr, self.mean, self.var, self.count)
        self.count += len(arr)


class Normalize(VecNormalize):
    """SB3's VecNormalize; see the module."""

    def _normalize_obs(self, obs: np.ndarray, obs_rms: RunningMeanStd) -> np.ndarray:
        out = np.empty(obs.shape, np.float32)
        scale = np.sqrt(obs_rms.var + self.epsilon)
        _scale(np.atleast_2d(obs), obs_rms.mean, scale, self.clip_obs, np.atleast_2d(out))
        return out


@compiled("void(f4[:,::1], f8[::1], f8[::1], f8, f4[:,::1])")
def _scale(obs: np.ndarray, mean: Array, scale: Array, clip: float, out: np.ndarray) -> None:
    for i in range(obs.shape[0]):
        for k in range(obs.shape[1]):
            value = (obs[i, k] - mean[k]) / scale[k]
            out[i, k] = min(max(value, -clip), clip)


@compiled("Tuple((f8[::1], f8[::1]))(f4[:,::1], f8[::1], f8[::1], f8)")
def _followed(obs: np.ndarray, mean: Array, variance: Array, count: float) -> tuple[Array, Array]:
    """Mean and variance (d,) of `count` samples and of the observations (n, d) together.

    In the order of SB3's RunningMeanStd.update, so that the last bit agrees.
    """
    n, d = obs.shape
    few = np.float32(n)
    seen, spread = np.zeros(d, np.float32), np.zeros(d, np.float32)
    for i in range(n):
        for k in range(d):
            seen[k] += obs[i, k]
    seen /= few
    for i in range(n):
        for k in range(d):
            off = obs[i, k] - seen[k]
            spread[k] += off * off
    spread /= few
    new_mean, new_variance = np.empty(d), np.empty(d)
    for k in range(d):
        delta = np.float64(seen[k]) - mean[k]
        new_mean[k] = mean[k] + delta * n / (count + n)
        square = variance[k] * count + np.float64(spread[k] * few)
        square += delta * delta * count * n / (count + n)
        new_variance[k] = square / (count + n)
    return new_mean, new_variance
