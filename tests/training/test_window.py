"""Means over what finished lately, against numbers counted by hand."""

import json
from collections import deque

import numpy as np
import pytest

from reach_rl.envs.statistics import Finished
from reach_rl.training.window import Window


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


def many(rng, goal_count, episode_count):
    """Finished goals and episodes with random figures."""
    out = Finished(
        reached=(rng.random(goal_count) < 0.5).tolist(),
        distance=rng.random(goal_count).tolist(),
        angle=rng.random(goal_count).tolist(),
        seconds=rng.random(goal_count).tolist(),
    )
    for row in range(episode_count):
        one = episode(rng.normal(), 100, row % 3, (rng.normal(), 0.1), motion=rng.random(7))
        for name in ("rows", "returns", "lengths", "goals", "shares", "self_collided"):
            getattr(out, name).extend(getattr(one, name))
        for name in ("table_collided", "motion", "peak_speed"):
            getattr(out, name).extend(getattr(one, name))
    return out


@pytest.mark.parametrize("counts", [(1, 1), (3, 2), (7, 5), (5, 0), (19, 23)])
def test_a_ring_holds_what_a_queue_would(counts):
    """Wherever the ring begins: the rows in their order, and figures of them to the last bit."""
    rng, size = np.random.default_rng(0), 7
    window, rows = Window(size, ("a", "b")), deque(maxlen=size)
    for _ in range(9):
        f = many(rng, *counts)
        window.add([f])
        rows.extend(
            map(list, zip(map(float, f.reached), f.distance, f.angle, f.seconds, strict=True))
        )
        state = json.loads(json.dumps(window.state()))
        assert state["goals"] == list(rows)
        other = Window(size, ("a", "b"))
        other.load(state)
        assert other.state() == window.state() and other.metrics() == window.metrics()
        distance, metrics = 1e3 * np.array(rows)[:, 1], window.metrics()
        for name, share in (("", 50), ("_p95", 95)):
            found = metrics[f"rollout/position_error_mm{name}"]
            assert found == pytest.approx(np.percentile(distance, share), rel=1e-14)
        if "rollout/ep_rew_mean" in metrics:
            returns = np.array(state["episodes"])[:, 0]
            assert metrics["rollout/ep_rew_mean"] == pytest.approx(returns.mean(), rel=1e-14)


def test_a_smaller_window_goes_on_with_the_last_ones():
    window, smaller = Window(5, ()), Window(2, ())
    window.add([goals(*((True, k / 10, 0.1, 1.0) for k in range(7)))])
    smaller.load(window.state())
    assert smaller.state()["goals"] == window.state()["goals"][-2:]


def test_an_error_that_is_no_number_is_not_hidden():
    window = Window(4, ())
    window.add([goals((False, float("nan"), 0.1, 0.0), (True, 0.1, 0.1, 1.0))])
    metrics = window.metrics()
    assert np.isnan(metrics["rollout/position_error_mm"])
    assert np.isfinite(metrics["rollout/orientation_error_deg"])
