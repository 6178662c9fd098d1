import itertools
import json

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reach_rl.monitoring import tensorboard, wandb
from reach_rl.monitoring.record import (
    JsonLinesWriter,
    Opening,
    Record,
    Writer,
    open_record,
    read_records,
)
from reach_rl.monitoring.tensorboard import TensorBoardWriter
from tests.small_runs import compose

OFF = "wandb=disabled"


@pytest.fixture(scope="module")
def config():
    return compose([OFF])


def records(folder):
    return list(read_records(folder / "metrics.jsonl"))


def scalars(folder, name):
    events = EventAccumulator(str(folder / "tb"), size_guidance={"scalars": 0})
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_a_record_is_one_strict_json_line_readable_at_once(tmp_path, config):
    record = open_record(Opening(tmp_path, config))
    record.write(
        np.int64(6144),
        {
            "rollout/success_rate": np.float32(0.5),
            "train/std": torch.tensor(0.25),
            "train/loss": float("nan"),
            "time/fps": float("inf"),
            "train/n_updates": True,
            "health/alert": "text",
        },
    )
    line = (tmp_path / "metrics.jsonl").read_text()
    assert line.endswith("\n")
    assert json.loads(line, parse_constant=pytest.fail) == {
        "global_step": 6144,
        "rollout/success_rate": 0.5,
        "train/std": 0.25,
        "train/loss": None,
        "time/fps": None,
        "train/n_updates": 1,
        "health/alert": "text",
    }
    record.close()
    record.close()


def test_tensorboard_reads_back_what_was_recorded(tmp_path, config):
    with open_record(Opening(tmp_path, config)) as record:
        record.write(10, {"rollout/success_rate": 0.25, "train/loss": float("nan")})
        record.alert(15, "KL too high", "approx_kl 0.3 against 0.02")
        record.write(20, {"rollout/success_rate": 0.5})
    assert scalars(tmp_path, "rollout/success_rate") == [(10, 0.25), (20, 0.5)]
    events = EventAccumulator(str(tmp_path / "tb"))
    events.Reload()
    assert "train/loss" not in events.Tags()["scalars"]
    assert b"KL too high" in events.Tensors("health/alert")[0].tensor_proto.string_val[0]
    assert "reached and held" in events.SummaryMetadata("rollout/success_rate").summary_description


def test_resume_cuts_later_records_and_a_torn_line(tmp_path, config):
    with open_record(Opening(tmp_path, config)) as record:
        for step in (100, 200, 300, 400):
            record.write(step, {"rollout/success_rate": step / 1000})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"global_step": 500, "rollout/suc')
    with open_record(Opening(tmp_path, config, step=200)) as record:
        record.write(300, {"rollout/success_rate": 0.9})
    assert records(tmp_path) == [
        {"global_step": 100, "rollout/success_rate": 0.1},
        {"global_step": 200, "rollout/success_rate": 0.2},
        {"global_step": 300, "rollout/success_rate": 0.9},
    ]
    assert (tmp_path / "metrics.jsonl").read_text().count("\n") == 3
    assert [step for step, _ in scalars(tmp_path, "rollout/success_rate")] == [100, 200, 300]


def test_what_was_recorded_after_the_checkpoint_of_the_same_step_is_cut(
    tmp_path, config, monkeypatch
):
    """A run that was killed after its verdict was recorded gives it again.

    Also where both event files are of one second, the ninth and the tenth of the process.
    """
    monkeypatch.setattr(tensorboard, "_NUMBER", itertools.count(9))
    with open_record(Opening(tmp_path, config)) as record:
        record.write(100, {"rollout/success_rate": 0.1})
        record.write(200, {"rollout/success_rate": 0.2})
        state = record.state()
        record.evaluation(200, {"front": {"success_rate": 0.9}})
    assert state == {"records": 2}
    with open_record(Opening(tmp_path, config, step=200, state=state)) as record:
        record.evaluation(200, {"front": {"success_rate": 0.9}})
    assert [r["global_step"] for r in records(tmp_path)] == [100, 200, 200]
    assert scalars(tmp_path, "rollout/success_rate") == [
        (100, pytest.approx(0.1)),
        (200, pytest.approx(0.2)),
    ]
    assert scalars(tmp_path, "final/front/success_rate") == [(200, pytest.approx(0.9))]


def test_a_new_run_does_not_mix_with_the_records_of_another(tmp_path, config):
    with open_record(Opening(tmp_path, config)) as record:
        record.write(1, {"rollout/success_rate": 0.1})
    with pytest.raises(FileExistsError, match="resume="):
        open_record(Opening(tmp_path, config))


class Broken(Writer):
    name = "Broken"

    def __init__(self):
        self.calls = 0

    def write(self, step, values):
        self.calls += 1
        raise OSError("no space left")


def test_a_failing_writer_is_dropped_with_one_warning(tmp_path):
    broken, said = Broken(), []
    record = Record([broken, JsonLinesWriter(tmp_path / "metrics.jsonl")], said.append)
    for step in range(5):
        record.write(step, {"train/loss": 1.0})
    record.close()
    assert broken.calls == 1
    assert len(said) == 1 and "Broken" in said[0] and "no space left" in said[0]
    assert len(records(tmp_path)) == 5


def test_tensorboard_that_cannot_open_does_not_stop_a_run(tmp_path, config):
    (tmp_path / "tb").write_text("a file is in the way")
    said = []
    with open_record(Opening(tmp_path, config, say=said.append)) as record:
        record.write(1, {"train/loss": 1.0})
    assert len(said) == 1 and "TensorBoard" in said[0]
    assert len(records(tmp_path)) == 1


def test_an_undocumented_metric_is_recorded_after_one_warning(tmp_path):
    said = []
    record = Record([JsonLinesWriter(tmp_path / "metrics.jsonl")], said.append)
    record.write(1, {"train/mystery": 1.0})
    record.write(2, {"train/mystery": 2.0})
    record.close()
    assert len(said) == 1 and "train/mystery" in said[0]
    assert [r["train/mystery"] for r in records(tmp_path)] == [1.0, 2.0]


def test_final_evaluations_are_recorded_by_label(tmp_path):
    record = Record([JsonLinesWriter(tmp_path / "metrics.jsonl")], pytest.fail)
    record.evaluation(9, {"front": {"success_rate": 0.99}, "near": {"success_rate": 0.9}})
    record.close()
    assert records(tmp_path) == [
        {"global_step": 9, "final/front/success_rate": 0.99, "final/near/success_rate": 0.9}
    ]


def test_wandb_is_told_no_secrets_and_not_where_home_is(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/people/someone")
    monkeypatch.setenv("LAB_TOKEN", "t0psecret")
    config = compose(["wandb.notes=uses t0psecret", "wandb.tags=[t0psecret]"])
    made = {
        "machine": {"remote": "https://me:secret@host/x", "api_key": "abc"},
        "overrides": ["/people/someone/arm.xml", "/people/someoneelse/arm.xml"],
    }
    (tmp_path / "provenance.json").write_text(json.dumps(made))
    told = wandb.about(Opening(tmp_path, config))
    assert (told["notes"], told["tags"]) == ("uses ***", ["***"])
    assert told["config"]["wandb"]["notes"] == "uses ***"
    provenance = told["config"]["provenance"]
    assert provenance["machine"] == {"remote": "https://***@host/x", "api_key": "***"}
    assert provenance["overrides"] == ["~/arm.xml", "/people/someoneelse/arm.xml"]
    assert told["config"]["task"]["keypoint_offset"] == config.task.keypoint_offset


def test_the_cost_of_a_record_is_small(tmp_path):
    import time

    values = {f"reward/term{i}": i / 7 for i in range(40)}
    record = Record(
        [
            JsonLinesWriter(tmp_path / "metrics.jsonl"),
            TensorBoardWriter(Opening(tmp_path, compose([]))),
        ]
    )
    record.write(0, values)
    started = time.process_time()
    for step in range(1, 101):
        record.write(step, values)
    spent = time.process_time() - started
    record.close()
    assert spent / 100 < 0.01  # s; a rollout and its update take some 100 ms


def test_tensorboard_tells_equal_and_other_records_apart(tmp_path):
    """Numbers alone in the same order are written into the event before; all else is made anew."""
    rows = [
        {"train/loss": 1.0, "train/std": 2.0},
        {"train/loss": 3.0, "train/std": 4.0},
        {"train/loss": 5.0, "train/std": 6.0},
        {"train/std": 7.0, "train/loss": 8.0},
        {"train/std": 0.0, "train/loss": None},
        {"train/std": 9.0, "train/loss": 10.0},
        {"train/std": 11.0, "train/loss": 12.0, "health/alert": "text"},
        {"train/std": 13.0, "train/loss": 14.0, "time/fps": 15},
        {"train/std": 16.0, "train/loss": 17.0, "time/fps": 18},
        {"train/std": 19.0, "train/loss": 20.0, "time/fps": 21},
    ]
    writer = TensorBoardWriter(Opening(tmp_path, compose([])))
    for step, row in enumerate(rows):
        writer.write(step, row)
    writer.close(0)
    for name in ("train/loss", "train/std", "time/fps"):
        expected = [(k, row[name]) for k, row in enumerate(rows) if row.get(name) is not None]
        assert scalars(tmp_path, name) == expected
