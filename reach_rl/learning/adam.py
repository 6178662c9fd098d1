"""Adam on one vector instead of a tensor at a time; the optimizer's own state before and after.

The networks are so small that PyTorch's fused Adam spends its time on the list of parameters.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from reach_rl.learning.script import scripted

_OTHERS = ("weight_decay", "amsgrad", "maximize", "capturable", "differentiable")

Step = Callable[[], None]


def plain(optimizer: Optimizer) -> bool:
    """Whether an optimizer is Adam as it was published (Kingma and Ba, 2015), with one group."""
    groups = optimizer.param_groups
    return type(optimizer) is Adam and len(groups) == 1 and not any(groups[0][k] for k in _OTHERS)


@contextmanager
def on_one_vector(optimizer: Optimizer, gradient: Tensor) -> Iterator[Step]:
    """Take steps of a `plain` optimizer; its state is up to date when the block ends.

    Args:
        optimizer: with the learning rate to use.
        gradient: (p,) of all its parameters, in their order; each step reads it.

    Yields:
        What takes a step.
    """
    group = optimizer.param_groups[0]
    parameters: list[Tensor] = group["params"]
    states = [optimizer.state[p] for p in parameters]
    for p, state in zip(parameters, states, strict=True):
        if not state:  # before the first step
            state["step"] = torch.zeros((), dtype=torch.float32, device=p.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
    moments = [torch.cat([s[k].flatten() for s in states]) for k in ("exp_avg", "exp_avg_sq")]
    change = torch.empty_like(gradient)
    sizes = [p.numel() for p in parameters]
    changes = [c.view_as(p) for c, p in zip(change.split(sizes), parameters, strict=True)]
    values = [p.detach() for p in parameters]
    (beta1, beta2), rate, epsilon = group["betas"], float(group["lr"]), group["eps"]
    count = int(states[0]["step"].item())
    run = scripted(_step)

    def step() -> None:
        nonlocal count
        count += 1
        size = rate / (1.0 - beta1**count)
        root = math.sqrt(1.0 - beta2**count)
        run(values, changes, change, gradient, moments, (beta1, beta2, size, root, epsilon))

    try:
        yield step
    finally:
        parts = [moment.split(sizes) for moment in moments]
        for state, first, second in zip(states, *parts, strict=True):
            state["step"].fill_(count)
            state["exp_avg"].copy_(first.view_as(state["exp_avg"]))
            state["exp_avg_sq"].copy_(second.view_as(state["exp_avg_sq"]))


def _step(
    values: list[Tensor],
    changes: list[Tensor],
    change: Tensor,
    gradient: Tensor,
    moments: list[Tensor],
    numbers: tuple[float, float, float, float, float],
) -> None:
    """One step; `changes` are the parts of `change`."""
    beta1, beta2, size, root, epsilon = numbers
    moments[0].lerp_(gradient, 1.0 - beta1)
    moments[1].mul_(beta2).addcmul_(gradient, gradient, value=1.0 - beta2)
    torch.sqrt(moments[1], out=change)
    change.div_(root).add_(epsilon)
    torch.div(moments[0], change, out=change)
    for i in range(len(values)):
        values[i].sub_(changes[i], alpha=size)
