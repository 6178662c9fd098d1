"""PPO as in Stable-Baselines3, with a lean path for many small environments.

The lean path takes the same steps on the same random numbers as SB3's own code; it leaves out the
overhead: time-outs are bootstrapped in one call, minibatches are contiguous slices of one
permutation, distributions and gradients are closed formulas, and nothing is read back per
minibatch. With `fast=False` every method is SB3's.
"""

import time
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import explained_variance
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from reach_rl.learning.gradient import LOG_2PI, Gradient, Terms, differentiable
from reach_rl.learning.schedules import Scheduled


class FastPPO(PPO):
    """SB3's PPO; see the module."""

    fast: bool = True
    seconds_policy: float = 0.0
    """Time spent in the networks while collecting (s)."""
    broken: str | None = None
    """What was not finite first in the last update."""

    @property
    def lean(self) -> bool:
        """Whether the lean path can stand in for SB3's: a Gaussian policy on flat observations."""
        return (
            self.fast
            and not self.use_sde
            and isinstance(self.action_space, spaces.Box)
            and isinstance(self.observation_space, spaces.Box)
            and type(self.rollout_buffer) is RolloutBuffer
            and not self.policy.squash_output
            and differentiable(self.policy)
        )

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        rollout_buffer: RolloutBuffer,
        n_rollout_steps: int,
    ) -> bool:
        """Fill the buffer; False if the callback stopped it. Same contract as SB3's."""
        if not self.lean:
            return super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)
        assert self._last_obs is not None
        self.policy.set_training_mode(False)
        rollout_buffer.reset()
        callback.on_rollout_start()
        low, high = self.action_space.low, self.action_space.high  # type: ignore[attr-defined]
        dones = np.zeros(env.num_envs, bool)
        for _ in range(n_rollout_steps):
            begin = time.perf_counter()
            with torch.no_grad():
                actions, values, log_probs = self._act(torch.as_tensor(self._last_obs))
            numbers = actions.numpy()
            self.seconds_policy += time.perf_counter() - begin
            new_obs, rewards, dones, infos = env.step(np.clip(numbers, low, high))
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            ended = np.flatnonzero(dones).tolist()
            self._update_info_buffer([infos[i] for i in ended])
            self._bootstrap(rewards, ended, infos)
            rollout_buffer.add(
                self._last_obs,  # type: ignore[arg-type]
                numbers,
                rewards,
                self._last_episode_starts,  # type: ignore[arg-type]
                values,
                log_probs,
            )
            self._last_obs = new_obs  # type: ignore[assignment]
            self._last_episode_starts = dones
        with torch.no_grad():
            last_values = self._value(torch.as_tensor(self._last_obs))
        rollout_buffer.compute_returns_and_advantage(last_values=last_values, dones=dones)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def train(self) -> None:
        """Update the networks from the buffer."""
        if not self.lean:
            super().train()
            self._after_update()
            return
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        clip_range = self.clip_range(self._current_progress_remaining)  # type: ignore[operator]
        clip_range_vf = (
            None
            if self.clip_range_vf is None
            else self.clip_range_vf(self._current_progress_remaining)  # type: ignore[operator]
        )
        tensors = self._flat_buffer()
        size = len(tensors[0])
        gradient = Gradient(self.policy)
        terms = Terms(
            clip_range, clip_range_vf, self.vf_coef, self.ent_coef, self.normalize_advantage
        )
        records: list[Tensor] = []
        kls: list[Tensor] = []
        going_on = True
        for _ in range(self.n_epochs):
            order = torch.from_numpy(np.random.permutation(size))
            shuffled = [t[order] for t in tensors]
            kls = []
            for begin in range(0, size, self.batch_size):
                minibatch = [t[begin : begin + self.batch_size] for t in shuffled]
                record, kl = gradient.compute(minibatch, terms)
                records.append(record)
                kls.append(kl)
                if self.target_kl is not None and kl.item() > 1.5 * self.target_kl:
                    going_on = False
                    break
                record[5] = gradient.clip(self.max_grad_norm)
                self.policy.optimizer.step()
            self._n_updates += 1
            if not going_on:
                break
        self._record(torch.stack(records), torch.stack(kls), clip_range, clip_range_vf)
        self._after_update()

    def _act(self, obs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sampled actions (n, j), values (n, 1) and log-probabilities (n,)."""
        latent_pi, latent_vf = self.policy.mlp_extractor(obs)
        mean = self.policy.action_net(latent_pi)
        log_std = self.policy.log_std
        # the draw that torch.distributions.Normal.rsample makes, so that seeds agree with SB3
        noise = torch.normal(torch.zeros_like(mean), torch.ones_like(mean))
        action = mean + noise * log_std.exp()
        return action, self.policy.value_net(latent_vf), _log_prob(action, mean, log_std)

    def _value(self, obs: Tensor) -> Tensor:
        """Values (n, 1)."""
        return self.policy.value_net(self.policy.mlp_extractor.forward_critic(obs))

    def _bootstrap(
        self, rewards: np.ndarray, ended: list[int], infos: list[dict[str, Any]]
    ) -> None:
        """Add the discounted value of what a time-out cut off, for all time-outs in one call."""
        rows = [i for i in ended if infos[i].get("TimeLimit.truncated", False)]
        if rows:
            seen = np.stack([infos[i]["terminal_observation"] for i in rows])
            with torch.no_grad():
                values = self._value(torch.as_tensor(seen, dtype=torch.float32))
            rewards[rows] += self.gamma * values.numpy()[:, 0]

    def _flat_buffer(self) -> list[Tensor]:
        """Observations, actions, old values, old log-probabilities, advantages and returns."""
        buffer = self.rollout_buffer
        arrays = (
            buffer.observations,
            buffer.actions,
            buffer.values,
            buffer.log_probs,
            buffer.advantages,
            buffer.returns,
        )
        return [torch.from_numpy(buffer.swap_and_flatten(a)).squeeze(-1) for a in arrays]

    def _record(
        self, records: Tensor, kls: Tensor, clip_range: float, clip_range_vf: float | None
    ) -> None:
        """Record the update under SB3's names."""
        self.broken = _first_broken(records)
        mean = records.mean(dim=0).tolist()
        for name, value in zip(
            ("policy_gradient_loss", "value_loss", "entropy_loss", "clip_fraction"),
            mean,
            strict=False,
        ):
            self.logger.record(f"train/{name}", value)
        self.logger.record("train/grad_norm", mean[5])
        self.logger.record("train/loss", records[-1, 4].item())
        self.logger.record("train/approx_kl", kls.mean().item())
        self.logger.record(
            "train/explained_variance",
            explained_variance(
                self.rollout_buffer.values.flatten(), self.rollout_buffer.returns.flatten()
            ),
        )
        self.logger.record("train/std", self.policy.log_std.detach().exp().mean().item())
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/clip_range", clip_range)
        if clip_range_vf is not None:
            self.logger.record("train/clip_range_vf", clip_range_vf)

    def _after_update(self) -> None:
        """Let a KL-adaptive learning rate follow."""
        schedule = getattr(self.learning_rate, "adapt", None)
        if schedule is not None:
            schedule(self.logger.name_to_value.get("train/approx_kl", 0.0))


def _first_broken(records: Tensor) -> str | None:
    """What was not finite first among the minibatches, (k, 6) as _loss() records them."""
    broken = ~records.isfinite()
    if not broken.any():
        return None
    row = broken[int(broken.any(dim=1).nonzero()[0])]
    names = ("policy gradient loss", "value loss", "entropy loss", "clip fraction", "loss")
    return (*names, "gradient")[int(row.nonzero()[0])]


def _log_prob(action: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Log-density of a diagonal Gaussian, summed over the last axis."""
    scaled = (action - mean) * torch.exp(-log_std)
    return (-0.5 * scaled * scaled - log_std - 0.5 * LOG_2PI).sum(dim=-1)


__all__ = ["FastPPO", "Scheduled"]
