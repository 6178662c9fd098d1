"""A run of somebody else's learner: its folder, its record, and how it ended."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from stable_baselines3.common.vec_env import VecNormalize

import reach_rl
from reach_rl.cli.diff import answer as diff
from reach_rl.cli.repro import answer as repro
from reach_rl.cli.runs import answer as runs
from reach_rl.config.schema import Config
from reach_rl.evaluation.result import Evaluation
from reach_rl.monitoring.record import read_records
from reach_rl.rundir.status import read_status
from reach_rl.viz.report import page_of
from tests.small_runs import SMALL


@pytest.fixture(scope="module")
def config() -> Config:
    words = (*SMALL, "robot=ur3e", "task=near", "task.episode_steps=60", "task.hold_time=0.1")
    more = ("vec_env.n_envs=7", "reward.terms.progress=null")
    return reach_rl.compose([*words, *more], own_learner=True)


@pytest.fixture(scope="module")
def result(config: Config) -> Evaluation:
    return reach_rl.evaluate(lambda seen: np.zeros((len(seen), 6)), config, goals=8, seed=3)


@pytest.fixture(scope="module")
def own(config: Config, result: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a learner that does nothing."""
    env = VecNormalize(reach_rl.make_vec_env(config))
    env.reset()
    folder = tmp_path_factory.mktemp("own") / "run"
    with reach_rl.record(config, folder, learner="nobody") as record:
        assert read_status(folder)["state"] == "running"
        for step in range(1, 121):
            env.step(np.zeros((7, 6)))
            if step % 60 == 0:
                record.write(7 * step, {"train/mine": step} | record.rollout(env))
        with pytest.raises(reach_rl.ConfigError, match="a str does not tell its episodes"):
            record.rollout("env")
        summary = record.finish(result)
    assert json.loads((folder / "summary.json").read_text()) == summary
    return folder


def test_its_record_has_its_figures_and_ours(own: Path, result: Evaluation) -> None:
    first, second, final = read_records(own / "metrics.jsonl")
    assert (first["global_step"], second["global_step"]) == (420, 840)
    assert (first["train/mine"], second["train/mine"]) == (60, 120)
    assert 0.0 < first["time/time_elapsed"] < second["time/time_elapsed"]
    assert second["rollout/position_error_mm"] > 0.0
    assert second["reward/keypoint_distance"] < 0.0
    assert "reward/progress" not in second
    assert final["final/near/success_rate"] == result.summary()["success_rate"]
    assert "warning" not in (own / "train.log").read_text()


def test_it_is_loaded_as_any_run(own: Path, config: Config, result: Evaluation) -> None:
    loaded = reach_rl.load(own)
    assert loaded.config.vec_env.n_envs == 7  # which our PPO would refuse
    assert loaded.summary["learner"] == "nobody"
    assert loaded.summary["total_timesteps"] == 840
    assert loaded.summary["evaluation"] == json.loads(json.dumps(result.summary()))
    with pytest.raises(reach_rl.ConfigError, match="checkpoint"):
        loaded.policy  # noqa: B018


def test_runs_diff_report_and_repro_read_it(own: Path, config: Config, tmp_path: Path) -> None:
    other = tmp_path / "other"
    with reach_rl.record(config, other, learner="somebody") as record:
        record.finish(reach_rl.evaluate(lambda seen: np.ones((len(seen), 6)), config, goals=4))
    assert re.search(r"run +finished +ur3e +840 ", runs([str(own)]))
    assert "learner: nobody -> somebody" in diff([str(own), str(other)])
    assert "figure-goals" in page_of([str(own)])
    assert any(line.startswith("python ") for line in repro([str(own)]).splitlines())
    assert "reach_rl.train" not in repro([str(own)])


@pytest.mark.parametrize(
    ("error", "state"), [(KeyboardInterrupt("key"), "stopped"), (ValueError("no"), "failed")]
)
def test_how_it_ended_is_told(
    config: Config, tmp_path: Path, error: BaseException, state: str
) -> None:
    with pytest.raises(type(error)), reach_rl.record(config, tmp_path / "run"):
        raise error
    status = read_status(tmp_path / "run")
    assert (status["state"], status["reason"]) == (state, f"{type(error).__name__}: {error}")
    assert not (tmp_path / "run/.lock").exists()
