"""Models of other people: contacts at home, keyframes, and what is changed in them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reach_rl.config.schema import RobotConfig
from reach_rl.envs.pool import kinematics
from reach_rl.robots import load_robot
from tests.robots.test_custom import hold, problem_of

Make = Callable[..., RobotConfig]

TWO_JOINTS = """<mujoco model="cell"><compiler angle="radian"/><worldbody>{world}
  <body name="base" pos="0 0 .4"><geom type="cylinder" size=".04 .02"/>
    <body name="l1" pos="0 0 .1">
      <joint name="j1" axis="0 0 1" range="-3 3" damping="1"/>
      <joint name="j2" axis="0 1 0" range="-1 1" damping="1"/>
      <geom type="capsule" fromto="0 0 0 .3 0 0" size=".02" mass=".5"/>
      <site name="tip" pos=".38 0 0"/>{tool}</body></body></worldbody>
  <actuator><position name="a1" joint="j1" kp="100" kv="10" forcerange="-10 10"/>
    <position name="a2" joint="j2" kp="100" kv="10" forcerange="-10 10"/>{servos}</actuator>{more}
</mujoco>"""
FINGER = """<body name="{0}_finger" pos=".35 {1}.01 0"><joint name="{0}" type="slide"
  axis="0 {1}1 0" range="0 .04" damping="1"/>
  <geom type="box" size=".03 .0101 .01" mass=".02"/></body>
"""
FINGERS = FINGER.format("left", "") + FINGER.format("right", "-")
FLOOR = '<geom name="floor" type="plane" size="2 2 .1"/>'
CUBE = """<body name="cube" pos="-.5 .3 .03"><freejoint/>
  <geom type="box" size=".03 .03 .0301"/></body>"""


def two_joints(
    tmp_path: Path, make: Make, world: str = "", tool: str = "", servos: str = "", more: str = "",
    **changes: Any,
) -> RobotConfig:  # fmt: skip
    """An arm of two joints with more around it."""
    path = tmp_path / "arm.xml"
    path.write_text(TWO_JOINTS.format(world=world, tool=tool, servos=servos, more=more))
    names = {"joints": ["j1", "j2"], "actuators": ["a1", "a2"], "tcp_site": "tip"}
    return make("arm", mjcf=str(path), **(names | changes))


def test_fingers_may_touch_at_home_and_it_is_said(tmp_path: Path, robot_config: Make) -> None:
    """No joint of the policy moves them against one another."""
    robot = load_robot(two_joints(tmp_path, robot_config, tool=FINGERS, home=[0.5, 0.1]))
    assert hold(robot, 100).sensordata.tolist() == [0, 0]
    assert (
        "right_finger touches left_finger at home; contacts between the two are left out"
        in robot.notes
    )


def test_what_another_arm_touches_is_its_own_affair(tmp_path: Path, robot_config: Make) -> None:
    """It is neither refused nor left out: its physics stay."""
    other = f'<body name="other" pos="0 1 .5">{FINGERS}</body>'
    robot = load_robot(two_joints(tmp_path, robot_config, world=other))
    assert hold(robot, 10).sensordata.tolist() == [0, 0]
    assert not any("finger" in note for note in robot.notes)
    model = robot.model
    pairs = zip(model.pair_geom1, model.pair_geom2, strict=True)
    names = [{model.body(model.geom_bodyid[geom]).name for geom in pair} for pair in pairs]
    assert {"left_finger", "right_finger"} in names


def test_a_cube_stays_on_the_table(tmp_path: Path, robot_config: Make) -> None:
    """What rests on the world at home is not let through it."""
    robot = load_robot(two_joints(tmp_path, robot_config, world=FLOOR + CUBE))
    data = hold(robot, 1500)
    assert data.body("cube").xpos[2] == pytest.approx(0.03, abs=1e-3)
    assert not any("cube" in note for note in robot.notes)


def test_an_arm_that_stands_by_contact_is_refused(tmp_path: Path, robot_config: Make) -> None:
    """Left out, the contact would let it fall; kept, it would count as a collision for ever."""
    config = two_joints(tmp_path, robot_config, world=FLOOR)
    path = Path(str(config.mjcf))
    path.write_text(path.read_text().replace('pos="0 0 .4">', 'pos="0 0 .02"><freejoint/>'))
    assert problem_of(config) == (
        'robot.mjcf: the arm stands on the table by the contact of "base", which counts as a '
        "collision; fix its base to the world (no free joint)"
    )


KEYS = """<keyframe><key name="up" qpos="0 -.5"/><key name="down" qpos="0 .9" ctrl="0 .9"/>
</keyframe>"""


def test_any_keyframe_can_be_home(tmp_path: Path, robot_config: Make) -> None:
    """By its name; one without ctrl is held all the same."""
    for name, angle in (("up", -0.5), ("down", 0.9)):
        robot = load_robot(two_joints(tmp_path, robot_config, more=KEYS, keyframe=name))
        assert robot.home.tolist() == [0, angle]
        assert robot.base_ctrl.tolist() == [0, angle]
    assert load_robot(two_joints(tmp_path, robot_config, more=KEYS)).home.tolist() == [0, 0]
    problem = problem_of(two_joints(tmp_path, robot_config, more=KEYS, keyframe="hom"))
    assert problem == 'robot.keyframe: no keyframe "hom" in arm.xml; it has: up, down'


def test_other_servos_hold_what_a_keyframe_without_ctrl_says(
    tmp_path: Path, robot_config: Make
) -> None:
    servos = '<position name="g1" joint="left" kp="50" kv="5"/>'
    key = '<keyframe><key name="open" qpos=".1 .2 .03 .03"/></keyframe>'
    config = two_joints(tmp_path, robot_config, "", FINGERS, servos, key, keyframe="open")
    robot = load_robot(config)
    assert robot.base_ctrl.tolist() == [0.1, 0.2, 0.03]


def test_a_home_that_touches_blames_what_set_it(tmp_path: Path, robot_config: Make) -> None:
    """The keyframe, where it is the keyframe."""
    low = FLOOR.replace('type="plane"', 'pos="0 0 .25" type="plane"')
    config = two_joints(tmp_path, robot_config, world=low, more=KEYS, keyframe="down")
    assert problem_of(config) == (
        'robot.keyframe: keyframe "down" of arm.xml: l1 touches the table there; '
        "set robot.home to a free pose"
    )


def test_each_change_of_a_model_is_said(tmp_path: Path, robot_config: Make) -> None:
    """Its time step and integrator, and the table; of our own models nothing is."""
    assert load_robot(two_joints(tmp_path, robot_config)).notes == (
        "simulated in steps of 5 ms (implicitfast), task.physics_step; the model says steps of "
        "2 ms (euler)",
        "arm.xml has nothing that the arm could stand on: a table is at z = 0",
    )
    assert load_robot(robot_config("ur5e")).notes == ()


TURRET = """<mujoco><compiler angle="radian"/><worldbody><body name="base">
  <geom type="cylinder" size=".04 .015" pos="0 0 .015"/><body name="turret" pos="0 0 .05">
  <joint name="j1" axis="0 0 1" range="-3 3"/><geom type="box" size=".03 .03 .015" mass="1"/>
  <body name="l1" pos="0 0 .15"><joint name="j2" axis="0 1 0" range="-1.5 1.5"/>
  <geom type="capsule" fromto="0 0 0 .2 0 0" size=".02" mass=".3"/>
  <site name="tip" pos=".24 0 0"/></body></body></body></worldbody>
  <actuator><position name="a1" joint="j1" kp="100" kv="10"/>
  <position name="a2" joint="j2" kp="100" kv="10"/></actuator></mujoco>"""


def test_a_link_whose_distance_no_joint_changes_is_not_too_near(
    tmp_path: Path, robot_config: Make
) -> None:
    """A turret low above the table: with a clearance around the world it would always be."""
    config = two_joints(tmp_path, robot_config)
    Path(str(config.mjcf)).write_text(TURRET)
    robot = load_robot(config)
    assert robot.height_moves.tolist() == [False, False, True]
    free = kinematics(robot, clearance=0.05)(np.array([[0.3, -0.5], [1.0, 1.2], [0.0, 0.0]])).free
    assert free.tolist() == [True, False, True]
