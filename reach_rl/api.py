"""The Python interface, whose names are those of the package; docs/python.md shows it.

What it needs is imported when it is called: a configuration needs neither simulator nor learner.
"""

from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reach_rl.config.problems import ConfigError, override, show
from reach_rl.config.schema import Config

if TYPE_CHECKING:
    import numpy as np
    from stable_baselines3.common.vec_env import VecEnv

    from reach_rl.config.load import Proof
    from reach_rl.evaluation.protocol import Driver
    from reach_rl.learning.policy import Policy
    from reach_rl.training.own_learner import OwnRun
    from reach_rl.viz.notebook import ShownEvaluation

    Actor = Callable[[np.ndarray], np.ndarray]

_ASKED: dict[str, tuple[list[str], tuple[Path, ...]]] = {}
"""Of each configuration that was composed here: the overrides, and the folders of groups."""


def compose(
    overrides: Sequence[str] = (),
    *,
    config_dir: str | Path | None = None,
    config_name: str = "train",
    own_learner: bool = False,
) -> Config:
    """The configuration that the same words give on the command line.

    Args:
        overrides: such as ["robot=ur3e", "task=near"].
        config_dir: a folder with groups of your own.
        config_name: the primary file.
        own_learner: you bring the learner, so that the rules about the batch of ours do not hold.

    Raises:
        ConfigError: with every problem as a line in `problems`.
    """
    from reach_rl.cli.front_door import composer_of, prove_once
    from reach_rl.config.overrides import as_typed
    from reach_rl.config.verbs import ANY_LEARNER, TRAIN

    if isinstance(overrides, str) or not all(isinstance(text, str) for text in overrides):
        better = 'try compose(["robot=ur3e", "task=near"])'
        raise ConfigError(f"overrides={show(overrides)}: must be a list of words; {better}")
    given = None if config_dir is None else str(config_dir)
    verb = ANY_LEARNER if own_learner else TRAIN
    with as_typed(overrides) as words:
        args = Namespace(config_dir=given, config_name=config_name, overrides=words)
        proof = prove_once(verb, composer_of(verb, args), words)
    _ASKED[_text(proof.config)] = list(proof.overrides), tuple(proof.folders)
    return proof.config


def make_vec_env(config: Config, n_envs: int | None = None) -> "VecEnv":
    """The environments of a configuration, as Stable-Baselines3 takes them; not normalised.

    Args:
        config: of compose().
        n_envs: how many; as configured by default.

    Raises:
        ConfigError: the robot or the region cannot be made.
    """
    from reach_rl.envs import vec_env

    config = _checked(config)
    if n_envs is not None:
        config = _checked(replace(config, vec_env=replace(config.vec_env, n_envs=n_envs)))
    return vec_env.make_vec_env(config)


def train(config: Config, run_dir: str | Path | None = None) -> dict[str, Any]:
    """Train with our PPO, judge, and write the run's folder, as `reach-rl train` does.

    Args:
        config: of compose().
        run_dir: its folder; runs/<robot>/<date>_<time> by default.

    Returns:
        What summary.json holds.

    Raises:
        ConfigError: the configuration or the folder is not fit.
        KeyboardInterrupt: it was interrupted; everything is saved.
        TrainingStopped: its numbers went bad, or something else ended it.
    """
    proof, folders = _proof(config, run_dir, own_learner=False), []

    from reach_rl.cli.jobs import outcome
    from reach_rl.config.verbs import TRAIN
    from reach_rl.rundir.status import read_status
    from reach_rl.training.session import train as run

    def job(given: Config, folder: Path) -> Any:  # noqa: ANN401  as session.train
        folders.append(folder)
        return run(given, folder)

    found = outcome(TRAIN, job, proof)
    if not isinstance(found, int):
        return found
    if found == 130:
        raise KeyboardInterrupt
    status = read_status(folders[0])
    raise TrainingStopped(f"{folders[0]}: {status.get('state')}, {status.get('reason')}", found)


class TrainingStopped(Exception):
    """A run ended before its end; `exit_code` is that of the command line."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Run:
    """A run as its folder tells it."""

    folder: Path
    config: Config
    summary: dict[str, Any]
    """What summary.json holds; empty if the run has not ended well."""
    checkpoint: str = "best"

    @cached_property
    def policy(self) -> "Policy":
        """What was learnt: `predict(observation)` as in SB3, or called, (n, d) to (n, j).

        In plain torch it is `network(normalizer(observation))`.

        Raises:
            ConfigError: the run has no such checkpoint, or it is damaged.
        """
        from reach_rl.training.snapshot import load as load_policy

        return load_policy(self.folder, self.checkpoint).policy


def load(run_dir: str | Path, checkpoint: str = "best") -> Run:
    """A run from its folder.

    Args:
        run_dir: its folder.
        checkpoint: whose policy: best, latest or the folder of a checkpoint.

    Raises:
        ConfigError: it is not the folder of a run, or has no such checkpoint.
    """
    from reach_rl.config.load import load_run
    from reach_rl.config.rules import run_file
    from reach_rl.rundir.atomic import read_json
    from reach_rl.rundir.provenance import own_model

    folder = Path(run_dir)
    for key, problem in run_file(str(folder), checkpoint):
        value = checkpoint if key == "checkpoint" else folder
        raise ConfigError(f"{key}={show(value)}: {problem}")
    config = own_model(load_run(folder), folder)
    return Run(folder, config, read_json(folder / "summary.json"), checkpoint)


def evaluate(
    subject: "Run | Actor | Driver",
    config: Config | None = None,
    *,
    goals: int = 1000,
    seed: int = 7,
    threads: int = 0,
    progress: bool = True,
) -> "ShownEvaluation":
    """Judge on held-out goals, by the protocol of `reach-rl evaluate`: one episode for each goal.

    Args:
        subject: a run of load(), or whatever takes observations (n, d) as the environment gives
            them and answers actions (n, j) in [-1, 1]. What remembers has a method `reset`, which
            is called where episodes begin.
        config: the task to judge on; that of the run by default.
        goals: how many.
        seed: of the goals, never used in training.
        threads: for the physics; 0: one per core.
        progress: show how far it is.

    Raises:
        ConfigError: the subject cannot be judged, or answers something else.
    """
    from reach_rl.envs.physics import threads_of
    from reach_rl.evaluation import protocol
    from reach_rl.monitoring.terminal import Progress, TeeConsole
    from reach_rl.robots import load_robot
    from reach_rl.viz.notebook import ShownEvaluation

    for name, value, least in (("goals", goals, 1), ("seed", seed, 0), ("threads", threads, 0)):
        if not isinstance(value, int) or value < least:
            raise ConfigError(f"{name}={show(value)}: must be a whole number, at least {least}")
    driver, config = _judged(subject, config)
    robot, there = load_robot(config.robot, config.task.physics_step), threads_of(threads)
    held_out = protocol.held_out_goals(config, robot, goals, seed, there)
    steps, console = goals * config.task.episode_steps, TeeConsole(quiet=not progress)
    with _drawing(subject, seed), Progress(steps, progress, console, label="evaluate") as bar:
        found = protocol.evaluate(
            driver,
            config,
            held_out,
            threads=there,
            robot=robot,
            seed=seed,
            progress=bar.update,
        )
    return ShownEvaluation.of(found)


def _judged(subject: Any, config: Config | None) -> tuple[Any, Config]:  # noqa: ANN401
    """Who drives, and on which task."""
    from reach_rl.evaluation.driven import Answers
    from reach_rl.evaluation.protocol import Driver

    if isinstance(subject, Run):
        return subject.policy, subject.config if config is None else _checked(config)
    if not callable(subject):
        what = "give a run, as in evaluate(reach_rl.load(DIR)), or a callable: observations (n, d)"
        raise ConfigError(f"subject: {what} to actions (n, j); not {type(subject).__name__}")
    if config is None:
        raise ConfigError("config: what is judged, on which task? give evaluate(callable, config)")
    return subject if isinstance(subject, Driver) else Answers(subject), _checked(config)


@contextmanager
def _drawing(subject: object, seed: int) -> Iterator[None]:
    """A run may sample its actions: then from this seed, and nobody else's numbers change."""
    if not isinstance(subject, Run):
        yield
        return
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def record(config: Config, run_dir: str | Path | None = None, learner: str = "own") -> "OwnRun":
    """The record of a run whose learner you bring, in a folder that runs, diff and report read.

    To be used in a with statement: `write(step, values)`, `rollout(env)`, `finish(result)`.

    Args:
        config: of compose().
        run_dir: the folder; runs/<robot>/<date>_<time> by default.
        learner: its name, for summary.json.

    Raises:
        ConfigError: the configuration or the folder is not fit.
    """
    from reach_rl.cli.jobs import outcome
    from reach_rl.config.verbs import ANY_LEARNER
    from reach_rl.training.own_learner import begin

    def job(given: Config, folder: Path) -> "OwnRun":
        return begin(given, folder, learner)

    return outcome(ANY_LEARNER, job, _proof(config, run_dir, own_learner=True))


def _checked(config: Config, own_learner: bool = True) -> Config:
    """A configuration, also one that somebody changed, by all its rules. Raises ConfigError."""
    from reach_rl.config.load import to_config
    from reach_rl.config.validation import to_tree
    from reach_rl.config.verbs import ANY_LEARNER, TRAIN

    if not isinstance(config, Config):
        better = 'try reach_rl.compose(["robot=ur5e"])'
        raise ConfigError(
            f"config: must come from compose(), not {type(config).__name__}; {better}"
        )
    return to_config(to_tree(config), ANY_LEARNER if own_learner else TRAIN)


def _proof(config: Config, run_dir: str | Path | None, own_learner: bool) -> "Proof":
    """The proof of a run in this folder, as the command line would have it. Raises ConfigError."""
    from reach_rl.config.composition import Composer
    from reach_rl.config.load import Proof
    from reach_rl.config.verbs import TRAIN

    config = _checked(config, own_learner)
    overrides, folders = _ASKED.get(_text(config)) or (_overrides(config), ())
    if run_dir is not None:
        config = replace(config, run_dir=str(run_dir))
    problems = TRAIN.rules(config, Composer("train", *folders))
    if problems:
        raise ConfigError(problem.line() for problem in problems)
    return Proof(config, overrides=overrides, folders=folders)


def _overrides(config: Config) -> list[str]:
    """What to type for a configuration that was not composed here: all that is not as in conf/."""
    from reach_rl.config.load import compose as composed
    from reach_rl.config.validation import to_tree
    from reach_rl.rundir.resume import changes

    pairs = changes(to_tree(composed()), to_tree(config))
    return [override(key, new) for key, (_, new) in pairs]


def _text(config: Config) -> str:
    from reach_rl.config.validation import to_tree
    from reach_rl.rundir.atomic import json_text

    return json_text(to_tree(config))
