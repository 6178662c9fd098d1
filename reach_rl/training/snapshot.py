"""Everything that a run needs to go on exactly where it was, taken out and put back."""

import random
from collections.abc import Mapping

import numpy as np
import torch
from stable_baselines3.common.vec_env import VecNormalize

from reach_rl.config.problems import ConfigError
from reach_rl.config.schema import Config
from reach_rl.learning.ppo import FastPPO
from reach_rl.rundir.checkpoint import Arrays, Checkpoint


def take(
    config: Config, model: FastPPO, env: VecNormalize, progress: Mapping[str, object]
) -> Checkpoint:
    """The state of a run at a rollout boundary."""
    name, keys, position, has_gauss, cached = np.random.get_state()
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
            **_device_random(model),
        },
        progress={
            **progress,
            "num_timesteps": model.num_timesteps,
            "n_updates": model._n_updates,
            "learning_rate_factor": getattr(model.learning_rate, "factor", 1.0),
            "episodes": [dict(e) for e in model.ep_info_buffer or ()],
            "random.numpy": [str(name), int(position), int(has_gauss), float(cached)],
            "random.python": _python_state(),
        },
    )


def put(model: FastPPO, env: VecNormalize, saved: Checkpoint) -> None:
    """Make a freshly built run go on from a checkpoint.

    Raises:
        ConfigError: it does not fit what was built.
    """
    try:
        _put(model, env, saved)
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        text = " ".join(str(error).split())
        raise ConfigError(
            f"resume: the checkpoint of step {saved.progress.get('num_timesteps')} does not fit "
            f"this version ({text[:200]}); start anew with run_dir="
        ) from error


def _put(model: FastPPO, env: VecNormalize, saved: Checkpoint) -> None:
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


def normalizer_arrays(env: VecNormalize) -> Arrays:
    """The running statistics of a VecNormalize, the returns under way included."""
    size = env.observation_space.shape or (0,)
    mean, var, count = np.zeros(size), np.ones(size), 0.0
    if env.norm_obs:
        mean, var, count = env.obs_rms.mean, env.obs_rms.var, env.obs_rms.count  # type: ignore[union-attr]
    return {
        "obs_mean": np.array(mean, np.float64),
        "obs_var": np.array(var, np.float64),
        "obs_count": np.asarray([count], np.float64),
        "ret_mean": np.asarray([env.ret_rms.mean], np.float64),
        "ret_var": np.asarray([env.ret_rms.var], np.float64),
        "ret_count": np.asarray([env.ret_rms.count], np.float64),
        "returns": np.array(env.returns, np.float64),
    }


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


def _device_random(model: FastPPO) -> Arrays:
    """The generator of a CUDA device that the networks are on."""
    if model.device.type != "cuda":
        return {}
    return {"random.cuda": torch.cuda.get_rng_state(model.device).numpy()}


def _python_state() -> list[object]:
    version, values, gauss = random.getstate()
    return [version, list(values), gauss]


def _optimizer_arrays(model: FastPPO) -> Arrays:
    return {  # safetensors has no arrays without a dimension
        f"{index}.{name}": np.atleast_1d(_copy(value))
        for index, entry in model.policy.optimizer.state_dict()["state"].items()
        for name, value in entry.items()
    }


def _load_optimizer(model: FastPPO, arrays: Mapping[str, np.ndarray]) -> None:
    optimizer = model.policy.optimizer
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in arrays.items():
        index, name = key.split(".", 1)
        tensor = torch.from_numpy(value)
        state.setdefault(int(index), {})[name] = tensor[0] if name == "step" else tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _check_shapes(here: Mapping[str, np.ndarray], saved: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError where an array would be spread over another one's shape."""
    for name, value in here.items():
        if name in saved and saved[name].shape != value.shape:
            raise ValueError(f"{name} is {saved[name].shape}, not {value.shape}")
