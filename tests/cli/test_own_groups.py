"""A user's own groups, options and presets, from a folder beside the work."""

import json
from pathlib import Path

import pytest
import yaml

from tests.small_runs import command

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


def test_they_are_in_help_and_explain(work: Path, monkeypatch, capsys):
    monkeypatch.chdir(work)
    command("train", "--config-dir", "mine", "--help")
    text = capsys.readouterr().out
    for word in ("lab_arm", "shelf", "site=", "hall", "mine"):
        assert word in text
    command("explain", "robot.reach", "--config-dir", "mine", "robot=lab_arm")
    text = capsys.readouterr().out
    assert "1.1" in text
    assert "mine/robot/lab_arm.yaml" in text


def test_they_train_and_judge(work: Path, monkeypatch, capsys):
    monkeypatch.chdir(work)
    arguments = ["experiment=mine", "+site=hall", "picture=false", "run_dir=first"]
    command("train", "--config-dir", "mine", *arguments)
    config = yaml.safe_load((work / "first" / "config.yaml").read_text())
    assert (config["robot"]["name"], config["robot"]["reach"]) == ("ur10e", 1.1)
    assert (config["task"]["region"]["name"], config["seed"]) == ("shelf", 5)
    assert config["wandb"]["project"] == "hall"
    command("evaluate", "run=first", "goals=3", "out=figures.json")
    figures = json.loads((work / "figures.json").read_text())
    assert (figures["goals"], figures["region"]) == (3, "shelf")
    capsys.readouterr()
    command("repro", "first")
    again = capsys.readouterr().out
    words = f"--config-dir {work / 'mine'} experiment=mine +site=hall"
    assert f"reach_rl.train {words}" in again
    assert "warning: configuration" not in again
    assert {path.name for path in work.iterdir()} == {"mine", "first", "figures.json"}
