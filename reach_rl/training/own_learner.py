"""A run whose learner is somebody else's: its folder, its record, and the verdict on it."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from reach_rl.config.problems import ConfigError
from reach_rl.config.schema import Config
from reach_rl.evaluation.result import Evaluation
from reach_rl.monitoring.record import Opening, Record, Say, Writer, open_record
from reach_rl.rundir import provenance
from reach_rl.training.rollout_metrics import Window
from reach_rl.training.session import Session
from reach_rl.training.stopping import StopRequest


class OwnRun(Record):
    """The record of such a run; leaving its block says in status.json how the run ended.

    Beside metrics.jsonl it writes config.yaml, provenance.json and status.json at once, and
    summary.json with the verdict, so that `runs`, `diff` and `report` read the folder.
    """

    def __init__(
        self, session: Session, config: Config, learner: str, writers: Sequence[Writer], say: Say
    ) -> None:
        """Record to the writers; see begin()."""
        super().__init__(writers, say)
        self.folder = session.folder
        self._session, self._config, self._learner = session, config, learner
        self._window: Window | None = None
        self._begin = time.perf_counter()
        self._step, self._seconds = 0, 0.0

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Record values at a step, with the time since the beginning; as Record.write."""
        self._step, self._seconds = int(step), time.perf_counter() - self._begin
        timed = {"time/time_elapsed": self._seconds, "time/fps": self._step / self._seconds}
        super().write(step, timed | {"time/total_timesteps": self._step, **values})

    def rollout(self, env: object) -> dict[str, float]:
        """What has finished since the last call, under rollout/ and reward/.

        Args:
            env: of make_vec_env or gymnasium.make_vec, wrapped or not.

        Raises:
            ConfigError: it is none of ours.
        """
        own: Any = getattr(env, "unwrapped", env)
        if not hasattr(own, "drain"):
            better = "give what reach_rl.make_vec_env or gymnasium.make_vec made, wrapped or not"
            raise ConfigError(f"env: a {type(env).__name__} does not tell its episodes; {better}")
        if self._window is None:
            names = own.batch.reward.names, own.batch.episodes.metrics
            self._window = Window(self._config.ppo.stats_window_size, *names)
        self._window.add(own.drain())
        return self._window.metrics()

    def finish(self, result: Evaluation) -> dict[str, Any]:
        """Keep the verdict on what was learnt; returns the content of summary.json."""
        told = {result.conditions.region: result}
        took = self._step, max(self._seconds, 1e-9)
        with self._session.pictures(self._config) as drawn:
            summary = self._session.conclude(
                self._config, self, took, told, drawn, learner=self._learner
            )
        self._session.say(f"everything is in {self.folder}")
        return summary

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Close, and give the folder back."""
        super().__exit__(kind, error, trace)
        state = "finished" if error is None else "failed"
        state = "stopped" if isinstance(error, KeyboardInterrupt) else state
        reason = "" if error is None else f"{type(error).__name__}: {error}"
        self._session.status.set(state, reason)
        self._session.close()

    def _check_names(self, names: Mapping[str, Any]) -> None:
        """What another learner calls its figures is its own affair."""


def begin(config: Config, folder: Path, learner: str) -> OwnRun:
    """Make the folder of a run, and open its record.

    Args:
        config: the run.
        folder: for it; made if it is missing.
        learner: its name, for summary.json.

    Raises:
        ConfigError: the folder cannot be written to, or another process works in it.
        FileExistsError: it holds the records of a run.
    """
    session = Session(folder, StopRequest())
    try:
        provenance.write_run_files(folder, config)
        opening = Opening(folder, config, say=session.say, told=session.home.disk.told)
        record = open_record(opening, partial(OwnRun, session, config, learner))
        session.status.set("running")
    except BaseException:
        session.close()
        raise
    return record
