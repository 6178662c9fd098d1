"""What a sweep leaves behind: the best trial, trained again and kept as a preset."""

import fcntl
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from reach_rl.config.context import CONFIG_DIR
from reach_rl.config.search import Search
from reach_rl.sweeps import preset, results, winner
from reach_rl.sweeps.fresh import CONFIRM, launch
from reach_rl.sweeps.trial import Signalled

if TYPE_CHECKING:
    from hydra.plugins.launcher import Launcher
    from optuna.study import Study


def finish(
    study: "Study",
    folder: Path,
    search: Search,
    launcher: "Launcher",
    parallel: int,
    stop: Signalled,
) -> int:
    """Confirm the best trial of a sweep that has its trials, keep it, and say so.

    Of several processes that share a study, the one whose trial ends last does this.

    Args:
        study: that has its trials.
        folder: of the sweep.
        search: `hydra.sweeper`.
        launcher: of Hydra.
        parallel: how many runs at once.
        stop: whether a signal asked to stop.

    Returns:
        The exit code of a stop meanwhile, otherwise 0.
    """
    with _alone(folder / "confirm.lock") as alone:
        if not alone or results.trials(study, "RUNNING"):
            return 0
        codes: list[int] = []

        def run(jobs: Sequence[Sequence[str]]) -> None:
            runs = f"{len(jobs)} run{'s' * (len(jobs) != 1)}"
            print(f"training the best trial again with fresh seeds: {runs}", flush=True)
            codes.append(launch(launcher, jobs, folder, parallel, stop))

        found = winner.confirm(study, folder, search, run)
        if found is None:
            _say_why(study, folder, any(codes))
            return sum(codes)
        path = winner.keep(study, folder, search, found, CONFIG_DIR.get())
    values = zip(results.objectives(study), found.trial.values, strict=True)
    print(f"best: trial {found.trial.number}, {', '.join(f'{o.name} {v:.4g}' for o, v in values)}")
    for name, estimate in found.estimates.items():
        print(f"on fresh seeds: {name} {estimate.words()}")
    print(f"train with it: {preset.command(path)}", flush=True)
    return 0


def _say_why(study: "Study", folder: Path, stopped: bool) -> None:
    """There is no winner, and this is why."""
    best = results.best(study)
    if stopped:
        print(f"stopped; the same command goes on with {folder}", flush=True)
    elif best is None:
        print(f"no trial is complete; see {folder / 'results.csv'}", flush=True)
    else:
        place = folder / CONFIRM / f"trial_{best.number}"
        print(
            f"warning: trial {best.number} is the best, but not every run with a fresh seed ended "
            f"well; no preset was written, see {place}",
            file=sys.stderr,
        )


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Whether no other process is within this."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:  # a file system without locks
            pass
        yield True
    finally:
        os.close(handle)
