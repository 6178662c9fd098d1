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

Optuna's own heartbeat and retries are for databases alone, and begin a dead trial anew under
another number; here the number is that of the job and of the folder with its checkpoints.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from reach_rl.rundir.status import process_start
from reach_rl.sweeps.storage import locked

if TYPE_CHECKING:
    from optuna.study import Study

# User attributes of a trial.
OWNER = "owner"  # {host, pid, start, job}: the process that holds it; job: it is the job's own
DEATHS = "deaths"  # how often its process died
FOLDER = "folder"
REASON = "reason"  # why it failed, was pruned or stopped
ENV_STEPS = "env_steps"  # environment steps of all its runs
SEEDS = "seeds"  # seeds of its runs so far
SEED_VALUES = "seed_values"  # objective of each of its runs so far
OVERRIDES = "overrides"  # of its job, all of them

HEARTBEAT = "heartbeat"
"""File in a trial's folder that its process touches."""
STOP = "stop"
"""File in a trial's folder that asks its process to stop after saving."""
BEAT_SECONDS = 10.0
LOOK_SECONDS = 0.5
STALE_SECONDS = 120.0
"""Age of the heartbeat from which on a process of another machine counts as dead."""

_HELD: dict[tuple[int, str, str], set[int]] = {}


def this_process(job: bool = False) -> dict[str, Any]:
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
        self.held = _HELD.setdefault((os.getpid(), self.study.study_name, str(self.folder)), set())

    def lock(self) -> AbstractContextManager[object]:
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

    def owner(self, number: int) -> dict[str, Any]:
        """Who holds a trial; empty where that is not known."""
        return self.get(number).user_attrs.get(OWNER) or {}

    def trials(self) -> list[FrozenTrial]:
        """All trials as they are now; not to be changed."""
        return self.study.get_trials(deepcopy=False)

    def ended(self) -> int:
        """How many trials are over."""
        return sum(trial.state.is_finished() for trial in self.trials())

    def set(self, trial: FrozenTrial, **attributes: Any) -> None:  # noqa: ANN401  JSON
        """Set user attributes of a trial."""
        for name, value in attributes.items():
            self.study._storage.set_trial_user_attr(trial._trial_id, name, value)

    def claim(self, total: int) -> FrozenTrial | None:
        """A trial to run, of those below the total; None if there is none now.

        One without a FOLDER has no folder yet. A trial whose process died is not claimed while
        another such trial runs: should one of them take its process down again, it is then clear
        which.
        """
        self.reap()
        found = self.trials()
        risky = any(t.state == TrialState.RUNNING and t.user_attrs.get(DEATHS) for t in found)
        for trial in found:
            if trial.state != TrialState.WAITING or trial.number >= total:
                continue
            if not (risky and trial.user_attrs.get(DEATHS)) and self._own(trial):
                return trial
        while len(self.trials()) < total:
            template = create_trial(state=TrialState.WAITING, user_attrs={OWNER: this_process()})
            new = self.study._storage.create_new_trial(self.study._study_id, template)
            trial = self.study._storage.get_trial(new)
            if trial.number < total and self._own(trial):
                return trial
        return None

    def _own(self, trial: FrozenTrial) -> bool:
        """Make a WAITING trial RUNNING and this process's own; False if another was quicker."""
        storage = self.study._storage
        try:
            self.set(trial, **{OWNER: this_process()})
            if not storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
                return False
            self.set(trial, **{OWNER: this_process()})
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
            self.set(trial, **{OWNER: this_process(job=True)})
            self.held.add(number)
            return self.get(number)

    def give_up(self, number: int, reason: str) -> None:
        """A RUNNING trial is stopped; whoever claims it next goes on with it."""
        self.tell(number, TrialState.WAITING, reason)

    def tell(
        self,
        number: int,
        state: TrialState,
        reason: str = "",
        values: Sequence[float] | None = None,
    ) -> None:
        """A RUNNING trial is over; one that is over already stays as it is."""
        trial = self.get(number)
        if state == TrialState.PRUNED and (reported := trial.intermediate_values):
            values = [reported[max(reported)]]
        with suppress(UpdateFinishedTrialError):
            if trial.state == TrialState.RUNNING:
                self.set(trial, **{REASON: reason})
                self.study._storage.set_trial_state_values(trial._trial_id, state, values)
        self.held.discard(number)

    def bury(self, number: int, reason: str) -> None:
        """The process of a RUNNING trial died."""
        trial = self.get(number)
        if trial.state != TrialState.RUNNING:
            self.held.discard(number)
            return
        deaths = int(trial.user_attrs.get(DEATHS) or 0) + 1
        self.set(trial, **{DEATHS: deaths})
        if deaths <= self.retries:
            return self.give_up(number, reason)
        times = "once" if deaths == 1 else f"{deaths} times"
        self.tell(number, TrialState.FAIL, f"{reason}, {times}")

    def reap(self) -> list[int]:
        """Bury the trials whose processes are gone; returns their numbers.

        Those that this process holds are left to whoever launched them: buried here, they could
        be claimed by a second slot before the first one sees its job fail, and run twice.
        """
        running = [trial for trial in self.trials() if trial.state == TrialState.RUNNING]
        dead = [t.number for t in running if t.number not in self.held and not self.alive(t)]
        for number in dead:
            self.bury(number, "its process died")
        return dead

    def alive(self, trial: FrozenTrial) -> bool:
        """Whether some process works on a RUNNING trial, as far as one can tell from here."""
        owner = trial.user_attrs.get(OWNER)
        if not isinstance(owner, dict):
            return True  # not one of ours
        if owner.get("host") != socket.gethostname():
            return not self.stale(trial.number)
        if (owner.get("pid"), owner.get("start")) == (os.getpid(), process_start(os.getpid())):
            return trial.number in self.held
        return process_start(int(owner.get("pid") or 0)) == owner.get("start")

    def stale(self, number: int) -> bool:
        """Whether the heartbeat of a trial stopped; False where its folder is not shared."""
        try:
            beat = (self.place(number) / HEARTBEAT).stat().st_mtime
            clock = self.folder / "claim.lock"  # shows the time of the machine that has the files
            clock.touch()
            return clock.stat().st_mtime - beat > STALE_SECONDS
        except OSError:
            return False


@contextmanager
def heartbeat(folder: Path, listens: bool) -> Iterator[None]:
    """Touch the heartbeat of a trial while it runs, and hand a wish to stop to its process.

    Both are files, which any machine can see that shares the sweep's folder.

    Args:
        folder: of the trial.
        listens: a wish to stop concerns this process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if listens:  # earlier wishes to stop are void
        (folder / STOP).unlink(missing_ok=True)
    over = threading.Event()
    thread = threading.Thread(target=_beat, args=(folder, listens, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _beat(folder: Path, listens: bool, over: threading.Event) -> None:
    beat = 0.0
    while True:
        if time.monotonic() >= beat:
            beat = time.monotonic() + BEAT_SECONDS
            touch(folder / HEARTBEAT)
        if listens and (folder / STOP).exists():
            (folder / STOP).unlink(missing_ok=True)
            return os.kill(os.getpid(), signal.SIGTERM)
        if over.wait(LOOK_SECONDS):
            return


def touch(path: Path) -> None:
    """Touch the HEARTBEAT of a trial, or the file that has its process STOP after saving."""
    with suppress(OSError):
        path.touch()
