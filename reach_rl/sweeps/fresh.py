"""Runs beside the trials, with fresh seeds: launched, stopped and taken up again as trials are.

They have folders `<sweep>/confirm/...` and are no trials: Optuna does not hear of them.
"""

import contextlib
import io
import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reach_rl.config.schema import Config
from reach_rl.config.search import Search
from reach_rl.sweeps.heartbeat import Heart, ask_to_stop
from reach_rl.sweeps.trial import STOPPED, Signalled, going_on, worker

if TYPE_CHECKING:
    from hydra.plugins.launcher import Launcher

CONFIRM = "confirm"
_SUBDIR = "hydra.sweep.subdir="
_LOOK_SECONDS = 0.5
_IN_SWEEP: ContextVar[bool] = ContextVar("in_sweep", default=False)
"""Whether the job runs in the process of the sweep itself."""


def is_fresh(folder: Path) -> bool:
    """Whether the job of this folder is one of these."""
    return CONFIRM in folder.parts


def run(
    config: Config,
    folder: Path,
    search: Search,
    train: Callable[[Config, Path], dict[str, Any] | int],
    listening: Callable[[], contextlib.AbstractContextManager[Signalled]],
) -> dict[str, Any]:
    """One such run in its process, from its beginning or from where it was.

    Args:
        config: of the run.
        folder: of the run.
        search: what the sweep searches.
        train: see learning.session.train.
        listening: see learning.signals.

    Returns:
        The figures of summary.json, or `exit_code` of a run that was stopped.
    """
    here = contextlib.nullcontext() if _IN_SWEEP.get() else worker(listening)
    with Heart(folder, listens=True), here, quiet(search.verbose):
        outcome = train(going_on(config, folder), folder)
    return {"exit_code": outcome} if isinstance(outcome, int) else outcome


def quiet(verbose: bool) -> contextlib.AbstractContextManager[object]:
    """Keep what a run prints off the terminal."""
    return contextlib.nullcontext() if verbose else contextlib.redirect_stdout(io.StringIO())


def launch(
    launcher: "Launcher",
    jobs: Sequence[Sequence[str]],
    folder: Path,
    parallel: int,
    stop: Signalled,
) -> int:
    """Have jobs run, and stopped when this process is; the exit code of a stop, otherwise 0.

    Args:
        launcher: of Hydra.
        jobs: the overrides of each, with its hydra.sweep.subdir.
        folder: of the sweep.
        parallel: how many run at once.
        stop: whether a signal asked to stop.

    Raises:
        Exception: what the launcher raised, such as for a worker that died.
    """
    if parallel == 1:
        return _one_by_one(launcher, jobs, stop)
    places = [
        folder / text.removeprefix(_SUBDIR) for job in jobs for text in job if _is_place(text)
    ]
    results: list[Any] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.extend(launcher.launch(jobs, initial_job_idx=0))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, name="fresh-seeds", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_LOOK_SECONDS)
        for place in places if stop.exit_code else ():
            if place.exists():
                ask_to_stop(place)
    if stop.exit_code:
        return stop.exit_code
    for error in errors:
        raise error
    return next(filter(None, map(_code, results)), 0)


def _one_by_one(launcher: "Launcher", jobs: Sequence[Sequence[str]], stop: Signalled) -> int:
    code = 0
    inside = _IN_SWEEP.set(True)
    try:
        for job in jobs:
            code = code or stop.exit_code
            if not code:
                code = _code(launcher.launch([job], initial_job_idx=0)[0])
    finally:
        _IN_SWEEP.reset(inside)
    return code


def _is_place(text: str) -> bool:
    return text.startswith(_SUBDIR)


def _code(result: Any) -> int:  # noqa: ANN401  a JobReturn of Hydra
    """The exit code of a job that a signal stopped, otherwise 0."""
    value = getattr(result, "_return_value", None)
    code = value.get("exit_code") if isinstance(value, dict) else None
    return code if code in STOPPED else 0
