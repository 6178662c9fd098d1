"""Where the time of learning goes: Python's calls and torch's operations, in the run's folder."""

import cProfile
import io
import pstats
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

TRACED = 2
"""Rollouts with their updates in the trace, after the first one; more would drown a viewer."""
_LISTED = 40


@contextmanager
def profiled(folder: Path, wanted: bool) -> Iterator[Callable[[], None]]:
    """Profile a block of learning into folder/profile.

    calls.pstats is for viewers of cProfile, calls.txt its longest by own time, and trace.json
    (from the second rollout on) for chrome://tracing or Perfetto. Measuring slows the calls down.

    Args:
        folder: of the run.
        wanted: if false, nothing happens.

    Yields:
        What to call after each rollout and its update.
    """
    if not wanted:
        yield lambda: None
        return
    from torch import profiler

    out = folder / "profile"
    out.mkdir(exist_ok=True)
    trace = profiler.profile(
        schedule=profiler.schedule(wait=0, warmup=1, active=TRACED, repeat=1),
        on_trace_ready=lambda done: done.export_chrome_trace(str(out / "trace.json")),
    )
    calls = cProfile.Profile()
    try:
        with trace:
            calls.enable()
            yield trace.step
    finally:
        calls.disable()
        calls.dump_stats(out / "calls.pstats")
        text = io.StringIO()
        pstats.Stats(calls, stream=text).sort_stats("tottime").print_stats(_LISTED)
        (out / "calls.txt").write_text(text.getvalue(), encoding="utf-8")
