"""Stable-Baselines3's own PPO, with the settings of our YAML.

python examples/sb3_ppo.py robot=ur5e task=near total_timesteps=400_000 run_dir=runs/sb3_ppo
"""

import sys
from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.vec_env import VecNormalize

import reach_rl
from reach_rl.training.own_learner import OwnRun

SAME = ("learning_rate", "n_steps", "batch_size", "n_epochs", "gamma", "gae_lambda", "clip_range")


class ToRecord(KVWriter):
    """What SB3 logs, and what has finished meanwhile, into the record of the run."""

    def __init__(self, record: OwnRun, env: VecNormalize) -> None:
        self.record, self.env = record, env

    def write(
        self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0
    ) -> None:
        numbers = {k: v for k, v in key_values.items() if isinstance(v, (int, float, np.number))}
        self.record.write(step, numbers | self.record.rollout(self.env))

    def close(self) -> None:
        """The record is closed by its own block."""


def main(words: list[str]) -> dict[str, Any]:
    """Train, judge and record; returns what summary.json holds."""
    config = reach_rl.compose(["vec_env.n_envs=128", "ppo.n_steps=48", *words], own_learner=True)
    env = VecNormalize(reach_rl.make_vec_env(config), gamma=config.ppo.gamma)
    env.seed(config.seed)
    with reach_rl.record(config, learner="Stable-Baselines3 PPO") as record:
        own = {name: getattr(config.ppo, name) for name in SAME}
        model = PPO("MlpPolicy", env, seed=config.seed, device="cpu", **own)
        model.set_logger(Logger(None, [ToRecord(record, env)]))
        model.learn(config.total_timesteps)
        model.logger.dump(model.num_timesteps)

        def act(seen: np.ndarray) -> np.ndarray:
            return model.predict(env.normalize_obs(seen), deterministic=True)[0]

        judged = config.evaluation
        result = reach_rl.evaluate(act, config, goals=judged.goals, seed=judged.seed)
        model.save(record.folder / "model.zip")
        return record.finish(result)


if __name__ == "__main__":
    main(sys.argv[1:])
