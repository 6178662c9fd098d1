"""PPO as in Stable-Baselines3, with a lean path for many small environments.

The lean path takes the same steps on the same random numbers as SB3's own code; it leaves out the
overhead: time-outs are bootstrapped in one call, minibatches are contiguous slices of one
permutation, distributions and gradients are closed formulas, and nothing is read back per
minibatch. With `fast=False` every method is SB3's.
"""

import math
import time

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.utils import explained_variance
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from reach_rl.learning.fused_update import (
    PIECE,
    LossTerms,
    Passed,
    Update,
    activation_of,
    fits,
    forward,
    linear_layers,
    scripted,
)
from reach_rl.mdp.arrays import clipped


class Networks:
    """The networks of a policy as they are at any time, without autograd."""

    def __init__(self, policy: ActorCriticPolicy) -> None:
        """Find the layers of a policy that `fits`."""
        self._log_std = policy.log_std.detach()
        self._actor, self._critic = (
            [[layer.weight.detach(), layer.bias.detach()] for layer in chain]
            for chain in linear_layers(policy)
        )
        self._activation = activation_of(policy)
        self._std = torch.exp(self._log_std)

    def act(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Sampled actions, and their deviations from the mean, (n, j) each.

        Args:
            obs: (n, d) observations.
        """
        mean = forward(obs, self._actor, self._activation)[-1]
        # the draw that torch.distributions.Normal.rsample makes, so that seeds agree with SB3
        action = torch.randn_like(mean).mul_(self._std).add_(mean)
        return action, action - mean

    def log_probs(self, deviations: Tensor) -> Tensor:
        """Log-probabilities (...) of actions that deviate so from the mean, (..., j)."""
        constant = (self._log_std + 0.5 * math.log(2.0 * math.pi)).sum()
        return (deviations / self._std).square_().sum(dim=-1).mul_(-0.5).sub_(constant)

    def values(self, obs: Tensor) -> Tensor:
        """Values (n,) of observations (n, d)."""
        return scripted(_values)(obs, self._critic, self._activation, PIECE)


def _values(obs: Tensor, layers: list[list[Tensor]], activation: str, piece: int) -> Tensor:
    return torch.cat([forward(x, layers, activation)[-1].flatten() for x in obs.split(piece)])


class FastPPO(PPO):
    """SB3's PPO; see the module."""

    fast: bool = True
    min_std: float | None = None
    """Least standard deviation of an action, which each update keeps to."""
    side_by_side: bool = False
    """Update policy and value network on two cores; see fused_update."""
    seconds_policy: float = 0.0
    """Time spent in the networks while collecting (s)."""
    broken: str | None = None
    """What was not finite first in the last update."""

    @property
    def lean(self) -> bool:
        """Whether the lean path can stand in for SB3's; it knows Gaussian policies on the CPU."""
        return self.fast and self.device.type == "cpu" and not self.use_sde and fits(self.policy)

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
        dones = np.zeros(env.num_envs, bool)
        networks = Networks(self.policy)
        deviations: list[Tensor] = []
        cut_off: list[tuple[int, int, np.ndarray]] = []
        for _ in range(n_rollout_steps):
            begin = time.perf_counter()
            actions, deviation = networks.act(torch.as_tensor(self._last_obs))
            deviations.append(deviation)
            numbers = actions.numpy()
            self.seconds_policy += time.perf_counter() - begin
            new_obs, rewards, dones, infos = env.step(clipped(numbers, -1.0, 1.0))
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            ended = np.flatnonzero(dones).tolist()
            self._update_info_buffer([infos[i] for i in ended])
            cut_off += [
                (rollout_buffer.pos, i, infos[i]["terminal_observation"])
                for i in ended
                if infos[i].get("TimeLimit.truncated", False)
            ]
            at = rollout_buffer.pos  # what RolloutBuffer.add does, with one copy of each array
            rollout_buffer.observations[at] = self._last_obs  # type: ignore[index]
            rollout_buffer.actions[at] = numbers
            rollout_buffer.rewards[at] = rewards
            rollout_buffer.episode_starts[at] = self._last_episode_starts
            rollout_buffer.pos += 1
            self._last_obs = new_obs  # type: ignore[assignment]
            self._last_episode_starts = dones
        rollout_buffer.full = True
        # the networks have not changed meanwhile: values and probabilities of all steps at once
        seen = torch.from_numpy(rollout_buffer.observations).flatten(0, 1)
        rollout_buffer.values[:] = networks.values(seen).view(n_rollout_steps, -1).numpy()
        rollout_buffer.log_probs[:] = networks.log_probs(torch.stack(deviations)).numpy()
        if cut_off:  # the discounted values of what time-outs cut off
            steps, rows, last = zip(*cut_off, strict=True)
            values = networks.values(torch.as_tensor(np.stack(last), dtype=torch.float32))
            rollout_buffer.rewards[steps, rows] += self.gamma * values.numpy()
        last_values = networks.values(torch.as_tensor(self._last_obs))
        rollout_buffer.compute_returns_and_advantage(last_values=last_values, dones=dones)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def train(self) -> None:
        """Update the networks from the buffer."""
        if self.lean:
            self._train_lean()
        else:
            super().train()
            if self.min_std is not None and not self.use_sde:  # as LossTerms.least_log_std
                self.policy.log_std.data.clamp_(min=math.log(self.min_std))
        adapt = getattr(self.learning_rate, "adapt", None)
        if adapt is not None:  # a learning rate that follows the KL divergence
            adapt(self.logger.name_to_value.get("train/approx_kl", 0.0))

    def _train_lean(self) -> None:
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        progress, vf = self._current_progress_remaining, self.clip_range_vf
        terms = LossTerms(
            clip_range=self.clip_range(progress),  # type: ignore[operator]
            clip_range_vf=0.0 if vf is None else vf(progress),  # type: ignore[operator]
            vf_coef=self.vf_coef,
            ent_coef=self.ent_coef,
            normalize_advantage=self.normalize_advantage,
            max_grad_norm=self.max_grad_norm,
            most_kl=math.inf if self.target_kl is None else 1.5 * self.target_kl,
            least_log_std=-math.inf if self.min_std is None else math.log(self.min_std),
        )
        data = self._flat_buffer()
        passes: list[Passed] = []
        with Update(self.policy, terms, side_by_side=self.side_by_side) as update:
            for _ in range(self.n_epochs):
                order = torch.from_numpy(np.random.permutation(len(data[0])))
                passes.append(update.pass_over(data, order, self.batch_size))
                self._n_updates += 1
                if passes[-1].stopped:
                    break
        self._record(torch.cat([p.records for p in passes]), passes[-1].kls, terms)

    def _flat_buffer(self) -> list[Tensor]:
        """What Update.pass_over takes."""
        names = ("observations", "actions", "values", "log_probs", "advantages", "returns")
        buffer = self.rollout_buffer
        arrays = [buffer.swap_and_flatten(getattr(buffer, name)) for name in names]
        return [torch.from_numpy(array).squeeze(-1) for array in arrays]

    def _record(self, records: Tensor, kls: Tensor, terms: LossTerms) -> None:
        """Record the update under SB3's names."""
        self.broken = _first_broken(records)
        buffer = self.rollout_buffer
        values: dict[str, float] = dict(zip(_RECORDED, records.mean(dim=0).tolist(), strict=True))
        values["loss"] = records[-1, 4].item()
        values["approx_kl"] = kls.mean().item()
        values["explained_variance"] = explained_variance(
            buffer.values.flatten(), buffer.returns.flatten()
        )
        values["std"] = self.policy.log_std.detach().exp().mean().item()
        values["clip_range"] = terms.clip_range
        if self.clip_range_vf is not None:
            values["clip_range_vf"] = terms.clip_range_vf
        for name, value in values.items():
            self.logger.record(f"train/{name}", value)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")


_RECORDED: tuple[str, ...] = (
    "policy_gradient_loss",
    "value_loss",
    "entropy_loss",
    "clip_fraction",
    "loss",
    "grad_norm",
)
"""Columns of Passed.records, as SB3 calls them; the last is our own."""


def _first_broken(records: Tensor) -> str | None:
    """What was not finite first among the minibatches, (k, 6) as in Passed."""
    broken = ~records.isfinite()
    if not broken.any():
        return None
    row = broken[int(broken.any(dim=1).nonzero()[0])]
    name = _RECORDED[int(row.nonzero()[0])]
    return "gradient" if name == "grad_norm" else name.replace("_", " ")
