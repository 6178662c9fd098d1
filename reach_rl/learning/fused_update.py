"""PPO's networks and its update written out: gradient, clipping and Adam's step without modules.

For networks as small as an arm needs, recording operations and walking back through them costs more
than the operations, and so do Python between them and Adam's list of parameters. Here each is one
call on what is there already, Adam works on one vector, and TorchScript runs a pass over a rollout
without Python's lock. Policy and value network share the data and the norm by which their gradient
is clipped; each may walk through the minibatches on a core of its own, leave the square of its
norm, and look for that of the other, where waking a thread would take a hundred times as long.

What it earns: `python benchmarks/performance.py --what fast`. `torch.jit.script` is deprecated: a
torch without it runs the same functions as plain Python, with the same numbers on one core (a test
holds this), and `ppo.fast=false` is SB3's own update. `torch.compile`, which torch recommends in
its place, needs a C++ compiler on the machine.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn
from torch.optim import Optimizer

ACTIVATIONS = {nn.Tanh: "tanh", nn.ReLU: "relu", nn.ELU: "elu", nn.LeakyReLU: "leaky_relu"}
"""Activations whose slope follows from what they gave."""

PIECE = 2048
"""Samples that pass through the networks at once at most, as the cache likes it."""


def fits(policy: ActorCriticPolicy) -> bool:
    """Whether a policy is what is done here: two chains of layers with an activation known here."""
    return activation_of(policy) != ""


def activation_of(policy: ActorCriticPolicy) -> str:
    """What stands between the layers, one of ACTIVATIONS; "" for anything else."""
    chains = (policy.mlp_extractor.policy_net, policy.mlp_extractor.value_net)
    kinds = {type(m) for chain in chains for m in chain.children() if not isinstance(m, nn.Linear)}
    if not kinds:  # without hidden layers it does not matter
        return "tanh"
    return ACTIVATIONS.get(kinds.pop(), "")


def linear_layers(policy: ActorCriticPolicy) -> tuple[list[nn.Linear], list[nn.Linear]]:
    """The layers of the policy network and of the value network."""
    extractor = policy.mlp_extractor
    actor, critic = (
        [module for module in (*net.children(), last) if isinstance(module, nn.Linear)]
        for net, last in (
            (extractor.policy_net, policy.action_net),
            (extractor.value_net, policy.value_net),
        )
    )
    return actor, critic


@cache
def scripted(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function in TorchScript; the function itself where TorchScript is not to be had."""
    with warnings.catch_warnings():  # the plan for when it goes is in the module's docstring
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return torch.jit.script(function)
        except Exception:  # whatever a torch without TorchScript raises
            return function


class LossTerms(NamedTuple):
    """Weights and clips of the loss, as SB3 calls them, and where an update ends."""

    clip_range: float
    clip_range_vf: float  # 0 for none
    vf_coef: float
    ent_coef: float
    normalize_advantage: bool
    max_grad_norm: float
    most_kl: float  # divergence above which no step follows a minibatch; inf for never
    least_log_std: float
    """To which each step keeps the actions' deviations, -inf for none. The smaller they are, the
    further the same step of the weights takes the policy; with a negative entropy bonus nothing
    else stops that."""


class Passed(NamedTuple):
    """What a pass gave, of k minibatches."""

    records: Tensor
    """(k, 6): policy loss, value loss, entropy loss, share of clipped ratios, loss, and the norm of
    the gradient before it was clipped."""
    kls: Tensor  # (k,) divergences
    stopped: bool  # whether the last one was too large, so that no step followed it


class _Vector(NamedTuple):
    """Parameters of one network, and in one piece what belongs to them, (p,) each."""

    values: list[Tensor]
    gradient: Tensor  # of which the parameters' `grad` are parts
    first: Tensor  # Adam's mean of gradients
    second: Tensor  # and of their squares
    change: Tensor  # the last step, before it is scaled
    changes: list[Tensor]  # its parts


class _Job(NamedTuple):
    """What a pass needs; the first three as Update.pass_over takes them."""

    data: list[Tensor]
    order: Tensor
    batch_size: int
    terms: LossTerms
    log_std: list[Tensor]
    layers: list[list[list[Tensor]]]
    vectors: list[_Vector]
    activation: str
    adam: tuple[float, float, float, float]  # decay of both means, learning rate, epsilon
    count: int  # steps that Adam has taken
    piece: int


class Update:
    """Passes of one update, in a `with` block after which the optimizer's state is up to date."""

    def __init__(
        self, policy: ActorCriticPolicy, terms: LossTerms, *, side_by_side: bool = False
    ) -> None:
        """Gather parameters and Adam's state of a policy that `fits`, in vectors.

        Where `side_by_side`, the value network has a second core; the numbers are the same.
        """
        self._optimizer = policy.optimizer
        chains = linear_layers(policy)
        actor, critic = ([p for each in c for p in (each.weight, each.bias)] for c in chains)
        self._parts = ([policy.log_std, *actor], critic)
        vectors = [_vector(policy.optimizer, part) for part in self._parts]  # sets all .grad
        group = policy.optimizer.param_groups[0]
        self._job = _Job(
            *([], torch.empty(0), 0),  # of each pass
            terms=terms,
            log_std=_with_slopes(policy.log_std),
            layers=[[_with_slopes(each.weight, each.bias) for each in c] for c in chains],
            vectors=vectors,
            activation=activation_of(policy),
            adam=(*group["betas"], float(group["lr"]), group["eps"]),
            count=int(policy.optimizer.state[policy.log_std]["step"].item()),
            piece=PIECE,
        )
        self._run = scripted(_pass)
        self.side_by_side = side_by_side and isinstance(self._run, torch.jit.ScriptFunction)

    def pass_over(self, data: Sequence[Tensor], order: Tensor, batch_size: int) -> Passed:
        """Take a step for each minibatch.

        Args:
            data: observations (n, d), actions (n, j), and of (n,) each the values, the
                log-probabilities, the advantages and the returns of the rollout.
            order: (n,) permutation of the samples.
            batch_size: samples of a minibatch.
        """
        job = self._job._replace(data=list(data), order=order, batch_size=batch_size)
        found, values, squares = self._run(job, self.side_by_side)
        stopped = bool((squares < 0.0).any())
        self._job = self._job._replace(count=job.count + len(found) - stopped)
        policy, entropy, clipped, kls = found.unbind(1)
        loss = policy + job.terms.ent_coef * entropy + job.terms.vf_coef * values
        norm = torch.where(squares < 0.0, -2.0 - squares, squares).sum(1).sqrt()
        return Passed(torch.stack((policy, values, entropy, clipped, loss, norm), 1), kls, stopped)

    def __enter__(self) -> "Update":
        return self

    def __exit__(self, *_: object) -> None:
        for vector, part in zip(self._job.vectors, self._parts, strict=True):
            moments = zip(_parts(vector.first, part), _parts(vector.second, part), strict=True)
            for p, (first, second) in zip(part, moments, strict=True):
                state = self._optimizer.state[p]
                state["exp_avg"].copy_(first)
                state["exp_avg_sq"].copy_(second)
                state["step"].fill_(self._job.count)


def _vector(optimizer: Optimizer, part: Sequence[Tensor]) -> _Vector:
    for p in part:
        state = optimizer.state[p]
        if not state:  # before the first step
            state["step"] = torch.zeros((), dtype=torch.float32, device=p.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
    first, second = (
        torch.cat([optimizer.state[p][name].flatten() for p in part])
        for name in ("exp_avg", "exp_avg_sq")
    )
    gradient, change = torch.zeros_like(first), torch.empty_like(first)
    for p, slope in zip(part, _parts(gradient, part), strict=True):
        p.grad = slope
    values, changes = [p.detach() for p in part], _parts(change, part)
    return _Vector(values, gradient, first, second, change, changes)


def _parts(vector: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """Those of a vector, as the parameters are shaped."""
    pieces = vector.split([p.numel() for p in parameters])
    return [piece.view_as(p) for piece, p in zip(pieces, parameters, strict=True)]


def _with_slopes(*parameters: Tensor) -> list[Tensor]:
    return [p.detach() for p in parameters] + [p.grad for p in parameters]  # type: ignore[misc]


# What follows means the same to Python as to TorchScript.
def forward(x: Tensor, layers: list[list[Tensor]], activation: str) -> list[Tensor]:
    """What each layer is given, and what the last one gives, (n, ...) each.

    The layers are weight (out, in), bias (out,), and what else the caller keeps with each.
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


def _pass(job: _Job, side_by_side: bool) -> tuple[Tensor, Tensor, Tensor]:
    """(k, 4) and (k,) what the gradients gave, and (k, 2) squared norms, of k minibatches."""
    count = (len(job.order) + job.batch_size - 1) // job.batch_size
    squares = torch.full([count, 2], -1.0)
    if side_by_side:
        later = torch.jit.fork(_walk, [1], job, squares)
        policy = _walk([0], job, squares)[0]
        value = torch.jit.wait(later)[1]
    else:
        policy, value = _walk([0, 1], job, squares)
    return torch.stack(policy), torch.stack(value), squares[: len(policy)]


def _walk(networks: list[int], job: _Job, squares: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """What the gradients gave, minibatch by minibatch, of the networks 0, 1 or both.

    `squares` (k, 2) takes the squared norms. It is -1 where that is not known yet, and negative
    where the KL divergence is too large to go on: -2 less the squared norm.
    """
    of_policy: list[Tensor] = []
    of_value: list[Tensor] = []
    for k in range(len(squares)):
        rows = job.order[k * job.batch_size : (k + 1) * job.batch_size]
        places = squares[k].unbind()
        for i in networks:
            gradient = job.vectors[i].gradient
            gradient.zero_()
            if i == 0:
                gave = _policy_gradient(job, rows)
                of_policy.append(torch.stack(gave))
                square = torch.dot(gradient, gradient)
                if float(gave[3]) > job.terms.most_kl:
                    square = -2.0 - square
                places[0].copy_(square)
            else:
                of_value.append(_value_gradient(job, rows))
                places[1].copy_(torch.dot(gradient, gradient))
        first, second = _known(places[0]), _known(places[1])
        if first < 0.0:
            break
        # as clip_grad_norm_ does
        share = job.terms.max_grad_norm / (math.sqrt(first + second) + 1e-6)
        for i in networks:
            if share < 1.0:
                job.vectors[i].gradient.mul_(share)
            _adam_step(job.vectors[i], job.count + k + 1, job.adam)
            if i == 0:
                job.log_std[0].clamp_(min=job.terms.least_log_std)
    return of_policy, of_value


def _policy_gradient(job: _Job, rows: Tensor) -> list[Tensor]:
    """Of the clipped policy loss and the entropy bonus, added to the gradients of the parameters.

    Returns policy loss, entropy loss, share of clipped ratios and KL divergence, no dimension each.
    """
    data, log_std, terms = job.data, job.log_std, job.terms
    obs, actions = data[0].index_select(0, rows), data[1].index_select(0, rows)
    old, advantages = data[3].index_select(0, rows), data[4].index_select(0, rows)
    clip, n = terms.clip_range, len(obs)
    if terms.normalize_advantage and n > 1:
        deviation, mean_advantage = torch.std_mean(advantages)
        advantages = (advantages - mean_advantage).div_(deviation + 1e-8)
    inverse = torch.exp(-log_std[0])
    halves = torch.full_like(inverse, -0.5)
    constant = (log_std[0] + 0.5 * math.log(2.0 * math.pi)).sum()
    old = old + constant
    log_std[1].sub_(terms.ent_coef)
    loss, clipped, kl = torch.zeros(3).unbind()
    for begin in range(0, n, job.piece):
        end = min(n, begin + job.piece)
        seen = forward(obs[begin:end], job.layers[0], job.activation)
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
        outputs = scaled.mul_(inverse).mul_(slope.unsqueeze(1))
        _backward(outputs, seen, job.layers[0], job.activation)
        loss.sub_(torch.minimum(plain, bounded).sum())
        beyond = ratio.sub_(1.0)
        kl.add_((beyond - log_ratio).sum())
        clipped.add_((beyond.abs_() > clip).sum())
    return [loss.div_(n), -(constant + 0.5 * len(inverse)), clipped.div_(n), kl.div_(n)]


def _value_gradient(job: _Job, rows: Tensor) -> Tensor:
    """Of the value loss times its weight, added to the gradients; the value loss, no dimension."""
    data, most = job.data, job.terms.clip_range_vf
    obs = data[0].index_select(0, rows)
    old, returns = data[2].index_select(0, rows), data[5].index_select(0, rows)
    n = len(obs)
    loss = torch.zeros_like(returns[0])
    for begin in range(0, n, job.piece):
        end = min(n, begin + job.piece)
        seen = forward(obs[begin:end], job.layers[1], job.activation)
        error = seen[-1].flatten() - returns[begin:end]
        slope = error
        if most > 0.0:
            before = old[begin:end] - returns[begin:end]
            change = error - before
            error = before + change.clamp(-most, most)
            slope = error * (change.abs() <= most)
        slope = slope * (2.0 * job.terms.vf_coef / n)
        _backward(slope.unsqueeze(1), seen, job.layers[1], job.activation)
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
                torch.ops.aten.tanh_backward(slope, x, grad_input=slope)
            elif kind == "relu":
                slope.mul_(x > 0.0)
            elif kind == "elu":
                slope.mul_((x + 1.0).clamp_(max=1.0))
            else:
                slope = torch.where(x > 0.0, slope, 0.01 * slope)


def _adam_step(vector: _Vector, count: int, numbers: tuple[float, float, float, float]) -> None:
    """Take the step of this count, which begins at 1, along the gradient."""
    beta1, beta2, rate, epsilon = numbers
    vector.first.lerp_(vector.gradient, 1.0 - beta1)
    vector.second.mul_(beta2).addcmul_(vector.gradient, vector.gradient, value=1.0 - beta2)
    torch.sqrt(vector.second, out=vector.change)
    vector.change.div_(math.sqrt(1.0 - beta2**count)).add_(epsilon)
    torch.div(vector.first, vector.change, out=vector.change)
    size = rate / (1.0 - beta1**count)
    for i in range(len(vector.values)):
        vector.values[i].sub_(vector.changes[i], alpha=size)


def _known(place: Tensor) -> float:
    """What another thread leaves in this place, as soon as it is there.

    On a busy machine it may have no core but this one: every fifth of a millisecond, let go.
    """
    value, looks = float(place), 0
    while value == -1.0:
        value = float(place)
        looks += 1
        if looks % 2000 == 0:
            torch.jit.wait(torch.jit.fork(_nothing, place))
        if looks > 10000000000:  # twenty minutes
            raise RuntimeError("the thread of the other network does not answer")
    return value


def _nothing(place: Tensor) -> Tensor:
    return place
