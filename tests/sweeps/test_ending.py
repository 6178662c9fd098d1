"""The end of a search, and trials side by side: real Hydra, launchers and Optuna, quick trials."""

import json
import signal
import time

import pytest
import yaml

from reach_rl.monitoring.record import Opening
from reach_rl.monitoring.wandb import about
from reach_rl.sweeps import launchers, results
from reach_rl.sweeps.winner import finish
from tests.small_runs import compose

GAMMA = "ppo.gamma=interval(0.5,1)"
FRESH = "hydra.sweeper.confirm_seeds=2"
JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


def total(count):
    return f"hydra.sweeper.n_trials={count}"


def begun(folder):
    """Per fresh run of the winner: where each of its processes began to count."""
    found = {}
    for path in sorted((folder / "confirm").rglob("begun.jsonl")):
        lines = map(json.loads, path.read_text().splitlines())
        found["/".join(path.parts[-3:-1])] = [line["at"] for line in lines]
    return found


def until(condition, process, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_the_best_trial_is_confirmed_kept_and_only_once(quick, here, capsys, monkeypatch):
    monkeypatch.setattr("reach_rl.sweeps.sweep.finish", finish)  # which the fixture leaves out
    (here / "own" / "experiment").mkdir(parents=True)
    mine = "# @package _global_\n# Mine.   reach-rl train experiment=mine\nppo: {clip_range: 0.3}\n"
    (here / "own" / "experiment" / "mine.yaml").write_text(mine)
    words = ("--config-dir", str(here / "own"), "experiment=mine", GAMMA, total(3), FRESH)
    words += ("hydra/sweeper/pruner=none",)
    assert quick(*words) == 0
    folder = here / "multirun" / "search"
    study = results.find(folder)
    best = study.best_trial
    runs = {f"trial_{best.number}/seed_{seed}": [0] for seed in (1000, 1001)}
    assert begun(folder) == runs
    told = capsys.readouterr().out
    assert f"best: trial {best.number}, score {best.value:.4g}" in told
    assert "on fresh seeds: score " in told
    assert f"--config-dir {here} experiment=tuned_search" in told
    tree = yaml.safe_load((here / "experiment" / "tuned_search.yaml").read_text())
    assert tree == {"defaults": ["mine"], "ppo": {"gamma": best.params["ppo.gamma"]}}
    fresh = json.loads((folder / "winner.json").read_text())["fresh"]["score"]
    gamma = best.params["ppo.gamma"]
    assert fresh["values"] == pytest.approx([gamma + 1.0, gamma + 1.001])
    assert quick(*words) == 0
    assert begun(folder) == runs, "what is complete is not trained again"
    assert [trial.number for trial in results.trials(study)] == [0, 1, 2]


def test_a_winner_that_fails_on_fresh_seeds_is_told_of_and_not_kept(
    quick, here, capsys, monkeypatch
):
    monkeypatch.setattr("reach_rl.sweeps.sweep.finish", finish)
    words = (GAMMA, total(1), FRESH, "hydra/sweeper/pruner=none")
    monkeypatch.setattr("reach_rl.sweeps.trial.going_on", _broken)
    assert quick(*words) == 0
    assert "not every run with a fresh seed ended well; no preset" in capsys.readouterr().err
    assert not list(here.rglob("tuned_*"))


def _broken(config, folder):
    if "confirm" in folder.parts:
        raise ZeroDivisionError(f"seed {config.seed}")
    return config


@pytest.mark.parametrize("launcher", [(), JOBLIB], ids=["basic", "joblib"])
def test_fresh_runs_are_stopped_by_a_signal_and_gone_on_with(here, start, launcher):
    words = (GAMMA, total(1), FRESH, *launcher)
    folder = here / "multirun" / "search"
    folder.mkdir(parents=True)
    (folder / "go").touch()  # for the trial, and not for the fresh runs
    process = start(*words, "wandb.notes=held")
    count = folder / "confirm" / "trial_0" / "seed_1000" / "checkpoints" / "count.json"
    until(lambda: count.exists() and json.loads(count.read_text())["at"] >= 3, process)
    process.send_signal(signal.SIGTERM)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 143, text
    assert "stopped; the same command goes on" in text
    assert not (folder / "winner.json").exists()
    states = [json.loads(p.read_text())["state"] for p in (folder / "confirm").rglob("status.json")]
    assert set(states) == {"stopped"}
    (folder / "confirm" / "trial_0" / "go").touch()
    again = start(*words)
    text, _ = again.communicate(timeout=120)
    assert again.returncode == 0, text
    assert [at >= 3 for at in begun(folder)["trial_0/seed_1000"]] == [False, True]
    assert (folder / "winner.json").exists()


def test_joblib_refills_divides_the_cores_and_changes_no_trial(quick, here, start):
    """The next trial begins as soon as one ends, not when all of a batch have ended."""
    words = (GAMMA, total(5), "hydra/sweeper/sampler=random", "hydra/sweeper/pruner=none")
    assert quick(*words, "hydra.sweeper.study_name=alone") == 0
    alone = results.trials(results.find(here / "multirun" / "alone"))
    gamma = alone[0].params["ppo.gamma"]
    process = start(*words, *JOBLIB, f"wandb.notes=held:{gamma - 1e-9}:{gamma + 1e-9}")
    folder = here / "multirun" / "search"
    until(lambda: (folder / "4" / "begun.jsonl").exists(), process)
    (folder / "go").touch()
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 0, text
    trials = results.trials(results.find(here / "multirun" / "search"))
    assert [(t.params, t.values) for t in trials] == [(t.params, t.values) for t in alone]
    pids = {trial.user_attrs["owner"]["pid"] for trial in trials}
    assert len(pids) == 2
    assert process.pid not in pids
    first, *rest = trials
    beside = [t for t in rest if first.datetime_start < t.datetime_start < first.datetime_complete]
    assert len(beside) >= 2, "a worker waited for the other"
    share = f"vec_env.threads={max(1, launchers.cores() // 2)}"
    assert all(share in trial.user_attrs["overrides"] for trial in trials)
    assert not any(share in trial.user_attrs["overrides"] for trial in alone)


def test_submitit_runs_trials_too(here, start):
    process = start(
        *(GAMMA, total(2), "hydra/launcher=submitit_local", "hydra.sweeper.n_jobs=2"),
        *("hydra.launcher.cpus_per_task=1", "hydra/sweeper/pruner=none"),
    )
    text, _ = process.communicate(timeout=240)
    assert process.returncode == 0, text
    trials = results.trials(results.find(here / "multirun" / "search"), "COMPLETE")
    assert len(trials) == 2
    assert all("vec_env.threads=1" in trial.user_attrs["overrides"] for trial in trials)
    assert len({trial.user_attrs["owner"]["pid"] for trial in trials} - {process.pid}) == 2


def test_on_wandb_the_runs_of_a_study_have_its_group_and_names_of_their_own(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "multirun.yaml").write_text("hydra: {}\n")
    config = compose(["wandb.group=study"])
    for place, name in (
        ("3", "mine_3"),
        ("3/seed_1", "mine_3_seed_1"),
        ("confirm/trial_3/seed_1000", "mine_confirm_trial_3_seed_1000"),
    ):
        told = about(Opening(folder / place, config))
        assert (told["group"], told["name"]) == ("study", name)
