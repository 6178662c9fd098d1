"""What a watcher keeps of judged episodes is what happened."""

from dataclasses import replace

import numpy as np
import pytest

from reach_rl.evaluation.protocol import evaluate
from reach_rl.evaluation.recording import Tracks, badness


def still(observation):
    return np.zeros((len(observation), 6), np.float32)


def judged(yardstick, tracks, **options):
    config = replace(
        yardstick.config, task=replace(yardstick.config.task, episode_steps=40, hold_time=0.1)
    )
    options = {"threads": 1, "robot": yardstick.robot, "watcher": tracks, **options}
    return evaluate(options.pop("policy", yardstick.policy), config, yardstick.goals, **options)


@pytest.mark.parametrize("physics_records", [True, False])
def test_errors_and_joints_end_as_the_result_says(yardstick, physics_records):
    tracks = Tracks(fixed=3, worst=2)
    result = judged(yardstick, tracks, physics_records=physics_records)
    episodes = tracks.episodes()
    assert 3 <= len(episodes) <= 5
    for episode in episodes:
        row = episode.number
        assert episode.goals == len(yardstick.goals)
        assert episode.qpos.shape == (41, yardstick.robot.model.nq)
        assert episode.position_error[-1] == pytest.approx(result.position_error[row], rel=1e-5)
        assert episode.orientation_error[-1] == pytest.approx(
            result.orientation_error[row], rel=1e-4, abs=1e-6
        )
        assert episode.success == result.success[row]
        np.testing.assert_array_equal(episode.goal_position, yardstick.goals.position[row])
    moved = np.abs(np.diff(episodes[0].qpos, axis=0)).max(axis=1)
    assert moved.max() > 1e-3 and episodes[0].position_error[0] > episodes[0].position_error[-1]


def test_the_worst_are_kept_over_all_chunks(yardstick):
    tracks = Tracks(fixed=2, worst=2)
    result = judged(yardstick, tracks, policy=still, chunk=5)
    worst = set(np.argsort(-badness(result), kind="stable")[:2].tolist())
    episodes = tracks.episodes()
    assert {e.number for e in episodes if e.worst} == worst
    count = len(yardstick.goals)
    assert {e.number for e in episodes if not e.worst} == {count // 4, 3 * count // 4} - worst


def test_failures_are_worse_than_any_success(yardstick):
    result = judged(yardstick, Tracks())
    bad = badness(result)
    if result.success.any() and not result.success.all():
        assert bad[result.success].max() < bad[~result.success].min()
    assert (bad[result.success] <= 0).all()
    assert (bad[~result.success] > 0).all()
