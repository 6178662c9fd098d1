"""Signs in the observation, the physics and the machine."""

import math
from collections.abc import Mapping

import numpy as np

from reach_rl.config.schema import Start
from reach_rl.monitoring.health.diagnosis import Sign, check
from reach_rl.monitoring.health.history import History
from reach_rl.monitoring.health.remedies import number

RARE = ("self_collision",)
"""Observation terms that may well stay the same for a long time."""


@check("observation_dead", "part of the observation never changes")
def observation_dead(h: History) -> Sign | None:
    """A number of an observation term is constant."""
    terms = {name.partition("/")[2]: name for name in h.names("observation/")}
    still = 1e-3 if h.config.observation.normalize else 1e-6
    now = [(term, name) for term, name in terms.items() if h.last(name) < still]
    dead = [term for term, name in now if term not in RARE and h.recent(name).max() < still]
    if not dead:
        return None
    return Sign(
        f"a number of {', '.join(dead)} deviates by less than {still:g} over all environments",
        "a sensor that works varies, and so does an error within the widths of its term",
        (_wider(h, dead[0]), f"observation.terms.{dead[0]}=null"),
    )


def _wider(h: History, name: str) -> str:
    term = h.config.observation.terms.get(name)
    if term is not None and term.scales:
        wider = ",".join(number(4 * width) for width in term.scales)
        return f"observation.terms.{name}.scales=[{wider}]"
    return "task.start=region" if h.config.task.start is Start.HOME else "task=near"


@check("observation_scale", "observed numbers are of very different size")
def observation_scale(h: History) -> Sign | None:
    """Not normalised, with deviations a factor of five apart or means far from zero."""
    if h.config.observation.normalize or h.success > 0.5:
        return None
    terms = {n.partition("/")[2]: h.mean(n) for n in h.names("observation/")}
    least = [value for name, value in terms.items() if name not in RARE]
    most, offset = h.mean("normalizer/seen_std_max"), h.mean("normalizer/seen_mean_max")
    low = min((value for value in least if value > 1e-6), default=math.nan)
    if not (most > 5.0 * low or most > 3.0 or offset > 3.0):
        return None
    return Sign(
        f"deviations run from {low:.2g} to {most:.2g}, means up to {offset:.2g}",
        "networks learn from numbers of about 1",
        ("observation.normalize=true", _squashed(h, terms)),
    )


def _squashed(h: History, terms: Mapping[str, float]) -> str:
    """tanh of the term that varies most, of those that have none."""
    config = h.config.observation.terms
    raw = [n for n in terms if (term := config.get(n)) is not None and not term.scales]
    if not raw:
        return "observation=default"
    most = max(raw, key=terms.__getitem__)
    return f"observation.terms.{most}.scales=[{number(max(2 * terms[most], 1e-3))}]"


@check("episode_length", "episodes end before their time")
def episode_length(h: History) -> Sign | None:
    """Every environment has had two episodes, and their mean length falls short."""
    task, envs = h.config.task, h.config.vec_env.n_envs
    rounds = max(2.0, 1.0 + h.config.ppo.stats_window_size / envs)
    length = h.mean("rollout/ep_len_mean")
    if h.step < rounds * envs * task.episode_steps or not length < 0.95 * task.episode_steps:
        return None
    return Sign(
        f"episodes last {length:.0f} steps",
        f"they end by time-out only, after {task.episode_steps}; the physics must have been reset",
        _calmer_physics(h),
    )


@check("physics_resets", "the physics becomes unstable", warm_up=0.0)
def physics_resets(h: History) -> Sign | None:
    """Simulations were reset since the sign began, more than once."""
    resets = h.recent("health/physics_resets", 0.1)
    if len(resets) < 2 or not resets[-1] - resets[0] >= 2:
        return None
    lately = resets[-1] - resets[0]
    return Sign(
        f"{resets[-1]:.0f} simulations were reset so far, {lately:.0f} of them lately",
        "a healthy run has none",
        _calmer_physics(h),
    )


def _calmer_physics(h: History) -> tuple[str, str]:
    task, action = h.config.task, h.config.action
    finer = f"task.physics_step={number(task.physics_step / 2)} task.substeps={2 * task.substeps}"
    if action.kind == "offset":
        return finer, f"action.torque={number(action.torque / 2)}"
    return finer, f"action.speed={number(action.speed / 2)}"


@check("throughput", "training has become slow", lasts=1.5)
def throughput(h: History) -> Sign | None:
    """A rollout and its update take three times as long as the median before, for a minute."""
    now = h.recent("time/iteration_s")
    if now.sum() < 60.0 or not np.median(now) > 3.0 * h.least("time/iteration_s"):
        return None  # what the median before is at least
    before = h.between("time/iteration_s", 0.0, h.progress - 0.1)
    if len(before) < 5 or not np.median(now) > 3.0 * np.median(before):
        return None
    vec = h.config.vec_env
    return Sign(
        f"a rollout with its update takes {np.median(now):.2g} s",
        f"it took {np.median(before):.2g} s; other work on the machine is the usual cause",
        (f"vec_env.threads={int(vec.threads != 1)}", f"vec_env.n_envs={max(1, vec.n_envs // 2)}"),
    )
