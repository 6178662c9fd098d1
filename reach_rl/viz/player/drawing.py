"""The scene in the browser: the arm's bodies as meshes, the table, the goal and its gizmo."""

from typing import Any

import mujoco
import numpy as np
import trimesh
import viser

from reach_rl.config.schema import RobotConfig
from reach_rl.robots.display import FLOOR_HEIGHT, GOAL, display_spec

GEOM = mujoco.mjtGeom
TOOL_AXES = 0.10
GIZMO = 0.36
"""Sizes of the tool's axes and of the gizmo, as fractions of the arm's reach."""

FIELD_OF_VIEW = 0.7
"""Of the camera, from top to bottom (rad)."""

GOOD, BAD = (34, 160, 94), (214, 58, 58)
IDLE = (242, 176, 32)


class Drawing:
    """One arm in a viser scene. All coordinates are the model's world frame."""

    def __init__(self, server: viser.ViserServer, config: RobotConfig, reach: float) -> None:
        """Draw the furniture, the arm at its zero position and the goal.

        Args:
            server: where.
            config: the robot.
            reach: of the arm (m).
        """
        self.server = server
        self.model = display_spec(config).compile()
        self.data = mujoco.MjData(self.model)
        self._tool = mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_SITE, config.tcp_site)
        self._bodies: dict[int, viser.FrameHandle] = {}
        scene = server.scene
        scene.reset()
        scene.set_up_direction("+z")
        camera = server.initial_camera
        camera.fov = FIELD_OF_VIEW
        camera.position = (2.1 * reach, -2.1 * reach, 1.5 * reach)
        camera.look_at = (0.2 * reach, 0.0, 0.3 * reach)
        scene.add_grid(
            "/floor", width=6.0, height=6.0, plane="xy", position=(0.0, 0.0, FLOOR_HEIGHT),
            cell_size=0.25, section_size=1.0, cell_color=(214, 218, 224),
            section_color=(190, 196, 206), shadow_opacity=0.15,
        )  # fmt: skip
        for geom in range(self.model.ngeom):
            self._draw(geom)
        self._tool_axes = scene.add_frame(
            "/tool", axes_length=TOOL_AXES * reach, axes_radius=0.006 * reach, origin_radius=0.0
        )
        self.gizmo = scene.add_transform_controls(
            "/goal", scale=GIZMO * reach, line_width=3.0, depth_test=False, opacity=0.85
        )
        self._ball = scene.add_icosphere("/goal/light", radius=0.022 * reach, color=IDLE)
        scene.add_frame(
            "/goal/axes", axes_length=TOOL_AXES * reach, axes_radius=0.004 * reach,
            origin_radius=0.0,
        )  # fmt: skip
        self._note = scene.add_label("/goal/note", "", visible=False)

    def show(self, qpos: np.ndarray) -> None:
        """Move the arm to (nq,) positions; viser sends what has moved."""
        self.data.qpos[:] = qpos
        mujoco.mj_kinematics(self.model, self.data)
        for body, frame in self._bodies.items():
            frame.position, frame.wxyz = self.data.xpos[body], self.data.xquat[body]
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, self.data.site_xmat[self._tool])
        self._tool_axes.position = self.data.site_xpos[self._tool]
        self._tool_axes.wxyz = quaternion

    def place_goal(self, position: np.ndarray, quaternion: np.ndarray) -> None:
        """Move the gizmo to position (3,) and quaternion (4,)."""
        self.gizmo.position = position
        self.gizmo.wxyz = quaternion

    def light(self, success: bool, unreachable: str) -> None:
        """Colour the ball at the goal; `unreachable` says why no arm can get there, or is empty."""
        color = BAD if unreachable else GOOD if success else IDLE
        if tuple(self._ball.color) != color:
            self._ball.color = color
        text = f"out of reach: {unreachable}" if unreachable else ""
        if self._note.text != text:
            self._note.text = text
            self._note.visible = bool(text)

    def _draw(self, geom: int) -> None:
        """Add the mesh of a geom to the frame of its body."""
        model = self.model
        body = int(model.geom_bodyid[geom])
        hidden = model.geom_group[geom] > 2 or model.geom_rgba[geom, 3] == 0
        if hidden or model.body(body).name == GOAL or model.geom_type[geom] == GEOM.mjGEOM_PLANE:
            return
        name = f"/body_{body}"
        if body and body not in self._bodies:
            self._bodies[body] = self.server.scene.add_frame(name, show_axes=False)
        mesh = mesh_of(model, geom)
        color = self._color(geom)
        self.server.scene.add_mesh_simple(
            f"{name}/geom_{geom}" if body else f"/furniture/geom_{geom}",
            np.asarray(mesh.vertices, np.float32),
            np.asarray(mesh.faces, np.uint32),
            color=color,
            position=model.geom_pos[geom],
            wxyz=model.geom_quat[geom],
        )

    def _color(self, geom: int) -> tuple[int, int, int]:
        material = self.model.geom_matid[geom]
        rgba = self.model.mat_rgba[material] if material >= 0 else self.model.geom_rgba[geom]
        red, green, blue = (int(255 * float(value)) for value in rgba[:3])
        return red, green, blue


def mesh_of(model: mujoco.MjModel, geom: int) -> Any:  # noqa: ANN401  a trimesh.Trimesh
    """The surface of a geom in its own frame (m)."""
    kind, (a, b, c) = model.geom_type[geom], model.geom_size[geom]
    make = trimesh.creation
    if kind == GEOM.mjGEOM_SPHERE:
        return make.icosphere(subdivisions=3, radius=a)
    if kind == GEOM.mjGEOM_CAPSULE:
        return make.capsule(height=2 * b, radius=a, count=[24, 24])
    if kind == GEOM.mjGEOM_CYLINDER:
        return make.cylinder(radius=a, height=2 * b, sections=40)
    if kind == GEOM.mjGEOM_ELLIPSOID:
        return make.icosphere(subdivisions=3).apply_scale((a, b, c))
    if kind == GEOM.mjGEOM_MESH:
        mesh = model.mesh(model.geom_dataid[geom])
        first, count = int(mesh.vertadr[0]), int(mesh.vertnum[0])
        face, faces = int(mesh.faceadr[0]), int(mesh.facenum[0])
        return trimesh.Trimesh(
            model.mesh_vert[first : first + count],
            model.mesh_face[face : face + faces],
            process=False,
        )
    return make.box(extents=(2 * a, 2 * b, 2 * c))
