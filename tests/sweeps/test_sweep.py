"""Whole searches with quick trials: what is drawn, told, pruned, failed and gone on with."""

import json
from pathlib import Path

import pytest
from optuna.trial import TrialState

GAMMA = "ppo.gamma=interval(0.5,1)"
RATE = "ppo.learning_rate=tag(log,interval(1e-4,1e-2))"
PLAIN = "hydra/sweeper/pruner=none"


def total(count: int) -> str:
    return f"hydra.sweeper.n_trials={count}"


def drawn(study) -> list[dict]:
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("sampler", ["tpe", "qmc"])
def test_going_on_draws_what_one_go_draws(quick, study, sampler: str):
    words = (GAMMA, RATE, PLAIN, f"hydra/sweeper/sampler={sampler}", "hydra.sweeper.sampler.seed=3")
    words += ("hydra.sweeper.sampler.n_startup_trials=1",) if sampler == "tpe" else ()
    name = "hydra.sweeper.study_name="
    assert quick(*words, total(1), name + "parts") == 0
    assert quick(*words, total(2), name + "parts") == 0
    assert quick(*words, total(2), name + "whole") == 0
    parts, whole = drawn(study("parts")), drawn(study("whole"))
    assert parts == whole
    assert len({json.dumps(params) for params in whole}) == 2


@pytest.mark.parametrize("sampler", ["gp", "cmaes"])
def test_other_samplers_draw_too(quick, study, sampler: str):
    words = (f"hydra/sweeper/sampler={sampler}", "hydra.sweeper.sampler.n_startup_trials=1")
    assert quick(GAMMA, RATE, PLAIN, total(3), *words) == 0
    assert all(set(params) == {"ppo.gamma", "ppo.learning_rate"} for params in drawn(study()))


def test_what_is_told(quick, study, here: Path):
    assert quick(GAMMA, "seed=5", PLAIN, total(2)) == 0
    found = study()
    assert [trial.state for trial in found.trials] == [TrialState.COMPLETE] * 2
    for trial in found.trials:
        attrs, gamma = trial.user_attrs, trial.params["ppo.gamma"]
        assert trial.value == pytest.approx(gamma + 0.005)
        assert attrs["folder"] == str(here / "multirun" / "search" / str(trial.number))
        assert attrs["seeds"] == [5]
        assert attrs["seed_values"] == pytest.approx([gamma + 0.005])
        assert attrs["env_steps"] == 1000
        assert f"ppo.gamma={gamma!r}" in attrs["overrides"]
        assert "seed=5" in attrs["overrides"]
        assert "wandb.group=search" in attrs["overrides"]
    assert found.user_attrs["space"] == {"ppo.gamma": "interval(0.5,1)"}
    assert "seed=5" in found.user_attrs["overrides"]
    assert found.metric_names == ["score"]
    assert (here / "multirun" / "search" / "results.csv").is_file()


def test_a_study_that_has_its_total_is_left_alone_and_no_other_search_mixed_in(
    quick, study, here: Path, capsys
):
    assert quick(GAMMA, PLAIN, total(2)) == 0
    before = {path: path.stat().st_mtime_ns for path in here.rglob("begun.jsonl")}
    assert quick(GAMMA, PLAIN, total(1), "progress=false", "vec_env.threads=1") == 0
    for words, text in (
        (("ppo.gamma=interval(0.5,0.9)",), "was begun with ppo.gamma=interval(0.5,1)"),
        ((GAMMA, "seed=3"), "was begun without seed=3"),
        ((GAMMA, RATE), "was begun without ppo.learning_rate="),
        ((GAMMA, "hydra.sweeper.seeds=2"), "was begun with seeds=1"),
        ((GAMMA, "hydra.sweeper.direction=minimize"), "was begun with direction=maximize"),
    ):
        capsys.readouterr()
        assert quick(*words, PLAIN, total(2)) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: hydra.sweeper.")
        assert text in line
    assert {path: path.stat().st_mtime_ns for path in here.rglob("begun.jsonl")} == before
    assert len(study().trials) == 2


def test_folders_of_another_study_are_not_written_into(quick, capsys, here: Path):
    folder = here / "multirun" / "search" / "0"
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("mine")
    assert quick(GAMMA, PLAIN, total(1)) == 2
    assert "holds runs of another sweep" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_pruning_spares_steps_and_keeps_the_best(quick, study):
    words = (GAMMA, total(5), "hydra/sweeper/sampler=random")
    begin = "hydra.sweeper.pruner.n_startup_trials=2"
    pruners = {"none": (), "median": (begin,), "percentile": (begin,), "hyperband": ()}
    for name, more in pruners.items():
        named = (f"hydra/sweeper/pruner={name}", f"hydra.sweeper.study_name={name}")
        assert quick(*words, *named, *more) == 0
    every = study("none")
    for name in pruners.keys() - {"none"}:
        some = study(name)
        assert drawn(every) == drawn(some)
        assert every.best_trial.number == some.best_trial.number
        pruned = [trial for trial in some.trials if trial.state == TrialState.PRUNED]
        assert pruned
        for trial in pruned:
            assert trial.user_attrs["env_steps"] == 100 * len(trial.intermediate_values) < 1000
            assert trial.user_attrs["reason"].startswith(f"{name} pruner, report ")
    steps = [sum(t.user_attrs["env_steps"] for t in s.trials) for s in (every, study("median"))]
    assert steps[1] < 0.8 * steps[0]


def test_failing_trials_are_told_and_the_sweep_goes_on(quick, study, here: Path):
    words = (GAMMA, total(5), PLAIN, "hydra/sweeper/sampler=random", "wandb.notes=fail:0.5:0.75")
    assert quick(*words) == 0
    failed = [trial for trial in study().trials if trial.state == TrialState.FAIL]
    assert {t.number for t in failed} == {
        t.number for t in study().trials if t.params["ppo.gamma"] < 0.75
    }
    assert 0 < len(failed) < 3
    reason = failed[0].user_attrs["reason"]
    assert reason.startswith("ZeroDivisionError: gamma")
    log = (here / "multirun" / "search" / str(failed[0].number) / "train.log").read_text()
    assert "Traceback" in log
    assert len(study().trials) == 5


def test_too_many_failures_end_the_sweep(quick, study, capsys):
    words = (GAMMA, total(20), PLAIN, "wandb.notes=fail:0:1", "hydra.sweeper.failure_rate=0.25")
    assert quick(*words) == 1
    assert "more than hydra.sweeper.failure_rate=0.25 allows" in capsys.readouterr().err
    assert len(study().trials) == 2


def test_a_diverged_trial_fails(quick, study):
    words = (GAMMA, total(1), PLAIN, "wandb.notes=diverge:0:1", "hydra.sweeper.failure_rate=1")
    assert quick(*words) == 0
    (trial,) = study().trials
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["reason"] == "diverged: numbers went bad"


def test_a_trial_that_a_warning_ends_is_pruned(quick, study):
    words = (GAMMA, total(1), PLAIN, "wandb.notes=unwell:0:1")
    assert quick(*words) == 0
    (trial,) = study().trials
    assert trial.state == TrialState.PRUNED
    assert "health.stop_on=entropy_collapse" in trial.user_attrs["reason"]


def test_a_wrong_combination_fails_alone(quick, study):
    """A rule across keys that one point breaks, out of two that pass on their own."""
    words = ("ppo.n_steps=24,12", "ppo.batch_size=1024,6144", "hydra/sweeper/sampler=grid")
    assert quick(*words, total(4), PLAIN, "vec_env.n_envs=256") == 0
    (failed,) = [trial for trial in study().trials if trial.state == TrialState.FAIL]
    assert failed.params == {"ppo.n_steps": 12, "ppo.batch_size": 6144}
    reason = failed.user_attrs["reason"]
    assert reason.startswith("wrong configuration: ppo.batch_size=6144: larger than the rollout")


def test_a_grid_ends_with_its_last_point(quick, study):
    words = ("ppo.gamma=0.8,0.9", "ppo.n_epochs=range(2,5)", "hydra/sweeper/sampler=grid")
    assert quick(*words, total(50), PLAIN) == 0
    points = {(p["ppo.gamma"], p["ppo.n_epochs"]) for p in drawn(study())}
    assert len(study().trials) == len(points) == 6


def test_choices_reach_the_run_as_they_were_typed(quick, study):
    nets = "ppo.policy_kwargs.net_arch.pi=[8,8],[16]"
    assert quick(nets, "robot=ur3e,ur10e", total(3), PLAIN) == 0
    for trial in study().trials:
        texts = trial.user_attrs["overrides"]
        assert (
            f"ppo.policy_kwargs.net_arch.pi={trial.params['ppo.policy_kwargs.net_arch.pi']}"
            in texts
        )
        assert trial.params["robot"] in ("ur3e", "ur10e")


def test_seeds_of_a_trial_and_pruning_between_them(quick, study, here: Path):
    words = ("hydra.sweeper.seeds=5", "hydra/sweeper/pruner=wilcoxon", total(6))
    assert quick("ppo.gamma=0.9,0.8,0.7,0.6,0.5,0.4", "hydra/sweeper/sampler=grid", *words) == 0
    found = study()
    best = found.best_trial
    assert best.user_attrs["seeds"] == [0, 1, 2, 3, 4]
    assert best.value == pytest.approx(best.params["ppo.gamma"] + 0.002)
    assert best.user_attrs["env_steps"] == 5000
    folder = here / "multirun" / "search" / str(best.number)
    assert sorted(path.name for path in folder.glob("seed_*")) == [f"seed_{i}" for i in range(5)]
    mean = json.loads((folder / "summary.json").read_text())
    assert mean["evaluation"]["success_rate"] == pytest.approx(best.value)
    pruned = [trial for trial in found.trials if trial.state == TrialState.PRUNED]
    assert pruned
    for trial in pruned:
        assert trial.params["ppo.gamma"] < best.params["ppo.gamma"]
        assert len(trial.user_attrs["seeds"]) == 4  # the first at which p is below 0.1


def test_each_trial_on_several_robots_counts_its_worst(quick, study, here: Path):
    each = "hydra.sweeper.each=['robot=ur3e','robot=ur10e']"
    words = (each, "hydra.sweeper.combine=worst", "hydra.sweeper.seeds=2", total(1), PLAIN)
    assert quick(GAMMA, *words) == 0
    (trial,) = study().trials
    names = ["ur3e_seed_0", "ur3e_seed_1", "ur10e_seed_0", "ur10e_seed_1"]
    begun = (here / "multirun" / "search" / "0").glob("*/begun.jsonl")
    assert sorted(path.parent.name for path in begun) == sorted(names)
    assert trial.value == pytest.approx(trial.params["ppo.gamma"])
    summary = here / "multirun" / "search" / "0" / "ur10e_seed_1" / "summary.json"
    assert json.loads(summary.read_text())["robot"] == "ur10e"


def test_several_objectives(quick, study):
    keys = "evaluation.success_rate,evaluation.jerk_rad_s3.median"
    words = (f"hydra.sweeper.objective=[{keys}]", "hydra.sweeper.direction=[maximize,minimize]")
    assert quick(GAMMA, RATE, PLAIN, total(2), "hydra/sweeper/sampler=nsgaii", *words) == 0
    for trial in study().trials:
        assert trial.values == pytest.approx(
            [trial.params["ppo.gamma"], trial.params["ppo.learning_rate"]]
        )
    assert study().metric_names == keys.split(",")


def test_a_study_in_sqlite(quick, here: Path):
    from reach_rl.sweeps.storage import open_study

    url = f"sqlite:///{here}/study.db"
    assert quick(GAMMA, PLAIN, total(1), f"hydra.sweeper.storage={url}") == 0
    assert quick(GAMMA, PLAIN, total(2), f"hydra.sweeper.storage={url}") == 0
    assert [trial.number for trial in open_study(url, "search").trials] == [0, 1]
    assert not (here / "multirun" / "search" / "study.journal").exists()


def test_a_storage_that_is_not_there_is_one_line(quick, capsys):
    url = "postgresql://me:secret@127.0.0.1:1/none"
    assert quick(GAMMA, PLAIN, total(1), f"hydra.sweeper.storage={url}") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be reached" in line
    assert "secret" not in line
