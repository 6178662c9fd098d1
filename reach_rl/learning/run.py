"""One training run: from a configuration to a judged policy and a folder with everything in it."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from stable_baselines3.common.callbacks import BaseCallback

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
from reach_rl.learning.vec_envs import make_vec_env, normalized, threads_of
from reach_rl.learning.window import Window
from reach_rl.mdp.curriculum import Curriculum
from reach_rl.monitoring.derived import derive
from reach_rl.monitoring.progress import Progress
from reach_rl.monitoring.record import Record
from reach_rl.monitoring.tables import startup
from reach_rl.robots import load_robot


@dataclass(slots=True)
class Marks:
    """What a run has to remember besides its networks and environments."""

    best_score: float = -np.inf
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
            ConfigError: the robot or the region cannot be made, or the checkpoint to go on from
                is damaged.
        """
        self.config = config
        self.folder = folder
        self.console = console
        self.checkpoints = folder / "checkpoints"
        self.threads = threads_of(config.vec_env.threads)
        self.robot = load_robot(config.robot, config.task.physics_step)
        self.env = normalized(make_vec_env(config), config)
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
        self._collector = _Collector()

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

    def resume(self) -> None:
        """Go on from the newest checkpoint of the folder."""
        saved = checkpoint.read(checkpoint.resolve(self.checkpoints, "latest"))
        self._prepare()
        capture.put(self.model, self.env, saved)
        progress = saved.progress
        self.curriculum.load(progress["curriculum"])  # type: ignore[arg-type]
        self.window.load(progress["window"])  # type: ignore[arg-type]
        self.marks = Marks(**progress["marks"])  # type: ignore[arg-type]
        self._apply_curriculum()
        self.console.print(f"going on at step {self.model.num_timesteps:,} of {self.folder}")

    def learn(self, record: Record, stop: Stop) -> None:
        """Train until the steps are done or somebody asks to stop, then save.

        Raises:
            Diverged: a loss or parameter is not finite.
        """
        config, model = self.config, self.model
        if model._last_obs is None:
            self._prepare()
        before = self.marks.seconds
        started = time.perf_counter()
        total = derive(config).total_steps
        with Progress(total, config.progress, self.console, model.num_timesteps) as progress:
            while model.num_timesteps < config.total_timesteps and stop.signal is None:
                values = self._iterate()
                self.marks.seconds = before + time.perf_counter() - started
                values["time/fps"] = model.num_timesteps / self.marks.seconds
                values["time/time_elapsed"] = self.marks.seconds
                values |= self._evaluate_when_due(record)
                record.write(model.num_timesteps, values)
                progress.update(
                    model.num_timesteps,
                    values.get("rollout/success_rate"),
                    values.get("rollout/ep_rew_mean"),
                    float(values["time/fps"]),
                )
                self._save_when_due(record)
            self.marks.seconds = before + time.perf_counter() - started
        self._save(record)

    def _prepare(self) -> None:
        """SB3's start of learn(): reset the environments, set up the counters."""
        self.model._setup_learn(self.config.total_timesteps, callback=self._collector)
        self._apply_curriculum()

    def _iterate(self) -> dict[str, float]:
        """One rollout and one update; everything there is to record of it."""
        model = self.model
        clock = _Clock(self)
        model.collect_rollouts(
            self.env, self._collector, model.rollout_buffer, n_rollout_steps=model.n_steps
        )
        clock.collected()
        model._update_current_progress_remaining(
            model.num_timesteps, self.config.total_timesteps
        )
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
        values |= {f"std/{name}": s for name, s in zip(self.robot.joint_names, std, strict=True)}
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
            self.env.venv.env_method("apply", setting)

    def _check_numbers(self) -> None:
        loss = self.model.logger.name_to_value.get("train/loss", 0.0)
        finite = np.isfinite(loss) and all(
            bool(p.isfinite().all()) for p in self.model.policy.parameters()
        )
        if not finite:
            raise Diverged(
                f"loss {loss} at step {self.model.num_timesteps:,}: the update is not finite; "
                f"the last checkpoint is good; try ppo.learning_rate={self.config.ppo.learning_rate / 3:.1e}"
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

    def _evaluate_when_due(self, record: Record) -> dict[str, float]:
        """The periodic evaluation on the fixed goals; a new best is saved."""
        every, step = self.config.evaluation.every, self.model.num_timesteps
        done = step >= self.config.total_timesteps
        if every == 0 or not (step >= self.marks.next_evaluation or done):
            return {}
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
        values = result.metrics()
        score = score_of(result, self.config)
        values["eval/score"] = score
        if score > self.marks.best_score:
            self.marks.best_score = score
            self._save(record, "best")
        return values

    def _save_when_due(self, record: Record) -> None:
        every, step = self.config.checkpoint.every, self.model.num_timesteps
        if every and step >= self.marks.next_checkpoint:
            self.marks.next_checkpoint = (step // every + 1) * every
            self._save(record)

    def _save(self, record: Record, *names: str) -> None:
        """Save a checkpoint; `latest` and these pointers name it."""
        progress = {
            "curriculum": self.curriculum.state(),
            "window": self.window.state(),
            "marks": {
                "best_score": float(self.marks.best_score)
                if np.isfinite(self.marks.best_score)
                else -1e9,
                "next_evaluation": self.marks.next_evaluation,
                "next_checkpoint": self.marks.next_checkpoint,
                "seconds": self.marks.seconds,
            },
        }
        saved = capture.take(self.config, self.model, self.env, progress)
        folder = checkpoint.write(self.checkpoints, self.model.num_timesteps, saved)
        for name in ("latest", *names):
            checkpoint.point(self.checkpoints, name, folder)
        record.checkpoint(self.model.num_timesteps, folder, ("latest", *names))
        checkpoint.prune(self.checkpoints, self.config.checkpoint.keep)

    def best(self) -> Path:
        """The checkpoint to judge: the best, or the latest if none was evaluated."""
        name = "best" if (self.checkpoints / "best").is_file() else "latest"
        return checkpoint.resolve(self.checkpoints, name)


def judge(folder: Path, config: Config, threads: int) -> Evaluation:
    """A checkpoint on the held-out goals of the configured region."""
    robot = load_robot(config.robot, config.task.physics_step)
    protocol = config.evaluation
    goals = held_out_goals(config, robot, protocol.goals, protocol.seed, threads)
    policy = checkpoint.load_policy(folder, deterministic=protocol.deterministic)
    return evaluate(policy, config, goals, threads=threads, robot=robot, seed=protocol.seed)


def score_of(evaluation: Evaluation, config: Config) -> float:
    """Success rate, less a hundredth of the median errors in units of their thresholds."""
    task = config.task
    position = float(np.median(evaluation.position_error)) / task.position_threshold
    angle = float(np.median(evaluation.orientation_error)) / task.orientation_threshold
    return float(evaluation.success.mean()) - 0.01 * (min(position, 10.0) + min(angle, 10.0))


class _Collector(BaseCallback):
    """Gathers what finished in SB3's own vectorised environments."""

    def __init__(self) -> None:
        super().__init__()
        self.finished: list[Finished] = []

    def _on_step(self) -> bool:
        self.finished += drained(self.locals["infos"])
        return True


class _Clock:
    """Where the time of one iteration went."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.start = time.perf_counter()
        self.physics, self.policy = run.template.seconds_physics, run.model.seconds_policy
        self.rollout = 0.0

    def collected(self) -> None:
        """The rollout is over, the update begins."""
        self.rollout = time.perf_counter() - self.start

    def shares(self) -> dict[str, float]:
        """Shares of the iteration so far, under time/."""
        total = time.perf_counter() - self.start
        physics = self.run.template.seconds_physics - self.physics
        policy = self.run.model.seconds_policy - self.policy
        return {
            "time/physics": physics / total,
            "time/policy": policy / total,
            "time/task": (self.rollout - physics - policy) / total,
            "time/update": (total - self.rollout) / total,
            "time/iteration_s": total,
        }
