"""metrics.jsonl: one JSON object per record, the truth that other writers mirror."""

import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from reach_rl.monitoring.writers.base import Values, Writer
from reach_rl.rundir.disk import Appender, Told, ignore

STEP = "global_step"

_encode = json.JSONEncoder(check_circular=False, allow_nan=False).encode


class JsonLinesWriter(Writer):
    """Appends a line per record; what the disk refuses is written later."""

    name = "metrics.jsonl"

    def __init__(
        self,
        path: Path,
        resume_step: int | None = None,
        resume_count: int | None = None,
        told: Told = ignore,
    ) -> None:
        """Open the file.

        Args:
            path: of the file.
            resume_step: None for a new run; else the step from which the run goes on: a line torn
                by a crash and records of later steps are cut.
            resume_count: of a run that goes on, how many records it had made then; None: unknown.
            told: of a disk that refuses, and of the end of that.

        Raises:
            FileExistsError: if a new run finds the records of another.
            OSError: it cannot be opened.
        """
        self.records_before = self.count = 0
        if resume_step is not None and path.exists():
            self.records_before, self.count = cut(path, resume_step, resume_count)
        elif path.exists() and path.stat().st_size:
            raise FileExistsError(
                f"{path} holds the records of another run; "
                "give another run_dir=, or go on with that run by resume="
            )
        self._file = Appender(path, told)

    def write(self, step: int, values: Values) -> None:
        """Append a record."""
        line = _encode({STEP: step, **values}) + "\n"
        self.count += 1
        self._file.append([line.encode()])

    def state(self) -> dict[str, Any]:
        """How many records there are."""
        return {"records": self.count}

    def sync(self) -> None:
        """Make every record so far durable. Raises OSError."""
        self._file.sync()

    def close(self, exit_code: int) -> None:
        """Close the file."""
        self._file.close()


def cut(path: Path, last_step: int, count: int | None = None) -> tuple[int, int]:
    """Drop torn lines, records after `last_step` and, if given, those after the first `count`.

    Returns:
        How many lines there were, and how many there are.
    """
    lines = path.read_bytes().splitlines()
    fit = (line for line in lines if (record := _parse(line)) and record[STEP] <= last_step)
    kept = list(islice(fit, count))
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.writelines(line + b"\n" for line in kept)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return len(lines), len(kept)


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
