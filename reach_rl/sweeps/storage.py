"""Where a study is kept: a journal file that a kill cannot break, or any Optuna URL."""

import fcntl
import importlib.util
import os
import random
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.study import StudyDirection

from reach_rl.config.problems import ConfigError
from reach_rl.config.untrusted import redact

if TYPE_CHECKING:
    from optuna.study import Study

JOURNAL = "study.journal"
_TRIES = 8
_SQLITE_SECONDS = 60


@contextmanager
def hushed() -> Iterator[None]:
    """Without Optuna's word that what is used here may change; the version is pinned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


class KillSafeLock(JournalFileSymlinkLock):
    """Optuna's lock of a journal, which a process that dies with it does not leave behind.

    Optuna's own is a link beside the journal. One that a kill left holds everybody up for half a
    minute, and a line that the kill cut short makes the whole journal unreadable as soon as the
    next is written behind it. Here a lock of the kernel comes first: who has that and finds a link
    of ours knows that its owner is dead; and what does not end as a line is cut off. Other
    programs, such as optuna-dashboard, and we still wait for one another's links.
    """

    def __init__(self, journal: Path) -> None:
        """Guard this file."""
        super().__init__(str(journal))
        self.journal = journal
        self.guard = journal.with_name(f"{journal.name}.guard")
        self.link = journal.with_name(f"{journal.name}.lock")
        self._lock_target_file = self.guard.name  # which tells our links from others'
        self._held: int | None = None

    def acquire(self) -> bool:
        """Wait for the lock."""
        self._held, safe = _kernel_lock(self.guard)
        if safe and self.link.is_symlink() and os.readlink(self.link) == self.guard.name:
            self.link.unlink(missing_ok=True)
        super().acquire()
        _cut_off_what_is_no_line(self.journal)
        return True

    def release(self) -> None:
        """Let the next one have it."""
        self.link.unlink(missing_ok=True)
        if self._held is not None:
            os.close(self._held)
            self._held = None


def _cut_off_what_is_no_line(path: Path) -> None:
    with path.open("ab+") as file:
        file.seek(max(file.seek(0, os.SEEK_END) - 1, 0))
        if file.read(1) not in (b"", b"\n"):
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


def _kernel_lock(path: Path, wait: bool = True) -> tuple[int, bool | None]:
    """A file, and whether it is held by the kernel's lock; None where there are no such locks."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return handle, False
    except OSError:
        return handle, None
    return handle, True


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[bool]:
    """Alone among all processes that share a file system; a process that dies lets go.

    Yields whether this process is alone, which without waiting another one may be.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, alone = _kernel_lock(path, wait)
    try:
        yield alone is not False
    finally:
        os.close(handle)


def url_of(given: str | None, folder: Path) -> str:
    """The storage of a sweep's folder, as the text that open_storage takes."""
    return given if given is not None else str((folder / JOURNAL).absolute())


def open_storage(url: str) -> BaseStorage:
    """The storage behind an URL or the path of a journal; one per process.

    Raises:
        ConfigError: it cannot be reached, or a library for it is missing.
    """
    return _open(url, os.getpid())


@lru_cache(maxsize=8)
def _open(url: str, _pid: int) -> BaseStorage:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if "://" not in url:
        path = Path(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(url, lock_obj=KillSafeLock(path)))
    scheme = url.partition("://")[0].partition("+")[0]
    try:
        return _grpc(url) if scheme == "grpc" else _relational(url, scheme)
    except Exception as error:
        text = " ".join(str(error.__cause__ or error).split())
        why = f"cannot be reached ({redact(text)[:200]})"
        if isinstance(error, ImportError):
            extra = {"postgresql": "'reach_rl[postgres]'", "grpc": "grpcio protobuf"}
            wanted = extra.get(scheme, str(error.name or error))
            why = f"a library is missing; try pip install {wanted}"
        raise ConfigError(f"hydra.sweeper.storage={redact(url)}: {why}") from error


def _grpc(url: str) -> BaseStorage:
    from optuna.storages import GrpcStorageProxy

    place = urlsplit(url)
    with hushed():
        return GrpcStorageProxy(host=place.hostname or "localhost", port=place.port or 13000)


def _relational(url: str, scheme: str) -> BaseStorage:
    if url.startswith("postgresql://") and importlib.util.find_spec("psycopg2") is None:
        url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    options: dict[str, Any] = {"pool_pre_ping": True}
    if scheme == "sqlite":
        options = {"connect_args": {"timeout": _SQLITE_SECONDS}}
    # two processes that lay out one database at once get in each other's way
    known = ("already exists", "locked", "duplicate", "unique", "concurrently")
    for attempt in range(1, _TRIES):
        try:
            return RDBStorage(url, engine_kwargs=options)
        except Exception as error:
            if not any(word in f"{error} {error.__cause__ or ''}".lower() for word in known):
                raise
            time.sleep(random.uniform(0.05, 0.3) * attempt)
    return RDBStorage(url, engine_kwargs=options)


def open_study(url: str, name: str, **options: Any) -> "Study":  # noqa: ANN401  of load_study
    """A study that is there. Raises ConfigError; KeyError if there is no such study."""
    return optuna.load_study(study_name=name, storage=open_storage(url), **options)


def make_study(
    url: str, name: str, directions: Sequence[str], names: Sequence[str], about: Mapping[str, Any]
) -> "Study":
    """The study of this name, made if it is not there.

    Args:
        url: see open_storage.
        name: of the study.
        directions: maximize or minimize, per objective.
        names: of the objectives.
        about: user attributes of a study that is new.

    Raises:
        ConfigError: the storage cannot be used.
    """
    study = optuna.create_study(
        study_name=name,
        storage=open_storage(url),
        directions=[StudyDirection[direction.upper()] for direction in directions],
        load_if_exists=True,
    )
    if "space" not in study.user_attrs:
        with hushed():
            study.set_metric_names(list(names))
        for key in sorted(about, key=lambda key: key == "space"):  # last: it says that all is there
            study.set_user_attr(key, about[key])
    return study
