"""PPO's loss and its gradient for two chains of layers, written out.

For networks as small as an arm needs, recording the operations and walking back through them costs
more than the operations themselves; here each is one call into memory that is there already.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn

LOG_2PI = math.log(2.0 * math.pi)

Back = Callable[[Tensor, Tensor], Tensor]

BACK: Mapping[type[nn.Module], Back] = {
    nn.Tanh: lambda slope, y: slope.addcmul_(slope * y, y, value=-1.0),
    nn.ReLU: lambda slope, y: slope.mul_(y > 0.0),
    nn.ELU: lambda slope, y: slope.mul_((y + 1.0).clamp_(max=1.0)),
    nn.LeakyReLU: lambda slope, y: torch.where(y > 0.0, slope, 0.01 * slope),
}
"""Of an activation that gave y: the slope along y to the slope along what it was given."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Weights and clips of the loss."""

    clip_range: float
    clip_range_vf: float | None
    vf_coef: float
    ent_coef: float
    normalize_advantage: bool


def differentiable(policy: ActorCriticPolicy) -> bool:
    """Whether the gradient of a policy's networks can be written out."""
    return _activation(policy) in BACK


class Gradient:
    """The gradient of PPO's loss, one vector of which each parameter's `grad` is a part."""

    def __init__(self, policy: ActorCriticPolicy) -> None:
        """Find the layers. The policy must be `differentiable`."""
        self.log_std = policy.log_std
        parameters = list(policy.parameters())
        self.vector = torch.zeros(sum(p.numel() for p in parameters), device=policy.device)
        """(parameters,) the gradient."""
        parts = self.vector.split([p.numel() for p in parameters])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)
        extractor, activation = policy.mlp_extractor, _activation(policy)
        self.actor = _Chain(extractor.policy_net, policy.action_net, activation)
        self.critic = _Chain(extractor.value_net, policy.value_net, activation)

    def compute(self, minibatch: Sequence[Tensor], terms: Terms) -> tuple[Tensor, Tensor]:
        """The gradient of a minibatch's loss, into `vector`.

        Args:
            minibatch: observations (n, d), actions (n, j), and of (n,) each the values, the
                log-probabilities, the advantages and the returns of the rollout.
            terms: of the loss.

        Returns:
            What to record, (6,): policy loss, value loss, entropy loss, share of clipped ratios,
            loss, and the norm of the gradient, which clip() fills in; and the KL divergence.
        """
        with torch.no_grad():
            obs, actions, old_values, old_log_probs, advantages, returns = minibatch
            policy_loss, clipped, kl = self._actor(obs, actions, old_log_probs, advantages, terms)
            value_loss = self._critic(obs, old_values, returns, terms)
            entropy_loss = -(0.5 + 0.5 * LOG_2PI + self.log_std).sum()
            loss = policy_loss + terms.ent_coef * entropy_loss + terms.vf_coef * value_loss
            norm = torch.zeros_like(loss)
            record = (policy_loss, value_loss, entropy_loss, clipped, loss, norm)
            return torch.stack(record), kl

    def clip(self, most: float) -> Tensor:
        """Shorten the vector to a length; its length before, as clip_grad_norm_ has it."""
        norm = torch.linalg.vector_norm(self.vector)
        self.vector *= (most / (norm + 1e-6)).clamp_(max=1.0)
        return norm

    def _actor(
        self, obs: Tensor, actions: Tensor, old: Tensor, advantages: Tensor, terms: Terms
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Policy loss, share of clipped ratios and KL divergence."""
        n = len(obs)
        if terms.normalize_advantage and n > 1:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        mean = self.actor.forward(obs)
        inverse = torch.exp(-self.log_std)
        scaled = (actions.reshape(mean.shape) - mean) * inverse
        squared = scaled * scaled
        constant = (self.log_std + 0.5 * LOG_2PI).sum()
        log_ratio = squared.sum(dim=-1).mul_(-0.5).sub_(constant).sub_(old)
        ratio = log_ratio.exp()
        plain = advantages * ratio
        bounded = advantages * ratio.clamp(1.0 - terms.clip_range, 1.0 + terms.clip_range)
        loss = -torch.minimum(plain, bounded).mean()
        # of a ratio that is clipped the loss does not depend
        slope = (plain * (plain <= bounded)).mul_(-1.0 / n)[:, None]
        assert self.log_std.grad is not None
        torch.sum((squared - 1.0).mul_(slope), 0, out=self.log_std.grad)
        self.log_std.grad -= terms.ent_coef
        self.actor.backward(scaled.mul_(inverse).mul_(slope))
        clipped = ((ratio - 1.0).abs_() > terms.clip_range).float().mean()
        return loss, clipped, (ratio - 1.0).sub_(log_ratio).mean()

    def _critic(self, obs: Tensor, old: Tensor, returns: Tensor, terms: Terms) -> Tensor:
        """Value loss."""
        values = self.critic.forward(obs).flatten()
        slope = 2.0 * terms.vf_coef / len(obs)
        if terms.clip_range_vf is None:
            error = values.sub_(returns)
            self.critic.backward((error * slope)[:, None])
        else:
            change, most = values - old, terms.clip_range_vf
            error = old + change.clamp(-most, most) - returns
            self.critic.backward((error * (change.abs() <= most)).mul_(slope)[:, None])
        return error.square().mean()


class _Chain:
    """Linear layers with an activation between them."""

    def __init__(self, hidden: nn.Module, last: nn.Module, activation: type[nn.Module]) -> None:
        modules = (*hidden.children(), last)
        self.layers = [module for module in modules if isinstance(module, nn.Linear)]
        self.activation = activation()
        self.back = BACK[activation]
        self.inputs: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (n, k) for inputs (n, d); what each layer gets is kept."""
        self.inputs = [x]
        for layer in self.layers[:-1]:
            x = self.activation(torch.mm(x, layer.weight.t()).add_(layer.bias))
            self.inputs.append(x)
        last = self.layers[-1]
        return torch.mm(x, last.weight.t()).add_(last.bias)

    def backward(self, slope: Tensor) -> None:
        """Set the parameters' gradients, given the loss's slope along each output, (n, k)."""
        for depth in range(len(self.layers) - 1, -1, -1):
            layer, x = self.layers[depth], self.inputs[depth]
            assert layer.weight.grad is not None and layer.bias.grad is not None
            torch.mm(slope.t(), x, out=layer.weight.grad)
            torch.sum(slope, 0, out=layer.bias.grad)
            if depth:
                slope = self.back(torch.mm(slope, layer.weight), x)
        self.inputs = []


def _activation(policy: ActorCriticPolicy) -> type[nn.Module]:
    """What stands between the layers; without hidden layers it does not matter."""
    chains = (policy.mlp_extractor.policy_net, policy.mlp_extractor.value_net)
    kinds = {type(m) for chain in chains for m in chain.children() if not isinstance(m, nn.Linear)}
    return kinds.pop() if kinds else nn.Tanh
