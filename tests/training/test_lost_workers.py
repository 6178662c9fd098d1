"""A process of vec_env=subproc that dies ends the run at once, with everything saved."""

import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest

from reach_rl.envs.vec_env import WorkerLost, make_vec_env
from reach_rl.rundir import checkpoint
from reach_rl.rundir.status import read_status
from reach_rl.training.loop import TrainingLoop
from reach_rl.training.session import train


def subproc(small, *more):
    words = ("vec_env.kind=subproc", "vec_env.n_envs=3", "ppo.n_steps=64", "ppo.batch_size=48")
    return small(*words, "total_timesteps=576", "guard.dumps=0", *more)


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_a_worker_that_dies_within_a_step_is_told_at_once(small, method):
    env = make_vec_env(subproc(small, f"vec_env.start_method={method}"))
    env.reset()
    actions = np.zeros((3, 6), np.float32)
    env.step(actions)
    os.kill(env.processes[2].pid, signal.SIGSTOP)  # in the middle of its step
    env.step_async(actions)
    os.kill(env.processes[2].pid, signal.SIGKILL)
    begin = time.monotonic()
    with pytest.raises(WorkerLost, match=r"environment 2 has died \(killed by SIGKILL\)"):
        env.step_wait()
    with pytest.raises(WorkerLost):
        for _ in range(3):  # whatever is asked of it later
            env.step(actions)
    env.close()
    assert time.monotonic() - begin < 20
    assert not any(process.is_alive() for process in env.processes)


def test_a_worker_that_raises_is_told_of(small, capfd):
    env = make_vec_env(subproc(small, "vec_env.start_method=fork"))
    env.reset()
    with pytest.raises(WorkerLost, match=r"environment 0 has died \(exit code 1\)"):
        env.env_method("no_such_method")
    env.close()
    assert "no_such_method" in capfd.readouterr().err  # the worker's own traceback


def test_a_stopped_worker_does_not_hold_up_the_end(small, monkeypatch):
    monkeypatch.setattr("reach_rl.envs.vec_env._PATIENCE", 0.2)
    env = make_vec_env(subproc(small, "vec_env.start_method=fork"))
    os.kill(env.processes[1].pid, signal.SIGSTOP)
    env.close()
    assert not any(process.is_alive() for process in env.processes)


def test_a_run_that_loses_a_worker_goes_on_as_if_it_had_not(small, tmp_path, monkeypatch, capsys):
    """It ends with what was before the rollout saved, and resumes to the same networks."""
    config = subproc(small, "vec_env.start_method=fork")
    assert isinstance(train(config, tmp_path / "whole"), dict)
    plain = TrainingLoop._iterate

    def iterate(run):
        if run.model.num_timesteps == 192:
            process = run.env.venv.processes[1]
            send = run.env.venv.remotes[1].send
            run.env.venv.remotes[1].send = lambda data: (
                send(data),
                data[0] == "step" and os.kill(process.pid, signal.SIGKILL),
            )
        return plain(run)

    monkeypatch.setattr(TrainingLoop, "_iterate", iterate)
    broken = tmp_path / "broken"
    assert train(config, broken) == 1
    monkeypatch.undo()
    said = capsys.readouterr().out
    assert "failed: the process of environment 1 has died (killed by SIGKILL)" in said
    assert "step_000000000192 is good; go on from it with: python -m reach_rl.train" in said
    assert read_status(broken)["state"] == "failed"
    assert isinstance(train(replace(config, resume=str(broken)), broken), dict)
    one, other = (newest(folder) for folder in (broken, tmp_path / "whole"))
    for name, array in one.policy.items():
        np.testing.assert_array_equal(array, other.policy[name], err_msg=name)
    np.testing.assert_array_equal(one.learner["last_obs"], other.learner["last_obs"])


def newest(folder):
    return checkpoint.read(checkpoint.resolve(folder / "checkpoints", "latest"))
