"""status.json: what has become of a run, readable while it runs and after it died."""

import datetime
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reach_rl.config.untrusted import redact
from reach_rl.rundir.atomic import read_json, write_json


class Status:
    """Writes status.json of a run's folder."""

    def __init__(self, run_dir: Path, write: Callable[[Path, Any], None] = write_json) -> None:
        self.path = run_dir / "status.json"
        self.write = write
        self.started = now()

    def set(self, state: str, reason: str = "") -> None:
        """Record the state, and why; atomically.

        Args:
            state: running, finished, failed, stopped, diverged or pruned.
            reason: for people.
        """
        content = {
            "state": state,
            "reason": redact(reason),
            "pid": os.getpid(),
            "process_start": process_start(os.getpid()),
            "host": socket.gethostname(),
            "job": job_id(),
            "started": self.started,
            "updated": now(),
            "finished": None if state == "running" else now(),
        }
        self.write(self.path, content)


def job_id() -> str | None:
    """The cluster's name of this job, the same after a restart; None outside of a cluster."""
    number = os.environ.get("SLURM_JOB_ID")
    return f"slurm {number}" if number else None


def now() -> str:
    """The local time with its offset from UTC, to the second."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def process_start(pid: int) -> str | None:
    """When a process of this machine started, in the kernel's ticks; None if it is not there."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]


def read_status(run_dir: Path) -> dict[str, Any]:
    """status.json, with state `died` for a run of this machine whose process is gone."""
    content = read_json(run_dir / "status.json")
    here = content.get("state") == "running" and content.get("host") == socket.gethostname()
    found, start = process_start(int(content.get("pid") or 0)), content.get("process_start")
    tells = Path("/proc/self/stat").exists()  # not every system does
    if here and tells and (found is None or start not in (None, found)):
        return content | {"state": "died", "reason": "the process is gone"}
    return content
