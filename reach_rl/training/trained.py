"""What a run has trained: a policy with its normalisation and its configuration."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from stable_baselines3.common.policies import ActorCriticPolicy

from reach_rl.config.load import ConfigError, load_run
from reach_rl.config.schema import Config, ObservationConfig, TaskConfig
from reach_rl.learning.policy import Policy, bare_network
from reach_rl.rundir import checkpoint
from reach_rl.rundir.checkpoint import Arrays, Checkpoint
from reach_rl.rundir.provenance import changed_model, own_model


@dataclass(frozen=True, slots=True)
class TrainedPolicy:
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

    def on(self, task: TaskConfig | None, servo_lag: float | None) -> "TrainedPolicy":
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


def load(
    run: Path, name: str = "best", say: Callable[[str], object] = lambda line: None
) -> TrainedPolicy:
    """A policy of a run, checked; of a user's own robot with the model that the run keeps.

    Args:
        run: the run's folder.
        name: best (latest, where no evaluation has chosen one), latest, or a checkpoint's folder.
        say: told if that model has changed since.

    Raises:
        ConfigError: the run or the checkpoint is not there, damaged, or not of one kind.
    """
    config = own_model(load_run(run), run)
    if line := changed_model(run):
        say(line)
    checkpoints = run / "checkpoints"
    alone = name == "best" and not checkpoint.points(checkpoints, "best")
    folder = checkpoint.resolve(checkpoints, "latest" if alone else name)
    saved = checkpoint.read(folder)
    _check_fit(config, saved, folder)
    saved = replace(saved, config=own_model(saved.config, run))
    return TrainedPolicy(run, folder, config, saved)


def policy_of(saved: Checkpoint, *, deterministic: bool = True) -> Policy:
    """The policy of a checkpoint that has been read, with its normalisation."""
    arrays, config = saved.normalizer, saved.config
    network = bare_network(config, len(arrays["obs_mean"]), len(saved.policy["action_net.bias"]))
    network.load_state_dict({name: torch.from_numpy(v) for name, v in saved.policy.items()})
    network.set_training_mode(False)
    return acting(network, arrays, config.observation, deterministic)


def acting(
    network: ActorCriticPolicy, arrays: Arrays, seen: ObservationConfig, deterministic: bool
) -> Policy:
    """A network with the running statistics that it was trained with, see normalizer_arrays()."""
    mean, variance = arrays["obs_mean"], arrays["obs_var"]
    if not seen.normalize:
        mean = variance = None
    return Policy(network, mean, variance, seen.clip, deterministic=deterministic)


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
