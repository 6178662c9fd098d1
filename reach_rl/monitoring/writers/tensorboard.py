"""TensorBoard event files, with each metric's unit and meaning as its description."""

import time
from pathlib import Path

from reach_rl.monitoring.metrics import describe
from reach_rl.monitoring.writers.base import Values, Writer

FLUSH_SECONDS = 5


class TensorBoardWriter(Writer):
    """Writes scalars, and texts as text."""

    name = "TensorBoard"

    def __init__(self, folder: Path, resume_step: int | None = None) -> None:
        """Open an event file in the folder; on a resume, hide what came after `resume_step`."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[attr-defined]
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._events = EventFileWriter(str(folder), flush_secs=FLUSH_SECONDS)
        self._described: set[str] = set()
        if resume_step is not None:
            start = SessionLog(status=SessionLog.SessionStatus.START)
            event = Event(step=resume_step + 1, wall_time=time.time(), session_log=start)
            self._events.add_event(event)

    def write(self, step: int, values: Values) -> None:
        """Write one event with all values."""
        from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[attr-defined]
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]

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
        self._events.add_event(Event(step=step, wall_time=time.time(), summary=summary))

    def close(self, exit_code: int) -> None:
        """Flush and close."""
        self._events.close()

    def _add_text(self, summary: object, name: str, text: str) -> None:
        from tensorboard.plugins.text.summary_v2 import text_pb

        summary.value.extend(text_pb(name, text).value)  # type: ignore[attr-defined]


def _description(name: str) -> str:
    try:
        metric = describe(name)
    except KeyError:
        return ""
    healthy = f"; healthy {metric.healthy[0]:g} to {metric.healthy[1]:g}" if metric.healthy else ""
    return f"{metric.meaning} ({metric.unit}){healthy}"
