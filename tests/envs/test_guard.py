"""Physics whose numbers go bad: seen in the same step, told with what led to it, replayed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reach_rl.config.load import ConfigError
from reach_rl.envs import replay
from reach_rl.envs.batch import ReachBatch
from reach_rl.envs.guard import hush
from reach_rl.envs.gym_env import ReachEnv
from reach_rl.envs.vec_env import BatchVecEnv
from tests.envs.conftest import EVERYTHING

STEPS = 70
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def quiet_mujoco():
    hush()


@pytest.fixture
def batch(make):
    """Six arms with everything random, in the midst of their second episode."""
    batch = ReachBatch(make(randomization=EVERYTHING, episode_steps=60), 6)
    batch.keep_history()
    batch.reset()
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        batch.step(rng.uniform(-1, 1, (6, 6)))
    return batch


def nan_velocity(batch):
    batch.batch.bind("qvel")[2, 4] = np.nan


def nan_position(batch):
    batch.batch.state[2, 1 + 3] = np.nan


def absurd_model(batch):
    """Joints that are driven by their own speed; servos cannot hold them."""
    batch.batch.expand("dof_damping")[2] = -3e3


def wild_speed(batch):
    batch.batch.bind("qvel")[2, 1] = 5e4


BAD = (nan_velocity, nan_position, absurd_model, wild_speed)


@pytest.mark.parametrize("spoil", BAD)
def test_a_bad_simulation_ends_its_episode_and_only_it(batch, spoil):
    spoil(batch)
    for _ in range(20):
        step = batch.step(np.full((6, 6), 0.5))
        assert np.isfinite(step.observation).all() and np.isfinite(step.reward).all()
        assert np.abs(step.observation).max() < 1e3
        if step.timed_out.any():
            break
    assert step.timed_out.tolist() == [False, False, True, False, False, False]
    assert step.reward[2] == 0.0
    assert np.isfinite(step.last_observation).all()
    assert batch.age[2] == 0
    finished = batch.episodes.drain()
    assert finished.physics_resets == 1
    assert not finished.goals[-1, 0]
    (incident,) = batch.guard.taken()
    assert incident.row == 2 and batch.guard.taken() == []
    again = batch.step(np.zeros((6, 6)))
    assert spoil is absurd_model or not again.timed_out.any()


def test_the_incident_names_warning_and_joint(batch):
    nan_velocity(batch)
    batch.step(np.zeros((6, 6)))
    (incident,) = batch.guard.taken()
    assert (incident.warning, incident.joint) == ("BADQVEL", "wrist_2_joint")


def test_what_mujoco_lets_pass_is_wild(batch):
    """A speed that no arm has, at the end of a step that MuJoCo had no complaint about."""
    batch.batch.bind("qvel")[4, 3] = -2e3
    assert batch.guard.detect().tolist() == [i == 4 for i in range(6)]
    (incident,) = batch.guard.taken()
    assert (incident.row, incident.warning, incident.joint) == (4, "WILD", "wrist_1_joint")
    assert np.abs(batch.batch.bind("qvel")[4]).max() == 0.0
    assert not batch.guard.detect().any()


def test_one_incident_is_told_once(make):
    """Also where nobody begins the next episode."""
    batch = ReachBatch(make(), 3, autoreset=False)
    batch.reset()
    nan_velocity(batch)
    assert batch.step(np.zeros((3, 6))).timed_out[2]
    assert not batch.step(np.zeros((3, 6))).timed_out.any()
    assert len(batch.guard.taken()) == 1


def test_history_is_that_of_the_episode(batch):
    """Ten steps into its second episode an arm has ten steps to tell of, and then eleven."""
    nan_velocity(batch)
    before = batch.target[2].copy()
    batch.step(np.linspace(-1, 1, 36).reshape(6, 6))
    (incident,) = batch.guard.taken()
    arrays = incident.arrays
    assert {name: len(a) for name, a in arrays.items() if not name.startswith("model.")} == {
        "states": 11,
        "targets": 11,
    }
    np.testing.assert_array_equal(arrays["targets"][-2, -1], before)
    assert arrays["targets"].shape == (11, 4, 6)
    assert {"model.body_mass", "model.actuator_gainprm"} <= arrays.keys()


def test_without_history_nothing_is_kept(make):
    batch = ReachBatch(make(), 3)
    batch.reset()
    nan_velocity(batch)
    batch.step(np.zeros((3, 6)))
    assert batch.guard.taken()[0].arrays == {}


def test_a_reset_at_every_step_is_seen_at_every_step(batch):
    for _ in range(3):
        nan_velocity(batch)
        assert batch.step(np.zeros((6, 6))).timed_out[2]


def test_every_face_hands_the_incident_on(make):
    env = BatchVecEnv(ReachBatch(make(), 3), truncate_at_goal_change=True, stagger=False)
    env.reset()
    nan_velocity(env.batch)
    _, _, done, infos = env.step(np.zeros((3, 6)))
    assert done.tolist() == [False, False, True]
    assert infos[2]["physics"].joint == "wrist_2_joint" and infos[2]["TimeLimit.truncated"]
    assert "physics" not in infos[0]
    single = ReachEnv(make())
    single.reset(seed=1)
    single.batch.batch.bind("qvel")[0, 4] = np.inf
    observation, reward, terminated, truncated, info = single.step(np.zeros(6, np.float32))
    assert truncated and not terminated and reward == 0.0
    assert info["physics"].warning == "BADQVEL" and not info["is_success"]
    assert np.isfinite(observation).all()


def test_a_restored_batch_has_no_past(batch, make):
    snapshot = batch.snapshot()
    other = ReachBatch(make(randomization=EVERYTHING, episode_steps=60), 6)
    other.keep_history()
    other.restore(snapshot)
    nan_velocity(other)
    assert other.step(np.zeros((6, 6))).timed_out.tolist() == [i == 2 for i in range(6)]
    assert len(other.guard.taken()[0].arrays["states"]) == 1


@pytest.fixture
def dump(batch, tmp_path):
    """The file of an arm that was knocked hard, and went bad some steps later."""
    batch.batch.bind("qvel")[2, :3] = 900.0  # below what counts as wild
    for name in ("actuator_gainprm", "actuator_biasprm"):
        batch.batch.expand(name)[2] *= 1e5
    rng = np.random.default_rng(1)
    for _ in range(40):
        if batch.step(rng.uniform(-1, 1, (6, 6))).timed_out[2]:
            break
    (incident,) = batch.guard.taken()
    return replay.write(tmp_path / "health", incident, 1234, batch.config, batch.robot)


def test_the_command_replays_it_in_another_process(dump):
    known = json.loads(dump.read_text())
    assert dump.name == "physics_reset_000000001234_0002.json"
    assert known["replay"] == f"python -m reach_rl.envs.replay {dump}"
    command = [sys.executable, *known["replay"].split()[1:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{known['warning']} at {known['joint']}" in done.stdout
    assert "\nreproduced " in done.stdout
    assert done.stderr == ""


def test_another_end_is_not_taken_for_a_replay(dump):
    arrays = dict(np.load(dump.with_suffix(".npz")))
    tame = {name: array for name, array in arrays.items() if not name.startswith("model.act")}
    np.savez(
        dump.with_suffix(".npz"),
        **{**tame, "states": np.repeat(tame["states"][:1], len(tame["states"]), 0)},
    )
    text, same = replay.report(dump)
    assert not same
    assert "not reproduced" in text


def test_a_changed_model_is_noticed(dump):
    known = json.loads(dump.read_text())
    known["config"]["robot"]["servo_lag"] = 0.31
    dump.write_text(json.dumps(known))
    assert "the model has changed since" in replay.report(dump)[0]


def changed(path, **changes):
    """Write the arrays anew with some of them changed."""
    arrays = dict(np.load(path.with_suffix(".npz")))
    arrays |= {name: change(arrays[name]) for name, change in changes.items()}
    np.savez(path.with_suffix(".npz"), **arrays)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_text("{"),
        lambda path: path.write_text("[1]"),
        lambda path: path.write_text('{"format": 1}'),
        lambda path: path.with_suffix(".npz").write_bytes(b"PK\x03\x04 torn"),
        lambda path: np.savez(path.with_suffix(".npz"), states=np.zeros((3, 3))),
        lambda path: path.with_suffix(".npz").unlink(),
        lambda path: path.write_text(path.read_text().replace('"ur5e"', '"ur5f"')),
        lambda path: changed(path, targets=lambda a: a[:, :, :3]),
        lambda path: changed(path, states=lambda a: a[:, :9]),
        lambda path: changed(path, **{"model.body_mass": lambda a: a[:2]}),
    ],
)
def test_a_damaged_file_is_one_line(dump, spoil, capsys):
    spoil(dump)
    with pytest.raises(ConfigError) as caught:
        replay.report(dump)
    assert len(caught.value.problems) == 1
    assert replay.main([str(dump)]) == 2
    assert capsys.readouterr().err.startswith("error: ")
