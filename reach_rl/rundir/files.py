"""Files of a run's folder that are either old or new, never half written."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from reach_rl.rundir.disk import write_all


def write_atomic(path: Path, text: str) -> None:
    """Write a text file through a neighbour, fsync and rename."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        try:
            write_all(handle, text.encode())
            os.fsync(handle)
        finally:
            os.close(handle)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Any) -> None:  # noqa: ANN401  what JSON can hold
    """Write JSON atomically."""
    write_atomic(path, json_text(content))


def json_text(content: Any) -> str:  # noqa: ANN401  what JSON can hold
    """Readable JSON that is never NaN."""
    return json.dumps(content, indent=2, allow_nan=False, default=str) + "\n"


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if there is none or it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
