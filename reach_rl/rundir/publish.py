"""Files that are either whole or not there."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from reach_rl.rundir.disk import write_all
from reach_rl.rundir.files import write_atomic


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a new file and make its content durable."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        write_all(file, data)
        os.fsync(file)
    finally:
        os.close(file)


def replace_text(path: Path, text: str) -> None:
    """Replace a file in one step: readers see the old content or the new."""
    write_atomic(path, text)
    sync_folder(path.parent)


def as_json(tree: Mapping[str, object]) -> str:
    """Readable JSON that is never NaN."""
    return json.dumps(tree, indent=2, allow_nan=False) + "\n"
