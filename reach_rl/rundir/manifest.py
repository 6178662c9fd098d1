"""A folder of files that is whole or not there, with a manifest that tells whether it still is."""

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Collection, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from reach_rl.config.problems import ConfigError
from reach_rl.rundir.atomic import json_text, sync_folder, write_bytes

FORMAT = 1
"""Version of what a checkpoint's files hold."""

NAME = "MANIFEST.json"

LIBRARIES = ("mujoco", "numpy", "stable-baselines3", "torch")

_MOST = 1_000_000
"""Bytes that a manifest may have."""


class NewerFormat(ConfigError):
    """A checkpoint that a later version of this package has written."""


def write(target: Path, step: int, contents: Mapping[str, bytes], keep: bool = False) -> None:
    """Publish a folder of files: it appears under its name, whole and durable, or not at all.

    Args:
        target: the folder. One that is there already is replaced.
        step: environment steps, for the manifest.
        contents: name -> content of the files.
        keep: note in the manifest that the folder is to stay for good.

    Raises:
        OSError: the disk refuses; nothing is left behind then.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    clear(target.parent)
    temporary.mkdir()
    try:
        for name, data in contents.items():
            write_bytes(temporary / name, data)
        text = json_text(_manifest(step, contents, keep))
        write_bytes(temporary / NAME, text.encode())
        sync_folder(temporary)
        if target.exists():  # a run goes on from before it
            target.rename(target.with_name(f".{target.name}.{os.getpid()}.old.tmp"))
        temporary.rename(target)
        sync_folder(target.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    clear(target.parent)


def remove(folder: Path) -> None:
    """Remove a folder; at no time is a part of it there under its name."""
    gone = folder.with_name(f".{folder.name}.{os.getpid()}.gone.tmp")
    with suppress(OSError):
        folder.rename(gone)
        sync_folder(folder.parent)
        shutil.rmtree(gone, ignore_errors=True)


def clear(parent: Path) -> None:
    """Remove what is left of folders and pointers that were being written or replaced."""
    for leftover in parent.glob(".*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            with suppress(OSError):
                leftover.unlink()


def kept(folder: Path) -> bool:
    """Whether the folder is to stay for good."""
    with suppress(OSError, ValueError, RecursionError):
        return json.loads(_bytes(folder / NAME, _MOST)).get("keep") is True
    return False


def verified(folder: Path, expected: Collection[str]) -> tuple[int, dict[str, bytes]]:
    """The step and the files of a folder, each exactly as it was written.

    Args:
        folder: to read.
        expected: names that its files must have.

    Raises:
        ConfigError: it is damaged, incomplete or of a newer format.
    """
    if folder.is_symlink():
        raise ConfigError(f"{folder}: damaged, it is a link")
    manifest = _read(folder)
    if set(manifest["files"]) != set(expected):
        raise ConfigError(f"{folder}: damaged, {NAME} is not what was saved")
    contents = {name: _content(folder, name, e) for name, e in manifest["files"].items()}
    for path in sorted(folder.iterdir()):
        if path.name not in contents and path.name != NAME and not path.name.startswith("."):
            raise ConfigError(f"{folder}: damaged, it holds {path.name}, which was not saved")
    return int(manifest["step"]), contents


def _manifest(step: int, contents: Mapping[str, bytes], keep: bool) -> dict[str, object]:
    manifest: dict[str, object] = {
        "format": FORMAT,
        "step": step,
        "keep": keep,
        "files": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in contents.items()
        },
        "libraries": {name: version(name) for name in LIBRARIES},
    }
    return {**manifest, "sha256": self_hash(manifest)}


def _read(folder: Path) -> dict[str, Any]:
    """The manifest, if it is what was written."""
    try:
        manifest = json.loads(_bytes(folder / NAME, _MOST))
        number = manifest["format"]
        if type(number) is not int or number < 1:
            raise ValueError(number)
        if number > FORMAT:
            raise NewerFormat(
                f"{folder}: written by a newer reach_rl (format {number}, this one "
                f"reads up to {FORMAT}); update reach_rl"
            )
        if manifest.pop("sha256") != self_hash(manifest) or type(manifest["step"]) is not int:
            raise ConfigError(f"{folder}: damaged, {NAME} is not what was saved")
        if not all(isinstance(e, dict) for e in manifest["files"].values()):
            raise TypeError("files")
    except OSError as error:
        raise ConfigError(f"{folder}: damaged, {NAME}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{folder}: damaged, {NAME} cannot be read") from error
    return manifest


def _content(folder: Path, name: str, entry: Mapping[str, object]) -> bytes:
    size = entry.get("bytes")
    try:
        data = _bytes(folder / name, size if type(size) is int else -1)
    except OSError as error:
        raise ConfigError(f"{folder}: damaged, {name}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{folder}: damaged, {name} is not what was saved") from error
    if len(data) != size or hashlib.sha256(data).hexdigest() != entry.get("sha256"):
        raise ConfigError(f"{folder}: damaged, {name} is not what was saved")
    return data


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
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
