"""One job of a sweep in its process: a trial, run by run, judged on the way, told at the end.

A trial is one run, or one with each of several seeds and variants. Beside the trials there are
runs that confirm the best of them, in `<sweep>/confirm/...`, of which Optuna does not hear.
"""

import contextlib
import dataclasses
import io
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

import optuna
from optuna.trial import FrozenTrial, TrialState

from reach_rl.cli.jobs import STOPPED
from reach_rl.config.load import CALL, compose
from reach_rl.config.schema import Config
from reach_rl.config.search import SCORE, Search
from reach_rl.config.untrusted import redact
from reach_rl.rundir.atomic import write_json
from reach_rl.rundir.listing import last_record
from reach_rl.rundir.status import Status, read_status
from reach_rl.sweeps.ledger import ENV_STEPS, SEED_VALUES, SEEDS, Ledger, heartbeat
from reach_rl.sweeps.results import combined, figure
from reach_rl.sweeps.storage import open_study, url_of
from reach_rl.sweeps.study import pruner

CONFIRM = "confirm"
SWEEPS: set[int] = set()
"""The id of this process once a sweep runs in it; its jobs leave the signals to the sweep."""
_MOST_EVALUATIONS = 1000
"""Reports of a trial's second run begin here."""

Observer = Callable[[int, float, dict[str, Any]], bool]
Train = Callable[..., dict[str, Any] | int]
"""See training.session.train: of a configuration, in a folder, looked at by an observer."""


class Signalled(Protocol):
    """Whether a signal asked this process to stop."""

    @property
    def exit_code(self) -> int:
        """130 or 143 if one did, otherwise 0."""
        ...


Listening = Callable[[], contextlib.AbstractContextManager[Signalled]]


def run_job(
    config: Config, folder: Path, search: Search, number: int, train: Train, listening: Listening
) -> dict[str, Any]:
    """Run a trial that the sweep claimed and tell Optuna what came of it, or a confirming run.

    Args:
        config: of the job.
        folder: of the job.
        search: what the sweep searches.
        number: of the trial.
        train: makes one run.
        listening: notes signals; see training.stopping.

    Returns:
        Of a trial number and state, of a confirming run the figures of summary.json; where the
        process was asked to stop its `exit_code`.

    Raises:
        Exception: what a run raised, after the trial was told as failed.
    """
    if CONFIRM in folder.parts:
        with _watched(folder, search, listening):
            outcome = train(going_on(config, folder), folder)
        return {"exit_code": outcome} if isinstance(outcome, int) else outcome
    study = open_study(
        url_of(search.storage, folder.parent),
        search.study_name,
        sampler=optuna.samplers.RandomSampler(),
        pruner=pruner(search.pruner),
    )
    ledger = Ledger(study, folder.parent, search.retries)
    trial = ledger.take(number)
    if trial is None:
        return {"number": number, "state": "another's"}
    with _watched(folder, search, listening) as stop:
        return _TrialRuns(search, ledger, trial, folder, train, stop).run(config)


@contextlib.contextmanager
def _watched(folder: Path, search: Search, listening: Listening) -> Iterator[Signalled | None]:
    """Keep the heartbeat, listen for signals and keep what runs print off the terminal.

    A process that a launcher keeps stops when the sweep says so, not for a key press, which reaches
    all processes of a terminal: one that has nothing to save would die and take the others along.
    """
    in_sweep = os.getpid() in SWEEPS
    with contextlib.ExitStack() as stack:
        stack.enter_context(heartbeat(folder, listens=True))
        if not in_sweep:
            with contextlib.suppress(ValueError):  # not the main thread
                signal.signal(signal.SIGINT, signal.SIG_IGN)
        stop = None if in_sweep else stack.enter_context(listening())
        if not search.verbose:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        yield stop


@dataclass(slots=True)
class _TrialRuns:
    """A trial under way."""

    search: Search
    ledger: Ledger
    trial: FrozenTrial
    folder: Path
    train: Train
    stop: Signalled | None
    done: dict[str, Config] = field(default_factory=dict)
    values: list[list[float]] = field(default_factory=list)
    summaries: list[Mapping[str, Any]] = field(default_factory=list)
    enough: bool = False
    """Whether the pruner said so."""

    def run(self, config: Config) -> dict[str, Any]:
        """All runs, and the verdict."""
        number = self.trial.number
        try:
            code = self._run_by_run(runs_of(config, self.search))
        except (KeyboardInterrupt, SystemExit):
            self.ledger.give_up(number, "stopped at once")
            raise
        except BaseException as error:
            kind = "out of memory" if isinstance(error, MemoryError) else type(error).__name__
            self._tell(TrialState.FAIL, redact(f"{kind}: {' '.join(str(error).split())}"[:500]))
            raise
        state = self.ledger.get(number).state.name.lower()
        return {"number": number, "state": state} | ({"exit_code": code} if code else {})

    def _run_by_run(self, runs: Mapping[str, Config]) -> int:
        """Until the trial is over; the exit code of a stop, otherwise 0."""
        for index, (name, config) in enumerate(runs.items()):
            folder = self.folder / name
            code = self.stop.exit_code if self.stop is not None else 0
            if not code and read_status(folder).get("state") == "pruned":
                return self._pruned(folder)
            observe = self._observer(index)
            outcome = code or self.train(going_on(config, folder), folder, observe)
            self.done[name] = config
            if outcome in STOPPED:
                self._tell(TrialState.WAITING, "stopped")
                return int(str(outcome))
            if isinstance(outcome, int):
                return self._ended(folder)
            self.summaries.append(outcome)
            self.values.append([figure(outcome, name) for name in self.search.objective])
            by_run = self.search.pruner.name == "wilcoxon" and index + 1 < len(runs)
            if by_run and self._report(self.values[index][0], index):
                return self._pruned(self.folder)
        if len(runs) > 1:
            _write_mean(self.folder, self.summaries, [config.seed for config in runs.values()])
        self._tell(TrialState.COMPLETE, "", combined(self.search, self.values))
        return 0

    def _ended(self, folder: Path) -> int:
        """A run ended before its time."""
        status = read_status(folder)
        if status.get("state") == "pruned":
            return self._pruned(folder)
        self._tell(TrialState.FAIL, f"{status.get('state')}: {status.get('reason')}")
        return 0

    def _pruned(self, folder: Path) -> int:
        if folder == self.folder and not (folder / "status.json").exists():
            Status(folder).set("pruned", "worse than the best trial, seed by seed")
        count = len(self.ledger.get(self.trial.number).intermediate_values)
        reason = f"{self.search.pruner.name} pruner, report {count}"
        own = str(read_status(folder).get("reason") or "")
        self._tell(TrialState.PRUNED, reason if self.enough or not own else own)
        return 0

    def _tell(self, state: TrialState, reason: str, values: Sequence[float] | None = None) -> None:
        """Keep what is known of the runs so far, and say how it ends."""
        known = {
            SEEDS: [config.seed for config in self.done.values()],
            SEED_VALUES: [run[0] if len(run) == 1 else run for run in self.values],
            ENV_STEPS: sum(last_record(self.folder / n).get("global_step", 0) for n in self.done),
        }
        self.ledger.set(self.trial, **known)
        self.ledger.tell(self.trial.number, state, reason, values)

    def _observer(self, index: int) -> Observer:
        """What a run is to call at its periodic evaluations."""
        name = self.search.objective[0]

        def observe(evaluation: int, score: float, figures: dict[str, Any]) -> bool:
            try:
                value = score if name == SCORE else figure(figures, name)
            except ValueError:
                return False
            return self._report(value, index * _MOST_EVALUATIONS + evaluation)

        return observe if self.search.prunes else lambda *_: False

    def _report(self, value: float, step: int) -> bool:
        trial = optuna.Trial(self.ledger.study, self.trial._trial_id)
        if step not in self.ledger.get(self.trial.number).intermediate_values:
            trial.report(value, step)
        self.enough = trial.should_prune()
        return self.enough


def runs_of(config: Config, search: Search) -> dict[str, Config]:
    """The runs of a trial, each variant with each seed; by their folders within the trial's.

    The only run of a trial is in the trial's own folder, under the empty name.
    """
    seeds = range(config.seed, config.seed + search.seeds)
    found = {}
    for text in search.each or [""]:
        key, _, value = text.partition("=")
        own = [other for other in CALL.get().overrides or () if other.partition("=")[0] != key]
        variant = compose([*own, text]) if text else config
        word = "".join(c if c.isalnum() else "_" for c in value)
        for seed in seeds:
            words = filter(None, (word, f"seed_{seed}" if len(seeds) > 1 else ""))
            found["_".join(words)] = dataclasses.replace(variant, seed=seed)
    return found


def going_on(config: Config, folder: Path) -> Config:
    """The configuration with the wish to go on, if the run has begun already."""
    begun = (folder / "checkpoints").exists() or (folder / "metrics.jsonl").exists()
    if not begun:
        return config
    before = read_status(folder)
    if before.get("state") == "running" and before.get("pid") != os.getpid():
        Status(folder).set("stopped", "its process died")  # take() has seen to that
    return dataclasses.replace(config, resume="auto")


def _write_mean(folder: Path, summaries: Sequence[Mapping[str, Any]], seeds: list[int]) -> None:
    """summary.json of a trial with several runs: the means of theirs."""
    mean = _mean(summaries)
    mean.get("evaluation", {}).pop("worst", None)
    mean |= {"robot": summaries[0].get("robot"), "seeds": seeds, "runs": len(summaries)}
    mean.pop("seed", None)
    write_json(folder / "summary.json", mean)
    Status(folder).set("finished")


def _mean(values: Sequence[Any]) -> Any:  # noqa: ANN401  trees of the same shape
    """Trees with the mean of their numbers; what is no number and differs is left out."""
    if all(isinstance(value, Mapping) for value in values):
        keys = [key for key in values[0] if all(key in value for value in values)]
        return {key: _mean([value[key] for value in values]) for key in keys}
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return fmean(values)
    return values[0] if all(value == values[0] for value in values) else None
