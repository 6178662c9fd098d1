"""Whether a checkpoint's arrays fit its own configuration: names, types, shapes, finite numbers."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch

from reach_rl.learning.policy import bare_network

if TYPE_CHECKING:
    from reach_rl.rundir.checkpoint import Checkpoint

_NORMALIZER = ("obs_mean", "obs_var", "obs_count", "ret_mean", "ret_var", "ret_count", "returns")


def problems(saved: "Checkpoint", step: int) -> Iterator[str]:
    """What is wrong, as `part: what`; nothing if the checkpoint is sound.

    Args:
        saved: the checkpoint.
        step: that its manifest tells.
    """
    if saved.progress.get("num_timesteps") != step:
        yield "learner.json: of another step than MANIFEST.json says"
    wrong = list(_normalizer(saved))
    yield from wrong
    if not wrong:
        yield from _networks(saved)
    yield from _rows("environment", saved.environment, saved.config.vec_env.n_envs)
    held = {k: v for k, v in saved.learner.items() if not k.startswith("random.")}
    yield from _rows("learner", held, saved.config.vec_env.n_envs)


def _normalizer(saved: "Checkpoint") -> Iterator[str]:
    arrays, part = saved.normalizer, "normalizer.safetensors"
    if set(arrays) != set(_NORMALIZER):
        yield f"{part}: holds other numbers than the running statistics"
        return
    size = arrays["obs_mean"].shape
    shapes = dict.fromkeys(_NORMALIZER, (1,)) | {"obs_mean": size, "obs_var": size}
    shapes["returns"] = (saved.config.vec_env.n_envs,)
    for name, value in arrays.items():
        if value.dtype != np.float64 or value.shape != shapes[name] or len(size) != 1:
            yield f"{part}: {name} is {value.dtype} {value.shape}"
        elif not np.isfinite(value).all() or (name.endswith("_var") and (value < 0).any()):
            yield f"{part}: {name} is not finite"


def _networks(saved: "Checkpoint") -> Iterator[str]:
    log_std = saved.policy.get("log_std")
    bias = saved.policy.get("action_net.bias")
    if log_std is None or bias is None or bias.ndim != 1:
        yield "policy.safetensors: has no action_net.bias or log_std"
        return
    with torch.random.fork_rng(devices=[]):
        network = bare_network(saved.config, len(saved.normalizer["obs_mean"]), len(bias))
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    yield from _floats("policy", saved.policy, expected)
    shapes: dict[str, tuple[int, ...]] = {}
    for index, parameter in enumerate(network.parameters()):
        shapes |= {f"{index}.{n}": tuple(parameter.shape) for n in ("exp_avg", "exp_avg_sq")}
        shapes[f"{index}.step"] = (1,)
    if saved.optimizer:  # empty before the first update
        yield from _floats("optimizer", saved.optimizer, shapes)


def _floats(
    part: str, arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[str]:
    for name in sorted({*arrays, *shapes}):
        value, shape = arrays.get(name), shapes.get(name)
        if value is None or shape is None:
            yield f"{part}.safetensors: {name} is {'missing' if value is None else 'too much'}"
        elif value.dtype != np.float32 or value.shape != shape:
            found = f"{value.dtype} {value.shape}"
            yield f"{part}.safetensors: {name} is {found} where float32 {shape} belongs"
        elif not np.isfinite(value).all():
            yield f"{part}.safetensors: {name} is not finite"


def _rows(part: str, arrays: Mapping[str, np.ndarray], count: int) -> Iterator[str]:
    if not arrays:
        yield f"{part}.safetensors: is empty"
    for name, value in arrays.items():
        if value.ndim == 0 or len(value) != count:
            yield f"{part}.safetensors: {name} is not of {count} environments"
