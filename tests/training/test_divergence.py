"""Numbers that go bad in the midst of a run: what it does, what it says, what it keeps."""

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from reach_rl import extend
from reach_rl.envs import replay
from reach_rl.envs.batch import ReachBatch
from reach_rl.learning.fused_update import Update
from reach_rl.mdp import rewards
from reach_rl.monitoring.record import read_records
from reach_rl.rundir import checkpoint
from reach_rl.rundir.status import read_status
from reach_rl.training import divergence as numbers
from reach_rl.training.loop import TrainingLoop
from reach_rl.training.session import train

ROLLOUT = 256


def small_run(small, *more):
    return small("total_timesteps=1024", "checkpoint.every=256", *more)


def records(folder):
    return list(read_records(folder / "metrics.jsonl"))


def newest(folder):
    return checkpoint.read(checkpoint.resolve(folder / "checkpoints", "latest"))


def check_finite(folder):
    """Every array of every checkpoint."""
    folders = sorted((folder / "checkpoints").glob("step_*"))
    assert folders
    for path in folders:
        saved = checkpoint.read(path)
        for part in checkpoint.PARTS:
            for name, array in getattr(saved, part).items():
                assert np.isfinite(array).all(), f"{path.name} {part} {name}"


@pytest.fixture
def during(monkeypatch):
    """Does something to the run just before the rollout that ends at a step, once or each time."""

    def arrange(end, action, times=1):
        plain, left = TrainingLoop._iterate, [times]

        def iterate(run):
            if run.model.num_timesteps + ROLLOUT == end and left[0]:
                left[0] -= 1
                action(run)
            return plain(run)

        monkeypatch.setattr(TrainingLoop, "_iterate", iterate)

    return arrange


def nan_gradient(run):
    """Of this run's policy, from now on."""
    weight, plain = run.model.policy.action_net.weight, Update.pass_over

    def pass_over(update, *args):
        passed = plain(update, *args)
        if update._job.layers[0][-1][0].data_ptr() == weight.data_ptr():
            weight.data *= torch.nan
            passed.records[-1, 5] = torch.nan
        return passed

    Update.pass_over = pass_over
    run.close, close = (lambda: (setattr(Update, "pass_over", plain), close())), run.close


def nan_parameter(run):
    with torch.no_grad():
        run.model.policy.value_net.bias[0] = torch.nan


def nan_normaliser(run):
    run.env.obs_rms.mean[3] = np.nan


def huge_loss(run):
    run.model.ent_coef = 1e39


def nan_optimizer(run):
    state = run.model.policy.optimizer.state
    state[run.model.policy.log_std]["exp_avg_sq"][0] = torch.inf


LEARNER = {
    nan_gradient: "the gradient is not finite",
    nan_parameter: "the value of the networks is not finite",
    nan_normaliser: "observation term",
    huge_loss: "the loss is not finite",
    nan_optimizer: "parameter log_std is not finite",
}


@pytest.mark.parametrize("spoil", LEARNER, ids=lambda spoil: spoil.__name__)
def test_what_is_not_finite_never_reaches_a_checkpoint(small, tmp_path, during, spoil, capsys):
    during(768, spoil)
    assert train(small_run(small), tmp_path) == 3
    said = capsys.readouterr().out
    assert LEARNER[spoil] in said and "at step 768" in said
    assert f"is good; go on from it with: python -m reach_rl.train resume={tmp_path}" in said
    status = read_status(tmp_path)
    assert status["state"] == "diverged" and LEARNER[spoil] in status["reason"]
    assert newest(tmp_path).progress["num_timesteps"] == 512
    check_finite(tmp_path)
    assert [r["global_step"] for r in records(tmp_path)] == [256, 512]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("batch", np.nan),
        ("batch", np.inf),
        ("dummy", np.nan),
        ("dummy", np.inf),
        ("subproc", np.nan),
    ],
)
def test_a_reward_term_that_is_not_finite_is_named(
    small, tmp_path, monkeypatch, kind, value, capsys
):
    plain = rewards.keypoint_distance
    calls = []

    def term(state, *arguments):
        out = plain(state, *arguments).copy()
        calls.append(1)
        if len(calls) > 100:
            out[0] = value
        return out

    monkeypatch.setitem(extend._ENTRIES["reward_term"], "keypoint_distance", term)
    more = ["vec_env.kind=" + kind, "vec_env.start_method=fork"]
    more += [] if kind == "batch" else ["vec_env.n_envs=2", "ppo.n_steps=128"]
    assert (
        train(small_run(small, "reward.terms.keypoint_distance.weight=-1.0", *more), tmp_path) == 3
    )
    said = capsys.readouterr().out
    assert "reward term keypoint_distance is not finite" in said
    assert "see reward.terms.keypoint_distance" in said
    if (tmp_path / "checkpoints").is_dir():
        check_finite(tmp_path)
    else:
        assert "no checkpoint was saved before" in said


def spoil_physics(monkeypatch, rows, every):
    """NaN in the velocity of these arms of whatever batch, at every so many steps."""
    plain, ticks = ReachBatch.step, []

    def step(batch, action, targets=None):
        ticks.append(1)
        if len(ticks) % every == 0:
            batch.batch.bind("qvel")[[r for r in rows if r < batch.n], 2] = np.nan
        return plain(batch, action)

    monkeypatch.setattr(ReachBatch, "step", step)


@pytest.mark.parametrize("kind", ["batch", "dummy", "subproc"])
def test_unstable_physics_is_counted_dumped_and_lived_with(
    small, tmp_path, monkeypatch, kind, capsys
):
    more = ["vec_env.kind=" + kind, "vec_env.start_method=fork"]
    more += [] if kind == "batch" else ["vec_env.n_envs=2", "ppo.n_steps=128"]
    every = {"batch": 40, "dummy": 500, "subproc": 200}[kind]
    spoil_physics(monkeypatch, [0], every)
    config = small_run(small, "guard.dumps=2", *more)
    assert isinstance(train(config, tmp_path), dict)
    monkeypatch.undo()
    counts = [r["health/physics_resets"] for r in records(tmp_path) if "health/physics_resets" in r]
    expected = {"batch": [0, 1, 2, 3], "dummy": [0, 1, 1, 2], "subproc": [0, 2, 2, 4]}[kind]
    assert counts == expected
    rates = [
        r["health/physics_reset_rate"] for r in records(tmp_path) if "health/physics_resets" in r
    ]
    assert rates == [count * 1000 / 50_000 for count in counts]
    check_finite(tmp_path)
    dumps = sorted((tmp_path / "health").glob("physics_reset_*.json"))
    assert len(dumps) == 2
    alerts = [r for r in records(tmp_path) if "health/alert" in r]
    assert alerts[0]["health/alert"] == "the physics is unstable"
    assert alerts[0]["health/alert_text"] == (
        f"BADQVEL at elbow_joint{' and 1 more' if kind == 'subproc' else ''}; replay it with: "
        f"python -m reach_rl.envs.replay {dumps[0]}"
    )
    assert "warning: the physics is unstable: BADQVEL" in capsys.readouterr().out
    known = json.loads(dumps[0].read_text())
    assert known["environment"] in (0, 1)
    step = {"batch": 320, "dummy": 500, "subproc": 400}[kind]
    assert known["step"] == step
    text, same = replay.report(dumps[0])
    assert same, text


def test_unstable_physics_too_often_stops_the_run(small, tmp_path, monkeypatch, capsys):
    spoil_physics(monkeypatch, range(4), 2)
    config = small_run(small, "guard.window=256", "guard.max_reset_rate=100")
    assert train(config, tmp_path) == 3
    said = capsys.readouterr().out
    assert "the physics is unstable too often: 250 times in 1000 environment steps" in said
    assert "BADQVEL at elbow_joint and 63 more" in said and "task.physics_step=0.0025" in said
    assert read_status(tmp_path)["state"] == "diverged"
    assert len(list((tmp_path / "health").glob("*.npz"))) == 8


def test_the_rate_is_taken_over_the_window(small, tmp_path, monkeypatch):
    """64 resets in each rollout of 256 are 250 per 1000 once a window of four is full."""
    spoil_physics(monkeypatch, range(4), 2)
    config = small_run(small, "guard.window=1024", "guard.max_reset_rate=200", "guard.dumps=0")
    assert train(config, tmp_path) == 3
    assert [r["health/physics_reset_rate"] for r in records(tmp_path)] == [62.5, 125.0, 187.5]
    assert not (tmp_path / "health").exists()


ROLLBACK = ("guard.rollback=true", "guard.rollback_factor=0.25", "ppo.learning_rate=0.001")


def rates(folder):
    return {
        r["global_step"]: r["train/learning_rate"] for r in records(folder) if "train/loss" in r
    }


def test_rolling_back_once_with_a_lower_learning_rate(small, tmp_path, during, capsys):
    during(768, nan_gradient)
    config = small_run(small, *ROLLBACK)
    assert isinstance(train(config, tmp_path), dict)
    assert "the gradient is not finite" in capsys.readouterr().out
    found, schedule = rates(tmp_path), rates_without(small, tmp_path)
    assert list(found) == [256, 512, 768, 1024]
    assert found[512] == schedule[512]
    assert found[768] == pytest.approx(0.25 * schedule[768])
    assert found[1024] == pytest.approx(0.25 * schedule[1024])
    (alert,) = [r for r in records(tmp_path) if "health/alert" in r]
    assert alert["health/alert"] == "rolled back" and alert["global_step"] == 512
    assert "back to step 512 with the learning rate times 0.25" in alert["health/alert_text"]
    assert read_status(tmp_path)["state"] == "finished"


def figures(folder):
    """Every record without times, and without what a rollback says of itself."""
    left_out = ("time/", "health/alert")
    return [
        {name: value for name, value in record.items() if not name.startswith(left_out)}
        for record in records(folder)
    ]


def rates_without(small, folder):
    """The learning rates of an undisturbed run."""
    train(small_run(small, ROLLBACK[2]), folder / "undisturbed")
    return rates(folder / "undisturbed")


def test_a_second_time_stops_the_run(small, tmp_path, during):
    during(768, nan_gradient, times=2)
    assert train(small_run(small, *ROLLBACK), tmp_path) == 3
    assert newest(tmp_path).progress["num_timesteps"] == 512
    assert read_status(tmp_path)["state"] == "diverged"


def test_a_rollback_survives_a_stop(small, tmp_path, during):
    """A run that went back, was stopped and went on ends as one that went back."""
    during(768, nan_gradient)
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    config = small_run(small, *ROLLBACK, "checkpoint.every=512")
    assert isinstance(train(config, whole), dict)
    first = TrainingLoop._iterate
    state = {"rolled": False}
    during(768, nan_gradient)
    broken = TrainingLoop._iterate

    def iterate(run):
        state["rolled"] |= (halves / "health" / "rollback.json").exists()
        if state["rolled"] and run.model.num_timesteps == 512:
            os.kill(os.getpid(), signal.SIGTERM)
        return broken(run)

    TrainingLoop._iterate = iterate
    assert train(config, halves) == 143
    TrainingLoop._iterate = first
    assert isinstance(train(replace(config, resume=str(halves)), halves), dict)
    one, other = newest(whole), newest(halves)
    for name, array in one.policy.items():
        np.testing.assert_array_equal(other.policy[name], array, err_msg=name)
    assert figures(whole) == figures(halves)


def test_there_is_no_going_back_to_nothing(small, tmp_path, during):
    during(256, nan_gradient)
    assert train(small_run(small, *ROLLBACK), tmp_path) == 3
    assert not (tmp_path / "health" / "rollback.json").exists()


def test_large_numbers_are_finite_and_the_first_that_is_not_is_found():
    """Their sum of squares overflows, which says nothing of them."""
    array = np.full((4, 2, 3), 1e30, np.float32)
    assert numbers._first_bad(array) == 4
    array[2, 1, 0] = -np.inf
    assert numbers._first_bad(array) == 2
    policy = torch.nn.Linear(3, 2)
    policy.optimizer = torch.optim.Adam(policy.parameters())  # type: ignore[assignment]
    with torch.no_grad():
        policy.weight.fill_(3e38)
    assert numbers._bad_parameter(policy) is None  # type: ignore[arg-type]
    policy.optimizer.state[policy.bias] = {"exp_avg": torch.tensor([0.0, torch.nan])}
    assert numbers._bad_parameter(policy) == "bias"  # type: ignore[arg-type]
