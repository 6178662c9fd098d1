"""How a command ends: when it is told to, without a traceback, and when nobody reads any more.

A training run listens for itself (training.stopping), saves and returns its code; what is here acts
before and after that, in verbs that have nothing to save, and in the process that launches others.
"""

import os
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
ECHO = 0.5
"""A signal that comes again within this time (s) was sent to the group and to the process."""


class Terminated(KeyboardInterrupt):
    """A signal asked the process to end; `code` is its exit code."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = code_of(number)


def code_of(number: int | None) -> int:
    """130 after SIGINT, 143 after any other; 0 if there was no signal."""
    return 0 if number is None else 130 if number == signal.SIGINT else 143


NOTED: list[int] = []
"""Signals that reached this process of a launcher while it had no run to save."""


@contextmanager
def ending(report: "ExitCodes | None" = None) -> Iterator[list[int]]:
    """End on a signal with Terminated; of a multirun, pass a first one on to the jobs' processes.

    Args:
        report: of a multirun, whose jobs may be at work in other processes and end first.

    Yields:
        The signals so far.
    """
    seen: list[int] = []
    at = 0.0

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal at
        if seen[-1:] == [number] and time.monotonic() - at < ECHO:
            return
        at = time.monotonic()
        seen.append(number)
        if report is not None:
            report.add(code_of(number))
            if len(seen) == 1 and forward(number):
                return
        raise Terminated(number)

    before = listen(note)
    try:
        yield seen
    finally:
        restore(before)


def listen(handler: Callable[[int, FrameType | None], object]) -> dict[int, Any]:
    """Handle signals from now on; the handlers before, none where this is not the main thread."""
    with suppress(ValueError):
        return {number: signal.signal(number, handler) for number in SIGNALS}
    return {}


def restore(handlers: Mapping[int, Any]) -> None:
    """Put signal handlers back."""
    for number, handler in handlers.items():
        signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def forward(number: int) -> int:
    """Send a signal to the child processes that have a handler for it; how many there are."""
    sent, pids = 0, []
    for children in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        with suppress(OSError):  # a thread that has ended
            pids += children.read_text().split()
    for pid in map(int, pids):
        with suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            caught = int(status.partition("SigCgt:")[2].split()[0], 16)
            if caught >> (number - 1) & 1:
                os.kill(pid, number)
                sent += 1
    return sent


class ExitCodes:
    """A small file through which the jobs of a multirun tell their codes to what launched them."""

    def __init__(self) -> None:
        handle, self.path = tempfile.mkstemp(prefix="reach_rl-")
        os.close(handle)

    def add(self, code: int) -> None:
        """Tell a code; nobody is told where the file is not at hand, as on another machine."""
        with suppress(OSError), open(os.open(self.path, os.O_WRONLY | os.O_APPEND), "w") as file:
            file.write(f"{code}\n")

    def codes(self) -> list[int]:
        """The codes so far."""
        with suppress(OSError, ValueError):
            return [int(word) for word in Path(self.path).read_text().split()]
        return []

    def close(self) -> None:
        """Remove the file."""
        Path(self.path).unlink(missing_ok=True)


def piped(call: Callable[[], int]) -> int:
    """Make a call and flush what it printed; returns its exit code.

    A reader that closes our output early, such as `| head`, is no error: then the code is 0.
    """
    try:
        return call()
    except BrokenPipeError:
        if not (_closed(1) or _closed(2)):  # a pipe between processes broke, and that is an error
            raise
        return 0
    finally:
        for stream in (sys.stdout, sys.stderr):  # else Python complains when it exits
            try:
                stream.flush()
            except BrokenPipeError:
                with suppress(OSError):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _closed(descriptor: int) -> bool:
    """Whether nobody reads from an open descriptor any more."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
