"""The names that a configuration may use."""

from reach_rl.extend import entries

START_METHODS = ("fork", "spawn", "forkserver")
DEVICES = ("cpu", "cuda", "auto")
POLICIES = ("MlpPolicy",)
ROLLOUT_BUFFERS = ("RolloutBuffer",)


def names(path: str) -> tuple[str, ...]:
    """The names that a dotted key may hold or, for a group of terms, may have; () if any."""
    if path in _NOUNS:
        return (*entries(_NOUNS[path]), *(("any",) if path == "health.stop_on" else ()))
    return _WORDS.get(path, ())


_NOUNS: dict[str, str] = {
    "observation.terms": "observation_term",
    "reward.terms": "reward_term",
    "curriculum.ramps": "reward_term",
    "action.kind": "action_kind",
    "health.stop_on": "health_check",
}
_WORDS: dict[str, tuple[str, ...]] = {
    "vec_env.start_method": START_METHODS,
    "ppo.device": DEVICES,
    "ppo.policy": POLICIES,
    "ppo.rollout_buffer_class": ROLLOUT_BUFFERS,
}

NAMED = (*_NOUNS, *_WORDS)
"""The dotted keys that hold such names."""

# Common abbreviations of keys -> the last part of the key.
ABBREVIATIONS: dict[str, str] = {
    "lr": "learning_rate",
    "bs": "batch_size",
    "envs": "n_envs",
    "num_envs": "n_envs",
    "epochs": "n_epochs",
    "timesteps": "total_timesteps",
    "steps": "total_timesteps",
    "discount": "gamma",
    "lambda": "gae_lambda",
    "activation": "activation_fn",
    "output_dir": "run_dir",
    "logdir": "run_dir",
}
