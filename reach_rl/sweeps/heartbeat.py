"""Signs of life of a trial, and the wish that it stop, as files that any machine can see."""

import os
import signal
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from reach_rl.sweeps.ledger import HEARTBEAT

STOP = "stop"
"""File in a trial's folder that asks its process to stop after saving."""
BEAT_SECONDS = 10.0
LOOK_SECONDS = 0.5


class Heart:
    """Touches the heartbeat of a trial while it runs, and hands a wish to stop to its process."""

    def __init__(self, folder: Path, listens: bool) -> None:
        """Prepare.

        Args:
            folder: of the trial.
            listens: whether a wish to stop concerns this process.
        """
        self.folder = folder
        self.listens = listens
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heart", daemon=True)

    def __enter__(self) -> Self:
        """Begin; earlier wishes to stop are void."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.listens:
            (self.folder / STOP).unlink(missing_ok=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End."""
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        since = BEAT_SECONDS
        while True:
            if since >= BEAT_SECONDS:
                since = 0.0
                _touch(self.folder / HEARTBEAT)
            if self.listens and (self.folder / STOP).exists():
                (self.folder / STOP).unlink(missing_ok=True)
                os.kill(os.getpid(), signal.SIGTERM)
                return
            if self._over.wait(LOOK_SECONDS):
                return
            since += LOOK_SECONDS


def ask_to_stop(folder: Path) -> None:
    """Have the process of a trial stop after saving."""
    _touch(folder / STOP)


def _touch(path: Path) -> None:
    try:
        path.touch()
    except OSError:
        return
