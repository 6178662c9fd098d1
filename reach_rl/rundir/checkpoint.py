"""Checkpoints: one folder each, no pickle, published whole by a rename, with a manifest.

checkpoints/step_000001234567/
policy.safetensors  optimizer.safetensors  normalizer.safetensors  environment.safetensors
learner.safetensors  learner.json  config.yaml  MANIFEST.json (size and sha256 of each)
checkpoints/latest, checkpoints/best: the name of a folder
"""

import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from safetensors import SafetensorError
from safetensors.numpy import load, save

from reach_rl.config.load import (
    ConfigError,
    LostExtension,
    check_extensions,
    config_text,
    to_config_of_any_age,
)
from reach_rl.config.problems import listing
from reach_rl.config.schema import Config
from reach_rl.config.untrusted import load_yaml
from reach_rl.rundir.atomic import json_text, read_json, sync_folder, write_atomic, write_bytes
from reach_rl.rundir.provenance import as_given

FORMAT = 1
"""Version of what a checkpoint's files hold."""

MANIFEST = "MANIFEST.json"
LIBRARIES = ("mujoco", "numpy", "stable-baselines3", "torch")
_MOST = 1_000_000
"""Bytes that a manifest may have."""

PARTS = ("policy", "optimizer", "normalizer", "environment", "learner")
"""Files of arrays, by what they hold."""

FILES = frozenset({"config.yaml", "learner.json", *(f"{part}.safetensors" for part in PARTS)})

POINTERS = ("best", "latest")

_NUMBERS = {"policy": "float32", "optimizer": "float32", "normalizer": "float64"}
"""Parts that hold finite numbers, of this kind."""

_NORMALIZER = ("obs_mean", "obs_var", "obs_count", "ret_mean", "ret_var", "ret_count", "returns")

Arrays = dict[str, np.ndarray]


class NewerFormat(ConfigError):
    """A checkpoint that a later version of this package has written."""


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
    target = checkpoints / f"step_{step:012d}"
    parts = {
        "config.yaml": config_text(as_given(checkpoint.config, checkpoints.parent)).encode(),
        "learner.json": json.dumps(checkpoint.progress, allow_nan=False).encode(),
    }
    for name in PARTS:
        parts[f"{name}.safetensors"] = save(
            {
                key: np.ascontiguousarray(value.astype(np.uint8) if value.dtype == bool else value)
                for key, value in getattr(checkpoint, name).items()
            }
        )
    _publish(target, parts | {MANIFEST: json_text(_manifest(step, parts, keep)).encode()})
    return target


def point(checkpoints: Path, name: str, folder: Path) -> None:
    """Let `latest` or `best` name this checkpoint. Raises OSError."""
    write_atomic(checkpoints / name, folder.name + "\n")


def prune(checkpoints: Path, keep: int) -> None:
    """Remove all but the newest `keep`, those that a pointer names and those to keep for good."""
    named = [pointed(checkpoints, name) for name in POINTERS]
    for folder in _folders(checkpoints)[:-keep]:
        if folder not in named and read_json(folder / MANIFEST).get("keep") is not True:
            _remove(folder)


def resolve(checkpoints: Path, name: str) -> Path:
    """The folder of a checkpoint: `best`, `latest`, a folder's name, or a path.

    Raises:
        ConfigError: there is none.
    """
    named = pointed(checkpoints, name) if name in POINTERS else None
    if named is not None:
        return named
    for folder in (checkpoints / name, Path(name)):
        if (folder / MANIFEST).is_file():
            return folder
    there = [n for n in POINTERS if pointed(checkpoints, n)]
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
    latest = pointed(checkpoints, "latest")
    if latest is not None:
        folders = [latest, *(f for f in folders if f.name < latest.name)]
    bad: list[tuple[Path, ConfigError]] = []
    found = None
    for folder in folders:
        try:
            found = read(folder, say)
            break
        except LostExtension:
            raise  # it is whole
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
    folder = pointed(checkpoints, name)
    if folder is None:
        return None
    try:
        read(folder)
    except ConfigError as error:
        say(f"warning: {name} is not used: {error}")
        return None
    return folder


def read(folder: Path, say: Callable[[str], object] = lambda line: None) -> Checkpoint:
    """Load a checkpoint after checking it against its manifest and its configuration.

    Args:
        folder: of the checkpoint.
        say: told of extensions that have changed since.

    Raises:
        ConfigError: it is damaged, incomplete or of a newer format.
        LostExtension: it needs an extension that is not here.
    """
    step, parts = verified(folder)
    with _telling(folder, "its content"):
        text = parts["config.yaml"].decode()
        check_extensions(text, folder, say)
        try:
            config = to_config_of_any_age(load_yaml(text))
        except ConfigError as error:
            raise ConfigError(f"{folder}: damaged, config.yaml: {error.problems[0]}") from error
        progress = json.loads(parts["learner.json"])
        arrays = {name: load(parts[f"{name}.safetensors"]) for name in PARTS}
        saved = Checkpoint(config=config, progress=progress, **arrays)
        wrong = next(_problems(saved, step), None)
    if wrong is not None:
        raise ConfigError(f"{folder}: damaged, {wrong}")
    return saved


def pointed(checkpoints: Path, name: str) -> Path | None:
    """What a pointer, best or latest, names, if that is a checkpoint of this run."""
    with suppress(OSError, ValueError):
        text = (checkpoints / name).read_text(encoding="ascii").strip()
        folder = checkpoints / text
        if re.fullmatch(r"step_\d{12,}", text) and (folder / MANIFEST).is_file():
            return folder
    return None


def _folders(checkpoints: Path) -> list[Path]:
    """Checkpoints that are there, oldest first; whatever carries the name of one."""
    names = re.compile(r"step_\d{12,}")
    return sorted(p for p in checkpoints.glob("step_*") if names.fullmatch(p.name))


def _set_aside(folder: Path) -> str:
    """Rename what cannot be used; says what became of it."""
    aside = folder.with_name(f"damaged_{folder.name}")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        folder.rename(aside)
    except OSError as error:
        return f"it stays where it is ({error.strerror})"
    return f"set aside as {aside.name}"


def _problems(saved: Checkpoint, step: int) -> Iterator[str]:
    """How a checkpoint does not fit its own configuration, or the step that its manifest tells.

    Whether the parameters have the shapes of the networks is found where they are put into them.
    """
    count = saved.config.vec_env.n_envs
    if saved.progress.get("num_timesteps") != step:
        yield f"learner.json: of another step than {MANIFEST} says"
    if set(saved.normalizer) != set(_NORMALIZER):
        yield "normalizer.safetensors: holds other numbers than the running statistics"
    for part, kind in _NUMBERS.items():
        for name, value in getattr(saved, part).items():
            negative = name.endswith("_var") and (value < 0).any()
            if value.dtype != kind or negative or not np.isfinite(value).all():
                yield f"{part}.safetensors: {name} is not finite, or no {kind}"
    held = {k: v for k, v in saved.learner.items() if not k.startswith("random.")}
    for part, arrays in (("environment", saved.environment), ("learner", held)):
        if not arrays:
            yield f"{part}.safetensors: is empty"
        for name, value in arrays.items():
            if value.ndim == 0 or len(value) != count:
                yield f"{part}.safetensors: {name} is not of {count} environments"


def _publish(target: Path, contents: Mapping[str, bytes]) -> None:
    """Let a folder of files appear under its name, whole and durable, or not at all.

    One that is there already is replaced.

    Raises:
        OSError: the disk refuses; nothing is left behind then.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    _clear(target.parent)
    temporary.mkdir()
    try:
        for name, data in contents.items():
            write_bytes(temporary / name, data)
        sync_folder(temporary)
        if target.exists():  # a run goes on from before it
            target.rename(target.with_name(f".{target.name}.{os.getpid()}.old.tmp"))
        temporary.rename(target)
        sync_folder(target.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _clear(target.parent)


def _remove(folder: Path) -> None:
    """Remove a folder; at no time is a part of it there under its name."""
    gone = folder.with_name(f".{folder.name}.{os.getpid()}.gone.tmp")
    with suppress(OSError):
        folder.rename(gone)
        sync_folder(folder.parent)
        shutil.rmtree(gone, ignore_errors=True)


def _clear(parent: Path) -> None:
    """Remove what is left of folders and pointers that were being written or replaced."""
    for leftover in parent.glob(".*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            with suppress(OSError):
                leftover.unlink()


def verified(folder: Path) -> tuple[int, dict[str, bytes]]:
    """The step and the files of a checkpoint, each exactly as it was written.

    Raises:
        ConfigError: it is damaged, incomplete or of a newer format.
    """
    if folder.is_symlink():
        raise ConfigError(f"{folder}: damaged, it is a link")
    manifest = _read(folder)
    if set(manifest["files"]) != FILES:
        raise ConfigError(f"{folder}: damaged, {MANIFEST} is not what was saved")
    contents = {}
    for name, entry in manifest["files"].items():
        with _telling(folder, name):
            data = contents[name] = _bytes(folder / name, entry["bytes"])
            if (len(data), sha256(data).hexdigest()) != (entry["bytes"], entry["sha256"]):
                raise ValueError(name)
    for path in sorted(folder.iterdir()):
        if path.name not in contents and path.name != MANIFEST and not path.name.startswith("."):
            raise ConfigError(f"{folder}: damaged, it holds {path.name}, which was not saved")
    return int(manifest["step"]), contents


def _manifest(step: int, contents: Mapping[str, bytes], keep: bool) -> dict[str, object]:
    manifest: dict[str, object] = {
        "format": FORMAT,
        "step": step,
        "keep": keep,
        "files": {
            name: {"bytes": len(data), "sha256": sha256(data).hexdigest()}
            for name, data in contents.items()
        },
        "libraries": {name: version(name) for name in LIBRARIES},
    }
    return {**manifest, "sha256": self_hash(manifest)}


def _read(folder: Path) -> dict[str, Any]:
    """The manifest, if it is what was written."""
    with _telling(folder, MANIFEST):
        manifest = json.loads(_bytes(folder / MANIFEST, _MOST))
        number = manifest["format"]
        if type(number) is int and number > FORMAT:
            raise NewerFormat(
                f"{folder}: written by a newer reach_rl (format {number}, this one "
                f"reads up to {FORMAT}); update reach_rl"
            )
        whole = manifest.pop("sha256") == self_hash(manifest)
        entries = all(isinstance(entry, dict) for entry in manifest["files"].values())
        counted = {type(number), type(manifest["step"])} == {int} and number > 0
        if not (whole and entries and counted):
            raise ValueError(MANIFEST)
    return manifest


@contextmanager
def _telling(folder: Path, what: str) -> Iterator[None]:
    """What damage makes of a block is one line."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{folder}: damaged, {what}: {error.strerror}") from error
    except (SafetensorError, yaml.YAMLError, LookupError, ValueError, TypeError, AttributeError,
            RecursionError) as error:  # fmt: skip
        raise ConfigError(f"{folder}: damaged, {what} is not what was saved") from error


def _bytes(path: Path, most: int) -> bytes:
    """A plain file's content. Raises OSError, or ValueError if it is no plain file or too large."""
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(file, "rb") as opened:
        there = os.fstat(opened.fileno())
        if not stat.S_ISREG(there.st_mode) or there.st_size > most:
            raise ValueError(path)
        return opened.read(most + 1)


def self_hash(manifest: Mapping[str, object]) -> str:
    """SHA-256 of a manifest without its own."""
    return sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
