"""Who is judged, exported or compared: a run's configuration and one of its policies."""

from dataclasses import dataclass, replace
from pathlib import Path

from reach_rl.config.load import ConfigError, load_run
from reach_rl.config.schema import Config, TaskConfig
from reach_rl.learning.policy import Policy
from reach_rl.rundir import checkpoint
from reach_rl.rundir.checkpoint import Checkpoint, policy_of


@dataclass(frozen=True, slots=True)
class Subject:
    """One policy of a run."""

    run: Path
    folder: Path
    """The checkpoint's."""
    config: Config
    saved: Checkpoint

    @property
    def policy(self) -> Policy:
        """As the run judges it: the mean action, or a sample."""
        return policy_of(self.saved, deterministic=self.config.evaluation.deterministic)

    def on(self, task: TaskConfig | None, servo_lag: float | None) -> "Subject":
        """The same policy on another task, or on servos of another time constant (s).

        The key points stay those that the policy was trained with: its observation knows them.
        """
        config = self.config
        if task is not None:
            offset = config.task.keypoint_offset
            config = replace(config, task=replace(task, keypoint_offset=offset))
        if servo_lag is not None:
            config = replace(config, robot=replace(config.robot, servo_lag=servo_lag))
        return replace(self, config=config)


def load(run: Path, name: str = "best") -> Subject:
    """A policy of a run, checked.

    Args:
        run: the run's folder.
        name: best (latest, where no evaluation has chosen one), latest, or a checkpoint's folder.

    Raises:
        ConfigError: the run or the checkpoint is not there, damaged, or not of one kind.
    """
    config = load_run(run)
    checkpoints = run / "checkpoints"
    alone = name == "best" and not checkpoint.points(checkpoints, "best")
    folder = checkpoint.resolve(checkpoints, "latest" if alone else name)
    saved = checkpoint.read(folder)
    _check_fit(config, saved, folder)
    return Subject(run, folder, config, saved)


def _check_fit(config: Config, saved: Checkpoint, folder: Path) -> None:
    """Raise a ConfigError if the policy was trained to see or to do something else."""
    for key, ours, theirs in (
        ("observation", config.observation, saved.config.observation),
        ("action", config.action, saved.config.action),
        ("robot.joints", config.robot.joints, saved.config.robot.joints),
    ):
        if ours != theirs:
            raise ConfigError(
                f"checkpoint={folder}: its {key} is not that of the run's config.yaml; "
                f"give run= the folder of the run that it comes from"
            )
