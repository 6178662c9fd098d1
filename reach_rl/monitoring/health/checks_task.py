"""Signs in what the policy earns, where it arrives, what it sees, and in physics and machine."""

import math
from functools import cache

import numpy as np

from reach_rl.config.schema import GoalChange, Start
from reach_rl.config.sheets import sheets, values
from reach_rl.monitoring.health import remedies as fix
from reach_rl.monitoring.health.diagnosis import Sign, check
from reach_rl.monitoring.health.history import ERRORS, REWARD, SUCCESS, History

LEADING = ("distance", "orientation_error", "keypoint_distance")
"""Reward terms that lead to the goal although their weight is below zero."""

RARE = "self_collision"
"""The observation term that may well stay the same for a long time."""


def _arrival(h: History) -> dict[str, float]:
    """Median final errors now, of the newest evaluation or, if less, of training; thresholds."""
    judged = ("position_error_mm_median", "orientation_error_deg_median")
    now = [(h.mean(a), h.last(f"eval/{b}")) for a, b in zip(ERRORS, judged, strict=True)]
    position, turn = (min((p for p in pair if p == p), default=math.inf) for pair in now)
    task = h.config.task
    near = h.last("curriculum/position_threshold", task.position_threshold)
    turned = h.last("curriculum/orientation_threshold", task.orientation_threshold)
    found = {"position": position, "turn": turn}
    return found | {"near": 1e3 * near, "turned": math.degrees(turned)}


def _best_success(h: History) -> float:
    return max((v for v in map(h.most, SUCCESS) if not math.isnan(v)), default=1.0)


@check
def reward_flat(h: History) -> Sign | None:
    """The reward per step is where it was, and the errors too; not while the task changes."""
    if h.moving or not h.failing:
        return None
    before, now = h.early(REWARD, 0.05), h.mean(REWARD)
    if not abs(now - before) < 0.15 * max(abs(before), 1e-9):
        return None
    faster = fix.times(h.config, "ppo.learning_rate", 2)
    return Sign(fix.entropy_bonus(h.config), faster, now=now, before=before)


@check
def reward_falling(h: History) -> Sign | None:
    """The reward per step is well below its best, without better success; not in a curriculum."""
    if h.moving or not h.failing:
        return None
    parts, now = h.parts(REWARD), h.mean(REWARD)
    if len(parts) < 2:
        return None
    best = float(parts.max())
    if not best - now > 0.3 * max(abs(best), float(np.ptp(parts)) / 2, 1e-9):
        return None
    tighter = f"ppo.clip_range={fix.number(min(h.config.ppo.clip_range, 0.2) / 2)}"
    return Sign(fix.slower_learning(h.config), tighter, best=best, now=now)


@check
def reward_misaligned(h: History) -> Sign | None:
    """The reward per step rises while the tool ends farther from its goals."""
    if h.moving or h.success > 0.05 or reward_penalties(h) is not None:
        return None
    gained = h.mean(REWARD) - h.early(REWARD)
    before, now = h.early(ERRORS[0], 0.0), h.mean(ERRORS[0])
    if not (gained > 0.1 * abs(h.early(REWARD)) and now > 1.2 * before):
        return None
    return Sign(*_realigned(h), gained=gained, before=before, now=now)


def _realigned(h: History) -> list[str]:
    """Signs turned round where they are wrong, the best paid term first; else more for progress."""
    terms = {name: term for name, term in h.config.reward.terms.items() if term is not None}
    wrong = [n for n, t in terms.items() if t.weight != 0 and (t.weight > 0) == _costs(h, n)]
    wrong.sort(key=lambda name: -h.mean(f"reward/{name}"))
    found = [f"reward.terms.{n}.weight={fix.number(-terms[n].weight)}" for n in wrong]
    usual = {"progress": 50.0, "keypoint_distance": -1.0}
    found += [fix.times_weight(h.config, n, 3.0, w) for n, w in usual.items() if n not in wrong]
    return found[:2]


def _costs(h: History, name: str) -> bool:
    """Whether a term's weight is below zero where it makes sense: in conf/reward, or as given."""
    term = h.config.reward.terms.get(name)
    return _usual_weights().get(name, term.weight if term else 1.0) < 0


@cache
def _usual_weights() -> dict[str, float]:
    rewards = [file for name, file in sheets().items() if name.startswith("reward/")]
    weights = ((key.split("."), value) for key, value in values(rewards).items())
    return {path[2]: value for path, value in weights if path[-1] == "weight"}


@check
def reward_penalties(h: History) -> Sign | None:
    """The restraining terms cost more than twice what all others come to; success is not there."""
    if h.success > 0.5:
        return None
    terms = {name.partition("/")[2]: h.mean(name) for name in h.names("reward/")}
    restrain = [n for n in terms if n not in LEADING and _costs(h, n)]
    paid = {n: -terms[n] for n in restrain if terms[n] < 0}
    costs, rest = sum(paid.values()), sum(abs(v) for n, v in terms.items() if n not in restrain)
    if not paid or not costs > 2.0 * rest:
        return None
    worst = max(paid, key=paid.__getitem__)
    term = h.config.reward.terms.get(worst)
    weight = h.last(f"curriculum/{worst}", term.weight if term else -1.0)
    less = weight * max(1e-3, min(0.1, 0.2 * rest / paid[worst]))
    pair = fix.term_weight(h.config, worst, less), fix.ramp(h.config, worst, less, weight)
    return Sign(*pair, costs=costs, worst=worst, most=-paid[worst], rest=rest)


@check
def reward_scale(h: History) -> Sign | None:
    """Rewards are not normalised, and returns deviate by more than 30."""
    spread = h.mean("train/return_std")
    if h.config.reward.normalize or not spread > 30.0 or h.success > 0.5:
        return None
    return Sign(
        "reward.normalize=true", fix.times(h.config, "ppo.vf_coef", spread**-2), spread=spread
    )


@check
def success_flat(h: History) -> Sign | None:
    """Success is zero in training and evaluation after half of the run, and nothing improves."""
    best = _best_success(h)
    if not best < 0.02 or h.arriving or not h.judged:
        return None
    longer = f"total_timesteps={3 * h.config.total_timesteps}"
    return Sign(fix.easier_goals(h.config), longer, best=best, **_arrival(h))


@check
def goals_unreachable(h: History) -> Sign | None:
    """Nothing is reached and the error stays large, though the values are understood."""
    if not _best_success(h) < 0.005 or not h.judged or h.moving:
        return None
    found = _arrival(h)
    still = abs(h.fall(ERRORS[0], 0.2)) < 0.05
    understood = h.mean("train/explained_variance", 0.1) > 0.4 and h.mean("train/std") > 0.1
    nearer = h.mean(ERRORS[0]) < 1.05 * h.early(ERRORS[0], 0.0)
    if not (nearer and still and understood and found["position"] > 10.0 * found["near"]):
        return None
    return Sign(fix.easier_goals(h.config), fix.smaller_region(h.config), **found)


@check
def hovering(h: History) -> Sign | None:
    """The median error is 1 to 3 thresholds, few goals are reached, and neither improves."""
    if h.success > 0.3 or h.moving or not h.failing or not h.judged:
        return None
    found = _arrival(h)
    if not 1.0 < max(found["position"] / found["near"], found["turn"] / found["turned"]) < 3.0:
        return None
    kernel = fix.narrow_kernel(h.config, found["near"] / 4e3)
    bonus = fix.times_weight(h.config, "completion_bonus", 3.0, 5.0)
    longer = f"total_timesteps={2 * h.config.total_timesteps}"
    hold = h.config.task.goal_change is GoalChange.HOLD
    return Sign(*((bonus, kernel) if hold else (kernel, longer)), **found)


@check
def chatter(h: History) -> Sign | None:
    """The judged policy arrives, but the joints still move fast at the end of the episode."""
    speed = h.last("eval/final_joint_speed_rad_s_median")
    if not (speed > 0.25 and h.judged):
        return None
    found = _arrival(h)
    if not (found["position"] < found["near"] and found["turn"] < found["turned"]):
        return None
    calmer = f"ppo.ent_coef={fix.number(min(2 * h.config.ppo.ent_coef, -0.01))}"
    return Sign(fix.times_weight(h.config, "stillness", 2.0, 0.3, "[0.03]"), calmer, speed=speed)


@check
def action_saturation(h: History) -> Sign | None:
    """More than half of the actions are at their bound, and success is not there."""
    share = h.mean("rollout/action_saturation")
    if not share > 0.55 or h.success > 0.5:
        return None
    wide = h.config.ppo.policy_kwargs.log_std_init > 0.0
    first = "ppo.policy_kwargs.log_std_init=0.0" if wide else fix.slower_learning(h.config)
    return Sign(first, fix.times_weight(h.config, "action_rate", 3.0, -0.005), share=share)


@check
def observation_dead(h: History) -> Sign | None:
    """A number of an observation term is constant."""
    terms = {name.partition("/")[2]: name for name in h.names("observation/")}
    still = 1e-3 if h.config.observation.normalize else 1e-6
    now = [(term, name) for term, name in terms.items() if h.last(name) < still]
    dead = [term for term, name in now if term != RARE and h.recent(name).max() < still]
    if not dead:
        return None
    off = f"observation.terms.{dead[0]}=null"
    return Sign(_wider(h, dead[0]), off, dead=", ".join(dead), still=still)


def _wider(h: History, name: str) -> str:
    term = h.config.observation.terms.get(name)
    if term is not None and term.scales:
        wider = ",".join(fix.number(4 * width) for width in term.scales)
        return f"observation.terms.{name}.scales=[{wider}]"
    return "task.start=region" if h.config.task.start is Start.HOME else "task=near"


@check
def observation_scale(h: History) -> Sign | None:
    """Not normalised, with deviations a factor of five apart or means far from zero."""
    if h.config.observation.normalize or h.success > 0.5:
        return None
    terms = {n.partition("/")[2]: h.mean(n) for n in h.names("observation/")}
    most, offset = h.mean("normalizer/seen_std_max"), h.mean("normalizer/seen_mean_max")
    varied = [value for name, value in terms.items() if name != RARE and value > 1e-6]
    low = min(varied, default=math.nan)
    if not (most > 5.0 * low or most > 3.0 or offset > 3.0):
        return None
    figures = {"low": low, "most": most, "offset": offset}
    return Sign("observation.normalize=true", _squashed(h, terms), **figures)


def _squashed(h: History, terms: dict[str, float]) -> str:
    """tanh of the term that varies most, of those that have none."""
    config = h.config.observation.terms
    raw = [n for n in terms if (term := config.get(n)) is not None and not term.scales]
    if not raw:
        return "observation=default"
    most = max(raw, key=terms.__getitem__)
    return f"observation.terms.{most}.scales=[{fix.number(max(2 * terms[most], 1e-3))}]"


@check
def episode_length(h: History) -> Sign | None:
    """Every environment has had two episodes, and their mean length falls short."""
    steps, envs = h.config.task.episode_steps, h.config.vec_env.n_envs
    rounds = max(2.0, 1.0 + h.config.ppo.stats_window_size / envs)
    length = h.mean("rollout/ep_len_mean")
    if h.step < rounds * envs * steps or not length < 0.95 * steps:
        return None
    return Sign(*fix.calmer_physics(h.config), length=length, steps=steps)


@check
def physics_resets(h: History) -> Sign | None:
    """Simulations were reset since the sign began, more than once."""
    resets = h.recent("health/physics_resets", 0.1)
    if len(resets) < 2 or not resets[-1] - resets[0] >= 2:
        return None
    return Sign(*fix.calmer_physics(h.config), resets=resets[-1], lately=resets[-1] - resets[0])


@check
def throughput(h: History) -> Sign | None:
    """A rollout and its update take three times as long as the median before, for a minute."""
    recent = h.recent("time/iteration_s")
    earlier = h.between("time/iteration_s", 0.0, h.progress - 0.1)
    if recent.sum() < 60.0 or len(earlier) < 5:
        return None
    now, before = float(np.median(recent)), np.median(earlier)
    if not now > 3.0 * before:
        return None
    vec = h.config.vec_env
    fewer = f"vec_env.n_envs={max(1, vec.n_envs // 2)}"
    return Sign(f"vec_env.threads={int(vec.threads != 1)}", fewer, now=now, before=before)
