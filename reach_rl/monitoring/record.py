"""The one record of a run, metrics.jsonl, and the writers that mirror it.

A writer is a class with the methods of Writer, registered as `writer` (see reach_rl.extend). It is
opened with every run, told of every record, and dropped with one warning when it fails.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Self, TypeVar

from reach_rl.config.schema import Config
from reach_rl.extend import entries
from reach_rl.monitoring.metrics import describe, evaluation_metrics
from reach_rl.rundir.atomic import Appender, Told, ignore, write_atomic

Say = Callable[[str], None]

Values = Mapping[str, float | int | str | None]
"""Metric name -> value; None where there is no finite number."""

STEP = "global_step"

_encode = json.JSONEncoder(check_circular=False, allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class Opening:
    """What is known when the record of a run is opened; `latest` and `first_record` come then."""

    run_dir: Path
    config: Config
    step: int | None = None
    """Environment step from which a run goes on; None for a new one."""
    latest: Sequence[Values] = ()
    """Records of that step that hold; a mirror hides what it has of that step and later."""
    first_record: int | None = None
    """Of a run that goes on: how many records had been made, those included that were cut."""
    state: Mapping[str, Any] = field(default_factory=dict)
    """Of all writers when the checkpoint was written; see Writer.state()."""
    say: Say = print
    """Tells the user a line; may be called from another thread."""
    told: Told = ignore
    """Told of a disk that refuses, and of the end of that."""


class Writer:
    """A writer that records nothing. `step` is always the count of environment steps."""

    name = "nothing"

    @classmethod
    def open(cls, opening: Opening) -> "Writer":
        """The writer of a run; whatever it raises becomes one warning, and there is none."""
        return cls()

    def write(self, step: int, values: Values) -> None:
        """Record values."""

    def alert(self, step: int, title: str, text: str) -> None:
        """Draw attention to something, beside the record of it that `write` gets."""

    def checkpoint(self, step: int, path: Path, aliases: Sequence[str]) -> None:
        """Keep a checkpoint folder, under aliases such as best and latest."""

    def video(self, step: int, name: str, path: Path) -> None:
        """Keep a video of evaluation episodes."""

    def evaluation(self, step: int, evaluations: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep the final evaluations, by label, as a table."""

    def state(self) -> dict[str, Any]:
        """What a later process needs to go on exactly here, as plain JSON values."""
        return {}

    def sync(self) -> None:
        """Make what was recorded durable. Raises OSError."""

    def close(self, exit_code: int) -> None:
        """Finish; nothing is written afterwards."""


class JsonLinesWriter(Writer):
    """metrics.jsonl, the truth: a line per record; what the disk refuses is written later."""

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
            self.records_before, self.count = _cut(path, resume_step, resume_count)
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


def _cut(path: Path, last_step: int, count: int | None) -> tuple[int, int]:
    """Drop torn lines, records after `last_step` and, if given, those after the first `count`.

    Returns:
        How many lines there were, and how many there are.
    """
    lines = path.read_bytes().splitlines()
    fit = (line for line in lines if (record := _parse(line)) and record[STEP] <= last_step)
    kept = list(islice(fit, count))
    write_atomic(path, b"".join(line + b"\n" for line in kept))
    return len(lines), len(kept)


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a metrics.jsonl in order; torn lines are passed over."""
    return filter(None, map(_parse, path.read_bytes().splitlines()))


def _parse(line: bytes) -> dict[str, Any] | None:
    """The record on a line; None if the line is torn or no record."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get(STEP), int) else None


R = TypeVar("R", bound="Record")


class Record:
    """Fans records out to writers. A writer that fails is dropped with one warning."""

    def __init__(self, writers: Sequence[Writer], warn: Say = print) -> None:
        """Record to the writers, in this order; `warn` tells the user a line."""
        self._writers = list(writers)
        self._warn = warn
        self._known: set[str] = set()

    def __enter__(self) -> Self:
        """The record, to be closed at the end of the block."""
        return self

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        """Close, with the exit code that the error leads to."""
        self.close(exit_code(error))

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Record values at a step.

        Args:
            step: environment steps so far, all environments together.
            values: metric name -> number, bool, text or None; NaN and infinity are recorded as
                null. Names are those of `metrics`; another one is recorded after a warning.
        """
        plain = {name: _plain(value) for name, value in values.items()}
        self._check_names(plain)
        self._each(lambda writer: writer.write(int(step), plain))

    def alert(self, step: int, title: str, text: str, check: str | None = None) -> None:
        """Record a warning, of that check of the diagnosis, and draw attention to it."""
        named = {} if check is None else {"health/check": check}
        self.write(step, {"health/alert": title, "health/alert_text": text, **named})
        self._each(lambda writer: writer.alert(step, title, text))

    def checkpoint(self, step: int, path: Path, aliases: Sequence[str] = ()) -> None:
        """Tell of a checkpoint folder and its aliases, of best and latest."""
        self._each(lambda writer: writer.checkpoint(step, path, aliases))

    def video(self, step: int, name: str, path: Path) -> None:
        """Tell of a video file."""
        self._each(lambda writer: writer.video(step, name, path))

    def evaluation(self, step: int, evaluations: Mapping[str, Mapping[str, Any]]) -> None:
        """Record the final evaluations: label -> evaluation dictionary, under final/<label>/."""
        values: dict[str, Any] = {}
        for label, evaluation in evaluations.items():
            values.update(evaluation_metrics(evaluation, f"final/{label}"))
        self.write(step, values)
        self._each(lambda writer: writer.evaluation(step, evaluations))

    def sync(self) -> None:
        """Make what was recorded durable. Raises OSError if the disk refuses."""
        for writer in self._writers:
            writer.sync()

    def written(self) -> bool:
        """Whether the disk has taken everything so far."""
        try:
            self.sync()
        except OSError:
            return False
        return True

    def state(self) -> dict[str, Any]:
        """Where the writers are, as plain JSON values; for open_record of a run that goes on."""
        return {k: v for writer in self._writers for k, v in writer.state().items()}

    def close(self, exit_code: int = 0) -> None:
        """Close every writer; a second call does nothing."""
        self._each(lambda writer: writer.close(exit_code))
        self._writers.clear()

    def _check_names(self, names: Mapping[str, Any]) -> None:
        for name in names.keys() - self._known:
            self._known.add(name)
            try:
                describe(name)
            except KeyError as error:
                self._warn(f"warning: {error.args[0]}")

    def _each(self, call: Callable[[Writer], None]) -> None:
        for writer in tuple(self._writers):
            try:
                call(writer)
            except Exception as error:
                self._writers.remove(writer)
                self._warn(
                    f"warning: {writer.name} failed and is off from here on: "
                    f"{type(error).__name__}: {error}"
                )


def exit_code(error: BaseException | None) -> int:
    """The exit code of a process that ends with an error: its own `exit_code`, or 1."""
    if error is None:
        return 0
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return int(getattr(error, "exit_code", 1))


def open_record(opening: Opening, made: Callable[[Sequence[Writer], Say], R] = Record) -> R:
    """Open metrics.jsonl of a run and every registered writer; `made` makes the record of them.

    Of a run that goes on, records after its step are cut, so that none appears twice, and those
    made after its state.

    Raises:
        FileExistsError: if a new run's folder holds records already.
        OSError: if metrics.jsonl cannot be opened.
    """
    path, step = opening.run_dir / "metrics.jsonl", opening.step
    lines = JsonLinesWriter(path, step, opening.state.get("records"), opening.told)
    opening = replace(
        opening,
        latest=[r for r in read_records(path) if r.pop(STEP) == step],
        first_record=None if step is None else lines.records_before,
    )
    writers = [_opened(kind, opening) for kind in entries("writer").values()]
    return made([lines, *writers], opening.say)


def _opened(kind: type[Writer], opening: Opening) -> Writer:
    """A writer, or the one that does nothing if it cannot be opened."""
    try:
        return kind.open(opening)
    except Exception as error:
        opening.say(f"warning: {kind.name} is off: {type(error).__name__}: {error}")
        return Writer()


def _plain(value: Any) -> float | int | str | None:  # noqa: ANN401
    """A JSON value: NumPy and torch scalars become numbers, what is not finite None."""
    if type(value) is not float:
        value = value.item() if hasattr(value, "item") else value
        if value is None or isinstance(value, (str, int)):
            return int(value) if isinstance(value, bool) else value
    return float(value) if math.isfinite(value) else None
