"""The entry point, on a run's folder with an untrained policy."""

import json
from dataclasses import replace

import pytest

from reach_rl.cli.front_door import front
from reach_rl.envs.batch import ReachBatch
from reach_rl.evaluate import job
from reach_rl.learning.policy import bare_network
from tests import reaching
from tests.small_runs import compose


def write_run(folder, overrides=()):
    """A run's folder with one checkpoint, the newest, of a network that has learned nothing."""
    config = compose(["task.episode_steps=30", *overrides])
    network = bare_network(config, ReachBatch(config, 1).observe.size, 6)
    weights = {name: value.detach().numpy() for name, value in network.state_dict().items()}
    return reaching.write_run(folder, config, weights, step=12, pointer="latest")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "untrained")


def evaluate(capsys, *argv, goals=6):
    code = front("evaluate", job, ["yardstick=false", f"goals={goals}", "threads=1", *argv])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_figures_in_the_table_and_in_the_file(run, tmp_path, capsys):
    out = tmp_path / "figures.json"
    code, said, err = evaluate(capsys, f"run={run}", f"out={out}")
    assert (code, err) == (0, "")
    figures = json.loads(out.read_text())
    assert figures["goals"] == 6
    assert figures["checkpoint"] == "step_000000000012"
    assert (figures["seed"], figures["region"], figures["robot"]) == (7, "front", "ur5e")
    assert "0.0%" in said and "front" in said and "Worst goals" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures.json"]


def test_same_command_same_figures(run, tmp_path, capsys):
    for name in ("a", "b"):
        evaluate(capsys, f"run={run}", f"out={tmp_path / name}", "seed=3")
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text()


def test_another_task(run, tmp_path, capsys):
    out = tmp_path / "figures.json"
    arguments = ("task=near", "task.episode_steps=28", "task.position_threshold=0.05")
    code, said, _ = evaluate(capsys, f"run={run}", f"out={out}", *arguments)
    assert code == 0
    figures = json.loads(out.read_text())
    assert figures["region"] == "near" and figures["episode_s"] == pytest.approx(0.56)
    assert figures["thresholds"]["position_m"] == 0.05
    assert "near" in said


def test_the_run_s_own_task_tightened(run, tmp_path, capsys):
    out = tmp_path / "figures.json"
    arguments = ("task.position_threshold=0.005", "servo_lag=0.05")
    code, said, _ = evaluate(capsys, f"run={run}", f"out={out}", *arguments)
    assert code == 0
    figures = json.loads(out.read_text())
    assert figures["episode_s"] == pytest.approx(0.6)
    assert figures["thresholds"]["position_m"] == 0.005
    assert figures["differs_from_training"] == {
        "task.position_threshold": {"trained": 0.02, "judged": 0.005},
        "robot.servo_lag": {"trained": None, "judged": 0.05},
    }
    assert "differs from training: " in said
    assert "task.position_threshold=0.005 (was 0.02)" in said


def assert_refused(answer, *words):
    code, _, err = answer
    assert code == 2
    assert err.startswith("error: ") and err.count("\n") == 1, err
    for word in words:
        assert word in err


def test_mistakes_are_one_line(run, tmp_path, capsys):
    assert_refused(evaluate(capsys, f"run={tmp_path / 'none'}"), "none", "no such folder")
    assert_refused(evaluate(capsys, f"run={run}", "checkpoint=step_1"), "no such checkpoint")
    nowhere = tmp_path / "nowhere" / "figures.json"
    assert_refused(evaluate(capsys, f"run={run}", f"out={nowhere}"), "no folder")
    assert_refused(evaluate(capsys, f"run={run}", f"out={tmp_path}"), "is a folder")


def test_a_run_without_a_checkpoint(run, tmp_path, capsys):
    (tmp_path / "config.yaml").write_text((run / "config.yaml").read_text())
    assert_refused(evaluate(capsys, f"run={tmp_path}"), "saved yet")


def test_a_damaged_checkpoint(tmp_path, capsys):
    run = write_run(tmp_path / "run")
    weights = run / "checkpoints" / "step_000000000012" / "policy.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    assert_refused(evaluate(capsys, f"run={run}"), "damaged", "policy.safetensors")


def test_a_damaged_configuration(run, tmp_path, capsys):
    (tmp_path / "config.yaml").write_text("seed: [1")
    assert_refused(evaluate(capsys, f"run={tmp_path}", f"checkpoint={run}"), "config.yaml")


def test_a_checkpoint_that_sees_something_else(run, tmp_path, capsys):
    other = write_run(tmp_path / "notes", ["observation=notes"])
    foreign = other / "checkpoints" / "step_000000000012"
    assert_refused(evaluate(capsys, f"run={run}", f"checkpoint={foreign}"), "observation")


def test_key_points_stay_those_of_the_run(run, monkeypatch, capsys):
    seen = []
    from reach_rl.evaluation import protocol

    evaluate_ = protocol.evaluate

    def spy(policy, config, goals, **options):
        seen.append(config.task)
        return evaluate_(policy, config, goals, **options)

    monkeypatch.setattr(protocol, "evaluate", spy)
    evaluate(capsys, f"run={run}", "task=near", "task.keypoint_offset=0.3")
    assert seen[0].keypoint_offset == compose([]).task.keypoint_offset
    assert replace(seen[0].region, name="") == replace(compose(["task=near"]).task.region, name="")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return reaching.reaching_run(tmp_path_factory.mktemp("runs") / "good", "seed=1")


def test_the_policy_beside_the_yardstick(good, tmp_path, capsys):
    out = tmp_path / "figures.json"
    code, said, _ = evaluate(capsys, f"run={good}", f"out={out}", "yardstick=true", goals=12)
    assert code == 0
    header = next(line for line in said.splitlines() if "yardstick" in line)
    assert "policy" in header
    figures = json.loads(out.read_text())
    assert figures["yardstick"]["goals"] == figures["goals"] == 12
    assert figures["yardstick"]["success_rate"] == 1.0
    assert figures["yardstick"]["seed"] == figures["seed"]
    for words in ("action rate", "joint path", "jerk", "self-collision", "table collision"):
        assert words in said


def test_worst_goals_say_what_happened(run, tmp_path, capsys):
    out = tmp_path / "figures.json"
    _, said, _ = evaluate(capsys, f"run={run}", f"out={out}")
    worst = json.loads(out.read_text())["worst"]
    assert "Worst goals" in said and "too far" in said
    assert all("too far away" in goal["outcome"] for goal in worst)


def test_servos_of_another_lag(good, tmp_path, capsys):
    found = {}
    for lag in ("null", "0.03"):
        out = tmp_path / f"{lag}.json"
        evaluate(capsys, f"run={good}", f"servo_lag={lag}", f"out={out}", goals=12)
        found[lag] = json.loads(out.read_text())
    assert found["0.03"]["success_rate"] > 0.8
    jerks = [figures["jerk_rad_s3"]["median"] for figures in found.values()]
    assert jerks[0] != pytest.approx(jerks[1], rel=1e-3)


def test_runs_against_one_another(good, run, tmp_path, capsys):
    out = tmp_path / "figures.json"
    same = reaching.reaching_run(tmp_path / "same")
    runs = f"runs=[{good},{run},{same}]"
    code, said, err = evaluate(
        capsys, runs, f"out={out}", "task=front", "task.episode_steps=200", goals=40
    )
    assert (code, err) == (0, "")
    figures = json.loads(out.read_text())
    assert set(figures["runs"]) == {"good", "untrained", "same"}
    pairs = {(p["first"], p["second"]): p for p in figures["pairs"]}
    worse, equal = pairs["good", "untrained"]["success"], pairs["good", "same"]["success"]
    assert worse["paired"] and worse["more_than_noise"] and worse["high"] < 0
    assert not equal["more_than_noise"] and equal["value"] == 0.0
    assert "untrained against good" in said and "points less than good" in said
    assert said.count("more than noise") >= 2 and "position error, median: the same" in said


def test_robustness(good, tmp_path, capsys, monkeypatch):
    from reach_rl.evaluation import perturbations

    monkeypatch.setattr(perturbations, "_GAINS", (1.0,))
    monkeypatch.setattr(perturbations, "_DELAYS", (0.0,))
    monkeypatch.setattr(perturbations, "_FRICTION", (0.0, 1.0))
    monkeypatch.setattr(perturbations, "_NOISES", (0.0,))
    monkeypatch.setattr(perturbations, "_lags", lambda *_: (0.2,))
    few = ("robustness=true", "robustness_goals=8", "task=front", "task.episode_steps=100")
    out = tmp_path / "figures.json"
    code, said, err = evaluate(capsys, f"run={good}", f"out={out}", *few, goals=16)
    assert (code, err) == (0, "")
    found = json.loads(out.read_text())["robustness"]
    assert set(found) == {
        "payload", "servo_gain", "servo_lag", "joint_friction", "sensor_noise", "action_delay",
        "control_rate",
    }  # fmt: skip
    assert all(point["goals"] == 8 for factor in found.values() for point in factor["points"])
    at = {p["value"]: p["success_rate"] for p in found["joint_friction"]["points"]}
    assert at[0.0] > 0.8 and at[1.0] == 0.0  # nothing moves
    assert "action delay" in said and "joint friction: success falls at 1 (0%)" in said
    picture = tmp_path / "figures.png"
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 20_000
    assert not (good / "robustness.json").exists()


def test_robustness_stays_with_the_run_where_no_place_is_given(good, capsys, monkeypatch):
    from reach_rl.evaluation import perturbations

    monkeypatch.setattr(perturbations, "factors", lambda *_: [])
    monkeypatch.setattr("reach_rl.viz.plots.robustness", lambda found, path, title: path.touch())
    assert evaluate(capsys, f"run={good}", "robustness=true", "robustness_goals=2")[0] == 0
    assert json.loads((good / "robustness.json").read_text()) == {"checkpoint": reaching.NAME}
    assert (good / "robustness.png").exists()


def test_what_to_judge_is_said_once(run, capsys):
    assert_refused(evaluate(capsys), "nothing to judge", "run=DIR")
    assert_refused(evaluate(capsys, f"run={run}", f"runs=[{run}]"), "runs=", "give one of them")
    assert_refused(evaluate(capsys, f"runs=[{run}]", "robustness=true"), "give run=DIR")
    assert_refused(evaluate(capsys, f"runs=[{run},{run}x]"), "no such folder")
