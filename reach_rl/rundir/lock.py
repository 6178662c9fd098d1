"""One process at a time in a run's folder, also if the one before was killed."""

import fcntl
import json
import os
import shlex
import socket
import sys
from contextlib import suppress
from pathlib import Path

from reach_rl.config.problems import ConfigError
from reach_rl.config.redact import redact
from reach_rl.rundir.status import now

_NAME = ".lock"
_COMMAND = 120
"""Characters of a command in a message."""


class Lock:
    """The exclusive right to write to a folder. The system takes it back when the process dies."""

    def __init__(self, folder: Path) -> None:
        """Take it.

        Raises:
            ConfigError: another process has it.
            OSError: the folder cannot be written to.
        """
        self.folder = folder
        self.certain = True
        """Whether the file system has locks at all."""
        self._file = self._take()

    def renew(self) -> None:
        """Take it again if the folder was removed. Raises as the constructor."""
        if not self._held(self._file):
            again = self._take()
            os.close(self._file)
            self._file = again

    def release(self) -> None:
        """Give it back."""
        with suppress(OSError):
            if self._held(self._file):
                (self.folder / _NAME).unlink()
        os.close(self._file)

    def _take(self) -> int:
        path = self.folder / _NAME
        while True:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = _holder(file)
                os.close(file)
                raise ConfigError(
                    f"{self.folder}: {holder}; stop it first, or choose another folder by run_dir="
                ) from error
            except OSError:
                self.certain = False
                return file
            if self._held(file):
                break
            os.close(file)  # its holder has just given it back and removed it
        with suppress(OSError):  # a full disk: the lock holds, only nobody can read whose it is
            os.ftruncate(file, 0)
            os.pwrite(file, json.dumps(_me()).encode(), 0)
        return file

    def _held(self, file: int) -> bool:
        """Whether an open file is the one of that name in the folder."""
        try:
            there, ours = (self.folder / _NAME).stat(), os.fstat(file)
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _me() -> dict[str, object]:
    command = redact(shlex.join(sys.argv))
    short = command if len(command) <= _COMMAND else f"{command[: _COMMAND - 3]}..."
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": now(), "command": short}


def _holder(file: int) -> str:
    try:
        who = json.loads(os.pread(file, 4096, 0))
        text = f"process {who['pid']} on {who['host']} has been at work on this run since"
        return f"{text} {who['since']} ({who['command']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process is at work on this run"
