"""Means over what finished lately, against numbers counted by hand."""

import json

import numpy as np
import pytest

from reach_rl.envs.statistics import Finished
from reach_rl.learning.window import Window


def goals(*outcomes):
    reached, distance, angle, seconds = zip(*outcomes, strict=True)
    return Finished(
        reached=list(reached), distance=list(distance), angle=list(angle), seconds=list(seconds)
    )


def episode(total, length, count, shares, touched=(False, False), resets=0, motion=(0,) * 7):
    return Finished(
        rows=[0],
        returns=[total],
        lengths=[length],
        goals=[count],
        shares=[np.array(shares)],
        self_collided=[touched[0]],
        table_collided=[touched[1]],
        motion=[np.array(motion, float)],
        peak_speed=[0.5 if resets else 0.25],
        physics_resets=resets,
    )


def test_nothing_is_said_before_something_finished():
    assert Window(4, ("a",)).metrics() == {"health/physics_resets": 0}


def test_goals():
    window = Window(4, ())
    window.add([goals((True, 0.001, 0.01, 1.5))])
    window.add([goals((False, 0.3, 1.0, 0.0), (True, 0.002, 0.02, 0.5))])
    metrics = window.metrics()
    assert metrics["rollout/success_rate"] == pytest.approx(2 / 3)
    assert metrics["rollout/position_error_mm"] == pytest.approx(2.0)
    assert metrics["rollout/position_error_mm_p95"] == pytest.approx(2.0 + 0.9 * 298.0)
    assert metrics["rollout/orientation_error_deg"] == pytest.approx(np.degrees(0.02))
    assert metrics["rollout/orientation_error_deg_p95"] == pytest.approx(np.degrees(0.902))
    assert metrics["rollout/time_to_success_s"] == pytest.approx(1.0)  # of those that were reached
    assert "rollout/ep_rew_mean" not in metrics


def test_only_the_last_ones_count():
    window = Window(2, ())
    window.add([goals((False, 9.0, 3.0, 0.0), (True, 0.1, 0.1, 1.0), (True, 0.3, 0.3, 1.0))])
    assert window.metrics()["rollout/success_rate"] == 1.0
    assert window.metrics()["rollout/position_error_mm"] == pytest.approx(200.0)


def test_episodes():
    window = Window(8, ("distance", "action_rate"))
    slow, fast = (37.5, 375.0, 1500.0, 75.0, 100.0, 2.0, 3.0), (62.5, 125.0, 500.0, 0, 0, 0, 0)
    window.add([episode(-3.0, 375, 2, (-2.0, -1.0), (True, False), resets=1, motion=slow)])
    window.add([episode(5.0, 125, 5, (6.0, -1.0), (False, False), motion=fast)])
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
        "health/joint_speed_of_limit": 0.5,
        "rollout/tool_speed": pytest.approx(0.2),
        "rollout/action_rate": pytest.approx(1.0),
        "rollout/jerk": pytest.approx(2.0),
        "rollout/action_saturation": pytest.approx(0.15),
        "rollout/goal_share": pytest.approx(0.2),
        "rollout/goal_joint_speed": pytest.approx(0.02),
        "rollout/goal_action_rate": pytest.approx(0.03),
    }


def test_a_window_goes_on_from_its_state():
    window = Window(3, ("a",))
    window.add([goals((True, 0.1, 0.2, 1.0), (False, 0.3, 0.4, 0.0))])
    window.add([episode(1.0, 10, 1, (2.0,), resets=2, motion=(1, 2, 3, 4, 5, 6, 7))])
    other = Window(3, ("a",))
    other.load(json.loads(json.dumps(window.state())))
    assert other.metrics() == window.metrics()
    for w in (window, other):
        w.add([goals((True, 0.5, 0.5, 1.0), (True, 0.6, 0.6, 2.0))])
    assert other.metrics() == window.metrics()
