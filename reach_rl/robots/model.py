"""A robot ready for training: the compiled scene and what the task needs to know of it."""

from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np

from reach_rl.config.load import ConfigError
from reach_rl.config.schema import RobotConfig
from reach_rl.robots import training_scene as scene
from reach_rl.robots.joints import (
    Parts,
    check_names,
    find_parts,
    joint_bounds,
    numeric,
    servo_gains,
    set_servo_lag,
    torque_limits,
)
from reach_rl.robots.model_file import compile_spec, model_path, read_spec


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
    base_position: np.ndarray
    """(3,) origin of the base in the world (m)."""
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
    check_names(spec, cfg, path.name)
    scene.name_all(spec)
    plain = compile_spec(spec, path)
    parts = find_parts(plain, cfg, path.name)
    root = scene.root_of(spec, cfg.tcp_site)
    home_qpos = _home_qpos(plain, parts, cfg)
    spec.option.timestep = physics_step
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    scene.strip(spec, plain)
    scene.add_payload(spec, plain, cfg.tcp_site)
    scene.add_contact_sensors(spec, root)
    if scene.needs_table(plain, root):
        scene.add_table(spec)
    model = _settle_contacts(spec, path, home_qpos)
    if scene.list_pairs(spec, model):
        model = compile_spec(spec, path)
    return _robot(cfg, model, find_parts(model, cfg, path.name), root, home_qpos)


def _settle_contacts(spec: mujoco.MjSpec, path: Path, home_qpos: np.ndarray) -> mujoco.MjModel:
    """Compile; neighbouring bodies that touch at home are taken as built to touch.

    Raises:
        ConfigError: at home the arm touches the table or itself in earnest.
    """
    model = compile_spec(spec, path)
    data = mujoco.MjData(model)
    data.qpos[:] = home_qpos
    mujoco.mj_fwdPosition(model, data)
    touching = {tuple(sorted(model.geom_bodyid[g] for g in c.geom)) for c in data.contact}
    for one, other in sorted(touching):
        names = model.body(one).name, model.body(other).name
        if _joints_between(model, one, other) > 2 - (one == 0):
            what = f"{names[1]} touches " + ("the table" if one == 0 else names[0])
            raise ConfigError(f"robot.home: {what} there; set robot.home to a free pose")
        spec.add_exclude(bodyname1=names[0], bodyname2=names[1])
    return compile_spec(spec, path) if touching else model


def _joints_between(model: mujoco.MjModel, upper: int, lower: int) -> int:
    """Joints on the way from one body down to another; counted from the world if apart."""
    count, body = 0, lower
    while body not in (0, upper):
        count += int(model.body_jntnum[body])
        body = int(model.body_parentid[body])
    return count


def _home_qpos(model: mujoco.MjModel, parts: Parts, cfg: RobotConfig) -> np.ndarray:
    """(nq,) qpos of the whole model with the arm at home."""
    key = _home_key(model)
    qpos = model.qpos0.copy() if key is None else model.key_qpos[key].copy()
    low, high = joint_bounds(model, parts)
    address = model.jnt_qposadr[parts.joints]
    if cfg.home is not None:
        qpos[address] = _per_joint("robot.home", cfg.home, parts)
    elif key is None:
        limited = np.isfinite(low) & np.isfinite(high)
        qpos[address[limited]] = (low[limited] + high[limited]) / 2
    for name, value, least, most in zip(cfg.joints, qpos[address], low, high, strict=True):
        if not least - 1e-6 <= value <= most + 1e-6:
            raise ConfigError(
                f'robot.home: {value:g} of joint "{name}" is outside its range '
                f"[{least:g}, {most:g}]"
            )
    return qpos


def _home_key(model: mujoco.MjModel) -> int | None:
    key = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_KEY, "home")
    return None if key < 0 else key


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
    own = numeric(model, "velocity_limit")
    if own is None:
        return np.full(len(parts.joints), np.pi)
    if len(own) == model.njnt:
        return own[parts.joints]
    return _per_joint("numeric velocity_limit of the model", list(own), parts)


def _reach(model: mujoco.MjModel, parts: Parts, cfg: RobotConfig, data: mujoco.MjData) -> float:
    """Configured, the model's own, or the length of the chain from first joint to tool (m)."""
    if cfg.reach is not None:
        return cfg.reach
    own = numeric(model, "reach")
    if own is not None:
        return float(own[0])
    chain = np.vstack([data.xanchor[parts.joints], data.site_xpos[parts.site]])
    slides = model.jnt_type[parts.joints] == int(mujoco.mjtJoint.mjJNT_SLIDE)
    low, high = joint_bounds(model, parts)
    travel = np.where(slides & np.isfinite(high - low), high - low, 0.0).sum()
    return float(np.linalg.norm(np.diff(chain, axis=0), axis=1).sum() + travel)


def _base_ctrl(
    model: mujoco.MjModel, parts: Parts, home_qpos: np.ndarray, home: np.ndarray
) -> np.ndarray:
    key = _home_key(model)
    ctrl = np.zeros(model.nu) if key is None else model.key_ctrl[key].copy()
    ctrl[model.actuator_ctrladr[parts.actuators]] = home
    return ctrl


def _robot(
    cfg: RobotConfig, model: mujoco.MjModel, parts: Parts, root: str, home_qpos: np.ndarray
) -> RobotModel:
    if cfg.servo_lag is not None:
        set_servo_lag(model, parts, cfg.servo_lag)
    kp, kv, beside = servo_gains(model, parts)
    data = mujoco.MjData(model)
    data.qpos[:] = home_qpos
    mujoco.mj_kinematics(model, data)
    low, high = joint_bounds(model, parts)
    qpos_adr = model.jnt_qposadr[parts.joints].astype(int)
    home = home_qpos[qpos_adr]
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
        torque_limits=torque_limits(model, parts),
        servo_lag=(kv + beside) / kp,
        servo_damping=kv + beside,
        inertia=model.dof_M0[model.jnt_dofadr[parts.joints]].copy(),
        reach=_reach(model, parts, cfg, data),
        base_position=data.xpos[model.body(root).id].copy(),
        home_qpos=home_qpos,
        base_ctrl=_base_ctrl(model, parts, home_qpos, home),
        tool_body=int(model.site_bodyid[parts.site]),
        payload_body=int(model.body(scene.PAYLOAD).id),
        self_contact=int(model.sensor(scene.SELF_CONTACT).adr[0]),
        table_contact=int(model.sensor(scene.TABLE_CONTACT).adr[0]),
    )
