"""Files that are either whole or not there."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from reach_rl.config.files import write_atomic


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a new file and make its content durable."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_text(path: Path, text: str) -> None:
    """Replace a file in one step: readers see the old content or the new."""
    write_atomic(path, text)
    sync_folder(path.parent)


def as_json(tree: Mapping[str, object]) -> str:
    """Readable JSON that is never NaN."""
    return json.dumps(tree, indent=2, allow_nan=False) + "\n"


def sha256(path: Path) -> str:
    """Hash of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
