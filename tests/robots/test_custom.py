"""Arms from elsewhere: any MJCF becomes a robot, or one line says why not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from reach_rl.config.load import ConfigError
from reach_rl.config.schema import RobotConfig
from reach_rl.robots import RobotModel, display_spec, load_robot

Make = Callable[..., RobotConfig]
ASSETS = Path(__file__).parent.parent / "assets"


def hold(robot: RobotModel, steps: int = 400) -> mujoco.MjData:
    """Simulate at home."""
    data = mujoco.MjData(robot.model)
    data.qpos[:] = robot.home_qpos
    data.ctrl[:] = robot.base_ctrl
    for _ in range(steps):
        mujoco.mj_step(robot.model, data)
    return data


def problem_of(config: RobotConfig, **options: Any) -> str:
    """The one line of the error."""
    with pytest.raises(ConfigError) as caught:
        load_robot(config, **options)
    (line,) = caught.value.problems
    assert "\n" not in line
    return line


def test_seven_joints(robot_config: Make) -> None:
    """Degrees, no keyframe, no numbers: mid-range home, pi rad/s, the length of the chain."""
    robot = load_robot(robot_config("arm7"))
    assert len(robot.home) == 7
    assert np.allclose(robot.home, [0, 0, 0, 1.2, 0, 0, 0])
    assert (robot.low[3], robot.high[3]) == (0.0, 2.4)  # the narrower of joint and servo range
    assert np.isinf(robot.high[6])
    assert np.allclose(robot.velocity_limits, np.pi)
    assert np.allclose(robot.torque_limits, 80)
    assert np.allclose(robot.servo_lag, 0.1)  # (kv 39 + damping 1) / kp 400
    assert robot.reach == pytest.approx(0.12 + 0.25 + 0.1 + 0.2 + 0.1 + 0.1 + 0.05)
    assert robot.base_position.tolist() == [0.1, -0.2, 0.0]
    data = hold(robot)
    assert np.allclose(data.qpos, robot.home_qpos, atol=1e-6)
    assert data.sensordata.tolist() == [0, 0]


def test_a_site_on_a_merged_body_stays_where_it_was(robot_config: Make) -> None:
    """The training scene merges fixed bodies; tool pose and mass are those of the file."""
    robot = load_robot(robot_config("arm7"))
    plain = mujoco.MjModel.from_xml_path(str(ASSETS / "arm7.xml"))
    joints = np.linspace(-0.4, 0.5, 7) + robot.home
    one, other = mujoco.MjData(robot.model), mujoco.MjData(plain)
    one.qpos[:] = other.qpos[:] = joints
    mujoco.mj_forward(robot.model, one)
    mujoco.mj_forward(plain, other)
    assert np.allclose(one.site_xpos[robot.tcp_site], other.site("tip").xpos)
    assert np.allclose(one.site_xmat[robot.tcp_site], other.site("tip").xmat)
    assert np.allclose(one.qfrc_bias, other.qfrc_bias)
    assert np.allclose(one.qfrc_passive, other.qfrc_passive)
    assert robot.payload_body is not None
    assert np.allclose(one.xpos[robot.payload_body], other.site("tip").xpos)


def test_table_is_felt_by_an_arm_from_elsewhere(robot_config: Make) -> None:
    """A model without a floor gets one at z = 0; its pedestal stands on it without contact."""
    robot = load_robot(robot_config("arm7"))
    data = mujoco.MjData(robot.model)
    data.qpos[:] = np.radians([0, -105, 0, 60, 0, 0, 0])
    mujoco.mj_forward(robot.model, data)
    assert data.sensordata[robot.table_contact] > 0
    assert data.sensordata[robot.self_contact] == 0


def test_public_style_ur5e(robot_config: Make) -> None:
    """General actuators with gainprm and biasprm, names of its own, a turned base, a keyframe."""
    robot = load_robot(robot_config("public_style_ur5e"))
    assert np.allclose(robot.home, [-1.5708, -1.5708, 1.5708, -1.5708, -1.5708, 0])
    assert np.allclose(robot.servo_lag, 0.2)
    assert np.allclose(robot.torque_limits, [150, 150, 150, 28, 28, 28])
    data = hold(robot)
    assert data.sensordata.tolist() == [0, 0]
    assert np.linalg.norm(data.qpos - robot.home_qpos) < 0.05  # no gravcomp: it sags a little


def test_a_subset_of_the_joints(robot_config: Make) -> None:
    """Joints that the policy does not move keep their servo target; limits follow the joints."""
    joints, actuators = ["elbow_joint", "wrist_3_joint"], ["elbow", "wrist_3"]
    robot = load_robot(robot_config("ur3e", joints=joints, actuators=actuators))
    assert robot.qpos_adr.tolist() == [2, 5]
    assert np.allclose(np.degrees(robot.velocity_limits), [180, 360])
    assert np.allclose(robot.base_ctrl, robot.home_qpos)
    assert robot.home_qpos[1] == pytest.approx(-np.pi / 2)


def test_display_has_the_joints_of_the_training_scene(robot_config: Make) -> None:
    """So that qpos can be handed over."""
    for name in ("arm7", "public_style_ur5e", "ur5e"):
        config = robot_config(name)
        shown, robot = display_spec(config).compile(), load_robot(config)
        assert shown.nq == robot.model.nq
        assert [shown.joint(i).name for i in range(shown.njnt)] == list(robot.joint_names)


UR = (
    "shoulder_pan_joint, shoulder_lift_joint, elbow_joint, "
    "wrist_1_joint, wrist_2_joint, wrist_3_joint"
)
ERRORS: list[tuple[str, dict[str, Any], str]] = [
    (
        "ur6",
        {},
        "robot.name=ur6: no model of that name; there are: ur15, ur20, ur30, ur3e, ur5e, ur7e, "
        "ur10e, ur12e, ur16e; for another arm set robot.mjcf=PATH",
    ),
    (
        "ur5e",
        {"joints": ["elbow_joint", "knee"], "actuators": ["elbow", "wrist_1"]},
        f'robot.joints: no joint "knee" in ur5e.xml; it has: {UR}',
    ),
    (
        "arm7",
        {"actuators": ["a1", "a2", "a3", "a4", "a5", "foo", "bar"]},
        'robot.actuators: no actuator "foo", "bar" in arm7.xml; it has: a1, a2, a3, a4, a5, a6, a7',
    ),
    ("arm7", {"tcp_site": "tcp"}, 'robot.tcp_site: no site "tcp" in arm7.xml; it has: tip'),
    (
        "arm7",
        {"actuators": ["a1", "a2"]},
        "robot.actuators: 2 actuators for 7 joints; name one position servo for each of "
        "robot.joints, in the same order",
    ),
    (
        "arm7",
        {"joints": ["j1", "j1"], "actuators": ["a1", "a2"]},
        'robot.joints: "j1" listed twice',
    ),
    (
        "arm7",
        {"joints": ["j1"], "actuators": ["a2"]},
        'robot.actuators: "a2" in arm7.xml drives joint "j2", not "j1"; '
        "list the actuators in order of the joints",
    ),
    (
        "arm7",
        {"home": [0.0, 0.0]},
        "robot.home: 2 numbers for 7 joints; give one for each of robot.joints, or one for all",
    ),
    (
        "ur5e",
        {"home": [0, -1, 4, 0, 0, 0]},
        'robot.home: 4 of joint "elbow_joint" is outside its range [-3.14159, 3.14159]',
    ),
    (
        "ur5e",
        {"home": [0, -0.3, 0.9, -2.1, -1.57, 0]},
        "robot.home: wrist_3_link touches the table there; set robot.home to a free pose",
    ),
    (
        "arm7",
        {"servo_lag": 0.001},
        "robot.servo_lag=0.001: is shorter than a physics step; try 0.005 or more",
    ),
    (
        "ur5e",
        {"velocity_limits": [1.0, 2.0]},
        "robot.velocity_limits: 2 numbers for 6 joints; give one for each of robot.joints, "
        "or one for all",
    ),
]


@pytest.mark.parametrize(("name", "changes", "line"), ERRORS)
def test_errors_are_one_line(
    name: str, changes: dict[str, Any], line: str, robot_config: Make
) -> None:
    """Each says the key, what is wrong, and what there is."""
    assert problem_of(robot_config(name, **changes)) == line


def test_all_wrong_names_are_said_at_once(robot_config: Make) -> None:
    """One line for each key."""
    with pytest.raises(ConfigError) as caught:
        load_robot(robot_config("arm7", joints=["x"], actuators=["y"], tcp_site="z"))
    assert [line.split(":")[0] for line in caught.value.problems] == [
        "robot.joints",
        "robot.actuators",
        "robot.tcp_site",
    ]


ONE_JOINT = """<mujoco><worldbody><body name="b"><joint name="j1"/><geom size="0.1" pos="0 0 1"/>
  <site name="tip"/></body></worldbody><actuator>{}</actuator>{}</mujoco>"""
SERVO = '<position name="a1" joint="j1" kp="10" kv="1"/>'


def one_joint(tmp_path: Path, make: Make, actuator: str = SERVO, more: str = "") -> RobotConfig:
    """An arm of one joint with the given actuator."""
    path = tmp_path / "arm.xml"
    path.write_text(ONE_JOINT.format(actuator, more))
    return make("arm", mjcf=str(path), joints=["j1"], actuators=["a1"], tcp_site="tip")


@pytest.mark.parametrize(
    ("actuator", "why"),
    [
        ('<motor name="a1" joint="j1"/>', "is not a position servo; use <position kp= kv=>"),
        (
            '<velocity name="a1" joint="j1" kv="3"/>',
            "is not a position servo; use <position kp= kv=>",
        ),
        (
            '<position name="a1" joint="j1" gear="50"/>',
            "has gear 50; use 1 and scale kp and kv",
        ),
        (
            '<position name="a1" joint="j1" timeconst="0.1"/>',
            "has activation dynamics; use <position> without timeconst",
        ),
    ],
)
def test_only_position_servos(actuator: str, why: str, tmp_path: Path, robot_config: Make) -> None:
    """Anything else is refused with the reason."""
    line = problem_of(one_joint(tmp_path, robot_config, actuator))
    assert line == f'robot.actuators: "a1" in arm.xml {why}'


def test_broken_files(tmp_path: Path, robot_config: Make) -> None:
    """Missing, not XML, not MJCF, not compiling."""
    path = tmp_path / "arm.xml"
    config = one_joint(tmp_path, robot_config)
    load_robot(config)
    path.unlink()
    assert problem_of(config) == f"robot.mjcf={path}: no such file (looked at {path})"
    path.write_text("<mujoco><worldbody>")
    assert problem_of(config).startswith("robot.mjcf: arm.xml is not valid XML: ")
    path.write_text('<robot name="urdf"/>')
    assert problem_of(config) == "robot.mjcf: arm.xml is not MJCF: its root element is <robot>"
    path.write_text("<mujoco><worldbody><thing/></worldbody></mujoco>")
    assert problem_of(config).startswith("robot.mjcf: arm.xml is not valid MJCF: ")
    path.write_text(ONE_JOINT.format(SERVO, "").replace("0.1", "-1"))
    assert problem_of(config).startswith("robot.mjcf: arm.xml does not compile: ")


def test_neighbours_that_touch_at_home_are_built_so(tmp_path: Path, robot_config: Make) -> None:
    """A first link whose shape reaches into the table is no collision for ever."""
    path = tmp_path / "arm.xml"
    path.write_text(ONE_JOINT.format(SERVO, "").replace('pos="0 0 1"', 'pos="0 0 0.05"'))
    config = robot_config("arm", mjcf=str(path), joints=["j1"], actuators=["a1"], tcp_site="tip")
    robot = load_robot(config)
    assert hold(robot, 50).sensordata.tolist() == [0, 0]


def test_a_gripper_weighs_what_it_weighs(tmp_path: Path, robot_config: Make) -> None:
    """Merging a fixed gripper into a link with gravity compensation would lift it for nothing."""
    path = tmp_path / "arm.xml"
    gripper = '<body name="gripper"><geom size="0.05" pos="0.3 0 0.2" mass="2"/></body>'
    text = ONE_JOINT.format(SERVO, "").replace('<body name="b">', '<body name="b" gravcomp="1">')
    text = text.replace('<joint name="j1"/>', f'<joint name="j1" axis="0 1 0"/>{gripper}')
    path.write_text(text)
    config = robot_config("arm", mjcf=str(path), joints=["j1"], actuators=["a1"], tcp_site="tip")
    robot, plain = load_robot(config), mujoco.MjModel.from_xml_path(str(path))
    data, expected = mujoco.MjData(robot.model), mujoco.MjData(plain)
    mujoco.mj_forward(robot.model, data)
    mujoco.mj_forward(plain, expected)
    assert np.allclose(
        data.qfrc_passive - data.qfrc_bias, expected.qfrc_passive - expected.qfrc_bias
    )
    assert abs(data.qfrc_passive - data.qfrc_bias) == pytest.approx(2 * 9.81 * 0.3)


def test_a_table_of_the_model_counts_as_table(tmp_path: Path, robot_config: Make) -> None:
    """A fixed body beside the arm is what it stands by; no second table is added."""
    table = '<body name="bench" pos="1 0 0"><geom name="top" type="box" size="0.3 0.3 0.1"/></body>'
    path = tmp_path / "arm.xml"
    text = ONE_JOINT.format(SERVO, "").replace("<worldbody>", f"<worldbody>{table}")
    text = text.replace('<joint name="j1"/>', '<joint name="j1" axis="0 1 0"/>')
    path.write_text(text)
    config = robot_config("arm", mjcf=str(path), joints=["j1"], actuators=["a1"], tcp_site="tip")
    robot = load_robot(config)
    assert robot.model.ngeom == 2
    data = mujoco.MjData(robot.model)
    for angle, touched in ((0.0, False), (np.pi / 2, True)):
        data.qpos[0] = angle
        mujoco.mj_forward(robot.model, data)
        assert (data.sensordata[robot.table_contact] > 0) == touched
        assert data.sensordata[robot.self_contact] == 0
