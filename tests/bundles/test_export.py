"""The verb: what it writes, that it proves itself, and that others can read it."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import onnx
import pytest
import yaml

from reach_rl import evaluate, export
from reach_rl.bundles import onnx_bundle as bundles
from reach_rl.cli.front_door import front
from reach_rl.config import assets_dir
from reach_rl.deploy import Bundle
from reach_rl.deploy.limiter import Limiter
from reach_rl.envs.pool import kinematics
from reach_rl.evaluation.protocol import evaluate as judge
from reach_rl.evaluation.protocol import held_out_goals
from reach_rl.robots import load_robot
from reach_rl.rundir import checkpoint
from reach_rl.training import snapshot
from reach_rl.training.snapshot import TrainedPolicy, policy_of
from tests import reaching
from tests.small_runs import compose

FEW = ("goals=60", "threads=1", "seed=3")


@pytest.fixture(scope="module", autouse=True)
def quick():
    """A proof over fewer observations."""
    patch = pytest.MonkeyPatch()
    patch.setattr(bundles.prove, "__defaults__", (500,))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return reaching.reaching_run(tmp_path_factory.mktemp("runs") / "reaching")


@pytest.fixture(scope="module")
def bundle(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "bundle"
    assert front("export", export.job, [f"run={run}", f"out={out}", *FEW]) == 0
    return out


def verb(capsys, name, job, *argv):
    code = front(name, job, list(argv))
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_bundle_reaches_what_the_checkpoint_reaches(run, bundle, tmp_path, capsys):
    found = {}
    for who in (f"run={run}", f"bundle={bundle}"):
        out = tmp_path / "figures.json"
        code, _, err = verb(
            capsys, "evaluate", evaluate.job, who, f"out={out}", "yardstick=false", *FEW
        )
        assert (code, err) == (0, "")
        found[who[:3]] = json.loads(out.read_text())
    policy, exported = found["run"], found["bun"]
    assert policy["success_rate"] > 0.8
    assert abs(policy["success_rate"] - exported["success_rate"]) <= 0.002
    assert exported["checkpoint"] == reaching.NAME
    for name in ("position_error_mm", "path_ratio", "jerk_rad_s3"):
        assert exported[name]["median"] == pytest.approx(policy[name]["median"], rel=1e-3), name
    contract = json.loads((bundle / "contract.json").read_text())
    assert contract["results"]["success_rate"] == exported["success_rate"]


def test_a_trained_policy_and_its_bundle_reach_the_same(tmp_path):
    """The UR5e that ships, on goals that it never saw."""
    home = assets_dir() / "policies" / "ur5e"
    folder = checkpoint.resolve(home, "best")
    saved = checkpoint.read(folder)
    subject = TrainedPolicy(home, folder, saved.config, saved)
    contract, figures = bundles.write(subject, tmp_path, goals=100, seed=8, threads=1)
    assert contract["proof"]["observations"] == 500
    robot = load_robot(saved.config.robot, saved.config.task.physics_step)
    goals = held_out_goals(saved.config, robot, 100, 8)
    policy = subject.policy
    trained = judge(policy, saved.config, goals, threads=1, robot=robot, seed=8)
    assert trained.success.mean() > 0.9
    assert abs(figures["success_rate"] - trained.success.mean()) <= 0.002


def test_what_is_in_a_bundle(bundle):
    assert {path.name for path in bundle.iterdir()} == {
        "policy.onnx", "contract.json", "golden.npz", "config.yaml", "README.md",
    }  # fmt: skip
    contract = json.loads((bundle / "contract.json").read_text())
    assert contract["control"]["rate_hz"] == 50.0
    assert contract["control"]["path_times_s"] == pytest.approx([0.005, 0.01, 0.015, 0.02])
    assert contract["robot"]["joints"][0] == "shoulder_pan_joint"
    assert contract["proof"]["largest_difference_rad"] < 1e-5
    assert contract["limits"]["velocity_rad_s"] == pytest.approx([np.pi] * 6)
    model = onnx.load(str(bundle / "policy.onnx"))
    assert [i.name for i in model.graph.input] == [i["name"] for i in contract["inputs"]]
    assert [o.name for o in model.graph.output] == [o["name"] for o in contract["outputs"]]
    card = (bundle / "README.md").read_text()
    assert "Nobody has tried it on a real one" in card and "of 60" not in card
    assert f"{contract['results']['success_rate']:.1%}" in card


def strict(text):
    """JSON as strict readers take it: without NaN and Infinity."""

    def refuse(word):
        raise ValueError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


def written_for(xml, tmp_path, goals, *overrides):
    """The bundle of a hand-written policy for a model of one's own."""
    model = tmp_path / "arm.xml"
    model.write_text(xml)
    config = reaching.config_of("robot.name=custom", f"robot.mjcf={model}", *overrides)
    run = reaching.write_run(tmp_path / "run", config, reaching.weights_of(config))
    out = tmp_path / "bundle"
    out.mkdir()
    return bundles.write(snapshot.load(run, "best"), out, goals=goals, seed=3, threads=1), out


def test_an_arm_without_torque_limits(tmp_path):
    """What is unlimited in the model has a finite bound in the contract."""
    xml = (assets_dir() / "robots" / "ur5e.xml").read_text()
    xml = re.sub(r' (forcerange|actuatorfrcrange)="[^"]*"', "", xml)
    _, out = written_for(xml, tmp_path, 0)
    limits = strict((out / "contract.json").read_text())["limits"]
    speed = compose([]).action.speed * np.pi
    assert limits["acceleration_rad_s2"] == pytest.approx([2 * speed / 0.02] * 6)
    assert np.isfinite(limits["target_acceleration_rad_s2"]).all()
    bound = Bundle(out).contract
    limiter = Limiter(bound, 0.002)
    limiter.start(bound.home)
    for _ in range(100):
        limiter.follow(bound.home + 0.3)
    assert np.isfinite(limiter.target).all()


def test_goals_and_poses_are_in_the_frame_of_the_base(tmp_path):
    """An arm that hangs from the ceiling, half turned: its bundle knows no world."""
    xml = (assets_dir() / "robots" / "ur5e.xml").read_text()
    hung = '<body name="base_link" pos="0.3 -0.2 2" quat="0.2 0.9 0.1 -0.3"'
    xml = xml.replace('<body name="base_link"', hung)
    (contract, judged), out = written_for(xml, tmp_path, 30)
    assert contract["proof"]["observations"] == 500
    assert judged["success_rate"] > 0.8
    assert "body base_link" in contract["frames"]["base"]
    assert str(tmp_path) not in (out / "config.yaml").read_text()
    (tmp_path / "arm.xml").unlink()
    argv = [f"bundle={out}", "yardstick=false", "goals=30", "seed=3", "threads=1"]
    figures = tmp_path / "figures.json"
    assert front("evaluate", evaluate.job, [*argv, f"out={figures}"]) == 0
    found = json.loads(figures.read_text())
    assert found["success_rate"] == judged["success_rate"]
    assert "differs_from_training" not in found
    state = {
        "joint_position": np.array([[0.3, -1.2, 1.4, -1.5, -1.0, 0.5]]),
        "joint_velocity": np.zeros((1, 6)),
        "goal_position": np.array([[0.4, 0.3, 0.4]]),
        "goal_quaternion": np.array([[0.0, 1.0, 0.0, 0.0]]),
    }
    robot = load_robot(compose(["robot=ur5e"]).robot)
    there = kinematics(robot)(state["joint_position"])
    said = Bundle(out)(state)
    np.testing.assert_allclose(said["tool_position"], there.position, atol=1e-9)
    assert abs((said["tool_quaternion"] * there.quaternion).sum()) == pytest.approx(1.0)
    gap = np.linalg.norm(state["goal_position"] - there.position)
    assert said["position_error"] == pytest.approx(gap)


def test_a_bundle_that_differs_is_not_written(run, tmp_path, monkeypatch, capsys):
    from reach_rl.bundles import policy_graph

    linear = policy_graph._linear

    def wrong(value, weights, name):
        off = weights[f"{name}.bias"] + (2e-3 if name == "action_net" else 0.0)
        return linear(value, {**weights, f"{name}.bias": off}, name)

    monkeypatch.setattr(policy_graph, "_linear", wrong)
    out = tmp_path / "bundle"
    code, said, _ = verb(capsys, "export", export.job, f"run={run}", f"out={out}", *FEW)
    assert code == 1
    assert "not exported: onnxruntime and torch differ by" in said and "_joint in step" in said
    assert not list(tmp_path.iterdir())


def test_servos_of_another_lag(run, bundle, tmp_path, capsys):
    out = tmp_path / "stiff"
    code, said, _ = verb(
        capsys,
        "export",
        export.job,
        f"run={run}",
        f"out={out}",
        "servo_lag=0.03",
        "goals=20",
        "threads=1",
    )
    assert code == 0 and "of 20 goals" in said
    stiff, soft = Bundle(out), Bundle(bundle)
    state = {
        "joint_position": soft.contract.home[None],
        "joint_velocity": np.zeros((1, 6)),
        "goal_position": np.array([[0.4, 0.3, 0.4]]),
        "goal_quaternion": np.array([[0.0, 1.0, 0.0, 0.0]]),
    }
    leads = [b(state)["joint_target"][0] - b.contract.home for b in (stiff, soft)]
    assert np.abs(leads[0]).max() < 0.6 * np.abs(leads[1]).max()


def test_the_place_is_replaced_or_left_alone(run, tmp_path, capsys):
    out = tmp_path / "bundle"
    few = ("goals=0", "threads=1")
    for _ in range(2):
        assert verb(capsys, "export", export.job, f"run={run}", f"out={out}", *few)[0] == 0
    (out / "thesis.tex").write_text("mine")
    code, _, err = verb(capsys, "export", export.job, f"run={run}", f"out={out}", *few)
    assert code == 2 and "thesis.tex" in err and err.count("\n") == 1
    assert (out / "thesis.tex").read_text() == "mine"


def test_the_hubs_folder(run, tmp_path, capsys):
    out = tmp_path / "ur5e-reach"
    code, _, _ = verb(capsys, "export", export.job, f"run={run}", "format=hub", f"out={out}", *FEW)
    assert code == 0
    _, matter, body = (out / "README.md").read_text().split("---\n", 2)
    tree = yaml.safe_load(matter)
    assert tree["license"] == "apache-2.0" and "reinforcement-learning" in tree["tags"]
    (model,) = tree["model-index"]
    assert model["name"] == "ur5e-reach"
    metrics = {m["type"]: m["value"] for m in model["results"][0]["metrics"]}
    results = json.loads((out / "results.json").read_text())
    assert metrics["success_rate"] == pytest.approx(results["success_rate"])
    assert body.lstrip().startswith("# ur5e")
    Bundle(out)
    assert (out / "policy.safetensors").is_file()
    assert "*.onnx filter=lfs" in (out / ".gitattributes").read_text()


LOAD = """
import sys
sys.modules["reach_rl"] = None  # SB3 alone
import numpy as np
from gymnasium import Env, spaces
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

class Spaces(Env):
    observation_space = spaces.Box(-np.inf, np.inf, (6,), np.float32)
    action_space = spaces.Box(-1, 1, (6,), np.float32)

model = PPO.load("model.zip", device="cpu")
normalizer = VecNormalize.load("vecnormalize.pkl", DummyVecEnv([Spaces]))
seen = np.load(sys.argv[1])
action, _ = model.predict(normalizer.normalize_obs(seen), deterministic=True)
np.save(sys.argv[2], action)
print(model.num_timesteps, model.gamma)
"""


def test_stock_sb3_loads_model_and_normaliser(tmp_path, capsys):
    config = reaching.config_of("observation.normalize=true")
    run = reaching.write_run(tmp_path / "run", config, reaching.weights_of(config))
    out = tmp_path / "sb3"
    code, _, err = verb(capsys, "export", export.job, f"run={run}", "format=sb3", f"out={out}")
    assert (code, err) == (0, "")
    seen = np.random.default_rng(0).normal(0, 0.3, (50, 6)).astype(np.float32)
    np.save(tmp_path / "seen.npy", seen)
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path / "seen.npy"), str(tmp_path / "action.npy")],
        cwd=out,
        env=os.environ | {"PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1234", str(config.ppo.gamma)]
    wanted = policy_of(checkpoint.read(run / "checkpoints" / reaching.NAME))(seen)
    np.testing.assert_allclose(np.load(tmp_path / "action.npy"), wanted, atol=1e-6)


def test_mistakes_are_one_line(run, bundle, tmp_path, capsys):
    for argv, words in (
        ((f"run={tmp_path}/none",), "no such folder"),
        ((f"run={run}", "format=tflite"), "onnx"),
        ((f"run={run}", f"out={bundle / 'contract.json'}"), "is a file"),
    ):
        code, _, err = verb(capsys, "export", export.job, *argv)
        assert code == 2 and err.startswith("error: ") and err.count("\n") == 1 and words in err
    for argv, words in (
        ((f"bundle={run}",), "not a bundle"),
        ((f"bundle={bundle}", "task=near", "task.substeps=5"), "task.substeps=5"),
    ):
        code, _, err = verb(capsys, "evaluate", evaluate.job, *argv)
        assert code == 2 and words in err and err.count("\n") == 1
