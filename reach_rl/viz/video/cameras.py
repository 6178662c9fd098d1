"""Two cameras that stand still and see all of a film: the arm, its way and its goals."""

import mujoco
import numpy as np

from reach_rl.robots.render import place_goal
from reach_rl.viz.video.film import Film

SIDES = ((132.0, -16.0), (212.0, -45.0))
"""Azimuth and elevation of each camera (deg): from the arm's front right, and from its left."""

MARGIN = 0.9
"""How much of the picture may be filled."""

EVERY = 10
"""Every so many control steps are looked at to place the cameras."""


def cameras(
    model: mujoco.MjModel, film: Film, size: tuple[int, int]
) -> tuple[mujoco.MjvCamera, ...]:
    """A camera for each of SIDES; `size` is the width and height of its picture."""
    points, radii = _occupied(model, film)
    return tuple(_fit(model, points, radii, size, *side) for side in SIDES)


def _occupied(model: mujoco.MjModel, film: Film) -> tuple[np.ndarray, np.ndarray]:
    """Spheres that hold the arm and the goals all the time: centres (k, 3) and radii (k,), m."""
    data = mujoco.MjData(model)
    goal = model.body("goal").id
    moving = (model.geom_bodyid > 0) & (model.geom_group <= 2)
    seen = moving & (model.geom_type != mujoco.mjtGeom.mjGEOM_PLANE)
    centres, radii = [], []
    for episode in film.episodes:
        where = (episode.goal_position, episode.goal_quaternion)
        place_goal(model, data, where)
        for qpos in episode.qpos[film.steps(episode)][::EVERY]:
            data.qpos[:] = qpos
            mujoco.mj_kinematics(model, data)
            # the frame of the goal is small; of it the ends of its axes count, not their bounds
            arm = seen & (model.geom_bodyid != goal)
            centres.append(data.geom_xpos[arm].copy())
            radii.append(model.geom_rbound[arm] * 0.85)
        tips = data.geom_xpos[model.geom_bodyid == goal]
        centres.append(2.0 * tips - data.xpos[goal])
        radii.append(np.full(len(tips), 0.01))
    return np.concatenate(centres), np.concatenate(radii)


def _fit(
    model: mujoco.MjModel,
    points: np.ndarray,
    radii: np.ndarray,
    size: tuple[int, int],
    azimuth: float,
    elevation: float,
) -> mujoco.MjvCamera:
    """The nearest camera of that direction that sees all spheres."""
    a, e = np.radians(azimuth), np.radians(elevation)
    forward = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    right = np.array([np.sin(a), -np.cos(a), 0.0])
    axes = np.stack([right, np.cross(right, forward), forward])
    half = np.tan(np.radians(model.vis.global_.fovy / 2)) * MARGIN
    slopes = np.array([half * size[0] / size[1], half])
    places = points @ axes.T
    low, high = places - radii[:, None], places + radii[:, None]
    centre = (low.min(axis=0) + high.max(axis=0)) / 2
    for _ in range(8):  # shift towards the side that asks for more
        depth = _distance(places, radii, centre, slopes) + places[:, 2] - centre[2]
        for axis in (0, 1):
            most = ((high[:, axis] - centre[axis]) / depth).max()
            least = ((low[:, axis] - centre[axis]) / depth).min()
            centre[axis] += 0.5 * (most + least) * depth.mean()
    camera = mujoco.MjvCamera()
    camera.lookat[:] = axes.T @ centre
    camera.distance = _distance(places, radii, centre, slopes)
    camera.azimuth, camera.elevation = azimuth, elevation
    return camera


def _distance(
    places: np.ndarray, radii: np.ndarray, centre: np.ndarray, slopes: np.ndarray
) -> float:
    """How far from the centre a camera has to be."""
    away = np.abs(places[:, :2] - centre[:2]) + radii[:, None]
    return float((away / slopes - (places[:, 2:] - centre[2])).max())
