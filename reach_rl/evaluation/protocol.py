"""The protocol: one episode for each held-out goal, judged by the task's own rule of success."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from reach_rl.config.schema import Config, GoalChange
from reach_rl.envs.pool import HELD_OUT, goal_pool
from reach_rl.evaluation.recording import NOBODY, JudgedBatch, Watcher
from reach_rl.evaluation.result import Conditions, Evaluation, joined
from reach_rl.mdp.arrays import Array, Ints
from reach_rl.mdp.goals import Goals
from reach_rl.robots import RobotModel, load_robot

Policy = Callable[[np.ndarray], np.ndarray]
"""Observations (n, d) float32 to actions (n, j) in [-1, 1], normalisation included."""


class Driver:
    """Whatever moves the arms of an evaluation; evaluation.drivers has those with names.

    By itself it is a policy, which goes by what is observed and nothing else.
    """

    targets: Array | None = None
    """(s, n, j) of the servos (rad) beside the last action, in place of what that asks for."""

    knows: str = ""
    """What it goes by, in words, where it is a yardstick."""

    def __init__(self, policy: Policy) -> None:
        """Drive as a policy says."""
        self.policy = policy

    def begin(self, batch: JudgedBatch) -> None:
        """An episode of these arms begins: starts and goals are set, nothing has moved."""

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """Actions (n, j) in [-1, 1] of the batch's present state, observed as (n, d)."""
        return self.policy(observation)


Progress = Callable[[int, float], None]
"""Environment steps done so far, and the share of all goals that is reached so far."""

CHUNK = 2048
"""Goals that are judged side by side."""

_STARTS = 0x57A7
"""Starts and sensor noise have a random stream of their own, apart from goals and training."""


def held_out_goals(
    config: Config, robot: RobotModel, count: int, seed: int, threads: int = 1
) -> Goals:
    """Goals of the configured region that training never sees.

    They come sorted by their offset from home, so that the first k of a larger set are its
    easiest ones, not the set of k goals.

    Args:
        config: the run.
        robot: the arm.
        count: goals wanted.
        seed: seed of the goals.
        threads: physics threads.

    Raises:
        ConfigError: the region cannot be reached.
    """
    return goal_pool(config, robot, threads, count=count, seed=seed, stream=HELD_OUT)


def evaluate(
    driver: Driver | Policy,
    config: Config,
    goals: Goals,
    *,
    threads: int,
    robot: RobotModel | None = None,
    seed: int = 0,
    physics_records: bool = True,
    chunk: int = CHUNK,
    progress: Progress | None = None,
    watcher: Watcher = NOBODY,
) -> Evaluation:
    """Judge a driver: one episode for each goal, from the task's start, with its thresholds.

    Success is the task's: position and orientation errors below the thresholds for the hold time
    without a break, within the episode. The goal does not change, there is no curriculum. Each
    episode runs to its end: only an arm that repeats a state to the last bit would have certain
    figures before, and none was seen to (benchmarks/at_rest.py). The result depends on neither
    threads nor chunk, as long as the driver's own rounding does not.

    Args:
        driver: what is judged; a plain policy is one.
        config: the run; its task is the one judged.
        goals: the goals.
        threads: physics threads.
        robot: the compiled arm, if there is one already.
        seed: seed of starts and sensor noise.
        physics_records: watch joints and contacts at every physics step.
        chunk: goals side by side, at most.
        progress: told the environment steps done and the share of goals reached so far.
        watcher: looks on.

    Raises:
        ConfigError: the robot cannot be made.
    """
    driver = driver if isinstance(driver, Driver) else Driver(driver)
    robot = robot or load_robot(config.robot, config.task.physics_step)
    task = replace(config.task, goal_change=GoalChange.NEVER)
    config = replace(config, task=task, reward=replace(config.reward, terms={}))
    seeds = np.random.default_rng([_STARTS, seed]).integers(2**63, size=len(goals))
    conditions = _conditions(config, robot, seed, physics_records)
    results = []
    for first in range(0, len(goals), chunk):
        own = seeds[first : first + chunk]
        batch = JudgedBatch(
            config, own, goals, robot, threads=threads, physics_records=physics_records
        )
        reached = sum(int(part.success.sum()) for part in results)
        results.append(_judge(driver, batch, first, conditions, reached, progress, watcher))
    return joined(results)


def _judge(
    driver: Driver,
    batch: JudgedBatch,
    first: int,
    conditions: Conditions,
    before: int,
    progress: Progress | None,
    watcher: Watcher,
) -> Evaluation:
    """One episode of the batch with the goals from `first` on; so many were reached before."""
    task, state = batch.task, batch.state
    reached_at = np.full(batch.n, np.nan)
    action_rate = np.zeros(batch.n)
    observation = batch.begin(first)
    driver.begin(batch)
    watcher.begin(batch, first, len(batch.goals))
    for step in range(1, task.episode_steps + 1):
        action = driver(observation)
        observation = batch.step_on(action, driver.targets)
        reached_at[state.completed] = step * task.control_period
        action_rate += np.square(state.action - state.last_action).sum(axis=1)
        watcher.look()
        if progress is not None:
            done = first * task.episode_steps + step * batch.n
            progress(done, (before + float(state.reached.sum())) / len(batch.goals))
    success = state.reached & ~batch.poisoned
    rows: Ints = first + np.arange(batch.n)
    result = Evaluation(
        conditions=conditions,
        goal_position=batch.goals.position[rows],
        goal_quaternion=batch.goals.quaternion[rows],
        success=success,
        time_to_success=np.where(success, reached_at, np.nan),
        position_error=state.distance.copy(),
        orientation_error=state.angle.copy(),
        final_joint_speed=batch.final_speed,
        self_collision=batch.self_touched,
        table_collision=batch.table_touched,
        physics_reset=batch.poisoned,
        action_rate=action_rate / task.episode_steps,
        measured=batch.episodes.measured(),
        **batch.found(),
    )
    watcher.end(result)
    return result


def _conditions(config: Config, robot: RobotModel, seed: int, physics_records: bool) -> Conditions:
    task = config.task
    x, y, z = robot.base_position.tolist()
    return Conditions(
        robot=robot.name,
        region=task.region.name,
        seed=seed,
        reach=robot.reach,
        base=(x, y, z),
        position_threshold=task.position_threshold,
        orientation_threshold=task.orientation_threshold,
        hold_time=task.hold_time,
        episode_time=task.episode_steps * task.control_period,
        steps=task.episode_steps,
        physics_steps=task.episode_steps * task.substeps,
        start=str(task.start.value),
        physics_records=physics_records,
    )
