"""The scene that people look at, and pictures of it without a window.

It has the arm with its looks, a table, lights, cameras and a goal marker; its joints, and so qpos,
are those of the training scene. MuJoCo draws through EGL, OSMesa or GLX, whichever this machine
has. Each is tried first with a picture in a process of its own, for a broken driver may take its
process down. Set MUJOCO_GL to choose.
"""

import os
import subprocess
import sys
from functools import cache
from importlib import import_module

import mujoco
import numpy as np

from reach_rl.config.schema import RobotConfig
from reach_rl.robots import training_scene as scene
from reach_rl.robots.joints import check_names, numeric
from reach_rl.robots.model_file import compile_spec, model_path, read_spec

GOAL = "goal"
"""Name of the mocap body that marks the goal pose with red, green and blue axes."""

FLOOR_HEIGHT = -0.72

SCENERY = "scenery/"
"""In front of the names of materials that came with the scenery."""


def display_spec(cfg: RobotConfig) -> mujoco.MjSpec:
    """The arm as it looks, with cameras `front` and `side` and a mocap body `goal`.

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
    spec = scene.with_parts(spec, cfg.parts)
    _add_scenery(spec, size, furnished)
    _set_daylight(spec, size)
    return spec


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
    from jinja2 import Environment, PackageLoader

    template = Environment(loader=PackageLoader("reach_rl.robots"), autoescape=False)
    text = template.get_template("scenery.xml").render(
        size=size, furnished=furnished, sky=not spec.textures, lit=not spec.lights,
        taken=[camera.name for camera in spec.cameras], goal=GOAL, floor_height=FLOOR_HEIGHT,
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


BACKENDS = {"egl": "mujoco.egl", "osmesa": "mujoco.osmesa", "glx": "mujoco.glfw"}
TRIAL = """
import mujoco, sys
from reach_rl.robots import display
display.backend = lambda: {!r}
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
data, camera = mujoco.MjData(model), mujoco.MjvCamera()
mujoco.mj_forward(model, data)
camera.distance = 3.0
sys.exit(None if display.Offscreen(model, (32, 32)).frame(data, camera).any() else "draws nothing")
"""
TRIAL_TIMEOUT = 60.0

Pose = tuple[np.ndarray, np.ndarray]
"""Position (3,) in m and quaternion (4,) w, x, y, z, in the world frame."""


class RenderError(RuntimeError):
    """No picture can be drawn on this machine; the message says what to install."""


@cache
def backend() -> str:
    """Name of the first way to draw that works here. Raises RenderError if none does."""
    chosen = os.environ.get("MUJOCO_GL", "").lower().strip()
    chosen = {"glfw": "glx"}.get(chosen, chosen)
    names = [chosen] if chosen in BACKENDS else list(BACKENDS)
    reasons = {}
    for name in names:
        reason = _trial(name)
        if reason is None:
            return name
        reasons[name] = reason
    raise RenderError(
        "cannot draw pictures here: no OpenGL library works ("
        + "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        + "). On Debian or Ubuntu: apt-get install libegl1 libgl1 (or libosmesa6)"
    )


def _trial(name: str) -> str | None:
    """Why a way to draw does not work, or None if it does."""
    command = [sys.executable, "-c", TRIAL.format(name)]
    try:
        done = subprocess.run(
            command, env={**os.environ, "MUJOCO_GL": "disable"}, capture_output=True, text=True,
            timeout=TRIAL_TIMEOUT,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "hangs"
    lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return " ".join(lines[-1].split())[:120] if done.returncode else None


class Offscreen:
    """Draws frames of one model, until it is closed.

    Args:
        model: what to draw.
        size: width and height (pixels).

    Raises:
        RenderError: nothing on this machine can draw.
    """

    def __init__(self, model: mujoco.MjModel, size: tuple[int, int] = (640, 480)) -> None:
        """Open a drawing context and upload the model."""
        width, height = size
        model.vis.global_.offwidth = max(width, model.vis.global_.offwidth)
        model.vis.global_.offheight = max(height, model.vis.global_.offheight)
        self.model, self.size, self.data = model, size, mujoco.MjData(model)
        self._gl = import_module(BACKENDS[backend()]).GLContext(width, height)
        self._open = True
        self._gl.make_current()
        self._scene = mujoco.MjvScene(model, maxgeom=10_000)
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._scene.flags[mujoco.mjtRndFlag.mjRND_HAZE] = True
        self._option = mujoco.MjvOption()

    def picture(
        self, qpos: np.ndarray, goal: Pose | None = None, camera: str | mujoco.MjvCamera = "front"
    ) -> np.ndarray:
        """(h, w, 3) uint8 of the arm at qpos (nq,), with the goal marker if there is a goal."""
        self.data.qpos[:] = qpos
        place_goal(self.model, self.data, goal)
        mujoco.mj_forward(self.model, self.data)
        return self.frame(self.data, camera)

    def frame(self, data: mujoco.MjData, camera: str | mujoco.MjvCamera = "front") -> np.ndarray:
        """(h, w, 3) uint8: the scene as it is in data, of which kinematics must be current."""
        width, height = self.size
        rect = mujoco.MjrRect(0, 0, width, height)
        pixels = np.empty((height, width, 3), np.uint8)
        self._gl.make_current()
        mujoco.mjv_updateScene(
            self.model, data, self._option, None, self._camera(camera),
            mujoco.mjtCatBit.mjCAT_ALL.value, self._scene,
        )  # fmt: skip
        mujoco.mjr_render(rect, self._scene, self._context)
        mujoco.mjr_readPixels(pixels, None, rect, self._context)
        return pixels[::-1].copy()

    def close(self) -> None:
        """Give the drawing context back."""
        if self._open:
            self._gl.make_current()
            self._context.free()
            self._gl.free()
            self._open = False

    def _camera(self, camera: str | mujoco.MjvCamera) -> mujoco.MjvCamera:
        if not isinstance(camera, str):
            return camera
        view = mujoco.MjvCamera()
        view.type = mujoco.mjtCamera.mjCAMERA_FIXED.value
        view.fixedcamid = self.model.camera(camera).id
        return view


def place_goal(model: mujoco.MjModel, data: mujoco.MjData, goal: Pose | None) -> None:
    """Move the goal marker to a pose, or out of sight; kinematics must be run afterwards."""
    body = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, "goal")
    if body < 0 or model.body_mocapid[body] < 0:
        return
    mocap = model.body_mocapid[body]
    data.mocap_pos[mocap] = (0.0, 0.0, -100.0) if goal is None else goal[0]
    if goal is not None:
        data.mocap_quat[mocap] = goal[1]
