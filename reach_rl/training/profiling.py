"""Where the time of learning goes: shares of an iteration, and a profile in the run's folder."""

import cProfile
import gc
import io
import pstats
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from stable_baselines3.common.vec_env import VecNormalize

from reach_rl.learning.ppo import FastPPO

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


class IterationClock:
    """Where the time of one rollout and its update went."""

    def __init__(self, env: VecNormalize, model: FastPPO) -> None:
        """Start now."""
        self.env, self.model = env, model
        self.start = time.perf_counter()
        self._physics, self._policy = env.physics_seconds(), model.seconds_policy
        self.rollout = 0.0

    def collected(self) -> None:
        """The rollout is over, the update begins."""
        self.rollout = time.perf_counter() - self.start

    def seconds(self) -> dict[str, float]:
        """Seconds of each part so far."""
        total = time.perf_counter() - self.start
        physics = self.env.physics_seconds() - self._physics
        policy = self.model.seconds_policy - self._policy
        return {
            "physics": physics,
            "task": self.rollout - physics - policy,
            "policy": policy,
            "update": total - self.rollout,
        }

    def shares(self) -> dict[str, float]:
        """Shares of the iteration so far, under time/."""
        parts = self.seconds()
        total = sum(parts.values())
        shares = {f"time/{name}": seconds / total for name, seconds in parts.items()}
        return shares | {"time/iteration_s": total}


_RUNS = count()


@contextmanager
def few_collections() -> Iterator[None]:
    """Spare the garbage collector what is there already; the libraries alone take it 0.1 s."""
    if next(_RUNS):
        gc.collect()  # what the run before left
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
