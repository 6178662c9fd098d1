"""Signs in what the policy earns and where it arrives."""

import math

from reach_rl.config.schema import Config, GoalChange
from reach_rl.monitoring.health.diagnosis import Sign, check
from reach_rl.monitoring.health.history import ERRORS, REWARD, History
from reach_rl.monitoring.health.remedies import (
    easier_goals,
    narrow_kernel,
    number,
    ramp,
    slower_learning,
    smaller_region,
    term_weight,
    times_weight,
)

PENALTIES = (
    "action_rate",
    "joint_velocity",
    "joint_limit",
    "self_collision",
    "table_collision",
    "table_margin",
    "velocity_near_goal",
)
"""Reward terms that restrain; the others lead to the goal."""

NEGATIVE = (*PENALTIES, "distance", "orientation_error", "keypoint_distance")
"""Terms whose weight is below zero in a reward that makes sense; of the others it is above."""


def _more_exploration(config: Config) -> str:
    return f"ppo.ent_coef={number(max(2 * config.ppo.ent_coef, 0.003))}"


def _thresholds(h: History) -> tuple[float, float]:
    """Those in force (mm, deg)."""
    task = h.config.task
    position = h.last("curriculum/position_threshold")
    turn = h.last("curriculum/orientation_threshold")
    position = task.position_threshold if math.isnan(position) else position
    turn = task.orientation_threshold if math.isnan(turn) else turn
    return 1e3 * position, math.degrees(turn)


def _errors(h: History) -> tuple[float, float]:
    """Median final errors now (mm, deg): of the newest evaluation or, if less, of training."""
    pairs = zip(ERRORS, ("position_error_mm_median", "orientation_error_deg_median"), strict=True)
    now = [(h.mean(training), h.last(f"eval/{judged}")) for training, judged in pairs]
    position, turn = (min(p for p in pair if not math.isnan(p)) for pair in now)
    return position, turn


def _known(h: History) -> bool:
    return not math.isnan(h.mean(ERRORS[0]))


def _in_words(position: float, turn: float) -> str:
    return f"{position:.0f} mm and {turn:.0f} deg"


@check("reward_flat", "the reward does not rise", warm_up=3.0, lasts=1.5, episodes=100)
def reward_flat(h: History) -> Sign | None:
    """The reward per step is where it was, and the errors too; not while the task changes."""
    if h.moving or not h.failing:
        return None
    before, now = h.early(REWARD, 0.05), h.mean(REWARD)
    spread = max(abs(before), 1e-9)
    if not abs(now - before) < 0.15 * spread:
        return None
    return Sign(
        f"reward per step is {now:.3g} at {h.progress:.0%} of the run, {before:.3g} at its start",
        "a healthy one rises",
        (
            _more_exploration(h.config),
            f"ppo.learning_rate={number(2 * h.config.ppo.learning_rate)}",
        ),
    )


@check("reward_falling", "the reward falls", warm_up=2.0, lasts=1.5, episodes=100)
def reward_falling(h: History) -> Sign | None:
    """The reward per step is well below its best, without better success; not in a curriculum."""
    if h.moving or not h.failing:
        return None
    parts, now = h.parts(REWARD), h.mean(REWARD)
    if len(parts) < 2:
        return None
    best = float(parts.max())
    if not best - now > 0.3 * max(abs(best), float(parts.max() - parts.min()) / 2, 1e-9):
        return None
    return Sign(
        f"reward per step fell from {best:.3g} to {now:.3g}, success is {h.success:.0%}",
        "a healthy one rises, except while a curriculum makes the task harder",
        (
            slower_learning(h.config, 3),
            f"ppo.clip_range={number(min(h.config.ppo.clip_range, 0.2) / 2)}",
        ),
    )


@check(
    "reward_misaligned",
    "the reward pays for something else than reaching",
    warm_up=2.0,
    episodes=100,
)
def reward_misaligned(h: History) -> Sign | None:
    """The reward per step rises while the tool ends farther from its goals."""
    if h.moving or h.success > 0.05 or reward_penalties(h) is not None:
        return None
    gained = h.mean(REWARD) - h.early(REWARD)
    before, now = h.early(ERRORS[0], 0.0), h.mean(ERRORS[0])
    if not (gained > 0.1 * abs(h.early(REWARD)) and now > 1.2 * before):
        return None
    return Sign(
        f"reward per step rose by {gained:.2g} while the final error went from {before:.0f} to "
        f"{now:.0f} mm",
        "reward and error improve together in a healthy run",
        _realigned(h),
    )


def _realigned(h: History) -> tuple[str, str]:
    """Signs turned round where they are wrong, the best paid term first; else more for progress."""
    terms = {name: term for name, term in h.config.reward.terms.items() if term is not None}
    wrong = [n for n, t in terms.items() if t.weight != 0 and (t.weight > 0) == (n in NEGATIVE)]
    wrong.sort(key=lambda name: -h.mean(f"reward/{name}"))
    found = [f"reward.terms.{n}.weight={number(-terms[n].weight)}" for n in wrong[:2]]
    found += [
        times_weight(h.config, name, 3.0, usual)
        for name, usual in (("progress", 50.0), ("keypoint_distance", -1.0))
        if name not in wrong
    ]
    return found[0], found[1]


@check("reward_penalties", "penalties outweigh everything else")
def reward_penalties(h: History) -> Sign | None:
    """The restraining terms cost more than twice what all others come to; success is not there."""
    if h.success > 0.5:
        return None
    terms = {name.partition("/")[2]: h.mean(name) for name in h.names("reward/")}
    costs = {n: v for n, v in terms.items() if n in PENALTIES and v < 0}
    rest = sum(abs(v) for n, v in terms.items() if n not in PENALTIES)
    if not costs or not -sum(costs.values()) > 2.0 * rest:
        return None
    worst = min(costs, key=costs.__getitem__)
    weight = h.last(f"curriculum/{worst}")
    term = h.config.reward.terms.get(worst)
    if math.isnan(weight):
        weight = term.weight if term else -1.0
    less = weight * max(1e-3, min(0.1, 0.2 * rest / -costs[worst]))
    return Sign(
        f"penalties take {-sum(costs.values()):.3g} an episode ({worst} {costs[worst]:.3g}), "
        f"all else comes to {rest:.3g}",
        "standing still then pays more than trying",
        (
            term_weight(h.config, worst, less),
            ramp(h.config, worst, less, weight),
        ),
    )


@check("reward_scale", "returns are too large for the value network")
def reward_scale(h: History) -> Sign | None:
    """Rewards are not normalised, and returns deviate by more than 30."""
    spread = h.mean("train/return_std")
    if h.config.reward.normalize or not spread > 30.0 or h.success > 0.5:
        return None
    return Sign(
        f"returns deviate by {spread:.3g}",
        "networks learn numbers of about 1",
        ("reward.normalize=true", f"ppo.vf_coef={number(h.config.ppo.vf_coef / spread**2)}"),
    )


@check("success_flat", "no goal is ever reached", warm_up=5.0, lasts=2.0, episodes=100)
def success_flat(h: History) -> Sign | None:
    """Success is zero in training and evaluation after half of the run, and nothing improves."""
    best = max((v for v in map(h.most, SUCCESS) if not math.isnan(v)), default=1.0)
    if not best < 0.02 or h.arriving or not _known(h):
        return None
    position, turn = _errors(h)
    limits = _thresholds(h)
    return Sign(
        f"success is {best:.1%} at {h.progress:.0%} of the run, errors {_in_words(position, turn)}",
        f"a goal counts below {_in_words(*limits)}",
        (easier_goals(h.config), f"total_timesteps={3 * h.config.total_timesteps}"),
    )


SUCCESS = ("rollout/success_rate", "eval/success_rate")


@check("goals_unreachable", "the goals look out of reach", warm_up=3.0, lasts=2.0, episodes=100)
def goals_unreachable(h: History) -> Sign | None:
    """Nothing is reached and the error stays large, though the values are understood."""
    best = max((v for v in map(h.most, SUCCESS) if not math.isnan(v)), default=1.0)
    if not best < 0.005 or not _known(h) or h.moving:
        return None
    position, _ = _errors(h)
    limit = _thresholds(h)[0]
    still = abs(h.fall(ERRORS[0], 0.2)) < 0.05
    understood = h.mean("train/explained_variance", 0.1) > 0.4 and h.mean("train/std") > 0.1
    nearer = h.mean(ERRORS[0]) < 1.05 * h.early(ERRORS[0], 0.0)
    if not (nearer and still and understood and position > 10.0 * limit):
        return None
    return Sign(
        f"no goal was reached, the final error stays at {position:.0f} mm",
        f"a goal counts below {limit:.0f} mm; the values are well predicted: learning works",
        (easier_goals(h.config), smaller_region(h.config)),
    )


@check(
    "hovering", "the tool hovers just outside the threshold", warm_up=5.0, lasts=2.0, episodes=100
)
def hovering(h: History) -> Sign | None:
    """The median error is 1 to 3 thresholds, few goals are reached, and neither improves."""
    if h.success > 0.3 or h.moving or not h.failing or not _known(h):
        return None
    now = zip(_errors(h), _thresholds(h), strict=True)
    ratios = [error / limit for error, limit in now]
    if not 1.0 < max(ratios) < 3.0:
        return None
    position, turn = _errors(h)
    kernel = narrow_kernel(h.config, _thresholds(h)[0] / 4e3)
    bonus = times_weight(h.config, "completion_bonus", 3.0, 5.0)
    longer = f"total_timesteps={2 * h.config.total_timesteps}"
    hold = h.config.task.goal_change is GoalChange.HOLD
    return Sign(
        f"median errors stay at {_in_words(position, turn)}, success at {h.success:.0%}",
        f"a goal counts below {_in_words(*_thresholds(h))}",
        (bonus, kernel) if hold else (kernel, longer),
    )


@check("chatter", "the arm does not come to rest at the goal", warm_up=7.0)
def chatter(h: History) -> Sign | None:
    """The judged policy arrives, but the joints still move fast at the end of the episode."""
    speed = h.last("eval/final_joint_speed_rad_s_median")
    position, turn = _errors(h) if _known(h) else (math.inf, math.inf)
    limits = _thresholds(h)
    if not (speed > 0.25 and position < limits[0] and turn < limits[1]):
        return None
    return Sign(
        f"joints move at {speed:.2g} rad/s when an evaluation ends, inside the thresholds",
        "a healthy policy rests there below 0.05",
        (
            times_weight(h.config, "stillness", 2.0, 0.3, "[0.03]"),
            f"ppo.ent_coef={number(min(2 * h.config.ppo.ent_coef, -0.01))}",
        ),
    )


@check("action_saturation", "actions stick to their bounds")
def action_saturation(h: History) -> Sign | None:
    """More than half of the actions are at their bound, and success is not there."""
    share = h.mean("rollout/action_saturation")
    if not share > 0.55 or h.success > 0.5:
        return None
    wide = h.config.ppo.policy_kwargs.log_std_init > 0.0
    calmer = slower_learning(h.config, 3)
    return Sign(
        f"{share:.0%} of the actions are at +-1",
        "a deviation of 1 puts a third of them there; above half, the policy cannot steer",
        (
            "ppo.policy_kwargs.log_std_init=0.0" if wide else calmer,
            times_weight(h.config, "action_rate", 3.0, -0.005),
        ),
    )
