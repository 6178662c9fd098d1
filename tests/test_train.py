"""The verb train: what it leaves behind, what it returns, how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from reach_rl.cli.front_door import front
from reach_rl.config.load import compose, to_config
from reach_rl.monitoring.metrics import describe
from reach_rl.monitoring.record import JsonLinesWriter, read_records
from reach_rl.rundir import checkpoint
from reach_rl.rundir.status import read_status
from reach_rl.train import job
from reach_rl.training.session import Session
from reach_rl.training.stopping import StopRequest

ROOT = Path(__file__).parents[1]
SMALL = [
    "vec_env.n_envs=8",
    "vec_env.threads=1",
    "ppo.n_steps=32",
    "ppo.batch_size=64",
    "ppo.n_epochs=2",
    "total_timesteps=512",
    "task.region.pool=64",
    "evaluation.goals=8",
    "evaluation.periodic_goals=4",
    "evaluation.every=256",
    "evaluation.also=[]",
    "checkpoint.every=256",
    "wandb=disabled",
]


def train(*overrides):
    return front("train", job, [*SMALL, *overrides])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run, in a process without display, network or account."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    script = """
import os, socket, sys

def refuse(*_):
    raise OSError("no network here")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from reach_rl.cli import main
from reach_rl.envs.vec_env import BatchVecEnv

step = BatchVecEnv.step_wait

def first_step(env):
    BatchVecEnv.step_wait = step
    late = {"matplotlib", "wandb", "plotly", "onnx", "optuna", "pandas", "scipy.stats", "sympy"}
    sys.stderr.write(f"too early: {sorted(late & set(sys.modules))}")
    return step(env)

BatchVecEnv.step_wait = first_step
try:
    main(["train", *sys.argv[1:]])
finally:
    drawing = {"OpenGL", "mujoco.egl", "mujoco.osmesa", "tkinter"}
    sys.stderr.write(f"loaded: {sorted(drawing & set(sys.modules))}")
"""
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL", "PYOPENGL_PLATFORM", "WANDB_API_KEY")
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    words = [word for word in SMALL if word != "wandb=disabled"]
    command = [sys.executable, "-c", script, *words, "evaluation.also=[near]", f"run_dir={folder}"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("loaded: []")
    assert "too early: []" in done.stderr
    return folder, done.stdout


def test_the_run_folder_holds_what_is_promised(finished):
    folder, _ = finished
    assert {path.name for path in folder.iterdir()} == {
        "config.yaml",
        "provenance.json",
        "metrics.jsonl",
        "tb",
        "checkpoints",
        "summary.json",
        "status.json",
        "train.log",
        "learning_curve.png",
        "goals.png",
        "evaluation.npz",
    }
    names = {path.name for path in (folder / "checkpoints").iterdir()}
    assert names == {"step_000000000256", "step_000000000512", "latest", "best"}
    for name in ("latest", "best"):
        checkpoint.read(checkpoint.resolve(folder / "checkpoints", name))
    assert any((folder / "tb").iterdir())
    for picture in folder.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")
    config = to_config(yaml.safe_load((folder / "config.yaml").read_text()))
    assert config.total_timesteps == 512
    provenance = json.loads((folder / "provenance.json").read_text())
    assert "total_timesteps=512" in provenance["overrides"]
    assert read_status(folder)["state"] == "finished"


def test_the_summary_holds_what_is_promised(finished):
    summary = json.loads((finished[0] / "summary.json").read_text())
    assert summary["robot"] == "ur5e" and summary["seed"] == 0
    assert summary["total_timesteps"] == 512
    assert summary["steps_per_second"] == pytest.approx(512 / summary["wall_time_s"])
    for evaluation in (summary["evaluation"], summary["also"]["near"]):
        assert evaluation["goals"] == 8
        assert 0 <= evaluation["success_ci95"][0] <= evaluation["success_rate"] <= 1
        for name in (
            "position_error_mm",
            "orientation_error_deg",
            "time_to_success_s",
            "final_joint_speed_rad_s",
        ):
            assert set(evaluation[name]) == {"median", "p95"}
        assert {"self_collision_rate", "table_collision_rate", "seed"} <= set(evaluation)
        assert set(evaluation["thresholds"]) == {"position_m", "orientation_rad", "hold_s"}
        assert evaluation["checkpoint"].startswith("step_")
    assert summary["evaluation"]["region"] == "front"
    assert summary["also"]["near"]["region"] == "near"


def test_the_records_carry_sb3s_names(finished):
    *training, final = read_records(finished[0] / "metrics.jsonl")
    assert [record["global_step"] for record in training] == [256, 512]
    wanted = {f"rollout/{n}" for n in ("ep_rew_mean", "ep_len_mean", "success_rate")}
    wanted |= {"rollout/goals_per_episode", "reward/keypoint_distance", "eval/success_rate"}
    wanted |= {
        f"train/{name}"
        for name in (
            "approx_kl",
            "clip_fraction",
            "entropy_loss",
            "policy_gradient_loss",
            "value_loss",
            "explained_variance",
            "learning_rate",
            "std",
            "grad_norm",
        )
    }
    wanted |= {f"time/{n}" for n in ("fps", "physics", "task", "policy", "update")}
    assert wanted <= set(training[-1])
    for record in (*training, final):
        for name in set(record) - {"global_step"}:
            describe(name)
    for record in training:
        shares = [record[f"time/{n}"] for n in ("physics", "task", "policy", "update")]
        assert sum(shares) == pytest.approx(1.0) and min(shares) > 0
    assert final["final/front/goals"] == final["final/near/goals"] == 8


def test_the_terminal_shows_start_and_verdict(finished):
    folder, out = finished
    for words in ("Observation: ", "Reward per step", "512 in 2 rollouts", "judging step_"):
        assert words in out
    assert "8 held-out goals at the end" in out
    assert "front" in out and "near" in out and "success" in out
    assert out.rstrip().endswith(f"everything is in {folder}")
    assert max(map(len, out.splitlines()[:-1])) <= 100
    log = (folder / "train.log").read_text()
    for words in ("Observation: ", "judging step_", "everything is in"):
        assert words in log


@pytest.mark.parametrize(
    "overrides",
    [
        ("vec_env=dummy", "vec_env.n_envs=4"),
        ("experiment=notes", "vec_env=subproc", "vec_env.n_envs=2"),
        ("experiment=notes", "vec_env=batch"),
    ],
    ids=" ".join,
)
def test_every_vectorisation_trains(tmp_path, overrides):
    assert train(f"run_dir={tmp_path}", "picture=false", *overrides) == 0
    config = to_config(yaml.safe_load((tmp_path / "config.yaml").read_text()))
    assert config.vec_env.kind == next(o[8:] for o in overrides if o.startswith("vec_env="))
    assert len(config.observation.terms) == (10 if "experiment=notes" in overrides else 5)
    steps = [record["global_step"] for record in read_records(tmp_path / "metrics.jsonl")]
    assert steps[-1] == 512


def test_a_robot_of_ones_own_trains(tmp_path, capsys):
    joints = ",".join(f"j{i}" for i in range(1, 8))
    code = train(
        f"run_dir={tmp_path}",
        "picture=false",
        "robot=custom",
        f"robot.mjcf={ROOT / 'tests/assets/arm7.xml'}",
        f"robot.joints=[{joints}]",
        f"robot.actuators=[{joints.replace('j', 'a')}]",
        "robot.tcp_site=tip",
        "robot.home=null",
        "robot.velocity_limits=null",
        "task.region.joint_range=[0.8]",
        "evaluation.also=[near]",
    )
    assert code == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["robot"] == "custom" and summary["also"] == {}
    assert "near is left out, its joint range has 6 items for 7 joints" in capsys.readouterr().out


def test_a_run_that_diverges_ends_with_3(tmp_path, capsys):
    assert train(f"run_dir={tmp_path}", "ppo.learning_rate=1e30") == 3
    status = read_status(tmp_path)
    assert status["state"] == "diverged"
    assert "not finite" in status["reason"] and "ppo.learning_rate=" in status["reason"]
    assert re.search("stopped: .* not finite at step", capsys.readouterr().out)
    assert not (tmp_path / "checkpoints").exists()


def test_a_run_that_cannot_start_leaves_nothing(tmp_path, capsys):
    folder = tmp_path / "run"
    assert train(f"run_dir={folder}", "task.region.box_low=[9,9,9]") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: task.region") and error.count("\n") == 1
    assert not folder.exists()


def test_resume_goes_on_in_the_same_folder(tmp_path, monkeypatch, capsys):
    plain = JsonLinesWriter.write

    def write(self, step, values):
        plain(self, step, values)
        if step == 256:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(JsonLinesWriter, "write", write)
        assert train(f"run_dir={tmp_path}", "picture=false") == 130
    assert read_status(tmp_path)["state"] == "stopped"
    out = capsys.readouterr().out
    assert f"go on with: python -m reach_rl.train resume={tmp_path}" in out
    assert front("train", job, [f"resume={tmp_path}"]) == 0
    steps = [record["global_step"] for record in read_records(tmp_path / "metrics.jsonl")]
    assert steps == [256, 512, 512]
    assert read_status(tmp_path)["state"] == "finished"
    assert front("train", job, [f"resume={tmp_path}", "robot=ur3e"]) == 2
    assert "error: robot.name=ur3e (command line): cannot change" in capsys.readouterr().err


def test_many_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert front("train", job, ["-m", *SMALL, "picture=false", "seed=1,2"]) == 0
    folders = sorted(tmp_path.glob("multirun/*/*/[01]"))
    assert [read_status(folder)["state"] for folder in folders] == ["finished"] * 2
    seeds = [json.loads((folder / "summary.json").read_text())["seed"] for folder in folders]
    assert seeds == [1, 2]
    records = [(folder / "metrics.jsonl").read_text() for folder in folders]
    assert records[0] != records[1]


@pytest.mark.parametrize("kind", ["batch", "subproc"])
def test_sigterm_to_the_whole_group_is_survived_and_saved(tmp_path, kind):
    words = [*SMALL, f"vec_env.kind={kind}", "vec_env.n_envs=2", f"run_dir={tmp_path}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "reach_rl.train", *words, "total_timesteps=1000000"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    records = tmp_path / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (records.exists() and records.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 143, out
    assert "Traceback" not in out
    status = read_status(tmp_path)
    assert (status["state"], status["reason"]) == ("stopped", "SIGTERM")
    latest = checkpoint.read(checkpoint.resolve(tmp_path / "checkpoints", "latest"))
    *_, last = read_records(records)
    assert latest.progress["num_timesteps"] == last["global_step"]


def test_a_stop_while_judging_is_a_stop(tmp_path, monkeypatch):
    from reach_rl.training.session import Session

    plain = Session._judge

    def judge(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return plain(*arguments)

    monkeypatch.setattr(Session, "_judge", judge)
    assert train(f"run_dir={tmp_path}", "picture=false") == 143
    assert read_status(tmp_path)["state"] == "stopped"
    assert not (tmp_path / "summary.json").exists()
    monkeypatch.setattr(Session, "_judge", plain)
    assert front("train", job, [f"resume={tmp_path}"]) == 0
    steps = [record["global_step"] for record in read_records(tmp_path / "metrics.jsonl")]
    assert steps == [256, 512, 512]


def test_a_further_region_is_judged_on_fewer_goals(tmp_path):
    with closing(Session(tmp_path / "run", StopRequest())) as session:
        judged = session._regions(compose(["evaluation.goals=1000"]))
        few = session._regions(compose(["evaluation.goals=8"]))
    assert {name: config.evaluation.goals for name, config in judged.items()} == {
        "front": 1000,
        "near": 250,
    }
    assert few["near"].evaluation.goals == 8
