"""The protocol against a plain mj_step loop, and against itself."""

import json
from dataclasses import fields, replace
from types import SimpleNamespace

import mujoco
import numpy as np
import pytest

from reach_rl.config.schema import GoalChange, RandomizationConfig
from reach_rl.envs.batch import ReachBatch
from reach_rl.envs.pool import VALIDATION, goal_pool
from reach_rl.evaluation.protocol import evaluate, held_out_goals
from reach_rl.evaluation.recording import JudgedBatch
from reach_rl.mdp.actions import Action
from reach_rl.mdp.state import State
from reach_rl.monitoring.metrics import describe, evaluation_metrics

PUBLIC = {
    "goals", "success_rate", "success_ci95", "position_error_mm", "orientation_error_deg",
    "time_to_success_s", "final_joint_speed_rad_s", "self_collision_rate",
    "table_collision_rate", "thresholds", "seed", "checkpoint",
}  # fmt: skip


def judge(yardstick, policy=None, **options):
    return evaluate(
        policy or yardstick.policy,
        yardstick.config,
        yardstick.goals,
        **{"threads": 1, "robot": yardstick.robot, "seed": 7} | options,
    )


@pytest.fixture(scope="module")
def result(yardstick):
    return judge(yardstick)


def arrays(evaluation):
    names = [f.name for f in fields(evaluation) if f.name not in ("conditions", "measured")]
    return {name: getattr(evaluation, name) for name in names}


def assert_same(one, other, but=()):
    for name, values in arrays(one).items():
        if name not in but:
            np.testing.assert_array_equal(values, arrays(other)[name], err_msg=name)


@pytest.mark.parametrize("records", [True, False])
def test_the_judged_arms_move_as_those_that_are_trained(yardstick, records):
    other = RandomizationConfig(
        servo_gain=[0.8, 1.2],
        joint_damping=[0.0, 0.1],
        joint_friction=[0.0, 0.1],
        payload=[0.0, 2.0],
        action_delay=[0, 2],
    )
    task = replace(yardstick.config.task, goal_change=GoalChange.NEVER, start_noise=0.4)
    config = replace(yardstick.config, task=replace(task, randomization=other))
    seeds = np.arange(16)
    watched = JudgedBatch(
        config, seeds, yardstick.goals, yardstick.robot, threads=2, physics_records=records
    )
    plain = ReachBatch(
        config, 16, seeds, goals=yardstick.goals, autoreset=False, robot=yardstick.robot
    )
    first = watched.begin(3)
    plain.reset()
    np.testing.assert_array_equal(first, plain.assign_goals(np.arange(16), np.arange(3, 19)))
    rng = np.random.default_rng(0)
    for _ in range(120):
        action = rng.uniform(-1.5, 1.5, (16, 6))
        np.testing.assert_array_equal(watched.step_on(action), plain.step(action).observation)
        np.testing.assert_array_equal(watched.batch.state, plain.batch.state)
        np.testing.assert_array_equal(watched.state.self_contact, plain.state.self_contact)
    assert watched.self_touched.any() or watched.table_touched.any()


def test_result_depends_on_neither_chunks_nor_threads(yardstick, result):
    assert_same(result, judge(yardstick, chunk=7))
    assert_same(result, judge(yardstick, threads=2))


def test_a_good_controller_succeeds_and_an_idle_one_does_not(yardstick, result):
    assert result.success.mean() >= 0.9
    assert np.median(result.position_error) < 1e-3
    assert np.median(result.final_joint_speed) < 0.05
    reached = result.time_to_success[result.success]
    assert ((reached >= 0.5) & (reached <= 4.0)).all()
    idle = judge(yardstick, lambda observation: np.zeros((len(observation), 6)))
    summary = idle.summary()
    assert summary["success_rate"] == 0.0
    assert summary["time_to_success_s"] == {"median": None, "p95": None}
    assert np.isnan(idle.time_to_success).all()


def test_without_physics_records_the_rest_is_the_same(yardstick, result):
    coarse = judge(yardstick, physics_records=False)
    unknown = {
        "max_speed_of_limit", "share_above_speed_limit", "share_outside_joint_range",
        "max_torque_of_limit", "path_ratio", "jerk", "share_at_torque_limit",
        "max_joint_acceleration",
    }  # fmt: skip
    assert_same(result, coarse, but={*unknown, "final_joint_speed"})
    assert all(np.isnan(arrays(coarse)[name]).all() for name in unknown)
    assert (coarse.final_joint_speed <= result.final_joint_speed).all()
    assert coarse.summary()["max_joint_speed_of_limit"] is None


def test_a_verdict_on_an_arm_without_torque_limits_has_no_shares_of_them(yardstick):
    strong = replace(yardstick.robot, torque_limits=np.full(6, np.inf))
    found = evaluate(
        yardstick.policy, yardstick.config, yardstick.goals, threads=1, robot=strong, seed=7
    )
    summary = json.loads(json.dumps(found.summary(), allow_nan=False))
    assert summary["max_torque_of_limit"] is None and summary["share_at_torque_limit"] is None
    assert summary["max_joint_speed_of_limit"] > 0.1 and summary["success_rate"] > 0.5


def test_seed_gives_the_starts(yardstick, result):
    other = judge(yardstick, seed=8)
    assert (other.position_error != result.position_error).all()


def test_held_out_goals_are_nobody_elses(yardstick):
    config, robot = yardstick.config, yardstick.robot
    again = held_out_goals(config, robot, 24, 7, threads=2)
    np.testing.assert_array_equal(again.position, yardstick.goals.position)
    same_seed = replace(config, seed=7)
    training = goal_pool(same_seed, robot, count=2000)
    validation = goal_pool(config, robot, count=2000, seed=7, stream=VALIDATION)
    for others in (training, validation):
        gaps = np.abs(again.joints[:, None] - others.joints[None]).max(axis=2)
        assert gaps.min() > 1e-6


def test_summary_is_plain_json_with_the_public_keys(yardstick, result):
    summary = result.summary("step_000000001234")
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary.keys() >= PUBLIC
    assert summary["checkpoint"] == "step_000000001234"
    assert summary["thresholds"] == {"position_m": 0.02, "orientation_rad": 0.1, "hold_s": 0.5}
    assert (summary["goals"], summary["seed"]) == (24, 7)
    assert (summary["robot"], summary["region"]) == ("ur5e", "front")
    assert summary["success_rate"] == result.success.mean()
    millimetres = 1e3 * np.sort(result.position_error)
    assert summary["position_error_mm"]["median"] == pytest.approx(millimetres[11:13].mean())


def test_metrics_are_in_the_catalogue(result):
    metrics = evaluation_metrics(result.figures())
    for name in metrics:
        describe(name)
    assert metrics["eval/success_rate"] == result.success.mean()
    assert metrics["eval/success_ci95_low"] == result.summary()["success_ci95"][0]


def test_progress_counts_over_all_chunks(yardstick):
    seen = []
    result = judge(yardstick, chunk=10, progress=lambda *told: seen.append(told))
    assert [steps for steps, _ in seen[:2]] == [10, 20]
    assert seen[-1] == (24 * 200, result.success.mean())
    assert seen == sorted(seen)


def test_bad_physics_is_a_failure(yardstick, monkeypatch):
    held = SimpleNamespace(batch=None, steps=0)
    begin = JudgedBatch.begin

    def capture(batch, first):
        held.batch = batch
        return begin(batch, first)

    def policy(observation):
        held.steps += 1
        if held.steps == 190:  # long after most goals were reached
            held.batch.batch.bind("qvel")[3, 0] = np.nan
        return yardstick.policy(observation)

    monkeypatch.setattr(JudgedBatch, "begin", capture)
    result = judge(yardstick, policy)
    assert result.physics_reset.tolist() == [i == 3 for i in range(24)]
    assert not result.success[3] and np.isnan(result.time_to_success[3])
    assert result.success.sum() >= 20
    json.dumps(result.summary(), allow_nan=False)


def mixed(yardstick, log):
    """Goal 0: the controller; 1: down into the table; 2: folded into itself; 3: shaking."""

    def policy(observation):
        action = yardstick.policy(observation)
        action[1] = [0, 1, 0, 0, 0, 0]
        action[2] = [0, 0, 1, 1, 0, 0]
        action[3] = 1.5 * (-1) ** len(log)
        log.append(action.copy())
        return action

    return policy


class Loop:
    """One goal with mj_step alone."""

    def __init__(self, yardstick, row, start, actions):
        self.config, self.robot, self.goals = yardstick.config, yardstick.robot, yardstick.goals
        self.task = self.config.task
        self.row = row
        self.model = self.robot.model
        self.data = mujoco.MjData(self.model)
        self.data.qpos[:] = self.robot.home_qpos
        self.data.qpos[self.robot.qpos_adr] = start
        self.data.ctrl[:] = self.robot.base_ctrl
        self.q, self.v, self.torque, self.touched = [start], [], [], []
        self.distance, self.angle, self.clipped = [], [], []
        self.play(actions)

    def play(self, actions):
        from reach_rl.envs.physics import arm_of

        d, r = self.data, self.robot
        move = Action(self.config.action, arm_of(r, self.task), self.task.substeps)
        target = self.q[0][None]
        mujoco.mj_forward(self.model, d)
        self.touch()
        for action in np.clip(actions, -1.0, 1.0):
            now = State.empty(1, len(r.home))
            now.joint_position[0], now.joint_velocity[0] = d.qpos[r.qpos_adr], d.qvel[r.dof_adr]
            targets = move(action[None], now, target)
            target = targets[-1]
            for wanted in targets:
                d.ctrl[r.ctrl_ids] = wanted[0]
                mujoco.mj_step(self.model, d)
                torque = d.qfrc_actuator  # of this step, gravity compensation included
                self.torque.append(torque[r.dof_adr].copy())
                mujoco.mj_fwdPosition(self.model, d)
                mujoco.mj_sensorPos(self.model, d)
                self.q.append(d.qpos[r.qpos_adr].copy())
                self.v.append(d.qvel[r.dof_adr].copy())
                self.touch()
            self.errors()
            self.clipped.append(action)

    def touch(self):
        s = self.data.sensordata
        self.touched.append((s[self.robot.self_contact] > 0, s[self.robot.table_contact] > 0))

    def errors(self):
        tool = self.data.site_xpos[self.robot.tcp_site]
        matrix = self.data.site_xmat[self.robot.tcp_site].reshape(3, 3)
        turn = self.goals.matrix[self.row] @ matrix.T
        self.distance.append(np.linalg.norm(self.goals.position[self.row] - tool))
        self.angle.append(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))

    def first_held(self):
        """Time at which the errors have been small for the hold time, else NaN."""
        task, since = self.task, 0
        for step, (distance, angle) in enumerate(zip(self.distance, self.angle, strict=True), 1):
            inside = distance < task.position_threshold and angle < task.orientation_threshold
            since = since if inside and since else step if inside else 0
            if since and (step - since) * 0.02 >= task.hold_time - 1e-9:
                return step * 0.02
        return np.nan


def test_every_number_equals_a_plain_loop(yardstick, monkeypatch):
    starts, log = [], []
    begin = JudgedBatch.begin

    def capture(batch, first):
        observation = begin(batch, first)
        starts.extend(batch.start)
        return observation

    monkeypatch.setattr(JudgedBatch, "begin", capture)
    result = judge(yardstick, mixed(yardstick, log))
    limits, steps = yardstick.robot.velocity_limits, 200 * 4
    for row in range(4):
        loop = Loop(yardstick, row, starts[row], np.array([actions[row] for actions in log]))
        got = {name: values[row] for name, values in arrays(result).items()}
        v, q = np.array(loop.v), np.array(loop.q)
        share = np.abs(v) / limits
        outside = (q[1:] < yardstick.robot.low) | (q[1:] > yardstick.robot.high)
        jerk = np.diff(np.vstack([np.zeros((2, 6)), v]), n=2, axis=0) / 0.005**2
        acceleration = np.diff(np.vstack([np.zeros(6), v]), axis=0) / 0.005
        load = np.abs(loop.torque) / yardstick.robot.torque_limits
        changes = np.diff(np.vstack([np.zeros(6), loop.clipped]), axis=0)
        path = np.linalg.norm(np.diff(q, axis=0), axis=1).sum()
        wanted = {
            "success": not np.isnan(loop.first_held()),
            "time_to_success": loop.first_held(),
            "position_error": loop.distance[-1],
            "final_joint_speed": np.linalg.norm(v[-4:], axis=1).max(),
            "self_collision": any(s for s, _ in loop.touched),
            "table_collision": any(t for _, t in loop.touched),
            "action_rate": (changes**2).sum() / 200,
            "max_speed_of_limit": share.max(),
            "share_above_speed_limit": (share > 1).any(axis=1).sum() / steps,
            "share_outside_joint_range": outside.any(axis=1).sum() / steps,
            "max_torque_of_limit": load.max(),
            "share_at_torque_limit": (load > 1 - 1e-6).any(axis=1).sum() / steps,
            "max_joint_acceleration": np.abs(acceleration).max(),
            "path_ratio": path / np.linalg.norm(q[-1] - q[0]),
            "jerk": np.sqrt((jerk**2).sum() / steps),
        }
        for name, value in wanted.items():
            assert got[name] == pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True), name
        assert got["orientation_error"] == pytest.approx(loop.angle[-1], abs=1e-6)
    assert result.success[0] and result.table_collision[1] and result.self_collision[2]
    assert not result.table_collision[0]
