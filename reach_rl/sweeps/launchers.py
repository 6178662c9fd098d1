"""How many trials run side by side, and how many threads each may use."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

THREADS = "vec_env.threads"


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def kind(launcher: Mapping[str, Any]) -> str:
    """The launcher behind its configuration: basic, joblib, submitit_local or submitit_slurm."""
    name = str(launcher.get("_target_", "")).rpartition(".")[2]
    kinds = {
        "JoblibLauncher": "joblib",
        "LocalLauncher": "submitit_local",
        "SlurmLauncher": "submitit_slurm",
    }
    return kinds.get(name, "basic")


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
    what = kind(launcher)
    if any(text.lstrip("+").startswith(f"{THREADS}=") for text in overrides):
        return []
    each = launcher.get("cpus_per_task")
    if what == "basic" or (what == "submitit_slurm" and not each):
        return []
    threads = int(each) if what.startswith("submitit") and each else max(1, cores() // parallel)
    return [f"{THREADS}={threads}"]
