"""What an extension's reward term costs a default run: python benchmarks/extension_cost.py.

The same term in plain NumPy and compiled, in one run: the time of its calls as a share of what a
rollout and its update take. CPU time, so that what else runs hardly matters: that of the main
thread, and of the physics threads as if they shared the work evenly.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from reach_rl.config.load import compose
from reach_rl.envs.vec_env import make_vec_env, threads_of
from reach_rl.extend import compiled, reward_term
from reach_rl.learning.build import make_model
from reach_rl.learning.normalize import normalized
from reach_rl.mdp.state import State

SPENT: Counter[str] = Counter()


def timed(term: Callable[..., Any]) -> Callable[..., Any]:
    """The term, whose time is counted under its name."""

    def call(state: State, arm: object) -> np.ndarray:
        begin = time.thread_time()
        value = term(state, arm)
        SPENT[term.__name__] += time.thread_time() - begin  # type: ignore[assignment]
        return value

    call.__name__ = term.__name__
    return call


@reward_term
@timed
def plain(state: State, arm: object) -> np.ndarray:
    """How far the elbow is below 0.6 m."""
    return np.maximum(0.0, 0.6 - state.joint_anchor[:, 2, 2])


@compiled("void(f8[:,:,:], f8[:])")
def _below(joint_anchor: np.ndarray, out: np.ndarray) -> None:
    for i in range(len(out)):
        out[i] = max(0.0, 0.6 - joint_anchor[i, 2, 2])


@reward_term
@timed
def looped(state: State, arm: object) -> np.ndarray:
    """The same, compiled."""
    out = np.empty(len(state.distance))
    _below.on(state, out)
    return out


def main() -> None:
    """Train a few rollouts and tell the shares."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rollouts", type=int, default=12, help="measured, after two more")
    rollouts = parser.parse_args().rollouts
    config = compose(["progress=false", "reward.terms.plain=-0.1", "reward.terms.looped=-0.1"])
    env = normalized(make_vec_env(config), config)
    model = make_model(config, env)
    with tempfile.TemporaryDirectory() as folder:
        callback = model._setup_learn(10**9, tb_log_name=str(Path(folder)))[1]
        begin = (0.0, 0.0)
        for i in range(rollouts + 2):
            if i == 2:
                SPENT.clear()
                begin = time.thread_time(), time.process_time()
            model.collect_rollouts(env, callback, model.rollout_buffer, model.n_steps)
            model.train()
    own, every = time.thread_time() - begin[0], time.process_time() - begin[1]
    whole = own + (every - own) / threads_of(config.vec_env.threads)
    for name, spent in SPENT.items():
        print(
            f"{name}: {spent / whole:.2%} of {whole / rollouts:.2f} s of a rollout and its update"
        )


if __name__ == "__main__":
    main()
