"""The one record stream of a run, and its mirrors."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from reach_rl.config.convert import to_tree
from reach_rl.config.kinds import WandbMode
from reach_rl.config.redact import redact
from reach_rl.config.schema import Config
from reach_rl.monitoring.metrics import describe, evaluation_metrics
from reach_rl.monitoring.writers.base import Writer
from reach_rl.monitoring.writers.json_lines import STEP, JsonLinesWriter, read_records
from reach_rl.monitoring.writers.tensorboard import TensorBoardWriter
from reach_rl.monitoring.writers.wandb import RunInfo, WandbWriter
from reach_rl.monitoring.writers.wandb_access import resolve
from reach_rl.rundir.disk import Told, ignore
from reach_rl.rundir.files import read_json

Say = Callable[[str], None]


class Record:
    """Fans records out to writers. A writer that fails is dropped with one warning."""

    def __init__(self, writers: Sequence[Writer], warn: Say = print) -> None:
        """Record to the writers, in this order; `warn` tells the user a line."""
        self._writers = list(writers)
        self._warn = warn
        self._known: set[str] = set()

    def __enter__(self) -> Self:
        """The record, to be closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close, with the exit code that the error leads to."""
        self.close(exit_code(error))

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Record values at a step.

        Args:
            step: environment steps so far, all environments together.
            values: metric name -> number, bool, text or None; NaN and infinity are recorded as
                null. Names are those of `metrics`; another one is recorded after a warning.
        """
        plain = {name: _plain(value) for name, value in values.items()}
        self._check_names(plain)
        self._each(lambda writer: writer.write(int(step), plain))

    def alert(self, step: int, title: str, text: str, check: str | None = None) -> None:
        """Record a warning, of that check of the diagnosis, and draw attention to it."""
        named = {} if check is None else {"health/check": check}
        self.write(step, {"health/alert": title, "health/alert_text": text, **named})
        self._each(lambda writer: writer.alert(step, title, text))

    def checkpoint(self, step: int, path: Path, aliases: Sequence[str] = ()) -> None:
        """Tell of a checkpoint folder and its aliases, of best and latest."""
        self._each(lambda writer: writer.checkpoint(step, path, aliases))

    def video(self, step: int, name: str, path: Path) -> None:
        """Tell of a video file."""
        self._each(lambda writer: writer.video(step, name, path))

    def evaluation(self, step: int, evaluations: Mapping[str, Mapping[str, Any]]) -> None:
        """Record the final evaluations: label -> evaluation dictionary, under final/<label>/."""
        values: dict[str, Any] = {}
        for label, evaluation in evaluations.items():
            values.update(evaluation_metrics(evaluation, f"final/{label}"))
        self.write(step, values)
        self._each(lambda writer: writer.evaluation(step, evaluations))

    def sync(self) -> None:
        """Make what was recorded durable. Raises OSError if the disk refuses."""
        for writer in self._writers:
            writer.sync()

    def written(self) -> bool:
        """Whether the disk has taken everything so far."""
        try:
            self.sync()
        except OSError:
            return False
        return True

    def state(self) -> dict[str, Any]:
        """Where the writers are, as plain JSON values; for open_record of a run that goes on."""
        return {k: v for writer in self._writers for k, v in writer.state().items()}

    def close(self, exit_code: int = 0) -> None:
        """Close every writer; a second call does nothing."""
        self._each(lambda writer: writer.close(exit_code))
        self._writers.clear()

    def _check_names(self, names: Mapping[str, Any]) -> None:
        if names.keys() <= self._known:
            return
        for name in names:
            if name in self._known:
                continue
            self._known.add(name)
            try:
                describe(name)
            except KeyError as error:
                self._warn(f"warning: {error.args[0]}")

    def _each(self, call: Callable[[Writer], None]) -> None:
        for writer in tuple(self._writers):
            try:
                call(writer)
            except Exception as error:
                self._writers.remove(writer)
                self._warn(
                    f"warning: {writer.name} failed and is off from here on: "
                    f"{type(error).__name__}: {error}"
                )


def exit_code(error: BaseException | None) -> int:
    """The exit code of a process that ends with an error: its own `exit_code`, or 1."""
    if error is None:
        return 0
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return int(getattr(error, "exit_code", 1))


def open_record(
    run_dir: Path,
    config: Config,
    resume: bool = False,
    step: int = 0,
    say: Say = print,
    state: Any = None,  # noqa: ANN401  plain JSON
    told: Told = ignore,
    job_type: str = "train",
    group: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> Record:
    """Open metrics.jsonl, TensorBoard and W&B of a run.

    Args:
        run_dir: the run's folder, which exists.
        config: of the run.
        resume: whether the run goes on; records after `step` are cut, so that none appears twice.
        step: from which it goes on.
        say: tells the user a line; may be called from another thread.
        state: of the writers then, from Record.state(); records made after it are cut too.
        told: of a disk that refuses, and of the end of that.
        job_type: W&B's kind of run, such as train or evaluate.
        group: W&B group where the configuration names none; None: the multirun's folder, if any.
        details: more for W&B's config; None: `provenance`.

    Raises:
        FileExistsError: if a new run's folder holds records already.
        OSError: if metrics.jsonl cannot be opened.
    """
    resume_step = step if resume else None
    path = run_dir / "metrics.jsonl"
    known = state if isinstance(state, Mapping) else {}
    lines = JsonLinesWriter(path, resume_step, known.get("records"), told)
    first_record = None if resume_step is None else lines.records_before
    latest = [r for r in read_records(path) if r[STEP] == step] if resume else []
    again = [(step, {k: v for k, v in record.items() if k != STEP}) for record in latest]
    events = Path(config.ppo.tensorboard_log or run_dir / "tb")
    return Record(
        [
            lines,
            _mirror(
                "TensorBoard", say, lambda: TensorBoardWriter(events, resume_step, again, told)
            ),
            _mirror(
                "W&B",
                say,
                lambda: _open_wandb(
                    replace(
                        run_info(
                            run_dir,
                            config,
                            job_type,
                            group,
                            details or provenance(run_dir),
                            first_record,
                        ),
                        run_id=known.get("wandb_run_id"),
                    ),
                    config.wandb.mode,
                    say,
                ),
            ),
        ],
        say,
    )


def provenance(run_dir: Path) -> dict[str, Any]:
    """Git commit, packages, machine and overrides of a run, as its provenance.json has them."""
    found = read_json(run_dir / "provenance.json")
    kept = {k: found[k] for k in ("packages", "machine", "overrides") if k in found}
    git = found.get("git") or {}
    kept |= {f"git_{k}": git[k] for k in ("commit", "branch", "dirty") if k in git}
    return {"provenance": kept} if kept else {}


def run_info(
    run_dir: Path,
    config: Config,
    job_type: str,
    group: str | None,
    details: Mapping[str, Any],
    first_record: int | None,
) -> RunInfo:
    """What W&B is told about a run; secrets and the home folder are left out of its config."""
    wandb = config.wandb
    batch, name = _multirun(run_dir)
    return RunInfo(
        run_dir=run_dir,
        project=wandb.project,
        config=_without_home(redact({**to_tree(config), **details})),
        entity=wandb.entity,
        group=wandb.group or group or batch,
        name=redact(wandb.name) or name,
        tags=redact(wandb.tags),
        notes=redact(wandb.notes),
        job_type=job_type,
        first_record=first_record,
        timeout=wandb.timeout,
    )


def _without_home(tree: Any) -> Any:  # noqa: ANN401  any plain tree
    """A plain tree with ~ for the user's home folder, whose name is nobody's business."""
    if isinstance(tree, Mapping):
        return {str(key): _without_home(item) for key, item in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_without_home(item) for item in tree]
    home = str(Path.home())
    if isinstance(tree, str) and (tree == home or tree.startswith(home + "/")):
        return "~" + tree[len(home) :]
    return tree


def _mirror(name: str, say: Say, make: Callable[[], Writer]) -> Writer:
    """A writer, or the one that does nothing if it cannot be opened."""
    try:
        return make()
    except Exception as error:
        say(f"warning: {name} is off: {type(error).__name__}: {error}")
        return Writer()


def _open_wandb(info: RunInfo, mode: WandbMode, say: Say) -> Writer:
    access = resolve(mode)
    if access.notice:
        say(access.notice)
    if access.mode is WandbMode.DISABLED:
        return Writer()
    return WandbWriter(info, access.mode, say)


def _multirun(run_dir: Path) -> tuple[str | None, str]:
    """The group and the name of a run: one of multirun/<date>/<time>/<n>, or of another sweep."""
    folder = run_dir.resolve()
    parts = folder.parts
    if "multirun" in parts[:-1]:
        below = parts[len(parts) - 1 - parts[::-1].index("multirun") + 1 :]
        if len(below) >= 2:
            return "_".join(below[:-1]), "_".join(below)
    for sweep in folder.parents[:3]:  # a trial of several runs has a folder for each
        if (sweep / "multirun.yaml").is_file():
            return sweep.name, "_".join([sweep.name, *folder.relative_to(sweep).parts])
    return None, folder.name


def _plain(value: Any) -> float | int | str | None:  # noqa: ANN401
    """A JSON value: NumPy and torch scalars become numbers, what is not finite None."""
    if type(value) is float:
        return value if math.isfinite(value) else None
    item = getattr(value, "item", None)
    if item is not None:
        value = item()
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return int(value)
    number = float(value)
    return number if math.isfinite(number) else None
