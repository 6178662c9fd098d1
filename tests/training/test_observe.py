"""A run that is looked at from outside at its periodic evaluations, and stopped there."""

import dataclasses
import json
from pathlib import Path

import pytest

from reach_rl.training.session import PRUNED, train
from tests.small_runs import compose

WORDS = ["experiment=debug", "picture=false", "progress=false", "evaluation.also=[]"]


@pytest.fixture
def config():
    return compose([*WORDS, "total_timesteps=1536", "evaluation.every=512", "checkpoint.every=0"])


def test_it_stops_at_once_and_saves_and_counts_on(config, tmp_path: Path):
    seen: list[tuple[int, float]] = []

    def enough(index: int, score: float, figures: dict) -> bool:
        assert figures["evaluation"]["goals"] == config.evaluation.periodic_goals
        seen.append((index, score))
        return index == 1

    assert train(config, tmp_path, enough) == PRUNED
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "pruned"
    assert not (tmp_path / "summary.json").exists()
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert records[-1]["global_step"] == 1024
    scores = [record["eval/score"] for record in records if "eval/score" in record]
    assert seen == list(enumerate(scores))
    assert (tmp_path / "checkpoints" / "step_000000001024").is_dir()
    again = dataclasses.replace(config, resume="auto")
    assert isinstance(train(again, tmp_path, enough), dict)
    assert [index for index, _ in seen] == [0, 1, 2]


def test_the_last_evaluation_stops_nothing(config, tmp_path: Path):
    outcome = train(config, tmp_path, lambda index, score, figures: index == 2)
    assert isinstance(outcome, dict)
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "finished"


def test_a_warning_that_ends_a_run_prunes_a_trial(tmp_path: Path):
    """Alone it ends with exit code 3, watched by a sweep as pruned."""
    words = ["health.stop_on=[any]", "health.warm_up=0", "health.persistence=0"]
    words += ["ppo.learning_rate=0.5", "total_timesteps=4096", "evaluation.every=0"]
    config = compose([*WORDS, *words])
    watched = train(config, tmp_path / "trial", lambda index, score, figures: False)
    alone = train(config, tmp_path / "alone")
    assert (watched, alone) == (PRUNED, 3)
    status = json.loads((tmp_path / "trial" / "status.json").read_text())
    assert status["state"] == "pruned"
    assert "health.stop_on=" in status["reason"]
