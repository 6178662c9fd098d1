"""The scene that people look at: the arm with its looks, a table, lights, cameras, a goal marker.

Its joints, and so qpos, are those of the training scene.
"""

import mujoco
import numpy as np

from reach_rl.config.schema import RobotConfig
from reach_rl.robots import training_scene as scene
from reach_rl.robots.joints import check_names, numeric
from reach_rl.robots.model_file import compile_spec, model_path, read_spec

GOAL = "goal"
"""Name of the mocap body that marks the goal pose with red, green and blue axes."""

MOST_POINTS = 800
"""A region is drawn with at most this many of its points."""

FLOOR_HEIGHT = -0.72
GEOM = mujoco.mjtGeom
LOOKS = {"contype": 0, "conaffinity": 0, "group": 2}
MARKER = {**LOOKS, "castshadow": False}


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
    if cfg.mjcf is None or scene.needs_table(model, scene.root_of(spec, cfg.tcp_site)):
        for light in list(spec.lights):
            spec.delete(light)
        _furnish(spec, size)
    _light(spec, size)
    _add_cameras(spec, size)
    _add_goal(spec, size)
    if region is not None:
        add_region(spec, region, size)
    return spec


def add_region(spec: mujoco.MjSpec, points: np.ndarray, size: float = 1.0) -> None:
    """Show where goals lie: a translucent dot at each of the points (k, 3), in the world frame."""
    step = max(1, -(-len(points) // MOST_POINTS))
    for point in np.asarray(points, float)[::step]:
        spec.worldbody.add_geom(
            type=GEOM.mjGEOM_SPHERE, pos=point, size=[0.006 * size, 0, 0],
            rgba=[0.1, 0.62, 0.42, 0.45], **MARKER,
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


def _furnish(spec: mujoco.MjSpec, size: float) -> None:
    """A table whose top is z = 0, on a floor."""
    spec.add_material(name="table_top", rgba=[0.885, 0.875, 0.85, 1], specular=0.1, shininess=0.1)
    spec.add_material(name="table_leg", rgba=[0.72, 0.73, 0.75, 1], specular=0.3, shininess=0.3)
    spec.add_material(name="floor", rgba=[0.85, 0.875, 0.90, 1], specular=0.0, shininess=0.0)
    half, thick = 0.45 * size + 0.15, 0.03
    world = spec.worldbody
    world.add_geom(
        name="floor", type=GEOM.mjGEOM_PLANE, size=[0, 0, 1], pos=[0, 0, FLOOR_HEIGHT],
        material="floor", **LOOKS,
    )  # fmt: skip
    world.add_geom(
        name="table_top", type=GEOM.mjGEOM_BOX, size=[half, half, thick / 2],
        pos=[0, 0, -thick / 2 - 0.0005], material="table_top", **LOOKS,
    )  # fmt: skip
    leg = (-FLOOR_HEIGHT - thick) / 2
    for x in (-1, 1):
        for y in (-1, 1):
            place = [x * (half - 0.06), y * (half - 0.06), -thick - leg]
            world.add_geom(
                name=f"table_leg_{x}_{y}", type=GEOM.mjGEOM_BOX, size=[0.03, 0.03, leg],
                pos=place, material="table_leg", **LOOKS,
            )  # fmt: skip


def _light(spec: mujoco.MjSpec, size: float) -> None:
    """Soft daylight: a pale sky, one light with a shadow, one without, and a weak headlight."""
    if not spec.textures:
        spec.add_texture(
            name="sky",
            type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
            builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
            rgb1=[0.72, 0.81, 0.90],
            rgb2=[0.93, 0.95, 0.97],
            width=512,
            height=512,
        )
    if not spec.lights:
        _add_light(spec, (0.7, -1.5, 2.9), 0.5, size, shadow=True)
        _add_light(spec, (0.9, 1.8, 1.5), 0.2, size, shadow=False)
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


def _add_light(
    spec: mujoco.MjSpec, where: tuple[float, float, float], level: float, size: float, shadow: bool
) -> None:
    place = np.asarray(where) * max(size, 0.5)
    spec.worldbody.add_light(
        pos=place,
        dir=-place / np.linalg.norm(place),
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        castshadow=shadow,
        diffuse=[level] * 3,
        ambient=[0, 0, 0],
        specular=[0.3 * level] * 3,
    )


def _add_cameras(spec: mujoco.MjSpec, size: float) -> None:
    """`front` looks at the arm from the front and its right, `side` square from its right."""
    taken = [camera.name for camera in spec.cameras]
    target = np.array([0.24, 0.02, 0.36]) * size
    for name, place in (("front", (1.62, -1.55, 1.05)), ("side", (0.26, -2.5, 0.5))):
        if name not in taken:
            position = np.asarray(place) * size
            spec.worldbody.add_camera(
                name=name, pos=position, quat=look_at(position, target), fovy=34
            )


def look_at(position: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(4,) orientation of an upright camera at a position that looks at a target."""
    back = (position - target) / np.linalg.norm(position - target)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, np.stack([right, np.cross(back, right), back], axis=1).ravel())
    return quat


def _add_goal(spec: mujoco.MjSpec, size: float) -> None:
    """Axes frame of the goal pose; x red, y green, z blue."""
    body = spec.worldbody.add_body(name=GOAL, mocap=True, pos=[0.5 * size, 0, 0.4 * size])
    length, radius = 0.12 * size, 0.008 * size
    body.add_geom(
        type=GEOM.mjGEOM_SPHERE, size=[2.2 * radius, 0, 0], rgba=[0.98, 0.75, 0.1, 1], **MARKER
    )
    for axis, rgba in enumerate(([0.86, 0.2, 0.2, 1], [0.15, 0.65, 0.3, 1], [0.15, 0.35, 0.85, 1])):
        end = np.zeros(3)
        end[axis] = length
        body.add_geom(
            type=GEOM.mjGEOM_CAPSULE,
            size=[radius, 0, 0],
            fromto=[0, 0, 0, *end],
            rgba=rgba,
            **MARKER,
        )
