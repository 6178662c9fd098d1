"""Real W&B: offline runs are read back with W&B's own reader."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reach_rl.config.schema import WandbMode
from reach_rl.monitoring import wandb as wandb_module
from reach_rl.monitoring.record import Opening, exit_code, open_record, read_records
from reach_rl.monitoring.wandb import WandbWriter, usable
from reach_rl.rundir.provenance import group_and_name, highlights
from tests.small_runs import compose

KEY = "0123456789" * 4


def opened(run_dir, say, *overrides):
    """A writer that is online, whatever this machine has."""
    opening = Opening(run_dir, compose(["wandb.project=p", *overrides]), say=say)
    return WandbWriter(opening, WandbMode.ONLINE)


def test_an_offline_run_reads_back_as_metrics_jsonl(wandb_home, read_back, history):
    run_dir = wandb_home / "run"
    run_dir.mkdir()
    checkpoint = run_dir / "step_000000000200"
    checkpoint.mkdir()
    (checkpoint / "policy.json").write_text("{}")
    (run_dir / "provenance.json").write_text('{"git": {"commit": "abc"}}')
    config = compose(
        ["wandb=offline", "wandb.project=arms", "wandb.group=seeds", "wandb.name=first",
         "wandb.tags=[a,b]", "wandb.notes=hello", "ppo.learning_rate=3e-4"]
    )  # fmt: skip
    said = []
    record = open_record(Opening(run_dir, config, say=said.append))
    for step in (100, 200):
        record.write(step, {"rollout/success_rate": step / 1000, "train/loss": float("nan")})
    record.alert(200, "KL too high", "0.3 against 0.02")
    record.checkpoint(200, checkpoint, ["best"])
    shutil.rmtree(checkpoint)  # as training does with old ones
    record.evaluation(200, {"front": {"success_rate": 0.5}})
    record.close(3)

    found = read_back(run_dir)
    truth = list(read_records(run_dir / "metrics.jsonl"))
    assert history(found) == truth and len(truth) == 4
    (table,) = [row["item"] for row in found["history"] if "evaluation.nrows" in row["item"]]
    assert (table["global_step"], table["evaluation.nrows"]) == (200, 1)
    (run,) = found["run"]
    assert (run["project"], run["run_group"], run["display_name"]) == ("arms", "seeds", "first")
    assert (run["job_type"], run["tags"], run["notes"]) == ("train", ["a", "b"], "hello")
    assert run["config"]["update"]["ppo"]["learning_rate"] == 3e-4
    assert run["config"]["update"]["provenance"] == {"git_commit": "abc"}
    assert {"glob_name": "*", "step_metric": "global_step"}.items() <= found["metric"][1].items()
    assert found["alert"][0]["title"] == "KL too high"
    model = next(a for a in found["artifact"] if a["type"] == "model")
    assert {"best", "step_000000000200"} <= set(model["aliases"])
    (kept,) = [Path(file["local_path"]) for file in model["manifest"]["contents"]]
    assert kept.read_text() == "{}" and run_dir in kept.parents
    hidden = [m["name"] for m in found["metric"] if (m.get("options") or {}).get("hidden")]
    assert {"health/alert", "health/alert_text"} <= set(hidden)
    assert found["exit"][0]["exit_code"] == 3
    assert len(said) == 1 and "wandb sync" in said[0] and "offline-run-" in said[0]


def test_what_is_gathered_waits_for_no_more_when_it_is_wanted(
    wandb_home, read_back, history, wait_until, monkeypatch
):
    """The thread gathers for an hour here; neither a checkpoint nor the end waits for that."""
    monkeypatch.setattr(wandb_module, "GATHER_SECONDS", 3600.0)
    record = open_record(Opening(wandb_home, compose(["wandb=offline"]), say=lambda line: None))
    (writer,) = (w for w in record._writers if isinstance(w, WandbWriter))
    record.write(1, {"train/loss": 1.0})
    wait_until(writer._jobs.empty)
    time.sleep(0.1)
    for step in (2, 3):
        record.write(step, {"train/loss": 1.0})
    time.sleep(0.3)
    assert writer._jobs.qsize() == 2
    record.sync()  # as before a checkpoint
    wait_until(writer._jobs.empty, 5.0)
    record.write(4, {"train/loss": 1.0})
    began = time.monotonic()
    record.close()
    assert time.monotonic() - began < 10.0
    assert history(read_back(wandb_home)) == list(read_records(wandb_home / "metrics.jsonl"))


def test_a_resumed_run_keeps_its_identity_and_counts_on(wandb_home, read_back):
    config = compose(["wandb=offline"])
    said = []
    for step in (None, 200):
        record = open_record(Opening(wandb_home, config, step, say=said.append))
        for more in (100, 200):
            record.write((step or 0) + more, {"train/loss": 1.0})
        record.close()
    first, second = sorted(wandb_home.glob("wandb/offline-run-*"), key=lambda p: p.stat().st_ctime)
    assert first.name.split("-")[3] == second.name.split("-")[3]
    # what is in parts is sent in parts, the first one first
    assert said[0].endswith(f"wandb sync {first}")
    assert said[1].endswith(f"wandb sync {first} {second}")
    for log in first.glob("*.wandb"):
        log.unlink()
    rows = read_back(wandb_home)["history"]
    assert [row["step"]["num"] for row in rows] == [2, 3]


class Sick(Exception):
    exit_code = 3


def test_a_crash_ends_the_run_with_its_exit_code(wandb_home, read_back):
    config = compose(["wandb=offline"])
    with (
        pytest.raises(Sick),
        open_record(Opening(wandb_home, config, say=lambda line: None)) as record,
    ):
        record.write(1, {"train/loss": 1.0})
        raise Sick("boom")
    assert read_back(wandb_home)["exit"][0]["exit_code"] == 3


@pytest.mark.parametrize(
    ("error", "code"),
    [(None, 0), (RuntimeError("boom"), 1), (Sick("boom"), 3), (KeyboardInterrupt(), 130)],
)
def test_an_error_has_an_exit_code(error, code):
    assert exit_code(error) == code


def test_any_sweep_folder_makes_a_group(tmp_path):
    (tmp_path / "search" / "7").mkdir(parents=True)
    assert group_and_name(tmp_path / "search" / "7") == (None, "7")
    (tmp_path / "search" / "multirun.yaml").touch()
    assert group_and_name(tmp_path / "search" / "7") == ("search", "search_7")


def test_the_config_tells_code_and_machine_but_no_secrets(wandb_home):
    found = {
        "git": {"commit": "abc", "dirty": True, "diff": "+ secret"},
        "packages": {"torch": "2"},
    }
    (wandb_home / "provenance.json").write_text(json.dumps(found))
    assert highlights(wandb_home) == {
        "provenance": {"packages": {"torch": "2"}, "git_commit": "abc", "git_dirty": True}
    }
    assert highlights(wandb_home / "home") == {}


def test_a_dead_service_does_not_stop_a_run_nor_the_next_one(
    wandb_home, read_back, history, service_pids, wait_until
):
    config, said = compose(["wandb=offline"]), []
    for name in ("one", "two"):
        (wandb_home / name).mkdir()
    record = open_record(Opening(wandb_home / "one", config, say=said.append))
    record.write(1, {"train/loss": 1.0})
    (writer,) = (w for w in record._writers if isinstance(w, WandbWriter))
    wait_until(lambda: service_pids(os.getpid()) and writer._jobs.empty())
    for pid in service_pids(os.getpid()):
        os.kill(pid, signal.SIGKILL)
    started = time.monotonic()
    for step in range(2, 200):
        record.write(step, {"train/loss": 1.0})
    record.close()
    assert time.monotonic() - started < 20.0
    assert len(list(read_records(wandb_home / "one" / "metrics.jsonl"))) == 199
    assert len(said) == 1 and "W&B failed" in said[0]
    with open_record(Opening(wandb_home / "two", config, say=said.append)) as record:
        record.write(1, {"train/loss": 1.0})
    assert len(history(read_back(wandb_home / "two"))) == 1


def test_a_service_that_died_with_the_process_before_is_replaced(wandb_home, read_back, history):
    gone = f"3-{os.getpid()}-unix-{wandb_home}/gone"
    code = (
        "import sys; from pathlib import Path\n"
        "from reach_rl.config.load import compose\n"
        "from reach_rl.monitoring.record import Opening\n"
        "from reach_rl.monitoring.wandb import WandbWriter\n"
        "writer = WandbWriter.open(Opening(Path(sys.argv[1]), compose(['wandb=offline'])))\n"
        "writer.write(5, {'train/loss': 1.0}); writer.close(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(wandb_home)], env={**os.environ, "WANDB_SERVICE": gone},
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "recorded on this machine" in done.stdout and "failed" not in done.stdout
    assert history(read_back(wandb_home)) == [{"global_step": 5, "train/loss": 1}]


def test_a_server_that_never_answers_costs_no_time_and_ends_offline(
    wandb_home, monkeypatch, fresh_service, read_back, history
):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{mute.getsockname()[1]}")
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        said = []
        opening = Opening(wandb_home, compose(["wandb.timeout=1.0"]), say=said.append)
        started = time.monotonic()
        writer = WandbWriter(opening, WandbMode.ONLINE)
        writer.write(5, {"train/loss": 1.0})
        assert time.monotonic() - started < 0.5
        writer.close(0)
    assert time.monotonic() - started < 30.0
    assert "not online" in said[0] and "wandb sync" in said[-1]
    assert history(read_back(wandb_home)) == [{"global_step": 5, "train/loss": 1}]


def test_a_key_that_is_refused_ends_offline(wandb_home, wandb_server, read_back, history):
    wandb_server(401)
    said = []
    writer = opened(wandb_home, said.append)
    writer.write(5, {"train/loss": 1.0})
    writer.close(0)
    assert "not online" in said[0] and "401" in said[0] and len(said[0]) < 300
    assert "wandb sync" in said[-1]
    assert history(read_back(wandb_home)) == [{"global_step": 5, "train/loss": 1}]


def test_online_tells_the_server_who_the_run_is_and_goes_on_as_itself(wandb_home, wandb_server):
    server = wandb_server("ok")
    told = (
        "wandb.project=arms", "wandb.entity=team", "wandb.group=seeds", "wandb.name=first",
        "wandb.tags=[a]", "wandb.notes=hello",
    )  # fmt: skip
    said = []
    for _ in range(2):
        writer = opened(wandb_home, said.append, *told)
        writer.write(5, {"train/loss": 1.0})
        writer.close(0)
    assert all(f"{server.url}/team/arms/runs/" in line for line in said) and len(said) == 2
    first = server.runs[0]
    assert (first["project"], first["entity"], first["groupName"]) == ("arms", "team", "seeds")
    assert (first["displayName"], first["jobType"], first["tags"]) == ("first", "train", ["a"])
    assert first["notes"] == "hello"
    assert len({run["name"] for run in server.runs}) == 1


def test_a_server_that_stalls_is_left_after_the_time_out(
    wandb_home, wandb_server, read_back, history
):
    wandb_server("stall")
    said = []
    writer = opened(wandb_home, said.append, "wandb.timeout=1.0")
    for step in range(50):
        writer.write(step, {"train/loss": 1.0})
    started = time.monotonic()
    writer.close(0)
    assert time.monotonic() - started < 20.0
    assert "W&B failed" in said[-1] and "wandb sync" in said[-1]
    assert len(history(read_back(wandb_home, "run-*"))) == 50


def test_auto_without_credentials_is_off_says_how_and_imports_nothing(wandb_home):
    code = """
import sys
from pathlib import Path
from reach_rl.config.load import compose
from reach_rl.monitoring.record import Opening, open_record
with open_record(Opening(Path(sys.argv[1]), compose(["wandb=auto"]))) as record:
    record.write(1, {"train/loss": 1.0})
assert "wandb" not in sys.modules
"""
    run = subprocess.run(
        [sys.executable, "-c", code, str(wandb_home)], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.splitlines()) == 1
    assert "wandb login" in run.stdout and "wandb=offline" in run.stdout


def test_auto_goes_where_credentials_are(tmp_path):
    home = {"HOME": str(tmp_path)}
    assert usable(WandbMode.AUTO, home)[0] is WandbMode.DISABLED
    assert usable(WandbMode.AUTO, {**home, "WANDB_API_KEY": KEY})[0] is WandbMode.ONLINE
    (tmp_path / ".netrc").write_text(f"machine api.wandb.ai\n login user\n password {KEY}\n")
    assert usable(WandbMode.AUTO, home)[0] is WandbMode.ONLINE
    elsewhere = {**home, "WANDB_BASE_URL": "https://wandb.example.org"}
    assert usable(WandbMode.AUTO, elsewhere)[0] is WandbMode.DISABLED
    config = tmp_path / ".config" / "wandb"
    config.mkdir(parents=True)
    (config / "settings").write_text("[default]\nbase_url = https://api.wandb.ai\n")
    assert usable(WandbMode.AUTO, home)[0] is WandbMode.ONLINE
    (tmp_path / ".netrc").write_text("not a netrc {")
    assert usable(WandbMode.AUTO, home)[0] is WandbMode.DISABLED


@pytest.mark.parametrize(
    ("environ", "mode"),
    [
        ({"WANDB_MODE": "offline", "WANDB_API_KEY": KEY}, WandbMode.OFFLINE),
        ({"WANDB_MODE": "disabled", "WANDB_API_KEY": KEY}, WandbMode.DISABLED),
        ({"WANDB_DISABLED": "true", "WANDB_API_KEY": KEY}, WandbMode.DISABLED),
    ],
)
def test_auto_heeds_the_environment(environ, mode):
    assert usable(WandbMode.AUTO, environ)[0] is mode


def test_online_without_credentials_is_offline_and_says_so(tmp_path):
    mode, notice = usable(WandbMode.ONLINE, {"HOME": str(tmp_path)})
    assert mode is WandbMode.OFFLINE and "wandb login" in notice
    assert usable(WandbMode.OFFLINE, {})[0] is WandbMode.OFFLINE
    assert usable(WandbMode.DISABLED, {"WANDB_API_KEY": KEY})[0] is WandbMode.DISABLED
