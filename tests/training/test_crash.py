"""A save that fails, crashes or loses power at any of its file operations loses nothing."""

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from reach_rl.rundir import checkpoint
from reach_rl.rundir.atomic import Disk
from reach_rl.training.saving import Save, Saver
from tests.training.faults import Crash, Faults

CORPUS = Path(__file__).parents[1] / "rundir" / "corpus"
MOST = 400


@pytest.fixture(scope="module")
def faults():
    return Faults()


@pytest.fixture(scope="module")
def saved():
    return checkpoint.read(next(CORPUS.glob("format_1/step_*")))


@pytest.fixture(scope="module")
def before(saved, tmp_path_factory):
    """A run that has saved twice: best is the first, latest the second."""
    folder = tmp_path_factory.mktemp("before") / "checkpoints"
    saver = Saver(folder, 2, Disk(pytest.fail))
    saver.add(save(saved, 256, "best"))
    saver.add(save(saved, 384))
    return folder


def save(saved, step, *pointers):
    progress = {**saved.progress, "num_timesteps": step}
    return Save(step, replace(saved, progress=progress), ["latest", *pointers])


def check_sound(folder, steps):
    """Everything that is in sight is whole."""
    newest = checkpoint.newest(folder, pytest.fail)
    assert newest.progress["num_timesteps"] in steps
    whole = [path for path in folder.glob("step_*") if checkpoint.verified(path)]
    for name in ("latest", "best"):
        assert checkpoint.resolve(folder, name) in whole


@pytest.fixture
def place():
    """A folder in memory, where the system has one: thousands of fsyncs take a disk minutes."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)


@pytest.mark.parametrize("kind", ["error", "crash", "power"])
def test_a_save_may_fail_at_each_of_its_file_operations(before, saved, faults, place, kind):
    for number in range(MOST):
        folder = place / str(number) / "checkpoints"
        shutil.copytree(before, folder)
        said = []
        saver = Saver(folder, 2, Disk(said.append))
        try:
            with faults.armed(folder.parent, number, kind):
                saver.add(save(saved, 512, "best"))
        except Crash:
            saver = None
        if not faults.failed:
            break
        check_sound(folder, {384, 512})
        if saver is None:
            saver = Saver(folder, 2, Disk(pytest.fail))
        elif said:
            assert len(said) == 1 and "No space left on device" in said[0]
            assert saver.retry()
            assert said[1:] == ["the disk takes writes again; everything is written"]
            check_sound(folder, {512})
        assert saver.add(save(saved, 768, "best"))
        check_sound(folder, {768})
        assert not list(folder.glob(".*"))
        shutil.rmtree(folder.parent)
    assert 40 < number < MOST - 1
    assert {path.name for path in folder.glob("step_*")} == {f"step_{n:012d}" for n in (384, 512)}
