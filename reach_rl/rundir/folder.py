"""A run's folder while a process works in it: nobody else's, and never without its small files."""

import datetime
import fcntl
import os
import shlex
import shutil
import socket
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from reach_rl.config.problems import ConfigError, listing
from reach_rl.config.schema import Config
from reach_rl.config.untrusted import redact
from reach_rl.rundir.atomic import Disk, json_text, write_atomic
from reach_rl.rundir.status import now

_SMALL = ("config.yaml", "provenance.json", "status.json", "summary.json")
_LOCK = ".lock"
_COMMAND = 120
"""Characters of a command in a message."""


class RunFolder:
    """The folder of a run, locked, with the small files that it must have while the run lasts."""

    def __init__(self, path: Path, disk: Disk) -> None:
        """Make the folder if it is missing, and lock it.

        Raises:
            ConfigError: another process works in it.
            OSError: it cannot be made or written to.
        """
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.disk = disk
        self.lock = Lock(path)
        self._files: dict[str, str] = {}
        self._told = False
        for name in _SMALL:
            for leftover in path.glob(f".{name}.????????"):  # a process died while it wrote
                with suppress(OSError):
                    leftover.unlink()

    def put(self, name: str, text: str) -> None:
        """Write a small file, now or as soon as the disk takes it; it stays while the run lasts."""
        self._files[name] = text
        self.disk.attempt(name, lambda: self._write(name))

    def put_json(self, path: Path, content: Any) -> None:  # noqa: ANN401  what JSON can hold
        """The same with JSON, for a path in the folder."""
        self.put(path.name, json_text(content))

    def hold(self, *names: str) -> None:
        """See to it that these files stay if they are there. Raises OSError."""
        for name in names:
            with suppress(FileNotFoundError):
                self._files[name] = (self.path / name).read_text(encoding="utf-8")

    def tend(self) -> bool:
        """Write what is missing; to be called after each rollout.

        Returns:
            Whether the folder's files were gone.
        """
        missing = [name for name in self._files if not (self.path / name).is_file()]
        if missing and not self._told:
            self.disk.say(
                f"warning: {listing(missing)} of {self.path} is gone; what the run has written "
                "since it began is written again, and training goes on"
            )
        self._told = bool(missing)
        for name in missing:
            self.disk.attempt(name, lambda name=name: self._again(name))
        return bool(missing)

    def finish(self) -> list[str]:
        """Write what is left once more; the names of the files that the disk did not take."""
        behind = [name for name, text in self._files.items() if not self._is(name, text)]
        return [n for n in behind if not self.disk.attempt(n, lambda n=n: self._again(n))]

    def _again(self, name: str) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        self.lock.renew()
        self._write(name)

    def _write(self, name: str) -> None:
        write_atomic(self.path / name, self._files[name])

    def _is(self, name: str, text: str) -> bool:
        try:
            return (self.path / name).read_bytes() == text.encode()
        except OSError:
            return False


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
                (self.folder / _LOCK).unlink()
        os.close(self._file)

    def _take(self) -> int:
        path = self.folder / _LOCK
        while True:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(file, 4096, 0).decode("utf-8", "replace").strip("\0")
                os.close(file)
                raise ConfigError(
                    f"{self.folder}: {holder or 'another process is at work on this run'}; "
                    "stop it first, or choose another folder by run_dir="
                ) from error
            except OSError:
                self.certain = False
                return file
            if self._held(file):
                break
            os.close(file)  # its holder has just given it back and removed it
        with suppress(OSError):  # a full disk: the lock holds, only nobody can read whose it is
            os.ftruncate(file, 0)
            os.pwrite(file, _me().encode(), 0)
        return file

    def _held(self, file: int) -> bool:
        """Whether an open file is the one of that name in the folder."""
        try:
            there, ours = (self.folder / _LOCK).stat(), os.fstat(file)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, ours)


def _me() -> str:
    command = redact(shlex.join(sys.argv))
    short = command if len(command) <= _COMMAND else f"{command[: _COMMAND - 3]}..."
    who = f"process {os.getpid()} on {socket.gethostname()}"
    return f"{who} has been at work on this run since {now()} ({short})"


def new_folder(config: Config) -> tuple[Path, Path | None]:
    """The folder of a single run, and the topmost folder that was made for it (None if none).

    resume=DIR goes on in DIR; run_dir=DIR is taken as it is; otherwise a fresh
    runs/<robot>/<date>_<time>, with _2, _3 ... should two runs start in one second.

    Raises:
        ConfigError: the given folder cannot be made.
    """
    given = config.resume if config.resume not in (None, "auto") else config.run_dir
    if given is not None:
        folder = Path(given).absolute()
        made = _first_missing(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            text = f"{given}: cannot be made ({error.strerror}); try run_dir=runs/{folder.name}"
            raise ConfigError(text) from error
        return folder, made
    stamp = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    folder = base = Path("runs").absolute() / config.robot.name / stamp
    for number in count(2):
        made = _first_missing(folder)
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
        folder = base.with_name(f"{stamp}_{number}")
    return folder, made


def _first_missing(folder: Path) -> Path | None:
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    return missing[-1] if missing else None


def discard(made: Path | None) -> None:
    """Remove a folder that was made for a run that could not start."""
    if made is not None and not any(made.rglob("metrics.jsonl")):
        shutil.rmtree(made, ignore_errors=True)
