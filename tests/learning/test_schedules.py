"""How values move over a run."""

import pytest

from reach_rl.config.schema import Schedule, ScheduleKind
from reach_rl.learning.build import Scheduled


def make(kind, end=0.1):
    return Scheduled(2.0, Schedule(kind=kind, end=end, target_kl=0.01))


@pytest.mark.parametrize(
    ("kind", "start", "half", "end"),
    [
        (ScheduleKind.CONSTANT, 2.0, 2.0, 2.0),
        (ScheduleKind.LINEAR, 2.0, 1.1, 0.2),
        (ScheduleKind.COSINE, 2.0, 1.1, 0.2),
    ],
)
def test_values_at_start_half_and_end(kind, start, half, end):
    schedule = make(kind)
    assert [schedule(r) for r in (1.0, 0.5, 0.0)] == pytest.approx([start, half, end])
    assert schedule(-0.2) == pytest.approx(end)  # the last rollout runs past the end
    assert schedule(1.5) == pytest.approx(start)


def test_cosine_starts_and_ends_gently():
    schedule = make(ScheduleKind.COSINE, end=0.0)
    assert schedule(0.75) == pytest.approx(2.0 * 0.8535534)


def test_kl_adaptive_keeps_to_its_target():
    schedule = make(ScheduleKind.KL_ADAPTIVE)
    schedule.adapt(0.021)
    assert schedule(0.3) == pytest.approx(2.0 / 1.5)
    schedule.adapt(0.01)
    assert schedule(0.3) == pytest.approx(2.0 / 1.5)
    schedule.adapt(0.004)
    assert schedule(0.3) == pytest.approx(2.0)
    for _ in range(50):
        schedule.adapt(1.0)
    assert schedule(0.0) == pytest.approx(0.02)
    for _ in range(50):
        schedule.adapt(1e-6)
    assert schedule(0.0) == pytest.approx(20.0)


def test_the_others_do_not_follow_the_kl_divergence():
    schedule = make(ScheduleKind.CONSTANT)
    schedule.adapt(1.0)
    assert schedule(0.5) == 2.0
