"""A user's own groups, options and presets, from a folder beside the work, in whole processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
OWN = {
    "robot/lab_arm.yaml": "defaults: [ur10e]\nreach: 1.1\n",
    "task/shelf.yaml": "defaults: [front]\nregion: {name: shelf, pan_distance: 0.5}\n",
    "site/hall.yaml": (
        "# @package _global_\n# The cell in hall 3.   reach-rl train +site=hall\nseed: 5\n"
        "wandb: {project: hall}\n"
    ),
    "experiment/mine.yaml": (
        "# @package _global_\n# A first look.   reach-rl train experiment=mine\n"
        "defaults:\n  - debug\n  - override /robot: lab_arm\n  - override /task: shelf\n"
        "evaluation: {goals: 2, also: [near]}\n"
    ),
}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    for name, text in OWN.items():
        path = folder / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def reach_rl(work: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "reach_rl.cli", *words],
        cwd=work,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_they_are_in_help_and_explain(work: Path):
    text = reach_rl(work, "train", "--config-dir", "mine", "--help")
    for word in ("lab_arm", "shelf", "site=", "hall", "mine"):
        assert word in text
    text = reach_rl(work, "explain", "robot.reach", "--config-dir", "mine", "robot=lab_arm")
    assert "1.1" in text
    assert "mine/robot/lab_arm.yaml" in text


def test_they_train_and_judge(work: Path):
    arguments = ["experiment=mine", "+site=hall", "picture=false", "run_dir=first"]
    reach_rl(work, "train", "--config-dir", "mine", *arguments)
    config = yaml.safe_load((work / "first" / "config.yaml").read_text())
    assert (config["robot"]["name"], config["robot"]["reach"]) == ("ur10e", 1.1)
    assert (config["task"]["region"]["name"], config["seed"]) == ("shelf", 5)
    assert config["wandb"]["project"] == "hall"
    reach_rl(work, "evaluate", "run=first", "goals=3", "out=figures.json")
    figures = json.loads((work / "figures.json").read_text())
    assert (figures["goals"], figures["region"]) == (3, "shelf")
    again = reach_rl(work, "repro", "first")
    command = f"reach_rl.train --config-dir {work / 'mine'} experiment=mine +site=hall"
    assert command in again
    assert "warning: configuration" not in again
    assert {path.name for path in work.iterdir()} == {"mine", "first", "figures.json"}
