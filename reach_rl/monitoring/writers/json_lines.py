"""metrics.jsonl: one JSON object per record, the truth that other writers mirror."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reach_rl.monitoring.writers.base import Values, Writer

STEP = "global_step"


class JsonLinesWriter(Writer):
    """Appends a line per record and flushes it."""

    name = "metrics.jsonl"

    def __init__(self, path: Path, resume_step: int | None = None) -> None:
        """Open the file.

        Args:
            path: of the file.
            resume_step: None for a new run; else the step from which the run goes on: a line torn
                by a crash and records of later steps are cut.

        Raises:
            FileExistsError: if a new run finds the records of another.
        """
        self.records_before = 0
        if resume_step is not None and path.exists():
            self.records_before = cut(path, resume_step)
        elif path.exists() and path.stat().st_size:
            raise FileExistsError(
                f"{path} holds the records of another run; "
                "give another run_dir=, or go on with that run by resume="
            )
        self._file = path.open("a", encoding="utf-8")

    def write(self, step: int, values: Values) -> None:
        """Append a record."""
        self._file.write(json.dumps({STEP: step, **values}, allow_nan=False) + "\n")
        self._file.flush()

    def close(self, exit_code: int) -> None:
        """Close the file."""
        self._file.close()


def cut(path: Path, last_step: int) -> int:
    """Drop torn lines and records after `last_step`; returns how many lines there were."""
    lines = path.read_bytes().splitlines()
    kept = [
        line for line in lines if (record := _parse(line)) is not None and record[STEP] <= last_step
    ]
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.writelines(line + b"\n" for line in kept)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return len(lines)


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a metrics.jsonl in order; torn lines are passed over."""
    for line in path.read_bytes().splitlines():
        record = _parse(line)
        if record is not None:
            yield record


def _parse(line: bytes) -> dict[str, Any] | None:
    """The record on a line; None if the line is torn or no record."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get(STEP), int) else None
