"""What people look at."""

from collections.abc import Callable

import mujoco
import numpy as np
import pytest

from reach_rl.config.schema import RobotConfig
from reach_rl.robots import display_spec, load_robot

Make = Callable[..., RobotConfig]


def test_scene_has_what_the_viewers_use(robot_config: Make) -> None:
    """Cameras, goal marker, table at z = 0; joints and tool as in the training scene."""
    model = display_spec(robot_config()).compile()
    robot = load_robot(robot_config())
    assert {model.camera(i).name for i in range(model.ncam)} == {"front", "side"}
    assert model.body("goal").mocapid[0] == 0
    data = mujoco.MjData(model)
    data.qpos[:] = robot.home_qpos
    data.mocap_pos[0] = (0.3, 0.2, 0.5)
    mujoco.mj_forward(model, data)
    assert data.ncon == 0
    assert np.allclose(data.body("goal").xpos, [0.3, 0.2, 0.5])
    top = data.geom("table_top").xpos[2] + model.geom("table_top").size[2]
    assert top == pytest.approx(0.0, abs=1e-3)
    trained = mujoco.MjData(robot.model)
    trained.qpos[:] = robot.home_qpos
    mujoco.mj_forward(robot.model, trained)
    assert np.allclose(data.site("tcp").xpos, trained.site_xpos[robot.tcp_site])
