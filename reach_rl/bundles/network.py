"""Normalisation, network and meaning of the action as operations."""

from collections.abc import Callable, Mapping

import numpy as np

from reach_rl.bundles.graph import DOUBLE, FLOAT, Graph
from reach_rl.config.schema import Activation
from reach_rl.learning.policy import Policy
from reach_rl.mdp.actions import Action


def _gelu(g: Graph, x: str) -> str:
    """x (1 + erf(x / sqrt 2)) / 2."""
    erf = g.op("Erf", g.mul(x, g.constant(np.sqrt(0.5), np.float32)))
    half = g.mul(x, g.constant(0.5, np.float32))
    return g.mul(half, g.add(erf, g.constant(1.0, np.float32)))


ACTIVATIONS: Mapping[Activation, Callable[[Graph, str], str]] = {
    Activation.TANH: lambda g, x: g.op("Tanh", x),
    Activation.RELU: lambda g, x: g.op("Relu", x),
    Activation.ELU: lambda g, x: g.op("Elu", x),
    Activation.SILU: lambda g, x: g.mul(x, g.op("Sigmoid", x)),
    Activation.GELU: _gelu,
    Activation.LEAKY_RELU: lambda g, x: g.op("LeakyRelu", x, alpha=0.01),
}


def normalized(g: Graph, observation: str, policy: Policy) -> str:
    """What the network sees, (n, d) in single precision."""
    if policy.mean is not None and policy.scale is not None:
        shifted = g.sub(observation, g.constant(policy.mean))
        observation = g.clip(g.scale(shifted, policy.scale), -policy.clip, policy.clip)
    return g.cast(observation, FLOAT)


def network(g: Graph, seen: str, weights: Mapping[str, np.ndarray], activation: Activation) -> str:
    """The mean action in [-1, 1], (n, j) in double precision.

    Args:
        g: the graph.
        seen: (n, d) what the network sees.
        weights: of SB3's policy, by name.
        activation: of the hidden layers.
    """
    prefix = "mlp_extractor.policy_net."
    layers = sorted(
        {
            int(name.removeprefix(prefix).split(".")[0])
            for name in weights
            if name.startswith(prefix)
        }
    )
    value = seen
    for layer in layers:
        value = ACTIVATIONS[activation](g, _linear(g, value, weights, f"{prefix}{layer}"))
    value = _linear(g, value, weights, "action_net")
    bound = np.float32(1.0)
    value = g.op("Clip", value, g.constant(-bound, np.float32), g.constant(bound, np.float32))
    return g.cast(value, DOUBLE)


def _linear(g: Graph, value: str, weights: Mapping[str, np.ndarray], name: str) -> str:
    weight = g.constant(weights[f"{name}.weight"], np.float32)
    return g.op("Gemm", value, weight, g.constant(weights[f"{name}.bias"], np.float32), transB=1)


def joint_path(
    g: Graph, action: Action, asked: str, position: str, velocity: str, target: str | None
) -> str:
    """Joint targets (n, s, j) at the ends of the physics steps; see reach_rl.mdp.actions.

    Args:
        g: the graph.
        action: what an action means.
        asked: (n, j) the action.
        position: (n, j) measured joint angles.
        velocity: (n, j) measured joint speeds.
        target: (n, j) the targets before, of the increments.
    """
    if action.curve != 1.0:
        power = g.op("Pow", g.op("Abs", asked), g.constant(action.curve))
        asked = g.mul(g.op("Sign", asked), power)
    kind = KINDS[action.kind.__name__]
    moved = kind(g, action, asked, position, velocity, target)
    return g.clip(moved, action.arm.low, action.arm.high)


def _offset(
    g: Graph, action: Action, asked: str, position: str, velocity: str, target: str | None
) -> str:
    """As mdp.actions.offset."""
    limits, ramp = action.limits, action.limits.ramp.reshape(1, -1, 1)
    before = g.clip(velocity, -limits.speed, limits.speed)
    change = g.sub(g.scale(asked, limits.speed), before)
    change = _points(g, g.clip(change, -limits.change, limits.change))
    before, position = _points(g, before), _points(g, position)
    passed = ramp - ramp[:, :1]
    gone = g.scale(g.add(before, g.scale(change, 0.5 * passed)), passed * limits.period)
    lead = g.scale(g.add(before, g.scale(change, ramp)), limits.lag)
    return g.add(g.add(position, gone), lead)


def _increment(
    g: Graph, action: Action, asked: str, position: str, velocity: str, target: str | None
) -> str:
    """As mdp.actions.increment."""
    assert target is not None
    limits, ramp = action.limits, action.limits.ramp.reshape(1, -1, 1)
    return g.add(
        _points(g, target), g.scale(_points(g, asked), ramp * limits.period * limits.speed)
    )


KINDS = {"offset": _offset, "increment": _increment}
"""By the name of the kind in mdp.actions."""


def _points(g: Graph, value: str) -> str:
    """(n, j) to (n, 1, j)."""
    return g.op("Unsqueeze", value, g.constant([1], np.int64))
