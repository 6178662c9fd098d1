"""Stopping when asked to: at the next rollout boundary, after saving."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)


class Stopped(Exception):
    """Somebody asked to stop while there was nothing to save."""


@dataclass(slots=True)
class Stop:
    """Whether somebody asked to stop, and how."""

    signal: int | None = None

    @property
    def exit_code(self) -> int:
        """130 after SIGINT, 143 after any other; 0 if nobody asked."""
        if self.signal is None:
            return 0
        return 130 if self.signal == signal.SIGINT else 143

    def check(self) -> None:
        """Raise Stopped if somebody asked to stop."""
        if self.signal is not None:
            raise Stopped

    @property
    def name(self) -> str:
        """Name of the signal."""
        return "" if self.signal is None else signal.Signals(self.signal).name


@contextmanager
def listening() -> Iterator[Stop]:
    """Note the first signal; a second one acts as it always did."""
    stop = Stop()
    before = {}

    def note(number: int, frame: FrameType | None) -> None:
        stop.signal = number
        for other, handler in before.items():
            signal.signal(other, handler if handler is not None else signal.SIG_DFL)

    try:
        for number in SIGNALS:
            before[number] = signal.signal(number, note)
    except ValueError:  # not the main thread: the launcher's own handling holds
        before.clear()
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
