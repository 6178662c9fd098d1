"""Kinematics as a graph: the way in the joints against that of the environment."""

import numpy as np
import onnxruntime
import pytest

from reach_rl.bundles.graph import Graph
from reach_rl.bundles.kinematics import matrices
from reach_rl.bundles.policy_graph import Scene
from reach_rl.envs.physics import arm_of
from reach_rl.envs.pool import kinematics
from reach_rl.extend import onnx_form_of
from reach_rl.mdp import observations
from reach_rl.mdp.state import nearest_way
from reach_rl.robots import load_robot
from reach_rl.robots.inverse_kinematics import closed_form
from tests.small_runs import compose


def run(g, inputs):
    session = onnxruntime.InferenceSession(
        g.model("test", "").SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, inputs)


@pytest.mark.parametrize("name", ["ur3e", "ur20"])
def test_the_way_in_the_joints(name):
    """Poses everywhere, contacts and the unreachable included, from joints in any turn."""
    config = compose([f"robot={name}"])
    robot = load_robot(config.robot)
    form, arm = closed_form(robot), arm_of(robot, config.task)
    rng = np.random.default_rng(3)
    goal = kinematics(robot)(rng.uniform(-np.pi, np.pi, (4000, 6)))
    goal.position[:500] += rng.normal(size=(500, 3))
    joints = np.clip(rng.uniform(-6.2, 6.2, (4000, 6)), robot.low, robot.high)

    g = Graph()
    q, p, o = g.input("q", 6), g.input("p", 3), g.input("o", 4)
    given = {"joint_position": q, "goal_position": p, "goal_quaternion": o}
    given |= dict.fromkeys(("joint_velocity", "last_action", "self_contact"), q)
    scene = Scene(given, robot, form)
    g.output("error", onnx_form_of(observations.joint_error)(scene, arm), 6)
    there = form.solutions(p, matrices(o))[..., 0]
    g.output("there", (there == there).astype(np.float64), 8)
    error, there = run(g, {"q": joints, "p": goal.position, "o": goal.quaternion})

    found = form.solutions(goal.position, goal.matrix)
    np.testing.assert_array_equal(there > 0.5, np.isfinite(found[..., 0]))
    wanted = nearest_way(joints, form.all_ways(goal.position, goal.matrix), arm)[1]
    np.testing.assert_allclose(error, wanted, atol=1e-8)
    nowhere = ~np.isfinite(found[..., 0]).any(axis=1)
    assert nowhere.sum() > 100 and (error[nowhere] == 0.0).all()


def test_angles_all_around():
    t = np.concatenate((np.linspace(-3.14, 3.14, 101), [0.0, np.pi / 2, -np.pi / 2, np.pi]))
    r = np.random.default_rng(0).uniform(0.01, 9.0, t.shape)
    y, x = (r * np.sin(t))[:, None], (r * np.cos(t))[:, None]
    y[0], x[0] = 0.0, 0.0
    g = Graph()
    g.output("t", np.arctan2(g.input("y", 1), g.input("x", 1)), 1)
    np.testing.assert_allclose(
        run(g, {"y": y, "x": x})[0], np.arctan2(y, x), atol=1e-15, rtol=1e-12
    )
