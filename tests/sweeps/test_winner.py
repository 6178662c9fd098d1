import json
import re
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import yaml

from reach_rl.config import conf_dir, search
from reach_rl.config.composition import Composer
from reach_rl.sweeps import preset, winner
from tests.small_runs import compose

optuna.logging.set_verbosity(optuna.logging.WARNING)
FIXED = ["robot=ur10e", "experiment=fast", "wandb=disabled", "seed=4", "vec_env.threads=1"]


def study_of(values, directions=("maximize",)):
    study = optuna.create_study(study_name="my ppo", directions=list(directions))
    study.set_user_attr("command", "python -m reach_rl.train -m sweep=ppo robot=ur10e")
    for value in values:
        trial = study.ask()
        rate = trial.suggest_float("ppo.learning_rate", 1e-4, 1e-2, log=True)
        trial.set_user_attr("overrides", [*FIXED, f"ppo.learning_rate={rate}", "reward=notes"])
        trial.set_user_attr("seeds", [4, 1001])
        study.tell(trial, value)
    return study


class Runs:
    """Stands in for the launcher: each job leaves the summary of a run in its folder."""

    def __init__(self, sweep, broken=()):
        self.sweep, self.broken, self.jobs = sweep, broken, []

    def __call__(self, jobs):
        for folder, job in jobs:
            said = dict(text.partition("=")[::2] for text in job)
            self.jobs.append(said)
            assert folder == self.sweep / said["hydra.sweep.subdir"]
            folder.mkdir(parents=True, exist_ok=True)
            if int(said["seed"]) in self.broken:
                continue
            rate = 0.8 + 0.01 * (int(said["seed"]) % 10)
            rate -= 0.1 * (said.get("robot") == "ur20")
            text = json.dumps({"evaluation": {"success_rate": rate}, "wall_time_s": 60.0})
            (folder / "summary.json").write_text(text)


def searching(sweep, *overrides):
    folder = f"hydra.sweeper.preset_dir={sweep / 'mine'}"
    goal = "hydra.sweeper.objective=evaluation.success_rate"
    words = ["sweep=search", folder, goal, "hydra.sweeper.confirm_seeds=3", *overrides]
    composed = Composer().compose(words)
    return search.read(composed.hydra["sweeper"])


def crowned(study, sweep, runs=None, *overrides):
    runs = runs or Runs(sweep)
    what = searching(sweep, *overrides)
    found = winner.confirm(study, sweep, what, runs)
    return found and winner.keep(study, sweep, what, found), runs


def test_the_best_trial_is_trained_again_on_seeds_that_no_trial_used(tmp_path):
    study = study_of([0.2, 0.7, 0.5])
    path, runs = crowned(study, tmp_path)
    assert [job["seed"] for job in runs.jobs] == ["1000", "1002", "1003"]
    rate = study.trials[1].params["ppo.learning_rate"]
    assert {job["ppo.learning_rate"] for job in runs.jobs} == {str(rate)}
    tree = json.loads((tmp_path / "winner.json").read_text())
    assert tree["trial"] == 1
    assert tree["fresh"]["success rate"]["values"] == pytest.approx([0.8, 0.82, 0.83])
    found = tree["fresh"]["evaluation.success_rate"]
    assert found["interval95"][0] < found["mean"] < found["interval95"][1]
    assert path.name == "tuned_my_ppo.yaml"


def test_the_preset_composes_to_what_the_trial_was_and_leaves_the_rest_alone(tmp_path):
    study = study_of([0.2, 0.7])
    path, _ = crowned(study, tmp_path)
    config = compose([f"experiment={path.stem}", "seed=9"], config_dir=tmp_path / "mine")
    direct = compose(
        [
            *("robot=ur10e", "experiment=fast", "reward=notes", "seed=9"),
            f"ppo.learning_rate={study.trials[1].params['ppo.learning_rate']}",
        ]
    )
    assert config == direct
    assert config.vec_env.threads == compose([]).vec_env.threads


def test_the_head_of_the_preset_says_where_it_comes_from(tmp_path):
    study = study_of([0.2, 0.7])
    study.set_user_attr("command", "train -m hydra.sweeper.storage=postgresql://me:hunter2@db/x")
    path, _ = crowned(study, tmp_path)
    text = path.read_text()
    head = dict(re.findall(r"^# ([\w ]+): (.*)$", text, re.MULTILINE))
    assert "hunter2" not in text
    assert head["study"] == f"my ppo in {tmp_path.name}"
    assert head["trial"] == "1 of 2"
    assert head["fresh seeds"] == "1000, 1002, 1003"
    assert head["in the search"] == "value 0.7"
    assert re.fullmatch(
        r"0\.8167, 95 % interval 0\.77\d+ to 0\.85\d+, 3 seeds", head["success rate on fresh seeds"]
    )
    assert {"command", "version", "written"} <= set(head)
    assert text.startswith("# @package _global_\n# What a sweep found best.   python -m reach_rl")


def test_runs_that_are_complete_stay_and_a_better_trial_is_crowned_anew(tmp_path):
    study = study_of([0.2, 0.7])
    path, _ = crowned(study, tmp_path)
    again, runs = crowned(study, tmp_path)
    assert (again, runs.jobs) == (path, [])
    trial = study.ask()
    trial.suggest_float("ppo.learning_rate", 1e-4, 1e-2, log=True)
    trial.set_user_attr("overrides", ["ppo.learning_rate=0.001"])
    study.tell(trial, 0.9)
    anew, runs = crowned(study, tmp_path)
    assert anew == path
    assert len(runs.jobs) == 3
    assert yaml.safe_load(path.read_text())["ppo"] == {"learning_rate": 0.001}


def test_while_a_fresh_run_is_missing_nobody_is_crowned(tmp_path):
    study = study_of([0.7])
    path, _ = crowned(study, tmp_path, Runs(tmp_path, broken=(1002,)))
    assert path is None
    assert not (tmp_path / "winner.json").exists()
    path, runs = crowned(study, tmp_path)
    assert path is not None
    assert [job["seed"] for job in runs.jobs] == ["1002"]


def test_another_study_of_the_same_name_keeps_its_preset(tmp_path):
    presets = tmp_path / "experiment"
    first = preset.write("ppo", ["ppo.gamma=0.9"], {"study": "ppo in a"}, presets)
    second = preset.write("ppo", ["ppo.gamma=0.8"], {"study": "ppo in b"}, presets)
    third = preset.write("ppo", ["ppo.gamma=0.7"], {"study": "ppo in a"}, presets)
    assert (first.name, second.name, third) == ("tuned_ppo.yaml", "tuned_ppo_2.yaml", first)
    assert yaml.safe_load(second.read_text()) == {"ppo": {"gamma": 0.8}}


def test_of_a_front_the_best_in_the_first_objective_is_kept(tmp_path):
    study = study_of([(0.5, 1.0), (0.9, 3.0), (0.4, 2.0)], ("maximize", "minimize"))
    several = (
        "hydra.sweeper.objective=[evaluation.success_rate,wall_time_s]",
        "hydra.sweeper.direction=[maximize,minimize]",
    )
    path, _ = crowned(study, tmp_path, None, *several)
    tree = json.loads((tmp_path / "winner.json").read_text())
    assert tree["fresh"]["wall_time_s"]["mean"] == 60.0
    assert "# trial: 1 of 3, of the Pareto front (1, 0) the best in value 0\n" in path.read_text()
    assert tree["front"] == [1, 0]


def test_without_fresh_seeds_the_search_is_trusted(tmp_path):
    path, runs = crowned(study_of([0.2, 0.7]), tmp_path, None, "hydra.sweeper.confirm_seeds=0")
    assert not runs.jobs
    assert "# fresh seeds: none were asked for\n" in path.read_text()


def test_a_trial_of_several_runs_is_confirmed_by_all_of_them(tmp_path):
    robust = ("hydra.sweeper.each=['robot=ur3e','robot=ur20']", "hydra.sweeper.combine=worst")
    _, runs = crowned(study_of([0.7]), tmp_path, None, *robust)
    assert [job["robot"] for job in runs.jobs] == ["ur3e", "ur20"] * 3
    assert len({job["hydra.sweep.subdir"] for job in runs.jobs}) == 6
    tree = json.loads((tmp_path / "winner.json").read_text())
    assert tree["fresh"]["success rate"]["values"] == pytest.approx([0.7, 0.72, 0.73])


def test_without_a_complete_trial_there_is_no_winner(tmp_path):
    study = optuna.create_study()
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    assert crowned(study, tmp_path)[0] is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("overrides", "defaults", "tree"),
    [
        (["ppo.gamma=0.9", "ppo.gamma=0.8"], [], {"ppo": {"gamma": 0.8}}),
        (["robot=ur3e"], [{"override /robot": "ur3e"}], {}),
        (["experiment=notes_quick"], ["notes_quick"], {}),
        (
            ["experiment=fast", "robot=ur3e", "ppo.gamma=0.9"],
            ["fast", {"override /robot": "ur3e"}],
            {"ppo": {"gamma": 0.9}},
        ),
        (["~reward.terms.stillness"], [], {"reward": {"terms": {"stillness": None}}}),
        (["ppo.n_steps=${vec_env.n_envs}"], [], {"ppo": {"n_steps": "${vec_env.n_envs}"}}),
        (
            ["task.region.box_low=[0.1,-0.2,0]"],
            [],
            {"task": {"region": {"box_low": [0.1, -0.2, 0]}}},
        ),
        (["hydra.sweeper.n_trials=3", "wandb=offline", "run_dir=a", "vec_env.threads=1"], [], {}),
        (["sweep=ppo", "total_timesteps=1000", "evaluation.every=10"], [], {}),
    ],
)
def test_overrides_become_a_defaults_list_and_values(overrides, defaults, tree):
    assert preset.split(overrides, Composer()) == (defaults, tree)


def test_a_searched_length_stays():
    found = preset.split(["total_timesteps=1000", "seed=3"], Composer(), ["total_timesteps"])
    assert found == ([], {"total_timesteps": 1000})


def test_what_a_sweep_chooses_and_items_of_lists_are_kept(tmp_path):
    overrides = ["sweep=curriculum", "curriculum.stages.0.region_share=0.5"]
    path = preset.write("c", overrides, {"study": "c in a"}, tmp_path / "experiment")
    tree = yaml.safe_load(path.read_text())
    assert tree["defaults"] == [{"override /curriculum": "staged"}]
    config = compose([f"experiment={path.stem}"], config_dir=tmp_path)
    assert config == compose(["curriculum=staged", "curriculum.stages.0.region_share=0.5"])
    assert config.curriculum.stages[0].region_share == 0.5


def test_presets_go_into_the_checkout_or_beside_the_sweep(tmp_path, monkeypatch):
    assert preset.default_folder(tmp_path) == conf_dir() / "experiment"
    monkeypatch.setattr(preset.os, "access", lambda path, mode: False)
    assert preset.default_folder(tmp_path) == tmp_path / "conf" / "experiment"
    assert preset.default_folder(tmp_path, tmp_path / "own") == tmp_path / "own" / "experiment"
    assert preset.command(Path("a/conf/experiment/tuned_x.yaml")) == (
        "python -m reach_rl.train --config-dir a/conf experiment=tuned_x"
    )


def test_the_front_door_takes_a_preset(tmp_path):
    path, _ = crowned(study_of([0.7]), tmp_path)
    command = [sys.executable, "-m", "reach_rl.train", "--config-dir", str(tmp_path / "mine")]
    done = subprocess.run(
        [*command, f"experiment={path.stem}", "--cfg", "job"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["robot"]["name"] == "ur10e"
