"""A study that is killed, stopped, and shared between processes ends as if nothing had been."""

import json
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState

from reach_rl.sweeps.storage import open_study

GAMMA = "ppo.gamma=interval(0.5,1)"
HELD = "wandb.notes=held"


def _study(here: Path, name: str = "search"):
    return open_study(str(here / "multirun" / name / "study.journal"), name)


def _finish(process: subprocess.Popen[str], seconds: float = 240) -> str:
    text, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, text
    return text


def _wait(condition, process: subprocess.Popen[str], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def _counted(here: Path, at: int = 3):
    path = here / "multirun" / "search" / "0" / "checkpoints" / "count.json"
    return lambda: path.exists() and json.loads(path.read_text())["at"] >= at


ENDED = frozenset({TrialState.COMPLETE, TrialState.PRUNED})


def proper(here: Path, total: int, name: str = "search", states=ENDED) -> list[dict[str, object]]:
    """A finished study: each trial once, in its folder, begun anew never but at its beginning."""
    trials = _study(here, name).trials
    assert [trial.number for trial in trials] == list(range(total))
    assert {trial.state for trial in trials} <= states
    folder = here / "multirun" / name
    assert {p.name for p in folder.iterdir() if p.name.isdecimal()} == set(map(str, range(total)))
    begun = []
    for trial in trials:
        lines = (folder / str(trial.number) / "begun.jsonl").read_text().splitlines()
        starts = [json.loads(line) for line in lines]
        assert {start["gamma"] for start in starts} == {trial.params["ppo.gamma"]}
        assert trial.user_attrs["folder"] == str(folder / str(trial.number))
        begun.append({"number": trial.number, "starts": starts})
    assert len({trial.params["ppo.gamma"] for trial in trials}) == total
    return begun


def test_a_signal_stops_it_and_the_same_command_goes_on(here: Path, start):
    """SIGINT; tests/sweeps/test_ending.py sends SIGTERM."""
    words = (GAMMA, "hydra.sweeper.n_trials=2", "hydra/sweeper/pruner=none")
    process = start(*words, HELD)
    _wait(_counted(here), process)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 130, text
    assert "the same command goes on" in text
    (trial,) = _study(here).trials
    assert trial.state == TrialState.WAITING
    assert trial.user_attrs["reason"] == "stopped"
    drawn = trial.params
    _finish(start(*words))
    starts = proper(here, 2)[0]["starts"]
    assert [entry["at"] >= 3 for entry in starts] == [False, True]
    assert _study(here).trials[0].params == drawn


def test_a_kill_before_a_trial_begins_loses_nothing(here: Path, quick, monkeypatch):
    """The folder is there, the job has not begun."""
    from reach_rl.sweeps import sweep

    def killed(self, number, overrides) -> None:
        folder = self.ledger.place(number)
        folder.mkdir()
        (folder / "heartbeat").touch()
        self.ledger.held.clear()
        raise RuntimeError("killed")

    words = (GAMMA, "hydra.sweeper.n_trials=2", "hydra/sweeper/pruner=none")
    with monkeypatch.context() as patch:
        patch.setattr(sweep.Sweep, "_run", killed)
        assert quick(*words) == 1
    (trial,) = _study(here).trials
    assert trial.state == TrialState.RUNNING
    assert quick(*words) == 0
    assert len(proper(here, 2)[0]["starts"]) == 1


def test_a_trial_of_a_dead_process_goes_on_from_its_checkpoint_until_it_fails(here: Path, start):
    words = (GAMMA, "hydra.sweeper.n_trials=1", "hydra.sweeper.retries=1", HELD)
    for deaths, at in enumerate((3, 4)):
        process = start(*words)
        _wait(_counted(here, at=at), process)
        process.kill()
        process.communicate()
        (trial,) = _study(here).trials
        assert trial.state == TrialState.RUNNING
        assert trial.user_attrs.get("deaths", 0) == deaths
    (begun,) = proper(here, 1, states={TrialState.RUNNING})
    assert [entry["at"] >= 3 for entry in begun["starts"]] == [False, True]
    process = start(*words)
    process.communicate(timeout=60)
    (trial,) = _study(here).trials
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["reason"] == "its process died, 2 times"


@pytest.mark.torture
def test_ten_kills_at_random_moments(here: Path, start):
    chance = random.Random(0)
    words = (GAMMA, "hydra.sweeper.n_trials=30", "hydra.sweeper.retries=10")
    for _ in range(10):
        process = start(*words)
        time.sleep(chance.uniform(0.5, 8.0))
        process.kill()
        process.communicate()
    text = _finish(start(*words), 600)
    begun = proper(here, 30)
    for trial in begun:
        counts = [entry["at"] for entry in trial["starts"]]
        assert counts == sorted(counts), f"{trial} began anew"
    assert "best: trial" in text
