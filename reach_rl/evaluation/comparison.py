"""Several policies against one another: differences, their intervals, and a verdict in words."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np

from reach_rl.evaluation import statistics
from reach_rl.evaluation.result import Evaluation

FIGURES = {
    "position_error_mm": ("position error", "mm", "position_error", lambda m: 1e3 * m),
    "orientation_error_deg": ("orientation error", "deg", "orientation_error", np.degrees),
    "time_to_success_s": ("time to success", "s", "time_to_success", np.asarray),
}
"""Figure -> its words, unit, array of an evaluation and its conversion; less is better."""


NOISE = 1.0 - statistics.CONFIDENCE
"""Probability from which on a difference may be noise."""


def compare(evaluations: Mapping[str, Evaluation]) -> dict[str, Any]:
    """Every pair of policies, in order; plain JSON values.

    Each pair holds the difference of the success rates (`success`, in shares), those of the
    medians of FIGURES, and the verdict in `words`. The probabilities of the success rates are
    adjusted for the number of pairs (Holm), so that many runs do not make a difference by
    themselves.

    Args:
        evaluations: label -> evaluation; on the same goals they are compared in pairs.
    """
    pairs = list(combinations(evaluations, 2))
    differences = [_success(evaluations[a], evaluations[b]) for a, b in pairs]
    adjusted = statistics.holm([difference.p_value for difference in differences])
    found = []
    for (a, b), difference, p_value in zip(pairs, differences, adjusted, strict=True):
        shifts = _shifts(evaluations[a], evaluations[b], difference.paired)
        judged = {"p_value_adjusted": p_value, "more_than_noise": p_value < NOISE}
        pair = {"first": a, "second": b, "paired": difference.paired, "median": shifts}
        pair["success"] = asdict(difference) | judged
        pair["words"] = _words(a, b, difference, p_value, shifts)
        found.append(pair)
    return {"pairs": found}


def same_goals(one: Evaluation, other: Evaluation) -> bool:
    """Whether two evaluations are of the same goals in the same order."""
    return np.array_equal(one.goal_position, other.goal_position) and np.array_equal(
        one.goal_quaternion, other.goal_quaternion
    )


def _success(one: Evaluation, other: Evaluation) -> statistics.Difference:
    if same_goals(one, other):
        return statistics.paired_difference(one.success, other.success)
    return statistics.unpaired_difference(
        (int(one.success.sum()), len(one)), (int(other.success.sum()), len(other))
    )


def _shifts(one: Evaluation, other: Evaluation, paired: bool) -> dict[str, dict[str, Any] | None]:
    shifts = {}
    for name, (_, _, array, of) in FIGURES.items():
        values = (of(getattr(each, array)) for each in (one, other))
        shift = statistics.median_shift(*values, paired=paired)
        shifts[name] = None if shift is None else {**asdict(shift), "more_than_noise": shift.real}
    return shifts


def _words(
    a: str,
    b: str,
    difference: statistics.Difference,
    p_value: float,
    shifts: Mapping[str, Mapping[str, Any] | None],
) -> list[str]:
    """The verdict: a sentence on success, and one on each figure."""
    value, low, high = (100 * x for x in (difference.value, difference.low, difference.high))
    found = f"(95% interval {low:+.1f} to {high:+.1f}, p = {p_value:.2g})"
    if value == 0:
        sentences = [f"success: {b} reaches as many as {a} {found}"]
    else:
        more = f"{abs(value):.1f} points {'more' if value > 0 else 'less'} than {a}"
        sentences = [f"success: {b} reaches {more} {found}: {_verdict(p_value < NOISE)}"]
    for name, shift in shifts.items():
        if shift is None:
            continue
        what, unit, _, _ = FIGURES[name]
        told = "the same"
        if not shift["low"] == shift["high"] == 0.0:
            interval = f"(95% interval {shift['low']:+.3g} to {shift['high']:+.3g})"
            verdict = _verdict(shift["more_than_noise"])
            told = f"{shift['value']:+.3g} {unit} {interval}: {verdict}"
        sentences.append(f"{what}, median: {told}")
    return sentences


def _verdict(real: bool) -> str:
    return "more than noise" if real else "may be noise"


def labels(folders: Sequence[str]) -> list[str]:
    """Short names that tell folders apart: their last parts, as many as it takes."""
    parts = [folder.rstrip("/").split("/") for folder in folders]
    for count in range(1, max(len(p) for p in parts) + 1):
        names = ["/".join(p[-count:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{number}: {parts[number - 1][-1]}" for number in range(1, len(folders) + 1)]
