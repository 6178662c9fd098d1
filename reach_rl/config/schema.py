"""The typed schema of a run: what every key may hold. Values live in conf/, never here.

One frozen dataclass per config group, which pydantic types (see validation). Annotations state the
range of a number, enums and literals the choices. The meaning and unit of each key is the comment
beside it in conf/, which `reach-rl explain` and docs/configuration.md read.
"""

import math
from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

from reach_rl.config.fields import (
    Before,
    Count,
    Integer,
    Name,
    NotNegative,
    Number,
    Part,
    Positive,
    PositiveShare,
    Seed,
    Share,
    Term,
    Terms,
    Whole,
    both,
    strict,
)

VecEnvKind = StrEnum("VecEnvKind", "BATCH SUBPROC DUMMY")
"""How environments are vectorised."""
GoalChange = StrEnum("GoalChange", "TIMER HOLD NEVER")
"""When an episode gets its next goal."""
Start = StrEnum("Start", "HOME REGION")
"""Where an episode starts."""
ScheduleKind = StrEnum("ScheduleKind", "CONSTANT LINEAR COSINE KL_ADAPTIVE")
"""How a value moves over the run."""
Unit = StrEnum("Unit", "STEPS EPISODES FRACTION")
"""What a curriculum counts, over all environments together."""
Activation = StrEnum("Activation", "TANH RELU ELU SILU GELU LEAKY_RELU")
"""Hidden-layer activation of both networks."""
WandbMode = StrEnum("WandbMode", "AUTO ONLINE OFFLINE DISABLED")
"""Where W&B records go."""


@strict
class ScenePart(Term):
    """A part of the scene that an extension has registered: the arguments of its function."""


@strict
class RobotConfig:
    """A robot: its model and the names of the parts that the task uses."""

    name: str
    mjcf: str | None
    joints: list[str]
    actuators: list[str]
    tcp_site: str
    keyframe: str | None
    home: list[Number] | None
    velocity_limits: list[Positive] | None
    reach: Positive | None
    servo_lag: Positive | None
    parts: Annotated[Mapping[str, ScenePart | None], Terms("scene_part", base=ScenePart)] = field(
        default_factory=dict
    )


@strict
class RandomizationConfig:
    """What differs between simulations; each pair is [least, most], drawn anew every episode."""

    servo_gain: list[Positive]
    joint_damping: list[NotNegative]
    joint_friction: list[NotNegative]
    payload: list[NotNegative]
    action_delay: list[Annotated[Integer, Ge(0), Le(5)]]


@strict
class RegionConfig:
    """Which tool poses are goals. A sampled joint configuration is kept if all conditions hold."""

    name: str
    joint_range: list[Positive] | None
    box_low: list[Number | None] | None
    box_high: list[Number | None] | None
    radius: list[NotNegative] | None
    pan_distance: Part
    cone_axis: list[Number] | None
    cone_angle: Positive | None
    clearance: NotNegative
    pool: Count


@strict
class TaskConfig:
    """The reaching task: time, thresholds, goals and starts."""

    region: RegionConfig
    physics_step: Annotated[Number, Gt(0), Le(0.02)]
    substeps: Count
    episode_steps: Count
    position_threshold: Positive
    orientation_threshold: Positive
    hold_time: NotNegative
    goal_change: GoalChange
    goal_period: Count
    start: Start
    start_noise: NotNegative
    keypoint_offset: Positive
    randomization: RandomizationConfig
    goals: Annotated[str, Name("goal_source")] = "region"

    @property
    def control_period(self) -> float:
        """Seconds between two actions."""
        return self.physics_step * self.substeps

    @property
    def hold_steps(self) -> int:
        """Consecutive control steps inside the thresholds that span the hold; at least one."""
        return 1 + math.ceil(self.hold_time / self.control_period - 1e-9)


@strict
class ObservationTerm(Term):
    """One part of the observation, beside the arguments of its function."""

    scales: list[Positive] | None = None
    noise: NotNegative = 0.0


@strict
class ObservationConfig:
    """What the policy sees; terms are concatenated in the order given."""

    terms: Annotated[
        Mapping[str, ObservationTerm | None], Terms("observation_term", base=ObservationTerm)
    ]
    normalize: bool
    clip: Positive


@strict
class ActionConfig:
    """What an action in [-1, 1] means."""

    kind: Annotated[str, Name("action_kind")]
    speed: PositiveShare
    torque: Positive
    curve: Annotated[Number, Ge(1)]


@strict
class RewardTerm(Term):
    """One part of the reward, beside the arguments of its function; a number is its weight."""

    weight: Number
    scales: list[Positive] | None = None


@strict
class RewardConfig:
    """What is rewarded: the weighted sum of the terms."""

    terms: Annotated[Mapping[str, RewardTerm | None], Terms("reward_term", base=RewardTerm)]
    normalize: bool
    clip: Positive


@strict
class Ramp:
    """A reward weight that moves from start to end."""

    start: Number
    end: Number


@strict
class Stage:
    """One stage of a staged curriculum."""

    advance_at: Share
    position_threshold: Positive
    orientation_threshold: Positive
    region_share: PositiveShare


@strict
class CurriculumKind(Term):
    """A kind of curriculum that an extension has registered: the arguments of its function."""


@strict
class CurriculumConfig:
    """What changes while training goes on; counted over all environments together."""

    unit: Unit
    duration: Positive
    ramps: Mapping[Annotated[str, Name("reward_term")], Ramp]
    stages: list[Stage]
    window: Count
    kinds: Annotated[
        Mapping[str, CurriculumKind | None], Terms("curriculum_kind", base=CurriculumKind)
    ] = field(default_factory=dict)


@strict
class Schedule:
    """How a value moves from its configured start over the run."""

    kind: ScheduleKind
    end: NotNegative
    target_kl: Positive


@strict
class NetArch:
    """Hidden layers of the policy and of the value network."""

    pi: list[Count]
    vf: list[Count]


@strict
class PolicyKwargs:
    """Networks, as SB3's policy_kwargs."""

    net_arch: Annotated[NetArch, Before(both)]
    activation_fn: Activation
    log_std_init: Number
    ortho_init: bool


@strict
class PPOConfig:
    """PPO. Keys are the argument names of stable_baselines3.PPO, and four of ours at the end."""

    policy: Literal["MlpPolicy"]
    learning_rate: Positive
    n_steps: Count
    batch_size: Count
    n_epochs: Count
    gamma: Share
    gae_lambda: Share
    clip_range: Positive
    clip_range_vf: Positive | None
    normalize_advantage: bool
    ent_coef: Number
    vf_coef: NotNegative
    max_grad_norm: Positive
    use_sde: bool
    sde_sample_freq: Annotated[Integer, Ge(-1)]
    rollout_buffer_class: Literal["RolloutBuffer"] | None
    rollout_buffer_kwargs: Mapping[str, Any]
    target_kl: Positive | None
    stats_window_size: Count
    tensorboard_log: str | None
    policy_kwargs: PolicyKwargs
    verbose: Annotated[Integer, Ge(0), Le(2)]
    seed: Seed | None
    device: Annotated[str, Name(also=("cpu", "cuda", "auto"), pattern=r"cuda:\d+")]
    learning_rate_schedule: Schedule
    clip_range_schedule: Schedule
    min_std: Positive | None
    fast: bool


@strict
class VecEnvConfig:
    """How many environments, on how many threads, vectorised how."""

    kind: VecEnvKind
    n_envs: Count
    rollout_steps: Count
    threads: Whole
    stagger: bool
    truncate_at_goal_change: bool
    start_method: Literal["fork", "spawn", "forkserver"] | None
    worker_timeout: Positive
    worker_restarts: Whole


@strict
class EvaluationConfig:
    """How a policy is judged."""

    goals: Count
    seed: Seed
    every: Whole
    periodic_goals: Count
    deterministic: bool
    also: list[str]


@strict
class WandbConfig:
    """Weights & Biases."""

    mode: WandbMode
    project: str
    entity: str | None
    group: str | None
    name: str | None
    tags: list[str]
    notes: str | None
    timeout: Positive


@strict
class CheckpointConfig:
    """When training saves and what it keeps."""

    every: Whole
    keep: Annotated[Integer, Ge(2)]
    keep_every: Whole


@strict
class HealthConfig:
    """What watches over a run."""

    enabled: bool
    stop_on: list[Annotated[str, Name("health_check", also=("any",))]]
    warm_up: Part
    persistence: Part


@strict
class GuardConfig:
    """What happens when numbers go bad."""

    dumps: Whole
    max_reset_rate: Positive
    window: Count
    rollback: bool
    rollback_factor: Annotated[Number, Gt(0), Lt(1)]


@strict
class Config:
    """One run."""

    robot: RobotConfig
    task: TaskConfig
    observation: ObservationConfig
    action: ActionConfig
    reward: RewardConfig
    curriculum: CurriculumConfig
    ppo: PPOConfig
    vec_env: VecEnvConfig
    evaluation: EvaluationConfig
    wandb: WandbConfig
    checkpoint: CheckpointConfig
    guard: GuardConfig
    health: HealthConfig
    seed: Seed
    total_timesteps: Count
    run_dir: str | None
    resume: str | None
    progress: bool
    picture: bool
    video: bool
    video_every: Count
    profile: bool
    torch_threads: Whole
