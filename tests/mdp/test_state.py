"""Distances in the joints."""

from dataclasses import replace

import numpy as np
import pytest

from reach_rl.mdp.state import Arm, joint_distance

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
    found = joint_distance(np.array([q]), np.array([ways], float), hinges)
    assert found == pytest.approx([expected])


def test_slides_do_not_turn(arm: Arm):
    slides = replace(
        arm, low=np.full(2, -np.inf), high=np.full(2, np.inf), hinge=np.array([False, False])
    )
    found = joint_distance(np.zeros((1, 2)), np.array([[[7.0, 0.0]]]), slides)
    assert found == pytest.approx([7.0])
