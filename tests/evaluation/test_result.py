"""Parts of the workspace and the worst goals, of a made-up result."""

import numpy as np
import pytest

from reach_rl.evaluation.result import Conditions, Evaluation, joined

CONDITIONS = Conditions(
    robot="ur5e",
    region="front",
    seed=7,
    reach=1.0,
    base=(0.0, 0.0, 0.1),
    position_threshold=0.02,
    orientation_threshold=0.1,
    hold_time=0.5,
    episode_time=7.5,
    steps=375,
    physics_steps=1500,
    start="home",
    physics_records=True,
)

POSITIONS = [
    (0.2, 0.1, 0.6),  # near
    (0.7, 0.0, 0.6),  # far (of the base at z = 0.1)
    (0.5, 0.0, 0.2),  # low
    (-0.5, 0.0, 0.5),  # behind
    (0.5, 0.0, 0.5),  # middle
    (-0.2, 0.0, 0.2),  # near, low and behind
]


def evaluation(success, position_error=None, orientation_error=None):
    m = len(success)
    zeros = np.zeros(m)
    values = {
        name: zeros.copy() for name in (
            "final_joint_speed", "action_rate", "max_speed_of_limit", "share_above_speed_limit",
            "share_outside_joint_range", "max_torque_of_limit", "path_ratio", "jerk",
            "share_at_torque_limit", "max_joint_acceleration",
        )
    }  # fmt: skip
    flags = {n: zeros.astype(bool) for n in ("self_collision", "table_collision", "physics_reset")}
    success = np.array(success, bool)
    return Evaluation(
        conditions=CONDITIONS,
        goal_position=np.array(POSITIONS[:m]),
        goal_quaternion=np.tile([1.0, 0, 0, 0], (m, 1)),
        success=success,
        time_to_success=np.where(success, 1.0, np.nan),
        position_error=zeros if position_error is None else np.array(position_error),
        orientation_error=zeros if orientation_error is None else np.array(orientation_error),
        **values,
        **flags,
    )


def test_parts_of_the_workspace():
    parts = evaluation([1, 1, 1, 1, 1, 0]).parts()
    where = {name: np.flatnonzero(rows).tolist() for name, rows in parts.items()}
    assert where == {"near": [0, 5], "far": [1], "low": [2, 5], "behind": [3, 5], "middle": [4]}


def test_figures_by_part():
    regions = evaluation([1, 1, 1, 1, 1, 0]).by_region()
    assert {name: part["goals"] for name, part in regions.items()} == {
        "near": 2, "far": 1, "low": 2, "behind": 2, "middle": 1,
    }  # fmt: skip
    assert regions["behind"]["success_rate"] == 0.5
    assert "behind" not in evaluation([1, 1, 1]).by_region()


def test_worst_goals_are_failures_first_then_by_error_over_threshold():
    result = evaluation(
        [1, 0, 1, 0, 1],
        position_error=[0.001, 0.03, 0.019, 0.0, 0.0],
        orientation_error=[0.0, 0.0, 0.0, 0.5, 0.09],
    )
    assert [goal["index"] for goal in result.worst(5)] == [3, 1, 2, 4, 0]
    assert len(result.worst(2)) == 2
    goal = result.worst(1)[0]
    assert goal["time_to_success_s"] is None
    assert goal["orientation_error_deg"] == pytest.approx(28.6479, abs=1e-4)


def test_outcomes_in_words():
    result = evaluation(
        [1, 1, 0, 0, 0, 0],
        position_error=[0.001, 0.05, 0.05, 0.05, 0.001, 0.001],
        orientation_error=[0.0, 0.0, 0.0, 0.5, 0.5, 0.0],
    )
    result.final_joint_speed[2] = 0.3
    result.table_collision[3] = True
    assert [result.outcome(i) for i in range(6)] == [
        "held after 1.00 s",
        "held after 1.00 s, then left",
        "still moving, too far away",
        "stopped too far away and turned too far; touched the table",
        "stopped turned too far",
        "there at the end, not held",
    ]
    result.physics_reset[0] = True
    assert result.row(0)["outcome"] == "its physics went bad"


def test_joined_keeps_the_order():
    one, two = evaluation([1, 0]), evaluation([0, 1, 1])
    assert joined([one, two]).success.tolist() == [True, False, False, True, True]
