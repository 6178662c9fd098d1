"""The typed schema of a run: what every key may hold. Values live in conf/, never here.

One frozen dataclass per config group; `rule(...)` states the range of a number, enums state the
choices. The meaning and unit of each key is the comment beside it in conf/, which `reach-rl
explain` and docs/configuration.md read.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reach_rl.config.kinds import (
    Activation,
    GoalChange,
    ScheduleKind,
    Start,
    Unit,
    VecEnvKind,
    WandbMode,
    rule,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RobotConfig:
    """A robot: its model and the names of the parts that the task uses."""

    name: str
    mjcf: str | None
    joints: list[str]
    actuators: list[str]
    tcp_site: str
    home: list[float] | None
    velocity_limits: list[float] | None = rule(gt=0)
    reach: float | None = rule(gt=0)
    servo_lag: float | None = rule(gt=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomizationConfig:
    """What differs between simulations; each pair is [least, most], drawn anew every episode."""

    servo_gain: list[float] = rule(gt=0)
    joint_damping: list[float] = rule(ge=0)
    joint_friction: list[float] = rule(ge=0)
    payload: list[float] = rule(ge=0)
    action_delay: list[int] = rule(ge=0, le=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionConfig:
    """Which tool poses are goals. A sampled joint configuration is kept if all conditions hold."""

    name: str
    joint_range: list[float] | None = rule(gt=0)
    box_low: list[float | None] | None = field()
    box_high: list[float | None] | None = field()
    radius: list[float] | None = rule(ge=0)
    pan_distance: float = rule(ge=0, lt=1)
    cone_axis: list[float] | None = field()
    cone_angle: float | None = rule(gt=0)
    clearance: float = rule(ge=0)
    pool: int = rule(ge=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskConfig:
    """The reaching task: time, thresholds, goals and starts."""

    region: RegionConfig
    physics_step: float = rule(gt=0, le=0.02)
    substeps: int = rule(ge=1)
    episode_steps: int = rule(ge=1)
    position_threshold: float = rule(gt=0)
    orientation_threshold: float = rule(gt=0)
    hold_time: float = rule(ge=0)
    goal_change: GoalChange = field()
    goal_period: int = rule(ge=1)
    start: Start = field()
    start_noise: float = rule(ge=0)
    keypoint_offset: float = rule(gt=0)
    randomization: RandomizationConfig = field()

    @property
    def control_period(self) -> float:
        """Seconds between two actions."""
        return self.physics_step * self.substeps

    @property
    def hold_steps(self) -> int:
        """Consecutive control steps inside the thresholds that span the hold; at least one."""
        return 1 + math.ceil(self.hold_time / self.control_period - 1e-9)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationTerm:
    """One part of the observation."""

    scales: list[float] | None = rule(gt=0)
    noise: float = rule(ge=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationConfig:
    """What the policy sees; terms are concatenated in the order given."""

    terms: Mapping[str, ObservationTerm | None]
    normalize: bool
    clip: float = rule(gt=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionConfig:
    """What an action in [-1, 1] means."""

    kind: str
    speed: float = rule(gt=0, le=1)
    torque: float = rule(gt=0)
    curve: float = rule(ge=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardTerm:
    """One part of the reward."""

    weight: float
    scales: list[float] | None = rule(gt=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardConfig:
    """What is rewarded: the weighted sum of the terms."""

    terms: Mapping[str, RewardTerm | None]
    normalize: bool
    clip: float = rule(gt=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """A reward weight that moves from start to end."""

    start: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of a staged curriculum."""

    advance_at: float = rule(ge=0, le=1)
    position_threshold: float = rule(gt=0)
    orientation_threshold: float = rule(gt=0)
    region_share: float = rule(gt=0, le=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CurriculumConfig:
    """What changes while training goes on; counted over all environments together."""

    unit: Unit
    duration: float = rule(gt=0)
    ramps: Mapping[str, Ramp] = field()
    stages: list[Stage] = field()
    window: int = rule(ge=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How a value moves from its configured start over the run."""

    kind: ScheduleKind
    end: float = rule(ge=0)
    target_kl: float = rule(gt=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetArch:
    """Hidden layers of the policy and of the value network."""

    pi: list[int] = rule(ge=1)
    vf: list[int] = rule(ge=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyKwargs:
    """Networks, as SB3's policy_kwargs."""

    net_arch: NetArch
    activation_fn: Activation
    log_std_init: float
    ortho_init: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PPOConfig:
    """PPO. Keys are the argument names of stable_baselines3.PPO, and four of ours at the end."""

    policy: str
    learning_rate: float = rule(gt=0)
    n_steps: int = rule(ge=1)
    batch_size: int = rule(ge=1)
    n_epochs: int = rule(ge=1)
    gamma: float = rule(ge=0, le=1)
    gae_lambda: float = rule(ge=0, le=1)
    clip_range: float = rule(gt=0)
    clip_range_vf: float | None = rule(gt=0)
    normalize_advantage: bool = field()
    ent_coef: float = field()
    vf_coef: float = rule(ge=0)
    max_grad_norm: float = rule(gt=0)
    use_sde: bool = field()
    sde_sample_freq: int = rule(ge=-1)
    rollout_buffer_class: str | None = field()
    rollout_buffer_kwargs: Mapping[str, Any] = field()
    target_kl: float | None = rule(gt=0)
    stats_window_size: int = rule(ge=1)
    tensorboard_log: str | None = field()
    policy_kwargs: PolicyKwargs = field()
    verbose: int = rule(ge=0, le=2)
    seed: int | None = rule(ge=0, le=2**31 - 1)
    device: str = field()
    learning_rate_schedule: Schedule = field()
    clip_range_schedule: Schedule = field()
    min_std: float | None = rule(gt=0)
    fast: bool = field()


@dataclass(frozen=True, slots=True, kw_only=True)
class VecEnvConfig:
    """How many environments, on how many threads, vectorised how."""

    kind: VecEnvKind
    n_envs: int = rule(ge=1)
    rollout_steps: int = rule(ge=1)
    threads: int = rule(ge=0)
    stagger: bool = field()
    truncate_at_goal_change: bool = field()
    start_method: str | None = field()
    worker_timeout: float = rule(gt=0)
    worker_restarts: int = rule(ge=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationConfig:
    """How a policy is judged."""

    goals: int = rule(ge=1)
    seed: int = rule(ge=0, le=2**31 - 1)
    every: int = rule(ge=0)
    periodic_goals: int = rule(ge=1)
    deterministic: bool = field()
    also: list[str] = field()


@dataclass(frozen=True, slots=True, kw_only=True)
class WandbConfig:
    """Weights & Biases."""

    mode: WandbMode
    project: str
    entity: str | None
    group: str | None
    name: str | None
    tags: list[str]
    notes: str | None
    timeout: float = rule(gt=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointConfig:
    """When training saves and what it keeps."""

    every: int = rule(ge=0)
    keep: int = rule(ge=2)
    keep_every: int = rule(ge=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthConfig:
    """What watches over a run."""

    enabled: bool
    stop_on: list[str]
    warm_up: float = rule(ge=0, lt=1)
    persistence: float = rule(ge=0, lt=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardConfig:
    """What happens when numbers go bad."""

    dumps: int = rule(ge=0)
    max_reset_rate: float = rule(gt=0)
    window: int = rule(ge=1)
    rollback: bool = field()
    rollback_factor: float = rule(gt=0, lt=1)


@dataclass(frozen=True, slots=True, kw_only=True)
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
    seed: int = rule(ge=0, le=2**31 - 1)
    total_timesteps: int = rule(ge=1)
    run_dir: str | None = field()
    resume: str | None = field()
    progress: bool = field()
    picture: bool = field()
    video: bool = field()
    video_every: int = rule(ge=1)
    profile: bool = field()
    torch_threads: int = rule(ge=0)
