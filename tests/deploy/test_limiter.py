"""Targets within bounds, whatever is wanted."""

from types import SimpleNamespace

import numpy as np
import pytest

from reach_rl.deploy.limiter import Limiter

DT = 0.002


def limiter(speed=2.0, acceleration=40.0, start=0.0, share=1.0):
    contract = SimpleNamespace(
        low=np.array([-1.0]),
        high=np.array([1.0]),
        target_velocity=np.array([speed]),
        target_acceleration=np.array([acceleration]),
        acceleration=np.array([acceleration / 2]),
    )
    made = Limiter(contract, DT, share)
    made.start(np.array([start]))
    return made


def follow(made, wanted):
    targets = np.array([made.follow(np.array([w]))[0] for w in wanted])
    speed = np.diff(targets, prepend=made.low * 0) / DT
    return targets, speed


@pytest.mark.parametrize("seed", range(5))
def test_never_outside_the_bounds(seed):
    rng = np.random.default_rng(seed)
    wanted = np.repeat(rng.uniform(-3, 3, 40), rng.integers(1, 60, 40))
    made = limiter()
    targets, speed = follow(made, wanted)
    assert np.abs(targets).max() <= 1.0
    assert np.abs(speed).max() <= 2.0 + 1e-9
    inside = np.abs(targets[1:]) < 1.0
    assert np.abs(np.diff(speed)[inside]).max() / DT <= 40.0 + 1e-6
    assert made.furthest > 0.1


def test_what_can_be_followed_is_followed_exactly():
    t = DT * np.arange(1, 1000)
    wanted = 0.3 * (1 - np.cos(3 * t))
    made = limiter()
    targets, _ = follow(made, wanted)
    np.testing.assert_allclose(targets, wanted, atol=1e-3)
    assert made.furthest < 1e-3


def test_a_jump_is_reached_without_ringing():
    targets, speed = follow(limiter(), np.full(1500, 0.5))
    assert targets.max() < 0.5 + 1e-3
    assert abs(targets[-1] - 0.5) < 1e-6 and abs(speed[-1]) < 1e-3
    assert (np.diff(np.sign(speed[np.abs(speed) > 1e-3])) != 0).sum() == 0


def test_braking_comes_to_rest():
    made = limiter()
    _, speed = follow(made, 1.5 * DT * np.arange(1, 300))
    assert speed[-1] == pytest.approx(1.5, rel=1e-3) and not made.at_rest
    before, periods = made.target.copy(), 0
    while not made.at_rest:
        made.brake()
        periods += 1
    assert periods == pytest.approx(1.5 / 20.0 / DT, abs=2)
    assert made.target - before == pytest.approx(1.5**2 / 2 / 20.0, rel=0.05)
    held = made.target.copy()
    np.testing.assert_array_equal(made.brake(), held)


def test_a_share_of_the_speed_and_a_start_outside():
    _, speed = follow(limiter(share=0.25), np.full(1000, 0.9))
    assert np.abs(speed).max() == pytest.approx(0.5)
    assert limiter(start=5.0).target == 1.0
