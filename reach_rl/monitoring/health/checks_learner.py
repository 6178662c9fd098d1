"""Signs in PPO's own figures."""

import math

from reach_rl.config.rules import derive, divisor_near
from reach_rl.config.schema import Config, GoalChange, ScheduleKind
from reach_rl.monitoring.health import remedies as fix
from reach_rl.monitoring.health.diagnosis import Sign, check
from reach_rl.monitoring.health.history import History


def _gentler(config: Config) -> str:
    """Less learning from one rollout: fewer passes, or larger minibatches, or a bound."""
    ppo, rollout = config.ppo, derive(config).rollout
    if ppo.n_epochs > 3:
        return f"ppo.n_epochs={max(3, ppo.n_epochs // 3)}"
    if 4 * ppo.batch_size <= rollout:
        return f"ppo.batch_size={divisor_near(rollout, 4 * ppo.batch_size)}"
    return "ppo.target_kl=0.02"


@check
def approx_kl(h: History) -> Sign | None:
    """The KL divergence of an update is above 0.05."""
    kl = h.mean("train/approx_kl")
    if not kl > 0.05:
        return None
    second = "ppo.clip_range=0.2" if h.config.ppo.clip_range > 0.4 else _gentler(h.config)
    return Sign(fix.slower_learning(h.config, 3 if kl < 0.5 else 30), second, kl=kl)


@check
def clip_fraction_high(h: History) -> Sign | None:
    """More than 0.3 of the samples are clipped."""
    share = h.mean("train/clip_fraction")
    if not share > 0.3:
        return None
    return Sign(fix.slower_learning(h.config), _gentler(h.config), share=share)


@check
def clip_fraction_low(h: History) -> Sign | None:
    """Fewer than 0.01 of the samples are clipped, far from the goal and before the step shrinks."""
    ppo = h.config.ppo
    share, kl = h.mean("train/clip_fraction", 0.1), h.mean("train/approx_kl", 0.1)
    shrunk = h.last("train/learning_rate") < 0.3 * ppo.learning_rate
    follows = ppo.learning_rate_schedule.kind is ScheduleKind.KL_ADAPTIVE
    if not (share < 0.01 and kl < 0.002) or h.success > 0.5 or (shrunk and not follows):
        return None
    more = f"ppo.n_epochs={max(2 * ppo.n_epochs, 5)}"
    return Sign(fix.times(h.config, "ppo.learning_rate", 5), more, share=share, kl=kl)


@check
def grad_norm(h: History) -> Sign | None:
    """The gradient norm is far above its bound and far above what it was."""
    now, bound = h.mean("train/grad_norm"), h.config.ppo.max_grad_norm
    before = h.best_low("train/grad_norm")
    if not now > max(30.0 * bound, 5.0 * before):
        return None
    parts = {"reward": h.config.reward.normalize, "observation": h.config.observation.normalize}
    raw = [f"{name}.normalize=true" for name, on in parts.items() if not on]
    second = [*raw, f"ppo.max_grad_norm={fix.number(min(bound, 1.0) / 2)}"][0]
    return Sign(fix.slower_learning(h.config, 10), second, now=now, before=before, bound=bound)


@check
def entropy_collapse(h: History) -> Sign | None:
    """The deviation of the actions is tiny, or fell to a third early, and success is not there."""
    std = h.mean("train/std")
    start = math.exp(h.config.ppo.policy_kwargs.log_std_init)
    early = std < 0.3 * start and h.progress < 0.5
    if not (std < 0.1 or early) or h.success > 0.5:
        return None
    wider, bonus = "ppo.policy_kwargs.log_std_init=0.0", fix.entropy_bonus(h.config)
    pair = (wider, bonus) if start < 0.3 else (bonus, fix.slower_learning(h.config))
    return Sign(*pair, std=std, start=start)


@check
def std_growing(h: History) -> Sign | None:
    """The deviation of the actions rises well above its start, and success is not there."""
    std, start = h.mean("train/std"), math.exp(h.config.ppo.policy_kwargs.log_std_init)
    if not std > 1.25 * start or h.success > 0.5 or not h.gain("train/std", 0.1) > 0.01 * start:
        return None
    bonus = h.config.ppo.ent_coef
    lower = bonus / 10 if bonus > 0.01 else min(0.0, 2 * bonus)
    first = f"ppo.ent_coef={fix.number(lower or -0.01)}"
    return Sign(first, fix.slower_learning(h.config), std=std, start=start)


@check
def value_loss_growing(h: History) -> Sign | None:
    """The value loss is many times what it was, and explains little; not while the task changes."""
    now, least = h.mean("train/value_loss"), h.best_low("train/value_loss")
    explained = h.mean("train/explained_variance")
    if not now > 4.0 * least or not explained < 0.5 or h.moving or h.success > 0.5:
        return None
    stronger = f"ppo.vf_coef={fix.number(2 * max(h.config.ppo.vf_coef, 0.25))}"
    figures = {"now": now, "times": now / least, "explained": explained}
    return Sign(fix.slower_learning(h.config), stronger, **figures)


@check
def value_frozen(h: History) -> Sign | None:
    """The values hardly vary, where the returns do."""
    values, returns = h.mean("train/value_std"), h.mean("train/return_std")
    explained, vf_coef = h.recent("train/explained_variance", 0.1), h.config.ppo.vf_coef
    flat = values < 0.05 * returns and len(explained) > 0 and abs(explained).max() < 0.1
    if not flat and vf_coef:
        return None
    stronger = f"ppo.vf_coef={fix.number(max(0.5, 2 * vf_coef))}"
    mean = h.mean("train/explained_variance")
    figures = {"values": values, "returns": returns, "vf_coef": vf_coef, "mean": mean}
    return Sign(stronger, fix.times(h.config, "ppo.learning_rate", 2), **figures)


@check
def explained_variance(h: History) -> Sign | None:
    """Less than a tenth of the returns' variance is explained."""
    share, ppo = h.mean("train/explained_variance", 0.1), h.config.ppo
    if not share < 0.1 or h.success > 0.5:
        return None
    first = "ppo.gamma=0.95" if ppo.gamma > 0.97 else fix.slower_learning(h.config)
    if ppo.vf_coef < 0.25:
        first = "ppo.vf_coef=0.5"
    wider = ",".join(str(2 * units) for units in ppo.policy_kwargs.net_arch.vf)
    return Sign(first, f"ppo.policy_kwargs.net_arch.vf=[{wider}]", share=share)


@check
def minibatch_small(h: History) -> Sign | None:
    """Fewer than 64 samples each, and hundreds of gradient steps from one rollout."""
    batch = h.config.ppo.batch_size
    if batch >= 64 or h.success > 0.9 or (numbers := derive(h.config)).gradient_steps < 200:
        return None
    larger = f"ppo.batch_size={divisor_near(numbers.rollout, numbers.rollout / 4)}"
    fewer = f"ppo.n_epochs={max(3, h.config.ppo.n_epochs // 3)}"
    return Sign(larger, fewer, steps=numbers.gradient_steps, batch=batch)


@check
def horizon_short(h: History) -> Sign | None:
    """What is five steps away counts less than a third."""
    gamma, task = h.config.ppo.gamma, h.config.task
    if gamma**5 > 1 / 3 or h.success > 0.9:
        return None
    steps, timer = 1.0 / (1.0 - gamma), task.goal_change is GoalChange.TIMER
    given = task.control_period * (task.goal_period if timer else task.episode_steps)
    figures = {"gamma": gamma, "steps": steps, "seconds": steps * task.control_period}
    return Sign("ppo.gamma=0.92", "ppo.gamma=0.99", **figures, given=given)
