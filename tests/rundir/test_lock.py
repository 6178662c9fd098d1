"""Two processes cannot write one run folder."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reach_rl.cli.front_door import front
from reach_rl.config.problems import ConfigError
from reach_rl.rundir.folder import Lock
from reach_rl.train import job
from reach_rl.training.session import train

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from pathlib import Path
from reach_rl.rundir.folder import Lock
lock = Lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_says_who_holds_the_folder(holder, small, tmp_path, capsys):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ConfigError) as error:
        train(small(), tmp_path)
    who = f"process {holder.pid} on {os.uname().nodename} has been at work on this run since 20"
    assert who in str(error.value) and "(-c " in str(error.value)
    assert len(error.value.problems) == 1
    (tmp_path / "checkpoints/step_000000000256").mkdir(parents=True)
    assert front("train", job, [f"resume={tmp_path}", "wandb=disabled"]) == 2
    assert who in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "checkpoints"])


def test_the_lock_of_a_process_that_was_killed_is_free(holder, tmp_path):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert (tmp_path / ".lock").exists()
    lock = Lock(tmp_path)
    with pytest.raises(ConfigError, match=f"process {os.getpid()} on"):
        Lock(tmp_path)
    lock.release()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_was_made_anew_is_locked_anew(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    lock = Lock(folder)
    (folder / ".lock").unlink()
    folder.rmdir()
    folder.mkdir()
    other = Lock(folder)
    with pytest.raises(ConfigError, match="at work on this run"):
        lock.renew()
    other.release()
    lock.renew()
    with pytest.raises(ConfigError, match="at work on this run"):
        Lock(folder)
    lock.release()


def test_who_holds_it_may_be_unreadable(tmp_path):
    lock = Lock(tmp_path)
    (tmp_path / ".lock").write_text("\0")
    with pytest.raises(ConfigError, match="another process is at work on this run; stop it first"):
        Lock(tmp_path)
    lock.release()
