"""Means over what finished lately, against numbers counted by hand."""

import json

import numpy as np
import pytest

from reach_rl.envs.statistics import Finished
from reach_rl.learning.window import Window


def goals(*outcomes):
    reached, distance, angle = zip(*outcomes, strict=True)
    return Finished(reached=list(reached), distance=list(distance), angle=list(angle))


def episode(total, length, count, shares, touched=(False, False), resets=0):
    return Finished(
        rows=[0],
        returns=[total],
        lengths=[length],
        goals=[count],
        shares=[np.array(shares)],
        self_collided=[touched[0]],
        table_collided=[touched[1]],
        physics_resets=resets,
    )


def test_nothing_is_said_before_something_finished():
    assert Window(4, ("a",)).metrics() == {"health/physics_resets": 0}


def test_goals():
    window = Window(4, ())
    window.add([goals((True, 0.001, 0.01)), goals((False, 0.3, 1.0), (True, 0.002, 0.02))])
    metrics = window.metrics()
    assert metrics["rollout/success_rate"] == pytest.approx(2 / 3)
    assert metrics["rollout/position_error_mm"] == pytest.approx(2.0)
    assert metrics["rollout/orientation_error_deg"] == pytest.approx(np.degrees(0.02))
    assert "rollout/ep_rew_mean" not in metrics


def test_only_the_last_ones_count():
    window = Window(2, ())
    window.add([goals((False, 9.0, 3.0), (True, 0.1, 0.1), (True, 0.3, 0.3))])
    assert window.metrics()["rollout/success_rate"] == 1.0
    assert window.metrics()["rollout/position_error_mm"] == pytest.approx(200.0)


def test_episodes():
    window = Window(8, ("distance", "action_rate"))
    window.add([episode(-3.0, 375, 2, (-2.0, -1.0), (True, False), resets=1)])
    window.add([episode(5.0, 125, 5, (6.0, -1.0), (False, False))])
    metrics = window.metrics()
    assert metrics == {
        "health/physics_resets": 1,
        "rollout/ep_rew_mean": pytest.approx(1.0),
        "rollout/ep_len_mean": pytest.approx(250.0),
        "rollout/goals_per_episode": pytest.approx(3.5),
        "rollout/self_collision_rate": pytest.approx(0.5),
        "rollout/table_collision_rate": 0.0,
        "reward/distance": pytest.approx(2.0),
        "reward/action_rate": pytest.approx(-1.0),
    }


def test_a_window_goes_on_from_its_state():
    window = Window(3, ("a",))
    window.add([goals((True, 0.1, 0.2), (False, 0.3, 0.4)), episode(1.0, 10, 1, (2.0,), resets=2)])
    other = Window(3, ("a",))
    other.load(json.loads(json.dumps(window.state())))
    assert other.metrics() == window.metrics()
    for w in (window, other):
        w.add([goals((True, 0.5, 0.5), (True, 0.6, 0.6))])
    assert other.metrics() == window.metrics()
