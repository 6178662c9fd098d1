"""Weights & Biases, spoken to on a thread of its own so that training never waits for it.

The package is imported on that thread, and only when a mode asks for it.
"""

import configparser
import json
import netrc
import os
import queue
import re
import shlex
import shutil
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from reach_rl.config.schema import WandbMode
from reach_rl.config.untrusted import redact
from reach_rl.config.validation import to_tree
from reach_rl.extend import register
from reach_rl.monitoring.metrics import CATALOGUE, evaluation_metrics
from reach_rl.monitoring.record import Opening, Values, Writer
from reach_rl.rundir.provenance import group_and_name, highlights

DEFAULT_HOST = "https://api.wandb.ai"
GATHER_SECONDS = 1.0
"""What is recorded within this time is logged together, which costs two thirds (s)."""
GRACE_SECONDS = 10.0
LONGEST_LINE = 200
QUEUE_RECORDS = 20_000

SERVICE = "WANDB_SERVICE"
"""Environment variable in which W&B tells processes started by this one of its service."""

_GONE = ("MailboxClosedError", "WandbServiceConnectionError")
"""Names of the errors that tell that W&B's service is gone."""

Job = Callable[[Any], None]
"""Something to do with the wandb.Run."""


class WandbWriter(Writer):
    """Mirrors the records to W&B; online falls back to offline.

    Errors on the thread end up as one line through `say`; the queue is bounded, so a stalled
    service costs neither time nor much memory.
    """

    name = "W&B"

    @classmethod
    def open(cls, opening: Opening) -> Writer:
        """As wandb.mode and this machine say; disabled, a writer that does nothing."""
        mode, notice = usable(opening.config.wandb.mode, os.environ)
        if notice:
            opening.say(notice)
        if mode is WandbMode.DISABLED:
            return Writer()
        return cls(opening, mode)

    def __init__(self, opening: Opening, mode: WandbMode) -> None:
        """Begin online or offline, without waiting for the service.

        A resumed run keeps W&B's identity: the one in its state, or what its folder holds.

        Raises:
            OSError: the run's identity cannot be kept in its folder.
        """
        self._run_dir, self._about, self._mode = opening.run_dir, about(opening), mode
        self._say, self._timeout = opening.say, opening.config.wandb.timeout
        self._first_record = opening.first_record
        self._id = _identity(opening.run_dir, opening.state.get("wandb_run_id"))
        self._jobs: queue.Queue[Job | int] = queue.Queue(QUEUE_RECORDS)
        self._dead = False
        self._complained: set[str] = set()
        self._records = 0
        self._folder: Path | None = None
        self._models = opening.run_dir / "wandb" / "models"
        self._started = time.monotonic()
        self._open_or_over = threading.Event()
        self._at_once = threading.Event()
        self._thread = threading.Thread(target=self._work, name="wandb", daemon=True)
        self._thread.start()

    def write(self, step: int, values: Values) -> None:
        """Log a record."""
        data = {"global_step": step, **values}
        # An offline run starts to count at 0; a resumed one goes on where its records go on.
        number = self._first_record if self._records == 0 else None
        self._records += 1
        self._put(lambda run: run.log(data, step=number if run.offline else None, commit=True))

    def alert(self, step: int, title: str, text: str) -> None:
        """Send a W&B alert."""
        self._try("alerts", lambda run, _: run.alert(title[:63], text, level="WARN"))

    def checkpoint(self, step: int, path: Path, aliases: Sequence[str]) -> None:
        """Log the folder as a version of the run's model artifact."""
        if self._dead:
            return
        kept = self._models / path.name  # training removes old ones while W&B is still connecting
        shutil.copytree(path, kept, dirs_exist_ok=True)

        def job(run: Any, wandb: Any) -> None:  # noqa: ANN401
            model = wandb.Artifact(f"policy-{run.id}", "model", metadata={"global_step": step})
            model.add_dir(str(kept), policy="immutable", skip_cache=True)
            run.log_artifact(model, aliases=[*aliases, kept.name])

        self._try("checkpoints", job)

    def video(self, step: int, name: str, path: Path) -> None:
        """Log a video file."""

        def job(run: Any, wandb: Any) -> None:  # noqa: ANN401
            run.log({"global_step": step, name: wandb.Video(str(path))})

        self._try("videos", job)

    def evaluation(self, step: int, evaluations: Mapping[str, Mapping[str, Any]]) -> None:
        """Log the table `evaluation`: a row for each label."""
        rows = {label: evaluation_metrics(e, "") for label, e in evaluations.items()}
        names = list(dict.fromkeys(name for row in rows.values() for name in row))

        def job(run: Any, wandb: Any) -> None:  # noqa: ANN401
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
        beginning = self._started + self._timeout + GRACE_SECONDS - time.monotonic()
        if self._open_or_over.wait(max(1.0, beginning)):
            self._thread.join(self._timeout + GRACE_SECONDS)
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

    def _try(self, what: str, job: Callable[[Any, Any], None]) -> None:
        """Do something with the run and W&B's module, whose failure ends nothing else."""

        def guarded(run: Any) -> None:  # noqa: ANN401
            import wandb

            try:
                job(run, wandb)
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
                shutil.rmtree(self._models, ignore_errors=True)
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
            # W&B's service, of an earlier run or of the process that started this one, has died,
            # or it still holds the run that could not go online. Each time a new service helps.
            import wandb

            service_died = isinstance(error, ConnectionError) or type(error).__name__ in _GONE
            if mode == "online" and not service_died:
                self._say(f"W&B: not online, records stay on this machine: {_line(error)}")
                mode = "offline"
            with suppress(Exception):
                wandb.teardown(exit_code=1)
            os.environ.pop(SERVICE, None)
            return self._init_once(mode)

    def _init_once(self, mode: str) -> Any:  # noqa: ANN401  a wandb.Run
        import wandb

        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # its failures would be printed
        wandb.setup(wandb.Settings(silent=True))
        return wandb.init(
            **self._about,
            mode=mode,  # type: ignore[arg-type]
            dir=str(self._run_dir),
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
                init_timeout=self._timeout,
                finish_timeout=self._timeout,
                finish_timeout_raises=True,
            ),
        )

    def _how_to_sync(self) -> str:
        """The command that sends every part of the run, in the order in which they were made."""
        if self._folder is None:
            return ""
        flags = [] if self._folder.name.startswith("offline-") else ["--include-online"]
        parts = {*self._folder.parent.glob(f"offline-run-*-{self._id}"), self._folder}
        in_order = sorted(parts, key=lambda part: part.name.removeprefix("offline-"))
        command = shlex.join(["wandb", "sync", *flags, *map(str, in_order)])
        return f" Send it later with: {command}"


register("writer", "wandb", WandbWriter)


def about(opening: Opening) -> dict[str, Any]:
    """What W&B is told about a run; secrets and the home folder are left out of its config."""
    wandb, run_dir = opening.config.wandb, opening.run_dir
    group, name = group_and_name(run_dir)
    return {
        "project": wandb.project,
        "config": _without_home(redact({**to_tree(opening.config), **highlights(run_dir)})),
        "entity": wandb.entity,
        "group": wandb.group or group,
        "name": redact(wandb.name) or name,
        "tags": redact(wandb.tags),
        "notes": redact(wandb.notes),
        "job_type": "train",
    }


def _without_home(tree: Any) -> Any:  # noqa: ANN401  any plain tree
    """A plain tree with ~ for the user's home folder, whose name is nobody's business."""
    home = re.escape(json.dumps(str(Path.home()))[1:-1])
    return json.loads(re.sub(rf'(?<="){home}(?=[/"])', "~", json.dumps(tree)))


def _identity(run_dir: Path, known: str | None) -> str:
    """W&B's name of a run, kept in its folder so that a resumed run goes on as itself."""
    path = run_dir / "wandb" / "run_id"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(known or uuid.uuid4().hex[:12])
    return path.read_text().strip()


def _line(error: BaseException) -> str:
    """The first line of an error, not too long."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return textwrap.shorten(lines[0], LONGEST_LINE, placeholder="...")


def usable(mode: WandbMode, environ: Mapping[str, str]) -> tuple[WandbMode, str]:
    """What a configured mode comes to on this machine, and a line that says so if it is not plain.

    Auto is online with credentials and else disabled, and heeds WANDB_MODE; online without
    credentials is offline. W&B itself is neither imported nor asked.
    """
    asked = environ.get("WANDB_MODE", "").lower()
    off = environ.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes")
    if mode is WandbMode.AUTO and (off or asked == "disabled"):
        return WandbMode.DISABLED, ""
    if mode is WandbMode.AUTO and asked in ("offline", "dryrun"):
        return WandbMode.OFFLINE, ""
    if mode not in (WandbMode.AUTO, WandbMode.ONLINE):
        return mode, ""
    if has_credentials(environ):
        return WandbMode.ONLINE, ""
    if mode is WandbMode.ONLINE:
        notice = "W&B: not logged in (`wandb login`), so records stay on this machine"
        return WandbMode.OFFLINE, notice
    hint = "log in with `wandb login`, or record on this machine with wandb=offline"
    return WandbMode.DISABLED, f"W&B is off: {hint}"


def has_credentials(environ: Mapping[str, str]) -> bool:
    """Whether W&B finds a key where it looks for one: environment, netrc, its settings file."""
    if environ.get("WANDB_API_KEY") or environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    home = Path(environ.get("HOME") or Path.home())
    folder = Path(environ.get("WANDB_CONFIG_DIR") or home / ".config" / "wandb")
    parser = configparser.ConfigParser(interpolation=None)
    with suppress(configparser.Error, OSError, UnicodeDecodeError):
        parser.read(folder.expanduser() / "settings")
    known = dict(parser["default"]) if parser.has_section("default") else {}
    host = urlsplit(environ.get("WANDB_BASE_URL") or known.get("base_url") or DEFAULT_HOST).netloc
    named = environ.get("NETRC")
    files = [Path(named).expanduser()] if named else [home / ".netrc", home / "_netrc"]
    for file in files:
        with suppress(OSError, netrc.NetrcParseError):
            if (found := netrc.netrc(file).authenticators(host)) and found[2]:
                return True
    return bool(known.get("api_key"))
