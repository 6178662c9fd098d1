"""The sweep: asks Optuna for trials, has them run, and goes on until the study has its total."""

import math
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from reach_rl.config.load import CALL, Call
from reach_rl.config.problems import ConfigError
from reach_rl.config.search import Search, read
from reach_rl.config.untrusted import redact
from reach_rl.rundir.atomic import write_atomic
from reach_rl.sweeps import results
from reach_rl.sweeps.launchers import in_slots, launch_all, returned, shares, workers
from reach_rl.sweeps.ledger import FOLDER, OVERRIDES, REASON, Ledger, heartbeat
from reach_rl.sweeps.study import SearchSpace, begin, sampler, search_space, suggest, unpruned
from reach_rl.sweeps.table import StudyTable
from reach_rl.sweeps.trial import SWEEPS, Listening, Signalled
from reach_rl.sweeps.winner import finish

if TYPE_CHECKING:
    from hydra.plugins.launcher import Launcher
    from hydra.types import HydraContext
    from omegaconf import DictConfig
    from optuna.study import Study

PATIENCE_SECONDS = 1.0
LAUNCHES = 10
"""Launches of a trial that may fail before a process has taken it; more count as deaths."""

LEAST_ENDED = 4
"""Trials that a failure rate is taken of while a sweep runs, at the least."""


def sweep(
    config: "DictConfig",
    launcher: "Launcher",
    task: Any,  # noqa: ANN401  what the front door hands to Hydra
    context: "HydraContext",
    arguments: Sequence[str],
    listening: Listening,
) -> None:
    """Go on with the study of a command until it has its trials.

    Args:
        config: Hydra's, of the sweep.
        launcher: runs jobs.
        task: what a job calls; gets the sweep's error, if it has one.
        context: of Hydra.
        arguments: the overrides of the command line.
        listening: notes signals.

    Raises:
        SystemExit: 130 or 143 after a signal, 1 after too many failures.
    """
    from omegaconf import OmegaConf

    CALL.set(Call(folders=task.folders))
    try:
        own: Any = OmegaConf.to_container(config.hydra.launcher, resolve=True)
        wanted: Any = OmegaConf.to_container(config.hydra.sweeper, resolve=True)
        search = read(wanted)
        space = search_space(context, search, arguments)
        folder = Path(config.hydra.sweep.dir).absolute()
        study = begin(search, space, folder)
        write_atomic(folder / "multirun.yaml", redact(OmegaConf.to_yaml(config)))
        with listening() as stop:
            code = Sweep(search, space, study, folder, launcher, own, stop).run()
    except ConfigError as error:
        task.error = error
        return
    if code:
        raise SystemExit(code)


@dataclass(slots=True)
class Sweep:
    """A sweep under way in this process; other processes may work on its study too."""

    search: Search
    space: SearchSpace
    study: "Study"
    folder: Path
    launcher: "Launcher"
    of_launcher: Mapping[str, Any]
    stop: Signalled
    ledger: Ledger = field(init=False)
    total: int = field(init=False)
    parallel: int = field(init=False)
    code: int = 0
    """The exit code of a job that was stopped."""
    running: set[Path] = field(default_factory=set)
    """Folders of the trials that this process has running."""
    _not_begun: Counter[int] = field(default_factory=Counter)
    """Launches of a trial that failed before a process had taken it."""
    console: Console = field(default_factory=lambda: Console(file=sys.stdout, highlight=False))

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.study, self.folder, self.search.retries)
        self.total = self.search.n_trials
        if self.search.sampler.name == "grid":
            points = (len(dimension.values) for dimension in self.space.searched)
            self.total = min(self.total, math.prod(points))
        self.parallel = workers(self.of_launcher, self.search.n_jobs)

    def run(self) -> int:
        """All trials that are left; the exit code."""
        SWEEPS.add(os.getpid())
        if note := unpruned(self.search, self.space):
            self._say(note)
        with StudyTable(self.study, self.total, self.parallel, self.console):
            left = self.total - self.ledger.ended()
            error = in_slots(self.parallel, left, self._step, self._over, self.running.copy)
        results.write(self.study, self.folder)
        if error is not None:
            raise error
        if self.stop.exit_code or self.code:
            self._say(f"stopped; the same command goes on with {self.folder}")
            return self.stop.exit_code or self.code
        if self._too_many_failures(least=1):
            failed = results.trials(self.study, "FAIL")
            print(
                f"error: {len(failed)} trials failed, more than "
                f"hydra.sweeper.failure_rate={self.search.failure_rate:g} allows; the last: "
                f"{failed[-1].user_attrs.get(REASON, '')} (see {self.folder})",
                file=sys.stderr,
            )
            return 1
        if self.ledger.ended() < self.total:
            self._say(f"nothing left to claim; other processes go on with {self.folder}")
            return 0
        launch = partial(launch_all, self.launcher, parallel=self.parallel, stop=self.stop)
        return finish(self.study, self.folder, self.search, launch)

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    def _over(self) -> bool:
        """Whether to claim no more, and to have what runs stopped."""
        return bool(self.stop.exit_code or self.code)

    def _step(self) -> bool:
        """A trial, or a moment's wait for one; whether there may be more."""
        if self._too_many_failures():
            return False
        claimed = self._claim()
        if claimed is not None:
            self._run(*claimed)
            return True
        waiting = results.trials(self.study, "WAITING")  # for one that runs beside it to end
        may_come = bool(self.running) or any(trial.number < self.total for trial in waiting)
        time.sleep(PATIENCE_SECONDS * may_come)
        return may_come

    def _claim(self) -> tuple[int, list[str]] | None:
        """The next trial and the overrides of its job, alone among all processes."""
        with self.ledger.lock():
            trial = self.ledger.claim(self.total)
            if trial is None:
                return None
            folder = self.ledger.place(trial.number)
            if FOLDER not in trial.user_attrs and folder.exists() and any(folder.iterdir()):
                self.ledger.give_up(trial.number, "its folder is another's")
                raise ConfigError(f"{folder}: is there already; name another hydra.sweep.dir=")
            given = [*self.space.fixed, *(f"{key}=" for key in self.space.texts)]
            threads = shares(self.of_launcher, self.parallel, given)
            overrides = [*self.space.fixed, *self._draw(trial), *threads]
            if not any(text.startswith("wandb.group=") for text in self.space.fixed):
                overrides.append(f"wandb.group={self.search.study_name}")
            self.ledger.set(trial, **{OVERRIDES: overrides, FOLDER: str(folder)})
            self.running.add(folder)
            return trial.number, overrides

    def _draw(self, claimed: FrozenTrial) -> list[str]:
        """The values of the searched keys, drawn or as they were drawn before."""
        searched = self.space.searched
        values = self.ledger.get(claimed.number).params
        if any(dimension.key not in values for dimension in searched):
            study = optuna.load_study(  # afresh: one that is kept remembers trials of before
                study_name=self.study.study_name,
                storage=self.study._storage,
                sampler=sampler(self.search, searched, claimed.number),
                pruner=self.study.pruner,
            )
            trial = optuna.Trial(study, claimed._trial_id)
            values = {dimension.key: suggest(trial, dimension) for dimension in searched}
        return [dimension.override(values[dimension.key]) for dimension in searched]

    def _run(self, number: int, overrides: list[str]) -> None:
        """Launch a trial and see to it that it does not stay RUNNING."""
        died, result = "", None
        try:
            with heartbeat(self.ledger.place(number), listens=False):
                result = self.launcher.launch([overrides], initial_job_idx=number)[0]
        except (KeyboardInterrupt, SystemExit):
            self.ledger.give_up(number, "stopped at once")
            raise
        except Exception as error:
            text = " ".join(str(error).split())[:300]
            died = f"its process died ({type(error).__name__}: {text})"
        finally:
            self.running.discard(self.ledger.place(number))
        value, code = returned(result)
        self.code = self.code or code
        self._settle(number, died, value)

    def _settle(self, number: int, died: str, value: Any) -> None:  # noqa: ANN401  of the job
        broken = isinstance(value, BrokenExecutor)
        if self.ledger.get(number).state != TrialState.RUNNING:
            self.ledger.held.discard(number)
        elif self._over():
            self.ledger.give_up(number, "stopped")
        elif died or broken or (value is None and self._lives(number) is False):
            self._left_behind(number, died or "its process died")
        else:
            self.ledger.tell(number, TrialState.FAIL, redact(_reason(value)))

    def _left_behind(self, number: int, died: str) -> None:
        """The process of a trial is gone, or its launcher has given it up."""
        for _ in range(100):
            if not self._lives(number):
                break
            time.sleep(0.1)
        if self.ledger.owner(number).get("job") or self._not_begun[number] >= LAUNCHES:
            with self.ledger.lock():
                return self.ledger.bury(number, died)
        self._not_begun[number] += 1  # no process of its own has taken it since it was claimed
        time.sleep(PATIENCE_SECONDS)  # the launcher may need a moment to replace its workers
        self.ledger.give_up(number, died)

    def _lives(self, number: int) -> bool | None:
        """Whether a trial's own process is there; None where it has none."""
        own = self.ledger.owner(number).get("job")
        return self.ledger.alive(self.ledger.get(number)) if own else None

    def _too_many_failures(self, least: int = LEAST_ENDED) -> bool:
        failed = len(results.trials(self.study, "FAIL"))
        return failed > self.search.failure_rate * max(self.ledger.ended(), least)


def _reason(value: Any) -> str:  # noqa: ANN401  what a job returned
    """Why a job ended without telling its trial."""
    problems = value.get("problems") if isinstance(value, dict) else getattr(value, "problems", ())
    if problems:
        return f"wrong configuration: {'; '.join(problems)}"
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {' '.join(str(value).split())[:400]}"
    return "ended without a result"
