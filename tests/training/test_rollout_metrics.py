"""Means over what finished lately, and figures of a rollout, against numbers made plainly."""

import json
from collections import deque
from types import SimpleNamespace

import numpy as np
import pytest

from reach_rl.envs.episodes import Finished
from reach_rl.training.rollout_metrics import Window, learner_metrics


def goals(*outcomes, terms=0):
    rows = np.array(outcomes, float)
    return Finished(rows, np.arange(len(rows)), np.zeros((0, 13 + terms)), np.zeros(0, int), 0)


def episode(total, length, count, shares, touched=(False, False), resets=0, motion=(0,) * 7):
    peak = 0.5 if resets else 0.25
    row = np.array([[total, length, count, *touched, peak, *motion, *shares]], float)
    return Finished(np.zeros((0, 4)), np.zeros(0, int), row, np.zeros(1, int), resets)


def test_nothing_is_said_before_something_finished():
    assert Window(4, ("a",)).metrics() == {"health/physics_resets": 0}


def test_goals():
    window = Window(4, ())
    window.add(goals((True, 0.001, 0.01, 1.5)))
    window.add(goals((False, 0.3, 1.0, 0.0), (True, 0.002, 0.02, 0.5)))
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
    window.add(goals((False, 9.0, 3.0, 0.0), (True, 0.1, 0.1, 1.0), (True, 0.3, 0.3, 1.0)))
    assert window.metrics()["rollout/success_rate"] == 1.0
    assert window.metrics()["rollout/position_error_mm"] == pytest.approx(200.0)


def test_episodes():
    window = Window(8, ("distance", "action_rate"))
    slow, fast = (37.5, 375.0, 1500.0, 75.0, 100.0, 2.0, 3.0), (62.5, 125.0, 500.0, 0, 0, 0, 0)
    window.add(episode(-3.0, 375, 2, (-2.0, -1.0), (True, False), resets=1, motion=slow))
    window.add(episode(5.0, 125, 5, (6.0, -1.0), (False, False), motion=fast))
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
    window.add(goals((True, 0.1, 0.2, 1.0), (False, 0.3, 0.4, 0.0), terms=1))
    window.add(episode(1.0, 10, 1, (2.0,), resets=2, motion=(1, 2, 3, 4, 5, 6, 7)))
    other = Window(3, ("a",))
    other.load(json.loads(json.dumps(window.state())))
    assert other.metrics() == window.metrics()
    for w in (window, other):
        w.add(goals((True, 0.5, 0.5, 1.0), (True, 0.6, 0.6, 2.0), terms=1))
    assert other.metrics() == window.metrics()


def many(rng, goal_count, episode_count):
    """Finished goals and episodes with random figures."""
    outcomes = rng.random((goal_count, 4))
    outcomes[:, 0] = outcomes[:, 0] < 0.5
    episodes = rng.random((episode_count, 15))
    return Finished(
        outcomes, np.arange(goal_count), episodes, np.arange(episode_count), episode_count
    )


@pytest.mark.parametrize("counts", [(1, 1), (3, 2), (7, 5), (5, 0), (19, 23)])
def test_a_window_holds_what_a_queue_would(counts):
    """The rows in their order, and figures of them."""
    rng, size = np.random.default_rng(0), 7
    window, rows = Window(size, ("a", "b")), deque(maxlen=size)
    for _ in range(9):
        f = many(rng, *counts)
        window.add(f)
        rows.extend(f.goals.tolist())
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
    window.add(goals(*((True, k / 10, 0.1, 1.0) for k in range(7))))
    smaller.load(window.state())
    assert smaller.state()["goals"] == window.state()["goals"][-2:]


def test_an_error_that_is_no_number_is_not_hidden():
    window = Window(4, ())
    window.add(goals((False, float("nan"), 0.1, 0.0), (True, 0.1, 0.1, 1.0)))
    metrics = window.metrics()
    assert np.isnan(metrics["rollout/position_error_mm"])
    assert np.isfinite(metrics["rollout/orientation_error_deg"])


def learner(observations, flat=False, **arrays):
    filler = np.linspace(-1.0, 2.0, 12, dtype=np.float32).reshape(4, 3)
    buffer = {"values": filler, "returns": filler, "advantages": filler, **arrays}
    buffer["buffer_size"], buffer["n_envs"], size = observations.shape
    observations = observations.swapaxes(0, 1).reshape(-1, size) if flat else observations
    return SimpleNamespace(rollout_buffer=SimpleNamespace(observations=observations, **buffer))


def environments(norm_obs, size):
    statistics = SimpleNamespace(mean=np.zeros(size), var=np.ones(size))
    return SimpleNamespace(
        norm_obs=norm_obs, norm_reward=False, clip_obs=1.5, obs_rms=statistics, ret_rms=None
    )


@pytest.mark.parametrize("shape", [(24, 256, 5), (300, 1, 5), (3, 40_000, 5)])
@pytest.mark.parametrize(("norm_obs", "flat"), [(True, False), (True, True), (False, False)])
def test_observations(shape, norm_obs, flat):
    """Flat is how SB3's own update leaves the buffer."""
    rng = np.random.default_rng(0)
    mean = np.linspace(-1, 1, 5) if norm_obs else np.linspace(-3, 30, 5)
    seen = rng.normal(mean, np.geomspace(1e-3, 1, 5), shape).astype(np.float32)
    seen[..., 2] = 0.3
    if norm_obs:
        np.clip(seen, -1.5, 1.5, out=seen)
    slices = {"first": slice(0, 2), "still": slice(2, 3), "rest": slice(3, 5)}
    out = learner_metrics(learner(seen, flat), environments(norm_obs, 5), slices)  # type: ignore[arg-type]
    exact = seen.reshape(-1, 5).astype(float)
    deviation = exact.std(axis=0)
    for name, place in slices.items():
        found = out[f"observation/{name}"]
        assert found == pytest.approx(deviation[place].min(), rel=1e-5, abs=1e-7)
    assert out["normalizer/seen_std_max"] == pytest.approx(deviation.max(), rel=1e-5)
    assert out["normalizer/seen_mean_max"] == pytest.approx(
        np.abs(exact.mean(axis=0)).max(), rel=1e-5
    )
    assert out["observation/still"] < 1e-7  # although 0.3 is no sum of powers of two
    clipped = (np.abs(exact) >= 1.5).mean() if norm_obs else 0.0
    assert out["normalizer/clipped"] == clipped


def test_values():
    rng = np.random.default_rng(1)
    names = ("values", "returns", "advantages")
    arrays = {n: (100 + rng.normal(size=(24, 7))).astype(np.float32) for n in names}
    arrays["advantages"] -= 103
    model = learner(np.zeros((24, 7, 2), np.float32), **arrays)
    out = learner_metrics(model, environments(False, 2), {})  # type: ignore[arg-type]
    for name in names:
        exact = arrays[name].astype(float)
        assert out[f"train/{name[:-1]}_mean"] == pytest.approx(exact.mean(), rel=1e-5)
        assert out[f"train/{name[:-1]}_std"] == pytest.approx(exact.std(), rel=1e-5)
    assert out["train/advantage_max"] == np.abs(arrays["advantages"]).max()
