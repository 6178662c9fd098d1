"""The sweep: asks Optuna for trials, has them run, and goes on until the study has its total."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import TrialState
from rich.console import Console

from reach_rl.config.context import CONFIG_DIR
from reach_rl.config.problems import ConfigError
from reach_rl.config.redact import redact
from reach_rl.config.search import Search, read
from reach_rl.rundir.atomic import write_atomic
from reach_rl.sweeps import launchers, results
from reach_rl.sweeps.begin import Job, begin, notes, parse
from reach_rl.sweeps.ending import finish
from reach_rl.sweeps.heartbeat import Heart, ask_to_stop
from reach_rl.sweeps.ledger import FOLDER, OVERRIDES, OWNER, REASON, Claim, Ledger
from reach_rl.sweeps.sampling import points, sampler, suggest
from reach_rl.sweeps.table import Watch
from reach_rl.sweeps.trial import STOPPED, Listening, Signalled

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
    task: Any,  # noqa: ANN401  config.task.Task
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

    CONFIG_DIR.set(task.config_dir)
    try:
        tree = OmegaConf.to_container(config.hydra.sweeper, resolve=True)
        assert isinstance(tree, dict)
        search = read({str(key): value for key, value in tree.items()})
        job = parse(context, search, arguments)
        folder = Path(config.hydra.sweep.dir).absolute()
        study = begin(search, job, folder)
        text = OmegaConf.to_yaml(config)
        write_atomic(folder / "multirun.yaml", redact(text))
        of_launcher = OmegaConf.to_container(config.hydra.launcher, resolve=True)
        assert isinstance(of_launcher, dict)
        own = {str(key): value for key, value in of_launcher.items()}
        with listening() as stop:
            code = Sweep(search, job, study, folder, launcher, own, stop).run()
    except ConfigError as error:
        task.error = error
        return
    if code:
        raise SystemExit(code)


@dataclass(slots=True)
class Sweep:
    """A sweep under way in this process; other processes may work on its study too."""

    search: Search
    job: Job
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
    running: set[int] = field(default_factory=set)
    _not_begun: Counter[int] = field(default_factory=Counter)
    """Launches of a trial that failed before a process had taken it."""
    error: BaseException | None = None
    console: Console = field(default_factory=lambda: Console(file=sys.stdout, highlight=False))

    def __post_init__(self) -> None:
        """Count."""
        self.ledger = Ledger(self.study, self.folder, self.search.retries)
        self.total = self.search.n_trials
        if self.search.sampler.name == "grid":
            self.total = min(self.total, points(self.job.space))
        self.parallel = launchers.workers(self.of_launcher, self.search.n_jobs)

    def run(self) -> int:
        """All trials that are left; the exit code."""
        for note in notes(self.search, self.job):
            self.console.print(note, markup=False, soft_wrap=True)
        with Watch(self.study, self.total, self.parallel, self.console):
            if self.parallel == 1:
                self._slot()
            else:
                self._slots()
        results.write(self.study, self.folder)
        if self.error is not None:
            raise self.error
        if self.stop.exit_code or self.code:
            self._say(f"stopped; the same command goes on with {self.folder}")
            return self.stop.exit_code or self.code
        if self._too_many_failures(least=1):
            failed = self._failed()
            print(
                f"error: {len(failed)} trials failed, more than "
                f"hydra.sweeper.failure_rate={self.search.failure_rate:g} allows; the last: "
                f"{failed[-1].user_attrs.get(REASON, '')} (see {self.folder})",
                file=sys.stderr,
            )
            return 1
        return self._finish()

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    def _finish(self) -> int:
        """Once all trials are over, see which is best; the exit code."""
        over = sum(trial.state.is_finished() for trial in self.ledger.trials())
        if over < self.total:
            self._say(f"nothing left to claim; other processes go on with {self.folder}")
            return 0
        launcher, parallel = self.launcher, self.parallel
        return finish(self.study, self.folder, self.search, launcher, parallel, self.stop)

    def _slots(self) -> None:
        """As many trials side by side as the launcher runs."""
        todo = self.total - sum(t.state.is_finished() for t in self.ledger.trials())
        threads = [
            threading.Thread(target=self._slot, name=f"slot-{i}", daemon=True)
            for i in range(min(self.parallel, todo))
        ]
        for thread in threads:
            thread.start()
        asked: set[int] = set()
        while any(thread.is_alive() for thread in threads):
            if self._over():
                for number in set(self.running) - asked:
                    ask_to_stop(self.ledger.place(number))
                    asked.add(number)
            threads[0].join(0.2) if threads[0].is_alive() else time.sleep(0.1)

    def _over(self) -> bool:
        """Whether to claim no more, and to have what runs stopped."""
        return bool(self.stop.exit_code or self.code or self.error)

    def _slot(self) -> None:
        """Trial after trial."""
        try:
            while not self._over() and not self._too_many_failures():
                claimed = self._claim()
                if claimed is not None:
                    self._run(*claimed)
                elif self._may_come():
                    time.sleep(PATIENCE_SECONDS)
                else:
                    return
        except BaseException as error:
            self.error = self.error or error

    def _may_come(self) -> bool:
        """Whether a trial waits until one that runs beside it is over."""
        waiting = any(
            trial.state == TrialState.WAITING and trial.number < self.total
            for trial in self.ledger.trials()
        )
        return waiting or bool(self.running)

    def _claim(self) -> tuple[Claim, list[str]] | None:
        """The next trial and the overrides of its job, alone among all processes."""
        with self.ledger.lock():
            claim = self.ledger.claim(self.total)
            if claim is None:
                return None
            folder = self.ledger.place(claim.number)
            if claim.fresh and folder.exists() and any(folder.iterdir()):
                self.ledger.give_up(claim.number, "its folder is another's")
                raise ConfigError(f"{folder}: is there already; name another hydra.sweep.dir=")
            drawn = self._draw(claim)
            overrides = [*self.job.fixed, *drawn, *self._shares()]
            if not any(text.startswith("wandb.group=") for text in self.job.fixed):
                overrides.append(f"wandb.group={self.search.study_name}")
            self.ledger.set(claim, **{OVERRIDES: overrides, FOLDER: str(folder)})
            self.running.add(claim.number)
            return claim, overrides

    def _shares(self) -> list[str]:
        """Threads of a trial, so that those side by side share the cores."""
        given = [*self.job.fixed, *(f"{key}=" for key in self.job.texts)]
        return launchers.shares(self.of_launcher, self.parallel, given)

    def _draw(self, claim: Claim) -> list[str]:
        """The values of the searched keys, drawn or as they were drawn before."""
        before = self.ledger.get(claim.number).params
        if any(dimension.key not in before for dimension in self.job.space):
            study = optuna.load_study(  # afresh: one that is kept remembers trials of before
                study_name=self.study.study_name,
                storage=self.study._storage,
                sampler=sampler(self.search, self.job.space, claim.number),
                pruner=self.study.pruner,
            )
            trial = optuna.Trial(study, claim.id)
            before = {d.key: suggest(trial, d) for d in self.job.space}
        return [dimension.override(before[dimension.key]) for dimension in self.job.space]

    def _run(self, claim: Claim, overrides: list[str]) -> None:
        """Launch a trial and see to it that it does not stay RUNNING."""
        number, died, result = claim.number, "", None
        try:
            with Heart(self.ledger.place(number), listens=False):
                result = self.launcher.launch([overrides], initial_job_idx=number)[0]
        except (KeyboardInterrupt, SystemExit):
            self.ledger.give_up(number, "stopped at once")
            raise
        except Exception as error:
            died = (
                f"its process died ({type(error).__name__}: {' '.join(str(error).split())[:300]})"
            )
        finally:
            self.running.discard(number)
        value = getattr(result, "_return_value", None)
        code = value.get("exit_code") if isinstance(value, dict) else None
        if code in STOPPED:
            self.code = self.code or code
        self._settle(number, died, value)

    def _settle(self, number: int, died: str, value: Any) -> None:  # noqa: ANN401  of the job
        trial = self.ledger.get(number)
        if trial.state != TrialState.RUNNING:
            self.ledger.held.discard(number)
        elif self._over():
            self.ledger.give_up(number, "stopped")
        elif died or self._lost(number, value):
            self._wait_for_its_end(number)
            died = died or "its process died"
            if self._began(number) or self._not_begun[number] >= LAUNCHES:
                with self.ledger.lock():
                    self.ledger.bury(number, died)
                return
            self._not_begun[number] += 1
            time.sleep(PATIENCE_SECONDS)  # the launcher may need a moment to replace its workers
            self.ledger.give_up(number, died)
        else:
            self.ledger.tell(number, TrialState.FAIL, redact(_reason(value)))

    def _began(self, number: int) -> bool:
        """Whether a process of its own has taken the trial since it was claimed."""
        return bool((self.ledger.get(number).user_attrs.get(OWNER) or {}).get("job"))

    def _lost(self, number: int, value: Any) -> bool:  # noqa: ANN401  of the job
        """Whether a job came back without a result because its own process is gone."""
        trial = self.ledger.get(number)
        owner = trial.user_attrs.get(OWNER) or {}
        gone = bool(owner.get("job")) and not self.ledger.alive(trial)
        return isinstance(value, BrokenExecutor) or (value is None and gone)

    def _wait_for_its_end(self, number: int) -> None:
        """Give the process of a trial that a launcher gave up a moment to go."""
        for _ in range(100):
            owner = self.ledger.get(number).user_attrs.get(OWNER) or {}
            if not owner.get("job") or not self.ledger.alive(self.ledger.get(number)):
                return
            time.sleep(0.1)

    def _failed(self) -> "list[optuna.trial.FrozenTrial]":
        return [trial for trial in self.ledger.trials() if trial.state == TrialState.FAIL]

    def _too_many_failures(self, least: int = LEAST_ENDED) -> bool:
        ended = sum(trial.state.is_finished() for trial in self.ledger.trials())
        return len(self._failed()) > self.search.failure_rate * max(ended, least)


def _reason(value: Any) -> str:  # noqa: ANN401  what a job returned
    """Why a job ended without telling its trial."""
    if isinstance(value, ConfigError):
        return f"wrong configuration: {'; '.join(value.problems)}"
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {' '.join(str(value).split())[:400]}"
    if isinstance(value, dict) and value.get("problems"):
        return f"wrong configuration: {'; '.join(value['problems'])}"
    return "ended without a result"
