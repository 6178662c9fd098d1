"""Real W&B: offline runs are read back with W&B's own reader, `wandb leet inspect`."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from reach_rl.config.kinds import WandbMode
from reach_rl.config.load import compose
from reach_rl.monitoring.record import open_record
from reach_rl.monitoring.writers.json_lines import read_records
from reach_rl.monitoring.writers.wandb import RunInfo, WandbWriter
from reach_rl.monitoring.writers.wandb_access import resolve

KEY = "0123456789" * 4


@pytest.fixture
def wandb_home(tmp_path, monkeypatch):
    """No account, no W&B settings, and W&B's caches in the test's folder."""
    for name in list(os.environ):
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", os.devnull)
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_ARTIFACT_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path


@pytest.fixture
def fresh_service():
    """A W&B service that reads the environment of this test."""
    import wandb

    wandb.teardown()
    yield
    wandb.teardown()


def read_back(run_dir):
    """The records of the only W&B run in a run's folder, by type."""
    (path,) = run_dir.glob("wandb/offline-run-*/*.wandb")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", str(path), "--json"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = {}
    for line in lines.splitlines():
        record = json.loads(line)
        found.setdefault(record["type"], []).append(record.get(record["type"]))
    return found


def history(found):
    return [
        {name: value for name, value in row["item"].items() if not name.startswith("_")}
        for row in found["history"]
    ]


def test_an_offline_run_reads_back_as_metrics_jsonl(wandb_home):
    run_dir = wandb_home / "run"
    run_dir.mkdir()
    checkpoint = run_dir / "step_000000000200"
    checkpoint.mkdir()
    (checkpoint / "policy.json").write_text("{}")
    config = compose(
        ["wandb=offline", "wandb.project=arms", "wandb.group=seeds", "wandb.name=first",
         "wandb.tags=[a,b]", "wandb.notes=hello", "ppo.learning_rate=3e-4"]
    )  # fmt: skip
    said = []
    record = open_record(run_dir, config, say=said.append, details={"git_commit": "abc"})
    for step in (100, 200):
        record.write(step, {"rollout/success_rate": step / 1000, "train/loss": float("nan")})
    record.alert(200, "KL too high", "0.3 against 0.02")
    record.checkpoint(200, checkpoint, ["best"])
    record.evaluation(200, {"front": {"success_rate": 0.5}})
    record.close(3)

    found = read_back(run_dir)
    rows = history(found)
    table = rows.pop()
    truth = list(read_records(run_dir / "metrics.jsonl"))
    assert rows == truth and len(truth) == 4
    assert (table["global_step"], table["evaluation.nrows"]) == (200, 1)
    (run,) = found["run"]
    assert (run["project"], run["run_group"], run["display_name"]) == ("arms", "seeds", "first")
    assert (run["job_type"], run["tags"], run["notes"]) == ("train", ["a", "b"], "hello")
    assert run["config"]["update"]["ppo"]["learning_rate"] == 3e-4
    assert run["config"]["update"]["git_commit"] == "abc"
    assert {"glob_name": "*", "step_metric": "global_step"}.items() <= found["metric"][1].items()
    assert found["alert"][0]["title"] == "KL too high"
    model = next(a for a in found["artifact"] if a["type"] == "model")
    assert {"best", "step_000000000200"} <= set(model["aliases"])
    assert found["exit"][0]["exit_code"] == 3
    assert len(said) == 1 and "wandb sync" in said[0] and "offline-run-" in said[0]


def test_a_resumed_run_keeps_its_identity_and_counts_on(wandb_home):
    config = compose(["wandb=offline"])
    for resume, step in ((False, 0), (True, 200)):
        record = open_record(wandb_home, config, resume, step, say=lambda line: None)
        record.write(step + 100, {"train/loss": 1.0})
        record.write(step + 200, {"train/loss": 1.0})
        record.close()
    first, second = sorted(wandb_home.glob("wandb/offline-run-*"), key=lambda p: p.stat().st_ctime)
    assert first.name.split("-")[3] == second.name.split("-")[3]
    for log in first.glob("*.wandb"):
        log.unlink()
    rows = read_back(wandb_home)["history"]
    assert [row["step"]["num"] for row in rows] == [2, 3]


def test_a_multirun_in_one_process_is_three_finished_runs_in_one_group(wandb_home):
    config = compose(["wandb=offline"])
    folders = [wandb_home / "multirun" / "2026-11-22" / "10-00-00" / str(n) for n in range(3)]
    for n, folder in enumerate(folders):
        folder.mkdir(parents=True)
        with open_record(folder, config, say=lambda line: None) as record:
            record.write(10, {"rollout/success_rate": n / 10})
    identities = set()
    for n, folder in enumerate(folders):
        found = read_back(folder)
        (run,) = found["run"]
        identities.add(run["run_id"])
        assert run["run_group"] == "2026-11-22_10-00-00"
        assert run["display_name"] == f"2026-11-22_10-00-00_{n}"
        assert history(found)[0].get("rollout/success_rate") == n / 10
        assert found["exit"][0].get("exit_code", 0) == 0
    assert len(identities) == 3


def test_a_crash_ends_the_run_with_an_exit_code(wandb_home):
    config = compose(["wandb=offline"])
    with (
        pytest.raises(RuntimeError),
        open_record(wandb_home, config, say=lambda line: None) as record,
    ):
        record.write(1, {"train/loss": 1.0})
        raise RuntimeError("boom")
    assert read_back(wandb_home)["exit"][0]["exit_code"] == 1


def service_pids():
    """Services that this process started."""
    command = ["ps", "--ppid", str(os.getpid()), "-o", "pid=,args="]
    rows = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return [int(row.split()[0]) for row in rows if "wandb-core" in row]


def wait_until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_a_dead_service_does_not_stop_a_run_nor_the_next_one(wandb_home):
    config, said = compose(["wandb=offline"]), []
    for name in ("one", "two"):
        (wandb_home / name).mkdir()
    record = open_record(wandb_home / "one", config, say=said.append)
    record.write(1, {"train/loss": 1.0})
    writer = record._writers[-1]
    wait_until(lambda: service_pids() and writer._jobs.empty())
    for pid in service_pids():
        os.kill(pid, signal.SIGKILL)
    started = time.monotonic()
    for step in range(2, 200):
        record.write(step, {"train/loss": 1.0})
    record.close()
    assert time.monotonic() - started < 20.0
    assert len(list(read_records(wandb_home / "one" / "metrics.jsonl"))) == 199
    assert len(said) == 1 and "W&B failed" in said[0]
    with open_record(wandb_home / "two", config, say=said.append) as record:
        record.write(1, {"train/loss": 1.0})
    assert len(history(read_back(wandb_home / "two"))) == 1


def test_a_server_that_never_answers_costs_no_time_and_ends_offline(
    wandb_home, monkeypatch, fresh_service
):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{mute.getsockname()[1]}")
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        said = []
        started = time.monotonic()
        writer = WandbWriter(
            RunInfo(wandb_home, "p", {}, init_seconds=1.0, finish_seconds=1.0),
            WandbMode.ONLINE,
            said.append,
        )
        writer.write(5, {"train/loss": 1.0})
        assert time.monotonic() - started < 0.5
        writer.close(0)
    assert time.monotonic() - started < 30.0
    assert "not online" in said[0] and "wandb sync" in said[-1]
    assert history(read_back(wandb_home)) == [{"global_step": 5, "train/loss": 1}]


def test_auto_without_credentials_is_off_says_how_and_imports_nothing(wandb_home):
    code = """
import sys
from pathlib import Path
from reach_rl.config.load import compose
from reach_rl.monitoring.record import open_record
with open_record(Path(sys.argv[1]), compose(["wandb=auto"])) as record:
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
    assert resolve(WandbMode.AUTO, home).mode is WandbMode.DISABLED
    assert resolve(WandbMode.AUTO, {**home, "WANDB_API_KEY": KEY}).mode is WandbMode.ONLINE
    (tmp_path / ".netrc").write_text(f"machine api.wandb.ai\n login user\n password {KEY}\n")
    assert resolve(WandbMode.AUTO, home).mode is WandbMode.ONLINE
    elsewhere = {**home, "WANDB_BASE_URL": "https://wandb.example.org"}
    assert resolve(WandbMode.AUTO, elsewhere).mode is WandbMode.DISABLED
    config = tmp_path / ".config" / "wandb"
    config.mkdir(parents=True)
    (config / "settings").write_text("[default]\nbase_url = https://api.wandb.ai\n")
    assert resolve(WandbMode.AUTO, home).mode is WandbMode.ONLINE
    (tmp_path / ".netrc").write_text("not a netrc {")
    assert resolve(WandbMode.AUTO, home).mode is WandbMode.DISABLED


@pytest.mark.parametrize(
    ("environ", "mode"),
    [
        ({"WANDB_MODE": "offline", "WANDB_API_KEY": KEY}, WandbMode.OFFLINE),
        ({"WANDB_MODE": "disabled", "WANDB_API_KEY": KEY}, WandbMode.DISABLED),
        ({"WANDB_DISABLED": "true", "WANDB_API_KEY": KEY}, WandbMode.DISABLED),
    ],
)
def test_auto_heeds_the_environment(environ, mode):
    assert resolve(WandbMode.AUTO, environ).mode is mode


def test_online_without_credentials_is_offline_and_says_so(tmp_path):
    access = resolve(WandbMode.ONLINE, {"HOME": str(tmp_path)})
    assert access.mode is WandbMode.OFFLINE and "wandb login" in access.notice
    assert resolve(WandbMode.OFFLINE, {}).mode is WandbMode.OFFLINE
    assert resolve(WandbMode.DISABLED, {"WANDB_API_KEY": KEY}).mode is WandbMode.DISABLED
