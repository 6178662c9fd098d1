"""A run's folder while a process works in it: nobody else's, and never without its small files."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from reach_rl.config.problems import listing
from reach_rl.rundir.disk import Disk
from reach_rl.rundir.files import json_text, write_atomic
from reach_rl.rundir.lock import Lock

_SMALL = ("config.yaml", "provenance.json", "status.json", "summary.json")


class Home:
    """The folder of a run, locked."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        """Make the folder if it is missing, and lock it.

        Raises:
            ConfigError: another process works in it.
            OSError: it cannot be made or written to.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.disk = disk
        self.lock = Lock(folder)
        self._files: dict[str, str] = {}
        self._told = False
        for name in _SMALL:
            for leftover in folder.glob(f".{name}.????????"):  # a process died while it wrote
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
                self._files[name] = (self.folder / name).read_text(encoding="utf-8")

    def tend(self) -> bool:
        """Write what is missing; to be called after each rollout.

        Returns:
            Whether the folder's files were gone.
        """
        missing = [name for name in self._files if not (self.folder / name).is_file()]
        if missing and not self._told:
            self.disk.say(
                f"warning: {listing(missing)} of {self.folder} is gone; what the run has written "
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

    def close(self) -> None:
        """Give the folder back."""
        self.lock.release()

    def _again(self, name: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock.renew()
        self._write(name)

    def _write(self, name: str) -> None:
        write_atomic(self.folder / name, self._files[name])

    def _is(self, name: str, text: str) -> bool:
        try:
            return (self.folder / name).read_bytes() == text.encode()
        except OSError:
            return False
