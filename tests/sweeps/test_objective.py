"""What a trial is worth, from what a run leaves behind."""

from typing import Any

import numpy as np
import pytest

from reach_rl.config import search
from reach_rl.config.composition import Composer
from reach_rl.config.search import objectives
from reach_rl.sweeps.results import combined, figure, score
from reach_rl.training.loop import score_of
from tests.small_runs import compose


@pytest.fixture(scope="module")
def judged() -> tuple[Any, Any]:
    """A configuration, and the judgement of a policy that does nothing."""
    from reach_rl.evaluation.protocol import evaluate, held_out_goals
    from reach_rl.robots import load_robot

    config = compose(["experiment=debug", "task.episode_steps=100"])
    robot = load_robot(config.robot, config.task.physics_step)
    goals = held_out_goals(config, robot, 6, 7, 1)
    still = lambda observation: np.zeros((len(observation), 6), np.float32)  # noqa: E731
    return config, evaluate(still, config, goals, threads=1, robot=robot, seed=7)


def test_the_score_is_that_of_the_periodic_evaluations(judged):
    config, evaluation = judged
    assert score({"evaluation": evaluation.summary()}) == pytest.approx(
        score_of(evaluation, config)
    )


def test_every_objective_is_in_a_summary(judged):
    summary = {"evaluation": judged[1].summary(), "wall_time_s": 1.0, "steps_per_second": 2.0}
    for name in objectives():
        if not any(part in name for part in ("time_to_success", "path_ratio")):  # of reached
            figure(summary, name)


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match=r"evaluation\.success_rate of summary.json is None"):
        figure({"evaluation": {}}, "evaluation.success_rate")
    with pytest.raises(ValueError, match="nan"):
        figure({"evaluation": {"success_rate": float("nan")}}, "evaluation.success_rate")


@pytest.mark.parametrize(("combine", "expected"), [("mean", [2.0, 3.0]), ("worst", [1.0, 4.0])])
def test_runs_of_a_trial_together(combine: str, expected: list[float]):
    words = [
        "hydra.sweeper.objective=[score,wall_time_s]",
        "hydra.sweeper.direction=[maximize,minimize]",
        f"hydra.sweeper.combine={combine}",
    ]
    wanted = search.read(Composer().compose(["sweep=search", *words]).hydra["sweeper"])
    assert combined(wanted, [[1.0, 2.0], [3.0, 4.0]]) == expected
