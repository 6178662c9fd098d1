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

from reach_rl.config import context
from reach_rl.config.load import ConfigError, compose, load_run
from reach_rl.config.status import read_status
from reach_rl.learning import checkpoint
from reach_rl.learning.resume import continued
from reach_rl.learning.session import train
from reach_rl.monitoring.writers.json_lines import JsonLinesWriter, read_records

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
    "ppo.learning_rate_schedule.kind=kl_adaptive",
    "checkpoint.every=256",
)
CASES = {
    "batch_one_thread": EVERYTHING,
    "batch_two_threads": (*EVERYTHING, "vec_env.threads=2"),
    "batch_staged": STAGED,
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
    command = [sys.executable, "-m", "tests.learning.go_on", str(WHOLE), *halves]
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
        train(config, tmp_path)


def test_auto_begins_where_nothing_was_saved(small, tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"global_step": 256}\n{"globa')
    config = replace(small("total_timesteps=256"), resume="auto", run_dir=str(tmp_path))
    assert isinstance(train(config, tmp_path), dict)
    assert [r["global_step"] for r in read_records(tmp_path / "metrics.jsonl")] == [256, 256]


@pytest.fixture
def command_line():
    """Says what the command line asked for."""
    tokens = []

    def asked(*overrides):
        tokens.append(context.OVERRIDES.set(list(overrides)))
        return compose(overrides)

    yield asked
    for token in reversed(tokens):
        context.OVERRIDES.reset(token)


def test_the_saved_configuration_holds_but_for_what_is_asked(small, command_line):
    saved = small("robot=ur3e", "ppo.learning_rate=5e-4", "seed=3")
    said = []
    assert continued(saved, command_line("resume=."), said.append) == saved
    config = continued(saved, command_line("resume=.", "total_timesteps=99999"), said.append)
    assert config == replace(saved, total_timesteps=99_999)
    assert said == []


def test_asking_for_the_default_is_asking(small, command_line):
    saved = small("ppo.learning_rate=5e-4", "evaluation.every=77")
    default = compose([])
    said = []
    asked = ("resume=.", f"ppo.learning_rate={default.ppo.learning_rate}", "evaluation=default")
    config = continued(saved, command_line(*asked), said.append)
    assert config.ppo.learning_rate == default.ppo.learning_rate
    assert config.evaluation == default.evaluation
    assert config.vec_env == saved.vec_env
    assert said == [
        f"warning: ppo.learning_rate changes from 0.0005 to {default.ppo.learning_rate}"
    ]


def test_what_was_saved_cannot_take_another_shape(small, command_line):
    asked = command_line(
        "resume=.",
        "robot=ur10e",
        "action=increment",
        "ppo.policy_kwargs.net_arch.pi=[8]",
        "vec_env.n_envs=512",
        "reward.terms.stillness=null",
        "reward.terms.keypoint_distance.weight=-2.0",
    )
    with pytest.raises(ConfigError) as error:
        continued(small(), asked, print)
    keys = {problem.partition("=")[0] for problem in error.value.problems}
    assert keys >= {
        "robot.name",
        "action.kind",
        "ppo.policy_kwargs.net_arch.pi",
        "vec_env.n_envs",
        "reward.terms.stillness",
    }
    assert "reward.terms.keypoint_distance.weight" not in keys
    assert all("cannot change when a run goes on" in problem for problem in error.value.problems)
