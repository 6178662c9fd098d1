"""The parts of a model that the task uses, found by name; what is missing is said in one line."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from reach_rl.config.load import ConfigError
from reach_rl.config.schema import RobotConfig

MOVABLE = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))


@dataclass(frozen=True, slots=True)
class Parts:
    """Ids of the joints and actuators in the order of the configuration, and of the tool site."""

    joints: np.ndarray
    """(j,) joint ids."""
    actuators: np.ndarray
    """(j,) actuator ids."""
    site: int


def check_names(spec: mujoco.MjSpec, cfg: RobotConfig, source: str) -> None:
    """Raise ConfigError with one line for each key that names what the model does not have."""
    problems = []
    for key, kind, wanted, elements in (
        ("robot.joints", "joint", cfg.joints, spec.joints),
        ("robot.actuators", "actuator", cfg.actuators, spec.actuators),
        ("robot.tcp_site", "site", [cfg.tcp_site], spec.sites),
    ):
        has = [element.name for element in elements if element.name]
        twice = sorted({name for name in wanted if wanted.count(name) > 1})
        gone = [name for name in wanted if name not in has]
        if not wanted:
            problems.append(f"{key}: is empty; name at least one {kind}")
        elif twice:
            problems.append(f"{key}: {_quoted(twice)} listed twice")
        elif gone:
            listing = ", ".join(has) or f"no {kind} with a name"
            problems.append(f"{key}: no {kind} {_quoted(gone)} in {source}; it has: {listing}")
    if len(cfg.actuators) != len(cfg.joints):
        problems.append(
            f"robot.actuators: {len(cfg.actuators)} actuators for {len(cfg.joints)} joints; "
            f"name one position servo for each of robot.joints, in the same order"
        )
    if problems:
        raise ConfigError(problems)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def find_parts(model: mujoco.MjModel, cfg: RobotConfig, source: str) -> Parts:
    """Ids of the named parts. Raises ConfigError if one is not of the right kind."""
    joints = np.array([model.joint(name).id for name in cfg.joints])
    actuators = np.array([model.actuator(name).id for name in cfg.actuators])
    site = model.site(cfg.tcp_site).id
    problems = [
        f'robot.joints: "{model.joint(j).name}" in {source} is a ball or free joint; '
        f"a policy moves hinge and slide joints"
        for j in joints
        if model.jnt_type[j] not in MOVABLE
    ]
    for joint, actuator in zip(joints, actuators, strict=True):
        problem = servo_problem(model, joint, actuator)
        if problem:
            name = model.actuator(actuator).name
            problems.append(f'robot.actuators: "{name}" in {source} {problem}')
    if model.body_weldid[model.site_bodyid[site]] == 0:
        problems.append(f'robot.tcp_site: "{cfg.tcp_site}" in {source} is on a body that is fixed')
    if problems:
        raise ConfigError(problems)
    return Parts(joints, actuators, site)


def servo_problem(model: mujoco.MjModel, joint: int, actuator: int) -> str | None:
    """Why an actuator is not a position servo of the joint, or None."""
    on_joint = (mujoco.mjtTrn.mjTRN_JOINT, mujoco.mjtTrn.mjTRN_JOINTINPARENT)
    if model.actuator_trntype[actuator] not in [int(t) for t in on_joint]:
        return "does not drive a joint directly; give each joint a position servo of its own"
    driven = model.actuator_trnid[actuator, 0]
    if driven != joint:
        driven, wanted = model.joint(driven).name, model.joint(joint).name
        return f'drives joint "{driven}", not "{wanted}"; list the actuators in order of the joints'
    gain, bias = model.actuator_gainprm[actuator], model.actuator_biasprm[actuator]
    affine = model.actuator_biastype[actuator] == int(mujoco.mjtBias.mjBIAS_AFFINE)
    fixed = model.actuator_gaintype[actuator] == int(mujoco.mjtGain.mjGAIN_FIXED)
    servo = affine and fixed and gain[0] > 0 and bias[0] == 0 and np.isclose(bias[1], -gain[0])
    if not servo or model.actuator_ctrlnum[actuator] != 1:
        return "is not a position servo; use <position kp= kv=>"
    if model.actuator_dyntype[actuator] != int(mujoco.mjtDyn.mjDYN_NONE):
        return "has activation dynamics; use <position> without timeconst"
    if not np.isclose(model.actuator_gear[actuator, 0], 1.0):
        return f"has gear {model.actuator_gear[actuator, 0]:g}; use 1 and scale kp and kv"
    return None


def servo_gains(model: mujoco.MjModel, parts: Parts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stiffness, damping of the servo, and damping beside it; (j,) each, per rad (or m)."""
    dof = model.jnt_dofadr[parts.joints]
    beside = model.dof_damping[dof] + model.actuator_damping[parts.actuators]
    kp = model.actuator_gainprm[parts.actuators, 0]
    return kp.copy(), -model.actuator_biasprm[parts.actuators, 2], beside


def set_servo_lag(model: mujoco.MjModel, parts: Parts, lag: float) -> None:
    """Give every servo the time constant kv/kp (s), damping of the joint included.

    The damping stays and the stiffness follows: a servo with less damping would follow sooner too,
    but could no longer brake the arm.

    Raises:
        ConfigError: a servo has no damping, or is to follow within one physics step.
    """
    _, kv, beside = servo_gains(model, parts)
    damping = kv + beside
    if (damping <= 0.0).any():
        name = model.actuator(int(parts.actuators[np.argmin(damping)])).name
        raise ConfigError(f'robot.servo_lag={lag:g}: servo "{name}" has no damping; give it a kv')
    if lag < model.opt.timestep:
        raise ConfigError(
            f"robot.servo_lag={lag:g}: is shorter than a physics step; "
            f"try {model.opt.timestep:g} or more"
        )
    model.actuator_gainprm[parts.actuators, 0] = damping / lag
    model.actuator_biasprm[parts.actuators, 1] = -damping / lag


def joint_bounds(model: mujoco.MjModel, parts: Parts) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest target of each joint, (j,) each; infinite where unlimited."""
    low = np.full(len(parts.joints), -np.inf)
    high = np.full(len(parts.joints), np.inf)
    for limited, bounds in (
        (model.jnt_limited[parts.joints], model.jnt_range[parts.joints]),
        (model.actuator_ctrllimited[parts.actuators], model.actuator_ctrlrange[parts.actuators]),
    ):
        low = np.where(limited, np.maximum(low, bounds[:, 0]), low)
        high = np.where(limited, np.minimum(high, bounds[:, 1]), high)
    return low, high


def torque_limits(model: mujoco.MjModel, parts: Parts) -> np.ndarray:
    """(j,) greatest torque of each servo (N m); infinite where unlimited."""
    servo = np.where(
        model.actuator_forcelimited[parts.actuators],
        model.actuator_forcerange[parts.actuators, 1],
        np.inf,
    )
    joint = np.where(
        model.jnt_actfrclimited[parts.joints], model.jnt_actfrcrange[parts.joints, 1], np.inf
    )
    return np.minimum(servo, joint)


def numeric(model: mujoco.MjModel, name: str) -> np.ndarray | None:
    """The values of a custom number of the model, if it has it."""
    i = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_NUMERIC, name)
    return None if i < 0 else model.numeric(i).data.copy()


def random_poses(
    model: mujoco.MjModel, parts: Parts, home_qpos: np.ndarray, count: int = 24
) -> Iterator[mujoco.MjData]:
    """The whole model at home and in random poses of the arm, always the same ones."""
    low, high = joint_bounds(model, parts)
    data, address = mujoco.MjData(model), model.jnt_qposadr[parts.joints]
    home, rng = home_qpos[address], np.random.default_rng(0)
    low, high = np.fmax(low, home - np.pi), np.fmin(high, home + np.pi)
    for share in (None, *rng.uniform(size=(count, len(home)))):
        data.qpos[:] = home_qpos
        data.qpos[address] = home if share is None else low + share * (high - low)
        mujoco.mj_kinematics(model, data)
        yield data


def lineage(model: mujoco.MjModel, body: int) -> list[int]:
    """A body and those that carry it, from the base outwards; the world is not among them."""
    found = []
    while body:
        found.insert(0, int(body))
        body = int(model.body_parentid[body])
    return found


def not_exported(model: mujoco.MjModel, parts: Parts) -> list[str]:
    """Why a policy of this arm can be trained and judged but not exported, in words."""
    above = lineage(model, model.site_bodyid[parts.site])
    on_the_way = [j for j in range(model.njnt) if int(model.jnt_bodyid[j]) in above]
    problems = [
        f'joint "{model.joint(j).name}" on the way to the tool is a ball or free joint'
        for j in on_the_way
        if model.jnt_type[j] not in MOVABLE
    ]
    aside = [model.joint(int(j)).name for j in parts.joints if int(j) not in on_the_way]
    if aside:
        problems.append(f"{', '.join(aside)} cannot move the tool")
    return [f"{problem}, which export cannot write" for problem in problems]
