"""What changes while training goes on."""

import json
from dataclasses import replace
from typing import Any

import pytest

from reach_rl.config.schema import Config, CurriculumConfig, Ramp, Stage, Unit
from reach_rl.mdp.curriculum import Curriculum

RAMPS = {"action_rate": Ramp(start=-0.1, end=-0.5), "progress": Ramp(start=1.0, end=0.0)}
STAGES = [
    Stage(advance_at=0.8, position_threshold=0.05, orientation_threshold=0.3, region_share=0.4),
    Stage(advance_at=0.5, position_threshold=0.03, orientation_threshold=0.2, region_share=0.7),
    Stage(advance_at=1.0, position_threshold=0.02, orientation_threshold=0.1, region_share=1.0),
]

TASK_ITSELF = {
    "curriculum/stage": 0,
    "curriculum/position_threshold": 0.011,
    "curriculum/orientation_threshold": 0.12,
    "curriculum/region_share": 1.0,
}


def make(config: Config, **changes: Any) -> Curriculum:
    values: dict[str, Any] = {
        "unit": Unit.STEPS,
        "duration": 1000.0,
        "ramps": {},
        "stages": [],
        "window": 10,
    }
    task = replace(config.task, position_threshold=0.011, orientation_threshold=0.12)
    return Curriculum(CurriculumConfig(**(values | changes)), task, total_steps=4000)


def test_none_is_the_task_itself(config: Config) -> None:
    curriculum = make(config)
    curriculum.count(100, 3, [True] * 30)
    setting = curriculum.setting()
    assert setting.weights == {}
    assert (setting.position_threshold, setting.orientation_threshold) == (0.011, 0.12)
    assert setting.region_share == 1.0
    assert curriculum.metrics() == pytest.approx(TASK_ITSELF | {"curriculum/progress": 0.1})


@pytest.mark.parametrize(
    ("unit", "duration", "steps", "episodes"),
    [(Unit.STEPS, 1000, 250, 999), (Unit.EPISODES, 40, 9999, 10), (Unit.FRACTION, 0.5, 500, 999)],
)
def test_ramps_follow_what_all_environments_did(
    config: Config, unit: Unit, duration: float, steps: int, episodes: int
) -> None:
    """A quarter of the way in each unit, counted in two goes; then beyond the end."""
    curriculum = make(config, unit=unit, duration=float(duration), ramps=RAMPS)
    assert curriculum.setting().weights == {"action_rate": -0.1, "progress": 1.0}
    curriculum.count(steps - steps // 2, episodes - episodes // 2, [])
    curriculum.count(steps // 2, episodes // 2, [])
    assert curriculum.progress == pytest.approx(0.25)
    expected = {"action_rate": -0.2, "progress": 0.75}
    assert curriculum.setting().weights == pytest.approx(expected)
    told = {f"curriculum/{name}": weight for name, weight in expected.items()}
    assert curriculum.metrics() == pytest.approx(told | TASK_ITSELF | {"curriculum/progress": 0.25})
    curriculum.count(100 * steps, 100 * episodes, [])
    assert curriculum.setting().weights == pytest.approx({"action_rate": -0.5, "progress": 0.0})


def test_stages_advance_by_success(config: Config) -> None:
    """A full window at the mark moves on, the window starts anew, and the last stage stays."""
    curriculum = make(config, stages=STAGES)
    curriculum.count(0, 0, [True] * 9)
    assert curriculum.stage == 0  # the window is not full
    curriculum.count(0, 0, [False, False, False])
    assert curriculum.stage == 0  # 7 of 10
    curriculum.count(0, 0, [True] * 10)
    assert curriculum.stage == 1
    setting = curriculum.setting()
    thresholds = setting.position_threshold, setting.orientation_threshold
    assert (*thresholds, setting.region_share) == (0.03, 0.2, 0.7)
    assert curriculum.metrics()["curriculum/stage"] == 1
    assert curriculum.metrics()["curriculum/position_threshold"] == 0.03
    curriculum.count(0, 0, [True] * 5)
    assert curriculum.stage == 1
    curriculum.count(0, 0, [False] * 5)
    assert curriculum.stage == 2  # 5 of 10 is at this stage's mark
    curriculum.count(0, 0, [True] * 100)
    assert curriculum.stage == 2
    assert curriculum.setting().region_share == 1.0


def test_state_goes_on_in_another_process(config: Config) -> None:
    """Through JSON; progress, stage and the window of outcomes."""
    outcomes = [True, False, True, True, True, True, True, True]
    one = make(config, ramps=RAMPS, stages=STAGES)
    one.count(300, 7, [True] * 10)
    one.count(11, 2, outcomes)
    other = make(config, ramps=RAMPS, stages=STAGES)
    other.load(json.loads(json.dumps(one.state())))
    assert other.state() == one.state()
    assert other.setting() == one.setting()
    for curriculum in (one, other):
        curriculum.count(5, 1, [False, False])
        assert curriculum.stage == 2
        assert curriculum.progress == pytest.approx(0.316)
