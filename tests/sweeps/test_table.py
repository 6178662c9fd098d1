import io
import re
import time

import optuna
from optuna.trial import TrialState
from rich.console import Console

from reach_rl.monitoring.terminal import clock
from reach_rl.sweeps import results
from reach_rl.sweeps.table import StudyTable, table, time_left

optuna.logging.set_verbosity(optuna.logging.WARNING)
KEYS = ("learning_rate", "gamma", "clip_range", "ent_coef", "vf_coef", "max_grad_norm")


def grown(trials=3):
    study = optuna.create_study(study_name="mine", direction="maximize")
    for number in range(trials):
        trial = study.ask()
        for key in KEYS:
            trial.suggest_float(f"ppo.{key}", 0.0, 1.0)
        study.tell(trial, 0.1 * (number % 7))
    return study


def drawn(study, width, height=24, n_trials=20):
    console = Console(file=io.StringIO(), width=width, height=height)
    console.print(table(study, results.rows(study), n_trials, 1, console))
    return console.file.getvalue().splitlines()


def test_off_a_terminal_each_trial_is_told_once_when_it_ends():
    study = grown(2)
    console = Console(file=io.StringIO(), width=200)
    with StudyTable(study, 5, 1, console) as watch:
        trial = study.ask()
        watch.update()
        assert console.file.getvalue() == ""
        study.tell(trial, 0.9)
        watch.update()
        failed = study.ask()
        failed.set_user_attr("reason", "killed by SIGKILL")
        study.tell(failed, state=TrialState.FAIL)
    first, second = console.file.getvalue().splitlines()
    assert first.startswith("3 of 5: trial 2 complete after 0:00, value 0.9, the best")
    assert second.startswith("4 of 5: trial 3 failed after 0:00, best 0.9, killed by SIGKILL")


def test_trials_of_other_processes_appear_without_being_told():
    study = grown(1)
    console = Console(file=io.StringIO(), width=200)
    with StudyTable(study, 5, 1, console):
        study.tell(study.ask(), 0.5)
        end = time.monotonic() + 10.0
        while not console.file.getvalue() and time.monotonic() < end:
            time.sleep(0.05)
        assert "2 of 5: trial 1 complete" in console.file.getvalue()


def test_the_table_fits_the_terminal_and_says_how_many_it_left_out():
    study = grown(40)
    for width in (80, 120):
        lines = drawn(study, width, n_trials=50)
        assert len(lines) <= 23
        assert max(map(len, lines)) <= width
        assert lines[0].startswith("mine: 40 of 50 trials (40 complete), best 0.6 in trial 6")
        shown = [int(found[1]) for line in lines if (found := re.match(r" +(\d+) +complete", line))]
        assert shown == sorted(shown)
        assert 6 in shown, "the best stays in sight"
        assert 39 in shown
        assert f"{40 - len(shown)} more" in lines[-1]
        assert all("learning_rate=" in line for line in lines if "complete " in line)
    assert any("max_grad_norm" in line for line in drawn(study, 160))


def test_a_terminal_gets_a_table_and_a_line_for_each_failure():
    study = grown(2)
    console = Console(file=io.StringIO(), width=100, height=20, force_terminal=True)
    with StudyTable(study, 5, 1, console):
        failed = study.ask()
        failed.set_user_attr("reason", "out of memory")
        study.tell(failed, state=TrialState.FAIL)
    text = console.file.getvalue()
    assert "out of memory" in text
    assert "3 of 5 trials" in text


def test_the_time_left_counts_what_runs_and_how_many_run_side_by_side():
    rows = [{"state": "complete", "seconds": 10.0}, {"state": "failed", "seconds": 20.0}]
    assert time_left(rows, 4, 1) == 30.0
    running = [*rows, {"state": "running", "seconds": 5.0}]
    assert time_left(running, 4, 1) == 25.0
    assert time_left(running, 4, 2) == 12.5
    assert time_left([{"state": "running", "seconds": 5.0}], 4, 1) is None
    assert (clock(61), clock(3661), clock(None)) == ("1:01", "1:01:01", "-")
