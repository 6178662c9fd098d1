"""The scene that training simulates: it stands still, feels contacts, and is quick."""

from collections.abc import Callable

import mujoco
import numpy as np
import pytest
from mujoco.batch import Batch

from reach_rl.config.schema import RobotConfig
from reach_rl.robots import RobotModel, load_robot, training_scene
from reach_rl.robots.family import NAMES

Make = Callable[..., RobotConfig]
SAG_POSE = (0.0, -1.0, 1.2, -1.77, -1.57, 0.0)


def at(robot: RobotModel, joints: np.ndarray | None = None) -> mujoco.MjData:
    """The simulation at rest in a pose (home by default), its servos holding it."""
    data = mujoco.MjData(robot.model)
    data.qpos[:] = robot.home_qpos
    data.ctrl[:] = robot.base_ctrl
    if joints is not None:
        data.qpos[robot.qpos_adr] = data.ctrl[robot.ctrl_ids] = joints
    mujoco.mj_forward(robot.model, data)
    return data


def drift(robot: RobotModel, data: mujoco.MjData, seconds: float) -> float:
    """How far the tool moves (m)."""
    start = data.site_xpos[robot.tcp_site].copy()
    for _ in range(round(seconds / robot.model.opt.timestep)):
        mujoco.mj_step(robot.model, data)
    return float(np.linalg.norm(data.site_xpos[robot.tcp_site] - start))


@pytest.mark.parametrize("name", NAMES)
def test_home_is_held_free_of_contact(name: str, robot_config: Make) -> None:
    """Five seconds at home: no contact, and the tool drifts less than a millimetre."""
    robot = load_robot(robot_config(name))
    data = at(robot)
    assert data.ncon == 0
    assert drift(robot, data, 5.0) < 1e-3
    assert data.ncon == 0
    assert (data.sensordata == 0).all()


def test_what_the_robot_says_of_itself(robot_config: Make) -> None:
    """Addresses, limits and home are those of the model and of the data sheet."""
    robot = load_robot(robot_config("ur10e"), physics_step=0.004)
    assert robot.model.opt.timestep == 0.004
    assert robot.model.opt.integrator == int(mujoco.mjtIntegrator.mjINT_IMPLICITFAST)
    assert np.allclose(np.degrees(robot.velocity_limits), [120, 120, 180, 180, 180, 180])
    assert np.allclose(robot.torque_limits, [330, 330, 150, 54, 54, 54])
    assert np.allclose(robot.high, np.radians([360, 360, 180, 360, 360, 360]))
    assert np.allclose(robot.low, -robot.high)
    assert np.allclose(robot.home, np.array([0, -1, 1, -1, -1, 0]) * np.pi / 2)
    assert np.allclose(robot.home_qpos, robot.home)
    assert np.allclose(robot.base_ctrl, robot.home)
    assert robot.reach == 1.3
    assert (robot.base_position == 0).all()
    assert np.allclose(robot.servo_lag, 0.1)
    assert robot.model.body(robot.tool_body).name == "wrist_3_link"
    assert np.isinf(load_robot(robot_config("ur3e")).high[5])


def test_looks_are_left_out_and_mass_stays(robot_config: Make) -> None:
    """No visual shape, light or camera costs time; the dynamics are those of the whole model."""
    robot = load_robot(robot_config())
    model = robot.model
    assert model.ngeom == 15
    assert (model.nlight, model.ncam, model.nmesh) == (0, 0, 0)
    assert model.body_subtreemass[0] == pytest.approx(21.7)


def test_contacts_with_self_and_table_are_told_apart(robot_config: Make) -> None:
    """Folded: self only. Tool pushed down: table only."""
    robot = load_robot(robot_config())
    folded = at(robot, np.array([0.0, -np.pi / 2, 3.0, -np.pi / 2, -np.pi / 2, 0.0]))
    assert folded.sensordata[robot.self_contact] > 0
    assert folded.sensordata[robot.table_contact] == 0
    pushed = at(robot, np.array([0.0, -0.3, 0.9, -2.1, -np.pi / 2, 0.0]))
    assert pushed.site_xpos[robot.tcp_site, 2] < 0
    assert pushed.sensordata[robot.self_contact] == 0
    assert pushed.sensordata[robot.table_contact] > 0


def test_contact_sensors_in_the_batch(robot_config: Make) -> None:
    """The batch reads them after forward and after step up to the velocity stage."""
    robot = load_robot(robot_config())
    batch = Batch(robot.model, 2, 1)
    qpos, ctrl, sensed = batch.bind("qpos"), batch.bind("ctrl"), batch.bind("sensordata")
    qpos[:] = ctrl[:] = robot.home
    qpos[1, 2] = ctrl[1, 2] = 3.0
    for call in (batch.forward, lambda **k: batch.step(nstep=2, **k)):
        call(stage=int(mujoco.mjtStage.mjSTAGE_VEL))
        assert sensed[0].tolist() == [0, 0]
        assert sensed[1, robot.self_contact] > 0


@pytest.mark.parametrize("name", ["ur3e", "ur5e", "ur20"])
def test_listed_pairs_change_nothing(
    name: str, robot_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the list of pairs and with MuJoCo's own search the arm moves and collides alike."""
    listed = load_robot(robot_config(name))
    monkeypatch.setattr(training_scene, "list_pairs", lambda spec, model: False)
    searched = load_robot(robot_config(name))
    assert listed.model.npair > 0
    assert searched.model.npair == 0
    touched = 0
    for seed in range(6):
        goal = np.random.default_rng(seed).uniform(-3, 3, 6)
        one, other = at(listed), at(searched)
        for k in range(150):
            target = listed.home + (goal - listed.home) * min(1.0, k / 75)
            one.ctrl[:] = other.ctrl[:] = target
            mujoco.mj_step(listed.model, one)
            mujoco.mj_step(searched.model, other)
            touched += one.ncon > 0
            assert one.ncon == other.ncon
            assert np.array_equal(one.sensordata, other.sensordata)
        assert np.allclose(one.qpos, other.qpos, atol=1e-9)
    assert touched > 20


def test_gravity_is_compensated(robot_config: Make) -> None:
    """Without compensation the tool of a UR5e droops by 20.4 mm, with it not at all."""
    robot = load_robot(robot_config())
    assert drift(robot, at(robot, np.array(SAG_POSE)), 5.0) < 1e-6
    robot.model.body_gravcomp[:] = 0
    assert drift(robot, at(robot, np.array(SAG_POSE)), 5.0) == pytest.approx(0.0204, abs=2e-4)


def test_payload_differs_between_simulations(robot_config: Make) -> None:
    """5 kg at the tool of a UR5e makes it droop by 19.0 mm; compensated or absent, not at all."""
    robot = load_robot(robot_config())
    assert robot.payload_body is not None
    assert robot.model.body_mass[robot.payload_body] == 0
    batch = Batch(robot.model, 3, 1)
    batch.expand("body_mass")[1:, robot.payload_body] = 5.0
    batch.expand("body_gravcomp")[2, robot.payload_body] = 1.0
    batch.set_const()
    qpos, ctrl, tool = batch.bind("qpos"), batch.bind("ctrl"), batch.bind("site_xpos")
    qpos[:] = ctrl[:] = SAG_POSE
    batch.forward()
    start = tool[:, robot.tcp_site].copy()
    batch.step(nstep=1000)
    droop = np.linalg.norm(tool[:, robot.tcp_site] - start, axis=1)
    assert droop == pytest.approx([0.0, 0.019, 0.0], abs=2e-4)


def test_servo_lag(robot_config: Make) -> None:
    """A servo follows as a first-order lag of kv/kp, the model's own or the configured."""
    for wanted, expected in ((None, 0.2), (0.05, 0.05)):
        robot = load_robot(robot_config(servo_lag=wanted), physics_step=0.001)
        assert np.allclose(robot.servo_lag, expected)
        data = at(robot)
        data.ctrl[robot.ctrl_ids[5]] += 0.2  # a wrist: hardly any inertia
        for _ in range(round(expected / robot.model.opt.timestep)):
            mujoco.mj_step(robot.model, data)
        moved = data.qpos[robot.qpos_adr[5]] - robot.home[5]
        assert moved / 0.2 == pytest.approx(1 - np.exp(-1), abs=0.04)


def test_a_shorter_lag_is_a_stiffer_servo(robot_config: Make) -> None:
    """Its damping, and with it what the action may ask of the arm, stays."""
    listed, stiff = (load_robot(robot_config(servo_lag=lag)) for lag in (None, 0.03))
    assert np.allclose(stiff.servo_damping, listed.servo_damping)
    kp = (r.model.actuator_gainprm[r.actuator_ids, 0] for r in (listed, stiff))
    assert np.allclose(next(kp) * 0.2, next(kp) * 0.03)


@pytest.mark.parametrize("name", NAMES)
def test_a_drive_bears_the_arm_within_its_limit(name: str, robot_config: Make) -> None:
    """Gravity compensation and servo together give the limit at most, stretched out and pulling."""
    robot = load_robot(robot_config(name))
    data = mujoco.MjData(robot.model)  # at zero: stretched out, where the arm weighs most
    mujoco.mj_forward(robot.model, data)
    assert np.abs(data.qfrc_actuator[robot.dof_adr])[1:3].min() > 0.1 * robot.torque_limits[2]
    assert not data.qfrc_passive[robot.dof_adr].any()
    data.ctrl[robot.ctrl_ids] = 10.0 * np.sign(data.qfrc_actuator[robot.dof_adr])
    mujoco.mj_forward(robot.model, data)
    torque = np.abs(data.qfrc_actuator[robot.dof_adr])
    assert np.allclose(torque[1:3], robot.torque_limits[1:3])
    assert (torque <= robot.torque_limits + 1e-9).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_saturated_servo_comes_to_rest(name: str, robot_config: Make) -> None:
    """A joint thrown to its speed limit does not swing on between the torque limits."""
    robot = load_robot(robot_config(name))
    for joint in range(6):
        data = at(robot)
        data.qvel[robot.dof_adr[joint]] = -robot.velocity_limits[joint]
        for step in range(40):
            data.ctrl[robot.ctrl_ids] = data.qpos[robot.qpos_adr]
            mujoco.mj_step(robot.model, data)
            share = abs(data.qvel[robot.dof_adr[joint]]) / robot.velocity_limits[joint]
            assert step < 20 or share < 0.5


def test_configured_numbers_win(robot_config: Make) -> None:
    """Home, velocity limits and reach of the configuration replace the model's."""
    home = [0.1, -1.4, 1.4, -1.5, -1.5, 0.2]
    robot = load_robot(robot_config(home=home, velocity_limits=[1.5], reach=0.7))
    assert robot.home.tolist() == home
    assert robot.base_ctrl.tolist() == home
    assert robot.velocity_limits.tolist() == [1.5] * 6
    assert robot.reach == 0.7
