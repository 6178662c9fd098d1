"""Hydra's launchers: how many jobs run side by side, with how many threads, and how they end."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reach_rl.cli.jobs import STOPPED
from reach_rl.rundir.provenance import cores
from reach_rl.sweeps.ledger import STOP, touch
from reach_rl.sweeps.trial import Signalled

if TYPE_CHECKING:
    from hydra.plugins.launcher import Launcher

THREADS = "vec_env.threads"

Jobs = Sequence[tuple[Path, Sequence[str]]]
"""Folder and overrides of each."""

_KINDS = {
    "JoblibLauncher": "joblib",
    "LocalLauncher": "submitit_local",
    "SlurmLauncher": "submitit_slurm",
}


def kind(launcher: Mapping[str, Any]) -> str:
    """The launcher behind its configuration: basic, joblib, submitit_local or submitit_slurm."""
    return _KINDS.get(str(launcher.get("_target_", "")).rpartition(".")[2], "basic")


def workers(launcher: Mapping[str, Any], asked: int | None = None) -> int:
    """How many trials this process keeps running at once.

    Args:
        launcher: `hydra.launcher`, resolved.
        asked: what the user asked for; None: one with the basic launcher, joblib's `n_jobs`,
            locally one per `cpus_per_task` cores, and on Slurm four.
    """
    what = kind(launcher)
    if what == "basic":
        return 1
    if asked is not None:
        return max(1, asked)
    if what == "joblib":
        n_jobs = int(launcher.get("n_jobs") or 1)
        return n_jobs if n_jobs > 0 else max(1, cores() + 1 + n_jobs)
    if what == "submitit_local":
        return max(1, cores() // int(launcher.get("cpus_per_task") or 1))
    return min(4, int(launcher.get("array_parallelism") or 4))


def shares(launcher: Mapping[str, Any], parallel: int, overrides: Sequence[str] = ()) -> list[str]:
    """Overrides that give each trial its share of the cores; none where the user said how many.

    Args:
        launcher: `hydra.launcher`, resolved.
        parallel: trials at once on this machine, or by one process on the cluster.
        overrides: of the command line and of the search space.
    """
    what, each = kind(launcher), launcher.get("cpus_per_task")
    told = any(text.lstrip("+").startswith(f"{THREADS}=") for text in overrides)
    if told or what == "basic" or (what == "submitit_slurm" and not each):
        return []
    return [f"{THREADS}={int(each) if each else max(1, cores() // parallel)}"]


def returned(result: Any) -> tuple[Any, int]:  # noqa: ANN401  a JobReturn of Hydra
    """What a job returned or raised, and the exit code of a stop by a signal, otherwise 0."""
    value = getattr(result, "_return_value", None)
    code = value.get("exit_code") if isinstance(value, dict) else None
    return value, code if code in STOPPED else 0


def in_slots(
    parallel: int,
    jobs: int,
    step: Callable[[], bool],
    over: Callable[[], bool],
    running: Callable[[], Iterable[Path]],
) -> BaseException | None:
    """Work through jobs, side by side in threads or, where one runs at once, here.

    Args:
        parallel: how many run at once.
        jobs: how many there are.
        step: does one, and tells whether there may be more.
        over: whether to begin no more and to have what runs stopped.
        running: the folders of what runs.

    Returns:
        The first error that a step raised, which ends the others too.
    """
    errors: list[BaseException] = []

    def slot() -> None:
        try:
            while not errors and not over() and step():
                pass
        except BaseException as error:
            errors.append(error)

    count = min(parallel, jobs) if parallel > 1 else 0
    threads = [threading.Thread(target=slot, name=f"slot-{i}", daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    if parallel == 1:
        slot()
    while any(thread.is_alive() for thread in threads):
        for folder in running() if errors or over() else ():
            touch(folder / STOP)  # again and again: a job that is just beginning voids earlier ones
        time.sleep(0.1)
    return next(iter(errors), None)


def launch_all(launcher: "Launcher", jobs: Jobs, parallel: int, stop: Signalled) -> int:
    """Have jobs run, and stopped when this process is; the exit code of a stop, otherwise 0.

    Args:
        launcher: of Hydra.
        jobs: to run.
        parallel: how many run at once.
        stop: whether a signal asked to stop.

    Raises:
        BaseException: what the launcher raised, such as for a worker that died.
    """
    left, running, codes = iter(jobs), set[Path](), [0]

    def step() -> bool:
        for folder, job in left:
            running.add(folder)
            codes.append(returned(launcher.launch([job], initial_job_idx=0)[0])[1])
            running.discard(folder)
            return True
        return False

    def over() -> bool:
        return bool(stop.exit_code or any(codes))

    error = in_slots(parallel, len(jobs), step, over, running.copy)
    if error is not None and not stop.exit_code:
        raise error
    return stop.exit_code or max(codes)
