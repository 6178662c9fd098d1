"""Checkpoints on their way to a disk that may refuse them for a while, and the way back to one.

The way back is taken once, with a lower learning rate, where guard.rollback asks for it. That it
was taken is written into the run's folder first, so that it holds for every process that goes on.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from reach_rl.config.problems import command
from reach_rl.config.schema import Config
from reach_rl.rundir import checkpoint
from reach_rl.rundir.atomic import Disk, read_json, write_json
from reach_rl.rundir.checkpoint import Checkpoint
from reach_rl.training.divergence import FOLDER, Diverged

Say = Callable[[str], None]

WHAT = "a checkpoint"
PATIENCE = 60.0
"""How long to wait at the end of a run for a disk to take what is left (s)."""


@dataclass(slots=True)
class Save:
    """A checkpoint to be written."""

    step: int
    checkpoint: Checkpoint
    pointers: list[str] = field(default_factory=lambda: ["latest"])
    keep: bool = False
    """Never prune it."""


class NotSaved(Exception):
    """The end of a run is here, and the disk still refuses; the message is a line."""


class Saver:
    """Writes checkpoints; what the disk refuses waits, and training goes on."""

    def __init__(self, checkpoints: Path, keep: int, disk: Disk) -> None:
        """Save to a folder.

        Args:
            checkpoints: the run's checkpoints/ folder, made if missing.
            keep: how many of the newest stay.
            disk: is told of trouble.
        """
        self.checkpoints = checkpoints
        self.keep = keep
        self.disk = disk
        self.before: Callable[[], object] = lambda: None
        """Called before each is written; an OSError from it is trouble with the disk."""
        self.after: Callable[[int, Path, Sequence[str]], object] = lambda *written: None
        """Told of each that is written: step, folder, pointers."""
        self.step = -1
        """Of the newest checkpoint that is on the disk; -1: none."""
        self.newest = -1
        """Step of the newest checkpoint that was to be written, whether it is or waits."""
        self._waiting: list[Save] = []

    def add(self, save: Save) -> bool:
        """Write a checkpoint; False if the disk refuses for now."""
        self.newest = save.step
        for other in self._waiting:
            other.pointers = [name for name in other.pointers if name not in save.pointers]
        self._waiting = [s for s in self._waiting if s.pointers or s.keep] + [save]
        return self.retry()

    def retry(self) -> bool:
        """Write what waits; False if the disk still refuses."""
        while self._waiting:
            if not self.disk.attempt(WHAT, partial(self._write, self._waiting[0])):
                return False
            self._waiting.pop(0)
        return True

    def finish(self, more: Callable[[], bool] = lambda: True) -> None:
        """Write what waits, waiting for the disk.

        Args:
            more: does what else is to be written; says whether all of it is.

        Raises:
            NotSaved: the disk still refuses.
        """
        end = time.monotonic() + PATIENCE
        while not (self.retry() and more()):
            if time.monotonic() > end:
                last = f"the last checkpoint is of step {self.step:,}"
                what = last if self.step >= 0 else "no checkpoint was saved"
                raise NotSaved(f"the disk takes no more ({self.disk.reason}); {what}")
            time.sleep(min(1.0, PATIENCE / 10))

    def _write(self, save: Save) -> None:
        self.before()
        folder = checkpoint.write(self.checkpoints, save.step, save.checkpoint, save.keep)
        for name in save.pointers:
            checkpoint.point(self.checkpoints, name, folder)
        self.step = max(self.step, save.step)
        self.after(save.step, folder, tuple(save.pointers))
        checkpoint.prune(self.checkpoints, self.keep)


def roll_back(config: Config, folder: Path, error: Diverged, say: Say) -> Checkpoint | None:
    """The last good checkpoint to go on from; None where there is no going back.

    Args:
        config: of the run.
        folder: of the run.
        error: why the run cannot go on.
        say: told of it.
    """
    note = _rollback(folder)
    if not (config.guard.rollback and error.learning) or note.exists():
        return None
    saved = checkpoint.newest(folder / "checkpoints", say)
    if saved is None:
        return None
    factor, step = config.guard.rollback_factor, int(str(saved.progress["num_timesteps"]))
    note.parent.mkdir(exist_ok=True)
    text = f"{error}; back to step {step:,} with the learning rate times {factor:g}"
    write_json(note, {"factor": factor, "step": step, "text": text, "told": False})
    say(f"warning: {text}")
    return saved


def learning_rate_factor(folder: Path) -> float:
    """What a run's learning rate is multiplied by: less than 1 after it was rolled back."""
    return float(read_json(_rollback(folder)).get("factor", 1.0))


def tell_of_rollback(folder: Path, alert: Callable[[str, str], None]) -> None:
    """Record the rollback, if nobody has yet."""
    known = read_json(_rollback(folder))
    if known and not known["told"]:
        alert("rolled back", str(known["text"]))
        write_json(_rollback(folder), known | {"told": True})


def what_is_left(folder: Path) -> str:
    """What is left of a run that cannot go on, in words."""
    latest = checkpoint.pointed(folder / "checkpoints", "latest")
    if latest is None:
        return "no checkpoint was saved before"
    return f"{latest.name} is good; go on from it with: {command('train', resume=folder)}"


def _rollback(folder: Path) -> Path:
    return folder / FOLDER / "rollback.json"
