"""The journal that a kill cannot break, and the ways into a study."""

import contextlib
import multiprocessing
import os
import threading
import time
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from reach_rl.config.problems import ConfigError
from reach_rl.sweeps.storage import (
    KillSafeLock,
    locked,
    make_study,
    open_storage,
    open_study,
)


def _add(path: str, count: int) -> None:
    study = open_study(path, "s")
    for _ in range(count):
        study.tell(study.ask(), 1.0)


def test_a_line_cut_short_is_mended(tmp_path: Path):
    path = str(tmp_path / "study.journal")
    study = make_study(path, "s", ["maximize"], ["score"], {"space": {}})
    study.tell(study.ask(), 1.0)
    with open(path, "a") as file:
        file.write('{"op_code":4,"stud')
    again = optuna.load_study(
        study_name="s",
        storage=JournalStorage(JournalFileBackend(path, lock_obj=KillSafeLock(Path(path)))),
    )
    again.tell(again.ask(), 2.0)
    assert [trial.value for trial in again.trials] == [1.0, 2.0]
    assert '{"op_code":4,"stud{' not in Path(path).read_text()


def test_optunas_own_journal_cannot_be_read_after_it(tmp_path: Path):
    """Why ours is not left to Optuna: once this fails, KillSafeLock need not cut lines off."""
    path = str(tmp_path / "study.journal")
    study = optuna.create_study(study_name="s", storage=JournalStorage(JournalFileBackend(path)))
    with open(path, "a") as file:
        file.write('{"op_code":4,"stud')
    for _ in range(2):
        with contextlib.suppress(ValueError, AttributeError):
            study.tell(study.ask(), 1.0)
    with pytest.raises(ValueError):
        optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(path)))


def test_a_lock_of_a_dead_process_is_taken_over_at_once(tmp_path: Path):
    lock = KillSafeLock(tmp_path / "j")
    lock.acquire()
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    lock.release()
    os.symlink(lock.guard.name, lock.link)  # what a kill leaves behind
    began = time.monotonic()
    assert lock.acquire()
    lock.release()
    assert time.monotonic() - began < 1.0


def test_a_lock_of_another_program_is_waited_for(tmp_path: Path):
    """Such as optuna-dashboard's, which links to the journal itself."""
    journal = tmp_path / "j"
    journal.touch()
    theirs = optuna.storages.journal.JournalFileSymlinkLock(str(journal))
    ours = KillSafeLock(journal)
    theirs.acquire()
    threading.Timer(0.3, theirs.release).start()
    began = time.monotonic()
    ours.acquire()
    assert time.monotonic() - began >= 0.25
    theirs_after = threading.Thread(target=lambda: (theirs.acquire(), theirs.release()))
    theirs_after.start()
    theirs_after.join(0.2)
    assert theirs_after.is_alive(), "the other program did not wait for ours"
    ours.release()
    theirs_after.join(5)
    assert not theirs_after.is_alive()


def test_processes_write_one_journal(tmp_path: Path):
    path = str(tmp_path / "study.journal")
    make_study(path, "s", ["maximize"], ["score"], {"space": {}})
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_add, args=(path, 10)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [trial.number for trial in open_study(path, "s").trials] == list(range(20))


def test_two_at_once_make_one_study(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/s.db"
    spawn = multiprocessing.get_context("spawn")
    about = {"space": {}}
    args = (url, "s", ["maximize"], ["score"], about)
    workers = [spawn.Process(target=make_study, args=args) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(open_storage(url).get_all_studies()) == 1


def test_locked_lets_one_in_at_a_time(tmp_path: Path):
    inside, most = [], []

    def enter() -> None:
        with locked(tmp_path / "lock"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1


@pytest.mark.parametrize("url", ["sqlite:////proc/none/study.db", "mysql://a:secret@127.0.0.1:1/x"])
def test_what_cannot_be_reached_is_one_line(url: str):
    with pytest.raises(ConfigError) as error:
        open_storage(url)
    (problem,) = error.value.problems
    assert problem.startswith("hydra.sweeper.storage=")
    assert "secret" not in problem
