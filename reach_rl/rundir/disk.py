"""A disk that refuses: one warning, no torn file, and everything written once it takes it again."""

import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from reach_rl.rundir.atomic import write_all

Told = Callable[[str, OSError | None], None]
"""Is told what could not be written and why; None: it is written now."""


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
        if error is None:
            if what in self._behind:
                self._behind.discard(what)
                if not self._behind:
                    self.say("the disk takes writes again; everything is written")
            return
        first = not self._behind
        self.reason = reason(error)
        self._behind.add(what)
        if first:
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
        self._torn = False
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
        if self._torn:
            os.ftruncate(self._file, self._size)
            self._torn = False
        if not self._waiting:
            return
        data = b"".join(self._waiting)
        try:
            write_all(self._file, data)
        except OSError:
            self._torn = True
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
                self._torn = False
            raise
        self._waiting.clear()
        self._size += len(data)

    def _stay(self) -> None:
        """Make the file again if somebody removed it; what it held is still to be read."""
        with suppress(FileNotFoundError):
            there, ours = self.path.stat(), os.fstat(self._file)
            if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                return
        held = os.pread(self._file, self._size, 0)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        again = _open(self.path)
        try:
            os.ftruncate(again, 0)
            write_all(again, held)
        except OSError:
            os.close(again)
            self.path.unlink(missing_ok=True)
            raise
        os.close(self._file)
        self._file, self._torn = again, False


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
