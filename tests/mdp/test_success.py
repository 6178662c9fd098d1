"""Success: inside both thresholds, without a break, for the whole hold, once."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from reach_rl.config.schema import Config
from reach_rl.mdp.state import State
from reach_rl.mdp.success import update

Make = Callable[..., State]


def play(state: State, steps: list[tuple[float, float]], hold: int) -> list[tuple[int, bool, bool]]:
    """Inside steps, completed and reached after each (distance, angle)."""
    seen = []
    for distance, angle in steps:
        state.distance[:], state.angle[:] = distance, angle
        update(state, 0.02, 0.1, hold)
        seen.append((int(state.inside_steps[0]), bool(state.completed[0]), bool(state.reached[0])))
    return seen


IN, FAR, TURNED = (0.01, 0.05), (0.03, 0.05), (0.01, 0.2)


def test_a_hold_completes_once_and_stays_reached(state_of: Make) -> None:
    """At its third step inside, not before, not again; leaving and returning changes nothing."""
    assert play(state_of(), [IN, IN, IN, IN, FAR, IN, IN, IN, IN], 3) == [
        (1, False, False),
        (2, False, False),
        (3, True, True),
        (4, False, True),
        (0, False, True),
        (1, False, True),
        (2, False, True),
        (3, False, True),
        (4, False, True),
    ]


@pytest.mark.parametrize("outside", [FAR, TURNED, (0.02, 0.05), (0.01, 0.1), (9.0, 3.0)])
def test_any_break_starts_the_hold_anew(state_of: Make, outside: tuple[float, float]) -> None:
    """Position or orientation; at the threshold itself is outside."""
    seen = play(state_of(), [IN, IN, outside, IN, IN, IN], 3)
    assert [count for count, *_ in seen] == [1, 2, 0, 1, 2, 3]
    assert [completed for _, completed, _ in seen] == [False] * 5 + [True]


def test_a_hold_of_one_step(state_of: Make) -> None:
    assert play(state_of(), [FAR, IN, IN], 1) == [(0, False, False), (1, True, True), (2, False, 1)]


def test_rows_are_apart(state_of: Make) -> None:
    """Each row counts its own."""
    state = state_of(3)
    for distance in ([0.01, 0.03, 0.01], [0.01, 0.01, 0.01], [0.03, 0.01, 0.01]):
        state.distance[:] = distance
        update(state, 0.02, 0.1, 3)
    assert state.inside_steps.tolist() == [0, 2, 3]
    assert state.completed.tolist() == state.reached.tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("time", "step", "substeps", "expected"),
    [
        (0.5, 0.005, 4, 26),  # 26 samples are 25 periods of 20 ms apart
        (3.0, 0.005, 4, 151),
        (0.06, 0.005, 4, 4),  # 0.06 / 0.02 is 3.0000000000000004
        (0.05, 0.005, 4, 4),  # two and a half periods need three
        (0.0, 0.005, 4, 1),
        (0.1, 0.002, 5, 11),
    ],
)
def test_hold_steps_span_the_hold_time(
    config: Config, time: float, step: float, substeps: int, expected: int
) -> None:
    """First to last sample of a hold span at least hold_time, and not a step more."""
    task = replace(config.task, hold_time=time, physics_step=step, substeps=substeps)
    assert task.hold_steps == expected
    period = task.control_period
    assert (expected - 1) * period >= time - 1e-9
    assert np.isclose(time, 0) or (expected - 2) * period < time - 1e-9
