"""The reference controller on a simulated arm: it arrives, keeps its bounds, and stops safely."""

import math
import os
import statistics
import time
from dataclasses import replace

import numpy as np
import pytest

from reach_rl.config.load import load_run
from reach_rl.deploy import Controller, Goal, JointState, Settings, Stop
from reach_rl.deploy import controller as deploy
from reach_rl.evaluation.protocol import held_out_goals
from tests.deploy.simulated import Arm, Clock

GOALS = 12


@pytest.fixture(scope="module")
def config(folder):
    return load_run(folder)


@pytest.fixture(scope="module")
def goals(config):
    from reach_rl.robots import load_robot

    pool = held_out_goals(config, load_robot(config.robot), GOALS, 7)
    return [Goal(*pose) for pose in zip(pool.position, pool.quaternion, strict=True)]


class Rig:
    """A controller, its arm and its clock."""

    def __init__(self, bundle, config, **settings):
        self.clock = Clock()
        self.arm = Arm(config, self.clock)
        self.controller = Controller(bundle, self.arm, Settings(**settings), self.clock)
        self.bundle = bundle

    def run(self, goal, seconds=6.0, **options):
        start, first = self.arm.read().position, len(self.arm.targets)
        report = self.controller.run(goal, seconds, **options)
        self.check_bounds(np.vstack((start, *self.arm.targets[first:])))
        return report

    def check_bounds(self, targets):
        """Whatever happened: every write was inside the bounds."""
        contract, dt = self.bundle.contract, 1 / 500
        speed = np.diff(targets, axis=0) / dt
        change = np.diff(speed, axis=0, prepend=np.zeros((1, 6))) / dt
        assert (targets >= contract.low).all() and (targets <= contract.high).all()
        assert (np.abs(speed) <= contract.target_velocity + 1e-6).all()
        assert (np.abs(change) <= contract.target_acceleration + 1e-3).all()

    def stood_still(self):
        """Whether the last tenth of a second was without motion of targets and arm."""
        targets = np.array(self.arm.targets[-50:])
        return (targets == targets[-1]).all() and np.abs(self.arm.speeds[-1]).max() < 0.05


@pytest.fixture
def rig(bundle, config):
    return Rig(bundle, config)


def test_it_reaches_its_goals(bundle, config, goals):
    reports = []
    for goal in goals:
        rig = Rig(bundle, config)
        reports.append(rig.run(goal))
        assert rig.stood_still()
    reached = [report for report in reports if report.stop is Stop.REACHED]
    assert len(reached) >= 0.9 * GOALS
    for report in reached:
        assert report.position_error < 0.02 and report.orientation_error < 0.1
        assert 0.5 < report.time < 4.0 and report.worst_lateness < 1e-9
        # one look every control period, a write every servo period, and the way to rest
        assert report.control_periods == pytest.approx(report.time * 50, abs=1)
        assert report.servo_periods >= 10 * report.control_periods + 100


def test_it_stays_with_a_goal_that_moves(rig, goals):
    began = rig.clock.now()
    there = [goals[0], goals[1]]
    report = rig.run(lambda: there[rig.clock.now() - began > 3.0], 6.0, until_reached=False)
    assert report.stop is Stop.TIME and report.time == pytest.approx(6.0, abs=0.03)
    assert report.position_error < 0.02


def test_a_share_of_the_speed(bundle, config, goals):
    fast, slow = Rig(bundle, config), Rig(bundle, config, speed=0.4)
    quick, careful = fast.run(goals[3]), slow.run(goals[3], 20.0)
    assert careful.stop is Stop.REACHED and careful.time > 1.5 * quick.time
    assert np.abs(slow.arm.speeds).max() < 0.5 * np.abs(fast.arm.speeds).max()


class Faulty(Arm):
    """An arm whose reads go wrong from the sixteenth on, in the middle of the motion."""

    def __init__(self, *args, fault):
        super().__init__(*args)
        self.fault = fault

    def read(self):
        state = super().read()
        return self.fault(self, state) if self.reads >= 16 else state


def stale(arm, state):
    return replace(state, time=state.time - 0.05)


def unplugged(arm, state):
    raise OSError("no answer")


def fast(arm, state):
    return replace(state, velocity=state.velocity + 9.0 * np.eye(6)[2])


def outside(arm, state):
    return replace(state, position=state.position + 9.0 * np.eye(6)[4])


def not_a_number(arm, state):
    return replace(state, velocity=state.velocity * np.nan)


def too_short(arm, state):
    return JointState(state.position[:5], state.velocity[:5], state.time)


FAULTS = {
    stale: (Stop.STALE, "50 ms"),
    unplugged: (Stop.READ_FAILED, "no answer"),
    fast: (Stop.TOO_FAST, "elbow_joint"),
    outside: (Stop.OUT_OF_RANGE, "wrist_2_joint"),
    not_a_number: (Stop.BAD_STATE, ""),
    too_short: (Stop.BAD_STATE, ""),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_bad_input_ends_in_a_decelerating_stop(bundle, config, goals, fault):
    rig = Rig(bundle, config)
    rig.arm = Faulty(config, rig.clock, fault=fault)
    rig.controller.robot = rig.arm
    report = rig.run(goals[0])
    assert (report.stop, report.detail) == FAULTS[fault] and report.stop.fault
    moving = len(rig.arm.targets) - 1
    speed = np.diff(np.array(rig.arm.targets), axis=0) * 500
    at_fault = (16 - 3) * 10  # reads: two before the start, then one before each ten writes
    assert np.abs(speed[at_fault - 1]).max() > 0.3 and moving > at_fault
    braking = np.diff(speed[at_fault - 1 :], axis=0) * 500
    assert (np.abs(braking) <= bundle.contract.acceleration + 1e-3).all()
    assert rig.stood_still()


def test_a_goal_that_is_no_pose(rig, goals):
    good = goals[0]
    for bad in (
        Goal(good.position * np.nan, good.quaternion),
        Goal(good.position, 2 * good.quaternion),
        Goal(good.position[:2], good.quaternion),
    ):
        began = rig.clock.now()
        report = rig.run(lambda bad=bad, t=began: bad if rig.clock.now() - t > 0.4 else good)
        assert report.stop is Stop.BAD_GOAL and rig.stood_still()


def test_a_loop_that_is_late_stops(rig, goals):
    rig.clock.delays = {100: 0.004, 300: 0.03}
    report = rig.run(goals[0])
    assert report.stop is Stop.LATE and report.detail == "30 ms"
    assert report.worst_lateness == pytest.approx(0.03)
    assert report.servo_periods > 301 and rig.stood_still()


def test_time_lost_is_never_made_up_for(rig, goals):
    rig.clock.delays = {i: 0.003 for i in range(50, 60)}
    writes = []
    write = rig.arm.write
    rig.arm.write = lambda target: (writes.append(rig.clock.now()), write(target))
    assert rig.run(goals[0]).stop is Stop.REACHED
    assert np.diff(writes).min() > 0.001 - 1e-9 and writes[-1] - writes[0] > 0.002 * len(writes)


def test_a_policy_that_gives_no_number(bundle, config, goals, monkeypatch):
    rig = Rig(bundle, config)
    call, calls = type(bundle).__call__, []

    def broken(self, inputs):
        out = call(self, inputs)
        calls.append(1)
        return out if len(calls) < 30 else out | {"joint_path": out["joint_path"] * np.nan}

    monkeypatch.setattr(type(bundle), "__call__", broken)
    assert rig.run(goals[0]).stop is Stop.BAD_TARGET
    assert rig.stood_still()


def test_a_robot_that_takes_no_targets(rig, goals):
    def write(target):
        raise OSError("protective stop")

    rig.arm.write = write
    report = rig.run(goals[0])
    assert (report.stop, report.detail) == (Stop.WRITE_FAILED, "protective stop")


def test_nothing_is_written_if_the_first_look_is_bad(rig, goals):
    rig.arm.read = lambda: JointState(np.full(6, math.nan), np.zeros(6), rig.clock.now())
    report = rig.controller.run(goals[0], 6.0)
    assert report.stop is Stop.BAD_STATE and not rig.arm.targets and report.servo_periods == 0


def test_asked_to_stop(rig, goals):
    report = rig.run(goals[0], asked=lambda: rig.clock.now() > 100.5)
    assert report.stop is Stop.ASKED and not report.stop.fault and rig.stood_still()
    assert "somebody asked to stop after 0.5" in str(report)


def test_settings_that_cannot_be(bundle, rig):
    with pytest.raises(ValueError, match="no multiple"):
        Controller(bundle, rig.arm, Settings(servo_rate=333.0))
    with pytest.raises(ValueError, match="speed: 0"):
        Controller(bundle, rig.arm, Settings(speed=0.0))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no way to choose a core")
def test_in_real_time_on_one_core(bundle, config, goals):
    """A second and more at 50 and 500 Hz, and the work of a period is a small part of it."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        clock = deploy.Clock()
        arm = Arm(config, clock)
        controller = Controller(bundle, arm, Settings(max_lateness=2.0, max_age=2.0), clock)
        thinking = []
        think = controller._think

        def timed(state):
            begin = time.perf_counter()
            path = think(state)
            thinking.append(time.perf_counter() - begin)
            return path

        controller._think = timed
        begin = time.monotonic()
        report = controller.run(goals[0], 6.0)
        wall = time.monotonic() - begin
    finally:
        os.sched_setaffinity(0, cores)
    assert report.stop is Stop.REACHED
    assert wall >= 0.99 * report.servo_periods / 500  # never faster than the rate
    assert statistics.median(thinking) < 0.25 * bundle.contract.period
