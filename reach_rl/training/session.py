"""A run in its folder: records, status, signals, verdict and pictures around the learning."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from reach_rl.config.load import ConfigError, compose, to_tree
from reach_rl.config.redact import redact
from reach_rl.config.schema import Config
from reach_rl.envs.vec_env import WorkerLost
from reach_rl.evaluation import result
from reach_rl.evaluation.protocol import Evaluation
from reach_rl.monitoring.record import Record, open_record
from reach_rl.monitoring.tables import evaluation_table
from reach_rl.monitoring.terminal import Progress, TeeConsole, open_console
from reach_rl.rundir import atomic, resume
from reach_rl.rundir.atomic import read_json
from reach_rl.rundir.checkpoint import Checkpoint
from reach_rl.rundir.disk import Disk, reason
from reach_rl.rundir.folder import RunFolder
from reach_rl.rundir.provenance import write_run_files
from reach_rl.rundir.status import Status
from reach_rl.training import rollback
from reach_rl.training.divergence import Diverged
from reach_rl.training.loop import Observer, TrainingLoop
from reach_rl.training.profiling import profiled
from reach_rl.training.saving import NotSaved
from reach_rl.training.stopping import Stopped, StopRequest, listening
from reach_rl.training.trained import judge
from reach_rl.viz import plots

FAILED = 1
"""Exit code of a run that something outside of it has ended, after saving."""
DIVERGED = 3
"""Exit code of a run that was stopped because its numbers went bad."""
PRUNED = 4
"""Outcome of a run that its observer stopped; no process ends with it."""


def train(config: Config, folder: Path, observe: Observer | None = None) -> dict[str, Any] | int:
    """Train, judge and record one run.

    Args:
        config: the run; of one that goes on, what is asked to change (see learning.resume).
        folder: its folder; made if missing.
        observe: told of each periodic evaluation; says whether to stop.

    Returns:
        The figures of summary.json, or the exit code of a run that was stopped.

    Raises:
        ConfigError: the robot, the region or the checkpoint to go on from is not fit.
    """
    with listening() as stop:
        session = Session(folder, stop, observe)
        try:
            return session.run(config)
        finally:
            session.close()


class Session:
    """What surrounds a run: console, status and the wish to stop."""

    def __init__(self, folder: Path, stop: StopRequest, observe: Observer | None = None) -> None:
        """Lock the folder; speak to the terminal and to train.log.

        Raises:
            ConfigError: the folder cannot be written to, or another process writes to it.
        """
        self.folder = folder
        self.stop = stop
        self.observe = observe
        with _writable(folder):
            self.home = RunFolder(folder, Disk(self.say))
            self.console: TeeConsole = open_console(folder / "train.log")

    def say(self, text: str) -> None:
        """A line, never cut or taken for markup."""
        self.console.print(text, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Close the log and give the folder back."""
        self.console.close()
        self.home.close()

    def run(self, config: Config) -> dict[str, Any] | int:
        """The run from its beginning, or from where it was, to its verdict."""
        saved = resume.find(config, self.folder, self.say, self.home.lock.certain)
        goes_on = config.resume is not None
        if saved is not None:
            config = resume.continued(saved.config, config, self.say)
            summary = self._complete(config, saved)
            if summary is not None:
                return summary
        status = Status(self.folder, self.home.put_json)
        status.set("running")
        return self._attempt(config, saved, goes_on, status)

    def _attempt(
        self, config: Config, saved: Checkpoint | None, goes_on: bool, status: Status
    ) -> dict[str, Any] | int:
        try:
            with self._begun(config, saved, goes_on) as (run, record):
                outcome = self._learn_and_judge(run, record)
                run.saver.finish(lambda: record.written() and not self.home.finish())
                record.close(outcome if isinstance(outcome, int) else 0)
        except Diverged as error:
            back = rollback.begin(config, self.folder, error, self.say)
            if back is not None:
                return self._attempt(config, back, True, status)
            self.say(f"stopped: {error}\n{rollback.kept(self.folder)}")
            status.set("diverged", str(error))
            return DIVERGED
        except WorkerLost as error:
            self.say(f"failed: {error}\n{rollback.kept(self.folder)}")
            status.set("failed", str(error).partition("\n")[0])
            return FAILED
        except NotSaved as error:
            self.say(f"failed: {error}")
            status.set("failed", str(error))
            return FAILED
        except KeyboardInterrupt:
            status.set("stopped", "at once")
            raise
        except BaseException as error:
            status.set("failed", f"{type(error).__name__}: {error}")
            raise
        if self.stop.signal is not None:
            status.set("stopped", self.stop.name)
            return self.stop.exit_code
        status.set("pruned" if outcome == PRUNED else "finished", self.stop.pruned)
        return outcome

    def _complete(self, config: Config, saved: Checkpoint) -> dict[str, Any] | None:
        """The figures of a run that has nothing left to do."""
        summary = read_json(self.folder / "summary.json")
        done = int(str(saved.progress["num_timesteps"]))
        if done < config.total_timesteps or summary.get("total_timesteps") != done:
            return None
        self.say(
            f"{self.folder} is complete with {done:,} steps; to go on: "
            f"python -m reach_rl.train resume={self.folder} total_timesteps={2 * done}"
        )
        return summary

    @contextmanager
    def _begun(
        self, config: Config, saved: Checkpoint | None, goes_on: bool
    ) -> Iterator[tuple[TrainingLoop, Record]]:
        """The run and its record, both closed in the end."""
        run = TrainingLoop(config, self.folder, self.console, self.home)
        try:
            with _writable(self.folder):
                record = self._prepared(run, config, saved, goes_on)
            with record:
                rollback.tell(self.folder, partial(record.alert, run.model.num_timesteps))
                yield run, record
        finally:
            run.close()

    def _prepared(
        self, run: TrainingLoop, config: Config, saved: Checkpoint | None, goes_on: bool
    ) -> Record:
        """The record of a run that is ready to learn. Raises OSError."""
        if saved is None:
            write_run_files(self.folder, config)
            self.home.hold("config.yaml", "provenance.json")
            run.announce()
        else:
            text = yaml.safe_dump(redact(to_tree(config)), sort_keys=False, allow_unicode=True)
            self.home.put("config.yaml", text)
            self.home.hold("provenance.json")
            run.resume(saved)
            self.say(f"going on at step {run.model.num_timesteps:,} of {self.folder}")
        return open_record(
            self.folder,
            config,
            step=run.model.num_timesteps if goes_on else None,
            say=self.say,
            state=saved.progress.get("record") if saved is not None else None,
            told=self.home.disk.told,
        )

    def _learn_and_judge(self, run: TrainingLoop, record: Record) -> dict[str, Any] | int:
        regions = self._regions(run.config)
        run.observe = self.observe
        with profiled(run.folder, run.config.profile) as tick:
            run.learn(record, self.stop, tick)
        if self.stop.pruned and self.stop.signal is None:
            self.say(f"pruned: {self.stop.pruned}; everything is saved")
            return PRUNED
        try:
            self.stop.check()
            evaluations = self._judge(run, regions)
        except Stopped:
            self.say(
                f"stopped by {self.stop.name} at step {run.model.num_timesteps:,}; everything is "
                f"saved; go on with: python -m reach_rl.train resume={run.folder}"
            )
            return self.stop.exit_code
        self._show(run, evaluations, record)
        summary = _summary(run, evaluations)
        first = next(iter(evaluations.values()))
        disk, path = self.home.disk, run.folder / result.FILE
        disk.attempt(path.name, lambda: result.save(path, first))
        if run.config.picture:
            disk.attempt("a picture", lambda: _draw(run, evaluations))
        # last: a run that has it is complete
        self.home.put("summary.json", atomic.json_text(summary))
        run.films.finish(record, self.stop)
        self.say(f"everything is in {run.folder}")
        return summary

    def _regions(self, config: Config) -> dict[str, Config]:
        """The regions to judge on: the run's own, then the others that fit the robot."""
        own, joints = config.task.region, len(config.robot.joints)
        regions = {own.name: config}
        for name in config.evaluation.also:
            region = compose([f"task={name}"]).task.region
            width = region.joint_range
            if width is not None and len(width) not in (1, joints):
                self.say(
                    f"evaluation.also: {name} is left out, its joint range has {len(width)} "
                    f"items for {joints} joints"
                )
            elif region.name != own.name:
                regions[region.name] = replace(config, task=replace(config.task, region=region))
        return regions

    def _judge(self, run: TrainingLoop, regions: dict[str, Config]) -> dict[str, Evaluation]:
        """The best policy on held-out goals of its own region and of the others."""
        config, best = run.config, run.best()
        steps = config.evaluation.goals * config.task.episode_steps
        evaluations: dict[str, Evaluation] = {}
        for region, there in regions.items():
            self.say(f"judging {best.name} on {config.evaluation.goals:,} goals of {region}")
            try:
                with self._bar(config, steps) as watch:
                    evaluations[region] = judge(best, there, run.threads, watch)
            except ConfigError as error:
                if there is config:
                    raise
                self.say(f"evaluation.also: {region} is left out, {error}")
        return evaluations

    @contextmanager
    def _bar(self, config: Config, steps: int) -> Iterator[Callable[[int, float], None]]:
        """A bar on a terminal, to be told steps and success; raises Stopped if asked to stop."""
        if not (config.progress and self.console.is_terminal):
            yield lambda step, share: self.stop.check()
            return
        with Progress(steps, True, self.console, label="judge") as progress:

            def watch(step: int, share: float) -> None:
                self.stop.check()
                progress.update(step, share)

            yield watch

    def _show(self, run: TrainingLoop, evaluations: dict[str, Evaluation], record: Record) -> None:
        """Print the verdict and draw it."""
        steps, seconds = run.model.num_timesteps, run.marks.seconds
        summaries = {region: e.summary(run.best().name) for region, e in evaluations.items()}
        record.evaluation(steps, summaries)
        self.console.print(evaluation_table(summaries))
        self.say(f"trained {steps:,} steps in {seconds:.1f} s ({steps / seconds:,.0f} steps/s)")


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """Before a run has begun, a folder that cannot be written to is a mistake of the user's."""
    try:
        yield
    except OSError as error:
        text = f"{folder}: cannot be written to ({reason(error)}); make room, or choose run_dir="
        raise ConfigError(text) from error


def _summary(run: TrainingLoop, evaluations: dict[str, Evaluation]) -> dict[str, Any]:
    """What summary.json holds."""
    first, *rest = evaluations.items()
    seconds = run.marks.seconds
    return {
        "robot": run.config.robot.name,
        "seed": run.config.seed,
        "total_timesteps": run.model.num_timesteps,
        "wall_time_s": seconds,
        "steps_per_second": run.model.num_timesteps / seconds,
        "evaluation": first[1].summary(run.best().name),
        "also": {region: e.summary(run.best().name) for region, e in rest},
        "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _draw(run: TrainingLoop, evaluations: dict[str, Evaluation]) -> None:
    """learning_curve.png and goals.png."""
    title = f"{run.config.robot.name}, {run.config.task.region.name}, seed {run.config.seed}"
    plots.learning_curve(run.folder / "metrics.jsonl", run.folder / "learning_curve.png", title)
    region, evaluation = next(iter(evaluations.items()))
    plots.goals(
        evaluation.goal_position,
        evaluation.success,
        run.folder / "goals.png",
        f"{run.config.robot.name}: held-out goals of {region}",
    )
