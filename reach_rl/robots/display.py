"""The scene that people look at: the arm with its looks, a table, lights, cameras, a goal marker.

Its joints, and so qpos, are those of the training scene.
"""

import mujoco
import numpy as np
from jinja2 import Environment, PackageLoader

from reach_rl.config.schema import RobotConfig
from reach_rl.robots import training_scene as scene
from reach_rl.robots.joints import check_names, numeric
from reach_rl.robots.model_file import compile_spec, model_path, read_spec

GOAL = "goal"
"""Name of the mocap body that marks the goal pose with red, green and blue axes."""

MOST_POINTS = 800
"""A region is drawn with at most this many of its points."""

FLOOR_HEIGHT = -0.72

SCENERY = "scenery/"
"""In front of the names of materials that came with the scenery."""

CAMERAS = {"front": (1.62, -1.55, 1.05), "side": (0.26, -2.5, 0.5)}
"""Places per reach: from the front and its right, and square from its right."""


def display_spec(cfg: RobotConfig, region: np.ndarray | None = None) -> mujoco.MjSpec:
    """The arm as it looks, with cameras `front` and `side` and a mocap body `goal`.

    Args:
        cfg: the robot.
        region: (k, 3) sampled goal positions to show as a cloud (m, world frame), or None.

    Raises:
        ConfigError: the model or a part of it is missing.
    """
    path = model_path(cfg)
    spec = read_spec(path)
    check_names(spec, cfg, path.name)
    scene.name_all(spec)
    model = compile_spec(spec, path)
    size = _size(model, cfg)
    _show_shapes(spec)
    furnished = cfg.mjcf is None or scene.needs_table(model, scene.root_of(spec, cfg.tcp_site))
    for light in list(spec.lights) if furnished else ():
        spec.delete(light)
    _add_scenery(spec, size, furnished)
    _set_daylight(spec, size)
    if region is not None:
        add_region(spec, region, size)
    return spec


def add_region(spec: mujoco.MjSpec, points: np.ndarray, size: float = 1.0) -> None:
    """Show where goals lie: a translucent dot at each of the points (k, 3), in the world frame."""
    step = max(1, -(-len(points) // MOST_POINTS))
    for point in np.asarray(points, float)[::step]:
        spec.worldbody.add_geom(
            type=mujoco.mjtGeom.mjGEOM_SPHERE, pos=point, size=[0.006 * size, 0, 0],
            rgba=[0.1, 0.62, 0.42, 0.45], contype=0, conaffinity=0, group=2, castshadow=False,
        )  # fmt: skip


def _size(model: mujoco.MjModel, cfg: RobotConfig) -> float:
    """Reach of the arm, roughly (m)."""
    own = numeric(model, "reach")
    if cfg.reach is not None:
        return cfg.reach
    return float(own[0]) if own is not None else float(np.clip(model.stat.extent, 0.3, 3.0))


def _show_shapes(spec: mujoco.MjSpec) -> None:
    """Show the collision shapes of bodies that have no looks (groups above 2 are not drawn)."""
    for body in spec.bodies:
        if body.name != "world" and not any(geom.group <= 2 for geom in body.geoms):
            for geom in body.geoms:
                geom.group = 2


def _add_scenery(spec: mujoco.MjSpec, size: float, furnished: bool) -> None:
    """What templates/scenery.xml has, as far as the model has none of its own."""
    taken, target = [camera.name for camera in spec.cameras], np.array([0.24, 0.02, 0.36]) * size
    cameras = [
        (name, np.multiply(place, size), look_at(np.multiply(place, size), target))
        for name, place in CAMERAS.items()
        if name not in taken
    ]
    template = Environment(loader=PackageLoader("reach_rl.robots"), autoescape=False)
    text = template.get_template("scenery.xml").render(
        size=size, furnished=furnished, sky=not spec.textures, lit=not spec.lights,
        cameras=cameras, goal=GOAL, floor_height=FLOOR_HEIGHT,
    )  # fmt: skip
    scenery = mujoco.MjSpec.from_string(text)
    spec.attach(scenery, prefix=SCENERY, frame=spec.worldbody.add_frame())
    for element in (*spec.geoms, *spec.bodies, *spec.cameras):
        element.name = element.name.removeprefix(SCENERY)


def _set_daylight(spec: mujoco.MjSpec, size: float) -> None:
    """Soft daylight: a weak headlight and fine shadows about the arm."""
    head = spec.visual.headlight
    head.ambient, head.diffuse, head.specular = [0.44] * 3, [0.14] * 3, [0.04] * 3
    spec.visual.quality.shadowsize = 8192
    spec.visual.quality.offsamples = 8
    spec.visual.quality.numslices = 64
    spec.visual.map.shadowclip = 1.2
    spec.visual.map.znear = 0.02
    spec.visual.rgba.haze = [0.93, 0.95, 0.97, 1]
    spec.stat.extent = 1.6 * size
    spec.stat.center = [0.2 * size, 0, 0.3 * size]


def look_at(position: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(4,) orientation of an upright camera at a position that looks at a target."""
    back = (position - target) / np.linalg.norm(position - target)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, np.stack([right, np.cross(back, right), back], axis=1).ravel())
    return quat
