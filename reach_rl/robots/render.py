"""Pictures of a scene without a window: numbers in, pixels out.

MuJoCo draws through EGL, OSMesa or GLX, whichever this machine has. Each is tried first with a
picture in a process of its own, for a broken driver may take its process down. Set MUJOCO_GL to
choose.
"""

import os
import subprocess
import sys
from functools import cache
from typing import Any

import mujoco
import numpy as np

BACKENDS = {"egl": "mujoco.egl", "osmesa": "mujoco.osmesa", "glx": "mujoco.glfw"}
TRIAL = """
import mujoco, sys
from reach_rl.robots import render
render.backend = lambda: {!r}
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
data, camera = mujoco.MjData(model), mujoco.MjvCamera()
mujoco.mj_forward(model, data)
camera.distance = 3.0
sys.exit(None if render.Offscreen(model, (32, 32)).frame(data, camera).any() else "draws nothing")
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
    environment = {**os.environ, "MUJOCO_GL": "disable"}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=TRIAL_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return "hangs"
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines()
    return " ".join(lines[-1].split())[:120] if lines else f"exit code {done.returncode}"


def _gl_context(width: int, height: int) -> Any:  # noqa: ANN401  a class of the chosen backend
    import importlib

    return importlib.import_module(BACKENDS[backend()]).GLContext(width, height)


class Offscreen:
    """Draws frames of one model, until it is closed.

    Args:
        model: what to draw.
        size: width and height (pixels).
        supersample: draw this many times finer along each edge and average, for smooth shadows.

    Raises:
        RenderError: nothing on this machine can draw.
    """

    def __init__(
        self, model: mujoco.MjModel, size: tuple[int, int] = (640, 480), supersample: int = 1
    ) -> None:
        """Open a drawing context and upload the model."""
        width, height = size[0] * supersample, size[1] * supersample
        model.vis.global_.offwidth = max(width, model.vis.global_.offwidth)
        model.vis.global_.offheight = max(height, model.vis.global_.offheight)
        self.model, self.size, self._finer = model, (width, height), supersample
        self._gl = _gl_context(width, height)
        self._open = True
        self._gl.make_current()
        self._scene = mujoco.MjvScene(model, maxgeom=10_000)
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._scene.flags[mujoco.mjtRndFlag.mjRND_HAZE] = True
        self._option = mujoco.MjvOption()

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
        return _shrink(pixels[::-1], self._finer)

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


def _shrink(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Average squares of factor x factor pixels."""
    if factor == 1:
        return pixels.copy()
    height, width = pixels.shape[0] // factor, pixels.shape[1] // factor
    squares = pixels.reshape(height, factor, width, factor, 3)
    return (squares.mean(axis=(1, 3)) + 0.5).astype(np.uint8)


class Camera:
    """Pictures of one scene through one camera, for as long as it is open.

    Args:
        scene: a display scene, compiled or not.
        camera: name of a camera of the scene, or a free camera.
        size: width and height (pixels).

    Raises:
        RenderError: nothing on this machine can draw.
    """

    def __init__(
        self,
        scene: mujoco.MjSpec | mujoco.MjModel,
        camera: str | mujoco.MjvCamera = "front",
        size: tuple[int, int] = (640, 480),
    ) -> None:
        """Compile the scene and open a drawing context."""
        self._model = scene.compile() if isinstance(scene, mujoco.MjSpec) else scene
        self._data = mujoco.MjData(self._model)
        self._camera = camera
        self._screen = Offscreen(self._model, size, supersample=2)

    def picture(self, qpos: np.ndarray, goal: Pose | None = None) -> np.ndarray:
        """(h, w, 3) uint8 of the arm at qpos (nq,), with the goal marker if there is a goal."""
        self._data.qpos[:] = qpos
        place_goal(self._model, self._data, goal)
        mujoco.mj_forward(self._model, self._data)
        return self._screen.frame(self._data, self._camera)

    def close(self) -> None:
        """Give the drawing context back."""
        self._screen.close()


def place_goal(model: mujoco.MjModel, data: mujoco.MjData, goal: Pose | None) -> None:
    """Move the goal marker to a pose, or out of sight; kinematics must be run afterwards."""
    body = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, "goal")
    if body < 0 or model.body_mocapid[body] < 0:
        return
    mocap = model.body_mocapid[body]
    data.mocap_pos[mocap] = (0.0, 0.0, -100.0) if goal is None else goal[0]
    if goal is not None:
        data.mocap_quat[mocap] = goal[1]
