"""Who is better, by how much, and whether that is more than noise."""

from dataclasses import fields, replace

import numpy as np
import pytest

from reach_rl.evaluation.comparison import compare, labels, same_goals
from tests.evaluation.test_result import evaluation


def judged(reached, seed=0, shift=0.0, other_goals=False):
    """An evaluation of 200 goals, the first `reached` of them successes."""
    m = 200
    result = evaluation(np.arange(6) < 0)
    rng = np.random.default_rng(seed)
    success = np.arange(m) < reached
    arrays = {
        f.name: np.resize(getattr(result, f.name), (m, *getattr(result, f.name).shape[1:]))
        for f in fields(result)
        if f.name not in ("conditions", "measured")
    }
    arrays["success"] = success
    arrays["position_error"] = np.random.default_rng(1).uniform(0.001, 0.003, m) + shift
    arrays["orientation_error"] = rng.uniform(0.001, 0.003, m)
    arrays["time_to_success"] = np.where(success, 1.0, np.nan)
    arrays["goal_position"] = np.random.default_rng(other_goals).uniform(0, 1, (m, 3))
    return replace(result, **arrays)


def test_a_real_difference_and_one_that_may_be_noise():
    found = compare({"a": judged(150), "b": judged(190), "c": judged(188)})
    pairs = {(p["first"], p["second"]): p for p in found["pairs"]}
    assert list(pairs) == [("a", "b"), ("a", "c"), ("b", "c")]
    better, close = pairs["a", "b"], pairs["b", "c"]
    assert better["success"]["value"] == pytest.approx(0.2) and better["success"]["more_than_noise"]
    assert better["words"][0].startswith("success: b reaches 20.0 points more than a (95% interval")
    assert better["words"][0].endswith(": more than noise")
    assert not close["success"]["more_than_noise"]
    assert "c reaches 1.0 points less than b" in close["words"][0]
    assert close["words"][0].endswith(": may be noise")


def test_probabilities_grow_with_the_number_of_pairs():
    two = compare({"a": judged(180), "b": judged(187)})["pairs"][0]["success"]
    assert two["p_value_adjusted"] == two["p_value"] == pytest.approx(2 / 2**7)
    assert two["more_than_noise"]
    many = {name: judged(180) for name in "cdef"}
    pairs = compare({"a": judged(180), "b": judged(187)} | many)["pairs"]
    assert pairs[0]["success"]["p_value"] == two["p_value"]
    assert pairs[0]["success"]["p_value_adjusted"] > 0.05
    assert not pairs[0]["success"]["more_than_noise"]


def test_precision_is_compared_goal_by_goal():
    (pair,) = compare({"a": judged(200), "b": judged(200, shift=1e-4)})["pairs"]
    shift = pair["median"]["position_error_mm"]
    assert shift["paired"] and shift["more_than_noise"]
    assert (shift["low"], shift["high"]) == pytest.approx((0.1, 0.1), abs=1e-6)
    assert "success: b reaches as many as a" in pair["words"][0]
    assert any(w.startswith("time to success, median: the same") for w in pair["words"])


def test_other_goals_are_not_paired():
    one, other = judged(150), judged(190, other_goals=True)
    assert not same_goals(one, other)
    (pair,) = compare({"a": one, "b": other})["pairs"]
    assert not pair["paired"] and pair["success"]["more_than_noise"]


def test_labels_are_short_and_tell_apart():
    assert labels(["runs/ur5e/one", "runs/ur5e/two/"]) == ["one", "two"]
    assert labels(["runs/ur5e/x", "runs/ur3e/x"]) == ["ur5e/x", "ur3e/x"]
    assert labels(["a/x", "a/x"]) == ["1: x", "2: x"]
