"""The verb bench: every vectorisation is measured, and the parts make the whole."""

import numpy as np
import pytest

from reach_rl.bench import job
from reach_rl.config.app import front
from reach_rl.config.load import compose
from reach_rl.learning.throughput import BarePhysics, Learning

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
    assert front("bench", job, ["tune=true"]) == 2


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
