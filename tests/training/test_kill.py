"""SIGKILL at random moments, each followed by a resume: in the end nobody can tell."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reach_rl.monitoring.record import read_records
from reach_rl.rundir import checkpoint
from reach_rl.rundir.status import read_status

ROOT = Path(__file__).parents[2]


def figures(folder):
    """Every record without the times."""
    return [
        {key: value for key, value in record.items() if not key.startswith("time/")}
        for record in read_records(folder / "metrics.jsonl")
    ]


def state(folder, name):
    return checkpoint.read(checkpoint.resolve(folder / "checkpoints", name))


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.torture)])
def test_a_run_that_is_killed_ends_as_the_undisturbed_one(tmp_path, kills):
    command = [sys.executable, "-m", "tests.training.kill_runs", str(tmp_path), str(kills), "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr
    whole, *killed = sorted(tmp_path.iterdir(), reverse=True)
    assert whole.name == "whole" and killed
    assert len(figures(whole)) > 20
    for folder in killed:
        assert figures(folder) == figures(whole)
        for name in ("latest", "best"):
            expected, found = state(whole, name), state(folder, name)
            for part in checkpoint.PARTS:
                for key, value in getattr(expected, part).items():
                    np.testing.assert_array_equal(getattr(found, part)[key], value, err_msg=key)
        verdicts = [json.loads((f / "summary.json").read_text()) for f in (whole, folder)]
        assert verdicts[0]["evaluation"] == verdicts[1]["evaluation"]
        assert read_status(folder)["state"] == "finished"
        assert not list(folder.rglob(".*")) and not list(folder.rglob("damaged_*"))
