"""PPO's loss and its gradient for two chains of layers, written out.

For networks as small as an arm needs, recording the operations and walking back through them costs
more than the operations themselves, and so does Python between them. Here each is one call on what
is there already, and TorchScript runs them, without Python's lock, so that the value network can
have a core of its own. The functions mean the same to Python as to TorchScript.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor

from reach_rl.learning.networks import PIECE, activation_of, forward, linear_layers
from reach_rl.learning.script import scripted


@dataclass(frozen=True, slots=True)
class Terms:
    """Weights and clips of the loss."""

    clip_range: float
    clip_range_vf: float | None
    vf_coef: float
    ent_coef: float
    normalize_advantage: bool
    max_grad_norm: float


class Gradient:
    """The clipped gradient of PPO's loss, each parameter's `grad` a part of one vector."""

    def __init__(self, policy: ActorCriticPolicy, *, side_by_side: bool) -> None:
        """Lay out the vector.

        Args:
            policy: a `chained` one; see networks.
            side_by_side: let the value network have a second core; the numbers are the same.
        """
        parameters = list(policy.parameters())
        self.vector = torch.zeros(sum(p.numel() for p in parameters), device=policy.device)
        """(parameters,) the gradient."""
        parts = self.vector.split([p.numel() for p in parameters])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)
        actor, critic = linear_layers(policy)
        self._log_std = _with_slopes(policy.log_std)
        self._actor = [_with_slopes(layer.weight, layer.bias) for layer in actor]
        self._critic = [_with_slopes(layer.weight, layer.bias) for layer in critic]
        self._activation = activation_of(policy)
        self._run = scripted(_gradient)
        self._side_by_side = side_by_side and isinstance(self._run, torch.jit.ScriptFunction)

    def compute(self, minibatch: Sequence[Tensor], terms: Terms) -> tuple[Tensor, Tensor]:
        """Set the parameters' `grad` to the gradient of a minibatch's loss, clipped.

        Args:
            minibatch: observations (n, d), actions (n, j), and of (n,) each the values, the
                log-probabilities, the advantages and the returns of the rollout.
            terms: of the loss.

        Returns:
            What to record, (6,): policy loss, value loss, entropy loss, share of clipped ratios,
            loss, and the norm of the gradient before it was clipped; and the KL divergence.
        """
        vf_clip = 0.0 if terms.clip_range_vf is None else terms.clip_range_vf
        return self._run(
            list(minibatch),
            self._log_std,
            self._actor,
            self._critic,
            self.vector,
            self._activation,
            (terms.clip_range, vf_clip, terms.vf_coef, terms.ent_coef, terms.max_grad_norm),
            terms.normalize_advantage,
            PIECE,
            self._side_by_side,
        )


def _with_slopes(*parameters: Tensor) -> list[Tensor]:
    """Parameters, then their gradients, as plain tensors."""
    slopes = [p.grad for p in parameters if p.grad is not None]
    return [p.detach() for p in parameters] + slopes


def _gradient(
    minibatch: list[Tensor],
    log_std: list[Tensor],
    actor: list[list[Tensor]],
    critic: list[list[Tensor]],
    vector: Tensor,
    activation: str,
    numbers: tuple[float, float, float, float, float],
    normalize: bool,
    piece: int,
    side_by_side: bool,
) -> tuple[Tensor, Tensor]:
    """What to record, and the KL divergence; sets and clips the gradient."""
    vector.zero_()
    if side_by_side:
        later = torch.jit.fork(_value, minibatch, critic, activation, numbers, piece)
        policy = _policy(minibatch, log_std, actor, activation, numbers, normalize, piece)
        value = torch.jit.wait(later)
    else:
        policy = _policy(minibatch, log_std, actor, activation, numbers, normalize, piece)
        value = _value(minibatch, critic, activation, numbers, piece)
    return _together(policy, value, vector, numbers), policy[3]


def _policy(
    minibatch: list[Tensor],
    log_std: list[Tensor],
    layers: list[list[Tensor]],
    activation: str,
    numbers: tuple[float, float, float, float, float],
    normalize: bool,
    piece: int,
) -> list[Tensor]:
    """Policy loss, entropy loss, share of clipped ratios and KL divergence; adds the gradient."""
    obs, actions, _, old, advantages, _ = minibatch
    clip, _, _, ent_coef, _ = numbers
    n = len(obs)
    if normalize and n > 1:
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    inverse = torch.exp(-log_std[0])
    halves = torch.full_like(inverse, -0.5)
    constant = (log_std[0] + 0.5 * math.log(2.0 * math.pi)).sum()
    old = old + constant
    log_std[1].sub_(ent_coef)
    loss, clipped, kl = torch.zeros(3, device=obs.device).unbind()
    for begin in range(0, n, piece):
        end = min(n, begin + piece)
        seen = forward(obs[begin:end], layers, activation)
        mean = seen[-1]
        scaled = (actions[begin:end].reshape(mean.shape) - mean).mul_(inverse)
        squared = scaled * scaled
        log_ratio = torch.mv(squared, halves).sub_(old[begin:end])
        ratio = log_ratio.exp()
        plain = advantages[begin:end] * ratio
        bounded = advantages[begin:end] * ratio.clamp(1.0 - clip, 1.0 + clip)
        # of a ratio that is clipped the loss does not depend
        slope = (plain * (plain <= bounded)).mul_(-1.0 / n)
        log_std[1].add_(torch.mv(squared.t(), slope)).sub_(slope.sum())
        _backward(scaled.mul_(inverse).mul_(slope.unsqueeze(1)), seen, layers, activation)
        loss.sub_(torch.minimum(plain, bounded).sum())
        beyond = ratio.sub_(1.0)
        kl.add_((beyond - log_ratio).sum())
        clipped.add_((beyond.abs_() > clip).sum())
    return [loss.div_(n), -(constant + 0.5 * len(inverse)), clipped.div_(n), kl.div_(n)]


def _value(
    minibatch: list[Tensor],
    layers: list[list[Tensor]],
    activation: str,
    numbers: tuple[float, float, float, float, float],
    piece: int,
) -> Tensor:
    """Value loss; adds the gradient."""
    obs, _, old, _, _, returns = minibatch
    _, most, vf_coef, _, _ = numbers
    n = len(obs)
    loss = torch.zeros_like(returns[0])
    for begin in range(0, n, piece):
        end = min(n, begin + piece)
        seen = forward(obs[begin:end], layers, activation)
        error = seen[-1].flatten() - returns[begin:end]
        slope = error
        if most > 0.0:
            before = old[begin:end] - returns[begin:end]
            change = error - before
            error = before + change.clamp(-most, most)
            slope = error * (change.abs() <= most)
        slope = slope * (2.0 * vf_coef / n)
        _backward(slope.unsqueeze(1), seen, layers, activation)
        loss.add_(torch.dot(error, error))
    return loss.div_(n)


def _backward(slope: Tensor, seen: list[Tensor], layers: list[list[Tensor]], kind: str) -> None:
    """Add to the gradients of the parameters, given the loss's slope along the outputs, (n, k)."""
    for i in range(len(layers) - 1, -1, -1):
        weight, _, weight_slope, bias_slope = layers[i]
        x = seen[i]
        weight_slope.addmm_(slope.t(), x)
        bias_slope.add_(slope.sum(0))
        if i > 0:
            slope = torch.mm(slope, weight)
            # from along what an activation gave to along what it was given
            if kind == "tanh":
                slope.addcmul_(slope * x, x, value=-1.0)
            elif kind == "relu":
                slope.mul_(x > 0.0)
            elif kind == "elu":
                slope.mul_((x + 1.0).clamp_(max=1.0))
            else:
                slope = torch.where(x > 0.0, slope, 0.01 * slope)


def _together(
    policy: list[Tensor],
    value_loss: Tensor,
    vector: Tensor,
    numbers: tuple[float, float, float, float, float],
) -> Tensor:
    """What to record; clips the gradient as clip_grad_norm_ does."""
    _, _, vf_coef, ent_coef, max_norm = numbers
    policy_loss, entropy_loss, clipped, _ = policy
    loss = policy_loss + ent_coef * entropy_loss + vf_coef * value_loss
    norm = torch.linalg.vector_norm(vector)
    vector.mul_((max_norm / (norm + 1e-6)).clamp_(max=1.0))
    return torch.stack([policy_loss, value_loss, entropy_loss, clipped, loss, norm])
