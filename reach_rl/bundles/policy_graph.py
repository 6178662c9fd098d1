"""The whole policy as one ONNX model: joint state and goal in, joint targets out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from reach_rl.bundles import kinematics
from reach_rl.bundles.graph import CannotWriteError, Graph, Value, arctan_unit
from reach_rl.config import read_yaml
from reach_rl.config.problems import ConfigError
from reach_rl.config.schema import Activation, Config, ObservationConfig
from reach_rl.envs.physics import arm_of
from reach_rl.envs.pool import seen_form
from reach_rl.extend import entries, onnx_form_of
from reach_rl.learning.policy import Policy
from reach_rl.mdp.actions import Action
from reach_rl.mdp.state import Arm
from reach_rl.robots import RobotModel
from reach_rl.robots.inverse_kinematics import ClosedForm
from reach_rl.rundir.checkpoint import Checkpoint
from reach_rl.training.snapshot import policy_of

TEXTS: Mapping[str, Any] = read_yaml(Path(__file__).parent / "contract.yaml")
"""What contract.json says of inputs, outputs and frames."""


@dataclass(frozen=True, slots=True)
class Port:
    """An input or an output of the model."""

    name: str
    shape: tuple[int, ...]
    """Without the leading n."""
    unit: str
    frame: str
    meaning: str


@dataclass(frozen=True, slots=True)
class PolicyGraph:
    """The model and what its ports mean."""

    model: onnx.ModelProto
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


WITHOUT = "onnx_observation"
"""The format of a bundle without the observation's own part of the graph: it is an input."""


def build(
    config: Config, saved: Checkpoint, robot: RobotModel, *, observed: bool = False
) -> PolicyGraph:
    """Observation, normalisation, network and action in one graph.

    Args:
        config: the run.
        saved: the checkpoint.
        robot: the arm that the targets are for.
        observed: the observation is an input of the graph, not a part of it.

    Raises:
        ConfigError: the arm has joints that a chain of hinges and slides does not hold, or a term
            of the observation does what no graph can.
    """
    g = Graph()
    arm = arm_of(robot, config.task)
    sizes = {
        "joints": len(arm.home),
        "points": config.task.substeps,
        "actions": len(saved.policy["action_net.bias"]),
        "observed": len(saved.normalizer["obs_mean"]),
    }
    ports = _ports("inputs", sizes)
    given = {port.name: g.input(port.name, *port.shape) for port in ports}
    scene = Scene(given, robot, seen_form(config.observation, robot))
    seen = given["observation"] if observed else observation(scene, arm, config.observation)
    seen = normalized(seen.astype(np.float32).astype(np.float64), policy_of(saved))
    action = network(seen, saved.policy, config.ppo.policy_kwargs.activation_fn)
    path = joint_path(
        Action(config.action, arm, config.task.substeps), action, scene, given["last_target"]
    )
    tool_position, tool_quaternion = robot.in_base(scene.tool_position, scene.tool_quaternion)
    values = {
        "joint_path": path,
        "joint_target": path[:, config.task.substeps - 1],
        "action": action,
        "tool_position": tool_position,
        "tool_quaternion": tool_quaternion,
        "position_error": np.linalg.norm(scene.position_error, axis=-1),
        "orientation_error": scene.angle.reshape(-1),
    }
    outputs = _ports("outputs", sizes)
    for port in outputs:
        g.output(port.name, values[port.name], *port.shape)
    used = g.drop_unused(ALWAYS)
    inputs = tuple(port for port in ports if port.name in used)
    model = g.model(f"reach_rl_{robot.name}", "joint state and goal pose in, joint targets out")
    return PolicyGraph(model, inputs, outputs)


ALWAYS = ("joint_position", "joint_velocity", "goal_position", "goal_quaternion")
"""Inputs of every policy."""

STATE = {"last_action": "action", "last_target": "joint_target"}
"""Input -> the output of the call before that it takes."""


def _ports(kind: str, sizes: Mapping[str, int]) -> tuple[Port, ...]:
    """Every input that a policy may need, or every output; see contract.yaml."""
    rows = ((name, dict(row)) for name, row in TEXTS[kind].items())
    return tuple(
        Port(n, tuple(sizes.get(k, k) for k in row.pop("shape")), **row) for n, row in rows
    )


class Scene:
    """The arrays of an mdp.State as values of a graph, as far as a robot knows them.

    Goals come in the arm's base frame; here all is in the world, as in training.
    """

    def __init__(
        self, given: Mapping[str, Value], robot: RobotModel, form: ClosedForm | None
    ) -> None:
        self._form = form
        self.joint_position, self.joint_velocity = given["joint_position"], given["joint_velocity"]
        self.action, self.self_contact = given["last_action"], given["self_contact"]
        turn = given["goal_quaternion"]
        turn = turn / np.linalg.norm(turn, axis=-1, keepdims=True)
        self.goal_position, self.goal_quaternion = robot.in_world(given["goal_position"], turn)
        there = kinematics.posture(kinematics.chain_of(robot), self.joint_position)
        self.tool_position, self.tool_quaternion, self.joint_anchor, self.joint_axis = there
        self.position_error = self.goal_position - self.tool_position
        turn = rotation_error(self.tool_quaternion, self.goal_quaternion)
        self.rotation_error, self.angle = turn

    @property
    def goal_ways(self) -> tuple[Value, Value]:
        """Joint angles at the goal (n, w, j), and (n, w) 1 for those that count, else 0."""
        if self._form is None:
            raise CannotWriteError("the arm has no inverse kinematics in closed form")
        ways = self._form.ways(self.goal_position, kinematics.matrices(self.goal_quaternion))
        known = ways[..., 0] == ways[..., 0]  # what is not a number equals nothing
        return np.where(known[..., None], ways, 0.0), known.astype(np.float64)


def rotation_error(tool: Value, goal: Value) -> tuple[Value, Value]:
    """As mdp.arrays.rotation_error: axis times angle (n, 3), and the angle (n, 1)."""
    w0, v0, w1, v1 = goal[:, :1], goal[:, 1:], tool[:, :1], tool[:, 1:]
    vector = w1 * v0 - w0 * v1 - np.cross(v0, v1)
    cosine = (goal * tool).sum(axis=1, keepdims=True)
    vector = np.where(cosine < 0.0, -vector, vector)
    sine = np.linalg.norm(vector, axis=-1, keepdims=True)
    angle = arctan_unit(sine, np.abs(cosine)) * 2.0
    factor = np.where(sine < 1e-9, 2.0, angle / np.maximum(sine, 1e-9))
    return vector * factor, angle


def observation(scene: Scene, arm: Arm, config: ObservationConfig) -> Value:
    """The configured terms side by side (n, d)."""
    parts = []
    for name, term in config.terms.items():
        if term is None:
            continue
        form = onnx_form_of(entries("observation_term")[name])
        try:
            if isinstance(form, type):
                raise CannotWriteError("it remembers")
            value = form(scene, arm, **term.arguments)
        except Exception as error:
            raise ConfigError(
                f"observation.terms.{name}: cannot be written as an ONNX graph ({error}); give it "
                f"an ONNX form (@{name}.onnx), or try format={WITHOUT}, which takes the observation"
            ) from error
        if term.scales:
            value = np.tanh(value[:, None] / np.asarray(term.scales)[:, None]).reshape(0, -1)
        parts.append(value)
    return np.concatenate(parts, axis=1)


def normalized(seen: Value, policy: Policy) -> Value:
    """What the network sees, (n, d) in single precision, of what is observed."""
    if policy.mean is not None and policy.scale is not None:
        seen = np.clip((seen - policy.mean) * policy.scale, -policy.clip, policy.clip)
    return seen.astype(np.float32)


def _gelu(x: Value) -> Value:
    """x (1 + erf(x / sqrt 2)) / 2."""
    erf = x.graph.op("Erf", x * np.float32(np.sqrt(0.5)))
    return x * np.float32(0.5) * (erf + np.float32(1.0))


ACTIVATIONS: Mapping[Activation, Callable[[Value], Value]] = {
    Activation.TANH: np.tanh,
    Activation.RELU: lambda x: x.graph.op("Relu", x),
    Activation.ELU: lambda x: x.graph.op("Elu", x),
    Activation.SILU: lambda x: x * x.graph.op("Sigmoid", x),
    Activation.GELU: _gelu,
    Activation.LEAKY_RELU: lambda x: x.graph.op("LeakyRelu", x, alpha=0.01),
}


def network(seen: Value, weights: Mapping[str, np.ndarray], activation: Activation) -> Value:
    """The mean action in [-1, 1], (n, j) in double precision.

    Args:
        seen: (n, d) what the network sees.
        weights: of SB3's policy, by name.
        activation: of the hidden layers.
    """
    prefix = "mlp_extractor.policy_net."
    named = [name.removeprefix(prefix) for name in weights if name.startswith(prefix)]
    value = seen
    for layer in sorted({int(name.split(".")[0]) for name in named}):
        value = ACTIVATIONS[activation](_linear(value, weights, f"{prefix}{layer}"))
    value = _linear(value, weights, "action_net")
    return value.graph.op("Clip", value, np.float32(-1.0), np.float32(1.0)).astype(np.float64)


def _linear(value: Value, weights: Mapping[str, np.ndarray], name: str) -> Value:
    parts = (np.asarray(weights[f"{name}.{part}"], np.float32) for part in ("weight", "bias"))
    return value.graph.op("Gemm", value, *parts, transB=1)


def joint_path(action: Action, asked: Value, scene: Scene, last_target: Value) -> Value:
    """Joint targets (n, s, j) at the ends of the physics steps; see reach_rl.mdp.actions."""
    if action.curve != 1.0:
        asked = np.sign(asked) * np.abs(asked) ** action.curve
    form: Any = onnx_form_of(action.kind)
    try:
        path = form(action.limits, asked, scene, last_target)
    except Exception as error:
        raise ConfigError(
            f"action.kind={action.name}: cannot be written as an ONNX graph ({error}); give it an "
            f"ONNX form (@{action.name}.onnx), or try format=sb3"
        ) from error
    return np.clip(path.transpose(1, 0, 2), action.arm.low, action.arm.high)
