"""SB3's VecNormalize, which scales observations in one compiled loop; same numbers, to the bit.

What that earns: `python benchmarks/performance.py --what fast`.
"""

import numpy as np
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from reach_rl.config.schema import Config
from reach_rl.mdp.arrays import Array
from reach_rl.mdp.compiled import compiled


class Normalize(VecNormalize):
    """SB3's VecNormalize; see the module."""

    def _normalize_obs(self, obs: np.ndarray, obs_rms: RunningMeanStd) -> np.ndarray:
        out = np.empty(obs.shape, np.float32)
        scale = np.sqrt(obs_rms.var + self.epsilon)
        _scale(np.atleast_2d(obs), obs_rms.mean, scale, self.clip_obs, np.atleast_2d(out))
        return out


def normalized(env: VecEnv, config: Config, kind: type[VecNormalize] = Normalize) -> VecNormalize:
    """Running normalisation of observations and rewards; `kind` is SB3's, or ours on top."""
    return kind(
        env,
        norm_obs=config.observation.normalize,
        norm_reward=config.reward.normalize,
        clip_obs=config.observation.clip,
        clip_reward=config.reward.clip,
        gamma=config.ppo.gamma,
    )


@compiled("void(f4[:,::1], f8[::1], f8[::1], f8, f4[:,::1])")
def _scale(obs: np.ndarray, mean: Array, scale: Array, clip: float, out: np.ndarray) -> None:
    for i in range(obs.shape[0]):
        for k in range(obs.shape[1]):
            value = (obs[i, k] - mean[k]) / scale[k]
            out[i, k] = min(max(value, -clip), clip)
