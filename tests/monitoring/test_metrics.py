import pytest

from docs import generate
from reach_rl.extend import entries
from reach_rl.monitoring.metrics import CATALOGUE, FAMILIES, Better, describe, evaluation_metrics


def test_every_metric_has_a_unit_a_meaning_and_a_sane_range():
    for metric in CATALOGUE.values():
        assert metric.unit and metric.meaning
        if metric.healthy:
            assert metric.healthy[0] <= metric.healthy[1]


def test_healthy_ranges_are_those_of_the_notes():
    assert describe("train/approx_kl").healthy == (0.0, 0.02)
    assert describe("train/clip_fraction").healthy == (0.05, 0.20)
    assert describe("rollout/success_rate").better is Better.UP


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("reward/keypoint_kernel", "reward"),
        ("curriculum/action_rate", "1"),
        ("std/elbow_joint", "1"),
        ("final/near/position_error_mm_p95", "mm"),
        ("eval/success_rate", "share"),
    ],
)
def test_families_describe_their_members(name, unit):
    metric = describe(name)
    assert (metric.name, metric.unit) == (name, unit)


@pytest.mark.parametrize(
    "name", ["rollout/sucess_rate", "reward/", "loss", "final/near/beauty", "final/success_rate"]
)
def test_unknown_names_raise(name):
    with pytest.raises(KeyError, match="metric"):
        describe(name)


def test_family_prefixes_end_in_a_slash_and_fixed_names_come_first():
    assert all(prefix.endswith("/") for prefix in FAMILIES)
    assert describe("curriculum/stage") is CATALOGUE["curriculum/stage"]


def test_the_reference_has_every_metric_and_every_warning():
    page = generate.metrics_page()
    for name in (*CATALOGUE, *entries("health_check")):
        assert f"| `{name}` |" in page


def test_evaluation_flattens_to_catalogued_names():
    flat = evaluation_metrics(
        {
            "success_rate": 0.99,
            "success_ci95": [0.98, 0.995],
            "position_error_mm": {"median": 1.0, "p95": 3.0},
            "time_to_success_s": {"median": None, "p95": None},
            "thresholds": {"position_m": 0.02},
            "checkpoint": "best",
        }
    )
    assert flat == {
        "eval/success_rate": 0.99,
        "eval/success_ci95_low": 0.98,
        "eval/success_ci95_high": 0.995,
        "eval/position_error_mm_median": 1.0,
        "eval/position_error_mm_p95": 3.0,
        "eval/time_to_success_s_median": None,
        "eval/time_to_success_s_p95": None,
    }
    for name in flat:
        describe(name)
