"""The runs of benchmarks/health.py: sick on purpose, and healthy.

The names that count as right were written down before the runs of the table were made.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reach_rl import extend
from reach_rl.extend import entries

Hook = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Case:
    """One run: what is wrong with it, how it is made, and which warnings name it."""

    name: str
    story: str
    overrides: tuple[str, ...]
    accepted: frozenset[str] = frozenset()
    """Checks that name what is wrong; none: the run is healthy."""
    hook: Hook | None = None
    """What no configuration key can do, done to the modules before training."""
    steps: int = 250_000

    @property
    def sick(self) -> bool:
        """Whether something is wrong on purpose."""
        return bool(self.accepted)


def out_of_reach() -> None:
    """Every goal two metres farther out than it was, where no arm arrives."""
    from reach_rl.envs import pool

    plain = pool.goal_pool

    def far(*args: Any, **options: Any) -> Any:  # noqa: ANN401
        goals = plain(*args, **options)
        return replace(goals, position=goals.position + np.array([2.0, 0.0, 0.0]))

    pool.goal_pool = far


def dead_sensor() -> None:
    """The position error reads 0.1 m on each axis, always."""
    _observe("position_error", lambda state, arm: np.full_like(state.position_error, 0.1))


def noise_only() -> None:
    """Everything that tells where the goal is, is noise."""
    rng = np.random.default_rng(0)
    for name in ("position_error", "orientation_error", "jacobian_transpose"):
        width = 6 if name == "jacobian_transpose" else 3
        _observe(name, lambda state, arm, w=width: rng.normal(size=(len(state.distance), w)))


def _observe(name: str, term: Callable[..., np.ndarray]) -> None:
    entries("observation_term")
    extend._ENTRIES["observation_term"][name] = term


def unstable_physics() -> None:
    """Servos a thousand times stiffer, and an integrator that cannot follow them."""
    from reach_rl import robots

    plain = robots.load_robot

    def stiff(*args: Any, **options: Any) -> Any:  # noqa: ANN401
        robot = plain(*args, **options)
        robot.model.actuator_gainprm[:, 0] *= 1e3
        robot.model.actuator_biasprm[:, 1] *= 1e3
        robot.model.actuator_forcelimited[:] = 0
        robot.model.opt.integrator = 0
        return robot

    robots.load_robot = stiff


def _accepted(*names: str) -> frozenset[str]:
    return frozenset(names)


SICK = (
    Case(
        "learning rate x 100",
        "the policy jumps in every update",
        ("ppo.learning_rate=0.15",),
        _accepted("approx_kl", "clip_fraction_high"),
    ),
    Case(
        "no exploration",
        "deviation exp(-4) of the actions and no entropy bonus",
        ("ppo.ent_coef=0", "ppo.policy_kwargs.log_std_init=-4", "ppo.min_std=null"),
        _accepted("entropy_collapse"),
    ),
    Case(
        "reward sign flipped",
        "the reward pays for leaving the goal",
        (
            "reward.terms.keypoint_distance.weight=1.0",
            "reward.terms.keypoint_kernel.weight=-1.0",
            "reward.terms.progress.weight=-50.0",
            "reward.terms.stillness.weight=-0.3",
        ),
        _accepted("reward_misaligned"),
    ),
    Case(
        "no normalisation",
        "the classic 39 numbers, raw",
        ("observation=notes", "observation.normalize=false"),
        _accepted("observation_scale"),
    ),
    Case(
        "goals out of reach",
        "goals two metres beyond the arm",
        (),
        _accepted("goals_unreachable"),
        out_of_reach,
    ),
    Case(
        "minibatch of 16",
        "384 minibatches of 16 samples in a pass",
        ("ppo.batch_size=16",),
        _accepted("minibatch_small"),
        steps=120_000,
    ),
    Case(
        "gamma 0.5",
        "a horizon of two control steps",
        ("ppo.gamma=0.5",),
        _accepted("horizon_short"),
    ),
    Case(
        "huge penalties",
        "a change of the action costs more than anything earns",
        ("reward.terms.action_rate.weight=-5.0",),
        _accepted("reward_penalties"),
    ),
    Case(
        "frozen value network",
        "its loss has no weight",
        ("ppo.vf_coef=0",),
        _accepted("value_frozen", "explained_variance"),
    ),
    Case(
        "dead sensor",
        "the position error always reads the same",
        (),
        _accepted("observation_dead"),
        dead_sensor,
    ),
    Case(
        "60 passes",
        "each rollout is learned by heart",
        ("ppo.n_epochs=60", "ppo.learning_rate_schedule.kind=constant"),
        _accepted("approx_kl", "clip_fraction_high"),
        steps=150_000,
    ),
    Case(
        "clip range 10",
        "no bound on an update, and a bold step",
        (
            "ppo.clip_range=10",
            "ppo.learning_rate=5e-3",
            "ppo.learning_rate_schedule.kind=constant",
        ),
        _accepted("approx_kl"),
    ),
    Case(
        "observation is noise",
        "nothing tells where the goal is",
        (),
        _accepted("success_flat", "reward_flat", "explained_variance"),
        noise_only,
    ),
    Case(
        "entropy bonus 0.3",
        "acting at random pays",
        ("ppo.ent_coef=0.3",),
        _accepted("std_growing"),
    ),
    Case(
        "deviation exp(2) at the start",
        "nearly every action is at its bound",
        ("ppo.policy_kwargs.log_std_init=2",),
        _accepted("action_saturation"),
    ),
    Case(
        "unstable physics",
        "servos too stiff for the time step; the guard that would stop the run is off",
        ("guard.max_reset_rate=1e9",),
        _accepted("physics_resets"),
        unstable_physics,
    ),
)

HEALTHY = (
    Case("default", "ur5e", ()),
    Case("ur3e", "a small arm", ("robot=ur3e",)),
    Case("ur10e", "a longer arm", ("robot=ur10e",)),
    Case("ur15", "a longer arm", ("robot=ur15",)),
    Case("ur16e", "a heavy one", ("robot=ur16e",)),
    Case("ur20", "the longest", ("robot=ur20",), steps=400_000),
    Case("ur30", "the heaviest", ("robot=ur30",), steps=400_000),
    Case("fast", "no evaluations", ("experiment=fast", "evaluation.every=0"), steps=350_000),
    Case("staged", "thresholds and region in stages", ("curriculum=staged",), steps=350_000),
    Case(
        "ramps",
        "penalties that grow tenfold",
        (
            "+curriculum.ramps.action_rate={start:-0.005,end:-0.05}",
            "+curriculum.ramps.joint_limit={start:-0.1,end:-0.5}",
            "curriculum.duration=0.7",
        ),
        steps=300_000,
    ),
    Case("near", "goals over the base too", ("task=near",), steps=300_000),
    Case(
        "classic learner",
        "a constant step of 3e-4, no entropy term, wider networks",
        (
            "ppo.learning_rate=3e-4",
            "ppo.learning_rate_schedule.kind=constant",
            "ppo.ent_coef=0",
            "ppo.n_epochs=10",
            "ppo.policy_kwargs.net_arch.pi=[128,128]",
            "ppo.policy_kwargs.net_arch.vf=[128,128]",
        ),
    ),
    Case("dummy", "eight environments in turn", ("vec_env=dummy",), steps=150_000),
    Case(
        "adaptive step",
        "a learning rate that follows the KL divergence",
        ("ppo.learning_rate_schedule.kind=kl_adaptive",),
    ),
)

CASES = {case.name: case for case in (*SICK, *HEALTHY)}
