"""A run in its folder: records, status, signals, verdict and pictures around the learning."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from reach_rl.config.files import read_json, write_atomic
from reach_rl.config.load import ConfigError, compose, to_tree
from reach_rl.config.provenance import write_run_files
from reach_rl.config.redact import redact
from reach_rl.config.schema import Config
from reach_rl.config.status import Status
from reach_rl.evaluation.protocol import Evaluation
from reach_rl.learning import files, resume
from reach_rl.learning.checkpoint import Checkpoint
from reach_rl.learning.profiling import profiled
from reach_rl.learning.run import Diverged, Run, judge
from reach_rl.learning.signals import Stop, Stopped, listening
from reach_rl.monitoring.console import TeeConsole, open_console
from reach_rl.monitoring.progress import Progress
from reach_rl.monitoring.record import Record, open_record
from reach_rl.monitoring.tables import evaluation_table
from reach_rl.viz import plots

DIVERGED = 3
"""Exit code of a run that was stopped because its numbers went bad."""


def train(config: Config, folder: Path) -> dict[str, Any] | int:
    """Train, judge and record one run.

    Args:
        config: the run; of one that goes on, what is asked to change (see learning.resume).
        folder: its folder; made if missing.

    Returns:
        The figures of summary.json, or the exit code of a run that was stopped.

    Raises:
        ConfigError: the robot, the region or the checkpoint to go on from is not fit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with listening() as stop:
        session = Session(folder, stop)
        try:
            return session.run(config)
        finally:
            session.console.close()


class Session:
    """What surrounds a run: console, status and the wish to stop."""

    def __init__(self, folder: Path, stop: Stop) -> None:
        """Speak to the terminal and to train.log."""
        self.folder = folder
        self.stop = stop
        self.console: TeeConsole = open_console(folder / "train.log")

    def say(self, text: str) -> None:
        """A line, never cut or taken for markup."""
        self.console.print(text, markup=False, soft_wrap=True)

    def run(self, config: Config) -> dict[str, Any] | int:
        """The run from its beginning, or from where it was, to its verdict."""
        saved = resume.find(config, self.folder, self.say)
        goes_on = config.resume is not None
        if saved is not None:
            config = resume.continued(saved.config, config, self.say)
            summary = self._complete(config, saved)
            if summary is not None:
                return summary
        status = Status(self.folder)
        status.set("running")
        try:
            with self._begun(config, saved, goes_on) as (run, record):
                outcome = self._learn_and_judge(run, record)
                record.close(outcome if isinstance(outcome, int) else 0)
        except Diverged as error:
            self.say(f"stopped: {error}")
            status.set("diverged", str(error))
            return DIVERGED
        except KeyboardInterrupt:
            status.set("stopped", "at once")
            raise
        except BaseException as error:
            status.set("failed", f"{type(error).__name__}: {error}")
            raise
        if self.stop.signal is not None:
            status.set("stopped", self.stop.name)
            return self.stop.exit_code
        status.set("finished")
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
    ) -> Iterator[tuple[Run, Record]]:
        """The run and its record, both closed in the end."""
        run = Run(config, self.folder, self.console)
        try:
            if saved is None:
                write_run_files(self.folder, config)
                run.announce()
            else:
                text = yaml.safe_dump(redact(to_tree(config)), sort_keys=False, allow_unicode=True)
                write_atomic(self.folder / "config.yaml", text)
                run.resume(saved)
                self.say(f"going on at step {run.model.num_timesteps:,} of {self.folder}")
            with open_record(
                self.folder,
                config,
                resume=goes_on,
                step=run.model.num_timesteps,
                say=self.say,
            ) as record:
                yield run, record
        finally:
            run.close()

    def _learn_and_judge(self, run: Run, record: Record) -> dict[str, Any] | int:
        regions = self._regions(run.config)
        with profiled(run.folder, run.config.profile) as tick:
            run.learn(record, self.stop, tick)
        try:
            self.stop.check()
            evaluations = self._judge(run, regions)
        except Stopped:
            self.say(
                f"stopped by {self.stop.name} at step {run.model.num_timesteps:,}; everything is "
                f"saved; go on with: python -m reach_rl.train resume={run.folder}"
            )
            return self.stop.exit_code
        summary = _summary(run, evaluations)
        files.replace_text(run.folder / "summary.json", files.as_json(summary))
        self._show(run, evaluations, record)
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

    def _judge(self, run: Run, regions: dict[str, Config]) -> dict[str, Evaluation]:
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

    def _show(self, run: Run, evaluations: dict[str, Evaluation], record: Record) -> None:
        """Print the verdict and draw it."""
        steps, seconds = run.model.num_timesteps, run.marks.seconds
        summaries = {region: e.summary(run.best().name) for region, e in evaluations.items()}
        record.evaluation(steps, summaries)
        self.console.print(evaluation_table(summaries))
        self.say(f"trained {steps:,} steps in {seconds:.1f} s ({steps / seconds:,.0f} steps/s)")
        if run.config.picture:
            _draw(run, evaluations)
        self.say(f"everything is in {run.folder}")


def _summary(run: Run, evaluations: dict[str, Evaluation]) -> dict[str, Any]:
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


def _draw(run: Run, evaluations: dict[str, Evaluation]) -> None:
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
