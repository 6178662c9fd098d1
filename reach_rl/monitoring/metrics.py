"""The one catalogue of metric names: unit, meaning, healthy range, and which way is better.

Writers, plots, documentation and dashboards all read it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from reach_rl.extend import register


class Better(StrEnum):
    """Which way a metric improves."""

    UP = "up"
    DOWN = "down"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    `healthy` is the closed range [lowest, highest] of a healthy run, None where there is none;
    `always` says whether every evaluation has a number for it, so that trials are pruned by it.
    """

    name: str
    unit: str
    meaning: str
    healthy: tuple[float, float] | None = None
    better: Better = Better.NEITHER
    always: bool = True


_UP, _DOWN = Better.UP, Better.DOWN

# What an evaluation measures, under eval/ (periodic) and final/<region>/ (at the end).
_EVALUATION = (
    Metric("success_rate", "share", "goals reached and held", better=_UP),
    Metric(
        "success_ci95_low", "share", "lower end of the 95 % Wilson interval of success", better=_UP
    ),
    Metric(
        "success_ci95_high", "share", "upper end of the 95 % Wilson interval of success", better=_UP
    ),
    Metric("position_error_mm_median", "mm", "median final distance to the goal", better=_DOWN),
    Metric("position_error_mm_p95", "mm", "95th percentile of that distance", better=_DOWN),
    Metric("orientation_error_deg_median", "deg", "median final angle to the goal", better=_DOWN),
    Metric("orientation_error_deg_p95", "deg", "95th percentile of that angle", better=_DOWN),
    Metric(
        "time_to_success_s_median",
        "s",
        "median time until a goal was held",
        better=_DOWN,
        always=False,
    ),
    Metric(
        "time_to_success_s_p95", "s", "95th percentile of that time", better=_DOWN, always=False
    ),
    Metric("final_joint_speed_rad_s_median", "rad/s", "median final joint speed", better=_DOWN),
    Metric("final_joint_speed_rad_s_p95", "rad/s", "95th percentile of that speed", better=_DOWN),
    Metric("self_collision_rate", "share", "episodes with self-contact", better=_DOWN),
    Metric("table_collision_rate", "share", "episodes with table contact", better=_DOWN),
    # below: only where every physics step was watched, which is in final evaluations
    Metric(
        "max_joint_speed_of_limit",
        "of limit",
        "largest joint speed of any physics step (final/ only)",
        (0.0, 1.0),
        _DOWN,
        always=False,
    ),
    Metric(
        "share_above_speed_limit",
        "share",
        "physics steps with a joint above its speed limit (final/ only)",
        (0.0, 0.0),
        _DOWN,
        always=False,
    ),
    Metric(
        "share_outside_joint_range",
        "share",
        "physics steps with a joint outside its range (final/ only)",
        (0.0, 0.0),
        _DOWN,
        always=False,
    ),
    Metric(
        "max_torque_of_limit",
        "of limit",
        "largest torque of a drive, gravity compensation included (final/ only)",
        (0.0, 1.0),
        _DOWN,
        always=False,
    ),
    Metric(
        "share_at_torque_limit",
        "share",
        "physics steps in which a drive gave all its torque, or more (final/ only)",
        better=_DOWN,
        always=False,
    ),
    Metric(
        "max_joint_acceleration_rad_s2",
        "rad/s2",
        "largest joint acceleration of any physics step (final/ only)",
        better=_DOWN,
        always=False,
    ),
    Metric(
        "action_rate_median",
        "1",
        "median over the goals of the mean squared change of the action",
        better=_DOWN,
    ),
    Metric("action_rate_p95", "1", "95th percentile of that change", better=_DOWN),
    Metric(
        "physics_reset_rate", "share", "episodes whose physics became unstable", (0.0, 0.0), _DOWN
    ),
    Metric("goals", "count", "goals evaluated"),
)
# Of the records of every physics step, in summary.json alone.
_JUDGED = tuple(
    Metric(f"{name}_{part}", unit, f"{words} {meaning}", better=_DOWN, always=False)
    for name, unit, meaning in (
        ("path_ratio", "1", "joint path to a held goal over the straight one"),
        ("jerk_rad_s3", "rad/s3", "joint jerk, root mean square over an episode"),
    )
    for part, words in (("median", "median"), ("p95", "95th percentile of the"))
)
_EVALUATION_NAMES = {metric.name: metric for metric in _EVALUATION}

_SINGLE = (
    Metric("rollout/ep_rew_mean", "reward", "mean return of the last episodes", better=_UP),
    Metric("rollout/ep_len_mean", "steps", "mean length of the last episodes"),
    Metric(
        "rollout/success_rate", "share", "finished goals that were reached and held", better=_UP
    ),
    Metric("rollout/goals_per_episode", "count", "goals reached and held per episode", better=_UP),
    Metric(
        "rollout/position_error_mm", "mm", "median distance to the goal at its end", better=_DOWN
    ),
    Metric("rollout/position_error_mm_p95", "mm", "95th percentile of that distance", better=_DOWN),
    Metric("rollout/orientation_error_deg", "deg", "median angle at a goal's end", better=_DOWN),
    Metric(
        "rollout/orientation_error_deg_p95", "deg", "95th percentile of that angle", better=_DOWN
    ),
    Metric("rollout/self_collision_rate", "share", "episodes with self-contact", better=_DOWN),
    Metric("rollout/table_collision_rate", "share", "episodes with table contact", better=_DOWN),
    Metric("rollout/time_to_success_s", "s", "median time until a goal was held", better=_DOWN),
    Metric("rollout/tool_speed", "m/s", "mean speed of the tool"),
    Metric("rollout/action_rate", "1", "mean squared change of the action", better=_DOWN),
    Metric("rollout/jerk", "rad/s³", "joint jerk between control steps, root mean square"),
    Metric("rollout/action_saturation", "share", "numbers of the actions at their bound"),
    Metric("rollout/goal_share", "share", "time inside both thresholds", better=_UP),
    Metric(
        "rollout/goal_joint_speed", "rad/s", "mean joint speed inside both thresholds", better=_DOWN
    ),
    Metric(
        "rollout/goal_action_rate",
        "1",
        "mean squared change of the action inside both thresholds",
        better=_DOWN,
    ),
    Metric(
        "eval/score",
        "1",
        "what the best checkpoint is chosen by: success less a twentieth of the errors over their "
        "thresholds",
        better=_UP,
    ),
    Metric("train/approx_kl", "nat", "KL divergence of an update, estimated", (0.0, 0.02)),
    Metric("train/clip_fraction", "share", "samples whose ratio was clipped", (0.05, 0.20)),
    Metric("train/entropy_loss", "nat", "minus the mean entropy of the policy"),
    Metric("train/policy_gradient_loss", "1", "clipped surrogate loss"),
    Metric("train/value_loss", "reward²", "mean squared error of the value", better=_DOWN),
    Metric(
        "train/explained_variance",
        "share",
        "share of the returns' variance that the value network explains",
        (0.5, 1.0),
        _UP,
    ),
    Metric("train/std", "1", "mean exploration deviation of the actions"),
    Metric("train/learning_rate", "1", "step size of Adam"),
    Metric("train/clip_range", "1", "clipping of the probability ratio"),
    Metric("train/clip_range_vf", "1", "clipping of the value update"),
    Metric("train/loss", "1", "sum of all losses of the last minibatch"),
    Metric("train/n_updates", "count", "passes over rollouts so far"),
    Metric("train/grad_norm", "1", "mean gradient norm before clipping"),
    Metric("train/value_mean", "reward", "mean value of the last rollout"),
    Metric("train/value_std", "reward", "deviation of the values"),
    Metric("train/return_mean", "reward", "mean return of the last rollout, as it is learned"),
    Metric("train/return_std", "reward", "deviation of the returns"),
    Metric("train/advantage_mean", "reward", "mean advantage, before normalisation"),
    Metric("train/advantage_std", "reward", "deviation of the advantages"),
    Metric("train/advantage_max", "reward", "largest advantage, without its sign"),
    Metric("normalizer/clipped", "share", "observed numbers that were clipped", (0.0, 0.01)),
    Metric("normalizer/seen_std_max", "1", "largest deviation of a number as the networks see it"),
    Metric("normalizer/seen_mean_max", "1", "largest mean of a number as the networks see it"),
    Metric(
        "normalizer/observation_std_min", "raw", "least running deviation of an observed number"
    ),
    Metric(
        "normalizer/observation_std_max", "raw", "largest running deviation of an observed number"
    ),
    Metric(
        "normalizer/observation_mean_max",
        "raw",
        "largest running mean of an observed number, without its sign",
    ),
    Metric(
        "normalizer/return_std",
        "reward",
        "running deviation of the return; rewards are divided by it",
    ),
    Metric("curriculum/progress", "share", "how far the ramps have gone"),
    Metric("curriculum/stage", "index", "stage of the curriculum"),
    Metric("curriculum/position_threshold", "m", "distance below which a goal is reached"),
    Metric("curriculum/orientation_threshold", "rad", "angle below which a goal is reached"),
    Metric("curriculum/region_share", "share", "how much of the joint range goals come from"),
    Metric("time/fps", "steps/s", "environment steps per second", better=_UP),
    Metric("time/time_elapsed", "s", "time since training began"),
    Metric("time/total_timesteps", "steps", "environment steps so far"),
    Metric("time/iterations", "count", "rollouts so far"),
    Metric("time/physics", "share", "share of time spent stepping physics"),
    Metric("time/task", "share", "share of time spent on observations, rewards and goals"),
    Metric("time/policy", "share", "share of time spent on choosing actions"),
    Metric("time/update", "share", "share of time spent on updating the networks"),
    Metric("time/iteration_s", "s", "time of the last rollout and its update", better=_DOWN),
    Metric("health/physics_resets", "count", "unstable simulations reset so far", (0.0, 0.0)),
    Metric("health/physics_reset_rate", "1/1000 steps", "unstable simulations of late", (0.0, 0.0)),
    Metric(
        "health/joint_speed_of_limit",
        "share",
        "fastest joint of the last episodes, of its limit",
        (0.0, 1.0),
    ),
    Metric("health/check", "text", "name of the warning's check, as in health.stop_on"),
    Metric("health/alert", "text", "title of a warning"),
    Metric("health/alert_text", "text", "what was seen, and what to do"),
)

CATALOGUE: dict[str, Metric] = {
    metric.name: metric
    for metric in (*_SINGLE, *(replace(m, name=f"eval/{m.name}") for m in _EVALUATION))
}
"""Every metric whose name is fixed."""

for _metric in CATALOGUE.values():
    register("metric", _metric.name, _metric)

for _metric in (*_EVALUATION, *_JUDGED):
    if _metric.better is not Better.NEITHER and not _metric.name.startswith("success_ci95"):
        register("figure", re.sub(r"_(median|p95)$", r".\1", _metric.name), _metric)

FAMILIES: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("reward/", "reward", "mean contribution of the reward term per episode"),
        Metric("curriculum/", "1", "weight that the curriculum sets now"),
        Metric(
            "observation/", "1", "least deviation of the term's numbers, as the networks see them"
        ),
        Metric("std/", "1", "exploration deviation of the joint's action"),
        Metric("video/", "film", "film of evaluation episodes"),
        Metric("final/", "", "the figure NAME of eval/, in the final evaluation on the region"),
    )
}
"""Metrics whose name ends in a term, a weight, a joint or a region; by prefix."""

for _metric in FAMILIES.values():
    register("metric_family", _metric.name, _metric)


def describe(name: str) -> Metric:
    """The metric of that name, members of families included.

    Raises:
        KeyError: for a name that the catalogue does not know.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    prefix, _, member = name.partition("/")
    family = FAMILIES.get(f"{prefix}/")
    if family is None or not member:
        raise KeyError(f"metric {name!r} is not in reach_rl.monitoring.metrics")
    if prefix == "final":
        region, _, figure = member.rpartition("/")
        if not region or figure not in _EVALUATION_NAMES:
            raise KeyError(f"metric {name!r} is not final/<region>/<figure of an evaluation>")
        return replace(_EVALUATION_NAMES[figure], name=name)
    return replace(family, name=name, meaning=f"{family.meaning} ({member})")


def evaluation_metrics(evaluation: Mapping[str, Any], prefix: str = "eval") -> dict[str, Any]:
    """The flat metrics `<prefix>/<figure>` of an evaluation dictionary (as in summary.json).

    Nested figures join by underscores (`position_error_mm_median`); what is no metric, such as
    thresholds, is left out.
    """
    flat: dict[str, Any] = {}
    for key, value in evaluation.items():
        if key == "success_ci95":
            flat["success_ci95_low"], flat["success_ci95_high"] = value
        elif isinstance(value, Mapping):
            flat.update({f"{key}_{part}": item for part, item in value.items()})
        else:
            flat[key] = value
    return {f"{prefix}/{key}": item for key, item in flat.items() if key in _EVALUATION_NAMES}
