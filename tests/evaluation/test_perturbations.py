"""What is swept, and that each change is the one that its name says."""

from dataclasses import replace

import numpy as np
import pytest

from reach_rl.envs.batch import ReachBatch
from reach_rl.evaluation import perturbations
from reach_rl.robots import load_robot
from tests.small_runs import compose


@pytest.fixture(scope="module")
def base():
    config = perturbations.nominal(compose(["experiment=sim2real", "task.region.pool=16"]))
    return perturbations.Changed(config, load_robot(config.robot, config.task.physics_step))


@pytest.fixture(scope="module")
def factors(base):
    return {f.name: f for f in perturbations.factors(base.config, base.robot, 5.0)}


def test_nominal_is_an_arm_without_differences(base):
    batch = ReachBatch(base.config, 2, robot=base.robot)
    assert not batch.observe.noisy and batch.pending.shape[1] == 1
    assert base.config.task.randomization == perturbations.NOMINAL


def test_nominal_is_among_the_values_and_changes_nothing(base, factors):
    for factor in factors.values():
        assert factor.nominal in factor.values and list(factor.values) == sorted(factor.values)
        there = factor.change(base, factor.nominal)
        assert there.config.task == base.config.task
        np.testing.assert_allclose(there.robot.servo_lag, base.robot.servo_lag)


def batch_at(base, factor, value):
    there = factor.change(base, value)
    batch = ReachBatch(there.config, 2, robot=there.robot)
    batch.reset()
    return batch


def test_every_change_is_in_the_simulation(base, factors):
    r, model = base.robot, base.robot.model
    payload = batch_at(base, factors["payload"], 5.0).batch.expanded("body_mass")
    assert payload[:, r.payload_body].tolist() == [5.0, 5.0]
    gain = batch_at(base, factors["servo_gain"], 0.5).batch.expanded("actuator_gainprm")
    np.testing.assert_allclose(gain[0, :, 0], 0.5 * model.actuator_gainprm[:, 0])
    friction = batch_at(base, factors["joint_friction"], 0.1).batch.expanded("dof_frictionloss")
    np.testing.assert_allclose(friction.reshape(2, -1)[0], 0.1 * r.torque_limits)
    assert batch_at(base, factors["action_delay"], 3.0).delay.tolist() == [3, 3]
    noise = batch_at(base, factors["sensor_noise"], 2.0).observe.noise
    assert noise.max() == pytest.approx(0.04) and (noise > 0).all()


def test_noise_at_level_one_is_that_of_sim2real(base, factors):
    there = factors["sensor_noise"].change(base, 1.0)
    assert there.config.observation == compose(["experiment=sim2real"]).observation


def test_a_servos_lag_is_not_told_to_the_action(base, factors):
    batch = batch_at(base, factors["servo_lag"], 0.03)
    np.testing.assert_allclose(batch.action.limits.lag, base.robot.servo_lag)
    model = batch.robot.model
    np.testing.assert_allclose(-model.actuator_biasprm[:, 2] / model.actuator_gainprm[:, 0], 0.03)


def test_episodes_last_as_long_at_any_rate(base, factors):
    factor = factors["control_rate"]
    assert factor.nominal == 50.0 and {20.0, 100.0} <= set(factor.values)
    for rate in factor.values:
        task = factor.change(base, rate).config.task
        assert 1 / task.control_period == pytest.approx(rate)
        assert task.episode_steps * task.control_period == pytest.approx(7.5, abs=0.03)


def test_without_torque_limits_there_is_no_friction_to_sweep(base):
    strong = replace(base.robot, torque_limits=np.full(6, np.inf))
    names = {f.name for f in perturbations.factors(base.config, strong)}
    assert "joint_friction" not in names and "payload" in names


def test_weak_spots_in_words():
    points = [{"value": v, "success_rate": r} for v, r in ((0.0, 1.0), (1.0, 0.97), (2.0, 0.4))]
    found = {"payload": {"title": "payload", "nominal": 0.0, "points": points}}
    assert perturbations.weak_spots(found) == ["payload: success falls at 2 (40%)"]


def test_some_goals_are_spread_over_all(base):
    batch = ReachBatch(base.config, 1, robot=base.robot)
    few = perturbations.some(batch.goals, 4)
    np.testing.assert_array_equal(few.spread, batch.goals.spread[[0, 5, 10, 15]])
    assert perturbations.some(batch.goals, 99) is batch.goals
