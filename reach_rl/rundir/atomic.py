"""Files that are either whole or not there, whatever happens while they are written.

A disk that refuses makes one warning and no torn file; all is written once it takes it again.
"""

import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from reach_rl.config.problems import ConfigError

Told = Callable[[str, OSError | None], None]
"""Is told what could not be written and why; None: it is written now."""


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace a file in one durable step: readers see the old content or the new.

    Raises:
        OSError: the disk refuses; the old content stays.
    """
    file, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with _durable(file):
            write_all(file, content.encode() if isinstance(content, str) else content)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_json(path: Path, content: Any) -> None:  # noqa: ANN401  what JSON can hold
    """The same with readable JSON."""
    write_atomic(path, json_text(content))


def json_text(content: Any) -> str:  # noqa: ANN401  what JSON can hold
    """Readable JSON. Raises ValueError for NaN and infinity, which are no JSON."""
    return json.dumps(content, indent=2, allow_nan=False, default=str) + "\n"


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if there is none or it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def write_bytes(path: Path, data: bytes) -> None:
    """Write a new file and make its content durable; its name is by sync_folder()."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    with _durable(os.open(path, flags, 0o644)) as file:
        write_all(file, data)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    with _durable(os.open(folder, os.O_RDONLY)):
        pass


def write_all(file: int, data: bytes) -> None:
    """Write all of it to an open file. Raises OSError, perhaps after a part of it."""
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


@contextmanager
def _durable(file: int) -> Iterator[int]:
    """An open file, whose content is durable after the block; closed in any case."""
    try:
        yield file
        os.fsync(file)
    finally:
        os.close(file)


class Disk:
    """What could not be written so far. Says so once, and once more when all of it is written."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """Tell the user by `say`."""
        self.say = say
        self._behind: set[str] = set()
        self.reason = ""
        """Of the latest trouble."""

    def told(self, what: str, error: OSError | None) -> None:
        """Something could not be written, or is written now."""
        before = bool(self._behind)
        if error is None:
            self._behind.discard(what)
            if before and not self._behind:
                self.say("the disk takes writes again; everything is written")
            return
        self.reason = reason(error)
        self._behind.add(what)
        if not before:
            self.say(
                f"warning: {what} cannot be written ({self.reason}); training goes on, keeps "
                "what is to be written and tries again after each rollout"
            )

    def attempt(self, what: str, action: Callable[[], object]) -> bool:
        """Do something that writes; False if the disk refused."""
        try:
            action()
        except OSError as error:
            self.told(what, error)
            return False
        self.told(what, None)
        return True


def reason(error: OSError) -> str:
    """An error of the operating system in its own words, with the file that it concerns."""
    text = error.strerror or str(error)
    return f"{text}: {error.filename}" if error.filename else text


def write_wanted(key: str, path: Path, text: str) -> None:
    """Write what a key of the command line asks for. Raises ConfigError."""
    try:
        write_atomic(path, text)
    except OSError as error:
        raise ConfigError(f"{key}={path}: cannot be written, {reason(error)}") from error


def ignore(what: str, error: OSError | None) -> None:
    """Nobody is told."""


class Appender:
    """Appends whole pieces to a file.

    What the disk refuses is kept and written with a later piece, so that the file never holds half
    a piece. A file that was removed is made again with all that it held.
    """

    def __init__(self, path: Path, told: Told = ignore, what: str | None = None) -> None:
        """Open or make the file.

        Args:
            path: of the file.
            told: of trouble and of its end.
            what: how `told` calls the file; its name by default.

        Raises:
            OSError: it cannot be opened.
        """
        self.path = path
        self._told = told
        self._what = what or path.name
        self._waiting: list[bytes] = []
        self._lock = threading.Lock()
        self._file = _open(path)
        self._size = os.fstat(self._file).st_size

    def append(self, pieces: Iterable[bytes]) -> bool:
        """Append; False if the disk refused for now."""
        try:
            with self._lock:
                self._waiting += pieces
                self._flush()
        except OSError as error:
            self._told(self._what, error)
            return False
        self._told(self._what, None)
        return True

    def sync(self) -> None:
        """Make everything durable. Raises OSError."""
        with self._lock:
            self._flush()
            os.fsync(self._file)

    def close(self) -> None:
        """Write what is left, if the disk takes it, and close the file."""
        self.append(())
        os.close(self._file)

    def _flush(self) -> None:
        self._stay()
        if not self._waiting:
            return
        data = b"".join(self._waiting)
        try:
            self._cut()
            write_all(self._file, data)
        except OSError:
            with suppress(OSError):
                self._cut()
            raise
        self._waiting.clear()
        self._size += len(data)

    def _cut(self) -> None:
        """Take off what a write that failed has left."""
        if os.fstat(self._file).st_size > self._size:
            os.ftruncate(self._file, self._size)

    def _stay(self) -> None:
        """Make the file again if somebody removed it; what it held is still to be read."""
        with suppress(FileNotFoundError):
            if os.path.samestat(self.path.stat(), os.fstat(self._file)):
                return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self.path, os.pread(self._file, self._size, 0))
        os.close(self._file)
        self._file = _open(self.path)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
