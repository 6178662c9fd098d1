"""A disk that is full, read-only or gone does not stop a run, and nothing of it is lost."""

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reach_rl.cli.front_door import front
from reach_rl.monitoring.record import JsonLinesWriter, read_records
from reach_rl.rundir import checkpoint
from reach_rl.rundir.atomic import Appender
from reach_rl.rundir.status import read_status
from reach_rl.training import saving
from reach_rl.training.session import FAILED, train

STEPS = list(range(256, 1537, 256))
LONG = ("total_timesteps=1536", "checkpoint.every=256")
HEALED = "the disk takes writes again; everything is written"


def mounted(*arguments):
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this test mounts a disk of its own, which needs root: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path):
    """A disk of two MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted("-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder))
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def at(monkeypatch):
    """Does something as soon as the record of a step is to be written."""
    plain, actions = JsonLinesWriter.write, {}

    def write(self, step, values):
        action = actions.pop(step, None)
        if action:
            action()
        plain(self, step, values)

    monkeypatch.setattr(JsonLinesWriter, "write", write)
    return actions


def fill(folder):
    """Leave no byte."""
    with (folder / "filler").open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError as error:
                assert error.errno == errno.ENOSPC


def check_complete(run):
    """Everything is there, once, and whole."""
    assert read_status(run)["state"] == "finished"
    *records, final = read_records(run / "metrics.jsonl")
    assert [record["global_step"] for record in records] == STEPS
    assert final["final/front/goals"] == 4
    text = (run / "metrics.jsonl").read_bytes()
    assert text.endswith(b"\n") and text.count(b"\n") == len(STEPS) + 1
    latest = checkpoint.read(checkpoint.resolve(run / "checkpoints", "latest"))
    assert latest.progress["num_timesteps"] == STEPS[-1]
    for name in ("config.yaml", "provenance.json", "summary.json", "train.log"):
        assert (run / name).stat().st_size
    events = EventAccumulator(str(run / "tb"), size_guidance={"scalars": 0})
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == STEPS
    assert not [path for path in run.rglob(".*") if path.name != ".lock"]


def test_a_full_disk_delays_what_is_written(small, disk, at, capsys):
    run = disk / "run"
    at[512] = lambda: fill(disk)
    at[1280] = (disk / "filler").unlink
    assert isinstance(train(small(*LONG), run), dict)
    out = capsys.readouterr().out
    assert out.count("warning: ") == 1 and out.count("No space left on device") == 1
    assert out.count(HEALED) == 1
    check_complete(run)


def test_what_the_disk_refused_is_tried_again_after_each_rollout(small, tmp_path, at, monkeypatch):
    plain, refused = checkpoint.write, []

    def write(checkpoints, step, saved, keep):
        if at:
            refused.append(step)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return plain(checkpoints, step, saved, keep)

    monkeypatch.setattr(checkpoint, "write", write)
    at[1280] = lambda: None
    config = small("total_timesteps=1792", "checkpoint.every=768", "checkpoint.keep=3")
    assert isinstance(train(config, tmp_path), dict)
    assert refused == [768, 768]
    found = sorted(path.name for path in tmp_path.glob("checkpoints/step_*"))
    assert found == [f"step_{step:012d}" for step in (768, 1536, 1792)]


def test_a_disk_that_stays_full_ends_the_run_without_a_torn_file(
    small, disk, at, capsys, monkeypatch
):
    monkeypatch.setattr(saving, "PATIENCE", 0.5)
    run = disk / "run"
    at[512] = lambda: fill(disk)
    assert train(small(*LONG), run) == FAILED
    out = capsys.readouterr().out
    assert out.count("warning: ") == 1
    assert "failed: the disk takes no more (No space left on device" in out
    assert "the last checkpoint is of step 256" in out
    text = (run / "metrics.jsonl").read_bytes()
    assert text.endswith(b"\n")
    saved = checkpoint.newest(run / "checkpoints", pytest.fail)
    assert saved.progress["num_timesteps"] == 256
    assert [path.name for path in (run / "checkpoints").glob("step_*")] == ["step_000000000256"]
    (disk / "filler").unlink()
    assert isinstance(train(small(*LONG, f"resume={run}"), run), dict)
    check_complete(run)


def test_a_read_only_folder_delays_what_is_written(small, tmp_path, at, capsys):
    run = tmp_path / "run"
    run.mkdir()

    def protect():
        mounted("--bind", str(run), str(run))
        mounted("-o", "remount,bind,ro", str(run))

    at[512] = protect
    at[1280] = lambda: subprocess.run(["umount", str(run)], check=True)
    assert isinstance(train(small(*LONG), run), dict)
    out = capsys.readouterr().out
    assert out.count("warning: ") == 1 and out.count("Read-only file system") == 1
    assert out.count(HEALED) == 1
    check_complete(run)


def test_a_folder_that_is_removed_comes_back(small, tmp_path, at, capsys):
    run = tmp_path / "run"
    seen = []
    at[768] = lambda: shutil.rmtree(run)
    at[1024] = lambda: seen.extend(path.name for path in run.iterdir())
    assert isinstance(train(small(*LONG), run), dict)
    out = capsys.readouterr().out
    assert out.count("warning: ") == 1 and "is gone; what the run has written" in out
    assert {"config.yaml", "provenance.json", "status.json", "checkpoints", ".lock"} <= set(seen)
    check_complete(run)


def test_a_run_that_cannot_begin_is_one_line(tmp_path, capsys, disk):
    fill(disk)
    words = [f"run_dir={disk / 'run'}", "wandb=disabled", "picture=false", "task.region.pool=16"]
    from reach_rl.train import job

    assert front("train", job, words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "cannot be written to (No space left on device" in error
    assert not (disk / "run").exists()


class Refusing:
    """Lets writes to a file fail half way for a while."""

    def __init__(self, monkeypatch):
        self.left, self._write = 0, os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, file, data):
        if self.left == 0:
            return self._write(file, data)
        self.left -= 1
        self._write(file, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_pieces_are_whole_or_not_there(tmp_path, monkeypatch):
    told, refusing = [], Refusing(monkeypatch)
    file = Appender(tmp_path / "file", lambda what, error: told.append((what, error)))
    assert file.append([b"one\n"])
    refusing.left = 2
    assert not file.append([b"two\n"])
    assert (tmp_path / "file").read_bytes() == b"one\n"
    assert not file.append([b"three\n"])
    with pytest.raises(OSError, match="No space left"):
        refusing.left = 1
        file.sync()
    assert file.append([b"four\n"])
    file.close()
    assert (tmp_path / "file").read_bytes() == b"one\ntwo\nthree\nfour\n"
    assert [error is None for _, error in told] == [True, False, False, True, True]


def test_a_removed_file_comes_back_with_all_that_it_held(tmp_path):
    folder = tmp_path / "a/b"
    folder.mkdir(parents=True)
    file = Appender(folder / "file")
    file.append([b"one\n"])
    shutil.rmtree(tmp_path / "a")
    file.append([b"two\n"])
    (folder / "file").rename(folder / "old")
    file.append([b"three\n"])
    file.close()
    assert (folder / "file").read_bytes() == b"one\ntwo\nthree\n"
    assert (folder / "old").read_bytes() == b"one\ntwo\n"


def test_nobody_minds_a_disk_that_takes_nothing(tmp_path):
    told = []
    file = Appender(Path("/dev/full"), lambda what, error: told.append(error))
    assert not file.append([b"one"])
    file.close()
    assert len(told) == 2 and all(told)
