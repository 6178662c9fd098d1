"""What Hydra calls for each job: the typed configuration, the run's folder, and the outcome."""

import dataclasses
import datetime
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reach_rl.cli.ending import NOTED, Report
from reach_rl.config import context
from reach_rl.config.load import to_config
from reach_rl.config.problems import ConfigError
from reach_rl.config.redact import redact
from reach_rl.config.search import current
from reach_rl.config.verbs import VERBS, Verb
from reach_rl.rundir.atomic import write_atomic
from reach_rl.rundir.requeue import holds_run, requeued

STOPPED = (130, 143)


class Task:
    """A job of a verb as Hydra's task function; pickled as it is by launchers."""

    def __init__(
        self, verb: str, job: Callable[..., Any], multirun: bool, config_dir: Path | None
    ) -> None:
        self.__module__ = f"reach_rl.{verb}"  # names Hydra's job
        self.verb = verb
        self.job = job
        self.multirun = multirun
        self.config_dir = None if config_dir is None else config_dir.absolute()
        self.pid = os.getpid()
        self.own: tuple[Any, list[str]] | None = None
        """The configuration and the overrides of a run that goes on."""
        self.codes: list[int] = []
        self.report = Report() if multirun else None
        self.error: ConfigError | None = None

    def __call__(self, cfg: Any) -> Any:  # noqa: ANN401  OmegaConf in, the job's result out
        """Run one job; of a multirun, report what failed and leave the others alone."""
        if self.multirun:
            return self._one_of_many(cfg)
        try:
            result = self._run(cfg, None)
        except ConfigError as error:
            self.error = error
            return None
        self.codes.append(result if isinstance(result, int) else 0)
        return result

    def _run(self, cfg: Any, folder: Path | None) -> Any:  # noqa: ANN401
        from hydra.core.hydra_config import HydraConfig
        from omegaconf import OmegaConf

        tree = OmegaConf.to_container(cfg, resolve=True)
        assert isinstance(tree, dict)
        verb = VERBS[self.verb]
        typed = list(HydraConfig.get().overrides.task) if self.own is None else self.own[1]
        overrides = context.OVERRIDES.set(typed)
        config_dir = context.CONFIG_DIR.set(self.config_dir)
        try:
            return self._call(verb, {str(key): value for key, value in tree.items()}, folder)
        finally:
            context.OVERRIDES.reset(overrides)
            context.CONFIG_DIR.reset(config_dir)

    def _call(self, verb: Verb, tree: dict[str, Any], folder: Path | None) -> Any:  # noqa: ANN401
        config: Any = to_config(tree, verb) if self.own is None else self.own[0]
        if not verb.makes_run:
            return self.job(config)
        made = None
        if folder is None:
            folder, made = run_folder(config)
        elif config.resume is None and requeued() and holds_run(folder):
            config = dataclasses.replace(config, resume="auto")
        try:
            return self.job(config, folder)
        except (ConfigError, KeyboardInterrupt):
            discard(made)
            raise

    def _one_of_many(self, cfg: Any) -> Any:  # noqa: ANN401
        from hydra.core.hydra_config import HydraConfig

        stopped = self._stopped()
        if stopped:
            return {"exit_code": stopped}
        folder = Path(HydraConfig.get().runtime.output_dir)
        _hide(Path(HydraConfig.get().sweep.dir) / "multirun.yaml")
        try:
            result = self._run(cfg, folder)
        except ConfigError as error:
            _note(folder, "".join(f"error: {problem}\n" for problem in error.problems))
            if os.getpid() != self.pid:
                raise
            if current() is None:
                self.codes.append(2)
            return {"exit_code": 2, "problems": error.problems}
        except Exception:
            _note(folder, traceback.format_exc())
            raise
        if not isinstance(result, int):
            return result
        if result in STOPPED and os.getpid() == self.pid:
            raise SystemExit(result)
        self._tell(result)
        return {"exit_code": result}

    def _stopped(self) -> int:
        """In a process of a launcher, the code of a signal that asked to end; 0 if none did."""
        if os.getpid() == self.pid or self.report is None:
            return 0
        NOTED.listen()
        codes = [NOTED.code, *self.report.codes()]
        return next((code for code in codes if code in STOPPED), 0)

    def _tell(self, code: int) -> None:
        """Tell what launched the job its code."""
        self.codes.append(code)
        if os.getpid() != self.pid and self.report is not None:
            self.report.add(code)

    def close(self) -> None:
        """Take over the codes that other processes told."""
        if self.report is not None:
            self.codes += self.report.codes()
            self.report.close()

    @property
    def code(self) -> int:
        """The exit code: the first that is not 0."""
        return next((code for code in self.codes if code), 0)


def _note(folder: Path, text: str) -> None:
    """Keep what a job of a multirun died of, in its folder and on the terminal."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "train.log").open("a", encoding="utf-8") as log:
        log.write(redact(text))
    if current() is None:  # a search tells its failures itself
        sys.stderr.write(f"{folder}:\n{text}")


def _hide(path: Path) -> None:
    """Take credentials out of a file that Hydra wrote."""
    if path.is_file():
        text = path.read_text(encoding="utf-8")
        if redact(text) != text:
            write_atomic(path, redact(text))


def run_folder(config: Any) -> tuple[Path, Path | None]:  # noqa: ANN401  a Config
    """The folder of a single run, and the topmost folder that was made for it (None if none).

    resume=DIR goes on in DIR; run_dir=DIR is taken as it is; otherwise a fresh
    runs/<robot>/<date>_<time>, with _2, _3 ... should two runs start in one second.
    """
    given = config.resume if config.resume not in (None, "auto") else config.run_dir
    if given is not None:
        folder = Path(given).absolute()
        made = _first_missing(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return folder, made
    stamp = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    base = Path("runs").absolute() / config.robot.name / stamp
    number = 1
    while True:
        folder = base if number == 1 else base.with_name(f"{stamp}_{number}")
        made = _first_missing(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder, made


def _first_missing(folder: Path) -> Path | None:
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    return missing[-1] if missing else None


def discard(made: Path | None) -> None:
    """Remove a folder that was made for a run that could not start."""
    if made is not None and not any(made.rglob("metrics.jsonl")):
        shutil.rmtree(made, ignore_errors=True)
