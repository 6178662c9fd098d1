"""Between a run and its checkpoints.

All that it needs to go on exactly where it was, taken out and put back; and the policy of a run,
which others judge, play and export.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecNormalize

from reach_rl.config.load import ConfigError, load_run
from reach_rl.config.schema import Config, ObservationConfig, TaskConfig
from reach_rl.learning.policy import Policy, bare_network
from reach_rl.rundir import checkpoint
from reach_rl.rundir.checkpoint import Arrays, Checkpoint
from reach_rl.rundir.provenance import own_model

if TYPE_CHECKING:
    from reach_rl.learning.ppo import FastPPO


def take(
    config: Config, model: "FastPPO", env: VecNormalize, progress: Mapping[str, object]
) -> Checkpoint:
    """The state of a run at a rollout boundary."""
    name, keys, position, has_gauss, cached = np.random.get_state()
    version, values, gauss = random.getstate()
    cuda = model.device.type == "cuda"
    return Checkpoint(
        config=config,
        policy={k: _copy(v) for k, v in model.policy.state_dict().items()},
        optimizer=_optimizer_arrays(model),
        normalizer=normalizer_arrays(env),
        environment=env.snapshot(),
        learner={
            "last_obs": np.array(model._last_obs),
            "last_episode_starts": np.array(model._last_episode_starts),
            "random.torch": torch.get_rng_state().numpy(),
            "random.numpy": np.array(keys),
            **({"random.cuda": torch.cuda.get_rng_state(model.device).numpy()} if cuda else {}),
        },
        progress={
            **progress,
            "num_timesteps": model.num_timesteps,
            "n_updates": model._n_updates,
            "learning_rate_factor": getattr(model.learning_rate, "factor", 1.0),
            "episodes": [dict(e) for e in model.ep_info_buffer or ()],
            "random.numpy": [str(name), int(position), int(has_gauss), float(cached)],
            "random.python": [version, list(values), gauss],
        },
    )


def put(model: "FastPPO", env: VecNormalize, saved: Checkpoint) -> None:
    """Make a freshly built run go on from a checkpoint.

    Raises:
        ConfigError: it does not fit what was built.
    """
    with _fitting(saved):
        progress = saved.progress
        model.policy.load_state_dict({k: torch.from_numpy(v) for k, v in saved.policy.items()})
        _load_optimizer(model, saved.optimizer)
        load_normalizer(env, saved.normalizer)
        _check_shapes(env.snapshot(), saved.environment)
        env.restore(saved.environment)
        model._last_obs = saved.learner["last_obs"]  # type: ignore[assignment]
        model._last_episode_starts = saved.learner["last_episode_starts"].astype(bool)
        model.num_timesteps = int(progress["num_timesteps"])  # type: ignore[arg-type]
        model._n_updates = int(progress["n_updates"])  # type: ignore[arg-type]
        if hasattr(model.learning_rate, "factor"):
            model.learning_rate.factor = progress["learning_rate_factor"]  # type: ignore[union-attr]
        assert model.ep_info_buffer is not None
        model.ep_info_buffer.extend(progress["episodes"])  # type: ignore[arg-type]
        version, values, gauss = progress["random.python"]  # type: ignore[misc]
        random.setstate((version, tuple(values), gauss))
        name, position, has_gauss, cached = progress["random.numpy"]  # type: ignore[misc]
        np.random.set_state((name, saved.learner["random.numpy"], position, has_gauss, cached))
        torch.set_rng_state(torch.from_numpy(saved.learner["random.torch"]))
        if model.device.type == "cuda" and "random.cuda" in saved.learner:
            state = torch.from_numpy(saved.learner["random.cuda"])
            torch.cuda.set_rng_state(state, model.device)


@contextmanager
def _fitting(saved: Checkpoint) -> Iterator[None]:
    """Where a checkpoint is put into what it does not fit, that is one line."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        text = " ".join(str(error).split())
        raise ConfigError(
            f"the checkpoint of step {saved.progress.get('num_timesteps')} does not fit its "
            f"configuration or this version ({text[:200]}); start anew with run_dir="
        ) from error


def normalizer_arrays(env: VecNormalize) -> Arrays:
    """The running statistics of a VecNormalize, the returns under way included."""
    size, returns = env.observation_space.shape or (0,), env.ret_rms
    mean, var, count = np.zeros(size), np.ones(size), 0.0
    if env.norm_obs:
        mean, var, count = env.obs_rms.mean, env.obs_rms.var, env.obs_rms.count  # type: ignore[union-attr]
    found: dict[str, object] = dict(obs_mean=mean, obs_var=var, obs_count=[count])
    found |= dict(ret_mean=[returns.mean], ret_var=[returns.var], ret_count=[returns.count])
    found["returns"] = env.returns
    return {name: np.array(value, np.float64) for name, value in found.items()}


def load_normalizer(env: VecNormalize, arrays: Mapping[str, np.ndarray]) -> None:
    """Put saved statistics into a VecNormalize."""
    if env.norm_obs:
        env.obs_rms.mean = arrays["obs_mean"].copy()  # type: ignore[union-attr]
        env.obs_rms.var = arrays["obs_var"].copy()  # type: ignore[union-attr]
        env.obs_rms.count = float(arrays["obs_count"][0])  # type: ignore[union-attr]
    env.ret_rms.mean = arrays["ret_mean"][0]
    env.ret_rms.var = arrays["ret_var"][0]
    env.ret_rms.count = float(arrays["ret_count"][0])
    env.returns = arrays["returns"].copy()


def _copy(tensor: torch.Tensor) -> np.ndarray:
    """What training does not change any more."""
    return tensor.detach().cpu().numpy().copy()


def _optimizer_arrays(model: "FastPPO") -> Arrays:
    return {  # safetensors has no arrays without a dimension
        f"{index}.{name}": np.atleast_1d(_copy(value))
        for index, entry in model.policy.optimizer.state_dict()["state"].items()
        for name, value in entry.items()
    }


def _load_optimizer(model: "FastPPO", arrays: Mapping[str, np.ndarray]) -> None:
    optimizer = model.policy.optimizer
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in arrays.items():
        index, name = key.split(".", 1)
        tensor = torch.from_numpy(value)
        state.setdefault(int(index), {})[name] = tensor[0] if name == "step" else tensor
    for index, parameter in enumerate(model.policy.parameters()):
        if state and state[index]["exp_avg"].shape != parameter.shape:
            raise ValueError(f"parameter {index} of the optimiser is of another shape")
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _check_shapes(here: Mapping[str, np.ndarray], saved: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError where an array would be spread over another one's shape."""
    for name, value in here.items():
        if name in saved and saved[name].shape != value.shape:
            raise ValueError(f"{name} is {saved[name].shape}, not {value.shape}")


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
    config = own_model(load_run(run, say), run, say)
    checkpoints = run / "checkpoints"
    alone = name == "best" and not checkpoint.pointed(checkpoints, "best")
    folder = checkpoint.resolve(checkpoints, "latest" if alone else name)
    saved = checkpoint.read(folder)
    _check_fit(config, saved, folder)
    saved = replace(saved, config=own_model(saved.config, run))
    return TrainedPolicy(run, folder, config, saved)


def policy_of(saved: Checkpoint, *, deterministic: bool = True) -> Policy:
    """The policy of a checkpoint that has been read, with its normalisation."""
    arrays, config = saved.normalizer, saved.config
    with _fitting(saved):
        actions = len(saved.policy["action_net.bias"])
        network = bare_network(config, len(arrays["obs_mean"]), actions)
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
    for key in ("observation", "action", "robot.joints"):
        part = attrgetter(key)
        if part(config) != part(saved.config):
            raise ConfigError(
                f"checkpoint={folder}: its {key} is not that of the run's config.yaml; "
                f"give run= the folder of the run that it comes from"
            )
