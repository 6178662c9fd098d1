"""N steps, a stop, and N more in another process are 2N steps, bit by bit."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reach_rl.config.load import ConfigError, load_run
from reach_rl.monitoring.record import JsonLinesWriter, read_records
from reach_rl.rundir import checkpoint
from reach_rl.rundir.resume import continued, find
from reach_rl.rundir.status import read_status
from reach_rl.training.session import train

HALF, WHOLE = 512, 1024
EVERYTHING = (
    "experiment=notes",
    "vec_env.n_envs=8",
    "task.randomization.servo_gain=[0.8,1.2]",
    "task.randomization.payload=[0,1]",
    "task.randomization.joint_damping=[0,0.05]",
    "task.randomization.joint_friction=[0,0.02]",
    "task.randomization.action_delay=[0,2]",
    "task.episode_steps=45",
    "task.hold_time=0.02",
    "task.position_threshold=0.7",
    "task.orientation_threshold=3.1",
    "curriculum.duration=40",
    "evaluation.every=256",
    "checkpoint.every=256",
)
STAGED = (
    "curriculum=staged",
    "curriculum.window=4",
    "curriculum.stages.0.advance_at=0.0",
    "task.episode_steps=150",
    "task.goal_period=75",
    "ppo.learning_rate_schedule.kind=kl_adaptive",
    "checkpoint.every=256",
)
CASES = {
    "batch_one_thread": EVERYTHING,
    "batch_two_threads": (*EVERYTHING, "vec_env.threads=2"),
    "batch_staged": STAGED,
    "batch_sde": (*EVERYTHING, "ppo.use_sde=true", "ppo.sde_sample_freq=4"),
    "dummy": (*EVERYTHING, "vec_env.kind=dummy", "vec_env.n_envs=4", "ppo.n_steps=64"),
    "subproc": (*EVERYTHING, "vec_env.kind=subproc", "vec_env.n_envs=2", "ppo.n_steps=128"),
}


def stopped_at(monkeypatch, step):
    """Ask for a stop as soon as the record of a step is written."""
    plain = JsonLinesWriter.write

    def write(self, now, values):
        plain(self, now, values)
        if now == step:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(JsonLinesWriter, "write", write)


@pytest.fixture(scope="module")
def runs(small, tmp_path_factory):
    """For each case the folders of an undisturbed run and of one that was stopped and went on."""
    base = tmp_path_factory.mktemp("runs")
    folders = {name: (base / name / "whole", base / name / "halves") for name in CASES}
    for name, (whole, halves) in folders.items():
        config = small(*CASES[name], f"total_timesteps={WHOLE}")
        assert isinstance(train(config, whole), dict)
        with pytest.MonkeyPatch.context() as patch:
            stopped_at(patch, HALF)
            assert train(config, halves) == 143
        assert read_status(halves)["state"] == "stopped"
        assert not (halves / "summary.json").exists()
    root = Path(__file__).parents[2]
    halves = [str(folder) for _, folder in folders.values()]
    command = [sys.executable, "-m", "tests.training.go_on", str(WHOLE), *halves]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folders


@pytest.mark.parametrize("name", CASES)
def test_the_state_is_the_same(runs, name):
    whole, halves = (
        checkpoint.read(checkpoint.resolve(folder / "checkpoints", "latest"))
        for folder in runs[name]
    )
    for part in checkpoint.PARTS:
        expected, found = getattr(whole, part), getattr(halves, part)
        assert expected.keys() == found.keys()
        for key, value in expected.items():
            np.testing.assert_array_equal(found[key], value, err_msg=f"{part}: {key}")
    expected, found = dict(whole.progress), dict(halves.progress)
    assert expected.pop("marks") | {"seconds": 0} == found.pop("marks") | {"seconds": 0}
    assert expected == found
    assert expected["num_timesteps"] == WHOLE


@pytest.mark.parametrize("name", CASES)
def test_every_figure_is_the_same(runs, name):
    whole, halves = (
        [
            {k: v for k, v in record.items() if not k.startswith("time/")}
            for record in read_records(folder / "metrics.jsonl")
        ]
        for folder in runs[name]
    )
    assert [r["global_step"] for r in halves] == [256, 512, 768, 1024, 1024]
    assert halves == whole


def shown(folder, tag):
    events = EventAccumulator(str(folder / "tb"), size_guidance={"scalars": 0})
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


@pytest.mark.parametrize("name", ["batch_one_thread", "subproc"])
def test_tensorboard_shows_each_record_once(runs, name):
    whole, halves = runs[name]
    assert [step for step, _ in shown(halves, "train/loss")] == [256, 512, 768, 1024]
    for tag in ("train/loss", "rollout/ep_rew_mean", "final/front/success_rate"):
        assert shown(halves, tag) == shown(whole, tag)


def test_the_wandb_run_stays_the_same(small, tmp_path, monkeypatch):
    """Also where only the checkpoints were brought to another machine."""
    config = small("wandb=offline", "total_timesteps=512", "checkpoint.every=256")
    with monkeypatch.context() as patch:
        stopped_at(patch, 256)
        assert train(config, tmp_path) == 143
    identity = tmp_path / "wandb/run_id"
    known = identity.read_text()
    identity.unlink()
    assert isinstance(train(replace(config, resume=str(tmp_path)), tmp_path), dict)
    assert identity.read_text() == known


@pytest.mark.parametrize("name", CASES)
def test_the_verdict_is_the_same(runs, name):
    whole, halves = (json.loads((folder / "summary.json").read_text()) for folder in runs[name])
    assert halves["evaluation"] == whole["evaluation"]
    assert read_status(runs[name][1])["state"] == "finished"


def test_the_cases_are_in_the_midst_of_it(runs):
    """The stop falls inside episodes and ramps, and something was reached by then."""
    for name in ("batch_one_thread", "dummy"):
        records = list(read_records(runs[name][1] / "metrics.jsonl"))
        assert 0 < records[1]["curriculum/progress"] < records[3]["curriculum/progress"]
        assert records[1]["rollout/goals_per_episode"] > 0
    records = list(read_records(runs["batch_staged"][0] / "metrics.jsonl"))
    assert [record["curriculum/stage"] for record in records[1:4]] == [1, 1, 1]


def test_threads_do_not_matter(runs):
    one, two = (
        checkpoint.read(checkpoint.resolve(runs[name][0] / "checkpoints", "latest"))
        for name in ("batch_one_thread", "batch_two_threads")
    )
    for key, value in one.environment.items():
        np.testing.assert_array_equal(two.environment[key], value, err_msg=key)


def test_a_complete_run_has_nothing_left_to_do(runs, capsys):
    folder = runs["batch_staged"][1]
    before = (folder / "metrics.jsonl").read_text()
    config = replace(load_run(folder), resume=str(folder))
    assert train(config, folder) == json.loads((folder / "summary.json").read_text())
    assert f"is complete with {WHOLE:,} steps" in capsys.readouterr().out
    assert (folder / "metrics.jsonl").read_text() == before


def test_a_damaged_checkpoint_is_passed_over(small, tmp_path, capsys):
    config = small("checkpoint.every=256", "total_timesteps=512")
    train(config, tmp_path)
    newest = checkpoint.resolve(tmp_path / "checkpoints", "latest")
    (newest / "optimizer.safetensors").write_bytes(b"")
    (tmp_path / "summary.json").unlink()
    assert isinstance(train(replace(config, resume=str(tmp_path)), tmp_path), dict)
    assert "set aside as damaged_step_000000000512" in capsys.readouterr().out
    records = list(read_records(tmp_path / "metrics.jsonl"))
    assert [r["global_step"] for r in records] == [256, 512, 512]


def test_what_cannot_be_gone_on_with_is_one_line(small, tmp_path):
    config = small()
    with pytest.raises(ConfigError, match="has no checkpoint"):
        train(replace(config, resume=str(tmp_path)), tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"global_step": 1}\n')
    with pytest.raises(ConfigError, match="holds a run already"):
        train(config, tmp_path)
    status = {"state": "running", "pid": 1, "host": "elsewhere"}
    (tmp_path / "status.json").write_text(json.dumps(status))
    with pytest.raises(ConfigError, match="process 1 on elsewhere is at work"):
        find(config, tmp_path, print, locked=False)


def test_auto_begins_where_nothing_was_saved(small, tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"global_step": 256}\n{"globa')
    config = replace(small("total_timesteps=256"), resume="auto", run_dir=str(tmp_path))
    assert isinstance(train(config, tmp_path), dict)
    assert [r["global_step"] for r in read_records(tmp_path / "metrics.jsonl")] == [256, 256]


def test_what_changes_is_told_and_what_cannot_is_refused(small):
    saved, said = small("run_dir=then"), []
    asked = small("ppo.learning_rate=5e-4", "total_timesteps=99999", "wandb=offline")
    config = continued(saved, replace(asked, resume="now"), said.append)
    assert config == replace(asked, run_dir="then", resume=None)
    assert said == [f"warning: ppo.learning_rate changes from {saved.ppo.learning_rate} to 0.0005"]
    with pytest.raises(ConfigError, match=r"vec_env\.n_envs=4: cannot change .* it was 8"):
        continued(saved, small("vec_env.n_envs=4"), said.append)
