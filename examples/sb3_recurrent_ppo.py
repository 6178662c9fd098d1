"""sb3-contrib's PPO with an LSTM, a policy that remembers (pip install sb3-contrib).

python examples/sb3_recurrent_ppo.py robot=ur5e task=near run_dir=runs/recurrent
"""

import sys
from typing import Any

import numpy as np
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.vec_env import VecNormalize

import reach_rl
from reach_rl.training.own_learner import OwnRun

LSTM = {"lstm_hidden_size": 64, "net_arch": [64], "enable_critic_lstm": False, "shared_lstm": True}
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


class Remembering:
    """The policy as it is judged: begins with an empty memory where episodes begin."""

    def __init__(self, model: RecurrentPPO, env: VecNormalize) -> None:
        self.model, self.env = model, env
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.memory: Any = None

    def __call__(self, seen: np.ndarray) -> np.ndarray:
        first = np.full(len(seen), self.memory is None)
        scaled = self.env.normalize_obs(seen)
        action, self.memory = self.model.predict(scaled, self.memory, first, deterministic=True)
        return action


def main(words: list[str]) -> dict[str, Any]:
    """Train, judge and record; returns what summary.json holds."""
    config = reach_rl.compose(["vec_env.n_envs=128", "ppo.n_steps=48", *words], own_learner=True)
    env = VecNormalize(reach_rl.make_vec_env(config), gamma=config.ppo.gamma)
    env.seed(config.seed)
    with reach_rl.record(config, learner="sb3-contrib RecurrentPPO") as record:
        own = {name: getattr(config.ppo, name) for name in SAME}
        model = RecurrentPPO("MlpLstmPolicy", env, policy_kwargs=LSTM, seed=config.seed, **own)
        model.set_logger(Logger(None, [ToRecord(record, env)]))
        model.learn(config.total_timesteps)
        model.logger.dump(model.num_timesteps)
        act, judged = Remembering(model, env), config.evaluation
        result = reach_rl.evaluate(act, config, goals=judged.goals, seed=judged.seed)
        model.save(record.folder / "model.zip")
        return record.finish(result)


if __name__ == "__main__":
    main(sys.argv[1:])
