"""One training run: from a configuration to a judged policy and a folder with everything in it."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from reach_rl.config.derived import derive
from reach_rl.config.schema import Config, VecEnvKind
from reach_rl.envs.pool import VALIDATION, goal_pool
from reach_rl.envs.vec_env import WorkerLost, make_vec_env, threads_of
from reach_rl.evaluation.protocol import evaluate
from reach_rl.learning.build import make_model
from reach_rl.learning.normalize import normalized
from reach_rl.learning.policy import Policy
from reach_rl.mdp.compiled import load_all
from reach_rl.mdp.curriculum import Curriculum
from reach_rl.monitoring.health.diagnosis import Diagnosis
from reach_rl.monitoring.record import Record
from reach_rl.monitoring.tables import startup
from reach_rl.monitoring.terminal import Progress
from reach_rl.robots import load_robot
from reach_rl.rundir import checkpoint
from reach_rl.rundir.disk import Disk
from reach_rl.rundir.folder import RunFolder
from reach_rl.training import rollback, snapshot
from reach_rl.training.collecting import Collector
from reach_rl.training.divergence import Diverged, DivergenceWatch
from reach_rl.training.profiling import IterationClock, few_collections
from reach_rl.training.rollout_metrics import Window, learner_metrics
from reach_rl.training.saving import Save, Saver
from reach_rl.training.stopping import StopRequest
from reach_rl.training.trained import score_of
from reach_rl.viz.video.training import TrainingFilms


@dataclass(slots=True)
class Marks:
    """What a run has to remember besides its networks and environments."""

    best_score: float = -1e9
    """Of the periodic evaluations so far; see score_of()."""
    next_evaluation: int = 0
    evaluations: int = 0
    """Periodic evaluations so far."""
    next_checkpoint: int = 0
    checkpoints: int = 0
    """Periodic checkpoints so far; those at the end and of the best do not count."""
    seconds: float = 0.0
    """Time spent learning, in all processes that worked on the run (s)."""


Observer = Callable[[int, float, dict[str, Any]], bool]
"""Told the number of a periodic evaluation, its score, and its figures as summary.json has them;
says whether to stop the run."""


class TrainingLoop:
    """Environments, learner and records of one run."""

    def __init__(
        self, config: Config, folder: Path, console: Console, home: RunFolder | None = None
    ) -> None:
        """Build everything; nothing is written yet.

        Args:
            config: of the run.
            folder: of the run.
            console: to speak to.
            home: what keeps the folder.

        Raises:
            ConfigError: the robot or the region cannot be made.
        """
        self.config = config
        self.folder = folder
        self.console = console
        self.observe: Observer | None = None
        self.checkpoints = folder / "checkpoints"
        self.threads = threads_of(config.vec_env.threads)
        load_all(console.print)
        self.robot = load_robot(config.robot, config.task.physics_step)
        self.env = normalized(make_vec_env(config, self.robot), config)
        self.model = make_model(config, self.env)
        self.curriculum = Curriculum(config.curriculum, config.task, config.total_timesteps)
        self.template = self.env.batch
        self.window = Window(config.ppo.stats_window_size, self.template.reward.names)
        self.marks = Marks(
            next_evaluation=config.evaluation.every, next_checkpoint=config.checkpoint.every
        )
        self.validation = goal_pool(
            config,
            self.robot,
            self.threads,
            count=config.evaluation.periodic_goals,
            seed=config.evaluation.seed,
            stream=VALIDATION,
        )
        self.watch = DivergenceWatch(config, folder, self.template)
        rollback.slow_down(self.model, folder)
        self._collector = Collector(self.watch)
        self._tend = home.tend if home is not None else lambda: False
        disk = home.disk if home is not None else Disk(console.print)
        self.saver = Saver(self.checkpoints, config.checkpoint.keep, disk)
        self._best: Path | None = None
        self.diagnosis = Diagnosis(config)
        self.films = TrainingFilms(config, folder, self._say)

    def announce(self) -> None:
        """Print what is about to happen."""
        startup(
            self.config, self.template.observe.slices, self.console, kept=self.template.goals.kept
        )

    def resume(self, saved: checkpoint.Checkpoint) -> None:
        """Go on from a checkpoint of an equally configured run."""
        self._prepare()
        snapshot.put(self.model, self.env, saved)
        progress = saved.progress
        self.curriculum.load(progress["curriculum"])  # type: ignore[arg-type]
        self.window.load(progress["window"])  # type: ignore[arg-type]
        if "watch" in progress:
            self.watch.load(progress["watch"])  # type: ignore[arg-type]
        self.marks = Marks(**progress["marks"])  # type: ignore[arg-type]
        self._apply_curriculum()
        self.saver.step = self.saver.newest = self.model.num_timesteps
        self.films.begin(self.model.num_timesteps)

    def learn(
        self, record: Record, stop: StopRequest, tick: Callable[[], object] = lambda: None
    ) -> None:
        """Train until the steps are done or somebody asks to stop, then save.

        Args:
            record: where figures go.
            stop: somebody's wish to stop.
            tick: called after each rollout and its update.

        Raises:
            Diverged: numbers went bad, or a warning of health.stop_on came up.
            WorkerLost: an environment's process has died; what was before is saved.
            NotSaved: the disk does not take the last checkpoint.
        """
        config, model = self.config, self.model
        self.saver.before, self.saver.after = record.sync, record.checkpoint
        if model._last_obs is None:
            self._prepare()
        before = self.marks.seconds
        started = time.perf_counter()
        total = derive(config).total_steps
        bar = Progress(total, config.progress, self.console, model.num_timesteps)
        with few_collections(), bar as progress:
            self._collector.told = progress.update
            self.diagnosis.replay(self.folder / "metrics.jsonl")
            while model.num_timesteps < config.total_timesteps:
                if stop.asked or self.diagnosis.stop:
                    break
                values = self._iterate_or_save(record)
                tick()
                evaluation, pointers = self._evaluate_when_due(stop)
                self.marks.seconds = before + time.perf_counter() - started
                values |= evaluation | self._time()
                # the record first: a run that goes on from a checkpoint lacks none before it
                record.write(model.num_timesteps, values)
                for title, text in self.watch.told():
                    self._say(f"warning: {title}: {text}")
                    record.alert(model.num_timesteps, title, text)
                self.diagnosis.report(record, model.num_timesteps, values, self._say)
                self._collector.tell(values)
                self.films.tell(record)
                self._save_when_due(record, pointers)
            self.marks.seconds = before + time.perf_counter() - started
        if self.saver.newest != model.num_timesteps:
            self._save(record)
        self.saver.finish()
        if self.diagnosis.stop and self.observe is None:
            raise Diverged(self.diagnosis.stop)
        stop.pruned = stop.pruned or self.diagnosis.stop or ""

    def _time(self) -> dict[str, Any]:
        """Steps and seconds so far, under time/."""
        steps, seconds = self.model.num_timesteps, self.marks.seconds
        return {
            "time/fps": steps / seconds,
            "time/time_elapsed": seconds,
            "time/total_timesteps": steps,
            "time/iterations": steps // (self.model.n_steps * self.env.num_envs),
        }

    def _prepare(self) -> None:
        """SB3's start of learn(): reset the environments, set up the counters."""
        self.model._setup_learn(self.config.total_timesteps, callback=self._collector)
        self._apply_curriculum()

    def _iterate(self) -> dict[str, Any]:
        """One rollout and one update; everything there is to record of it."""
        model = self.model
        clock = IterationClock(self.env, model)
        model.collect_rollouts(
            self.env, self._collector, model.rollout_buffer, n_rollout_steps=model.n_steps
        )
        clock.collected()
        model._update_current_progress_remaining(model.num_timesteps, self.config.total_timesteps)
        self.watch.check_rollout(model, self.env)
        model.train()
        self.watch.check_update(model, self.env)
        finished = self.env.drain()
        self.window.add(finished)
        steps, outcomes = model.n_steps * self.env.num_envs, finished.goals[:, 0].tolist()
        self.curriculum.count(steps, len(finished.episodes), outcomes)
        self._apply_curriculum()
        values = {k: v for k, v in model.logger.name_to_value.items() if isinstance(v, int | float)}
        model.logger.name_to_value.clear()
        std = model.policy.log_std.detach().exp().tolist()
        if not model.use_sde:
            joints = zip(self.robot.joint_names, std, strict=True)
            values |= {f"std/{name}": s for name, s in joints}
        values |= learner_metrics(model, self.env, self.template.observe.slices)
        values |= self.window.metrics() | self.curriculum.metrics() | clock.shares()
        values |= self.watch.metrics()
        return values

    def _apply_curriculum(self) -> None:
        self.env.apply(self.curriculum.setting())

    def _iterate_or_save(self, record: Record) -> dict[str, Any]:
        """A rollout and its update; what was before it is saved if a process dies meanwhile."""
        mortal = self.config.vec_env.kind is VecEnvKind.SUBPROC
        before = self._captured(record, "latest") if mortal else None
        try:
            return self._iterate()
        except WorkerLost:
            if before is not None and self.saver.newest != before.step:
                self.saver.add(before)
            raise

    def policy(self) -> Policy:
        """The policy as it is now."""
        normal = snapshot.normalizer_arrays(self.env)
        on = self.config.observation.normalize
        return Policy(
            self.model.policy,
            normal["obs_mean"] if on else None,
            normal["obs_var"] if on else None,
            self.config.observation.clip,
            deterministic=self.config.evaluation.deterministic,
        )

    def _evaluate_when_due(self, stop: StopRequest) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The periodic evaluation on the fixed goals; and `best` if it was the best so far."""
        every, step = self.config.evaluation.every, self.model.num_timesteps
        done = step >= self.config.total_timesteps
        if every == 0 or not (step >= self.marks.next_evaluation or done):
            return {}, ()
        self.marks.next_evaluation = (step // every + 1) * every
        self.model.policy.set_training_mode(False)
        watcher = self.films.watcher()
        result = evaluate(
            self.policy(),
            self.config,
            self.validation,
            threads=self.threads,
            robot=self.robot,
            seed=self.config.evaluation.seed,
            physics_records=False,
            watcher=watcher,
        )
        score = score_of(result, self.config)
        self.films.evaluated(step, watcher, best=score > self.marks.best_score)
        if self.observe is not None:
            figures = {"evaluation": result.summary()}
            if self.observe(self.marks.evaluations, score, figures) and not done:
                stop.pruned = f"after evaluation {self.marks.evaluations}"
        self.marks.evaluations += 1
        values = result.metrics() | {"eval/score": score}
        if score <= self.marks.best_score:
            return values, ()
        self.marks.best_score = score
        return values, ("best",)

    def _save_when_due(self, record: Record, pointers: tuple[str, ...]) -> None:
        every, step = self.config.checkpoint.every, self.model.num_timesteps
        due = every > 0 and step >= self.marks.next_checkpoint
        if due:
            self.marks.next_checkpoint = (step // every + 1) * every
            self.marks.checkpoints += 1
        nth = self.config.checkpoint.keep_every
        keep = due and nth > 0 and self.marks.checkpoints % nth == 0
        gone = self._tend()
        if due or pointers or gone:
            self._save(record, *pointers, keep=keep)
        else:
            self.saver.retry()

    def _save(self, record: Record, *pointers: str, keep: bool = False) -> None:
        """Save a checkpoint, now or once the disk takes it; `latest` and these pointers name it."""
        self.saver.add(self._captured(record, "latest", *pointers, keep=keep))

    def _captured(self, record: Record, *pointers: str, keep: bool = False) -> Save:
        """The run as it is at a rollout boundary."""
        progress = {
            "curriculum": self.curriculum.state(),
            "window": self.window.state(),
            "watch": self.watch.state(),
            "marks": asdict(self.marks),
            "record": record.state(),
        }
        saved = snapshot.take(self.config, self.model, self.env, progress)
        return Save(self.model.num_timesteps, saved, [*pointers], keep)

    def close(self) -> None:
        """Release the environments, and film no more."""
        self.films.close()
        self.env.close()

    def best(self) -> Path:
        """The checkpoint to judge: the best, or the latest if none was evaluated."""
        if self._best is None:
            names = ("best", "latest")
            there = (checkpoint.whole(self.checkpoints, name, self._say) for name in names)
            self._best = next(filter(None, there), None)
        return self._best or checkpoint.resolve(self.checkpoints, "latest")

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)
