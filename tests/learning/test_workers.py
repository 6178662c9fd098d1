"""Environments in processes of their own: one that dies, raises or hangs is replaced."""

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from stable_baselines3.common.vec_env import SubprocVecEnv

from reach_rl.learning.workers import WorkerFailure, WorkerVecEnv
from reach_rl.monitoring.record import read_records
from reach_rl.rundir import checkpoint
from reach_rl.rundir.status import read_status
from reach_rl.training.loop import TrainingLoop
from reach_rl.training.session import train

TIMEOUT = 1.5


class Counting(gymnasium.Env):
    """Shows its seed and how many steps it made; does what the action says."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float64)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, index):
        self.index, self.seed, self.steps, self.setting = index, -1, 0, 0

    def _seen(self):
        return np.array([self.seed, self.steps, self.setting], np.float64)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seed, self.steps = (self.seed if seed is None else seed), 0
        return self._seen(), {"began": self.index}

    def step(self, action):
        if action[0] == 2:
            raise ValueError("an absurd action")
        if action[0] == 3:
            os._exit(7)
        if action[0] == 4:
            where_it_hangs()
        self.steps += 1
        return self._seen(), 1.0, False, self.steps == 5, {}

    def apply(self, setting):
        self.setting = setting


def where_it_hangs():
    time.sleep(1000)


@dataclass(frozen=True)
class Make:
    index: int

    def __call__(self):
        return Counting(self.index)


def actions(first, *others):
    return np.array([[first], *([o] for o in others)], np.float32)


@pytest.fixture
def two(request):
    """Two workers that have begun their episodes with seeds 10 and 11 and made two steps."""
    method = getattr(request, "param", "fork")
    env = WorkerVecEnv([Make(0), Make(1)], method, TIMEOUT, 2)
    env.env_method("apply", 5)
    env.seed(10)
    env.reset()
    for _ in range(2):
        observation, *_ = env.step(actions(0, 0))
    assert observation.tolist() == [[10, 2, 5], [11, 2, 5]]
    yield env
    env.close()


def check_replaced(env, stepped):
    """Environment 1 was cut off and began anew with a seed of its own; environment 0 went on."""
    observation, reward, done, info = stepped
    assert observation.tolist() == [[10, 3, 5], [13, 0, 5]]
    assert reward.tolist() == [1, 0]
    assert done.tolist() == [False, True]
    assert info[1]["TimeLimit.truncated"]
    assert info[1]["terminal_observation"].tolist() == [11, 2, 5]
    again = env.step(actions(0, 0))
    assert again[0].tolist() == [[10, 4, 5], [13, 1, 5]]
    assert not again[2].any()
    (text,) = env.taken()
    assert env.taken() == []
    return text


@pytest.mark.parametrize("two", ["fork", "forkserver"], indirect=True)
def test_a_killed_worker_is_replaced(two):
    pid = two.processes[1].pid
    os.kill(pid, signal.SIGKILL)
    begin = time.monotonic()
    text = check_replaced(two, two.step(actions(0, 0.25)))
    assert time.monotonic() - begin < 30
    assert text.startswith(
        f"the worker of environment 1 (process {pid}, seed 11) was killed by SIGKILL; asked for "
        "step; last action [0.25]"
    )
    assert not Path(f"/proc/{pid}").exists()


def test_a_stopped_worker_is_replaced(two):
    pid = two.processes[1].pid
    os.kill(pid, signal.SIGSTOP)
    text = check_replaced(two, two.step(actions(0, 0.25)))
    assert "does not answer for 1.5 s, nor tells where it is (it is stopped)" in text
    assert not Path(f"/proc/{pid}").exists()


def test_a_hanging_worker_tells_where_it_is(two):
    begin = time.monotonic()
    text = check_replaced(two, two.step(actions(0, 4)))
    assert time.monotonic() - begin < 30
    assert "does not answer for 1.5 s" in text and "where_it_hangs" in text


def test_an_exception_in_a_worker_comes_with_its_traceback(two):
    text = check_replaced(two, two.step(actions(0, 2)))
    assert "raised an exception; asked for step; last action [2.]" in text
    assert "ValueError: an absurd action" in text and "Traceback" in text


def test_a_worker_that_dies_between_steps_begins_anew_at_the_next(two):
    """What is asked of it is answered by the new one; the learner sees the cut with its step."""
    os.kill(two.processes[1].pid, signal.SIGKILL)
    assert two.get_attr("steps") == [2, 0]
    observation, reward, done, info = two.step(actions(0, 0))
    assert observation.tolist() == [[10, 3, 5], [13, 1, 5]]
    assert reward.tolist() == [1, 0] and done.tolist() == [False, True]
    assert info[1]["terminal_observation"].tolist() == [11, 2, 5]
    assert len(two.taken()) == 1


def test_once_too_often_is_a_failure(two):
    two.step(actions(3, 0))
    two.step(actions(0, 3))
    with pytest.raises(WorkerFailure, match="died with exit code 7") as failure:
        two.step(actions(0, 3))
    assert "no more are replaced; see vec_env.worker_restarts" in str(failure.value)
    assert len(two.taken()) == 2
    begin = time.monotonic()
    two.close()
    assert time.monotonic() - begin < 10


def test_answers_that_nobody_waited_for_are_left_out(two):
    """After a failure or an interrupt, the others have answered a step that nobody has read."""
    two.step_async(actions(0, 0))
    assert two.get_attr("steps") == [3, 3]


def test_closing_does_not_wait_for_a_stopped_worker(two):
    pids = [process.pid for process in two.processes]
    os.kill(pids[0], signal.SIGSTOP)
    begin = time.monotonic()
    two.close()
    assert time.monotonic() - begin < 10
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


class Broken(Make):
    def __call__(self):
        raise RuntimeError("no such arm")


def test_an_environment_that_cannot_be_made_is_not_tried_again():
    with pytest.raises(WorkerFailure, match="no such arm"):
        WorkerVecEnv([Broken(0)], "fork", TIMEOUT, 3)


def test_the_results_are_those_of_sb3():
    envs = [
        SubprocVecEnv([Make(0), Make(1)], "fork"),
        WorkerVecEnv([Make(0), Make(1)], "fork", TIMEOUT, 0),
    ]
    told = []
    for env in envs:
        env.seed(3)
        seen = [env.reset().tolist(), env.reset_infos]
        for i in range(7):
            observation, reward, done, info = env.step(actions(0.1 * i, 0))
            for entry in info:
                entry.update({k: v.tolist() for k, v in entry.items() if k.startswith("term")})
            seen.append((observation.tolist(), reward.tolist(), done.tolist(), info))
        seen += [env.get_attr("steps"), env.env_method("apply", 1, indices=[1])]
        told.append(seen)
        env.close()
    assert told[0] == told[1]


def subproc(small, *more):
    return small(
        "vec_env.kind=subproc",
        "vec_env.n_envs=2",
        "ppo.n_steps=64",
        "total_timesteps=384",
        "vec_env.worker_timeout=5",
        "vec_env.start_method=fork",
        *more,
    )


@pytest.fixture
def deadly(monkeypatch):
    """Kills a worker in the middle of the rollouts that end at the given steps."""

    def at(*ends):
        plain = TrainingLoop._iterate

        def iterate(run):
            step, remote = run.model.num_timesteps, run.env.venv.remotes[1]
            if step + 128 in ends:
                send = remote.send

                def sends(message):
                    send(message)
                    if message[0] == "step" and remote.process.pid == pid:
                        os.kill(pid, signal.SIGKILL)

                pid, remote.send = remote.process.pid, sends
            return plain(run)

        monkeypatch.setattr(TrainingLoop, "_iterate", iterate)

    return at


def test_a_run_goes_on_after_a_worker_died(small, tmp_path, deadly):
    deadly(256)
    assert isinstance(train(subproc(small), tmp_path), dict)
    records = list(read_records(tmp_path / "metrics.jsonl"))
    restarts = [r["health/worker_restarts"] for r in records if "health/worker_restarts" in r]
    assert restarts == [0, 1, 1]
    (alert,) = [r for r in records if "health/alert" in r]
    assert alert["health/alert"] == "a worker was replaced" and alert["global_step"] == 256
    assert "environment 1" in alert["health/alert_text"]


def test_a_run_whose_workers_die_too_often_fails_with_all_saved(small, tmp_path, deadly, capsys):
    deadly(384)
    config = subproc(small, "vec_env.worker_restarts=0")
    assert train(config, tmp_path) == 1
    said = capsys.readouterr().out
    assert "failed: the worker of environment 1" in said and "killed by SIGKILL" in said
    assert "step_000000000256 is good; go on from it with: python -m reach_rl.train" in said
    status = read_status(tmp_path)
    assert status["state"] == "failed" and "killed by SIGKILL" in status["reason"]
    saved = checkpoint.read(checkpoint.resolve(tmp_path / "checkpoints", "latest"))
    assert saved.progress["num_timesteps"] == 256
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    assert [r["global_step"] for r in records] == [128, 256]
