"""One training run: from a configuration to a judged policy and a folder with everything in it."""

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from stable_baselines3.common.callbacks import BaseCallback

from reach_rl.config.derived import derive
from reach_rl.config.schema import Config
from reach_rl.envs.batch import ReachBatch
from reach_rl.envs.gym_env import drained
from reach_rl.envs.pool import VALIDATION, goal_pool
from reach_rl.envs.statistics import Finished
from reach_rl.envs.vec_env import BatchVecEnv
from reach_rl.evaluation.protocol import Evaluation, evaluate, held_out_goals
from reach_rl.learning import capture, checkpoint
from reach_rl.learning.build import make_model
from reach_rl.learning.policy import Policy
from reach_rl.learning.signals import Stop
from reach_rl.learning.vec_envs import (
    make_vec_env,
    normalized,
    physics_seconds,
    threads_of,
)
from reach_rl.learning.window import Window
from reach_rl.mdp.curriculum import Curriculum
from reach_rl.monitoring.progress import Progress
from reach_rl.monitoring.record import Record
from reach_rl.monitoring.tables import startup
from reach_rl.robots import load_robot


@dataclass(slots=True)
class Marks:
    """What a run has to remember besides its networks and environments."""

    best_score: float = -1e9
    """Of the periodic evaluations so far; see score_of()."""
    next_evaluation: int = 0
    next_checkpoint: int = 0
    seconds: float = 0.0
    """Time spent learning, in all processes that worked on the run (s)."""


class Diverged(Exception):
    """Numbers went bad; the run was stopped before they reached a checkpoint."""


class Run:
    """Environments, learner and records of one run."""

    def __init__(self, config: Config, folder: Path, console: Console) -> None:
        """Build everything; nothing is written yet but the records' files.

        Raises:
            ConfigError: the robot or the region cannot be made.
        """
        self.config = config
        self.folder = folder
        self.console = console
        self.checkpoints = folder / "checkpoints"
        self.threads = threads_of(config.vec_env.threads)
        self.robot = load_robot(config.robot, config.task.physics_step)
        self.env = normalized(make_vec_env(config, self.robot), config)
        self.model = make_model(config, self.env)
        self.curriculum = Curriculum(config.curriculum, config.task, config.total_timesteps)
        self.template = self._template()
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
        self._collector = _Collector(gather=not isinstance(self.env.venv, BatchVecEnv))
        self._saved_at = -1

    def _template(self) -> ReachBatch:
        """A batch that tells the sizes and names of the task."""
        if isinstance(self.env.venv, BatchVecEnv):
            return self.env.venv.batch
        return ReachBatch(self.config, 1, robot=self.robot)

    def announce(self) -> None:
        """Print what is about to happen."""
        startup(
            self.config, self.template.observe.slices, self.console, kept=self.template.goals.kept
        )

    def resume(self, saved: checkpoint.Checkpoint) -> None:
        """Go on from a checkpoint of an equally configured run."""
        self._prepare()
        capture.put(self.model, self.env, saved)
        progress = saved.progress
        self.curriculum.load(progress["curriculum"])  # type: ignore[arg-type]
        self.window.load(progress["window"])  # type: ignore[arg-type]
        self.marks = Marks(**progress["marks"])  # type: ignore[arg-type]
        self._apply_curriculum()
        self._saved_at = self.model.num_timesteps

    def learn(self, record: Record, stop: Stop, tick: Callable[[], object] = lambda: None) -> None:
        """Train until the steps are done or somebody asks to stop, then save.

        Args:
            record: where figures go.
            stop: somebody's wish to stop.
            tick: called after each rollout and its update.

        Raises:
            Diverged: a loss or parameter is not finite.
        """
        config, model = self.config, self.model
        if model._last_obs is None:
            self._prepare()
        before = self.marks.seconds
        started = time.perf_counter()
        total = derive(config).total_steps
        bar = Progress(total, config.progress, self.console, model.num_timesteps)
        with _few_collections(), bar as progress:
            self._collector.told = progress.update
            while model.num_timesteps < config.total_timesteps and stop.signal is None:
                values = self._iterate()
                tick()
                evaluation, pointers = self._evaluate_when_due()
                self.marks.seconds = before + time.perf_counter() - started
                values |= evaluation | self._time()
                # the record first: a run that goes on from a checkpoint lacks none before it
                record.write(model.num_timesteps, values)
                self._collector.tell(values)
                self._save_when_due(record, pointers)
            self.marks.seconds = before + time.perf_counter() - started
        if self._saved_at != model.num_timesteps:
            self._save(record)

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
        clock = _Clock(self)
        model.collect_rollouts(
            self.env, self._collector, model.rollout_buffer, n_rollout_steps=model.n_steps
        )
        clock.collected()
        model._update_current_progress_remaining(model.num_timesteps, self.config.total_timesteps)
        model.train()
        self._check_numbers()
        finished = self._finished()
        self.window.add(finished)
        self.curriculum.count(
            model.n_steps * self.env.num_envs,
            sum(len(f.rows) for f in finished),
            (reached for f in finished for reached in f.reached),
        )
        self._apply_curriculum()
        values = {k: v for k, v in model.logger.name_to_value.items() if isinstance(v, int | float)}
        model.logger.name_to_value.clear()
        std = model.policy.log_std.detach().exp().tolist()
        if not model.use_sde:
            joints = zip(self.robot.joint_names, std, strict=True)
            values |= {f"std/{name}": s for name, s in joints}
        values |= self.window.metrics() | self.curriculum.metrics() | clock.shares()
        return values

    def _finished(self) -> list[Finished]:
        """Goals and episodes that finished in this rollout."""
        if isinstance(self.env.venv, BatchVecEnv):
            return self.env.venv.drain()
        finished, self._collector.finished = self._collector.finished, []
        return finished

    def _apply_curriculum(self) -> None:
        setting = self.curriculum.setting()
        if isinstance(self.env.venv, BatchVecEnv):
            self.env.venv.apply(setting)
        else:
            self.env.env_method("apply", setting)

    def _check_numbers(self) -> None:
        loss = self.model.logger.name_to_value.get("train/loss", 0.0)
        normal = checkpoint.normalizer_arrays(self.env)
        finite = np.isfinite(loss) and all(
            bool(p.isfinite().all()) for p in self.model.policy.parameters()
        )
        if finite and all(np.isfinite(values).all() for values in normal.values()):
            return
        kept = (
            f"the checkpoint of step {self._saved_at:,} is good"
            if self._saved_at > 0
            else "no checkpoint was saved yet"
        )
        better = min(self.config.ppo.learning_rate / 3, 1e-3)
        raise Diverged(
            f"numbers are no longer finite at step {self.model.num_timesteps:,} (loss {loss}); "
            f"{kept}; try ppo.learning_rate={better:.1e}"
        )

    def policy(self) -> Policy:
        """The policy as it is now."""
        normal = checkpoint.normalizer_arrays(self.env)
        on = self.config.observation.normalize
        return Policy(
            self.model.policy,
            normal["obs_mean"] if on else None,
            normal["obs_var"] if on else None,
            self.config.observation.clip,
            deterministic=self.config.evaluation.deterministic,
        )

    def _evaluate_when_due(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The periodic evaluation on the fixed goals; and `best` if it was the best so far."""
        every, step = self.config.evaluation.every, self.model.num_timesteps
        done = step >= self.config.total_timesteps
        if every == 0 or not (step >= self.marks.next_evaluation or done):
            return {}, ()
        self.marks.next_evaluation = (step // every + 1) * every
        self.model.policy.set_training_mode(False)
        result = evaluate(
            self.policy(),
            self.config,
            self.validation,
            threads=self.threads,
            robot=self.robot,
            seed=self.config.evaluation.seed,
            physics_records=False,
        )
        score = score_of(result, self.config)
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
        if due or pointers:
            self._save(record, *pointers)

    def _save(self, record: Record, *pointers: str) -> None:
        """Save a checkpoint; `latest` and these pointers name it."""
        step = self.model.num_timesteps
        progress = {
            "curriculum": self.curriculum.state(),
            "window": self.window.state(),
            "marks": asdict(self.marks),
        }
        saved = capture.take(self.config, self.model, self.env, progress)
        folder = checkpoint.write(self.checkpoints, step, saved)
        for name in ("latest", *pointers):
            checkpoint.point(self.checkpoints, name, folder)
        self._saved_at = step
        record.checkpoint(step, folder, ("latest", *pointers))
        checkpoint.prune(self.checkpoints, self.config.checkpoint.keep)

    def close(self) -> None:
        """Release the environments."""
        self.env.close()

    def best(self) -> Path:
        """The checkpoint to judge: the best, or the latest if none was evaluated."""
        name = "best" if checkpoint.points(self.checkpoints, "best") else "latest"
        return checkpoint.resolve(self.checkpoints, name)


def judge(
    folder: Path, config: Config, threads: int, progress: Callable[[int, float], None] | None = None
) -> Evaluation:
    """A checkpoint on the held-out goals of the configured region.

    Args:
        folder: the checkpoint.
        config: the run, with the region to judge on.
        threads: physics threads.
        progress: told the environment steps done and the share of goals reached so far.

    Raises:
        ConfigError: the region cannot be reached.
    """
    robot = load_robot(config.robot, config.task.physics_step)
    protocol = config.evaluation
    goals = held_out_goals(config, robot, protocol.goals, protocol.seed, threads)
    policy = checkpoint.load_policy(folder, deterministic=protocol.deterministic)
    return evaluate(
        policy, config, goals, threads=threads, robot=robot, seed=protocol.seed, progress=progress
    )


def score_of(evaluation: Evaluation, config: Config) -> float:
    """Success rate, less a hundredth of the median errors in units of their thresholds."""
    task = config.task
    position = float(np.median(evaluation.position_error)) / task.position_threshold
    angle = float(np.median(evaluation.orientation_error)) / task.orientation_threshold
    return float(evaluation.success.mean()) - 0.01 * (min(position, 10.0) + min(angle, 10.0))


@contextmanager
def _few_collections() -> Iterator[None]:
    """Spare the garbage collector what is there already; the libraries alone take it 0.1 s."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class _Collector(BaseCallback):
    """Gathers what finished in SB3's own vectorised environments, and shows the progress."""

    def __init__(self, gather: bool) -> None:
        super().__init__()
        self.gather = gather
        self.finished: list[Finished] = []
        self.told: Callable[[int, float | None, float | None, float | None], None] | None = None
        self._latest: tuple[float | None, ...] = (None, None, None)

    def tell(self, values: Mapping[str, Any]) -> None:
        """Show success, reward and speed as they were recorded."""
        names = ("rollout/success_rate", "rollout/ep_rew_mean", "time/fps")
        self._latest = tuple(values.get(name) for name in names)
        self._show()

    def _show(self) -> None:
        if self.told is not None:
            self.told(self.model.num_timesteps, *self._latest)

    def _on_step(self) -> bool:
        if self.gather:
            self.finished += drained(self.locals["infos"])
        self._show()
        return True


class _Clock:
    """Where the time of one iteration went."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.start = time.perf_counter()
        self.physics, self.policy = physics_seconds(run.env), run.model.seconds_policy
        self.rollout = 0.0

    def collected(self) -> None:
        """The rollout is over, the update begins."""
        self.rollout = time.perf_counter() - self.start

    def shares(self) -> dict[str, float]:
        """Shares of the iteration so far, under time/."""
        total = time.perf_counter() - self.start
        physics = physics_seconds(self.run.env) - self.physics
        policy = self.run.model.seconds_policy - self.policy
        return {
            "time/physics": physics / total,
            "time/policy": policy / total,
            "time/task": (self.rollout - physics - policy) / total,
            "time/update": (total - self.rollout) / total,
            "time/iteration_s": total,
        }
