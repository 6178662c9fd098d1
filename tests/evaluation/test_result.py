"""Parts of the workspace, the worst goals and the file of a made-up result."""

from dataclasses import fields
from typing import get_type_hints

import numpy as np
import pytest

from reach_rl.evaluation.result import FILE, Conditions, Evaluation, joined, load, save
from reach_rl.mdp.arrays import Bools

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


@pytest.fixture
def found() -> Evaluation:
    """An evaluation of nine goals with every kind of value, NaN among them."""
    rng, hints = np.random.default_rng(0), get_type_hints(Evaluation)
    shapes = {"goal_position": (9, 3), "goal_quaternion": (9, 4)}
    values = {
        f.name: rng.random(9) < 0.7
        if hints[f.name] == Bools
        else rng.normal(size=shapes.get(f.name, (9,)))
        for f in fields(Evaluation)
        if f.name not in ("conditions", "measured")
    }
    values["time_to_success"][~values["success"]] = np.nan
    numbers = {"base": (0.0, 0.1, 0.2), "reach": 0.85, "position_threshold": 0.02}
    words = {f.name: numbers.get(f.name, 1) for f in fields(Conditions)}
    words |= {"robot": "ur5e", "region": "front", "start": "home", "physics_records": True}
    return Evaluation(conditions=Conditions(**words), **values)


def test_an_evaluation_comes_back_as_it_was(found, tmp_path):
    path = tmp_path / FILE
    save(path, found)
    back = load(path)
    assert back.conditions == found.conditions
    for field in fields(Evaluation):
        if field.name not in ("conditions", "measured"):
            a, b = getattr(back, field.name), getattr(found, field.name)
            assert np.allclose(a, b, rtol=1e-6, equal_nan=True), field.name
            assert a.dtype.kind == b.dtype.kind
    assert [goal["index"] for goal in back.worst()] == [goal["index"] for goal in found.worst()]
    assert [p.name for p in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"[1, 2]"])
def test_a_damaged_file_is_said_to_be_one(tmp_path, content):
    path = tmp_path / FILE
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a whole evaluation"):
        load(path)


def test_a_file_that_lacks_an_array_is_damaged(found, tmp_path):
    path = tmp_path / FILE
    save(path, found)
    with np.load(path) as file:
        rest = {name: file[name] for name in file.files if name != "success"}
    np.savez(path, **rest)
    with pytest.raises(ValueError, match="not a whole evaluation"):
        load(path)


def test_no_file_is_another_matter(tmp_path):
    with pytest.raises(OSError):
        load(tmp_path / FILE)


def test_a_file_of_an_earlier_version_lacks_later_figures(found, tmp_path):
    path = tmp_path / FILE
    save(path, found)
    with np.load(path) as file:
        rest = {name: file[name] for name in file.files if name != "share_at_torque_limit"}
    np.savez(path, **rest)
    back = load(path)
    assert np.isnan(back.share_at_torque_limit).all() and len(back.share_at_torque_limit) == 9
    assert back.summary()["share_at_torque_limit"] is None
