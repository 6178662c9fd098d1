"""File operations that fail: an error, a crash, or a loss of power at the i-th of them."""

import errno
import os
import stat
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

EVENTS = frozenset(
    f"os.{name}"
    for name in ("mkdir", "rename", "remove", "rmdir", "chmod", "listdir", "scandir", "truncate")
)


class Crash(BaseException):
    """The process is gone: nothing that it does from here on happens."""


class Faults:
    """Counts the file operations below a folder and lets the i-th one fail."""

    def __init__(self):
        self.folder = self.kind = None
        self.fail_at = self.count = 0
        self._write, self._fsync = os.write, os.fsync
        self._unsynced, self._made, self._renames = set(), set(), []
        sys.addaudithook(self._audit)

    @contextmanager
    def armed(self, folder, fail_at, kind):
        """Fail within this block.

        Args:
            folder: whose operations count.
            fail_at: number of the operation, from 0.
            kind: "error", "crash" (half of a write is done) or "power" (so, and whatever no fsync
                has made durable is lost).
        """
        self.folder, self.fail_at, self.kind, self.count = str(folder), fail_at, kind, 0
        self._unsynced, self._made, self._renames = set(), set(), []
        os.write, os.fsync = self.write, self.fsync
        try:
            yield self
        finally:
            os.write, os.fsync, self.folder = self._write, self._fsync, None
            if kind == "power" and self.count > fail_at:
                self._lose()

    @property
    def failed(self):
        return self.count > self.fail_at

    def write(self, file, data):
        path = _path(file)
        if not self._ours(path):
            return self._write(file, data)
        half = self.count == self.fail_at and self.kind != "error"
        if half:
            self._write(file, data[: len(data) // 2])
        self._step()
        self._unsynced.add(path)
        return self._write(file, data)

    def fsync(self, file):
        path = _path(file)
        if self._ours(path):
            self._step()
            self._unsynced.discard(path)
            if stat.S_ISDIR(os.fstat(file).st_mode):
                self._renames = [r for r in self._renames if _parent(r[1]) != path]
                self._made = {name for name in self._made if _parent(name) != path}
        self._fsync(file)

    def _audit(self, event, arguments):
        if self.folder is None or (event != "open" and event not in EVENTS):
            return
        path = arguments[0]
        path = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else path
        if isinstance(path, str) and os.path.isabs(path) and not self._ours(path):
            return
        self._step()
        if event == "open" and isinstance(path, str) and not os.path.exists(path):
            self._made.add(path)
        if event == "os.rename":
            source, target = (os.fsdecode(p) for p in arguments[:2])
            old = Path(target).read_bytes() if os.path.isfile(target) else None
            self._renames.append((source, target, old))
            self._unsynced = {_moved(path, source, target) for path in self._unsynced}
            self._made = {_moved(path, source, target) for path in self._made}

    def _step(self):
        number, self.count = self.count, self.count + 1
        if self.kind != "error" and number >= self.fail_at:
            raise Crash
        if number == self.fail_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _ours(self, path):
        return self.folder is not None and path.startswith(self.folder)

    def _lose(self):
        for path in self._unsynced:
            with suppress(FileNotFoundError):
                os.truncate(path, 0)
        for path in self._made:
            Path(path).unlink(missing_ok=True)
        for source, target, old in reversed(self._renames):
            with suppress(FileNotFoundError):
                os.rename(target, source)
            if old is not None:
                Path(target).write_bytes(old)


def _parent(path):
    return str(Path(path).parent)


def _moved(path, source, target):
    """What a path below a folder, or of a file, is called after a rename."""
    below = path == source or path.startswith(source + os.sep)
    return target + path[len(source) :] if below else path


def _path(file):
    return os.readlink(f"/proc/self/fd/{file}")
