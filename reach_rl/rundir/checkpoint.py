"""Checkpoints: one folder each, no pickle, published whole by a rename.

checkpoints/step_000001234567/
policy.safetensors  optimizer.safetensors  normalizer.safetensors  environment.safetensors
learner.safetensors  learner.json  config.yaml  MANIFEST.json (size and sha256 of each)
checkpoints/latest, checkpoints/best: the name of a folder
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from safetensors import SafetensorError
from safetensors.numpy import load, save

from reach_rl.config.load import ConfigError, to_config_of_any_age, to_tree
from reach_rl.config.problems import listing
from reach_rl.config.redact import redact
from reach_rl.config.schema import Config
from reach_rl.config.untrusted import load_yaml
from reach_rl.rundir import manifest
from reach_rl.rundir.atomic import write_atomic
from reach_rl.rundir.manifest import NewerFormat
from reach_rl.rundir.provenance import as_given

PARTS = ("policy", "optimizer", "normalizer", "environment", "learner")
"""Files of arrays, by what they hold."""

FILES = frozenset({"config.yaml", "learner.json", *(f"{part}.safetensors" for part in PARTS)})

POINTERS = ("best", "latest")

_NORMALIZER = ("obs_mean", "obs_var", "obs_count", "ret_mean", "ret_var", "ret_count", "returns")

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint holds."""

    config: Config
    policy: Arrays
    optimizer: Arrays
    normalizer: Arrays
    environment: Arrays
    learner: Arrays
    progress: Mapping[str, object]
    """Counters and small state, plain JSON."""


def folder_name(step: int) -> str:
    """Name of the checkpoint of an environment step."""
    return f"step_{step:012d}"


def write(checkpoints: Path, step: int, checkpoint: Checkpoint, keep: bool = False) -> Path:
    """Save a checkpoint; its folder appears whole or not at all.

    Args:
        checkpoints: the run's checkpoints/ folder, made if missing.
        step: environment steps so far.
        checkpoint: what to save.
        keep: never prune it.

    Returns:
        The checkpoint's folder.

    Raises:
        OSError: the disk refuses.
    """
    checkpoints.mkdir(parents=True, exist_ok=True)
    target = checkpoints / folder_name(step)
    parts = {
        "config.yaml": yaml.safe_dump(
            redact(to_tree(as_given(checkpoint.config, checkpoints.parent))), sort_keys=False
        ).encode(),
        "learner.json": json.dumps(checkpoint.progress, allow_nan=False).encode(),
    }
    for name in PARTS:
        parts[f"{name}.safetensors"] = save(_contiguous(getattr(checkpoint, name)))
    manifest.write(target, step, parts, keep)
    return target


def point(checkpoints: Path, name: str, folder: Path) -> None:
    """Let `latest` or `best` name this checkpoint. Raises OSError."""
    write_atomic(checkpoints / name, folder.name + "\n")


def prune(checkpoints: Path, keep: int) -> None:
    """Remove all but the newest `keep`, those that a pointer names and those to keep for good."""
    named = [_pointed(checkpoints, name) for name in POINTERS]
    for folder in _folders(checkpoints)[:-keep]:
        if folder not in named and not manifest.kept(folder):
            manifest.remove(folder)


def resolve(checkpoints: Path, name: str) -> Path:
    """The folder of a checkpoint: `best`, `latest`, a folder's name, or a path.

    Raises:
        ConfigError: there is none.
    """
    pointed = _pointed(checkpoints, name) if name in POINTERS else None
    if pointed is not None:
        return pointed
    for folder in (checkpoints / name, Path(name)):
        if (folder / manifest.NAME).is_file():
            return folder
    there = [n for n in POINTERS if points(checkpoints, n)]
    there += [folder.name for folder in _folders(checkpoints)]
    hint = f"there are {listing(there)}" if there else "none was saved yet"
    raise ConfigError(f"checkpoint={name}: not found in {checkpoints}; {hint}")


def newest(checkpoints: Path, say: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint, `latest` first; others that are newer are set aside.

    Args:
        checkpoints: the run's checkpoints/ folder.
        say: told of each that is damaged or of a newer format.

    Raises:
        ConfigError: a newer reach_rl has written the newest, and there is no other.
    """
    folders = _folders(checkpoints)[::-1]
    latest = _pointed(checkpoints, "latest")
    if latest is not None:
        folders = [latest, *(f for f in folders if f.name < latest.name)]
    bad: list[tuple[Path, ConfigError]] = []
    found = None
    for folder in folders:
        try:
            found = read(folder)
            break
        except ConfigError as error:
            bad.append((folder, error))
    newer = [error for _, error in bad if isinstance(error, NewerFormat)]
    if found is None and newer:
        raise newer[0]
    for folder, error in bad:
        say(f"warning: {error}; {_set_aside(folder)}")
    return found


def whole(checkpoints: Path, name: str, say: Callable[[str], None]) -> Path | None:
    """The checkpoint that `best` or `latest` names, if it can be read; told if it cannot."""
    folder = _pointed(checkpoints, name)
    if folder is None:
        return None
    try:
        read(folder)
    except ConfigError as error:
        say(f"warning: {name} is not used: {error}")
        return None
    return folder


def read(folder: Path) -> Checkpoint:
    """Load a checkpoint after checking it against its manifest and its configuration.

    Raises:
        ConfigError: it is damaged, incomplete or of a newer format.
    """
    step, parts = manifest.verified(folder, FILES)
    try:
        saved = Checkpoint(
            config=to_config_of_any_age(load_yaml(parts["config.yaml"].decode())),
            progress=json.loads(parts["learner.json"]),
            **{name: load(parts[f"{name}.safetensors"]) for name in PARTS},
        )
        wrong = next(_problems(saved, step), None)
    except ConfigError as error:
        raise ConfigError(f"{folder}: damaged, config.yaml: {error.problems[0]}") from error
    except (SafetensorError, yaml.YAMLError, LookupError, ValueError, TypeError, AttributeError,
            RecursionError) as error:  # fmt: skip
        raise ConfigError(f"{folder}: damaged, it cannot be read ({_line(error)})") from error
    if wrong is not None:
        raise ConfigError(f"{folder}: damaged, {wrong}")
    return saved


def points(checkpoints: Path, name: str) -> bool:
    """Whether `name` (best or latest) points to a checkpoint that is there."""
    return name in POINTERS and _pointed(checkpoints, name) is not None


def _pointed(checkpoints: Path, name: str) -> Path | None:
    """What a pointer names, if that is a checkpoint of this run."""
    with suppress(OSError, ValueError):
        text = (checkpoints / name).read_text(encoding="ascii").strip()
        folder = checkpoints / text
        if re.fullmatch(r"step_\d{12,}", text) and (folder / manifest.NAME).is_file():
            return folder
    return None


def _folders(checkpoints: Path) -> list[Path]:
    """Checkpoints that are there, oldest first; whatever carries the name of one."""
    names = re.compile(r"step_\d{12,}")
    return sorted(p for p in checkpoints.glob("step_*") if names.fullmatch(p.name))


def _set_aside(folder: Path) -> str:
    """Rename what cannot be used; says what became of it."""
    aside = folder.with_name(f"damaged_{folder.name}")
    try:
        if aside.is_symlink() or aside.is_file():
            aside.unlink()
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
    except OSError as error:
        return f"it stays where it is ({error.strerror})"
    return f"set aside as {aside.name}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _contiguous(arrays: Mapping[str, np.ndarray]) -> Arrays:
    return {
        name: np.ascontiguousarray(value.astype(np.uint8) if value.dtype == bool else value)
        for name, value in arrays.items()
    }


def _problems(saved: Checkpoint, step: int) -> Iterator[str]:
    """How a checkpoint does not fit its own configuration, or the step that its manifest tells."""
    if saved.progress.get("num_timesteps") != step:
        yield "learner.json: of another step than MANIFEST.json says"
    count = saved.config.vec_env.n_envs
    yield from _normalizer_problems(saved.normalizer, count)
    yield from _network_problems(saved)
    yield from _row_problems("environment", saved.environment, count)
    held = {k: v for k, v in saved.learner.items() if not k.startswith("random.")}
    yield from _row_problems("learner", held, count)


def _normalizer_problems(arrays: Arrays, count: int) -> Iterator[str]:
    part = "normalizer.safetensors"
    if set(arrays) != set(_NORMALIZER):
        yield f"{part}: holds other numbers than the running statistics"
        return
    size = arrays["obs_mean"].shape
    shapes = dict.fromkeys(_NORMALIZER, (1,)) | {"obs_mean": size, "obs_var": size}
    shapes["returns"] = (count,)
    for name, value in arrays.items():
        if value.dtype != np.float64 or value.shape != shapes[name] or len(size) != 1:
            yield f"{part}: {name} is {value.dtype} {value.shape}"
        elif not np.isfinite(value).all() or (name.endswith("_var") and (value < 0).any()):
            yield f"{part}: {name} is not finite"


def _network_problems(saved: Checkpoint) -> Iterator[str]:
    seen, bias = saved.normalizer.get("obs_mean"), saved.policy.get("action_net.bias")
    if seen is None or bias is None or bias.ndim != 1 or seen.ndim != 1:
        yield "policy.safetensors: has no action_net.bias that fits"
        return
    shapes = network_shapes(saved.config, len(seen), len(bias))
    yield from _float_problems("policy", saved.policy, shapes)
    if not saved.optimizer:  # empty before the first update
        return
    moments: dict[str, tuple[int, ...]] = {}
    for index, shape in enumerate(shapes.values()):
        moments |= {f"{index}.exp_avg": shape, f"{index}.exp_avg_sq": shape, f"{index}.step": (1,)}
    yield from _float_problems("optimizer", saved.optimizer, moments)


def network_shapes(config: Config, seen: int, actions: int) -> dict[str, tuple[int, ...]]:
    """Parameters of SB3's ActorCriticPolicy in their order -> shape, by arithmetic.

    Args:
        config: of the run.
        seen: observed numbers.
        actions: numbers of an action.
    """
    arch = config.ppo.policy_kwargs.net_arch
    last = [seen, *arch.pi][-1]
    shapes: dict[str, tuple[int, ...]] = {
        "log_std": (last, actions) if config.ppo.use_sde else (actions,)
    }
    for name, widths in (("policy_net", arch.pi), ("value_net", arch.vf)):
        sizes = [seen, *widths]
        for layer, width in enumerate(widths):
            shapes |= _layer(f"mlp_extractor.{name}.{2 * layer}", sizes[layer], width)
    return (
        shapes | _layer("action_net", last, actions) | _layer("value_net", [seen, *arch.vf][-1], 1)
    )


def _layer(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _float_problems(
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


def _row_problems(part: str, arrays: Mapping[str, np.ndarray], count: int) -> Iterator[str]:
    if not arrays:
        yield f"{part}.safetensors: is empty"
    for name, value in arrays.items():
        if value.ndim == 0 or len(value) != count:
            yield f"{part}.safetensors: {name} is not of {count} environments"
