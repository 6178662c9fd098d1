"""sb3-contrib's TQC on the same environments (pip install sb3-contrib).

python examples/sb3_tqc.py robot=ur5e task=near total_timesteps=200_000 run_dir=runs/sb3_tqc
"""

import sys
from typing import Any

import numpy as np
from sb3_contrib import TQC
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.vec_env import VecNormalize

import reach_rl
from reach_rl.training.own_learner import OwnRun

SETTINGS = {"batch_size": 256, "gradient_steps": 2, "learning_rate": 1e-3, "learning_starts": 4000}
"""Two gradient steps for each step of all environments."""


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
    config = reach_rl.compose(["vec_env.n_envs=32", *words], own_learner=True)
    env = VecNormalize(reach_rl.make_vec_env(config), gamma=config.ppo.gamma)
    env.seed(config.seed)
    with reach_rl.record(config, learner="sb3-contrib TQC") as record:
        gamma, seed = config.ppo.gamma, config.seed
        model = TQC("MlpPolicy", env, gamma=gamma, seed=seed, device="cpu", **SETTINGS)
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
