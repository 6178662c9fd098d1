"""Regions of goals, with a made-up arm whose joint angles are its tool's position."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from reach_rl.config.load import ConfigError
from reach_rl.config.schema import RegionConfig
from reach_rl.mdp.goals import FULL_TURN, Base, Goals, Poses, joint_range, rejected, sample

OPEN = RegionConfig(
    name="made_up",
    joint_range=None,
    box_low=None,
    box_high=None,
    radius=None,
    pan_distance=0.0,
    cone_axis=None,
    cone_angle=None,
    clearance=0.0,
    pool=100,
)
HOME = np.array([0.5, 0.0, 0.0])
IDENTITY = np.eye(3)


def poses_at(position: Any, axis: Any = (0, 0, 1)) -> Poses:
    """Poses at positions (k, 3) whose tool z axes are `axis`."""
    position = np.atleast_2d(np.asarray(position, float))
    axes = np.broadcast_to(np.asarray(axis, float), position.shape)
    matrix = np.zeros((len(position), 3, 3))
    matrix[:, :, 2] = axes / np.linalg.norm(axes, axis=1, keepdims=True)
    quaternion = np.tile([1.0, 0, 0, 0], (len(position), 1))
    return Poses(position, quaternion, matrix, *np.zeros((2, len(position)), bool))


def keeps(
    position: Any,
    axis: Any = (0, 0, 1),
    base: Any = (0, 0, 0),
    turn: Any = IDENTITY,
    **region: Any,
) -> list[bool]:
    """Which positions the region keeps, for an arm of 2 m reach."""
    chosen = replace(OPEN, **region)
    gone = rejected(chosen, poses_at(position, axis), Base(np.asarray(base, float), turn, 2.0))
    return (~np.logical_or.reduce(list(gone.values()))).tolist()


def draw(
    region: RegionConfig, count: int = 200, seed: int = 0, free: Any = None, width: float = 1.0
) -> Goals:
    """Goals of the made-up arm, whose joints range width about HOME."""

    def kinematics(joints: np.ndarray) -> Poses:
        poses = poses_at(joints)
        return poses if free is None else replace(poses, self_contact=~free(joints))

    bounds = joint_range(region, HOME, HOME - width, HOME + width)
    rng = np.random.default_rng(seed)
    return sample(region, count, rng, kinematics, bounds, HOME, Base(np.zeros(3), IDENTITY, 2.0))


def test_box() -> None:
    """Null leaves a side open."""
    points = [[0.2, 0, 0], [0.05, 0, 0], [0.2, 0.6, 0], [0.2, -9, 5]]
    assert keeps(points) == [True] * 4
    assert keeps(points, box_low=[0.1, None, None]) == [True, False, True, True]
    box = {"box_low": [0.1, -1.0, None], "box_high": [None, 0.5, 1.0]}
    assert keeps(points, **box) == [True, False, False, False]


def test_box_and_radius_are_about_the_base() -> None:
    assert keeps([[1.2, 0, 0]], base=[1, 0, 0], box_high=[0.5, None, None]) == [True]
    assert keeps([[1.2, 0, 0]], base=[1, 0, 0], radius=[0.0, 0.2]) == [True]
    assert keeps([[1.2, 0, 0]], base=[1, 0, 0], pan_distance=0.2) == [False]


def test_radius_is_in_reaches() -> None:
    points = [[0.9, 0, 0], [0, 0, 1.1], [1.0, 1.0, 1.0], [1.7, 0, 0]]
    assert keeps(points, radius=[0.5, 0.8]) == [False, True, False, False]
    assert keeps(points, radius=[0.5, 0.9]) == [False, True, True, True]


def test_pan_distance_is_from_the_vertical_axis() -> None:
    """Height does not help."""
    assert keeps([[0.6, 0.8, 0], [0.3, 0.4, 0.9]], pan_distance=0.4) == [True, False]


def test_cone_is_about_the_tool_axis() -> None:
    """The axis need not be a unit vector."""
    cone = {"cone_axis": [0, 0, -2], "cone_angle": 0.5}
    for angle, kept in ((0.0, True), (0.49, True), (0.51, False), (np.pi, False)):
        assert keeps([[1, 0, 0]], [np.sin(angle), 0, -np.cos(angle)], **cone) == [kept]
    ahead = {"cone_axis": [3, 0, 0], "cone_angle": 0.1}
    assert keeps([[1, 0, 0]] * 2, [[1, 0, 0.05], [1, 0.2, 0]], **ahead) == [True, False]


def test_joint_range() -> None:
    """One number for all, one for each, or the whole range; limits cut, and none is a half turn."""
    low, high = np.array([-0.3, -np.inf, -9.0]), np.array([np.inf, np.inf, 0.2])

    def bounds(value: list[float] | None) -> list[list[float]]:
        found = joint_range(replace(OPEN, joint_range=value), HOME, low, high)
        return [b.tolist() for b in found]

    assert bounds([0.4]) == pytest.approx(np.array([[0.1, -0.4, -0.4], [0.9, 0.4, 0.2]]))
    assert bounds([2.0, 0.5, 0.1]) == pytest.approx(np.array([[-0.3, -0.5, -0.1], [2.5, 0.5, 0.1]]))
    whole = [[-0.3, -FULL_TURN, -9.0], [0.5 + FULL_TURN, FULL_TURN, 0.2]]
    assert bounds(None) == pytest.approx(np.array(whole))
    assert bounds([7.0])[1] == pytest.approx([0.5 + FULL_TURN, FULL_TURN, 0.2])


def test_samples_fill_the_region_and_tell_what_was_kept() -> None:
    """Uniform in the joints, inside the region, a fifth kept, and no more than asked for."""
    region = replace(OPEN, box_low=[1.1, None, None])
    goals = draw(region, 4000)
    assert len(goals) == 4000
    assert goals.position[:, 0].min() > 1.1
    assert (goals.position == goals.joints).all()
    assert goals.kept == pytest.approx(0.2, abs=0.02)
    assert np.allclose(goals.joints.mean(axis=0), [1.3, 0, 0], atol=0.03)
    assert np.allclose(goals.joints.std(axis=0), np.array([0.4, 2, 2]) / np.sqrt(12), atol=0.03)


def test_contact_is_left_out() -> None:
    """Half the space is free."""
    goals = draw(OPEN, 300, free=lambda q: q[:, 1] > 0)
    assert goals.joints[:, 1].min() > 0
    assert goals.kept == pytest.approx(0.5, abs=0.05)


def test_goals_are_ordered_by_their_spread() -> None:
    """A share of the range holds the first of them: their largest offset from home."""
    goals = draw(replace(OPEN, joint_range=[1.0, 0.5, 0.25]), 2000)
    offset = np.abs(goals.joints - HOME) / [1.0, 0.5, 0.25]
    assert np.allclose(goals.spread, offset.max(axis=1))
    assert (np.diff(goals.spread) >= 0).all()
    half = goals.within(0.5)
    assert (offset[:half] <= 0.5).all()
    assert (offset[half:].max(axis=1) > 0.5).all()
    assert half / 2000 == pytest.approx(0.125, abs=0.03)
    assert goals.within(1.0) == 2000
    assert goals.within(1e-9) == 1


def test_equal_seeds_equal_goals() -> None:
    one, same, other = draw(OPEN, seed=4), draw(OPEN, seed=4), draw(OPEN, seed=5)
    assert (one.joints == same.joints).all()
    assert not np.isin(one.joints, other.joints).any()


def test_an_unreachable_region_is_an_error_that_says_how_much_of_it_was() -> None:
    """Nothing of it, or too little."""
    with pytest.raises(ConfigError) as caught:
        draw(replace(OPEN, box_low=[9.0, None, None]))
    (line,) = caught.value.problems
    assert line.startswith("task.region=made_up: only 0 of ")
    assert "task.region.box_low" in line
    with pytest.raises(ConfigError) as caught:
        draw(replace(OPEN, box_low=[1.4996, None, None]))  # 0.02 %
    assert 0 < int(caught.value.problems[0].split("only ")[1].split()[0]) < 20


def test_a_small_but_reachable_region_is_filled() -> None:
    """Half a percent is enough."""
    goals = draw(replace(OPEN, box_low=[1.49, None, None]), 300)
    assert len(goals) == 300
    assert goals.kept == pytest.approx(0.005, abs=0.002)


CEILING = np.diag([1.0, -1.0, -1.0])
"""Axes of a base that hangs upside down."""


def test_regions_are_told_in_the_base_frame() -> None:
    """For an arm that hangs from a ceiling 2 m up, z counts downwards from there."""
    hangs = {"base": (1.0, 0.0, 2.0), "turn": CEILING}
    below, above = (1.3, 0.1, 1.5), (1.3, 0.1, 2.5)
    assert keeps([below, above], **hangs, box_low=[0.2, -0.2, 0.3]) == [True, False]
    assert keeps([below, above], **hangs, box_high=[None, 0.0, 0.0]) == [False, True]
    down = {"axis": (0, 0, -1), "cone_axis": [0.0, 0.0, 1.0], "cone_angle": 0.1}
    assert keeps([below], **hangs, **down) == [True]
    assert keeps([below], **down) == [False]
    assert keeps([(1.0, 0.4, 1.0)], **hangs, pan_distance=0.3) == [False]


def test_too_few_goals_say_which_condition_rejects_them() -> None:
    region = replace(OPEN, box_low=[9.0, None, None], radius=[0.0, 0.3], clearance=0.05)
    with pytest.raises(ConfigError) as caught:
        draw(region)
    text = str(caught.value)
    assert "rejected are 100% by task.region.box_low" in text
    assert "by task.region.radius" in text and "clearance" not in text
    assert text.endswith("set task.region.box_low to less than [9.0, None, None]")
