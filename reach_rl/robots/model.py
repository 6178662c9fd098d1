"""A robot ready for training: the compiled scene and what the task needs to know of it."""

from dataclasses import dataclass

import mujoco
import numpy as np

from reach_rl.config.load import ConfigError
from reach_rl.config.schema import RobotConfig
from reach_rl.robots import joints
from reach_rl.robots import training_scene as scene
from reach_rl.robots.joints import Parts
from reach_rl.robots.model_file import compile_spec, model_path, read_spec

Array = np.ndarray


@dataclass(frozen=True, slots=True)
class RobotModel:
    """An arm with j joints that a policy moves. World frame: z up, table top at z = 0."""

    name: str
    model: mujoco.MjModel
    """The training scene."""
    joint_names: tuple[str, ...]
    qpos_adr: np.ndarray
    """(j,) int, addresses of the joints in qpos."""
    dof_adr: np.ndarray
    """(j,) int, addresses of the joints in qvel."""
    ctrl_ids: np.ndarray
    """(j,) int, addresses of the servos' targets in ctrl."""
    actuator_ids: np.ndarray
    """(j,) int, the servos among the model's actuators."""
    tcp_site: int
    home: np.ndarray
    """(j,) home joint angles (rad)."""
    low: np.ndarray
    """(j,) least joint angles (rad); -inf where unlimited."""
    high: np.ndarray
    """(j,) greatest joint angles (rad); inf where unlimited."""
    velocity_limits: np.ndarray
    """(j,) rad/s."""
    torque_limits: np.ndarray
    """(j,) N m; inf where unlimited."""
    servo_lag: np.ndarray
    """(j,) time constant of the servos, damping of the joint included (s)."""
    servo_damping: np.ndarray
    """(j,) damping of the servos, that of the joint included (N m s/rad)."""
    inertia: np.ndarray
    """(j,) inertia that each joint moves in the model's zero configuration (kg m2)."""
    reach: float
    """Radius of the workspace about the base (m)."""
    base_name: str
    base_position: np.ndarray
    """(3,) origin of the base frame, which is that of the arm's topmost body, in the world (m)."""
    base_quaternion: np.ndarray
    """(4,) its orientation in the world."""
    height_moves: np.ndarray
    """(j + 1,) bool, whether the joints can change how high each joint and the tool is."""
    home_qpos: np.ndarray
    """(nq,) qpos of the whole model at home."""
    base_ctrl: np.ndarray
    """(nu,) ctrl that holds the whole model at home."""
    tool_body: int
    """Body that carries the tool site."""
    payload_body: int | None
    """Massless body at the tool, for a mass that differs between simulations."""
    self_contact: int
    """Index into sensordata: 0 while the arm does not touch itself."""
    table_contact: int
    """Index into sensordata: 0 while the arm does not touch the world it stands in."""
    notes: tuple[str, ...]
    """What is simulated otherwise than a user's model says, a line each."""

    @property
    def base_matrix(self) -> np.ndarray:
        """(3, 3) the axes of the base frame, as columns, in the world."""
        matrix = np.zeros(9)
        mujoco.mju_quat2Mat(matrix, self.base_quaternion)
        return matrix.reshape(3, 3)

    def in_base(self, position: Array, quaternion: Array) -> tuple[Array, Array]:
        """Poses (n, 3), (n, 4) of the world in the base frame; arrays or values of a graph."""
        if self._stands_at_origin:
            return position, quaternion
        turned = (position - self.base_position) @ self.base_matrix
        return turned, quaternion @ left_product(self.base_quaternion * (1.0, -1.0, -1.0, -1.0)).T

    def in_world(self, position: Array, quaternion: Array) -> tuple[Array, Array]:
        """Poses (n, 3), (n, 4) of the base frame in the world; arrays or values of a graph."""
        if self._stands_at_origin:
            return position, quaternion
        turned = position @ self.base_matrix.T + self.base_position
        return turned, quaternion @ left_product(self.base_quaternion).T

    @property
    def _stands_at_origin(self) -> bool:
        return not self.base_position.any() and bool(self.base_quaternion[0] == 1.0)


def left_product(q: Array) -> Array:
    """(4, 4) matrix that multiplies a quaternion by q from the left."""
    w, x, y, z = q
    return np.array([[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]])


def load_robot(cfg: RobotConfig, physics_step: float = 0.005) -> RobotModel:
    """Build the training scene of a robot.

    Args:
        cfg: the robot; its `mjcf` is any model, or null for the project's own of that name.
        physics_step: time step of the simulation (s).

    Raises:
        ConfigError: the model or a part of it is missing or unfit; lists what there is.
    """
    path = model_path(cfg)
    spec = read_spec(path)
    joints.check_names(spec, cfg, path.name)
    scene.name_all(spec)
    alone = plain = compile_spec(spec, path)
    if cfg.parts:
        spec = scene.with_parts(spec, cfg.parts)
        plain = compile_spec(spec, path)
    parts = joints.find_parts(plain, cfg, path.name)
    root = scene.root_of(spec, cfg.tcp_site)
    home_qpos = _home_qpos(plain, parts, cfg, path.name)
    notes = scene.set_stepping(spec, physics_step)
    scene.strip(spec, plain)
    scene.add_payload(spec, plain, cfg.tcp_site)
    scene.add_contact_sensors(spec, root)
    if scene.needs_table(alone, root):
        scene.add_table(spec)
        notes.append(f"{path.name} has nothing that the arm could stand on: a table is at z = 0")
    model = compile_spec(spec, path)
    parts = joints.find_parts(model, cfg, path.name)
    source = _home_source(plain, cfg, path.name)
    touching = scene.settle_contacts(spec, model, home_qpos, list(parts.joints), root, source)
    model = compile_spec(spec, path) if touching else model
    poses = joints.random_poses(model, parts, home_qpos)
    scene.exclude_unchanging(spec, model, poses, list(parts.joints), root)
    model = compile_spec(spec, path)
    if scene.list_pairs(spec, model):
        model = compile_spec(spec, path)
    parts = joints.find_parts(model, cfg, path.name)
    notes += [*touching, *joints.not_exported(model, parts)]
    own = cfg.mjcf is None
    return _robot(cfg, model, parts, root, home_qpos, () if own else tuple(notes))


def _home_qpos(model: mujoco.MjModel, parts: Parts, cfg: RobotConfig, source: str) -> np.ndarray:
    """(nq,) qpos of the whole model with the arm at home."""
    key = _home_key(model, cfg, source)
    qpos = model.qpos0.copy() if key is None else model.key_qpos[key].copy()
    low, high = joints.joint_bounds(model, parts)
    address = model.jnt_qposadr[parts.joints]
    if cfg.home is not None:
        qpos[address] = _per_joint("robot.home", cfg.home, parts)
    elif key is None:
        limited = np.isfinite(low) & np.isfinite(high)
        qpos[address[limited]] = (low[limited] + high[limited]) / 2
    for name, value, least, most in zip(cfg.joints, qpos[address], low, high, strict=True):
        if not least - 1e-6 <= value <= most + 1e-6:
            raise ConfigError(
                f'{_home_source(model, cfg, source)}: {value:g} of joint "{name}" is outside its '
                f"range [{least:g}, {most:g}]"
            )
    return qpos


def _home_key(model: mujoco.MjModel, cfg: RobotConfig, source: str) -> int | None:
    name = cfg.keyframe or "home"
    key = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_KEY, name)
    if key < 0 and cfg.keyframe is not None:
        has = ", ".join(filter(None, (model.key(i).name for i in range(model.nkey))))
        listing = has or "no keyframe with a name"
        raise ConfigError(f'robot.keyframe: no keyframe "{name}" in {source}; it has: {listing}')
    return None if key < 0 else key


def _home_source(model: mujoco.MjModel, cfg: RobotConfig, source: str) -> str:
    """What set the home joint angles, the key that holds it in front."""
    if cfg.home is not None:
        return "robot.home"
    key = _home_key(model, cfg, source)
    if key is None:
        return f"robot.mjcf: the middle of the joint ranges of {source}, which is home"
    which = "robot.keyframe" if cfg.keyframe else "robot.mjcf"
    return f'{which}: keyframe "{model.key(key).name}" of {source}'


def _per_joint(key: str, values: list[float], parts: Parts) -> np.ndarray:
    if len(values) not in (1, len(parts.joints)):
        raise ConfigError(
            f"{key}: {len(values)} numbers for {len(parts.joints)} joints; "
            f"give one for each of robot.joints, or one for all"
        )
    return np.broadcast_to(np.asarray(values, float), len(parts.joints)).copy()


def _velocity_limits(model: mujoco.MjModel, parts: Parts, cfg: RobotConfig) -> np.ndarray:
    if cfg.velocity_limits is not None:
        return _per_joint("robot.velocity_limits", cfg.velocity_limits, parts)
    own = joints.numeric(model, "velocity_limit")
    if own is None:
        return np.full(len(parts.joints), np.pi)
    if len(own) == model.njnt:
        return own[parts.joints]
    return _per_joint("numeric velocity_limit of the model", list(own), parts)


def _reach(model: mujoco.MjModel, parts: Parts, cfg: RobotConfig, data: mujoco.MjData) -> float:
    """Configured, the model's own, or the length of the chain from first joint to tool (m)."""
    if cfg.reach is not None:
        return cfg.reach
    own = joints.numeric(model, "reach")
    if own is not None:
        return float(own[0])
    chain = np.vstack([data.xanchor[parts.joints], data.site_xpos[parts.site]])
    slides = model.jnt_type[parts.joints] == int(mujoco.mjtJoint.mjJNT_SLIDE)
    low, high = joints.joint_bounds(model, parts)
    travel = np.where(slides & np.isfinite(high - low), high - low, 0.0).sum()
    return float(np.linalg.norm(np.diff(chain, axis=0), axis=1).sum() + travel)


def _base_ctrl(
    model: mujoco.MjModel, parts: Parts, cfg: RobotConfig, home_qpos: np.ndarray, home: np.ndarray
) -> np.ndarray:
    """(nu,) ctrl of home; where a keyframe gives none, position servos hold what it gives."""
    key = _home_key(model, cfg, cfg.name)
    ctrl = np.zeros(model.nu) if key is None else model.key_ctrl[key].copy()
    if not ctrl.any():
        for actuator in range(model.nu):
            joint = int(model.actuator_trnid[actuator, 0])
            if joints.servo_problem(model, joint, actuator) is None:
                address = int(model.jnt_qposadr[joint])
                ctrl[model.actuator_ctrladr[actuator]] = home_qpos[address]
    ctrl[model.actuator_ctrladr[parts.actuators]] = home
    return ctrl


def _robot(
    cfg: RobotConfig,
    model: mujoco.MjModel,
    parts: Parts,
    root: str,
    home_qpos: np.ndarray,
    notes: tuple[str, ...],
) -> RobotModel:
    if cfg.servo_lag is not None:
        joints.set_servo_lag(model, parts, cfg.servo_lag)
    kp, kv, beside = joints.servo_gains(model, parts)
    data = mujoco.MjData(model)
    data.qpos[:] = home_qpos
    mujoco.mj_kinematics(model, data)
    low, high = joints.joint_bounds(model, parts)
    qpos_adr = model.jnt_qposadr[parts.joints].astype(int)
    home = home_qpos[qpos_adr]
    poses = joints.random_poses(model, parts, home_qpos)
    heights = [np.append(at.xanchor[parts.joints, 2], at.site_xpos[parts.site, 2]) for at in poses]
    return RobotModel(
        name=cfg.name,
        model=model,
        joint_names=tuple(cfg.joints),
        qpos_adr=qpos_adr,
        dof_adr=model.jnt_dofadr[parts.joints].astype(int),
        ctrl_ids=model.actuator_ctrladr[parts.actuators].astype(int),
        actuator_ids=np.asarray(parts.actuators, int),
        tcp_site=parts.site,
        home=home,
        low=low,
        high=high,
        velocity_limits=_velocity_limits(model, parts, cfg),
        torque_limits=joints.torque_limits(model, parts),
        servo_lag=(kv + beside) / kp,
        servo_damping=kv + beside,
        inertia=model.dof_M0[model.jnt_dofadr[parts.joints]].copy(),
        reach=_reach(model, parts, cfg, data),
        base_name=root,
        base_position=data.xpos[model.body(root).id].copy(),
        base_quaternion=model.body_quat[model.body(root).id].copy(),
        height_moves=np.ptp(heights, axis=0) > scene.SAME,
        home_qpos=home_qpos,
        base_ctrl=_base_ctrl(model, parts, cfg, home_qpos, home),
        tool_body=int(model.site_bodyid[parts.site]),
        payload_body=int(model.body(scene.PAYLOAD).id),
        self_contact=int(model.sensor(scene.SELF_CONTACT).adr[0]),
        table_contact=int(model.sensor(scene.TABLE_CONTACT).adr[0]),
        notes=notes,
    )
