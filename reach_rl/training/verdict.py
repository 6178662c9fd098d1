"""The verdict on a run: its best policy on held-out goals of its own region and of others."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from reach_rl.config.load import ConfigError, compose
from reach_rl.config.schema import Config
from reach_rl.evaluation.protocol import Evaluation, evaluate, held_out_goals
from reach_rl.robots import load_robot
from reach_rl.rundir import checkpoint
from reach_rl.training.snapshot import policy_of
from reach_rl.viz import plots

Say = Callable[[str], None]
Bar = Callable[[Config], AbstractContextManager[Callable[[int, float], None]]]
"""What is told, of a configuration to judge on, the environment steps done and the share of goals
reached so far."""


def regions(config: Config, say: Say) -> dict[str, Config]:
    """The regions to judge on: the run's own, then the others that fit the robot."""
    own, joints = config.task.region, len(config.robot.joints)
    found = {own.name: config}
    for name in config.evaluation.also:
        region = compose([f"task={name}"]).task.region
        width = region.joint_range
        if width is not None and len(width) not in (1, joints):
            say(
                f"evaluation.also: {name} is left out, its joint range has {len(width)} items for "
                f"{joints} joints"
            )
        elif region.name != own.name:
            found[region.name] = replace(config, task=replace(config.task, region=region))
    return found


def judge(
    folder: Path, threads: int, regions: Mapping[str, Config], say: Say, bar: Bar
) -> dict[str, Evaluation]:
    """A checkpoint on the held-out goals of each region, the run's own first.

    Args:
        folder: the checkpoint.
        threads: physics threads.
        regions: name -> the run with that region.
        say: told what is judged, and which other region cannot be reached.
        bar: shows how far it is.

    Raises:
        ConfigError: the run's own region cannot be reached.
    """
    saved, evaluations = checkpoint.read(folder), {}
    for region, config in regions.items():
        protocol = config.evaluation
        say(f"judging {folder.name} on {protocol.goals:,} goals of {region}")
        robot = load_robot(config.robot, config.task.physics_step)
        try:
            goals = held_out_goals(config, robot, protocol.goals, protocol.seed, threads)
            policy = policy_of(saved, deterministic=protocol.deterministic)
            with bar(config) as progress:
                evaluations[region] = evaluate(
                    policy,
                    config,
                    goals,
                    threads=threads,
                    robot=robot,
                    seed=protocol.seed,
                    progress=progress,
                )
        except ConfigError as error:
            if region == next(iter(regions)):
                raise
            say(f"evaluation.also: {region} is left out, {error}")
    return evaluations


def score_of(evaluation: Evaluation, config: Config) -> float:
    """Success rate, less a twentieth of the median errors in units of their thresholds."""
    task = config.task
    position = float(np.median(evaluation.position_error)) / task.position_threshold
    angle = float(np.median(evaluation.orientation_error)) / task.orientation_threshold
    return float(evaluation.success.mean()) - 0.05 * (min(position, 10.0) + min(angle, 10.0))


def summary(
    config: Config, steps: int, seconds: float, summaries: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    """What summary.json holds of a run of so many environment steps and seconds of learning."""
    own, *others = summaries
    return {
        "robot": config.robot.name,
        "seed": config.seed,
        "total_timesteps": steps,
        "wall_time_s": seconds,
        "steps_per_second": steps / seconds,
        "evaluation": summaries[own],
        "also": {region: summaries[region] for region in others},
        "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def draw(folder: Path, config: Config, evaluations: Mapping[str, Evaluation]) -> None:
    """learning_curve.png and goals.png."""
    robot, region = config.robot.name, next(iter(evaluations))
    title = f"{robot}, {config.task.region.name}, seed {config.seed}"
    plots.learning_curve(folder / "metrics.jsonl", folder / "learning_curve.png", title)
    own, title = evaluations[region], f"{robot}: held-out goals of {region}"
    plots.goals(own.goal_position, own.success, folder / "goals.png", title)
