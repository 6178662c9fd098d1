"""The whole policy as one ONNX model: joint state and goal in, joint targets out."""

from dataclasses import dataclass

import onnx

from reach_rl.bundles.graph import Graph
from reach_rl.bundles.kinematics import chain_of, posture
from reach_rl.bundles.network import joint_path, network, normalized
from reach_rl.bundles.terms import Scene, observation, rotation_error
from reach_rl.config.schema import Config
from reach_rl.envs.physics import arm_of
from reach_rl.envs.pool import seen_form
from reach_rl.mdp.actions import Action
from reach_rl.robots import RobotModel
from reach_rl.rundir.checkpoint import Checkpoint
from reach_rl.training.trained import policy_of


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
    state: dict[str, str]
    """Input -> the output of the call before that it takes."""


def build(config: Config, saved: Checkpoint, robot: RobotModel) -> PolicyGraph:
    """Observation, normalisation, network and action in one graph.

    Args:
        config: the run.
        saved: the checkpoint.
        robot: the arm that the targets are for.

    Raises:
        ConfigError: the arm has joints that a chain of hinges and slides does not hold.
    """
    inputs, state = _inputs(config)
    g = Graph()
    names = {port.name: g.input(port.name, *port.shape) for port in inputs}
    arm = arm_of(robot, config.task)
    q, speed = names["joint_position"], names["joint_velocity"]
    goal = names["goal_quaternion"]
    goal = g.div(goal, g.norm(goal, keep=True))
    tool = posture(g, chain_of(robot), q)
    gap = g.sub(names["goal_position"], tool.position)
    turn, angle = rotation_error(g, tool.quaternion, goal)
    scene = Scene(
        arm=arm,
        joint_position=q,
        joint_velocity=speed,
        tool=tool,
        goal_position=names["goal_position"],
        goal_quaternion=goal,
        position_error=gap,
        rotation_error=turn,
        last_action=names.get("last_action"),
        self_contact=names.get("self_contact"),
        form=seen_form(config.observation, robot),
    )
    seen = normalized(g, observation(g, scene, config.observation), policy_of(saved))
    activation = config.ppo.policy_kwargs.activation_fn
    asked = network(g, seen, saved.policy, activation)
    meaning = Action(config.action, arm, config.task.substeps)
    path = joint_path(g, meaning, asked, q, speed, names.get("last_target"))
    values = {
        "joint_path": path,
        "joint_target": g.take(path, config.task.substeps - 1, 1),
        "action": asked,
        "tool_position": tool.position,
        "tool_quaternion": tool.quaternion,
        "position_error": g.norm(gap),
        "orientation_error": g.reshape(angle, -1),
    }
    outputs = _outputs(len(arm.home), config.task.substeps)
    for port in outputs:
        g.output(port.name, values[port.name], *port.shape)
    model = g.model(f"reach_rl_{robot.name}", "joint state and goal pose in, joint targets out")
    return PolicyGraph(model, inputs, outputs, state)


def _inputs(config: Config) -> tuple[tuple[Port, ...], dict[str, str]]:
    """The inputs that this policy needs, and which of them are its own outputs of before."""
    j = len(config.robot.joints)
    ports = [
        Port("joint_position", (j,), "rad", "joints", "measured joint angles"),
        Port("joint_velocity", (j,), "rad/s", "joints", "measured joint speeds"),
        Port("goal_position", (3,), "m", "base", "where the tool is to be"),
        Port("goal_quaternion", (4,), "", "base", "how it is to be turned, w, x, y, z"),
    ]
    seen = {name for name, term in config.observation.terms.items() if term is not None}
    state = {}
    if "last_action" in seen:
        ports.append(Port("last_action", (j,), "", "joints", "action of the call before, first 0"))
        state["last_action"] = "action"
    if config.action.kind == "increment":
        meaning = "joint targets of the call before, first the measured angles"
        ports.append(Port("last_target", (j,), "rad", "joints", meaning))
        state["last_target"] = "joint_target"
    if "self_collision" in seen:
        ports.append(Port("self_contact", (), "", "", "1 while the arm touches itself, else 0"))
    return tuple(ports), state


def _outputs(j: int, points: int) -> tuple[Port, ...]:
    return (
        Port("joint_path", (points, j), "rad", "joints", "joint targets at path_times_s from now"),
        Port("joint_target", (j,), "rad", "joints", "the last of them, at the end of the period"),
        Port("action", (j,), "", "joints", "the network's own output, -1 to 1"),
        Port("tool_position", (3,), "m", "base", "where the tool is, from the joint angles"),
        Port("tool_quaternion", (4,), "", "base", "how it is turned, w, x, y, z"),
        Port("position_error", (), "m", "", "distance of the tool from the goal"),
        Port("orientation_error", (), "rad", "", "angle of the tool from the goal"),
    )
