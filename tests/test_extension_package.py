"""A package outside of the checkout, built as a wheel, installed by pip, and all that it can do."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from reach_rl.cli.front_door import front
from reach_rl.rundir import checkpoint
from tests.extending import forget_all, fresh

FILES = {
    "pyproject.toml": """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "lab_terms"
version = "0.3"
[project.entry-points.reach_rl]
lab = "lab_terms.terms"
""",
    "lab_terms/__init__.py": "",
    "lab_terms/terms.py": """\
import numpy as np
from reach_rl.extend import metric, observation_term, reward_term
@reward_term
def low_tool(state, arm, *, height: float = 0.6):
    return np.maximum(0.0, height - state.tool_position[:, 2])
@observation_term
def tool_height(state, arm):
    return state.tool_position[:, 2:3]
@observation_term
def sorted_joints(state, arm):
    return np.sort(state.joint_position, axis=1)
@metric(unit="m", better="up")
def tool_above(state, arm):
    return state.tool_position[:, 2]
""",
    "lab_terms/conf/experiment/lab.yaml": """\
# @package _global_
# Small, and with terms of the lab.   python -m reach_rl.train experiment=lab
defaults: [debug]
reward: {terms: {low_tool: {weight: -0.1, height: 0.5}}}
observation: {terms: {tool_height: {}}}
""",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder that pip has installed the wheel into; it is on this process's path."""
    source = tmp_path_factory.mktemp("lab")
    for name, text in FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    built = ["wheel", "--no-build-isolation", "--no-deps", "-w", source / "dist", source]
    subprocess.run([*pip, *built], check=True)
    (wheel,) = (source / "dist").glob("*.whl")
    target = source / "site"
    install = ["install", "--no-deps", "--no-compile", "--no-index", "--target", target, wheel]
    subprocess.run([*pip, *install], check=True)
    with fresh(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, str(target)])
        patch.setenv("PYTHONPATH", os.pathsep.join([os.environ["PYTHONPATH"], str(target)]))
        forget_all()
        yield target


@pytest.fixture(scope="module")
def folder(site, tmp_path_factory):
    """Where the runs are."""
    return tmp_path_factory.mktemp("runs")


def call(verb, *words):
    return front(verb, import_module(f"reach_rl.{verb}").job, list(words))


@pytest.fixture(scope="module")
def whole(folder):
    """A run that nothing disturbed."""
    assert call("train", "experiment=lab", f"run_dir={folder / 'whole'}") == 0
    return folder / "whole"


def test_the_package_is_short():
    lines = "".join(FILES.values()).splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 40


def test_it_trains_and_is_recorded(whole):
    made = json.loads((whole / "provenance.json").read_text())["extensions"]["lab_terms"]
    assert made["version"] == "0.3" and len(made["sha256"]) == 64
    assert {"reward_term low_tool", "observation_term tool_height"} <= set(made["registers"])
    assert "metric rollout/tool_above" in made["registers"]
    records = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert any("rollout/tool_above" in record for record in records)


def test_it_goes_on_bit_by_bit_after_a_kill(whole, folder):
    run = folder / "killed"
    command = [sys.executable, "-m", "reach_rl.train", "experiment=lab", f"run_dir={run}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not (run / "checkpoints" / "step_000000000512").is_dir() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for later in sorted((run / "checkpoints").glob("step_*"))[1:]:  # of a process that was quick
        shutil.rmtree(later)
    assert call("train", f"resume={run}") == 0
    one, two = (checkpoint.read(f / "checkpoints" / "step_000000001024") for f in (whole, run))
    for part in ("policy", "optimizer", "normalizer", "environment"):
        for name, value in getattr(one, part).items():
            np.testing.assert_array_equal(value, getattr(two, part)[name], err_msg=name)


def test_it_is_judged_and_exported(whole):
    assert call("evaluate", f"run={whole}", "goals=4", "yardstick=false") == 0
    assert call("export", f"run={whole}", "goals=4") == 0
    assert call("evaluate", f"bundle={whole / 'export_onnx'}", "goals=4", "yardstick=false") == 0


def test_a_term_without_a_graph_is_exported_as_the_observation(folder, capsys):
    run = folder / "sorted"
    words = ["observation.terms.sorted_joints={}", "total_timesteps=512"]
    assert call("train", "experiment=lab", *words, f"run_dir={run}") == 0
    capsys.readouterr()
    assert call("export", f"run={run}", "goals=4") == 2
    assert "sorted_joints" in capsys.readouterr().err
    assert call("export", f"run={run}", "goals=4", "format=onnx_observation") == 0


def test_workers_know_it(folder):
    words = ["vec_env=subproc", "vec_env.n_envs=2", "total_timesteps=128", "ppo.n_steps=32"]
    words += ["evaluation.every=128", "checkpoint.every=128", f"run_dir={folder / 'workers'}"]
    assert call("train", "experiment=lab", *words) == 0


def test_a_search_by_joblib_optimises_its_metric(folder):
    words = ["-m", "sweep=search", "experiment=lab", "hydra/launcher=joblib"]
    words += ["reward.terms.low_tool.height=interval(0.3,0.6)", "hydra.sweeper.n_trials=2"]
    words += ["hydra.sweeper.confirm_seeds=0", "hydra.sweeper.objective=evaluation.tool_above"]
    words += ["hydra.launcher.n_jobs=2", "hydra/sweeper/pruner=none", "total_timesteps=512"]
    words += [f"hydra.sweep.dir={folder / 'search'}", "hydra.sweeper.study_name=lab"]
    words += [f"hydra.sweeper.preset_dir={folder}"]
    assert call("train", *words) == 0
    found = [json.loads(p.read_text()) for p in folder.glob("search/*/summary.json")]
    assert len(found) == 2 and all("tool_above" in f["evaluation"] for f in found)


def test_without_the_package_the_run_says_what_to_install(whole, site):
    env = os.environ | {"PYTHONPATH": os.environ["PYTHONPATH"].replace(str(site), "")}
    command = [sys.executable, "-m", "reach_rl.evaluate", f"run={whole}"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=Path(whole).parent)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "python -m pip install lab_terms==0.3" in done.stderr
