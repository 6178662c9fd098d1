"""Signs in PPO's own figures."""

import math

from reach_rl.config.rules import derive, divisor_near
from reach_rl.config.schema import Config, GoalChange, ScheduleKind
from reach_rl.monitoring.health.diagnosis import Sign, check
from reach_rl.monitoring.health.history import History
from reach_rl.monitoring.health.remedies import number, slower_learning


def _gentler(config: Config) -> str:
    """Less learning from one rollout: fewer passes, or larger minibatches, or a bound."""
    ppo, rollout = config.ppo, derive(config).rollout
    if ppo.n_epochs > 3:
        return f"ppo.n_epochs={max(3, ppo.n_epochs // 3)}"
    if 4 * ppo.batch_size <= rollout:
        return f"ppo.batch_size={divisor_near(rollout, 4 * ppo.batch_size)}"
    return "ppo.target_kl=0.02"


@check("approx_kl", "the policy changes too fast")
def approx_kl(h: History) -> Sign | None:
    """The KL divergence of an update is above 0.05."""
    kl = h.mean("train/approx_kl")
    if not kl > 0.05:
        return None
    second = "ppo.clip_range=0.2" if h.config.ppo.clip_range > 0.4 else _gentler(h.config)
    return Sign(
        f"approx_kl is {kl:.2g}",
        "healthy below 0.02, and above 0.05 an update may undo what was learned",
        (slower_learning(h.config, 3 if kl < 0.5 else 30), second),
    )


@check("clip_fraction_high", "most of an update is clipped away")
def clip_fraction_high(h: History) -> Sign | None:
    """More than 0.3 of the samples are clipped."""
    share = h.mean("train/clip_fraction")
    if not share > 0.3:
        return None
    return Sign(
        f"clip_fraction is {share:.2f}",
        "healthy between 0.05 and 0.20",
        (slower_learning(h.config, 3), _gentler(h.config)),
    )


@check(
    "clip_fraction_low", "updates hardly change the policy", warm_up=1.5, lasts=2.5, episodes=100
)
def clip_fraction_low(h: History) -> Sign | None:
    """Fewer than 0.01 of the samples are clipped, far from the goal and before the step shrinks."""
    ppo = h.config.ppo
    share, kl = h.mean("train/clip_fraction", 0.1), h.mean("train/approx_kl", 0.1)
    shrunk = h.last("train/learning_rate") < 0.3 * ppo.learning_rate
    follows = ppo.learning_rate_schedule.kind is ScheduleKind.KL_ADAPTIVE
    if not (share < 0.01 and kl < 0.002) or h.success > 0.5 or (shrunk and not follows):
        return None
    return Sign(
        f"clip_fraction is {share:.3f} and approx_kl {kl:.1g} with {h.success:.0%} success",
        "healthy between 0.05 and 0.20",
        (
            f"ppo.learning_rate={number(5 * ppo.learning_rate)}",
            f"ppo.n_epochs={max(2 * ppo.n_epochs, 5)}",
        ),
    )


@check("grad_norm", "gradients explode")
def grad_norm(h: History) -> Sign | None:
    """The gradient norm is far above its bound and far above what it was."""
    now, bound = h.mean("train/grad_norm"), h.config.ppo.max_grad_norm
    before = h.best_low("train/grad_norm")
    if not now > max(30.0 * bound, 5.0 * before):
        return None
    return Sign(
        f"grad_norm is {now:.3g}",
        f"it was {before:.2g}, and ppo.max_grad_norm cuts it to {bound:g}",
        (
            slower_learning(h.config, 10),
            "reward.normalize=true"
            if not h.config.reward.normalize
            else "observation.normalize=true"
            if not h.config.observation.normalize
            else f"ppo.max_grad_norm={number(min(bound, 1.0) / 2)}",
        ),
    )


@check("entropy_collapse", "exploration has died before the goal was found")
def entropy_collapse(h: History) -> Sign | None:
    """The deviation of the actions is tiny, or fell to a third early, and success is not there."""
    std = h.mean("train/std")
    start = math.exp(h.config.ppo.policy_kwargs.log_std_init)
    early = std < 0.3 * start and h.progress < 0.5
    if not (std < 0.1 or early) or h.success > 0.5:
        return None
    ppo = h.config.ppo
    wider = "ppo.policy_kwargs.log_std_init=0.0"
    bonus = f"ppo.ent_coef={number(max(2.0 * ppo.ent_coef, 0.003))}"
    calmer = slower_learning(h.config, 3)
    return Sign(
        f"the deviation of the actions is {std:.2g} with {h.success:.0%} success",
        f"it began at {start:.2g}; below 0.1 of the action's range nothing new is tried",
        (wider, bonus) if start < 0.3 else (bonus, calmer),
    )


@check("std_growing", "exploration grows instead of settling")
def std_growing(h: History) -> Sign | None:
    """The deviation of the actions rises well above its start, and success is not there."""
    std, start = h.mean("train/std"), math.exp(h.config.ppo.policy_kwargs.log_std_init)
    if not std > 1.25 * start or h.success > 0.5 or not h.gain("train/std", 0.1) > 0.01 * start:
        return None
    ppo = h.config.ppo
    lower = ppo.ent_coef / 10 if ppo.ent_coef > 0.01 else min(0.0, 2 * ppo.ent_coef)
    first = f"ppo.ent_coef={number(lower or -0.01)}"
    return Sign(
        f"the deviation of the actions is {std:.2g} and rises",
        f"it began at {start:.2g} and falls in a healthy run",
        (first, slower_learning(h.config, 3)),
    )


@check("value_loss_growing", "the value network loses track", lasts=1.5)
def value_loss_growing(h: History) -> Sign | None:
    """The value loss is many times what it was, and explains little; not while the task changes."""
    now, least = h.mean("train/value_loss"), h.best_low("train/value_loss")
    explained = h.mean("train/explained_variance")
    if not now > 4.0 * least or not explained < 0.5 or h.moving or h.success > 0.5:
        return None
    return Sign(
        f"value_loss is {now:.2g}, {now / least:.0f} times its least",
        f"a healthy one falls; the network explains {explained:.0%} of the returns",
        (
            slower_learning(h.config, 3),
            f"ppo.vf_coef={number(2 * max(h.config.ppo.vf_coef, 0.25))}",
        ),
    )


@check("value_frozen", "the value network does not learn")
def value_frozen(h: History) -> Sign | None:
    """The values hardly vary, where the returns do."""
    values, returns = h.mean("train/value_std"), h.mean("train/return_std")
    explained = h.recent("train/explained_variance", 0.1)
    frozen = h.config.ppo.vf_coef == 0.0
    flat = values < 0.05 * returns and len(explained) > 0 and abs(explained).max() < 0.1
    if not (frozen or flat):
        return None
    seen = (
        "ppo.vf_coef is 0"
        if frozen
        else f"values deviate by {values:.2g}, returns by {returns:.2g}"
    )
    mean = h.mean("train/explained_variance")
    return Sign(
        f"{seen}, explained_variance is {mean:.2f}",
        "healthy above 0.5; without it advantages are noise",
        (
            f"ppo.vf_coef={number(max(0.5, 2 * h.config.ppo.vf_coef))}",
            f"ppo.learning_rate={number(2 * h.config.ppo.learning_rate)}",
        ),
    )


@check(
    "explained_variance", "the value network predicts nothing", warm_up=2.0, lasts=1.5, episodes=100
)
def explained_variance(h: History) -> Sign | None:
    """Less than a tenth of the returns' variance is explained."""
    share = h.mean("train/explained_variance", 0.1)
    if not share < 0.1 or h.success > 0.5:
        return None
    ppo = h.config.ppo
    wider = [2 * units for units in ppo.policy_kwargs.net_arch.vf]
    first = "ppo.gamma=0.95" if ppo.gamma > 0.97 else slower_learning(h.config, 3)
    if ppo.vf_coef < 0.25:
        first = "ppo.vf_coef=0.5"
    text = ",".join(str(units) for units in wider)
    return Sign(
        f"explained_variance is {share:.2f}",
        "healthy above 0.5; near or below zero advantages are noise",
        (first, f"ppo.policy_kwargs.net_arch.vf=[{text}]"),
    )


@check("minibatch_small", "minibatches are too small")
def minibatch_small(h: History) -> Sign | None:
    """Fewer than 64 samples each, and hundreds of gradient steps from one rollout."""
    batch = h.config.ppo.batch_size
    if batch >= 64 or h.success > 0.9:
        return None
    numbers = derive(h.config)
    if numbers.gradient_steps < 200:
        return None
    better = divisor_near(numbers.rollout, numbers.rollout / 4)
    return Sign(
        f"{numbers.gradient_steps:,} gradient steps of {batch} samples from each rollout",
        "a gradient of fewer than 64 samples is mostly noise; 4 to 32 minibatches a pass are usual",
        (f"ppo.batch_size={better}", f"ppo.n_epochs={max(3, h.config.ppo.n_epochs // 3)}"),
    )


@check("horizon_short", "the policy looks only a few steps ahead")
def horizon_short(h: History) -> Sign | None:
    """What is five steps away counts less than a third."""
    gamma = h.config.ppo.gamma
    if gamma**5 > 1 / 3 or h.success > 0.9:
        return None
    steps, task = 1.0 / (1.0 - gamma), h.config.task
    period, timer = task.control_period, task.goal_change is GoalChange.TIMER
    given = period * (task.goal_period if timer else task.episode_steps)
    return Sign(
        f"ppo.gamma={gamma:g} looks {steps:.1f} steps ({steps * period:.2f} s) ahead",
        f"an arm has {given:g} s for a goal",
        ("ppo.gamma=0.92", "ppo.gamma=0.99"),
    )
