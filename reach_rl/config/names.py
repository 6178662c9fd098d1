"""The closed lists of names that a configuration may use; reach_rl.mdp implements them."""

OBSERVATION_TERMS = (
    "joint_position",
    "joint_velocity",
    "joint_angle",
    "tool_position",
    "tool_quaternion",
    "goal_position",
    "goal_quaternion",
    "goal_direction",
    "position_error",
    "orientation_error",
    "self_collision",
    "last_action",
    "jacobian_transpose",
    "damped_least_squares",
    "joint_error",
)

REWARD_TERMS = (
    "distance",
    "distance_tanh",
    "orientation_error",
    "keypoint_distance",
    "keypoint_kernel",
    "progress",
    "joint_progress",
    "hold_bonus",
    "completion_bonus",
    "stillness",
    "velocity_near_goal",
    "action_rate",
    "joint_velocity",
    "joint_limit",
    "self_collision",
    "table_collision",
    "table_margin",
)

ACTION_KINDS = ("offset", "increment")
START_METHODS = ("fork", "spawn", "forkserver")
DEVICES = ("cpu", "cuda", "auto")
POLICIES = ("MlpPolicy",)
ROLLOUT_BUFFERS = ("RolloutBuffer",)

HEALTH_CHECKS = (
    "approx_kl",
    "clip_fraction_high",
    "clip_fraction_low",
    "grad_norm",
    "entropy_collapse",
    "std_growing",
    "value_loss_growing",
    "value_frozen",
    "explained_variance",
    "minibatch_small",
    "horizon_short",
    "reward_flat",
    "reward_falling",
    "reward_misaligned",
    "reward_penalties",
    "reward_scale",
    "success_flat",
    "goals_unreachable",
    "hovering",
    "chatter",
    "action_saturation",
    "observation_dead",
    "observation_scale",
    "episode_length",
    "physics_resets",
    "throughput",
)
"""Warnings of reach_rl.monitoring.health."""

# Dotted key -> the names it may hold or, for a group of terms, may have as keys.
NAMES: dict[str, tuple[str, ...]] = {
    "observation.terms": OBSERVATION_TERMS,
    "reward.terms": REWARD_TERMS,
    "curriculum.ramps": REWARD_TERMS,
    "action.kind": ACTION_KINDS,
    "vec_env.start_method": START_METHODS,
    "health.stop_on": (*HEALTH_CHECKS, "any"),
    "ppo.device": DEVICES,
    "ppo.policy": POLICIES,
    "ppo.rollout_buffer_class": ROLLOUT_BUFFERS,
}

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
