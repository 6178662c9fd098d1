"""An update of PPO: passes over a rollout in minibatches, for both networks on a core of its own.

TorchScript runs a pass without Python between its operations, and without Python's lock. Policy
and value network share nothing but the data, and the norm by which the gradient of both is clipped.
So each walks through the minibatches on its own, leaves the square of its norm, and waits for that
of the other, which takes a microsecond where waking a thread would take a hundred.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor

from reach_rl.learning.adam import Steps, Vector, adam_step, on_vectors
from reach_rl.learning.gradient import Terms, policy_gradient, value_gradient
from reach_rl.learning.networks import PIECE, activation_of, linear_layers
from reach_rl.learning.script import scripted


class Passed(NamedTuple):
    """What a pass gave, of k minibatches."""

    records: Tensor
    """(k, 6): policy loss, value loss, entropy loss, share of clipped ratios, loss, and the norm of
    the gradient before it was clipped."""
    kls: Tensor
    """(k,) KL divergences."""
    stopped: bool
    """Whether the last divergence was above the target, so that no step followed it."""


class Update:
    """Passes of one update; see the module."""

    def __init__(
        self, policy: ActorCriticPolicy, steps: Steps, terms: Terms, *, side_by_side: bool
    ) -> None:
        """Look up the parameters; `updating` does it all."""
        actor, critic = linear_layers(policy)
        self._log_std = _with_slopes(policy.log_std)
        self._layers = [
            [_with_slopes(layer.weight, layer.bias) for layer in chain] for chain in (actor, critic)
        ]
        self._activation = activation_of(policy)
        self._steps, self._terms = steps, terms
        self._run = scripted(_pass)
        self.side_by_side = side_by_side and isinstance(self._run, torch.jit.ScriptFunction)

    def pass_over(
        self,
        data: Sequence[Tensor],
        order: Tensor,
        batch_size: int,
        target_kl: float | None = None,
        least_log_std: float | None = None,
    ) -> Passed:
        """Take a step for each minibatch.

        Args:
            data: observations (n, d), actions (n, j), and of (n,) each the values, the
                log-probabilities, the advantages and the returns of the rollout.
            order: (n,) permutation of the samples.
            batch_size: samples of a minibatch.
            target_kl: end the pass before the step of a minibatch whose KL divergence is above 1.5
                times this; None for never.
            least_log_std: of the actions' deviations, to which each step keeps; None for none.
        """
        terms, steps = self._terms, self._steps
        vf_clip = 0.0 if terms.clip_range_vf is None else terms.clip_range_vf
        job = _Job(
            data=list(data),
            order=order,
            batch_size=batch_size,
            log_std=self._log_std,
            layers=self._layers,
            vectors=steps.vectors,
            activation=self._activation,
            policy_loss=(terms.clip_range, terms.ent_coef),
            value_loss=(vf_clip, terms.vf_coef),
            normalize=terms.normalize_advantage,
            max_norm=terms.max_grad_norm,
            adam=steps.numbers,
            count=steps.count,
            most_kl=math.inf if target_kl is None else 1.5 * target_kl,
            least_log_std=-math.inf if least_log_std is None else least_log_std,
            piece=PIECE,
        )
        found, values, squares = self._run(job, self.side_by_side)
        stopped = bool((squares < 0.0).any())
        steps.count += len(found) - stopped
        policy_loss, entropy_loss, clipped, kls = found.unbind(1)
        value_loss = values[:, 0]
        loss = policy_loss + terms.ent_coef * entropy_loss + terms.vf_coef * value_loss
        norm = torch.where(squares < 0.0, -2.0 - squares, squares).sum(1).sqrt()
        records = torch.stack((policy_loss, value_loss, entropy_loss, clipped, loss, norm), dim=1)
        return Passed(records, kls, stopped)


@contextmanager
def updating(
    policy: ActorCriticPolicy, terms: Terms, *, side_by_side: bool = False
) -> Iterator[Update]:
    """Update the networks of a policy; its optimizer's state is up to date when the block ends.

    Args:
        policy: a `chained` one, see networks, with a `plain` optimizer, see adam.
        terms: of the loss.
        side_by_side: let the value network have a second core; the numbers are the same.
    """
    actor, critic = linear_layers(policy)
    parts = [[policy.log_std], []]
    for part, chain in zip(parts, (actor, critic), strict=True):
        part += [p for layer in chain for p in (layer.weight, layer.bias)]
    with on_vectors(policy.optimizer, parts) as steps:
        yield Update(policy, steps, terms, side_by_side=side_by_side)


def _with_slopes(*parameters: Tensor) -> list[Tensor]:
    """Parameters, then their gradients, as plain tensors."""
    slopes = [p.grad for p in parameters if p.grad is not None]
    return [p.detach() for p in parameters] + slopes


class _Job(NamedTuple):
    """What a pass needs."""

    data: list[Tensor]
    order: Tensor
    batch_size: int
    log_std: list[Tensor]
    layers: list[list[list[Tensor]]]
    vectors: list[Vector]
    activation: str
    policy_loss: tuple[float, float]
    value_loss: tuple[float, float]
    normalize: bool
    max_norm: float
    adam: tuple[float, float, float, float]
    count: int
    most_kl: float
    least_log_std: float
    piece: int


def _pass(job: _Job, side_by_side: bool) -> tuple[Tensor, Tensor, Tensor]:
    """(k, 4) and (k, 1) what the gradients gave, and (k, 2) squared norms, of k minibatches."""
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
                gave = policy_gradient(
                    job.data,
                    rows,
                    job.log_std,
                    job.layers[0],
                    job.activation,
                    job.policy_loss,
                    job.normalize,
                    job.piece,
                )
                of_policy.append(torch.stack(gave))
                square = torch.dot(gradient, gradient)
                if float(gave[3]) > job.most_kl:
                    square = -2.0 - square
                places[0].copy_(square)
            else:
                gave = value_gradient(
                    job.data, rows, job.layers[1], job.activation, job.value_loss, job.piece
                )
                of_value.append(torch.stack(gave))
                places[1].copy_(torch.dot(gradient, gradient))
        first, second = _known(places[0]), _known(places[1])
        if first < 0.0:
            break
        # as clip_grad_norm_ does
        share = job.max_norm / (math.sqrt(first + second) + 1e-6)
        for i in networks:
            if share < 1.0:
                job.vectors[i].gradient.mul_(share)
            adam_step(job.vectors[i], job.count + k + 1, job.adam)
            if i == 0:
                job.log_std[0].clamp_(min=job.least_log_std)
    return of_policy, of_value


def _known(place: Tensor) -> float:
    """What another thread leaves in this place, as soon as it is there.

    On a busy machine that thread may have no core, and be waiting for this one: every fifth of a
    millisecond of looking, let go.
    """
    value = float(place)
    looks = 0
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
