"""model.zip and vecnormalize.pkl as Stable-Baselines3 itself writes them.

They are pickles of SB3's and torch's classes alone, so that they load where reach_rl is not
installed. Whoever loads a pickle runs its code; the checkpoint itself has none.
"""

import inspect
import warnings
from dataclasses import asdict
from pathlib import Path

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from reach_rl.bundles.card import page
from reach_rl.config.schema import ScheduleKind
from reach_rl.learning.normalize import normalized
from reach_rl.learning.policy import policy_kwargs
from reach_rl.rundir import atomic
from reach_rl.training.snapshot import TrainedPolicy, load_normalizer

FILES = frozenset({"model.zip", "vecnormalize.pkl", "README.md"})

_OTHERWISE = {
    "policy", "policy_kwargs", "rollout_buffer_class", "rollout_buffer_kwargs",
    "tensorboard_log", "verbose", "seed", "device",
}  # fmt: skip
"""Arguments of PPO that the copy does not take from the run."""


def write(subject: TrainedPolicy, folder: Path) -> None:
    """Write both files, and how to load them.

    Args:
        subject: the policy.
        folder: where to; empty.
    """
    config, saved = subject.config, subject.saved
    size, actions = (len(saved.normalizer["obs_mean"]), len(saved.policy["action_net.bias"]))
    spaces_alone = gymnasium.Env[np.ndarray, np.ndarray]()
    spaces_alone.observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float32)
    spaces_alone.action_space = spaces.Box(-1.0, 1.0, (actions,), np.float32)
    env = normalized(DummyVecEnv([lambda: spaces_alone]), config, VecNormalize)
    load_normalizer(env, saved.normalizer)
    env.returns = np.zeros(1)
    env.training = False
    ppo = config.ppo
    taken = inspect.signature(PPO).parameters.keys() & asdict(ppo).keys() - _OTHERWISE
    with warnings.catch_warnings():  # the batch suits the run's many environments, not this one
        warnings.simplefilter("ignore")
        model = PPO(
            "MlpPolicy",
            env,
            policy_kwargs=policy_kwargs(ppo.policy_kwargs) | {"optimizer_class": torch.optim.Adam},
            device="cpu",
            **{name: getattr(ppo, name) for name in taken},
        )
    weights = {name: torch.from_numpy(value) for name, value in saved.policy.items()}
    model.policy.load_state_dict(weights)
    model.num_timesteps = int(str(saved.progress.get("num_timesteps", 0)))
    model.save(folder / "model.zip")
    env.save(str(folder / "vecnormalize.pkl"))
    constant = ppo.learning_rate_schedule.kind is ScheduleKind.CONSTANT
    told = {"robot": config.robot, "checkpoint": subject.folder.name, "constant": constant}
    atomic.write_atomic(folder / "README.md", page("sb3.md", told))
