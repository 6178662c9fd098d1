"""Stopping when asked to: at the next rollout boundary, after saving."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from reach_rl.cli.termination import ECHO, NOTED, code_of, listen, restore

REQUEUE = signal.SIGUSR2


class Stopped(Exception):
    """Somebody asked to stop while there was nothing to save."""


@dataclass(slots=True)
class StopRequest:
    """Whether somebody asked to stop, and how."""

    signal: int | None = None
    since: float = 0.0
    """When, on the monotonic clock (s)."""
    pruned: str = ""
    """Why a sweep has seen enough of the run."""

    @property
    def asked(self) -> bool:
        """Whether to stop, for whatever reason."""
        return bool(self.pruned) or self.signal is not None

    @property
    def exit_code(self) -> int:
        """130 after SIGINT, 143 after any other; 0 if nobody asked."""
        return code_of(self.signal)

    def check(self) -> None:
        """Raise Stopped if somebody asked to stop."""
        if self.signal is not None:
            raise Stopped

    @property
    def name(self) -> str:
        """Name of the signal."""
        return "" if self.signal is None else signal.Signals(self.signal).name


@contextmanager
def listening() -> Iterator[StopRequest]:
    """Note the first signal; a second one acts at once.

    SIGUSR2 counts only where something handles it already, as submitit does to requeue a job:
    that handler is called in the end, when everything is saved.
    """
    stop = StopRequest(NOTED[-1] if NOTED else None)
    late: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        # the first one once more, as a group of processes gets it
        echo = number == stop.signal and time.monotonic() - stop.since < ECHO
        if number == REQUEUE:
            late.append(number)
        if stop.signal is None:
            stop.signal, stop.since = number, time.monotonic()
        elif number != REQUEUE and not echo:
            _at_once(number)

    before = listen(note)
    if before and callable(signal.getsignal(REQUEUE)):
        before[REQUEUE] = signal.signal(REQUEUE, note)
    try:
        yield stop
    finally:
        restore(before)
        if late:
            signal.raise_signal(late[0])


def _at_once(number: int) -> None:
    """End the process as the signal would have, had nobody listened."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
