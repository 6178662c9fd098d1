"""Weights & Biases, spoken to on a thread of its own so that training never waits for it.

The package is imported on that thread, and only when a mode asks for it.
"""

import os
import queue
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reach_rl.config.kinds import WandbMode
from reach_rl.config.redact import redact
from reach_rl.monitoring.metrics import CATALOGUE, evaluation_metrics
from reach_rl.monitoring.writers.base import Values, Writer
from reach_rl.monitoring.writers.wandb_models import Models, log_model

GATHER_SECONDS = 1.0
"""What is recorded within this time is logged together, which costs two thirds (s)."""
GRACE_SECONDS = 10.0
LONGEST_LINE = 200
QUEUE_RECORDS = 20_000

SERVICE = "WANDB_SERVICE"
"""Environment variable in which W&B tells processes started by this one of its service."""

Job = Callable[[Any], None]
"""Something to do with the wandb.Run."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What W&B is told about a run."""

    run_dir: Path
    project: str
    config: Mapping[str, Any]
    """Plain and redacted."""
    entity: str | None = None
    group: str | None = None
    name: str | None = None
    tags: Sequence[str] = ()
    notes: str | None = None
    job_type: str = "train"
    first_record: int | None = None
    """Number of the next record of a resumed run; None for a new run."""
    run_id: str | None = None
    """W&B's identity of a resumed run; None: what the folder holds, or a new one."""
    timeout: float = 15.0
    """Longest wait to go online and, at the end, for what is still to be sent (s)."""


class WandbWriter(Writer):
    """Mirrors the records to W&B; online falls back to offline.

    Errors on the thread end up as one line through `say`; the queue is bounded, so a stalled
    service costs neither time nor much memory.
    """

    name = "W&B"

    def __init__(self, info: RunInfo, mode: WandbMode, say: Callable[[str], None]) -> None:
        """Begin, without waiting for the service.

        Args:
            info: about the run.
            mode: online or offline.
            say: tells the user a line; called from the thread.

        Raises:
            OSError: the run's identity cannot be kept in its folder.
        """
        self._info = info
        self._mode = mode
        self._say = say
        self._jobs: queue.Queue[Job | int] = queue.Queue(QUEUE_RECORDS)
        self._dead = False
        self._complained: set[str] = set()
        self._records = 0
        self._folder: Path | None = None
        self._id = _run_id(info.run_dir, info.run_id)
        self._models = Models(info.run_dir)
        self._started = time.monotonic()
        self._open_or_over = threading.Event()
        self._at_once = threading.Event()
        self._thread = threading.Thread(target=self._work, name="wandb", daemon=True)
        self._thread.start()

    def write(self, step: int, values: Values) -> None:
        """Log a record."""
        data = {"global_step": step, **values}
        # An offline run starts to count at 0; a resumed one goes on where its records go on.
        number = self._info.first_record if self._records == 0 else None
        self._records += 1
        self._put(lambda run: run.log(data, step=number if run.offline else None, commit=True))

    def alert(self, step: int, title: str, text: str) -> None:
        """Send a W&B alert."""
        self._try("alerts", lambda run: run.alert(title=title[:63], text=text, level="WARN"))

    def checkpoint(self, step: int, path: Path, aliases: Sequence[str]) -> None:
        """Log the folder as a version of the run's model artifact."""
        if self._dead:
            return
        kept = self._models.keep(path)
        self._try("checkpoints", lambda run: log_model(run, kept, step, aliases))

    def video(self, step: int, name: str, path: Path) -> None:
        """Log a video file."""

        def job(run: Any) -> None:  # noqa: ANN401
            import wandb

            run.log({"global_step": step, name: wandb.Video(str(path))})

        self._try("videos", job)

    def evaluation(self, step: int, evaluations: Mapping[str, Mapping[str, Any]]) -> None:
        """Log the table `evaluation`: a row for each label."""
        rows = {label: evaluation_metrics(e, "") for label, e in evaluations.items()}
        names = list(dict.fromkeys(name for row in rows.values() for name in row))

        def job(run: Any) -> None:  # noqa: ANN401
            import wandb

            table = wandb.Table(columns=["region", *(name[1:] for name in names)])
            for label, row in rows.items():
                table.add_data(label, *(row.get(name) for name in names))
            run.log({"global_step": step, "evaluation": table})

        self._try("the evaluation table", job)

    def state(self) -> dict[str, Any]:
        """W&B's identity of the run."""
        return {"wandb_run_id": self._id}

    def sync(self) -> None:
        """Have what there is logged now: a checkpoint is about to count on it."""
        self._at_once.set()

    def close(self, exit_code: int) -> None:
        """Finish the run, waiting a bounded time for what is still to be sent."""
        self._at_once.set()
        if not self._dead:
            with suppress(queue.Full):
                self._jobs.put(exit_code, timeout=GRACE_SECONDS)
        beginning = self._started + self._info.timeout + GRACE_SECONDS - time.monotonic()
        if self._open_or_over.wait(max(1.0, beginning)):
            self._thread.join(self._info.timeout + GRACE_SECONDS)
        if self._thread.is_alive():
            self._dead = True
            self._say(f"W&B does not answer; it is left alone.{self._how_to_sync()}")

    def _put(self, job: Job) -> None:
        if self._dead:
            return
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            self._dead = True
            raise TimeoutError("the service does not take records") from None

    def _try(self, what: str, job: Job) -> None:
        """Do something whose failure does not end the mirroring of records."""

        def guarded(run: Any) -> None:  # noqa: ANN401
            try:
                job(run)
            except ConnectionError:
                raise
            except Exception as error:
                if what not in self._complained:
                    self._complained.add(what)
                    self._say(f"W&B goes without {what}: {_line(error)}")

        self._put(guarded)
        self._at_once.set()

    def _work(self) -> None:
        try:
            run = self._open()
            self._open_or_over.set()
            while callable(job := self._jobs.get()):
                job(run)
                if self._jobs.empty():
                    self._at_once.wait(GATHER_SECONDS)
                    self._at_once.clear()
            run.finish(exit_code=job)
            if run.offline:
                self._say(f"W&B: recorded on this machine.{self._how_to_sync()}")
            else:
                self._models.clear()
        except Exception as error:
            if not self._dead:
                self._say(
                    f"W&B failed, training goes on without it: {_line(error)}{self._how_to_sync()}"
                )
        finally:
            self._dead = True
            self._open_or_over.set()

    def _open(self) -> Any:  # noqa: ANN401  a wandb.Run
        run = self._init()
        self._folder = Path(run.settings.sync_dir)
        run.define_metric("global_step", hidden=True)
        run.define_metric("*", step_metric="global_step")
        for metric in CATALOGUE.values():
            if metric.unit == "text":
                run.define_metric(metric.name, step_metric="global_step", hidden=True)
        if not run.offline:
            self._say(f"W&B: {run.url}")
        return run

    def _init(self) -> Any:  # noqa: ANN401  a wandb.Run
        mode = "online" if self._mode is WandbMode.ONLINE else "offline"
        try:
            return self._init_once(mode)
        except Exception as error:
            # The service of an earlier run in this process has died, or of the process that started
            # this one, or the attempt to go online failed and the service still holds the run.
            # Each time a new service helps.
            import wandb

            if mode == "online" and not _service_died(error):
                self._say(f"W&B: not online, records stay on this machine: {_line(error)}")
                mode = "offline"
            with suppress(Exception):
                wandb.teardown(exit_code=1)
            os.environ.pop(SERVICE, None)
            return self._init_once(mode)

    def _init_once(self, mode: str) -> Any:  # noqa: ANN401  a wandb.Run
        import wandb

        info = self._info
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # its failures would be printed
        wandb.setup(wandb.Settings(silent=True))
        return wandb.init(
            mode=mode,  # type: ignore[arg-type]
            project=info.project,
            entity=info.entity,
            group=info.group,
            name=info.name,
            tags=list(info.tags),
            notes=info.notes,
            job_type=info.job_type,
            config=dict(info.config),
            dir=str(info.run_dir),
            id=self._id,
            resume="allow" if mode == "online" else None,
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                disable_code=True,
                save_code=False,
                x_disable_meta=redact(sys.argv) != sys.argv,  # it would tell the arguments
                init_timeout=info.timeout,
                finish_timeout=info.timeout,
                finish_timeout_raises=True,
            ),
        )

    def _how_to_sync(self) -> str:
        return f" Send it later with: wandb sync {self._folder}" if self._folder else ""


def _run_id(run_dir: Path, known: str | None) -> str:
    """The W&B identity of a run, kept in its folder so that a resumed run goes on as itself."""
    path = run_dir / "wandb" / "run_id"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(known or uuid.uuid4().hex[:12])
    return path.read_text().strip()


def _service_died(error: BaseException) -> bool:
    names = ("MailboxClosedError", "WandbServiceConnectionError")
    return isinstance(error, ConnectionError) or type(error).__name__ in names


def _line(error: BaseException) -> str:
    """The first line of an error, not too long."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 3] + "..."
