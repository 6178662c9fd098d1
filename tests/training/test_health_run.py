"""The diagnosis inside a run: where a warning goes, how it ends a run, and what a resume does."""

import json

import pytest

from reach_rl.monitoring.metrics import describe
from reach_rl.monitoring.record import read_records
from reach_rl.rundir import checkpoint
from reach_rl.rundir.status import read_status
from reach_rl.training.session import train

LOOKING = (
    "ppo.gamma=0.5",
    "total_timesteps=3072",
    "health.warm_up=0",
    "health.persistence=0",
)
"""Twelve rollouts, enough for a warning of a horizon that is too short."""


def warnings(folder):
    records = read_records(folder / "metrics.jsonl")
    return [(r["health/check"], r["global_step"]) for r in records if "health/check" in r]


@pytest.fixture(scope="module")
def whole(small, tmp_path_factory):
    """A run with warnings that goes on to its end."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert isinstance(train(small(*LOOKING), folder), dict)
    return folder


def test_a_warning_is_in_the_log_the_records_and_tensorboard_once(whole):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    told = warnings(whole)
    assert ("horizon_short", 2048) in told
    assert len({name for name, _ in told}) == len(told)
    record = next(
        r for r in read_records(whole / "metrics.jsonl") if r.get("health/check") == "horizon_short"
    )
    assert record["health/alert"] == "the policy looks only a few steps ahead"
    assert record["health/alert_text"].endswith("try ppo.gamma=0.92 or ppo.gamma=0.99")
    log = " ".join((whole / "train.log").read_text().split())
    line = f"warning: {record['health/alert']} (horizon_short): {record['health/alert_text']}"
    assert log.count(line) == 1
    events = EventAccumulator(str(whole / "tb"), size_guidance={"tensors": 0}).Reload()
    texts = [e.tensor_proto.string_val[0].decode() for e in events.Tensors("health/alert_text")]
    assert record["health/alert_text"] in texts


def test_every_metric_of_the_task_is_recorded(whole):
    seen: set[str] = set()
    for record in read_records(whole / "metrics.jsonl"):
        seen |= {name for name in record if name != "global_step"}
    for name in seen:
        describe(name)
    expected = {
        "rollout": "success_rate goals_per_episode position_error_mm position_error_mm_p95 "
        "orientation_error_deg orientation_error_deg_p95 tool_speed action_rate jerk "
        "action_saturation goal_share self_collision_rate table_collision_rate ep_rew_mean",
        "curriculum": "progress stage position_threshold orientation_threshold region_share",
        "std": "elbow_joint wrist_3_joint",
        "train": "grad_norm value_mean value_std return_mean return_std advantage_mean "
        "advantage_std advantage_max explained_variance approx_kl clip_fraction entropy_loss",
        "normalizer": "observation_std_min observation_std_max observation_mean_max return_std "
        "clipped seen_std_max seen_mean_max",
        "observation": "joint_angle position_error",
        "reward": "progress keypoint_kernel action_rate",
        "time": "fps physics task policy update iteration_s",
        "health": "physics_resets joint_speed_of_limit",
    }
    wanted = {f"{group}/{name}" for group, text in expected.items() for name in text.split()}
    assert wanted <= seen


def test_a_run_ends_on_what_it_is_told_to_and_goes_on_without_repeating_it(
    small, tmp_path, whole, capsys
):
    folder = tmp_path / "run"
    assert train(small(*LOOKING, "health.stop_on=[horizon_short]"), folder) == 3
    status = read_status(folder)
    assert status["state"] == "diverged"
    assert "health.stop_on=horizon_short" in status["reason"]
    assert "ppo.gamma=0.92" in status["reason"]
    assert not (folder / "summary.json").exists()
    step = checkpoint.read(checkpoint.resolve(folder / "checkpoints", "latest")).progress
    assert step["num_timesteps"] == 2048
    before = [w for w in warnings(whole) if w[1] <= 2048]
    assert warnings(folder) == before
    again = small(*LOOKING, "health.stop_on=[horizon_short]", f"resume={folder}")
    assert isinstance(train(again, folder), dict)
    assert warnings(folder) == warnings(whole)
    text = " ".join(capsys.readouterr().out.split())
    assert text.count("(horizon_short): ") == 1


def test_any_ends_a_run_on_the_first_warning(small, tmp_path, whole):
    assert train(small(*LOOKING, "health.stop_on=[any]"), tmp_path / "run") == 3
    first = min(step for _, step in warnings(whole))
    assert warnings(tmp_path / "run") == [w for w in warnings(whole) if w[1] == first]


def test_off_is_off(small, tmp_path):
    assert isinstance(train(small(*LOOKING, "health.enabled=false"), tmp_path / "run"), dict)
    assert warnings(tmp_path / "run") == []
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert status["state"] == "finished"
