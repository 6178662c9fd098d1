"""The verb bench: every vectorisation is measured, and the parts make the whole."""

import json

import numpy as np
import pytest

from reach_rl.bench import job, verdict
from reach_rl.cli.front_door import front
from reach_rl.training.throughput import BarePhysics, Learning
from tests.small_runs import compose

SMALL = (
    "seconds=0.2",
    "task.region.pool=64",
    "vec_env.threads=1",
    "ppo.n_steps=16",
    "ppo.batch_size=32",
    "ppo.n_epochs=1",
)


@pytest.mark.parametrize(("kind", "n"), [("batch", 32), ("dummy", 4), ("subproc", 2)])
def test_the_split_makes_the_whole(kind, n, capsys):
    result = job(compose([*SMALL, f"vec_env={kind}", f"vec_env.n_envs={n}"], "bench"))
    share, parts = result["share"], result["microseconds"]
    assert list(share) == ["physics", "task", "policy", "update"]
    assert sum(share.values()) == pytest.approx(1.0)
    assert min(share.values()) > 0
    assert sum(parts.values()) == pytest.approx(1e6 / result["steps_per_second"])
    ratio = result["steps_per_second"] / result["bare_steps_per_second"]
    assert result["ratio"] == pytest.approx(ratio)
    assert 0 < result["ratio"] < 1
    assert result["bare_physics_steps_per_second"] == 4 * result["bare_steps_per_second"]
    assert (result["vec_env"], result["n_envs"], result["threads"]) == (kind, n, 1)
    out = capsys.readouterr().out
    assert f"{n} environments ({kind})" in out
    for word in ("physics", "task", "policy", "update", "learning", "bare", "ratio"):
        assert word in out
    assert max(map(len, out.splitlines())) <= 80


def test_the_command_line(capsys):
    words = [*SMALL, "vec_env.n_envs=16", "n_envs=8", "progress=false"]
    assert front("bench", job, words) == 0
    assert "measuring ur5e in 8 environments (batch), twice 0.2 s" in capsys.readouterr().out


def test_tuning_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [*SMALL, "n_envs=16", "tune=true", "tune_seconds=2", "write=mine", "out=found.json"]
    assert front("bench", job, words) == 0
    out = capsys.readouterr().out
    found = json.loads((tmp_path / "found.json").read_text())
    heads = ["environments", "rollout", "minibatch", "steps/s", "ratio"]
    table = out[out.index(heads[0]) :].split("\n\n")[0].splitlines()
    assert table[0].split() == heads
    assert len(table) == 1 + len(found["tried"])
    for line, trial in zip(table[1:], found["tried"], strict=True):
        assert line.split()[:2] == [str(trial["n_envs"]), str(trial["n_steps"])]
        assert line.split()[-1] == f"{trial['ratio']:.1%}"
    assert found["written"] == "mine/experiment/machine.yaml"
    assert "python -m reach_rl.train --config-dir mine experiment=machine" in out
    tuned = compose(["experiment=machine"], config_dir=tmp_path / "mine")
    assert tuned.vec_env.n_envs == found["best"]["n_envs"]
    assert tuned.ppo.batch_size == found["best"]["batch_size"]
    assert front("bench", job, words) == 2
    error = capsys.readouterr().err
    assert "is there already" in error and error.count("\n") == 1


def test_the_verdict_gives_what_is_to_be_typed():
    default = {"steps_per_second": 10_000.0}
    configured = {"vec_env.n_envs": 256, "ppo.batch_size": 1024, "ppo.n_steps": 8}
    same = {"best": default, "default": default, "gain": 1.0, "overrides": configured}
    assert verdict(same, configured) == ["nothing is clearly faster than 10,000 steps/s"]
    faster = same | {
        "best": {"steps_per_second": 12_345.0},
        "gain": 1.23,
        "overrides": configured | {"ppo.batch_size": 2048, "vec_env.n_envs": 512},
    }
    lines = verdict(faster, configured)
    assert lines[0].startswith("12,345 steps/s, 1.23 times the 10,000 of the configured sizes")
    assert lines[1] == "to type: vec_env.n_envs=512 ppo.batch_size=2048"


def test_bare_physics_moves_and_nothing_else():
    config = compose([*SMALL, "vec_env.n_envs=4"], "bench")
    bare = BarePhysics(config)
    before = bare.batch.bind("qpos").copy()
    bare.go_on(0.05)
    assert bare.steps % (50 * 4) == 0 and bare.steps > 0
    assert bare.seconds > 0
    time = bare.batch.bind("time")
    np.testing.assert_allclose(time, bare.steps / 4 * 0.02)
    assert np.abs(bare.batch.bind("qpos") - before).max() > 0.1
    assert np.isfinite(bare.batch.bind("qpos")).all()


def test_learning_learns_and_counts_its_steps():
    learning = Learning(compose([*SMALL, "vec_env.n_envs=4"], "bench"))
    before = learning.model.policy.state_dict()["action_net.weight"].clone()
    learning.go_on(0.05)
    assert learning.steps % (16 * 4) == 0 and learning.steps > 0
    assert learning.model.num_timesteps == learning.steps + 16 * 4
    assert not learning.model.policy.state_dict()["action_net.weight"].equal(before)
    learning.close()
