"""The loop of a training run: rollout, update, evaluation on the way, record, checkpoint."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from reach_rl.config.rules import derive
from reach_rl.config.schema import Config, VecEnvKind
from reach_rl.envs.pool import VALIDATION, goal_pool
from reach_rl.envs.vec_env import WorkerLost, make_vec_env, threads_of
from reach_rl.evaluation.protocol import evaluate
from reach_rl.evaluation.result import FIGURES, Evaluation
from reach_rl.learning.build import make_model
from reach_rl.learning.normalize import normalized
from reach_rl.learning.policy import Policy
from reach_rl.mdp.compiled import load_all
from reach_rl.mdp.curriculum import Curriculum
from reach_rl.mdp.goals import Goals
from reach_rl.mdp.terms import tried
from reach_rl.monitoring.health.diagnosis import Diagnosis
from reach_rl.monitoring.metrics import evaluation_metrics
from reach_rl.monitoring.record import Record
from reach_rl.monitoring.tables import startup
from reach_rl.monitoring.terminal import Progress, TeeConsole
from reach_rl.robots import load_robot
from reach_rl.rundir import checkpoint
from reach_rl.rundir.folder import RunFolder
from reach_rl.training import snapshot
from reach_rl.training.divergence import Diverged, DivergenceWatch
from reach_rl.training.profiling import IterationClock, few_collections
from reach_rl.training.rollout_metrics import Window, learner_metrics
from reach_rl.training.saving import Save, Saver, learning_rate_factor
from reach_rl.training.snapshot import acting
from reach_rl.training.stopping import StopRequest
from reach_rl.training.visitors import VisitedRun
from reach_rl.viz.films import TrainingFilms


def score_of(evaluation: Evaluation, config: Config) -> float:
    """Success rate, less a twentieth of the median errors in units of their thresholds."""
    task = config.task
    position = float(np.median(evaluation.position_error)) / task.position_threshold
    angle = float(np.median(evaluation.orientation_error)) / task.orientation_threshold
    return float(evaluation.success.mean()) - 0.05 * (min(position, 10.0) + min(angle, 10.0))


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
    """Environments, learner and records of one run, from rollout to rollout."""

    def __init__(self, config: Config, folder: Path, console: TeeConsole, home: RunFolder) -> None:
        """Build everything; nothing is written yet.

        Args:
            config: of the run.
            folder: of the run.
            console: to speak to.
            home: what keeps the folder.

        Raises:
            ConfigError: the robot or the region cannot be made.
        """
        self.config, self.folder, self.console, self.home = config, folder, console, home
        self.observe: Observer | None = None
        self.threads = threads_of(config.vec_env.threads)
        load_all(console.print)
        self.robot = load_robot(config.robot, config.task.physics_step)
        self.env = normalized(make_vec_env(config, self.robot), config)
        self.model = make_model(config, self.env)
        self.model.learning_rate.start *= learning_rate_factor(folder)  # type: ignore[union-attr]
        self.template = self.env.batch
        self.curriculum = Curriculum(config.curriculum, config.task, config.total_timesteps)
        with tried():
            self.curriculum.setting()
        own = (self.template.reward.names, self.template.episodes.metrics)
        self.window = Window(config.ppo.stats_window_size, *own)
        self.watch = DivergenceWatch(config, folder, self.template)
        self.visited = VisitedRun(config, folder, self.model, self.env)
        self._remembering: dict[str, Any] = dict(
            curriculum=self.curriculum, window=self.window, watch=self.watch, visited=self.visited
        )
        """What has a state of its own beside networks and environments, by its name in it."""
        self.diagnosis = Diagnosis(config)
        self.films = TrainingFilms(config, folder, self._say)
        self.marks = Marks(
            next_evaluation=config.evaluation.every, next_checkpoint=config.checkpoint.every
        )
        self._show: Callable[..., object] = lambda *figures: None
        self._figures: tuple[float | None, ...] = ()
        """Success, reward and speed as they were recorded last."""
        self.saver = Saver(folder / "checkpoints", config.checkpoint.keep, home.disk)

    def announce(self) -> None:
        """Print what is about to happen, and how the model differs from its file."""
        for note in self.robot.notes:
            self._say(f"model: {note}")
        slices, kept = self.template.observe.slices, self.template.goals.kept
        startup(self.config, slices, self.console, kept)

    def resume(self, saved: checkpoint.Checkpoint) -> None:
        """Go on from a checkpoint of an equally configured run."""
        self._prepare()
        snapshot.put(self.model, self.env, saved)
        for name, part in self._remembering.items():
            if name in saved.progress:
                part.load(saved.progress[name])
        self.marks = Marks(**saved.progress["marks"])  # type: ignore[arg-type]
        self._apply_curriculum()
        self.saver.step = self.saver.newest = self.step
        self.films.begin(self.step)

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
        self.saver.before, self.saver.after = record.sync, record.checkpoint
        if self.model._last_obs is None:
            self._prepare()
        self.diagnosis.replay(self.folder / "metrics.jsonl")
        begin = time.perf_counter() - self.marks.seconds
        total = derive(self.config).total_steps
        progress = Progress(total, self.config.progress, self.console, self.step)
        self._show = progress.update
        with few_collections(), progress:
            while not (self.done or stop.asked or self.diagnosis.stop or self.visited.stopped):
                values = self._iterate_or_save(record)
                tick()
                evaluation, best = self._evaluate_when_due(stop)
                self.marks.seconds = time.perf_counter() - begin
                values |= evaluation | self._time()
                self._tell(record, values)
                self.visited.called_back(values)
                self._save_when_due(record, best)
        self.marks.seconds = time.perf_counter() - begin
        self._end(record, stop)

    @cached_property
    def validation(self) -> Goals:
        """What the periodic evaluations judge on; nobody waits for it before the first rollout."""
        return goal_pool(
            self.config,
            self.robot,
            self.threads,
            count=self.config.evaluation.periodic_goals,
            seed=self.config.evaluation.seed,
            stream=VALIDATION,
        )

    @property
    def step(self) -> int:
        """Environment steps so far."""
        return self.model.num_timesteps

    @property
    def done(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.config.total_timesteps

    def policy(self) -> Policy:
        """The policy as it is now."""
        arrays = snapshot.normalizer_arrays(self.env)
        deterministic = self.config.evaluation.deterministic
        return acting(self.model.policy, arrays, self.config.observation, deterministic)

    def best(self) -> Path:
        """The checkpoint to judge: the best, or the latest if none was evaluated."""
        folder = self.folder / "checkpoints"
        there = (checkpoint.whole(folder, name, self._say) for name in ("best", "latest"))
        return next(filter(None, there), None) or checkpoint.resolve(folder, "latest")

    def close(self) -> None:
        """Release the environments, and film no more."""
        self.films.close()
        self.env.close()

    def _prepare(self) -> None:
        """SB3's start of learn(): reset the environments, set up the counters."""
        total = self.config.total_timesteps
        self._callback = self.model._setup_learn(total, callback=self._look)[1]
        self._apply_curriculum()

    def _look(self, found: dict[str, Any], _: object) -> bool:
        """What SB3 calls after each step of the environments."""
        self.watch.note(self.step, found["dones"], found["infos"])
        self._show(self.step, *self._figures)
        return True

    def _apply_curriculum(self) -> None:
        self.env.apply(self.curriculum.setting())

    def _time(self) -> dict[str, Any]:
        """Steps and seconds so far, under time/."""
        seconds = self.marks.seconds
        return {
            "time/fps": self.step / seconds,
            "time/time_elapsed": seconds,
            "time/total_timesteps": self.step,
            "time/iterations": self.step // (self.model.n_steps * self.env.num_envs),
        }

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

    def _iterate(self) -> dict[str, Any]:
        """One rollout and one update; everything there is to record of it."""
        model, env = self.model, self.env
        clock = IterationClock(env, model)
        model.collect_rollouts(env, self._callback, model.rollout_buffer, model.n_steps)
        clock.collected()
        model._update_current_progress_remaining(self.step, self.config.total_timesteps)
        self.watch.check_rollout(model, env)
        model.train()
        self.watch.check_update(model, env)
        finished = env.drain()
        self.window.add(finished)
        steps, outcomes = model.n_steps * env.num_envs, finished.goals[:, 0].tolist()
        self.curriculum.count(steps, len(finished.episodes), outcomes)
        self._apply_curriculum()
        values = self._logged() | self._deviations()
        values |= learner_metrics(model, env, self.template.observe.slices)
        values |= self.window.metrics() | self.curriculum.metrics() | clock.shares()
        values |= self.watch.metrics()
        return values | self.visited.measured(values)

    def _logged(self) -> dict[str, Any]:
        """What SB3 has logged of the update."""
        logged = self.model.logger.name_to_value
        values = {k: v for k, v in logged.items() if isinstance(v, int | float)}
        logged.clear()
        return values

    def _deviations(self) -> dict[str, float]:
        """Exploration of each joint, under std/; with gSDE it depends on the state."""
        if self.model.use_sde:
            return {}
        std = self.model.policy.log_std.detach().exp().tolist()
        fits = len(std) == len(self.robot.joint_names)
        names = self.robot.joint_names if fits else [f"action_{i}" for i in range(len(std))]
        return {f"std/{name}": s for name, s in zip(names, std, strict=True)}

    def _evaluate_when_due(self, stop: StopRequest) -> tuple[dict[str, Any], bool]:
        """The periodic evaluation on the fixed goals, and whether it was the best so far."""
        every, step, marks = self.config.evaluation.every, self.step, self.marks
        if every == 0 or not (step >= marks.next_evaluation or self.done):
            return {}, False
        marks.next_evaluation = (step // every + 1) * every
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
        best = score > marks.best_score
        if best:
            marks.best_score = score
        self.films.evaluated(step, watcher, best=best)
        if self.observe is not None:
            figures = {"evaluation": result.summary()}
            if self.observe(marks.evaluations, score, figures) and not self.done:
                stop.pruned = f"after evaluation {marks.evaluations}"
        marks.evaluations += 1
        figures = result.figures()
        figures = {k: v for k, v in figures.items() if k not in FIGURES or not FIGURES[k].recorded}
        return evaluation_metrics(figures) | {"eval/score": score}, best

    def _tell(self, record: Record, values: dict[str, Any]) -> None:
        """Record the rollout and what goes wrong, and show both.

        The record comes before the checkpoint: a run that goes on from that lacks none before it.
        """
        record.write(self.step, values)
        for title, text in self.watch.told():
            self._say(f"warning: {title}: {text}")
            record.alert(self.step, title, text)
        self.diagnosis.report(record, self.step, values, self._say)
        names = ("rollout/success_rate", "rollout/ep_rew_mean", "time/fps")
        self._figures = tuple(map(values.get, names))
        self._show(self.step, *self._figures)
        self.films.tell(record)

    def _save_when_due(self, record: Record, best: bool) -> None:
        config, marks = self.config.checkpoint, self.marks
        due = config.every > 0 and self.step >= marks.next_checkpoint
        if due:
            marks.next_checkpoint = (self.step // config.every + 1) * config.every
            marks.checkpoints += 1
        keep = due and config.keep_every > 0 and marks.checkpoints % config.keep_every == 0
        gone = self.home.tend()
        if due or best or gone:
            pointers = ("latest", "best") if best else ("latest",)
            self.saver.add(self._captured(record, *pointers, keep=keep))
        else:
            self.saver.retry()

    def _end(self, record: Record, stop: StopRequest) -> None:
        """Save what is not saved, and say why the run was stopped."""
        if self.saver.newest != self.step:
            self.saver.add(self._captured(record, "latest"))
        self.saver.finish()
        if self.visited.stopped:
            self._say(f"ended at step {self.step:,}: {self.visited.stopped}")
        if self.diagnosis.stop and self.observe is None:
            raise Diverged(self.diagnosis.stop)
        stop.pruned = stop.pruned or self.diagnosis.stop

    def _captured(self, record: Record, *pointers: str, keep: bool = False) -> Save:
        """The run as it is at a rollout boundary, and the pointers that are to name it."""
        progress = {name: part.state() for name, part in self._remembering.items()}
        progress |= {"marks": asdict(self.marks), "record": record.state()}
        saved = snapshot.take(self.config, self.model, self.env, progress)
        return Save(self.step, saved, [*pointers], keep)

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)
