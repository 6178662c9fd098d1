"""The batch against a plain loop over MjData, with targets, errors and rewards written out."""

from collections.abc import Callable
from dataclasses import replace

import mujoco
import numpy as np
import pytest

from reach_rl.config.schema import Config, ObservationTerm, RewardTerm
from reach_rl.envs.batch import ReachBatch
from reach_rl.robots import RobotModel

Make = Callable[..., Config]
STEPS = 70
OFFSET = 0.15


def plain(config: Config) -> Config:
    """Terms that a few lines can work out, goals every 15 steps, one long episode, straight."""
    seen = ("joint_position", "joint_velocity", "tool_position", "position_error", "last_action")
    paid = {
        "distance": RewardTerm(weight=-2.0, scales=None),
        "keypoint_kernel": RewardTerm(weight=1.5, scales=[0.3]),
        "progress": RewardTerm(weight=4.0, scales=None),
        "action_rate": RewardTerm(weight=-0.1, scales=None),
        "table_collision": RewardTerm(weight=-3.0, scales=None),
    }
    return replace(
        config,
        task=replace(config.task, episode_steps=1000),
        observation=replace(
            config.observation, terms={n: ObservationTerm(scales=None, noise=0.0) for n in seen}
        ),
        reward=replace(config.reward, terms=paid),
    )


def targets(
    config: Config, robot: RobotModel, action: np.ndarray, data: mujoco.MjData, before: np.ndarray
) -> list[np.ndarray]:
    """Joint targets of the four physics steps."""
    speed = config.action.speed * robot.velocity_limits
    q, v = data.qpos[robot.qpos_adr].copy(), data.qvel[robot.dof_adr].copy()
    most = config.action.torque * robot.torque_limits * 0.02
    most = most / (robot.inertia + robot.servo_damping * 0.005)
    v = np.clip(v, -speed, speed)
    end = np.clip(action * speed, v - most, v + most)
    out = []
    for k in range(4):
        if config.action.kind == "increment":
            target = before + action * speed * 0.005 * (k + 1)
        else:
            t = 0.005 * k
            reached = q + v * t + (end - v) / 0.02 * t * t / 2
            target = reached + robot.servo_lag * (v + (end - v) * (k + 1) / 4)
        out.append(np.minimum(np.maximum(target, robot.low), robot.high))
    return out


def corners(position: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(3, 3) the key points of a pose."""
    return np.array([position + OFFSET * matrix[:, k] for k in range(3)])


def look(robot: RobotModel, data: mujoco.MjData) -> tuple[np.ndarray, np.ndarray, bool]:
    """Tool position, tool matrix, and whether the table is touched, at the data's own state."""
    now = mujoco.MjData(robot.model)
    now.qpos[:], now.qvel[:] = data.qpos, data.qvel
    mujoco.mj_forward(robot.model, now)
    bodies = [{int(robot.model.geom_bodyid[g]) for g in c.geom} for c in now.contact if c.dist < 0]
    site = robot.tcp_site
    return now.site_xpos[site], now.site_xmat[site].reshape(3, 3), any(0 in b for b in bodies)


@pytest.mark.parametrize("kind", ["offset", "increment"])
def test_the_batch_is_a_plain_loop(make: Make, kind: str) -> None:
    """Three arms, one driven into the table; only starts and the order of goals are taken over."""
    config = plain(make())
    config = replace(config, action=replace(config.action, kind=kind))
    n = 3
    batch = ReachBatch(config, n, threads=2)
    robot, model = batch.robot, batch.robot.model
    rng = np.random.default_rng(1)
    actions = np.clip(rng.normal(scale=0.7, size=(STEPS, n, 6)), -1, 1)
    actions[:, 0] = [0, 0.6, 0.3, 0, 0, 0]
    batch.reset()
    starts, goal = batch.state.joint_position.copy(), batch.goal_index.copy()
    assert (np.abs(starts - robot.home) <= 0.1).all()
    datas, target, touched = [mujoco.MjData(model) for _ in range(n)], starts.copy(), 0
    for data, start in zip(datas, starts, strict=True):
        data.qpos[:] = robot.home_qpos
        data.qpos[robot.qpos_adr] = start
    last = np.zeros((n, 6))
    for t, action in enumerate(actions):
        step = batch.step(action)
        for i, data in enumerate(datas):
            goal_position = batch.goals.position[goal[i]]
            goal_corners = corners(goal_position, batch.goals.matrix[goal[i]])

            def away(own: mujoco.MjData, to: np.ndarray = goal_corners) -> float:
                position, matrix, _ = look(robot, own)
                return float(np.linalg.norm(corners(position, matrix) - to, axis=1).mean())

            before = away(data)
            ramp = targets(config, robot, action[i], data, target[i])
            for aim in ramp:
                data.ctrl[robot.ctrl_ids] = aim
                mujoco.mj_step(model, data)
            target[i] = ramp[-1]
            position, _, table = look(robot, data)
            error, k = goal_position - position, away(data)
            changed = (t + 1) % 15 == 0
            seen = step.observation[i]
            if changed:
                seen = step.last_observation[step.cut.tolist().index(i)]
            expected = np.concatenate(
                [data.qpos - robot.home, data.qvel, position, error, action[i]]
            )
            assert np.allclose(batch._qpos[i], data.qpos, rtol=0, atol=1e-9)
            assert np.allclose(batch._qvel[i], data.qvel, rtol=0, atol=1e-9)
            assert np.allclose(seen, expected, rtol=1e-6, atol=1e-6)
            reward = -2 * np.linalg.norm(error) + 1.5 * np.exp(-k / 0.3) + 4 * (before - k)
            reward -= 0.1 * np.sum((action[i] - last[i]) ** 2) + 3.0 * table
            assert step.reward[i] == pytest.approx(reward, abs=1e-9)
            assert step.goal_changed[i] == changed
            touched += table
        goal, last = batch.goal_index.copy(), action
    assert touched > 3


def test_mujoco_reads_no_clock_in_a_step(make: Make) -> None:
    model = ReachBatch(make(), 1).robot.model
    data = mujoco.MjData(model)
    mujoco.mj_step(model, data)
    timer = data.timer[mujoco.mjtTimer.mjTIMER_STEP]
    assert (timer.number, timer.duration) == (1, 0.0)
