"""TensorBoard event files, with each metric's unit and meaning as its description.

Events and the records that hold them are TensorBoard's own; only the file is ours, because
TensorBoard's gives up on a disk that refuses.
"""

import itertools
import os
import socket
import struct
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from reach_rl.extend import register
from reach_rl.monitoring.metrics import describe
from reach_rl.monitoring.record import Opening, Values, Writer
from reach_rl.rundir.atomic import Appender

_NUMBER = itertools.count()


class TensorBoardWriter(Writer):
    """Writes scalars, and texts as text; what the disk refuses is written later."""

    name = "TensorBoard"

    @classmethod
    def open(cls, opening: Opening) -> Writer:
        """Write to tb/ of the run's folder, or where ppo.tensorboard_log says."""
        return cls(opening)

    def __init__(self, opening: Opening) -> None:
        """Open an event file; of a run that goes on, what was written from its step on is hidden.

        Raises:
            OSError: it cannot be opened.
        """
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[attr-defined]
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder = Path(opening.config.ppo.tensorboard_log or opening.run_dir / "tb")
        folder.mkdir(parents=True, exist_ok=True)
        number = f"{next(_NUMBER):06d}"  # files of one second are read in the order of their names
        name = f"{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{number}"
        self._file = Appender(folder / f"events.out.tfevents.{name}", opening.told, self.name)
        self._records = RecordWriter(SimpleNamespace(write=lambda data: self._file.append([data])))
        self._described: set[str] = set()
        self._event = Event
        self._add(file_version="brain.Event:2")
        if opening.step is not None:
            start = SessionLog(status=SessionLog.SessionStatus.START)
            self._add(step=opening.step, session_log=start)
            for values in opening.latest:
                self.write(opening.step, values)

    def write(self, step: int, values: Values) -> None:
        """Write one event with all values."""
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]
        from tensorboard.plugins.text.summary_v2 import text_pb

        summary = Summary()
        for name, value in values.items():
            if isinstance(value, str):
                summary.value.extend(text_pb(name, value).value)
            elif value is not None:
                entry = summary.value.add(tag=name, simple_value=value)
                if name not in self._described:
                    self._described.add(name)
                    entry.metadata.summary_description = _description(name)
                    entry.metadata.plugin_data.plugin_name = "scalars"
        self._add(step=step, summary=summary)

    def video(self, step: int, name: str, path: Path) -> None:
        """Show the film's small moving picture among the images, if it has one."""
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]

        preview = path.with_suffix(".gif")
        if not preview.is_file():
            return
        data = preview.read_bytes()
        width, height = struct.unpack("<HH", data[6:10])
        image = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=data)
        self._add(step=step, summary=Summary(value=[Summary.Value(tag=name, image=image)]))

    def close(self, exit_code: int) -> None:
        """Close the file."""
        self._file.close()

    def _add(self, **event: Any) -> None:  # noqa: ANN401  fields of an Event
        self._records.write(self._event(wall_time=time.time(), **event).SerializeToString())


register("writer", "tensorboard", TensorBoardWriter)


def _description(name: str) -> str:
    try:
        metric = describe(name)
    except KeyError:
        return ""
    healthy = f"; healthy {metric.healthy[0]:g} to {metric.healthy[1]:g}" if metric.healthy else ""
    return f"{metric.meaning} ({metric.unit}){healthy}"
