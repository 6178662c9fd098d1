"""The entry point, on a run's folder with an untrained policy."""

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml

from reach_rl.config.app import front
from reach_rl.config.load import compose, to_tree
from reach_rl.evaluate import job
from reach_rl.learning import checkpoint
from reach_rl.learning.policy import bare_network


def write_run(folder, overrides=()):
    """A run's folder with one checkpoint, as training leaves it."""
    config = compose(["task.episode_steps=30", *overrides])
    from reach_rl.envs.batch import ReachBatch

    size = ReachBatch(config, 1).observe.size
    network = bare_network(config, size, 6)
    arrays = {"none": np.zeros(1)}
    saved = checkpoint.Checkpoint(
        config=config,
        policy={k: v.detach().numpy() for k, v in network.state_dict().items()},
        optimizer=arrays,
        normalizer={"obs_mean": np.zeros(size), "obs_var": np.ones(size)},
        environment=arrays,
        learner=arrays,
        progress={},
    )
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(to_tree(config)))
    checkpoints = folder / "checkpoints"
    checkpoint.point(checkpoints, "latest", checkpoint.write(checkpoints, 12, saved))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "untrained")


def evaluate(capsys, *argv):
    code = front("evaluate", job, [*argv, "goals=6", "threads=1"])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_figures_in_the_table_and_in_the_file(run, tmp_path, capsys):
    out = tmp_path / "figures.json"
    code, said, err = evaluate(capsys, f"run={run}", f"out={out}")
    assert (code, err) == (0, "")
    figures = json.loads(out.read_text())
    assert figures["goals"] == 6
    assert figures["checkpoint"] == "step_000000000012"
    assert (figures["seed"], figures["region"], figures["robot"]) == (7, "front", "ur5e")
    assert "0.0%" in said and "front" in said and "worst goals" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures.json"]


def test_same_command_same_figures(run, tmp_path, capsys):
    for name in ("a", "b"):
        evaluate(capsys, f"run={run}", f"out={tmp_path / name}", "seed=3")
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text()


def test_another_task(run, tmp_path, capsys):
    out = tmp_path / "figures.json"
    arguments = ("task=near", "task.episode_steps=28", "task.position_threshold=0.05")
    code, said, _ = evaluate(capsys, f"run={run}", f"out={out}", *arguments)
    assert code == 0
    figures = json.loads(out.read_text())
    assert figures["region"] == "near" and figures["episode_s"] == pytest.approx(0.56)
    assert figures["thresholds"]["position_m"] == 0.05
    assert "near" in said


def assert_refused(answer, *words):
    code, _, err = answer
    assert code == 2
    assert err.startswith("error: ") and err.count("\n") == 1, err
    for word in words:
        assert word in err


def test_mistakes_are_one_line(run, tmp_path, capsys):
    assert_refused(evaluate(capsys, f"run={tmp_path / 'none'}"), "none", "no such folder")
    assert_refused(evaluate(capsys, f"run={run}", "checkpoint=step_1"), "no such checkpoint")
    nowhere = tmp_path / "nowhere" / "figures.json"
    assert_refused(evaluate(capsys, f"run={run}", f"out={nowhere}"), "no folder")
    assert_refused(evaluate(capsys, f"run={run}", f"out={tmp_path}"), "is a folder")


def test_a_run_without_a_checkpoint(run, tmp_path, capsys):
    (tmp_path / "config.yaml").write_text((run / "config.yaml").read_text())
    assert_refused(evaluate(capsys, f"run={tmp_path}"), "saved yet")


def test_a_damaged_checkpoint(tmp_path, capsys):
    run = write_run(tmp_path / "run")
    weights = run / "checkpoints" / "step_000000000012" / "policy.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    assert_refused(evaluate(capsys, f"run={run}"), "damaged", "policy.safetensors")


def test_a_damaged_configuration(run, tmp_path, capsys):
    (tmp_path / "config.yaml").write_text("seed: [1")
    assert_refused(evaluate(capsys, f"run={tmp_path}", f"checkpoint={run}"), "config.yaml")


def test_a_checkpoint_that_sees_something_else(run, tmp_path, capsys):
    other = write_run(tmp_path / "notes", ["observation=notes"])
    foreign = other / "checkpoints" / "step_000000000012"
    assert_refused(evaluate(capsys, f"run={run}", f"checkpoint={foreign}"), "observation")


def test_key_points_stay_those_of_the_run(run, monkeypatch, capsys):
    seen = []
    from reach_rl.evaluation import protocol

    evaluate_ = protocol.evaluate

    def spy(policy, config, goals, **options):
        seen.append(config.task)
        return evaluate_(policy, config, goals, **options)

    monkeypatch.setattr(protocol, "evaluate", spy)
    evaluate(capsys, f"run={run}", "task=near", "task.keypoint_offset=0.3")
    assert seen[0].keypoint_offset == compose([]).task.keypoint_offset
    assert replace(seen[0].region, name="") == replace(compose(["task=near"]).task.region, name="")
