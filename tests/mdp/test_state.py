"""Distances and ways in the joints."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from reach_rl.mdp.state import Arm, nearest_way

PI = np.pi


@pytest.mark.parametrize(
    ("q", "ways", "expected"),
    [
        ([0.1, 0.0], [[0.4, 0.4]], 0.5),
        ([3.0, 0.0], [[-3.0, 0.0]], 2 * PI - 6.0),  # through pi
        ([0.0, 0.0], [[4 * PI + 0.3, 0.0]], 0.3),  # full turns do not matter
        ([0.0, 0.9], [[0.0, 0.9 - 2 * PI + 0.2]], 2 * PI - 0.2),  # beyond a limit: the long way
        ([0.0, 0.0], [[1.0, 0.0], [0.2, 0.0], [np.nan, np.nan]], 0.2),
    ],
)
def test_the_nearest_way_counts(arm: Arm, q, ways, expected):
    wide = replace(arm, low=np.array([-2 * PI, -6.0]), high=np.array([2 * PI, 1.0]))
    hinges = replace(wide, hinge=np.array([True, True]))
    found = nearest_way(np.array([q]), np.array([ways], float), hinges)[0]
    assert found == pytest.approx([expected])


def test_the_way_in_the_joints_against_trying_every_turn(arm: Arm):
    """To the nearest configuration within the limits, among all full turns of all of them."""
    rng = np.random.default_rng(0)
    wide = replace(arm, low=np.array([-2 * PI, -PI]), high=np.array([2 * PI, PI]))
    q = rng.uniform(wide.low, wide.high, (300, 2))
    ways = rng.uniform(-PI, PI, (300, 4, 2))
    ways[rng.random((300, 4)) < 0.4] = np.nan
    found = nearest_way(q, ways, wide)[1]
    turns = 2 * PI * np.array(list(itertools.product(range(-2, 3), repeat=2)))
    for row in range(300):
        there = (ways[row][np.isfinite(ways[row, :, 0]), None] + turns).reshape(-1, 2)
        inside = ((there > wide.low) & (there < wide.high)).all(axis=1)
        if not inside.any():
            assert (found[row] == 0.0).all()
            continue
        lengths = np.linalg.norm(there[inside] - q[row], axis=1)
        np.testing.assert_allclose(found[row], there[inside][lengths.argmin()] - q[row], atol=1e-9)
    assert np.isnan(ways).all(axis=(1, 2)).sum() > 3
    assert (nearest_way(q, np.empty((300, 0, 2)), wide)[1] == 0.0).all()


def test_slides_do_not_turn(arm: Arm):
    slides = replace(
        arm, low=np.full(2, -np.inf), high=np.full(2, np.inf), hinge=np.array([False, False])
    )
    found = nearest_way(np.zeros((1, 2)), np.array([[[7.0, 0.0]]]), slides)[0]
    assert found == pytest.approx([7.0])
