"""Files of Stable-Baselines3 are read only by who says that their code may run."""

import pickle
import zipfile
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from reach_rl.config.load import ConfigError
from reach_rl.learning.foreign import load_sb3


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """What SB3 saves of another task, and the objects that were saved."""
    folder = tmp_path_factory.mktemp("sb3")
    env = VecNormalize(DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")]))
    model = PPO("MlpPolicy", env, n_steps=64, seed=0, device="cpu").learn(128)
    model.save(folder / "model.zip")
    env.save(str(folder / "vecnormalize.pkl"))
    return folder, model, env


def test_it_acts_as_it_did(pair):
    folder, model, env = pair
    policy = load_sb3(folder / "model.zip", folder / "vecnormalize.pkl", allow_pickle=True)
    seen = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    expected, _ = model.predict(env.normalize_obs(seen), deterministic=True)
    np.testing.assert_allclose(policy(seen), np.clip(expected, -1, 1), atol=1e-5)
    plain = load_sb3(folder / "model.zip", allow_pickle=True)
    expected, _ = model.predict(seen, deterministic=True)
    np.testing.assert_allclose(plain(seen), np.clip(expected, -1, 1), atol=1e-5)


class Canary:
    """Leaves a file behind if anything unpickles it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_without_the_flag_nothing_is_read(pair, tmp_path):
    canary = tmp_path / "canary"
    (tmp_path / "vecnormalize.pkl").write_bytes(pickle.dumps(Canary(canary)))
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as file:
        file.writestr("data", pickle.dumps(Canary(canary)))
        file.writestr("policy.pth", pickle.dumps(Canary(canary)))
    with pytest.raises(ConfigError, match=r"runs whatever code .* say allow_pickle=True") as error:
        load_sb3(tmp_path / "model.zip", tmp_path / "vecnormalize.pkl")
    assert len(error.value.problems) == 1 and not canary.exists()
    with pytest.raises(ConfigError, match="cannot be read as a model of SB3"):
        load_sb3(pair[0] / "vecnormalize.pkl", allow_pickle=True)
    with pytest.raises(ConfigError, match="cannot be read as a model of SB3"):
        load_sb3(pair[0] / "model.zip", tmp_path / "vecnormalize.pkl", allow_pickle=True)
    assert canary.exists()  # this is what the flag risks
