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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)
ECHO = 0.5
"""A signal that comes again within this time (s) was sent to the group and to the process."""


class Terminated(KeyboardInterrupt):
    """A signal asked the process to end; `code` is its exit code."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = code_of(number)


def code_of(number: int) -> int:
    """130 after SIGINT, 143 after any other."""
    return 130 if number == signal.SIGINT else 143


class Ending:
    """What a command knows about its end."""

    def __init__(self, report: "ExitCodes | None") -> None:
        self.report = report
        self.signal: int | None = None
        self._at = 0.0

    def note(self, number: int, frame: FrameType | None) -> None:
        """Pass a first signal on to the jobs' processes and wait for them; else end."""
        again = self.signal == number and time.monotonic() - self._at < ECHO
        if again:
            return
        first, self.signal, self._at = self.signal is None, number, time.monotonic()
        if self.report is not None:
            self.report.add(code_of(number))
        if not (self.report is not None and first and forward(number)):
            raise Terminated(number)

    @property
    def code(self) -> int:
        """The exit code of a command that was told to end; 0 if nobody told it."""
        return 0 if self.signal is None else code_of(self.signal)


class Noted:
    """A signal that reached a launcher's process while it had no run to save."""

    def __init__(self) -> None:
        self.signal: int | None = None

    @property
    def code(self) -> int:
        """The exit code; 0 if there was no signal."""
        return 0 if self.signal is None else code_of(self.signal)

    def listen(self) -> None:
        """Note signals from now on, for as long as the process lives."""
        with suppress(ValueError):  # not the main thread
            for number in SIGNALS:
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number


NOTED = Noted()
"""Of this process."""


@contextmanager
def ending(report: "ExitCodes | None" = None) -> Iterator[Ending]:
    """End on a signal with Terminated.

    Args:
        report: of a multirun, whose jobs may be at work in other processes and end first.
    """
    end, before = Ending(report), {}
    with suppress(ValueError):  # not the main thread
        for number in SIGNALS:
            before[number] = signal.signal(number, end.note)
    try:
        yield end
    finally:
        restore(before)


def restore(handlers: dict[int, Any]) -> None:
    """Put signal handlers back."""
    for number, handler in handlers.items():
        signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def forward(number: int) -> int:
    """Send a signal to the child processes that wait for it; how many there are."""
    sent = 0
    for child in _children():
        if _catches(child, number):
            with suppress(OSError):
                os.kill(child, number)
                sent += 1
    return sent


def _children() -> list[int]:
    with suppress(OSError):
        lists = Path(f"/proc/{os.getpid()}/task").glob("*/children")
        return [int(word) for path in lists for word in path.read_text().split()]
    return []


def _catches(process: int, number: int) -> bool:
    """Whether a process has a handler for a signal, as the kernel tells."""
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


class ExitCodes:
    """A small file through which the jobs of a multirun tell their codes to what launched them."""

    def __init__(self) -> None:
        handle, self.path = tempfile.mkstemp(prefix="reach_rl-")
        os.close(handle)

    def add(self, code: int) -> None:
        """Tell a code; nobody is told where the file is not at hand, as on another machine."""
        with suppress(OSError):
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(handle, f"{code}\n".encode())
            finally:
                os.close(handle)

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
        _flush()


def _closed(descriptor: int) -> bool:
    """Whether nobody reads from an open descriptor any more."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _flush() -> None:
    """Flush, so that Python does not complain about a closed reader when it exits."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            nothing = os.open(os.devnull, os.O_WRONLY)
            with suppress(OSError):
                os.dup2(nothing, stream.fileno())
            os.close(nothing)
