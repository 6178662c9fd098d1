"""Checkpoints: what is saved comes back, and what is damaged is never loaded."""

import json
import random
import shutil

import numpy as np
import pytest
import torch
from stable_baselines3.common.vec_env import VecNormalize

from reach_rl.config.load import ConfigError
from reach_rl.envs.vec_env import make_vec_env
from reach_rl.learning.build import make_model
from reach_rl.learning.normalize import normalized
from reach_rl.learning.policy import Policy
from reach_rl.rundir import checkpoint
from reach_rl.rundir.checkpoint import FORMAT, self_hash
from reach_rl.training import snapshot
from reach_rl.training.session import train
from reach_rl.training.snapshot import policy_of


def built(config):
    env = normalized(make_vec_env(config), config)
    model = make_model(config, env)
    _, callback = model._setup_learn(config.total_timesteps)
    return model, env, callback


@pytest.fixture(scope="module")
def run(small):
    """A model after one update, its environments, and what a checkpoint holds of it."""
    config = small()
    model, env, callback = built(config)
    model.collect_rollouts(env, callback, model.rollout_buffer, model.n_steps)
    model.train()
    random.random()  # nothing else draws from this generator
    return config, model, env, snapshot.take(config, model, env, {"note": 1})


@pytest.fixture
def saved(run, tmp_path):
    folder = checkpoint.write(tmp_path / "checkpoints", 256, run[3])
    checkpoint.point(folder.parent, "latest", folder)
    return folder


def test_a_checkpoint_is_one_folder_of_known_files(saved):
    names = {path.name for path in saved.iterdir()}
    assert saved.name == "step_000000000256"
    assert names == checkpoint.FILES | {"MANIFEST.json"}
    assert {p.name for p in saved.parent.iterdir()} == {saved.name, "latest"}


def test_what_is_saved_comes_back(run, saved):
    written, read = run[3], checkpoint.read(saved)
    assert read.config == written.config
    assert read.progress == json.loads(json.dumps(written.progress))
    for part in checkpoint.PARTS:
        before, after = getattr(written, part), getattr(read, part)
        assert before.keys() == after.keys()
        for name, value in before.items():
            np.testing.assert_array_equal(after[name], value, err_msg=f"{part}: {name}")


def test_everything_of_a_run_is_put_back(run, saved):
    config, model, _, taken = run
    other, other_env, _ = built(config)
    snapshot.put(other, other_env, checkpoint.read(saved))
    again = snapshot.take(config, other, other_env, {"note": 1})
    for part in checkpoint.PARTS:
        for name, value in getattr(taken, part).items():
            np.testing.assert_array_equal(getattr(again, part)[name], value, err_msg=name)
    assert again.progress == taken.progress
    assert other.num_timesteps == model.num_timesteps == 256
    states = [m.policy.optimizer.state_dict()["state"] for m in (model, other)]
    assert len(states[0]) == len(states[1]) > 0
    assert states[1][0]["step"].shape == states[0][0]["step"].shape


def test_the_policy_of_a_checkpoint_acts_as_the_live_one(run, saved):
    _, model, env, _ = run
    observation = np.asarray(env.get_original_obs())
    live = np.clip(model.predict(env.normalize_obs(observation), deterministic=True)[0], -1, 1)
    loaded = policy_of(checkpoint.read(saved))
    np.testing.assert_allclose(loaded(observation), live, atol=1e-6)
    np.testing.assert_allclose(loaded.normalize(observation), env.normalize_obs(observation), 1e-5)
    assert np.abs(loaded.normalize(observation) - observation).max() > 0.1


def test_a_sampling_policy_explores(saved):
    policy = policy_of(checkpoint.read(saved), deterministic=False)
    observation = np.zeros((64, len(policy.mean)), np.float32)
    torch.manual_seed(0)
    assert policy(observation).std(axis=0).min() > 0.1


def test_a_policy_comes_only_with_its_statistics(run, saved):
    network = policy_of(checkpoint.read(saved)).actor_critic
    with pytest.raises(TypeError, match="mean"):
        Policy(network)
    for name in ("policy", "normalizer"):
        copy = saved.with_name(f"without_{name}")
        shutil.copytree(saved, copy)
        (copy / f"{name}.safetensors").unlink()
        with pytest.raises(ConfigError, match=rf"damaged, {name}.safetensors: No such file"):
            policy_of(checkpoint.read(copy))


def test_statistics_are_those_of_vecnormalize(run, saved):
    env: VecNormalize = run[2]
    arrays = checkpoint.read(saved).normalizer
    np.testing.assert_array_equal(arrays["obs_mean"], env.obs_rms.mean)
    np.testing.assert_array_equal(arrays["obs_var"], env.obs_rms.var)
    np.testing.assert_array_equal(arrays["returns"], env.returns)
    assert arrays["ret_var"][0] == env.ret_rms.var
    assert env.clip_obs == env.clip_reward == 10.0


@pytest.mark.parametrize("name", sorted(checkpoint.FILES | {"MANIFEST.json"}))
@pytest.mark.parametrize("harm", ["flip", "truncate", "empty", "remove", "append"])
def test_damage_is_one_line(saved, name, harm):
    path = saved / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x01
    changed = {"flip": data, "truncate": data[: len(data) // 2], "empty": b"", "append": data}
    if harm == "append":
        changed["append"] = path.read_bytes() + b"}"
    path.unlink()
    if harm != "remove":
        path.write_bytes(bytes(changed[harm]))
    with pytest.raises(ConfigError) as error:
        checkpoint.read(saved)
    assert len(error.value.problems) == 1
    assert "\n" not in str(error.value)
    assert name in str(error.value) and "damaged" in str(error.value)


@pytest.mark.parametrize("text", ["[]", "3", "null", "{}", '{"format": "x"}', '{"format": 1}'])
def test_a_manifest_of_another_shape_is_damage(saved, text):
    (saved / "MANIFEST.json").write_text(text)
    with pytest.raises(ConfigError, match=r"damaged, MANIFEST\.json"):
        checkpoint.read(saved)


def test_a_manifest_cannot_name_files_elsewhere(saved):
    manifest = json.loads((saved / "MANIFEST.json").read_text())
    manifest["files"]["../../secret"] = manifest["files"]["config.yaml"]
    del manifest["sha256"]
    manifest["sha256"] = self_hash(manifest)
    (saved / "MANIFEST.json").write_text(json.dumps(manifest))
    with pytest.raises(ConfigError, match="damaged"):
        checkpoint.read(saved)


def test_a_newer_format_says_so_and_stays(saved):
    manifest = json.loads((saved / "MANIFEST.json").read_text())
    (saved / "MANIFEST.json").write_text(json.dumps({**manifest, "format": FORMAT + 1}))
    with pytest.raises(ConfigError, match=r"newer reach_rl .* update reach_rl"):
        checkpoint.read(saved)
    with pytest.raises(ConfigError, match="newer reach_rl"):
        checkpoint.newest(saved.parent, print)
    assert saved.is_dir()


def test_the_newest_good_checkpoint_is_found(run, saved):
    folder = saved.parent
    newer = checkpoint.write(folder, 512, run[3])
    checkpoint.point(folder, "latest", newer)
    (newer / "policy.safetensors").write_bytes(b"")
    said = []
    assert checkpoint.newest(folder, said.append).progress["note"] == 1
    assert len(said) == 1 and "policy.safetensors" in said[0]
    assert {p.name for p in folder.iterdir()} >= {saved.name, f"damaged_{newer.name}"}
    assert checkpoint.newest(folder, said.append) is not None
    assert checkpoint.newest(folder / "none", said.append) is None
    assert len(said) == 1


def test_a_checkpoint_later_than_latest_is_of_a_save_that_was_cut_off(run, saved):
    checkpoint.write(saved.parent, 512, run[3])
    (saved.parent / ".step_000000000768.1.tmp").mkdir()
    assert checkpoint.resolve(saved.parent, "latest") == saved
    again = checkpoint.write(saved.parent, 512, run[3])
    checkpoint.verified(again)
    assert not list(saved.parent.glob(".*"))


def test_the_newest_and_the_best_are_kept(run, saved):
    folder = saved.parent
    checkpoint.point(folder, "best", saved)
    for step in (512, 768, 1024):
        checkpoint.point(folder, "latest", checkpoint.write(folder, step, run[3]))
        checkpoint.prune(folder, 2)
    steps = sorted(int(p.name.removeprefix("step_")) for p in folder.glob("step_*"))
    assert steps == [256, 768, 1024]


def test_those_to_keep_for_good_stay(run, saved):
    folder = saved.parent
    for step in (512, 768, 1024, 1280):
        written = checkpoint.write(folder, step, run[3], keep=step in (512, 768))
        checkpoint.point(folder, "latest", written)
        checkpoint.prune(folder, 2)
    steps = sorted(int(p.name.removeprefix("step_")) for p in folder.glob("step_*"))
    assert steps == [512, 768, 1024, 1280]


def test_every_nth_periodic_checkpoint_stays(small, tmp_path):
    words = ("checkpoint.every=256", "checkpoint.keep_every=3", "total_timesteps=2048")
    assert isinstance(train(small(*words), tmp_path), dict)
    steps = sorted(int(p.name.removeprefix("step_")) for p in tmp_path.glob("checkpoints/step_*"))
    assert steps == [768, 1536, 1792, 2048]


def test_an_unknown_checkpoint_names_those_that_are_there(saved):
    with pytest.raises(ConfigError, match=r"checkpoint=best: .* latest or step_000000000256"):
        checkpoint.resolve(saved.parent, "best")
    with pytest.raises(ConfigError, match="none was saved yet"):
        checkpoint.resolve(saved.parent / "nowhere", "latest")
    assert checkpoint.resolve(saved.parent, str(saved)) == saved
    assert checkpoint.resolve(saved.parent, saved.name) == saved
