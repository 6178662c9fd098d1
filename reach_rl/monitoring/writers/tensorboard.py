"""TensorBoard event files, with each metric's unit and meaning as its description."""

import itertools
import os
import socket
import struct
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from reach_rl.monitoring.metrics import describe
from reach_rl.monitoring.writers.base import Values, Writer
from reach_rl.monitoring.writers.framing import framed
from reach_rl.rundir.disk import Appender, Told, ignore

Record = tuple[int, Values]

_NUMBER = itertools.count()


class TensorBoardWriter(Writer):
    """Writes scalars, and texts as text; what the disk refuses is written later."""

    name = "TensorBoard"

    def __init__(
        self,
        folder: Path,
        resume_step: int | None = None,
        again: Iterable[Record] = (),
        told: Told = ignore,
    ) -> None:
        """Open an event file in the folder.

        Args:
            folder: of the event files.
            resume_step: None for a new run; else what was written from this step on is hidden.
            again: records of that step that hold, to be written once more.
            told: of a disk that refuses, and of the end of that.

        Raises:
            OSError: it cannot be opened.
        """
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[attr-defined]

        folder.mkdir(parents=True, exist_ok=True)
        number = f"{next(_NUMBER):06d}"  # files of one second are read in the order of their names
        name = f"{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{number}"
        path = folder / f"events.out.tfevents.{name}"
        self._file = Appender(path, told, self.name)
        self._described: set[str] = set()
        self._names: tuple[str, ...] = ()
        self._event: Any = None
        """The latest event of described numbers alone, and their names; setting them is quick."""
        self._add(Event(wall_time=time.time(), file_version="brain.Event:2"))
        if resume_step is not None:
            start = SessionLog(status=SessionLog.SessionStatus.START)
            self._add(Event(step=resume_step, wall_time=time.time(), session_log=start))
        for step, values in again:
            self.write(step, values)

    def write(self, step: int, values: Values) -> None:
        """Write one event with all values."""
        names = tuple(values)
        if names != self._names or not _all_numbers(values):
            self._write_anew(step, values)
            return
        for entry, value in zip(self._event.summary.value, values.values(), strict=True):
            entry.simple_value = value
        self._event.step, self._event.wall_time = step, time.time()
        self._add(self._event)

    def _write_anew(self, step: int, values: Values) -> None:
        """Write an event, and keep it for records of the same names if it is fit for that."""
        from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[attr-defined]
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]

        known = self._described.issuperset(values)
        summary = Summary()
        for name, value in values.items():
            if value is None:
                continue
            if isinstance(value, str):
                self._add_text(summary, name, value)
                continue
            entry = summary.value.add(tag=name, simple_value=value)
            if name not in self._described:
                self._described.add(name)
                entry.metadata.summary_description = _description(name)
                entry.metadata.plugin_data.plugin_name = "scalars"
        event = Event(step=step, wall_time=time.time(), summary=summary)
        self._add(event)
        if known and _all_numbers(values):
            self._names, self._event = tuple(values), event

    def video(self, step: int, name: str, path: Path) -> None:
        """Show the film's small moving picture among the images, if it has one."""
        from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[attr-defined]
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]

        preview = path.with_suffix(".gif")
        if not preview.is_file():
            return
        data = preview.read_bytes()
        width, height = struct.unpack("<HH", data[6:10])
        summary = Summary()
        image = summary.value.add(tag=name).image
        image.width, image.height, image.colorspace = width, height, 3
        image.encoded_image_string = data
        self._add(Event(step=step, wall_time=time.time(), summary=summary))

    def close(self, exit_code: int) -> None:
        """Close the file."""
        self._file.close()

    def _add(self, event: Any) -> None:  # noqa: ANN401  an Event
        self._file.append([framed(event.SerializeToString())])

    def _add_text(self, summary: object, name: str, text: str) -> None:
        from tensorboard.plugins.text.summary_v2 import text_pb

        summary.value.extend(text_pb(name, text).value)  # type: ignore[attr-defined]


def _all_numbers(values: Values) -> bool:
    return not any(value is None or isinstance(value, str) for value in values.values())


def _description(name: str) -> str:
    try:
        metric = describe(name)
    except KeyError:
        return ""
    healthy = f"; healthy {metric.healthy[0]:g} to {metric.healthy[1]:g}" if metric.healthy else ""
    return f"{metric.meaning} ({metric.unit}){healthy}"
