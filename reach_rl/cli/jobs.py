"""What calls a verb's job: directly for one run, through Hydra for each of many."""

import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from reach_rl.cli.termination import NOTED, ExitCodes, code_of, listen
from reach_rl.config.composition import plain
from reach_rl.config.load import CALL, Call, Proof, to_config
from reach_rl.config.problems import ConfigError
from reach_rl.config.search import current
from reach_rl.config.untrusted import redact
from reach_rl.config.verbs import VERBS, Verb
from reach_rl.origins import Carried
from reach_rl.rundir.atomic import write_atomic
from reach_rl.rundir.folder import discard, new_folder
from reach_rl.rundir.resume import holds_run, requeued

STOPPED = (130, 143)


def run_one(verb: Verb, job: Callable[..., Any], proof: Proof) -> int:
    """Call a job with the configuration that was proved; returns the exit code."""
    result = outcome(verb, job, proof)
    return result if isinstance(result, int) else 0


def outcome(verb: Verb, job: Callable[..., Any], proof: Proof) -> Any:  # noqa: ANN401
    """Call a job with the configuration that was proved; returns what it returns."""
    with _called(proof.overrides, proof.folders):
        if not verb.makes_run:
            return job(proof.config)
        folder, made = new_folder(proof.config)
        try:
            return job(proof.config, folder)
        except (ConfigError, KeyboardInterrupt):
            discard(made)
            raise


@contextmanager
def _called(overrides: Sequence[str], folders: Sequence[Path]) -> Iterator[None]:
    own = tuple(text for text in overrides if not text.lstrip("+~").startswith("hydra"))
    token = CALL.set(Call(own, tuple(folder.absolute() for folder in folders)))
    try:
        yield
    finally:
        CALL.reset(token)


class HydraJob:
    """A verb's job as Hydra's task function; launchers pickle it as it is."""

    def __init__(self, verb: Verb, job: Callable[..., Any], folders: Sequence[Path]) -> None:
        self.code = Carried()  # first, since what comes after it may need it
        self.verb = verb.name
        self.job = job
        self.folders = tuple(folder.absolute() for folder in folders)
        self.pid = os.getpid()
        self.codes: list[int] = []
        self.report = ExitCodes()
        self.error: ConfigError | None = None
        """Of the sweep as a whole."""

    def __call__(self, cfg: Any) -> Any:  # noqa: ANN401  OmegaConf in, the job's result out
        """Run one job; report what failed, and leave the other jobs alone."""
        from hydra.core.hydra_config import HydraConfig

        launched_it = os.getpid() == self.pid  # else this is a process of a launcher
        if not launched_it:
            listen(lambda number, frame: NOTED.append(number))
            codes = [*map(code_of, NOTED), *self.report.codes()]
            if stopped := [code for code in codes if code in STOPPED]:
                return {"exit_code": stopped[0]}
        hydra = HydraConfig.get()
        folder = Path(hydra.runtime.output_dir)
        _hide(Path(hydra.sweep.dir) / "multirun.yaml")
        try:
            with _called(hydra.overrides.task, self.folders):
                result = self._call(plain(cfg), folder)
        except ConfigError as error:
            _note(folder, "".join(f"error: {problem}\n" for problem in error.problems))
            if not launched_it:
                raise
            if current() is None:
                self.codes.append(2)
            return {"exit_code": 2, "problems": error.problems}
        except Exception:
            _note(folder, traceback.format_exc())
            raise
        if not isinstance(result, int):
            return result
        if launched_it:
            if result in STOPPED:
                raise SystemExit(result)
            self.codes.append(result)
        else:
            self.report.add(result)
        return {"exit_code": result}

    def _call(self, tree: dict[str, Any], folder: Path) -> Any:  # noqa: ANN401
        config = to_config(tree, VERBS[self.verb])
        if config.resume is None and requeued() and holds_run(folder):
            config = replace(config, resume="auto")
        return self.job(config, folder)

    def close(self) -> int:
        """The exit code: the first of all jobs, those of other processes too, that is not 0."""
        codes = [*self.codes, *self.report.codes()]
        self.report.close()
        return next((code for code in codes if code), 0)


def _note(folder: Path, text: str) -> None:
    """Keep what a job of a multirun died of, in its folder and on the terminal."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "train.log").open("a", encoding="utf-8") as log:
        log.write(redact(text))
    if current() is None:  # a search tells its failures itself
        sys.stderr.write(f"{folder}:\n{text}")


def _hide(path: Path) -> None:
    """Take credentials out of a file that Hydra wrote."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if redact(text) != text:
        write_atomic(path, redact(text))
