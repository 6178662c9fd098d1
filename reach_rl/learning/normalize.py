"""SB3's VecNormalize with less overhead for many environments in one batch; same numbers."""

from typing import cast

import numpy as np
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from reach_rl.config.schema import Config
from reach_rl.mdp.arrays import Array, clipped
from reach_rl.mdp.compiled import compiled


class Normalize(VecNormalize):
    """SB3's VecNormalize; see the module."""

    def step_wait(self) -> VecEnvStepReturn:
        """Normalised observations and rewards, dones and infos, as SB3's."""
        obs, rewards, dones, infos = self.venv.step_wait()  # type: ignore[union-attr]
        seen = cast("np.ndarray", obs)
        self.old_obs, self.old_reward = seen, rewards
        if self.training:
            if self.norm_obs:
                rms = self._rms
                rms.mean, rms.var = _followed(seen, rms.mean, rms.var, rms.count)
                rms.count += len(seen)
            self._update_reward(rewards)
        ended = np.flatnonzero(dones).tolist()
        if ended:
            last = self._scaled(np.stack([infos[i]["terminal_observation"] for i in ended]))
            for i, observation in zip(ended, last, strict=True):
                infos[i]["terminal_observation"] = observation
        self.returns[dones] = 0
        return self._scaled(seen), self.normalize_reward(rewards), dones, infos

    def normalize_reward(self, reward: np.ndarray) -> np.ndarray:
        """Rewards over the deviation of the return, clipped, float32."""
        if self.norm_reward:
            scale = np.sqrt(self.ret_rms.var + self.epsilon)
            reward = clipped(reward / scale, -self.clip_reward, self.clip_reward)
        return reward.astype(np.float32)

    def _update_reward(self, reward: np.ndarray) -> None:
        self.returns = self.returns * self.gamma + reward
        n = len(reward)
        mean = np.add.reduce(self.returns) / n
        off = self.returns - mean
        self.ret_rms.update_from_moments(mean, np.add.reduce(off * off) / n, n)

    @property
    def _rms(self) -> RunningMeanStd:
        return cast("RunningMeanStd", self.obs_rms)

    def _scaled(self, obs: np.ndarray) -> np.ndarray:
        """Normalised observations, float32."""
        if not self.norm_obs:
            return obs.copy()
        out = np.empty_like(obs, np.float32)
        scale = np.sqrt(self._rms.var + self.epsilon)
        _scale(obs, self._rms.mean, scale, self.clip_obs, out)
        return out


def normalized(env: VecEnv, config: Config) -> VecNormalize:
    """SB3's running normalisation of observations and rewards."""
    return Normalize(
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
