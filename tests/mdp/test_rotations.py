"""Rotation errors: every sign, every size, and the half turn."""

import mujoco
import numpy as np
import pytest

from reach_rl.mdp.arrays import canonical, cross, norm, rotation_error

RNG = np.random.default_rng(3)


def about(axis: np.ndarray, angle: float) -> np.ndarray:
    """(4,) the quaternion of a rotation about an axis."""
    return np.concatenate([[np.cos(angle / 2)], np.sin(angle / 2) * axis / np.linalg.norm(axis)])


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(4,) first b, then a."""
    out = np.zeros(4)
    mujoco.mju_mulQuat(out, a, b)
    return out


def matrix(quat: np.ndarray) -> np.ndarray:
    """(3, 3)."""
    out = np.zeros(9)
    mujoco.mju_quat2Mat(out, quat)
    return out.reshape(3, 3)


def rodrigues(vector: np.ndarray) -> np.ndarray:
    """(3, 3) the rotation by a rotation vector."""
    angle = np.linalg.norm(vector)
    x, y, z = vector / max(angle, 1e-300)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k


def unit_quats(count: int) -> np.ndarray:
    q = RNG.normal(size=(count, 4))
    return q / np.linalg.norm(q, axis=1, keepdims=True)


def test_turning_the_tool_by_the_error_gives_the_goal() -> None:
    """R(error) R_tool = R_goal in the base frame, for 500 random pairs; length at most pi."""
    tool, goal = unit_quats(500), unit_quats(500)
    error = rotation_error(tool, goal)
    assert norm(error).max() <= np.pi + 1e-12
    assert norm(error).max() > 3.0
    for t, g, e in zip(tool, goal, error, strict=True):
        assert np.allclose(rodrigues(e) @ matrix(t), matrix(g), atol=1e-12)


def test_known_turns() -> None:
    """A quarter turn about the base's z, tool tilted or not, is pi / 2 about z."""
    quarter = about(np.array([0, 0, 1.0]), np.pi / 2)
    for tool in (np.array([1.0, 0, 0, 0]), *unit_quats(5)):
        error = rotation_error(tool[None], product(quarter, tool)[None])
        assert np.allclose(error, [[0, 0, np.pi / 2]], atol=1e-12)


def test_a_quaternion_and_its_negative_are_one_rotation() -> None:
    """All four choices of sign give the same error."""
    tool, goal = unit_quats(200), unit_quats(200)
    error = rotation_error(tool, goal)
    for s in (1.0, -1.0):
        for t in (1.0, -1.0):
            assert np.allclose(rotation_error(s * tool, t * goal), error, atol=1e-12)


def test_no_error_is_exactly_zero() -> None:
    """Also when the goal carries the other sign."""
    q = np.array([[1.0, 0, 0, 0], [0, 0, 1.0, 0], [0.5, 0.5, -0.5, 0.5]])
    assert (rotation_error(q, q) == 0.0).all()
    assert (rotation_error(q, -q) == 0.0).all()
    q = unit_quats(200)
    assert norm(rotation_error(q, -q)).max() < 1e-15


@pytest.mark.parametrize("angle", [1e-13, 1e-9, 1e-6, 1e-3, 1.0, 3.0, np.pi - 1e-6])
def test_every_size_of_angle_is_exact(angle: float) -> None:
    """No loss at small angles nor near the half turn."""
    axis = np.array([0.6, 0.0, -0.8])
    for tool in (np.array([1.0, 0, 0, 0]), unit_quats(1)[0]):
        goal = product(about(axis, angle), tool)
        error = rotation_error(tool[None], goal[None])[0]
        assert np.allclose(error, angle * axis, rtol=1e-9, atol=4e-16)


def test_half_a_turn_is_pi_about_either_axis_and_beyond_it_the_short_way() -> None:
    """At pi the axis is one of two; a little beyond, the error points the other way."""
    identity = np.array([[1.0, 0, 0, 0]])
    for axis in (np.eye(3)[0], np.array([0.6, 0.0, -0.8])):
        exact = np.concatenate([[0.0], axis])[None]
        for goal in (exact, -exact):
            error = rotation_error(identity, goal)[0]
            assert np.linalg.norm(error) == pytest.approx(np.pi, abs=1e-15)
            assert abs(error @ axis) == pytest.approx(np.pi, abs=1e-12)
        beyond = rotation_error(identity, about(axis, np.pi + 0.1)[None])[0]
        assert np.allclose(beyond, -(np.pi - 0.1) * axis, atol=1e-12)
    flipped = rotation_error(np.array([[0.0, 1, 0, 0]]), np.array([[0.0, 0, 1, 0]]))
    assert np.allclose(np.abs(flipped), [[0, 0, np.pi]], atol=1e-12)


def test_canonical_keeps_the_rotation() -> None:
    """w >= 0; a w of exactly zero is left alone."""
    q = np.array([[-0.5, 0.5, 0.5, -0.5], [0.5, 0.5, 0.5, -0.5], [0.0, -1.0, 0.0, 0.0]])
    assert canonical(q).tolist() == [[0.5, -0.5, -0.5, 0.5], [0.5, 0.5, 0.5, -0.5], [0, -1, 0, 0]]


def test_cross_and_norm() -> None:
    """Against NumPy, with broadcasting."""
    a, b = RNG.normal(size=(5, 4, 3)), RNG.normal(size=(5, 1, 3))
    assert np.allclose(cross(a, b), np.cross(a, b))
    assert np.allclose(norm(a), np.linalg.norm(a, axis=-1))
