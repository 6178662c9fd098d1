"""model.zip and vecnormalize.pkl as Stable-Baselines3 itself writes them.

They are pickles of SB3's and torch's classes alone, so that they load where reach_rl is not
installed. Whoever loads a pickle runs its code; the checkpoint itself has none.
"""

import warnings
from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from reach_rl.config.schema import ScheduleKind
from reach_rl.learning.policy import policy_kwargs
from reach_rl.rundir import atomic
from reach_rl.training.snapshot import TrainedPolicy, load_normalizer

FILES = frozenset({"model.zip", "vecnormalize.pkl", "README.md"})

_TAKEN = (
    "n_steps",
    "batch_size",
    "n_epochs",
    "gamma",
    "gae_lambda",
    "clip_range",
    "clip_range_vf",
    "normalize_advantage",
    "ent_coef",
    "vf_coef",
    "max_grad_norm",
    "use_sde",
    "sde_sample_freq",
    "target_kl",
    "stats_window_size",
)


def write(subject: TrainedPolicy, folder: Path) -> None:
    """Write both files, and how to load them.

    Args:
        subject: the policy.
        folder: where to; empty.
    """
    config, saved = subject.config, subject.saved
    size, joints = len(saved.normalizer["obs_mean"]), len(config.robot.joints)
    env = VecNormalize(
        DummyVecEnv([lambda: _Spaces(size, joints)]),
        norm_obs=config.observation.normalize,
        norm_reward=config.reward.normalize,
        clip_obs=config.observation.clip,
        clip_reward=config.reward.clip,
        gamma=config.ppo.gamma,
    )
    load_normalizer(env, saved.normalizer)
    env.returns = np.zeros(1)
    env.training = False
    ppo = config.ppo
    with warnings.catch_warnings():  # the batch suits the run's many environments, not this one
        warnings.simplefilter("ignore")
        model = PPO(
            "MlpPolicy",
            env,
            learning_rate=ppo.learning_rate,
            policy_kwargs=policy_kwargs(ppo.policy_kwargs),
            device="cpu",
            **{name: getattr(ppo, name) for name in _TAKEN},
        )
    weights = {name: torch.from_numpy(value) for name, value in saved.policy.items()}
    model.policy.load_state_dict(weights)
    model.num_timesteps = int(str(saved.progress.get("num_timesteps", 0)))
    model.save(folder / "model.zip")
    env.save(str(folder / "vecnormalize.pkl"))
    constant = ppo.learning_rate_schedule.kind is ScheduleKind.CONSTANT
    atomic.write_atomic(folder / "README.md", _readme(subject, constant))


class _Spaces(gymnasium.Env[np.ndarray, np.ndarray]):
    """An environment that has spaces and nothing else."""

    def __init__(self, size: int, joints: int) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (joints,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Zeros."""
        return np.zeros(self.observation_space.shape or (0,), np.float32), {}

    def step(
        self, action: np.ndarray
    ) -> tuple[np.ndarray, SupportsFloat, bool, bool, dict[str, Any]]:
        """Zeros."""
        return np.zeros(self.observation_space.shape or (0,), np.float32), 0.0, False, False, {}


def _readme(subject: TrainedPolicy, constant: bool) -> str:
    schedule = "" if constant else " The learning rate is that of the start, without its schedule."
    return f"""# {subject.config.robot.name}, {subject.folder.name}, for Stable-Baselines3

```python
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize

model = PPO.load("model.zip")
normalizer = VecNormalize.load("vecnormalize.pkl", env)  # env: a VecEnv of the same task
action, _ = model.predict(normalizer.normalize_obs(observation), deterministic=True)
```

Both files are pickles: load them only from where you trust.{schedule} The optimizer's state is not
in it. Actions are in [-1, 1] for each of {", ".join(subject.config.robot.joints)}.
"""
