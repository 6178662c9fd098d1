"""A job that a cluster started again goes on with the run that it had begun."""

import os
from collections.abc import Sequence
from pathlib import Path

from reach_rl.rundir.atomic import read_json


def requeued() -> bool:
    """Whether this process is a job that Slurm, or submitit on this machine, started again."""
    count = os.environ.get("SLURM_RESTART_COUNT", "")
    local = os.environ.get("SUBMITIT_EXECUTOR") == "local"
    return local or (count.isdecimal() and int(count) > 0)


def job_id() -> str | None:
    """The cluster's name of this job, the same after a restart; None outside of a cluster."""
    number = os.environ.get("SLURM_JOB_ID")
    return f"slurm {number}" if number else None


def holds_run(folder: Path) -> bool:
    """Whether a folder holds something of a run to go on with."""
    records = folder / "metrics.jsonl"
    return records.is_file() or any(folder.glob("checkpoints/step_*"))


def going_on(overrides: Sequence[str]) -> list[str]:
    """The overrides of a single run, with what makes a requeued job go on by itself."""
    own = {text.partition("=")[0].lstrip("+"): text.partition("=")[2] for text in overrides}
    if not requeued() or "resume" in own:
        return list(overrides)
    folder = Path(own["run_dir"]) if own.get("run_dir") else _begun(overrides)
    if folder is None or not holds_run(folder):
        return list(overrides)
    rest = [text for text in overrides if text.partition("=")[0].lstrip("+") != "run_dir"]
    return [*rest, f'run_dir="{folder}"', "resume=auto"]


def _begun(overrides: Sequence[str]) -> Path | None:
    """The folder under runs/ that this job began with the same overrides."""
    job = job_id()
    if job is None:
        return None
    for path in sorted(Path("runs").glob("*/*/status.json"), reverse=True):
        known = read_json(path.parent / "provenance.json").get("overrides")
        if read_json(path).get("job") == job and known == list(overrides):
            return path.parent
    return None
