import csv
import json
import math

import optuna
import pytest
from optuna.trial import TrialState

from reach_rl.sweeps import results
from reach_rl.sweeps.storage import make_study, url_of

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def study():
    """Ten complete trials, of which the rate alone matters; one pruned, one failed, one running."""
    made = optuna.create_study(study_name="mine", direction="maximize")
    made.set_user_attr("command", "python -m reach_rl.train -m sweep=ppo")
    for number in range(10):
        trial = made.ask()
        rate = trial.suggest_float("ppo.learning_rate", 1e-5, 1e-2, log=True)
        trial.suggest_categorical("robot", ["ur5e", "ur20"])
        for index in range(3):
            trial.report(0.1 * index, index)
        trial.set_user_attr("env_steps", 1000)
        trial.set_user_attr("folder", f"sweep/{number}")
        made.tell(trial, -abs(math.log10(rate) + 3.0))
    pruned = made.ask()
    pruned.suggest_float("ppo.learning_rate", 1e-5, 1e-2, log=True)
    pruned.report(0.05, 0)
    made.tell(pruned, state=TrialState.PRUNED)
    failed = made.ask()
    failed.set_user_attr("reason", "diverged at step 3,200, loss nan")
    made.tell(failed, state=TrialState.FAIL)
    made.ask()
    return made


@pytest.fixture
def pareto():
    made = optuna.create_study(directions=["maximize", "minimize"])
    for success, jerk in ((0.5, 1.0), (0.9, 3.0), (0.4, 2.0), (0.8, 2.0)):
        made.add_trial(optuna.trial.create_trial(values=[success, jerk]))
    return made


def test_rows_and_header_say_what_became_of_every_trial(study):
    rows = results.rows(study)
    assert [row["state"] for row in rows] == ["complete"] * 10 + ["pruned", "failed", "running"]
    assert rows[11]["reason"] == "diverged at step 3,200, loss nan"
    assert rows[11]["values"] == {"value": None}
    head = results.header(study)
    assert head["trials"] == {"complete": 10, "pruned": 1, "failed": 1, "running": 1}
    assert head["env_steps"] == 10_000
    assert head["best"]["number"] == study.best_trial.number
    assert head["best"]["values"]["value"] == study.best_value
    assert head["command"] == "python -m reach_rl.train -m sweep=ppo"


def test_importance_names_the_key_that_matters(study):
    shares = results.importance(study)["value"]
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["ppo.learning_rate"] > shares["robot"]
    assert results.importance(optuna.create_study()) == {"value": {}}


def test_the_files_hold_every_trial(study, tmp_path):
    results.write(study, tmp_path)
    tree = json.loads((tmp_path / "results.json").read_text())
    assert tree["study"] == "mine"
    assert len(tree["results"]) == 13
    with (tmp_path / "results.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [int(row["number"]) for row in table] == list(range(13))
    assert float(table[3]["ppo.learning_rate"]) == study.trials[3].params["ppo.learning_rate"]
    assert float(table[3]["value"]) == study.trials[3].value
    assert table[11]["reason"] == "diverged at step 3,200, loss nan"


def test_of_several_objectives_the_front_is_told_best_in_the_first_one_first(pareto):
    assert [trial.number for trial in results.front(pareto)] == [1, 3, 0]
    assert results.best(pareto).number == 1
    assert results.header(pareto)["front"] == [1, 3, 0]
    assert [o.maximise for o in results.objectives(pareto)] == [True, False]


def test_a_study_without_a_complete_trial_has_no_best(tmp_path):
    empty = optuna.create_study()
    empty.ask()
    assert results.best(empty) is None
    results.write(empty, tmp_path)
    assert json.loads((tmp_path / "results.json").read_text())["best"] is None


def test_a_folder_leads_to_its_study_and_its_results_are_written_on_demand(tmp_path, capsys):
    study = make_study(
        url_of(None, tmp_path), "mine", ["maximize"], ["score"], {"space": {"ppo.gamma": "1,2"}}
    )
    study.tell(study.ask(), 0.5)
    assert results.find(tmp_path).study_name == "mine"
    assert results.main([str(tmp_path)]) == 0
    assert json.loads((tmp_path / "results.json").read_text())["best"]["values"] == {"score": 0.5}
    assert (tmp_path / "results.csv").read_text().startswith("number,state,score,seconds")
    assert results.main([str(tmp_path / "nothing")]) == 2
    assert "not the folder of a search" in capsys.readouterr().err
    (tmp_path / "multirun.yaml").write_text("hydra: {sweeper: {study_name: other}}\n")
    assert results.main([str(tmp_path)]) == 2
    assert "has no study other; it has mine" in capsys.readouterr().err
