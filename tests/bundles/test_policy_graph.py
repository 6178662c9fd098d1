"""The graph against torch and the environment: every term, kind and activation, any arm."""

from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import onnxruntime
import pytest
import torch

from reach_rl.bundles import policy_graph
from reach_rl.bundles.graph import Graph, arctan_unit
from reach_rl.bundles.kinematics import chain_of, posture
from reach_rl.bundles.onnx_bundle import prove
from reach_rl.bundles.policy_graph import build
from reach_rl.config.problems import ConfigError
from reach_rl.config.schema import Activation, ObservationTerm
from reach_rl.envs.batch import ReachBatch
from reach_rl.extend import entries
from reach_rl.learning.policy import ACTIVATIONS, bare_network
from reach_rl.robots import load_robot
from reach_rl.rundir.checkpoint import Checkpoint
from reach_rl.training.snapshot import policy_of
from tests.small_runs import compose

ASSETS = Path(__file__).parent.parent / "assets"
ARM7 = [
    "robot=custom",
    f"robot.mjcf={ASSETS / 'arm7.xml'}",
    "robot.joints=[j1,j2,j3,j4,j5,j6,j7]",
    "robot.actuators=[a1,a2,a3,a4,a5,a6,a7]",
    "robot.tcp_site=tip",
    "task.region.joint_range=[0.8]",
]
SMALL = ["task.region.pool=64", "ppo.policy_kwargs.net_arch.pi=[16,16]"]


def everything(config):
    """The run with every observation term, alternately plain and at two widths."""
    wanted = {
        name: ObservationTerm(scales=[0.5, 0.05] if i % 2 else None, noise=0.01)
        for i, name in enumerate(entries("observation_term"))
        if name != "joint_error" or config.robot.mjcf is None
    }
    return replace(config, observation=replace(config.observation, terms=wanted))


def untrained(config, robot):
    """A checkpoint with weights by chance, large enough that actions fill their range."""
    torch.manual_seed(0)
    size, joints = ReachBatch(config, 1, robot=robot).observe.size, len(config.robot.joints)
    rng = np.random.default_rng(0)
    weights = {
        k: v.numpy().copy() for k, v in bare_network(config, size, joints).state_dict().items()
    }
    weights["action_net.weight"] = rng.normal(0, 0.5, weights["action_net.weight"].shape)
    weights = {k: np.asarray(v, np.float32) for k, v in weights.items()}
    normalizer = {"obs_mean": rng.normal(0, 0.1, size), "obs_var": rng.uniform(0.5, 1.5, size)}
    nothing = {"none": np.zeros(1)}
    return Checkpoint(config, weights, nothing, normalizer, nothing, nothing, {})


def proof_of(config, count=1000):
    robot = load_robot(config.robot, config.task.physics_step)
    saved = untrained(config, robot)
    graph = build(config, saved, robot)
    return graph, prove(graph, policy_of(saved), config, robot, 1, count)


def test_every_term_kind_and_activation_can_be_written():
    config = everything(compose([*SMALL, "robot=ur5e"]))
    assert config.observation.terms.keys() == entries("observation_term").keys()
    robot = load_robot(config.robot, config.task.physics_step)
    saved = untrained(config, robot)
    for kind in entries("action_kind"):
        build(replace(config, action=replace(config.action, kind=kind)), saved, robot)
    assert policy_graph.ACTIVATIONS.keys() == ACTIVATIONS.keys() == set(Activation)


@pytest.mark.parametrize(
    "overrides",
    [
        ["robot=ur5e", "ppo.policy_kwargs.activation_fn=elu"],
        ["robot=ur10e", "action=increment", "robot.servo_lag=0.03"],
        [*ARM7, "task.substeps=2"],
    ],
    ids=["ur5e", "increments", "seven joints"],
)
def test_every_term_agrees_with_the_environment(overrides):
    graph, (proof, golden) = proof_of(everything(compose([*SMALL, *overrides])))
    assert proof["largest_difference_rad"] < 2e-6
    assert "last_action" in {port.name for port in graph.inputs}
    actions_seen = golden["output.action"]
    assert np.abs(actions_seen).max() > 0.9 and actions_seen.std() > 0.2


@pytest.mark.parametrize(
    "preset",
    [[], *([f"experiment={name}"] for name in ("notes", "sim2real", "full_sphere"))],
)
def test_presets_agree_and_need_only_their_own_inputs(preset):
    graph, (proof, _) = proof_of(compose([*SMALL, *preset]), 500)
    assert proof["largest_difference_rad"] < 2e-6
    names = {port.name for port in graph.inputs}
    classic = {"last_action", "last_target", "self_contact"}
    assert names & classic == (classic if "experiment=notes" in preset else set())


@pytest.fixture
def own_term(monkeypatch):
    """Registers a term of somebody's own and gives a run that sees it."""
    from reach_rl import extend

    def registered(term):
        monkeypatch.setitem(extend._ENTRIES["observation_term"], "own", term)
        config = compose([*SMALL, "robot=ur5e"])
        terms = {**config.observation.terms, "own": ObservationTerm(scales=[0.5], noise=0.0)}
        return replace(config, observation=replace(config.observation, terms=terms))

    return registered


def test_a_term_in_plain_numpy_is_exported_as_it_is(own_term):
    def heights(state, arm):
        joints = np.concatenate((state.joint_anchor[:, :, 2], state.goal_position[..., 2:]), axis=1)
        return np.where(joints < 0.2, np.exp(-joints), 1.0) * np.clip(state.action[:, :1], 0, 1)

    assert proof_of(own_term(heights), 500)[1][0]["observations"] == 500


@pytest.mark.parametrize(
    ("term", "why"),
    [
        (lambda state, arm: state.table_contact[:, None] * 1.0, "'table_contact'"),
        (lambda state, arm: np.sinh(state.joint_position), "numpy.sinh"),
        (lambda state, arm: np.median(state.joint_position, axis=1)[:, None], "numpy.median"),
    ],
)
def test_a_term_that_no_graph_can_hold_is_one_line(own_term, term, why):
    config = own_term(term)
    robot = load_robot(config.robot, config.task.physics_step)
    with pytest.raises(ConfigError, match=r"observation\.terms\.own: cannot be written") as caught:
        build(config, untrained(config, robot), robot)
    assert why in str(caught.value) and "@own.onnx" in str(caught.value)


@pytest.mark.parametrize("activation", list(Activation))
def test_activations(activation):
    x = np.linspace(-4, 4, 101, dtype=np.float32)[:, None]
    g = Graph()
    value = g.input("x", 1).astype(np.float32)
    g.output("y", policy_graph.ACTIVATIONS[activation](value).astype(np.float64), 1)
    (y,) = run(g, {"x": x.astype(float)})
    wanted = ACTIVATIONS[activation]()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(y, wanted, atol=1e-6)


def run(g, inputs):
    session = onnxruntime.InferenceSession(
        g.model("test", "").SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, inputs)


def test_arc_tangent_is_exact_to_the_last_digits():
    angle = np.concatenate(([0.0, np.pi / 2], np.geomspace(1e-12, np.pi / 2, 200)))[:, None]
    g = Graph()
    g.output("t", arctan_unit(g.input("y", 1), g.input("x", 1)), 1)
    (t,) = run(g, {"y": np.sin(angle), "x": np.cos(angle)})
    np.testing.assert_allclose(t, angle, rtol=1e-12, atol=1e-15)


GANTRY = """<mujoco><compiler angle="radian"/><worldbody><body pos=".1 .2 .3" quat="1 .1 .2 .3">
<inertial mass="1" pos="0 0 0" diaginertia=".1 .1 .1"/><joint name="x" type="slide" axis="1 0 0"
range="-.2 .8" ref=".1"/><body name="b" pos="0 .1 0"><inertial mass="1" pos="0 0 0"
diaginertia=".1 .1 .1"/><joint name="held" axis="0 1 0" pos=".02 0 0" range="-1 1"/><joint
name="turn" axis="0 .6 .8" pos=".03 .01 0" range="-2 2" ref=".3"/><body name="c" pos="0 0 .4"
quat="1 0 1 0"><inertial mass="1" pos="0 0 0" diaginertia=".1 .1 .1"/><joint name="z" axis="0 0 1"
range="-3 3"/><geom size=".01" contype="0" conaffinity="0"/><site name="tip" pos="0 0 .1"
quat="1 .5 0 0"/></body></body></body></worldbody><actuator><position name="ax" joint="x" kp="100"
kv="10" forcerange="-50 50"/><position name="at" joint="turn" kp="100" kv="10" forcerange="-50 50"/>
<position name="az" joint="z" kp="100" kv="10" forcerange="-50 50"/></actuator><keyframe><key
name="home" qpos=".2 .4 .5 .1" ctrl=".2 .5 .1"/></keyframe></mujoco>"""


def gantry(tmp_path, joints):
    path = tmp_path / "gantry.xml"
    path.write_text(GANTRY)
    names = {"x": "ax", "turn": "at", "z": "az"}
    overrides = [
        "robot=custom",
        f"robot.mjcf={path}",
        f"robot.joints=[{','.join(joints)}]",
        f"robot.actuators=[{','.join(names[j] for j in joints)}]",
        "robot.tcp_site=tip",
        "task.region.joint_range=[0.3]",
    ]
    return load_robot(compose(overrides).robot)


def test_kinematics_of_slides_held_joints_and_any_order(tmp_path):
    robot = gantry(tmp_path, ["z", "x", "turn"])
    g = Graph()
    there = posture(chain_of(robot), g.input("q", 3))
    for value, shape in zip(there, ((3,), (4,), (3, 3), (3, 3)), strict=True):
        g.output(f"out{len(g.outputs)}", value, *shape)
    q = np.random.default_rng(0).uniform(robot.low, robot.high, (20, 3))
    position, quaternion, anchor, axis = run(g, {"q": q})
    data = mujoco.MjData(robot.model)
    ids = robot.model.dof_jntid[robot.dof_adr]
    turn = np.zeros(4)
    for row in range(20):
        data.qpos[:] = robot.home_qpos
        data.qpos[robot.qpos_adr] = q[row]
        mujoco.mj_kinematics(robot.model, data)
        np.testing.assert_allclose(position[row], data.site_xpos[robot.tcp_site], atol=1e-12)
        mujoco.mju_mat2Quat(turn, data.site_xmat[robot.tcp_site])
        assert abs(turn @ quaternion[row]) == pytest.approx(1.0, abs=1e-12)
        np.testing.assert_allclose(axis[row], data.xaxis[ids], atol=1e-12)
        # any point on a hinge's axis will do, and a slide has no need of one
        gap = np.cross(anchor[row] - data.xanchor[ids], data.xaxis[ids])
        np.testing.assert_allclose(gap[[0, 2]], 0.0, atol=1e-12)


def test_a_joint_that_does_not_move_the_tool_is_refused(tmp_path):
    inertial = '<inertial mass="1" pos="0 0 0" diaginertia=".1 .1 .1"/>'
    body = f'<body>{inertial}<joint name="side" axis="0 0 1" range="-1 1"/></body></worldbody>'
    servo = '<position name="as" joint="side" kp="9" kv="1" forcerange="-9 9"/></actuator>'
    side = GANTRY.replace("</worldbody>", body).replace("</actuator>", servo)
    side = side.replace('.1" ctrl', '.1 0" ctrl').replace('.5 .1"/></key', '.5 .1 0"/></key')
    path = tmp_path / "side.xml"
    path.write_text(side)
    robot = load_robot(
        replace(
            compose(["robot=ur5e"]).robot,
            name="custom",
            mjcf=str(path),
            joints=["x", "side"],
            actuators=["ax", "as"],
            tcp_site="tip",
        )
    )
    with pytest.raises(ConfigError, match="side cannot move the tool"):
        chain_of(robot)
