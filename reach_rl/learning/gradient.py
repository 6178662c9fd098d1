"""PPO's loss and its gradient for two chains of layers, written out.

For networks as small as an arm needs, recording the operations and walking back through them costs
more than the operations themselves, and so does Python between them. Here each is one call on what
is there already. The functions mean the same to Python as to TorchScript, which runs them; see
script and update.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from reach_rl.learning.networks import forward


@dataclass(frozen=True, slots=True)
class Terms:
    """Weights and clips of the loss."""

    clip_range: float
    clip_range_vf: float | None
    vf_coef: float
    ent_coef: float
    normalize_advantage: bool
    max_grad_norm: float


def policy_gradient(
    data: list[Tensor],
    rows: Tensor,
    log_std: list[Tensor],
    layers: list[list[Tensor]],
    activation: str,
    numbers: tuple[float, float],
    normalize: bool,
    piece: int,
) -> list[Tensor]:
    """Of the clipped policy loss and the entropy bonus, added to the gradients of the parameters.

    Args:
        data: observations (n, d), actions (n, j), and of (n,) each the values, the
            log-probabilities, the advantages and the returns of the rollout.
        rows: which of them the minibatch is made of.
        log_std: (j,) and its gradient.
        layers: weight, bias, and the gradients of both, of each layer.
        activation: one of networks.ACTIVATIONS.
        numbers: clip range, and weight of the entropy bonus.
        normalize: whether the advantages get zero mean and unit deviation.
        piece: samples that pass through the network at once.

    Returns:
        Policy loss, entropy loss, share of clipped ratios, and KL divergence, no dimension each.
    """
    obs, actions = data[0].index_select(0, rows), data[1].index_select(0, rows)
    old, advantages = data[3].index_select(0, rows), data[4].index_select(0, rows)
    clip, ent_coef = numbers
    n = len(obs)
    if normalize and n > 1:
        deviation, mean_advantage = torch.std_mean(advantages)
        advantages = (advantages - mean_advantage).div_(deviation + 1e-8)
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


def value_gradient(
    data: list[Tensor],
    rows: Tensor,
    layers: list[list[Tensor]],
    activation: str,
    numbers: tuple[float, float],
    piece: int,
) -> list[Tensor]:
    """Of the value loss times its weight, added to the gradients of the parameters.

    Args:
        data: as policy_gradient takes it, and so are the others.
        rows: which of them the minibatch is made of.
        layers: weight, bias, and the gradients of both, of each layer.
        activation: one of networks.ACTIVATIONS.
        numbers: clip range of the values, 0 for none, and weight of the loss.
        piece: samples that pass through the network at once.

    Returns:
        Value loss, no dimension.
    """
    obs = data[0].index_select(0, rows)
    old, returns = data[2].index_select(0, rows), data[5].index_select(0, rows)
    most, vf_coef = numbers
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
    return [loss.div_(n)]


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
                torch.ops.aten.tanh_backward(slope, x, grad_input=slope)
            elif kind == "relu":
                slope.mul_(x > 0.0)
            elif kind == "elu":
                slope.mul_((x + 1.0).clamp_(max=1.0))
            else:
                slope = torch.where(x > 0.0, slope, 0.01 * slope)
