"""The one catalogue of metric names: unit, meaning, healthy range, and which way is better.

Writers, plots, documentation and dashboards all read it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from reach_rl.extend import entries, register


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
    better: Better
    meaning: str
    healthy: tuple[float, float] | None = None
    always: bool = True


UP, DOWN, FLAT = Better

# What only a final evaluation measures, which watches every physics step.
_WATCHED = (
    Metric("max_joint_speed_of_limit", "of limit", DOWN, "largest joint speed", (0.0, 1.0)),
    Metric("share_above_speed_limit", "share", DOWN, "a joint above its limit", (0.0, 0.0)),
    Metric("share_outside_joint_range", "share", DOWN, "a joint outside its range", (0.0, 0.0)),
    Metric("max_torque_of_limit", "of limit", DOWN, "largest torque with gravity", (0.0, 1.0)),
    Metric("share_at_torque_limit", "share", DOWN, "a drive that gives all its torque"),
    Metric("max_joint_acceleration_rad_s2", "rad/s2", DOWN, "largest joint acceleration"),
)

# What an evaluation measures, under eval/ (periodic) and final/<region>/ (at the end).
_EVALUATION = (
    Metric("success_rate", "share", UP, "goals reached and held"),
    Metric("success_ci95_low", "share", UP, "lower end of the 95 % Wilson interval of success"),
    Metric("success_ci95_high", "share", UP, "upper end of the 95 % Wilson interval of success"),
    Metric("position_error_mm_median", "mm", DOWN, "median final distance to the goal"),
    Metric("position_error_mm_p95", "mm", DOWN, "95th percentile of that distance"),
    Metric("orientation_error_deg_median", "deg", DOWN, "median final angle to the goal"),
    Metric("orientation_error_deg_p95", "deg", DOWN, "95th percentile of that angle"),
    Metric("time_to_success_s_median", "s", DOWN, "median time until held", always=False),
    Metric("time_to_success_s_p95", "s", DOWN, "95th percentile of that time", always=False),
    Metric("final_joint_speed_rad_s_median", "rad/s", DOWN, "median final joint speed"),
    Metric("final_joint_speed_rad_s_p95", "rad/s", DOWN, "95th percentile of that speed"),
    Metric("self_collision_rate", "share", DOWN, "episodes with self-contact"),
    Metric("table_collision_rate", "share", DOWN, "episodes with table contact"),
    *(
        replace(m, meaning=f"{m.meaning}, over all physics steps (final/ only)", always=False)
        for m in _WATCHED
    ),
    Metric("action_rate_median", "1", DOWN, "median of the goals' mean squared change of action"),
    Metric("action_rate_p95", "1", DOWN, "95th percentile of that change"),
    Metric("physics_reset_rate", "share", DOWN, "episodes with unstable physics", (0.0, 0.0)),
    Metric("goals", "count", FLAT, "goals evaluated"),
)
# Of the records of every physics step, in summary.json alone.
_JUDGED = tuple(
    Metric(f"{name}_{part}", unit, DOWN, f"{words} {meaning}", always=False)
    for name, unit, meaning in (
        ("path_ratio", "1", "joint path to a held goal over the straight one"),
        ("jerk_rad_s3", "rad/s3", "joint jerk, root mean square over an episode"),
    )
    for part, words in (("median", "median"), ("p95", "95th percentile of the"))
)
_EVALUATION_NAMES = {metric.name: metric for metric in _EVALUATION}

_SINGLE = (
    Metric("rollout/ep_rew_mean", "reward", UP, "mean return of the last episodes"),
    Metric("rollout/ep_len_mean", "steps", FLAT, "mean length of the last episodes"),
    Metric("rollout/success_rate", "share", UP, "finished goals that were reached and held"),
    Metric("rollout/goals_per_episode", "count", UP, "goals reached and held per episode"),
    Metric("rollout/position_error_mm", "mm", DOWN, "median distance to the goal at its end"),
    Metric("rollout/position_error_mm_p95", "mm", DOWN, "95th percentile of that distance"),
    Metric("rollout/orientation_error_deg", "deg", DOWN, "median angle at a goal's end"),
    Metric("rollout/orientation_error_deg_p95", "deg", DOWN, "95th percentile of that angle"),
    Metric("rollout/self_collision_rate", "share", DOWN, "episodes with self-contact"),
    Metric("rollout/table_collision_rate", "share", DOWN, "episodes with table contact"),
    Metric("rollout/time_to_success_s", "s", DOWN, "median time until a goal was held"),
    Metric("rollout/tool_speed", "m/s", FLAT, "mean speed of the tool"),
    Metric("rollout/action_rate", "1", DOWN, "mean squared change of the action"),
    Metric("rollout/jerk", "rad/s³", FLAT, "joint jerk between control steps, root mean square"),
    Metric("rollout/action_saturation", "share", FLAT, "numbers of the actions at their bound"),
    Metric("rollout/goal_share", "share", UP, "time inside both thresholds"),
    Metric("rollout/goal_joint_speed", "rad/s", DOWN, "mean joint speed inside both thresholds"),
    Metric("rollout/goal_action_rate", "1", DOWN, "the same inside both thresholds"),
    Metric(
        "eval/score",
        "1",
        UP,
        "what the best checkpoint is chosen by: success less a twentieth of the errors over "
        "their thresholds",
    ),
    Metric("train/approx_kl", "nat", FLAT, "KL divergence of an update, estimated", (0.0, 0.02)),
    Metric("train/clip_fraction", "share", FLAT, "samples whose ratio was clipped", (0.05, 0.2)),
    Metric("train/entropy_loss", "nat", FLAT, "minus the mean entropy of the policy"),
    Metric("train/policy_gradient_loss", "1", FLAT, "clipped surrogate loss"),
    Metric("train/value_loss", "reward²", DOWN, "mean squared error of the value"),
    Metric(
        "train/explained_variance",
        "share",
        UP,
        "share of the returns' variance that the value network explains",
        (0.5, 1.0),
    ),
    Metric("train/std", "1", FLAT, "mean exploration deviation of the actions"),
    Metric("train/learning_rate", "1", FLAT, "step size of Adam"),
    Metric("train/clip_range", "1", FLAT, "clipping of the probability ratio"),
    Metric("train/clip_range_vf", "1", FLAT, "clipping of the value update"),
    Metric("train/loss", "1", FLAT, "sum of all losses of the last minibatch"),
    Metric("train/n_updates", "count", FLAT, "passes over rollouts so far"),
    Metric("train/grad_norm", "1", FLAT, "mean gradient norm before clipping"),
    Metric("train/value_mean", "reward", FLAT, "mean value of the last rollout"),
    Metric("train/value_std", "reward", FLAT, "deviation of the values"),
    Metric("train/return_mean", "reward", FLAT, "mean return of the last rollout, as learned"),
    Metric("train/return_std", "reward", FLAT, "deviation of the returns"),
    Metric("train/advantage_mean", "reward", FLAT, "mean advantage, before normalisation"),
    Metric("train/advantage_std", "reward", FLAT, "deviation of the advantages"),
    Metric("train/advantage_max", "reward", FLAT, "largest advantage, without its sign"),
    Metric("normalizer/clipped", "share", FLAT, "observed numbers that were clipped", (0.0, 0.01)),
    Metric("normalizer/seen_std_max", "1", FLAT, "largest deviation of a number as seen"),
    Metric("normalizer/seen_mean_max", "1", FLAT, "largest mean of a number as seen"),
    Metric("normalizer/observation_std_min", "raw", FLAT, "least running deviation of a number"),
    Metric("normalizer/observation_std_max", "raw", FLAT, "largest running deviation of a number"),
    Metric("normalizer/observation_mean_max", "raw", FLAT, "largest running mean, without sign"),
    Metric(
        "normalizer/return_std",
        "reward",
        FLAT,
        "running deviation of the return; rewards are divided by it",
    ),
    Metric("curriculum/progress", "share", FLAT, "how far the ramps have gone"),
    Metric("curriculum/stage", "index", FLAT, "stage of the curriculum"),
    Metric("curriculum/position_threshold", "m", FLAT, "distance below which a goal is reached"),
    Metric("curriculum/orientation_threshold", "rad", FLAT, "angle below which a goal is reached"),
    Metric("curriculum/region_share", "share", FLAT, "how much of the joint range goals come from"),
    Metric("time/fps", "steps/s", UP, "environment steps per second"),
    Metric("time/time_elapsed", "s", FLAT, "time since training began"),
    Metric("time/total_timesteps", "steps", FLAT, "environment steps so far"),
    Metric("time/iterations", "count", FLAT, "rollouts so far"),
    Metric("time/physics", "share", FLAT, "share of time spent stepping physics"),
    Metric("time/task", "share", FLAT, "share of time spent on observations, rewards and goals"),
    Metric("time/policy", "share", FLAT, "share of time spent on choosing actions"),
    Metric("time/update", "share", FLAT, "share of time spent on updating the networks"),
    Metric("time/iteration_s", "s", DOWN, "time of the last rollout and its update"),
    Metric("health/physics_resets", "count", FLAT, "unstable simulations reset so far", (0.0, 0.0)),
    Metric("health/physics_reset_rate", "1/1000 steps", FLAT, "unstable ones of late", (0.0, 0.0)),
    Metric("health/joint_speed_of_limit", "of limit", FLAT, "fastest joint lately", (0.0, 1.0)),
    Metric("health/check", "text", FLAT, "name of the warning's check, as in health.stop_on"),
    Metric("health/alert", "text", FLAT, "title of a warning"),
    Metric("health/alert_text", "text", FLAT, "what was seen, and what to do"),
)

_PERIODIC = tuple(replace(metric, name=f"eval/{metric.name}") for metric in _EVALUATION)

CATALOGUE: dict[str, Metric] = {metric.name: metric for metric in (*_SINGLE, *_PERIODIC)}
"""Every metric whose name is fixed."""

for _metric in CATALOGUE.values():
    register("metric", _metric.name, _metric)

for _metric in (*_EVALUATION, *_JUDGED):  # what a search may optimise
    if _metric.better is not Better.NEITHER and not _metric.name.startswith("success_ci95"):
        register("figure", re.sub(r"_(median|p95)$", r".\1", _metric.name), _metric)

_FAMILIES = (
    Metric("reward/", "reward", FLAT, "mean contribution of the reward term per episode"),
    Metric("curriculum/", "1", FLAT, "weight that the curriculum sets now"),
    Metric("observation/", "1", FLAT, "least deviation of the term's numbers as seen"),
    Metric("std/", "1", FLAT, "exploration deviation of the joint's action"),
    Metric("video/", "film", FLAT, "film of evaluation episodes"),
    Metric("final/", "", FLAT, "the figure NAME of eval/, in the final evaluation on the region"),
)

FAMILIES: dict[str, Metric] = {metric.name: metric for metric in _FAMILIES}
"""Metrics whose name ends in a term, a weight, a joint or a region; by prefix."""

for _metric in FAMILIES.values():
    register("metric_family", _metric.name, _metric)


def describe(name: str) -> Metric:
    """The metric of that name, members of families included.

    Raises:
        KeyError: for a name that the catalogue does not know.
    """
    known = entries("metric").get(name)
    if known is not None:
        return known
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
