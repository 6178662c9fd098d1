"""Trials that change hands: who may claim what, and what becomes of those left behind."""

import os
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from reach_rl.sweeps.ledger import (
    BEAT_SECONDS,
    DEATHS,
    FOLDER,
    HEARTBEAT,
    OWNER,
    STALE_SECONDS,
    STOP,
    Ledger,
    heartbeat,
    this_process,
    touch,
)
from reach_rl.sweeps.storage import make_study, open_study

GONE = {"host": this_process()["host"], "pid": 2**22 + 1, "start": "1", "job": True}
ELSEWHERE = {"host": "another-machine", "pid": 1, "start": "1", "job": True}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    study = make_study(str(tmp_path / "s.journal"), "s", ["maximize"], ["score"], {"space": {}})
    return Ledger(study, tmp_path, retries=2)


def states(ledger: Ledger) -> list[str]:
    return [trial.state.name for trial in ledger.trials()]


def owned_by(ledger: Ledger, owner: dict[str, object]) -> int:
    claim = ledger.claim(100)
    assert claim is not None
    ledger.set(claim, **{OWNER: owner})
    ledger.held.discard(claim.number)
    return claim.number


def test_numbers_end_below_the_total(ledger: Ledger):
    claims = [ledger.claim(2) for _ in range(4)]
    assert [claim and claim.number for claim in claims] == [0, 1, None, None]
    ledger.tell(0, TrialState.FAIL, "for a reason")
    assert ledger.claim(2) is None
    assert ledger.get(0).user_attrs["reason"] == "for a reason"


def test_who_is_too_late_leaves_its_number_for_a_larger_total(ledger: Ledger, monkeypatch):
    """Two processes without a common file system count the trials at the same moment."""
    ledger.claim(1)
    late, real = Ledger(ledger.study, ledger.folder), Ledger.trials
    seen = iter([[], [], []])
    monkeypatch.setattr(Ledger, "trials", lambda self: next(seen, real(self)))
    assert late.claim(1) is None
    monkeypatch.undo()
    assert states(ledger) == ["RUNNING", "WAITING"]
    assert ledger.claim(1) is None
    claim = ledger.claim(2)
    assert claim is not None
    assert claim.number == 1 and FOLDER not in claim.user_attrs


def test_a_stopped_trial_is_next_with_its_number_and_values(ledger: Ledger):
    first, second = ledger.claim(3), ledger.claim(3)
    assert first is not None and second is not None
    trial = optuna.Trial(ledger.study, first._trial_id)
    value = trial.suggest_float("x", 0, 1)
    trial.report(0.5, 0)
    ledger.set(first, folder=str(ledger.place(0)))
    ledger.take(0)
    ledger.give_up(0, "stopped")
    again = ledger.claim(3)
    assert again is not None
    assert again.number == 0 and FOLDER in again.user_attrs
    assert ledger.get(0).params == {"x": value}
    assert ledger.get(0).intermediate_values == {0: 0.5}


def test_trials_of_dead_processes_are_taken_up(ledger: Ledger):
    number = owned_by(ledger, GONE)
    assert ledger.reap() == [number]
    assert ledger.get(number).user_attrs[DEATHS] == 1
    claim = ledger.claim(1)
    assert claim is not None and claim.number == number


def test_a_trial_whose_job_died_is_left_to_the_slot_that_launched_it(ledger: Ledger):
    """Taken up by a second slot before the first one sees its job fail, it would run twice."""
    number = owned_by(ledger, GONE)
    ledger.held.add(number)
    assert ledger.reap() == []
    other = ledger.claim(5)
    assert other is not None and other.number != number
    ledger.bury(number, "its process died")
    again = ledger.claim(5)
    assert again is not None and again.number == number


def test_trials_of_the_living_are_left_alone(ledger: Ledger):
    ledger.claim(5)
    owned_by(ledger, this_process() | {"pid": os.getppid(), "start": _start(os.getppid())})
    owned_by(ledger, ELSEWHERE)  # no shared folder: nothing is known
    assert ledger.reap() == []
    assert states(ledger) == ["RUNNING"] * 3


def _start(pid: int) -> str | None:
    from reach_rl.rundir.status import process_start

    return process_start(pid)


def test_a_process_id_that_was_given_away_again_is_another_process(ledger: Ledger):
    owned_by(ledger, this_process() | {"pid": os.getppid(), "start": "1"})
    assert ledger.reap() == [0]


def test_what_this_process_began_and_no_longer_holds_is_left_behind(ledger: Ledger):
    ledger.claim(5)
    ledger.held.clear()
    assert ledger.reap() == [0]


@pytest.mark.parametrize(("age", "dead"), [(STALE_SECONDS / 2, []), (2 * STALE_SECONDS, [0])])
def test_the_heartbeat_tells_of_other_machines(ledger: Ledger, age: float, dead: list[int]):
    number = owned_by(ledger, ELSEWHERE)
    beat = ledger.place(number) / HEARTBEAT
    beat.parent.mkdir()
    beat.touch()
    then = time.time() - age
    os.utime(beat, (then, then))
    assert ledger.reap() == dead


def test_after_so_many_deaths_it_fails(ledger: Ledger):
    for _ in range(3):
        claim = ledger.claim(1)
        assert claim is not None
        ledger.bury(0, "its process died")
        ledger.held.clear()
    assert states(ledger) == ["FAIL"]
    assert ledger.get(0).user_attrs["reason"] == "its process died, 3 times"


def test_of_two_suspects_one_runs_at_a_time(ledger: Ledger):
    """Two trials whose processes died together: one of them is to blame."""
    ledger.claim(3), ledger.claim(3)
    ledger.bury(0, "its process died")
    ledger.bury(1, "its process died")
    first, second, third = ledger.claim(3), ledger.claim(3), ledger.claim(3)
    assert first is not None and second is not None
    assert (first.number, second.number, third) == (0, 2, None)
    ledger.tell(0, TrialState.COMPLETE, "", [1.0])
    again = ledger.claim(3)
    assert again is not None and again.number == 1


def test_a_job_that_comes_late_leaves_a_trial_alone(ledger: Ledger):
    number = owned_by(
        ledger, this_process(job=True) | {"pid": os.getppid(), "start": _start(os.getppid())}
    )
    assert ledger.take(number) is None
    assert ledger.claim(2) is not None
    ledger.tell(1, TrialState.COMPLETE, "", [1.0])
    assert ledger.take(1) is None


def test_what_is_told_once_stays(ledger: Ledger):
    ledger.claim(1)
    ledger.tell(0, TrialState.COMPLETE, "", [1.0])
    ledger.tell(0, TrialState.FAIL, "too late")
    ledger.bury(0, "too late")
    trial = open_study(str(ledger.folder / "s.journal"), "s").trials[0]
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 1.0)


def test_a_heartbeat_beats_and_hears_a_wish_to_stop(tmp_path: Path, monkeypatch):
    heard: list[int] = []
    monkeypatch.setattr("reach_rl.sweeps.ledger.os.kill", lambda pid, number: heard.append(number))
    monkeypatch.setattr("reach_rl.sweeps.ledger.LOOK_SECONDS", 0.01)
    touch(tmp_path / STOP)  # of an earlier time
    with heartbeat(tmp_path, listens=True):
        time.sleep(0.1)
        assert heard == []
        assert (tmp_path / HEARTBEAT).exists()
        touch(tmp_path / STOP)
        time.sleep(0.2)
    assert heard == [15]
    assert not (tmp_path / "stop").exists()
    assert 3 * BEAT_SECONDS < STALE_SECONDS
