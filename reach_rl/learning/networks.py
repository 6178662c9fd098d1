"""Policy and value network as chains of layers, without the modules around them.

The functions mean the same to Python as to TorchScript, which runs them; see script.
"""

import math
from collections.abc import Mapping

import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn

from reach_rl.learning.script import scripted

ACTIVATIONS: Mapping[type[nn.Module], str] = {
    nn.Tanh: "tanh",
    nn.ReLU: "relu",
    nn.ELU: "elu",
    nn.LeakyReLU: "leaky_relu",
}
"""Activations whose slope follows from what they gave."""

PIECE = 2048
"""Samples that pass through the networks at once at most, as the cache likes it."""


def chained(policy: ActorCriticPolicy) -> bool:
    """Whether a policy's networks are two chains with an activation of ACTIVATIONS."""
    return activation_of(policy) != ""


class Networks:
    """The networks of a policy, as they are at any time; see the module."""

    def __init__(self, policy: ActorCriticPolicy) -> None:
        """Find the layers of a `chained` policy."""
        actor, critic = linear_layers(policy)
        self._log_std = policy.log_std.detach()
        self._actor = [[layer.weight.detach(), layer.bias.detach()] for layer in actor]
        self._critic = [[layer.weight.detach(), layer.bias.detach()] for layer in critic]
        self._activation = activation_of(policy)
        self._std = torch.exp(self._log_std)
        self._values = scripted(_values)

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
        return self._values(obs, self._critic, self._activation, PIECE)


def linear_layers(policy: ActorCriticPolicy) -> tuple[list[nn.Linear], list[nn.Linear]]:
    """The layers of the policy network and of the value network."""
    extractor = policy.mlp_extractor
    actor = (*extractor.policy_net.children(), policy.action_net)
    critic = (*extractor.value_net.children(), policy.value_net)
    return (
        [module for module in actor if isinstance(module, nn.Linear)],
        [module for module in critic if isinstance(module, nn.Linear)],
    )


def activation_of(policy: ActorCriticPolicy) -> str:
    """What stands between the layers, one of ACTIVATIONS; "" for anything else."""
    chains = (policy.mlp_extractor.policy_net, policy.mlp_extractor.value_net)
    kinds = {type(m) for chain in chains for m in chain.children() if not isinstance(m, nn.Linear)}
    if not kinds:  # without hidden layers it does not matter
        return "tanh"
    return ACTIVATIONS.get(kinds.pop(), "")


def _values(obs: Tensor, layers: list[list[Tensor]], activation: str, piece: int) -> Tensor:
    return torch.cat([forward(x, layers, activation)[-1].flatten() for x in obs.split(piece)])


def forward(x: Tensor, layers: list[list[Tensor]], activation: str) -> list[Tensor]:
    """What each layer is given, and what the last one gives, (n, ...) each.

    Args:
        x: (n, d) what the first one is given.
        layers: weight (out, in), bias (out,), and what else the caller keeps with each.
        activation: one of ACTIVATIONS.
    """
    seen = [x]
    for i in range(len(layers)):
        x = torch.mm(x, layers[i][0].t()).add_(layers[i][1])
        if i + 1 < len(layers):
            if activation == "tanh":
                x = torch.tanh_(x)
            elif activation == "relu":
                x = torch.relu_(x)
            elif activation == "elu":
                x = torch.nn.functional.elu(x)
            else:
                x = torch.nn.functional.leaky_relu(x)
        seen.append(x)
    return seen
