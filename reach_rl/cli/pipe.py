"""A reader that closes our output early, such as `| head`, is no error."""

import os
import select
import sys
from collections.abc import Callable
from contextlib import suppress


def piped(call: Callable[[], int]) -> int:
    """Make a call and flush what it printed; returns its exit code, 0 if the reader had enough."""
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
