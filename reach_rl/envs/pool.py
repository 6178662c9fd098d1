"""Forward kinematics of the arm, and the pool of goals that it gives."""

import copy
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import mujoco
import numpy as np
from mujoco.batch import Batch

from reach_rl.config.load import ConfigError
from reach_rl.config.schema import Config, ObservationConfig
from reach_rl.extend import entries, goal_source
from reach_rl.mdp.arrays import Array
from reach_rl.mdp.goals import Base, Goals, Kinematics, Poses, joint_range, sample
from reach_rl.mdp.terms import told
from reach_rl.robots import RobotModel
from reach_rl.robots.inverse_kinematics import ClosedForm, closed_form

TRAINING, HELD_OUT, VALIDATION = 1, 2, 3
"""Goals to train on, to report on and to choose the best checkpoint by: never one random stream."""

_CHUNK = 512
PATIENCE = 1.0
"""Sampling that takes longer says how it goes (s)."""


def kinematics(robot: RobotModel, threads: int = 1, clearance: float = 0.0) -> Kinematics:
    """Tool poses of joint configurations, and whether the arm is free there.

    Free means that it does not touch itself and stays at least `clearance` (m) off the table.
    """
    model = copy.copy(robot.model)
    table = model.geom_bodyid == 0
    model.geom_margin[table] = clearance
    model.pair_margin[table[model.pair_geom1] | table[model.pair_geom2]] = clearance
    batch = Batch(model, _CHUNK, threads)
    qpos = batch.bind("qpos")
    position, matrix = batch.bind("site_xpos"), batch.bind("site_xmat")
    quaternion, sensors = batch.bind("site_xquat"), batch.bind("sensordata")
    contacts = [robot.self_contact, robot.table_contact]
    stage = int(mujoco.mjtStage.mjSTAGE_POS)

    def poses(joints: Array) -> Poses:
        k = len(joints)
        touched = np.empty((2, k), bool)
        out = Poses(np.empty((k, 3)), np.empty((k, 4)), np.empty((k, 3, 3)), *touched)
        for begin in range(0, k, _CHUNK):
            rows = slice(begin, min(begin + _CHUNK, k))
            size = rows.stop - begin
            qpos[:size] = robot.home_qpos
            qpos[:size, robot.qpos_adr] = joints[rows]
            batch.forward(np.arange(size), stage=stage)
            out.position[rows] = position[:size, robot.tcp_site]
            out.matrix[rows] = matrix[:size, robot.tcp_site].reshape(-1, 3, 3)
            out.quaternion[rows] = quaternion[:size, robot.tcp_site]
            touched[:, rows] = (sensors[:size, contacts] != 0).T
        return out

    return poses


@contextmanager
def _progress(what: str, wanted: int, on: bool) -> Iterator[Callable[[int, int], None]]:
    """Where sampling takes its time, a line on the terminal, which goes in the end."""
    end, shown = time.monotonic() + PATIENCE, False

    def told(kept: int, tried: int) -> None:
        nonlocal shown
        if on and sys.stderr.isatty() and time.monotonic() > end:
            shown = True
            fit = f"{kept:,} of {wanted:,}, {kept / tried:.1%} of {tried:,} samples fit"
            print(f"\r\x1b[K{what}: {fit}", end="", file=sys.stderr, flush=True)

    try:
        yield told
    finally:
        if shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def goal_pool(
    config: Config,
    robot: RobotModel,
    threads: int = 1,
    *,
    count: int | None = None,
    seed: int | None = None,
    stream: int = TRAINING,
) -> Goals:
    """Goals of the configured source.

    Args:
        config: the run.
        robot: the arm.
        threads: physics threads.
        count: goals wanted; the region's pool by default.
        seed: seed of the goals; the run's by default.
        stream: what the goals are for: TRAINING, HELD_OUT or VALIDATION.

    Raises:
        ConfigError: the region cannot be reached, or another source cannot give its goals.
    """
    wanted, name = count or config.task.region.pool, config.task.goals
    rng = np.random.default_rng([stream, config.seed if seed is None else seed])
    try:
        goals: Goals = entries("goal_source")[name](config, robot, wanted, rng, threads)
        if len(goals) != wanted:
            raise ValueError(f"gave {len(goals)} goals, but {wanted} are expected")
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(told(f"task.goals={name}", error)) from error
    if stream == TRAINING and config.reward.terms.get("joint_progress") is not None:
        poses = kinematics(robot, threads, config.task.region.clearance)
        goals = replace(goals, others=other_ways(robot, goals, poses))
    return goals


@goal_source
def region(
    config: Config, robot: RobotModel, count: int, rng: np.random.Generator, threads: int
) -> Goals:
    """Tool poses at sampled joint angles, inside task.region."""
    wanted = config.task.region
    with _progress(f"sampling goals of {wanted.name}", count, config.progress) as told:
        return sample(
            wanted,
            count,
            rng,
            kinematics(robot, threads, wanted.clearance),
            joint_range(wanted, robot.home, robot.low, robot.high),
            robot.home,
            Base(robot.base_position, robot.base_matrix, robot.reach),
            told,
        )


def other_ways(robot: RobotModel, goals: Goals, poses: Kinematics) -> Array | None:
    """Further joint configurations that reach the goals, free of contact, (m, 8, j) rad.

    NaN where there are fewer; None for an arm that is not one of the project's own, or whose
    dimensions are not the published ones.
    """
    arm = closed_form(robot)
    if arm is None:
        return None
    found = arm.solutions(goals.position, goals.matrix)
    there = np.isfinite(found[..., 0])
    there[there] = poses(found[there]).free
    found[~there] = np.nan
    return found


def seen_form(config: ObservationConfig, robot: RobotModel) -> ClosedForm | None:
    """The closed form of the arm; None where no term of the observation asks for it.

    Raises:
        ConfigError: a term asks, and the arm has none.
    """
    if config.terms.get("joint_error") is None:
        return None
    form = closed_form(robot)
    if form is None:
        raise ConfigError(
            [
                f"observation.terms.joint_error: inverse kinematics in closed form is known of "
                f"Universal Robots arms alone, not of {robot.name}; try "
                f"observation.terms.joint_error=null "
                f"'observation.terms.damped_least_squares={{scales:[0.5,0.1,0.02],noise:0.0}}'"
            ]
        )
    return form
