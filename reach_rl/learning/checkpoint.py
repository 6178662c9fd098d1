"""Checkpoints: one folder each, no pickle, published whole by a rename.

checkpoints/step_000001234567/
policy.safetensors  optimizer.safetensors  normalizer.safetensors  environment.safetensors
learner.safetensors  learner.json  config.yaml  MANIFEST.json (size and sha256 of each)
checkpoints/latest, checkpoints/best: the name of a folder
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import yaml
from safetensors.numpy import load_file, save
from stable_baselines3.common.vec_env import VecNormalize

from reach_rl.config.load import ConfigError, to_config, to_tree
from reach_rl.config.problems import listing
from reach_rl.config.redact import redact
from reach_rl.config.schema import Config
from reach_rl.learning import files
from reach_rl.learning.policy import Policy, bare_network

FORMAT = 1
"""Version of the layout above."""

PARTS = ("policy", "optimizer", "normalizer", "environment", "learner")
"""Files of arrays, by what they hold."""

FILES = frozenset({"config.yaml", "learner.json", *(f"{part}.safetensors" for part in PARTS)})

LIBRARIES = ("mujoco", "numpy", "stable-baselines3", "torch")

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


class NewerFormat(ConfigError):
    """A checkpoint that a later version of this package has written."""


def folder_name(step: int) -> str:
    """Name of the checkpoint of an environment step."""
    return f"step_{step:012d}"


def write(checkpoints: Path, step: int, checkpoint: Checkpoint) -> Path:
    """Save a checkpoint; its folder appears whole or not at all.

    Args:
        checkpoints: the run's checkpoints/ folder, made if missing.
        step: environment steps so far.
        checkpoint: what to save.

    Returns:
        The checkpoint's folder.
    """
    checkpoints.mkdir(parents=True, exist_ok=True)
    target = checkpoints / folder_name(step)
    temporary = checkpoints / f".{target.name}.{os.getpid()}.tmp"
    for leftover in checkpoints.glob(".step_*.tmp"):  # of a process that died while it saved
        shutil.rmtree(leftover, ignore_errors=True)
    temporary.mkdir()
    contents = {
        "config.yaml": yaml.safe_dump(redact(to_tree(checkpoint.config)), sort_keys=False).encode(),
        "learner.json": json.dumps(checkpoint.progress, allow_nan=False).encode(),
    }
    for name in PARTS:
        contents[f"{name}.safetensors"] = save(_contiguous(getattr(checkpoint, name)))
    for name, data in contents.items():
        files.write_bytes(temporary / name, data)
    manifest = {
        "format": FORMAT,
        "step": step,
        "files": {
            name: {"bytes": len(data), "sha256": files.sha256(temporary / name)}
            for name, data in contents.items()
        },
        "libraries": {name: version(name) for name in LIBRARIES},
    }
    manifest["sha256"] = _self_hash(manifest)
    files.write_bytes(temporary / "MANIFEST.json", files.as_json(manifest).encode())
    files.sync_folder(temporary)
    if target.exists():  # nothing points to it: a run goes on from before it
        shutil.rmtree(target)
    temporary.rename(target)
    files.sync_folder(checkpoints)
    return target


def point(checkpoints: Path, name: str, folder: Path) -> None:
    """Let `latest` or `best` name this checkpoint."""
    files.replace_text(checkpoints / name, folder.name + "\n")


def prune(checkpoints: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints and those that a pointer names."""
    named = {
        resolve(checkpoints, name).name for name in ("latest", "best") if points(checkpoints, name)
    }
    for folder in _folders(checkpoints)[:-keep]:
        if folder.name not in named:
            shutil.rmtree(folder, ignore_errors=True)


def resolve(checkpoints: Path, name: str) -> Path:
    """The folder of a checkpoint: `best`, `latest`, a folder's name, or a path.

    Raises:
        ConfigError: there is none.
    """
    if points(checkpoints, name):
        return checkpoints / (checkpoints / name).read_text().strip()
    for folder in (checkpoints / name, Path(name)):
        if (folder / "MANIFEST.json").is_file():
            return folder
    there = [n for n in ("best", "latest") if points(checkpoints, n)]
    there += [folder.name for folder in _folders(checkpoints)]
    hint = f"there are {listing(there)}" if there else "none was saved yet"
    raise ConfigError(f"checkpoint={name}: not found in {checkpoints}; {hint}")


def newest(checkpoints: Path, say: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint, `latest` first; a damaged one is set aside.

    Args:
        checkpoints: the run's checkpoints/ folder.
        say: told of each damaged one.

    Raises:
        ConfigError: the newest was written by a newer reach_rl.
    """
    folders = _folders(checkpoints)[::-1]
    if points(checkpoints, "latest"):
        latest = resolve(checkpoints, "latest")
        folders = [latest, *(f for f in folders if f.name < latest.name)]
    for folder in folders:
        try:
            return read(folder)
        except NewerFormat:
            raise
        except ConfigError as error:
            aside = folder.with_name(f"damaged_{folder.name}")
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
            say(f"warning: {error}; set aside as {aside.name}")
    return None


def read(folder: Path) -> Checkpoint:
    """Load a checkpoint after checking it against its manifest.

    Raises:
        ConfigError: it is damaged, incomplete or of a newer format.
    """
    verify(folder)
    arrays = {name: load_file(folder / f"{name}.safetensors") for name in PARTS}
    return Checkpoint(
        config=to_config(yaml.safe_load((folder / "config.yaml").read_text())),
        progress=json.loads((folder / "learner.json").read_text()),
        **arrays,
    )


def verify(folder: Path) -> None:
    """Check a checkpoint's files against its manifest.

    Raises:
        ConfigError: it is damaged, incomplete or of a newer format.
    """
    try:
        manifest = json.loads((folder / "MANIFEST.json").read_text())
        if manifest["format"] > FORMAT:
            raise NewerFormat(
                f"{folder}: written by a newer reach_rl (format {manifest['format']}, this one "
                f"reads up to {FORMAT}); update reach_rl"
            )
        if manifest.pop("sha256") != _self_hash(manifest) or set(manifest["files"]) != FILES:
            raise ConfigError(f"{folder}: damaged, MANIFEST.json is not what was saved")
        for name, entry in manifest["files"].items():
            path = folder / name
            if path.stat().st_size != entry["bytes"] or files.sha256(path) != entry["sha256"]:
                raise ConfigError(f"{folder}: damaged, {name} is not what was saved")
    except OSError as error:
        name = Path(error.filename or "a file").name
        raise ConfigError(f"{folder}: damaged, {name}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{folder}: damaged, MANIFEST.json cannot be read") from error


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
        checkpoint.config, len(normalizer["obs_mean"]), len(checkpoint.policy["log_std"])
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
        "obs_mean": np.asarray(mean, np.float64),
        "obs_var": np.asarray(var, np.float64),
        "obs_count": np.asarray([count], np.float64),
        "ret_mean": np.asarray([env.ret_rms.mean], np.float64),
        "ret_var": np.asarray([env.ret_rms.var], np.float64),
        "ret_count": np.asarray([env.ret_rms.count], np.float64),
        "returns": np.asarray(env.returns, np.float64),
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
    pointer = checkpoints / name
    return (
        name in ("best", "latest")
        and pointer.is_file()
        and (checkpoints / pointer.read_text().strip() / "MANIFEST.json").is_file()
    )


def _folders(checkpoints: Path) -> list[Path]:
    """Checkpoints that are there, oldest first."""
    return sorted(p for p in checkpoints.glob("step_*") if p.is_dir())


def _self_hash(manifest: Mapping[str, object]) -> str:
    """SHA-256 of a manifest without its own."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _contiguous(arrays: Mapping[str, np.ndarray]) -> Arrays:
    return {
        name: np.ascontiguousarray(value.astype(np.uint8) if value.dtype == bool else value)
        for name, value in arrays.items()
    }
