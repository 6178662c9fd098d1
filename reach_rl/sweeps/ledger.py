"""Trials that change hands: claimed, left behind, taken up again, told. One place for all of it.

A trial is an Optuna trial, a Hydra job and a folder of the same number:
`<sweep>/<number>`. Its searched keys are its params, under the keys of the configuration. Its user
attributes are the names below. What moves it from state to state:

    claim    a new number, or the lowest WAITING one      -> RUNNING, owned by this process
    take     the job's own process has begun              -> RUNNING, owned by that process
    give_up  it was stopped; it goes on from a checkpoint -> WAITING
    bury     its process died                             -> WAITING, or FAIL after some such deaths
    tell     it is over                                   -> COMPLETE, PRUNED or FAIL

Numbers below the total are the only ones that run, so several processes, on several machines,
never make more trials than there shall be. Where they share the sweep's folder a lock of the
kernel keeps them from claiming at once; where they share a database alone, one that was too late
leaves its number WAITING, for a larger total.
"""

import os
import socket
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from reach_rl.rundir.status import now, process_start
from reach_rl.sweeps.storage import locked

if TYPE_CHECKING:
    from optuna.study import Study

# User attributes of a trial.
OWNER = "owner"  # {host, pid, start, job}: the process that holds it; job: it is the job's own
DEATHS = "deaths"  # how often its process died
FOLDER = "folder"
HOST = "host"
PID = "pid"
STARTED = "started"  # when it first began (ISO 8601)
REASON = "reason"  # why it failed, was pruned or stopped
EXIT_CODE = "exit_code"  # of the run: 0, or 3 for one that diverged
ENV_STEPS = "env_steps"  # environment steps of all its runs
SEEDS = "seeds"  # seeds of its runs so far
SEED_VALUES = "seed_values"  # objective of each of its runs so far
RUNS = "runs"  # names of its runs so far
OVERRIDES = "overrides"  # of its job, all of them

HEARTBEAT = "heartbeat"
"""File in a trial's folder that its process touches."""
STALE_SECONDS = 120.0
"""Age of the heartbeat from which on a process of another machine counts as dead."""


_HELD: dict[tuple[int, str, str], set[int]] = {}


@dataclass(frozen=True, slots=True)
class Claim:
    """A trial that this process may run."""

    number: int
    id: int
    fresh: bool
    """Whether it has no folder yet; it gets one after its FOLDER is noted."""


def me(job: bool = False) -> dict[str, Any]:
    """This process as the owner of a trial."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "start": process_start(pid), "job": job}


@dataclass(slots=True)
class Ledger:
    """The trials of one study, as seen by one process."""

    study: "Study"
    folder: Path
    retries: int = 3
    held: set[int] = field(init=False)
    """Numbers that this process holds, through whatever ledger."""

    def __post_init__(self) -> None:
        """Share what this process holds."""
        self.held = _HELD.setdefault((os.getpid(), self.study.study_name, str(self.folder)), set())

    def lock(self) -> AbstractContextManager[None]:
        """Alone among the processes that share the sweep's folder."""
        return locked(self.folder / "claim.lock")

    def place(self, number: int) -> Path:
        """The folder of a trial."""
        return self.folder / str(number)

    def get(self, number: int) -> FrozenTrial:
        """A trial as it is now. Raises KeyError."""
        storage = self.study._storage
        trial_id = storage.get_trial_id_from_study_id_trial_number(self.study._study_id, number)
        return storage.get_trial(trial_id)

    def trials(self) -> list[FrozenTrial]:
        """All trials as they are now; not to be changed."""
        storage = self.study._storage
        return storage.get_all_trials(self.study._study_id, deepcopy=False)

    def set(self, trial: FrozenTrial | Claim, **attributes: Any) -> None:  # noqa: ANN401  JSON
        """Set user attributes of a trial."""
        number = trial.id if isinstance(trial, Claim) else trial._trial_id
        for name, value in attributes.items():
            self.study._storage.set_trial_user_attr(number, name, value)

    def claim(self, total: int) -> Claim | None:
        """A trial to run, of those below the total; None if there is none now.

        A trial whose process died is not claimed while another such trial runs: should one of
        them take its process down again, it is then clear which.
        """
        self.reap()
        found = self.trials()
        risky = any(t.state == TrialState.RUNNING and t.user_attrs.get(DEATHS) for t in found)
        for trial in found:
            if trial.state != TrialState.WAITING or trial.number >= total:
                continue
            if risky and trial.user_attrs.get(DEATHS):
                continue
            if self._own(trial):
                return Claim(trial.number, trial._trial_id, FOLDER not in trial.user_attrs)
        while len(self.trials()) < total:
            template = create_trial(state=TrialState.WAITING, user_attrs={OWNER: me()})
            new = self.study._storage.create_new_trial(self.study._study_id, template)
            trial = self.study._storage.get_trial(new)
            if trial.number < total and self._own(trial):
                return Claim(trial.number, new, True)
        return None

    def _own(self, trial: FrozenTrial) -> bool:
        """Make a WAITING trial RUNNING and this process's own; False if another was quicker."""
        storage = self.study._storage
        try:
            self.set(trial, **{OWNER: me()})
            if not storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
                return False
            self.set(trial, **{OWNER: me()})
        except UpdateFinishedTrialError:
            return False
        self.held.add(trial.number)
        return True

    def take(self, number: int) -> FrozenTrial | None:
        """The trial for the job that runs it in this process; None if it is not for it any more."""
        with self.lock():
            trial = self.get(number)
            if trial.state == TrialState.WAITING and not self._own(trial):
                return None
            trial = self.get(number)
            if trial.state != TrialState.RUNNING:
                return None
            owner = trial.user_attrs.get(OWNER) or {}
            if owner.get("job") and owner.get("pid") != os.getpid() and self.alive(trial):
                return None
            mine = me(job=True)
            self.set(trial, **{OWNER: mine, HOST: mine["host"], PID: mine["pid"]})
            if STARTED not in trial.user_attrs:
                self.set(trial, **{STARTED: now()})
            self.held.add(number)
            return self.get(number)

    def give_up(self, number: int, reason: str) -> None:
        """A RUNNING trial is stopped; whoever claims it next goes on with it."""
        self._leave(number, TrialState.WAITING, reason)

    def tell(
        self,
        number: int,
        state: TrialState,
        reason: str = "",
        values: Sequence[float] | None = None,
    ) -> None:
        """A RUNNING trial is over; one that is over already stays as it is."""
        if state == TrialState.PRUNED:
            reported = self.get(number).intermediate_values
            values = [reported[max(reported)]] if reported else None
        self._leave(number, state, reason, values)

    def _leave(
        self,
        number: int,
        state: TrialState,
        reason: str,
        values: Sequence[float] | None = None,
    ) -> None:
        trial = self.get(number)
        try:
            if trial.state == TrialState.RUNNING:
                self.set(trial, **{REASON: reason})
                self.study._storage.set_trial_state_values(trial._trial_id, state, values)
        except UpdateFinishedTrialError:
            pass
        self.held.discard(number)

    def bury(self, number: int, reason: str) -> None:
        """The process of a RUNNING trial died."""
        trial = self.get(number)
        if trial.state != TrialState.RUNNING:
            self.held.discard(number)
            return
        deaths = int(trial.user_attrs.get(DEATHS) or 0) + 1
        self.set(trial, **{DEATHS: deaths})
        if deaths > self.retries:
            times = "once" if deaths == 1 else f"{deaths} times"
            self.tell(number, TrialState.FAIL, f"{reason}, {times}")
        else:
            self.give_up(number, reason)

    def reap(self) -> list[int]:
        """Bury the trials whose processes are gone; returns their numbers.

        Those that this process holds are left to whoever launched them: buried here, they could
        be claimed by a second slot before the first one sees its job fail, and run twice.
        """
        dead = [
            trial.number
            for trial in self.trials()
            if trial.state == TrialState.RUNNING
            and trial.number not in self.held
            and not self.alive(trial)
        ]
        for number in dead:
            self.bury(number, "its process died")
        return dead

    def alive(self, trial: FrozenTrial) -> bool:
        """Whether some process works on a RUNNING trial, as far as one can tell from here."""
        owner = trial.user_attrs.get(OWNER)
        if not isinstance(owner, dict):
            return True  # not one of ours
        if owner.get("host") == socket.gethostname():
            here = (owner.get("pid"), owner.get("start"))
            if here == (os.getpid(), process_start(os.getpid())):
                return trial.number in self.held
            return process_start(int(owner.get("pid") or 0)) == owner.get("start")
        return not self.stale(trial.number)

    def stale(self, number: int) -> bool:
        """Whether the heartbeat of a trial stopped; False where its folder is not shared."""
        try:
            beat = (self.place(number) / HEARTBEAT).stat().st_mtime
            return _now_there(self.folder) - beat > STALE_SECONDS
        except OSError:
            return False


def _now_there(folder: Path) -> float:
    """The time by the clock of a file system."""
    probe = folder / f".clock-{socket.gethostname()}-{os.getpid()}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        probe.unlink(missing_ok=True)
