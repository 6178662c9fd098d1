"""Files that are either whole or not there, whatever happens while they are written."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def write_atomic(path: Path, text: str) -> None:
    """Replace a text file in one durable step: readers see the old content or the new.

    Raises:
        OSError: the disk refuses; the old content stays.
    """
    file, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        _fill(file, text.encode())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_json(path: Path, content: Any) -> None:  # noqa: ANN401  what JSON can hold
    """The same with readable JSON."""
    write_atomic(path, json_text(content))


def json_text(content: Any) -> str:  # noqa: ANN401  what JSON can hold
    """Readable JSON. Raises ValueError for NaN and infinity, which are no JSON."""
    return json.dumps(content, indent=2, allow_nan=False, default=str) + "\n"


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if there is none or it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_bytes(path: Path, data: bytes) -> None:
    """Write a new file and make its content durable; its name is by sync_folder()."""
    _fill(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644), data)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    _close_synced(os.open(folder, os.O_RDONLY))


def write_all(file: int, data: bytes) -> None:
    """Write all of it to an open file. Raises OSError, perhaps after a part of it."""
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


def _fill(file: int, data: bytes) -> None:
    try:
        write_all(file, data)
    except BaseException:
        os.close(file)
        raise
    _close_synced(file)


def _close_synced(file: int) -> None:
    try:
        os.fsync(file)
    finally:
        os.close(file)
