"""Joint targets, against their formulas written out joint by joint."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from reach_rl.config.schema import Config
from reach_rl.mdp.actions import Action
from reach_rl.mdp.state import Arm, State

PERIOD, SUBSTEPS = 0.02, 4
FREE = {"low": np.full(2, -np.inf), "high": np.full(2, np.inf)}
ZERO = np.zeros((1, 2))


def make(config: Config, arm: Arm, kind: str, **changes: Any) -> Callable[..., np.ndarray]:
    """The targets of an action, measured angles and speeds, and the targets before."""
    values = {"kind": kind, "speed": 0.5, "torque": 0.5, "curve": 1.0} | changes
    made = Action(replace(config.action, **values), arm, SUBSTEPS)
    return lambda action, angle, speed, target: made(action, moving(angle, speed), target)


def moving(position: np.ndarray, velocity: np.ndarray) -> State:
    """A state of joints alone."""
    state = State.empty(*position.shape)
    state.joint_position[:], state.joint_velocity[:] = position, velocity
    return state


def rows(*values: float) -> np.ndarray:
    return np.array([values])


def test_increment(config: Config, arm: Arm) -> None:
    """The target moves at a * speed, in four equal parts; measured angles do not matter."""
    action = make(config, replace(arm, **FREE), "increment")
    got = action(rows(1.0, -0.5), rows(9.0, 9.0), rows(5.0, 5.0), rows(0.3, 0.4))
    speed = [0.5 * 2.0 * 1.0, 0.5 * 3.0 * -0.5]
    for i in range(SUBSTEPS):
        t = PERIOD * (i + 1) / SUBSTEPS
        assert np.allclose(got[i], [[0.3 + speed[0] * t, 0.4 + speed[1] * t]])


@pytest.mark.parametrize("velocity", [(0.0, 0.0), (0.4, -1.0), (-5.0, 5.0)])
@pytest.mark.parametrize("command", [(1.0, -1.0), (0.42, 0.0)])
def test_offset(
    config: Config, arm: Arm, velocity: tuple[float, ...], command: tuple[float, ...]
) -> None:
    """target = angle reached + lag * speed, the speed ramping from the measured one.

    The ramp ends at the commanded speed or, if that is too far, where the torque allows: half of
    10 and of 40 rad/s2 over 20 ms. What is measured above the limit counts as the limit.
    """
    action = make(config, replace(arm, **FREE), "offset")
    got = action(rows(*command), rows(0.3, 0.4), rows(*velocity), ZERO)
    for j, (angle, lag, limit, most) in enumerate(
        [(0.3, 0.1, 0.5 * 2.0, 0.5 * 10 * PERIOD), (0.4, 0.2, 0.5 * 3.0, 0.5 * 40 * PERIOD)]
    ):
        begin = min(max(velocity[j], -limit), limit)
        end = min(max(command[j] * limit, begin - most), begin + most)
        for i in range(SUBSTEPS):
            speed = begin + (end - begin) * (i + 1) / SUBSTEPS
            # the angle at which the servo starts this physics step: i steps of 5 ms gone
            gone = i * PERIOD / SUBSTEPS
            reached = angle + begin * gone + 0.5 * (end - begin) / PERIOD * gone**2
            assert got[i, 0, j] == pytest.approx(reached + lag * speed, abs=1e-12)


def test_offset_remembers_nothing(config: Config, arm: Arm) -> None:
    action = make(config, arm, "offset")
    inputs = rows(0.3, 0.1), rows(0.3, 0.4), rows(0.1, 0.0)
    assert (action(*inputs, ZERO) == action(*inputs, ZERO + 7.0)).all()


@pytest.mark.parametrize("kind", ["offset", "increment"])
def test_actions_beyond_one_are_one(config: Config, arm: Arm, kind: str) -> None:
    action = make(config, replace(arm, **FREE), kind)
    inputs = rows(0.3, 0.4), rows(0.1, -0.1), rows(0.3, 0.4)
    assert (action(rows(7.0, -np.inf), *inputs) == action(rows(1.0, -1.0), *inputs)).all()


@pytest.mark.parametrize("kind", ["offset", "increment"])
def test_targets_stay_inside_the_joint_limits(config: Config, arm: Arm, kind: str) -> None:
    """Joint 0 ranges from -1 to 2, joint 1 has no limits."""
    action = make(config, arm, kind)
    for sign, limit in ((1.0, 2.0), (-1.0, -1.0)):
        at = rows(limit, 50.0 * sign)
        got = action(rows(sign, sign), at, rows(sign, sign), at)
        assert (got[:, 0, 0] == limit).all()
        assert (sign * got[-1, 0, 1] > 50.0).all()


def test_commands_stay_inside_the_speed_limit(config: Config, arm: Arm) -> None:
    """However wild the actions, the increment's target never moves faster than speed * limit."""
    action = make(config, replace(arm, **FREE), "increment", speed=0.9)
    rng = np.random.default_rng(0)
    path = [ZERO]
    for _ in range(50):
        path += list(action(rng.normal(scale=3, size=(1, 2)), ZERO, ZERO, path[-1]))
    speed = np.abs(np.diff(path, axis=0))[:, 0] / (PERIOD / SUBSTEPS)
    assert np.allclose(speed.max(axis=0), [0.9 * 2.0, 0.9 * 3.0])


def test_rows_are_apart(config: Config, arm: Arm) -> None:
    """Each row as if it were alone."""
    rng = np.random.default_rng(1)
    inputs = [rng.normal(size=(5, 2)) for _ in range(4)]
    for kind in ("offset", "increment"):
        action = make(config, arm, kind)
        together = action(*inputs)
        assert together.shape == (SUBSTEPS, 5, 2)
        for i in range(5):
            alone = action(*(value[i : i + 1] for value in inputs))
            assert (alone[:, 0] == together[:, i]).all()


def test_curve_bends_small_actions(config: Config, arm: Arm) -> None:
    """sign(a) |a|^curve in place of a."""
    inputs = rows(0.3, 0.4), rows(0.1, -0.1), rows(0.3, 0.4)
    for kind in ("offset", "increment"):
        bent = make(config, arm, kind, curve=2.0)(rows(0.5, -0.8), *inputs)
        straight = make(config, arm, kind)(rows(0.25, -0.64), *inputs)
        assert np.allclose(bent, straight, atol=1e-15)
