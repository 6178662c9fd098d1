"""A run in its folder: lock, console, record and status around the learning and the verdict."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from reach_rl.config.load import ConfigError, compose
from reach_rl.config.problems import command
from reach_rl.config.schema import Config
from reach_rl.envs.vec_env import WorkerLost
from reach_rl.evaluation import result
from reach_rl.evaluation.protocol import evaluate, held_out_goals
from reach_rl.evaluation.result import Evaluation
from reach_rl.monitoring.record import Opening, Record, open_record
from reach_rl.monitoring.tables import evaluation_table
from reach_rl.monitoring.terminal import Progress, TeeConsole
from reach_rl.robots import load_robot
from reach_rl.robots.model_file import model_path, model_sources
from reach_rl.rundir import checkpoint, provenance, resume
from reach_rl.rundir.atomic import Disk, json_text, read_json, reason
from reach_rl.rundir.checkpoint import Checkpoint
from reach_rl.rundir.folder import RunFolder
from reach_rl.rundir.status import Status
from reach_rl.training import saving
from reach_rl.training.divergence import Diverged
from reach_rl.training.loop import Observer, TrainingLoop
from reach_rl.training.profiling import profiled
from reach_rl.training.saving import NotSaved
from reach_rl.training.snapshot import policy_of
from reach_rl.training.stopping import Stopped, StopRequest, listening
from reach_rl.viz.pictures import drawing

FAILED = 1
"""Exit code of a run that something outside of it has ended, after saving."""
DIVERGED = 3
"""Exit code of a run that was stopped because its numbers went bad."""
PRUNED = 4
"""Outcome of a run that its observer stopped; no process ends with it."""

ALSO_GOALS = 250
"""Of a further region a run judges so many at most: a second or so of two cores."""

Outcome = dict[str, Any] | int
"""The figures of summary.json, or the exit code of a run that was stopped."""


def train(config: Config, folder: Path, observe: Observer | None = None) -> Outcome:
    """Train, judge and record one run.

    Args:
        config: the run; of one that goes on, what is asked to change (see rundir.resume).
        folder: its folder; made if missing.
        observe: told of each periodic evaluation; says whether to stop.

    Raises:
        ConfigError: the robot, the region or the checkpoint to go on from is not fit.
    """
    with listening() as stop, closing(Session(folder, stop, observe)) as session:
        return session.run(config)


class Session:
    """One process at work on a run."""

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
            self.console = TeeConsole(folder / "train.log")
        self.status = Status(folder, self.home.put_json)

    def close(self) -> None:
        """Close the log and give the folder back."""
        self.console.close()
        self.home.lock.release()

    def say(self, text: str) -> None:
        """A line, never cut or taken for markup."""
        self.console.print(text, markup=False, soft_wrap=True)

    def run(self, config: Config) -> Outcome:
        """The run from its beginning, or from where it was, to its verdict."""
        saved = resume.find(config, self.folder, self.say, self.home.lock.certain)
        goes_on = config.resume is not None
        if saved is not None:
            config = resume.continued(saved.config, config, self.say)
            summary = self._complete(config, saved)
            if summary is not None:
                return summary
        with _writable(self.folder):
            config = self._on_own_model(config)
        self.status.set("running")
        return self._attempt(config, saved, goes_on)

    def _on_own_model(self, config: Config) -> Config:
        """The run on its own copy of a user's model, which is made where there is none.

        Raises:
            ConfigError: the model cannot be read.
            OSError: it cannot be copied.
        """
        given = config.robot.mjcf
        if given is None:
            return config
        if not (self.folder / provenance.MODEL).is_dir():
            for line in provenance.other_assets(self.folder):
                self.say(line)
            provenance.keep_model(self.folder, given, *model_sources(model_path(config.robot)))
        return provenance.own_model(config, self.folder, self.say)

    def _complete(self, config: Config, saved: Checkpoint) -> dict[str, Any] | None:
        """The figures of a run that has nothing left to do."""
        summary = read_json(self.folder / "summary.json")
        done = int(str(saved.progress["num_timesteps"]))
        if done < config.total_timesteps or summary.get("total_timesteps") != done:
            return None
        self.say(
            f"{self.folder} is complete with {done:,} steps; to go on: "
            + command("train", resume=self.folder, total_timesteps=2 * done)
        )
        return summary

    def _attempt(self, config: Config, saved: Checkpoint | None, goes_on: bool) -> Outcome:
        """Learn and judge, and write into status.json how it ended."""
        try:
            with self._begun(config, saved, goes_on) as (run, record):
                outcome = self._learn_and_judge(run, record)
                run.saver.finish(lambda: record.written() and not self.home.finish())
                record.close(outcome if isinstance(outcome, int) else 0)
        except Diverged as error:
            back = saving.roll_back(config, self.folder, error, self.say)
            if back is not None:
                return self._attempt(config, back, goes_on=True)
            self.say(f"stopped: {error}\n{saving.what_is_left(self.folder)}")
            self.status.set("diverged", str(error))
            return DIVERGED
        except (WorkerLost, NotSaved) as error:
            left = "" if isinstance(error, NotSaved) else f"\n{saving.what_is_left(self.folder)}"
            self.say(f"failed: {error}{left}")
            self.status.set("failed", str(error).partition("\n")[0])
            return FAILED
        except KeyboardInterrupt:
            self.status.set("stopped", "at once")
            raise
        except BaseException as error:
            self.status.set("failed", f"{type(error).__name__}: {error}")
            raise
        if self.stop.signal is not None:
            self.status.set("stopped", self.stop.name)
            return self.stop.exit_code
        self.status.set("pruned" if outcome == PRUNED else "finished", self.stop.pruned)
        return outcome

    @contextmanager
    def _begun(
        self, config: Config, saved: Checkpoint | None, goes_on: bool
    ) -> Iterator[tuple[TrainingLoop, Record]]:
        """The run and its record, both closed in the end."""
        run = TrainingLoop(config, self.folder, self.console, self.home)
        run.observe = self.observe
        try:
            with _writable(self.folder):
                self._prepare(run, saved)
                known = saved.progress.get("record") if saved is not None else None
                opening = Opening(
                    self.folder,
                    config,
                    step=run.step if goes_on else None,
                    state=known if isinstance(known, dict) else {},
                    say=self.say,
                    told=self.home.disk.told,
                )
                record = open_record(opening)
            with record:
                saving.tell_of_rollback(self.folder, partial(record.alert, run.step))
                yield run, record
        finally:
            run.close()

    def _prepare(self, run: TrainingLoop, saved: Checkpoint | None) -> None:
        """Write what made a new run, or put back what an old one had. Raises OSError."""
        kept = provenance.as_given(run.config, self.folder)
        if saved is None:
            provenance.write_run_files(self.folder, kept)
            run.announce()
        else:
            for line in provenance.lost_extensions(self.folder):
                self.say(line)
            provenance.write_config(self.folder, kept)
            run.resume(saved)
            self.say(f"going on at step {run.step:,} of {self.folder}")
        self.home.hold("config.yaml", "provenance.json")

    def _learn_and_judge(self, run: TrainingLoop, record: Record) -> Outcome:
        with profiled(run.folder, run.config.profile) as tick:
            run.learn(record, self.stop, tick)
        if self.stop.pruned and self.stop.signal is None:
            self.say(f"pruned: {self.stop.pruned}; everything is saved")
            return PRUNED
        try:
            self.stop.check()
            best = run.best()
            with self.pictures(run.config) as finish:
                evaluations = self._judge(best, run.threads, self._regions(run.config))
                return self._conclude(run, record, best.name, evaluations, finish)
        except Stopped:
            self.say(
                f"stopped by {self.stop.name} at step {run.step:,}; everything is "
                f"saved; go on with: {command('train', resume=run.folder)}"
            )
            return self.stop.exit_code

    def pictures(self, config: Config) -> AbstractContextManager[Callable[[str], str]]:
        """Draw while the run is judged, see viz.pictures.drawing()."""
        if not config.picture:
            return nullcontext(lambda _: "")
        title = f"{config.robot.name}, {config.task.region.name}, seed {config.seed}"
        return drawing(self.folder, title)

    def _regions(self, config: Config) -> dict[str, Config]:
        """The regions to judge on: the run's own, then the others that fit the robot."""
        own, joints = config.task.region, len(config.robot.joints)
        found = {own.name: config}
        for name in config.evaluation.also:
            region = compose([f"task={name}"]).task.region
            width = region.joint_range
            if width is not None and len(width) not in (1, joints):
                self.say(
                    f"evaluation.also: {name} is left out, its joint range has {len(width)} items "
                    f"for {joints} joints"
                )
            elif region.name != own.name:
                few = replace(config.evaluation, goals=min(config.evaluation.goals, ALSO_GOALS))
                task = replace(config.task, region=region)
                found[region.name] = replace(config, task=task, evaluation=few)
        return found

    def _judge(
        self, folder: Path, threads: int, regions: Mapping[str, Config]
    ) -> dict[str, Evaluation]:
        """A checkpoint on the held-out goals of each region, the run's own first.

        Raises:
            ConfigError: the run's own region cannot be reached.
            Stopped: somebody asked to stop.
        """
        saved, evaluations = checkpoint.read(folder), {}
        for region, config in regions.items():
            count, seed = config.evaluation.goals, config.evaluation.seed
            self.say(f"judging {folder.name} on {count:,} goals of {region}")
            robot = load_robot(config.robot, config.task.physics_step)
            policy = policy_of(saved, deterministic=config.evaluation.deterministic)
            try:
                goals = held_out_goals(config, robot, count, seed, threads)
                with self._bar(config) as progress:
                    evaluations[region] = evaluate(
                        policy,
                        config,
                        goals,
                        threads=threads,
                        robot=robot,
                        seed=seed,
                        progress=progress,
                    )
            except ConfigError as error:
                if region == next(iter(regions)):
                    raise
                self.say(f"evaluation.also: {region} is left out, {error}")
        return evaluations

    @contextmanager
    def _bar(self, config: Config) -> Iterator[Callable[[int, float], None]]:
        """A bar on a terminal, to be told steps and success; raises Stopped if asked to stop."""
        if not (config.progress and self.console.moves):
            yield lambda step, share: self.stop.check()
            return
        steps = config.evaluation.goals * config.task.episode_steps
        with Progress(steps, True, self.console, label="judge") as progress:

            def watch(step: int, share: float) -> None:
                self.stop.check()
                progress.update(step, share)

            yield watch

    def _conclude(
        self,
        run: TrainingLoop,
        record: Record,
        best: str,
        evaluations: dict[str, Evaluation],
        finish: Callable[[str], str],
    ) -> dict[str, Any]:
        """Show and keep the verdict on the checkpoint of that name."""
        took = run.step, run.marks.seconds
        summary = self.conclude(run.config, record, took, evaluations, finish, best)
        run.films.finish(record, lambda: self.stop.asked)
        self.say(f"everything is in {run.folder}")
        return summary

    def conclude(
        self,
        config: Config,
        record: Record,
        took: tuple[int, float],
        evaluations: Mapping[str, Evaluation],
        finish: Callable[[str], str],
        checkpoint: str | None = None,
        **more: str,
    ) -> dict[str, Any]:
        """Show and keep the verdict on a run; returns the content of summary.json.

        Args:
            config: of the run.
            record: where figures go.
            took: environment steps of the training, and seconds.
            evaluations: region -> what was found there, the run's own first.
            finish: of pictures().
            checkpoint: name of what was judged.
            more: what else to say in summary.json.
        """
        step, seconds = took
        summaries = {region: e.summary(checkpoint) for region, e in evaluations.items()}
        record.evaluation(step, summaries)
        self.console.print(evaluation_table(summaries))
        self.say(f"trained {step:,} steps in {seconds:.1f} s ({step / seconds:,.0f} steps/s)")
        disk, path = self.home.disk, self.folder / result.FILE
        own, *others = summaries
        kept = disk.attempt(path.name, lambda: result.save(path, evaluations[own]))
        title = f"{config.robot.name}: held-out goals of {own}"
        if trouble := finish(title if kept else ""):
            self.say(f"warning: pictures are missing: {trouble}")
        summary = {
            "robot": config.robot.name,
            "seed": config.seed,
            "total_timesteps": step,
            "wall_time_s": seconds,
            "steps_per_second": step / seconds,
            **more,
            "evaluation": summaries[own],
            "also": {region: summaries[region] for region in others},
            "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        self.home.put("summary.json", json_text(summary))  # last: a run that has it is complete
        return summary


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """Before a run has begun, a folder that cannot be written to is a mistake of the user's."""
    try:
        yield
    except OSError as error:
        text = f"{folder}: cannot be written to ({reason(error)}); make room, or choose run_dir="
        raise ConfigError(text) from error
