"""Checkpoints: one folder each, no pickle, published whole by a rename.

checkpoints/step_000001234567/
policy.safetensors  optimizer.safetensors  normalizer.safetensors  environment.safetensors
learner.safetensors  learner.json  config.yaml  MANIFEST.json (size and sha256 of each)
checkpoints/latest, checkpoints/best: the name of a folder
"""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from safetensors import SafetensorError
from safetensors.numpy import load, save
from stable_baselines3.common.vec_env import VecNormalize

from reach_rl.config import tame
from reach_rl.config.load import ConfigError, to_config_of_any_age, to_tree
from reach_rl.config.problems import listing
from reach_rl.config.redact import redact
from reach_rl.config.schema import Config
from reach_rl.learning.policy import Policy, bare_network
from reach_rl.rundir import contents, manifest
from reach_rl.rundir import publish as files
from reach_rl.rundir.manifest import NewerFormat

PARTS = ("policy", "optimizer", "normalizer", "environment", "learner")
"""Files of arrays, by what they hold."""

FILES = frozenset({"config.yaml", "learner.json", *(f"{part}.safetensors" for part in PARTS)})

POINTERS = ("best", "latest")

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
        "config.yaml": yaml.safe_dump(redact(to_tree(checkpoint.config)), sort_keys=False).encode(),
        "learner.json": json.dumps(checkpoint.progress, allow_nan=False).encode(),
    }
    for name in PARTS:
        parts[f"{name}.safetensors"] = save(_contiguous(getattr(checkpoint, name)))
    manifest.write(target, step, parts, keep)
    return target


def point(checkpoints: Path, name: str, folder: Path) -> None:
    """Let `latest` or `best` name this checkpoint. Raises OSError."""
    files.replace_text(checkpoints / name, folder.name + "\n")


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
            config=to_config_of_any_age(tame.load(parts["config.yaml"].decode())),
            progress=json.loads(parts["learner.json"]),
            **{name: load(parts[f"{name}.safetensors"]) for name in PARTS},
        )
        wrong = next(contents.problems(saved, step), None)
    except ConfigError as error:
        raise ConfigError(f"{folder}: damaged, config.yaml: {error.problems[0]}") from error
    except (SafetensorError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{folder}: damaged, it cannot be read ({_line(error)})") from error
    except (KeyError, yaml.YAMLError) as error:
        raise ConfigError(f"{folder}: damaged, it cannot be read ({_line(error)})") from error
    if wrong is not None:
        raise ConfigError(f"{folder}: damaged, {wrong}")
    return saved


def verify(folder: Path) -> None:
    """Check a checkpoint's files against its manifest.

    Raises:
        ConfigError: it is damaged, incomplete or of a newer format.
    """
    manifest.verified(folder, FILES)


def load_policy(folder: Path, *, deterministic: bool = True) -> Policy:
    """The policy of a checkpoint with its normalisation.

    Raises:
        ConfigError: the checkpoint is damaged, incomplete or of a newer format.
    """
    return policy_of(read(folder), deterministic=deterministic)


def policy_of(checkpoint: Checkpoint, *, deterministic: bool = True) -> Policy:
    """The policy of a checkpoint that has been read."""
    weights = {name: torch.from_numpy(value) for name, value in checkpoint.policy.items()}
    normalizer = checkpoint.normalizer
    network = bare_network(
        checkpoint.config, len(normalizer["obs_mean"]), len(checkpoint.policy["action_net.bias"])
    )
    network.load_state_dict(weights)
    network.set_training_mode(False)
    normalize = checkpoint.config.observation.normalize
    return Policy(
        network,
        normalizer["obs_mean"] if normalize else None,
        normalizer["obs_var"] if normalize else None,
        checkpoint.config.observation.clip,
        deterministic=deterministic,
    )


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
