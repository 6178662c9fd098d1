"""A search whose trials are real trainings, in the command that a user types."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from optuna.trial import TrialState

from reach_rl.sweeps.results import score
from reach_rl.sweeps.storage import open_study

ROOT = Path(__file__).parents[2]


def test_ppo_in_the_command_that_a_user_types(here: Path):
    words = ["-m", "sweep=ppo", "experiment=debug", "evaluation.also=[]", "picture=false"]
    words += ["hydra.sweeper.n_trials=2", "hydra.sweeper.confirm_seeds=1"]
    words += [f"hydra.sweeper.preset_dir={here}"]
    done = subprocess.run(
        [sys.executable, "-m", "reach_rl.train", *words],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    folder = here / "multirun" / "ppo"
    study = open_study(str(folder / "study.journal"), "ppo")
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2
    for trial in study.trials:
        run = folder / str(trial.number)
        summary = json.loads((run / "summary.json").read_text())
        assert trial.value == pytest.approx(score(summary))
        assert list(trial.intermediate_values) == [0, 1]
        assert trial.user_attrs["env_steps"] == summary["total_timesteps"]
        assert "config.yaml" in {path.name for path in run.iterdir()}
        provenance = json.loads((run / "provenance.json").read_text())
        assert f"ppo.gamma={trial.params['ppo.gamma']!r}" in provenance["overrides"]
    assert (here / "experiment" / "tuned_ppo.yaml").is_file()
