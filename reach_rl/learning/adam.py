"""Adam on one vector instead of a tensor at a time; the optimizer's own state before and after.

The networks are so small that PyTorch's fused Adam spends its time on the list of parameters.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

_OTHERS = ("weight_decay", "amsgrad", "maximize", "capturable", "differentiable")


class Vector(NamedTuple):
    """Some parameters of an optimizer, and in one piece what belongs to them, (p,) each."""

    values: list[Tensor]
    """The parameters."""
    gradient: Tensor
    """Of which their `grad` are parts."""
    first: Tensor
    """Adam's mean of gradients."""
    second: Tensor
    """And of their squares."""
    change: Tensor
    """The last step, before it is scaled."""
    changes: list[Tensor]
    """Its parts."""


class Steps:
    """Adam's steps in a block of on_vectors."""

    def __init__(self, optimizer: Optimizer, vectors: list[Vector], count: int) -> None:
        """Go on after `count` steps."""
        group = optimizer.param_groups[0]
        self.vectors = vectors
        self.count = count
        """Steps that have been taken; whoever takes them counts."""
        self.numbers: tuple[float, float, float, float] = (
            *group["betas"],
            float(group["lr"]),
            group["eps"],
        )
        """Decay of both means, learning rate, and epsilon."""


def plain(optimizer: Optimizer) -> bool:
    """Whether an optimizer is Adam as it was published (Kingma and Ba, 2015), with one group."""
    groups = optimizer.param_groups
    return type(optimizer) is Adam and len(groups) == 1 and not any(groups[0][k] for k in _OTHERS)


@contextmanager
def on_vectors(optimizer: Optimizer, parts: Sequence[Sequence[Tensor]]) -> Iterator[Steps]:
    """Take steps of a `plain` optimizer; its state is up to date when the block ends.

    Args:
        optimizer: with the learning rate to use.
        parts: its parameters, each in one of them; each part becomes a vector.
    """
    for p in (p for part in parts for p in part):
        state = optimizer.state[p]
        if not state:  # before the first step
            state["step"] = torch.zeros((), dtype=torch.float32, device=p.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
    vectors = [_vector(optimizer, part) for part in parts]
    first = optimizer.state[parts[0][0]]
    steps = Steps(optimizer, vectors, int(first["step"].item()))
    try:
        yield steps
    finally:
        for vector, part in zip(vectors, parts, strict=True):
            for name, moment in (("exp_avg", vector.first), ("exp_avg_sq", vector.second)):
                for p, values in zip(part, _parts(moment, part), strict=True):
                    optimizer.state[p][name].copy_(values)
                    optimizer.state[p]["step"].fill_(steps.count)


def _vector(optimizer: Optimizer, part: Sequence[Tensor]) -> Vector:
    first, second = (
        torch.cat([optimizer.state[p][name].flatten() for p in part])
        for name in ("exp_avg", "exp_avg_sq")
    )
    gradient, change = torch.zeros_like(first), torch.empty_like(first)
    for p, slope in zip(part, _parts(gradient, part), strict=True):
        p.grad = slope
    values = [p.detach() for p in part]
    return Vector(values, gradient, first, second, change, _parts(change, part))


def _parts(vector: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """Those of a vector, as the parameters are shaped."""
    pieces = vector.split([p.numel() for p in parameters])
    return [piece.view_as(p) for piece, p in zip(pieces, parameters, strict=True)]


def adam_step(vector: Vector, count: int, numbers: tuple[float, float, float, float]) -> None:
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
