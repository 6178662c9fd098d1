"""n environments for Stable-Baselines3: one batch, or SB3's own vectorisations of single ones.

Whatever the kind, it answers `apply` (the curriculum's setting), `drain` (what finished since the
last call), `snapshot` and `restore` (its whole state as arrays), `physics_seconds`, and has in
`batch` a batch that tells the sizes and names of the task.
"""

import multiprocessing
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any

import gymnasium
import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

from reach_rl.config.schema import Config, GoalChange, VecEnvKind
from reach_rl.envs.batch import ReachBatch
from reach_rl.envs.episodes import Finished, merged
from reach_rl.envs.guard import hush
from reach_rl.envs.gym_env import ReachEnv
from reach_rl.envs.physics import threads_of as threads_of
from reach_rl.envs.pool import goal_pool
from reach_rl.mdp.compiled import load_all
from reach_rl.mdp.curriculum import Setting
from reach_rl.mdp.goals import Goals
from reach_rl.mdp.streams import Streams
from reach_rl.origins import Carried
from reach_rl.robots import RobotModel, load_robot

Arrays = Mapping[str, np.ndarray]
Maker = Callable[[], gymnasium.Env[Any, Any]]

_GRACE = 60
"""Time that a worker goes on for after SIGTERM (s)."""
_PATIENCE = 5.0
"""Time that workers have to end (s)."""


def make_vec_env(config: Config, robot: RobotModel | None = None) -> VecEnv:
    """The configured environments, not normalised.

    Args:
        config: the run.
        robot: the compiled arm, if there is one already.

    Raises:
        ConfigError: the robot or the region cannot be made.
        WorkerLost: a process cannot make its environment.
    """
    hush()
    vec = config.vec_env
    threads = threads_of(vec.threads)
    robot = robot or load_robot(config.robot, config.task.physics_step)
    goals = goal_pool(config, robot, threads)
    n = vec.n_envs if vec.kind is VecEnvKind.BATCH else 1
    batch = ReachBatch(config, n, threads=threads, robot=robot, goals=goals)
    if vec.kind is VecEnvKind.BATCH:
        if config.guard.dumps:
            batch.keep_history()
        cut = vec.truncate_at_goal_change
        return BatchVecEnv(batch, truncate_at_goal_change=cut, stagger=vec.stagger)
    code = Carried()
    makers: list[Maker] = [partial(_make, code, config, i, goals) for i in range(vec.n_envs)]
    if vec.kind is VecEnvKind.DUMMY:
        return ReachDummyVecEnv(batch, makers)
    load_all()  # once, not in each worker
    # workers are copies of a server that has the imports behind it
    multiprocessing.set_forkserver_preload([__name__])
    return ReachSubprocVecEnv(batch, makers, vec.start_method)


def _make(_: Carried, config: Config, index: int, goals: Goals) -> ReachEnv:
    """One environment, in whatever process."""
    if config.vec_env.kind is VecEnvKind.SUBPROC:
        hush()
        _leave_signals_to_the_run()
    env = ReachEnv(config, seed=config.seed + index, goals=goals)
    if config.guard.dumps:
        env.batch.keep_history()
    return env


def _leave_signals_to_the_run() -> None:
    """Signals to a whole group of processes must not take its workers from a run that saves."""
    for number in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    # not for ever: this is also how a dying run ends its workers
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_GRACE))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


class BatchVecEnv(VecEnv):
    """n environments stepped together.

    `done` marks the end of an episode and, where `truncate_at_goal_change` is set, a new goal on
    the timer; both are truncations. Every `info` is empty but for those (terminal_observation,
    TimeLimit.truncated) and the `episode` record at the end of an episode, as SB3's Monitor writes
    it, and `physics`, the Incident that ended an episode whose numbers went bad.
    """

    def __init__(self, batch: ReachBatch, *, truncate_at_goal_change: bool, stagger: bool) -> None:
        """Wrap a batch.

        Args:
            batch: the environments.
            truncate_at_goal_change: cut the return where the timer changes the goal.
            stagger: spread the first episodes' ends over time, at the first reset.
        """
        self.batch = batch
        timer = batch.task.goal_change is GoalChange.TIMER
        self.truncate_at_goal_change = truncate_at_goal_change and timer
        self._stagger = stagger
        self._action = np.zeros((batch.n, batch.action.size))
        self.apply, self.drain, self.snapshot = batch.apply, batch.drain, batch.snapshot
        super().__init__(batch.n, batch.observation_space, batch.action_space)

    def physics_seconds(self) -> float:
        """Time spent stepping physics so far (s)."""
        return self.batch.seconds_physics

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Start the random streams anew: environment i gets seed + i."""
        if seed is None:
            return [None] * self.num_envs
        seeds = seed + np.arange(self.num_envs)
        self.batch.streams = Streams(seeds)
        return [int(s) for s in seeds]

    def reset(self) -> np.ndarray:
        """Begin an episode everywhere; observations (n, d)."""
        observation = self.batch.reset()
        if self._stagger:
            self.batch.stagger()
            self._stagger = False
        return observation

    def step_async(self, actions: np.ndarray) -> None:
        """Take the actions (n, j)."""
        self._action = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Advance one control period: observations, rewards, dones and infos."""
        step = self.batch.step(self._action)
        done = step.timed_out
        if self.truncate_at_goal_change:
            done = done | step.goal_changed
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for row, observation in zip(step.cut.tolist(), step.last_observation, strict=True):
            if done[row]:
                infos[row]["terminal_observation"] = observation
                infos[row]["TimeLimit.truncated"] = True
        for incident in self.batch.guard.taken():
            infos[incident.row]["physics"] = incident
        if step.timed_out.any():
            for row, sums in zip(*self.batch.episodes.latest, strict=True):
                infos[row]["episode"] = {"r": float(sums[0]), "l": int(sums[1])}
        return step.observation, step.reward.astype(np.float32), done, infos

    def restore(self, arrays: Arrays) -> None:
        """Go on where a snapshot was taken, with the ages that it has."""
        self.batch.restore(arrays)
        self._stagger = False

    def close(self) -> None:
        """Nothing to release: the batch's threads end with it."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:  # noqa: ANN401
        """The attribute of the batch, once per environment."""
        value = getattr(self.batch, attr_name, None)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:  # noqa: ANN401
        """Set an attribute of the batch, which all environments share."""
        setattr(self.batch, attr_name, value)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,  # noqa: ANN401
        indices: Any = None,  # noqa: ANN401
        **method_kwargs: Any,  # noqa: ANN401
    ) -> list[Any]:
        """Call a method of the batch once; its result, once per environment."""
        result = getattr(self.batch, method_name)(*method_args, **method_kwargs)
        return [result for _ in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:  # noqa: ANN401
        """No environment is wrapped on its own."""
        return [False for _ in self._get_indices(indices)]


class _OneByOne(VecEnv):
    """What SB3's vectorisations of single environments answer; (n, ...) is one row each."""

    batch: ReachBatch

    def apply(self, setting: Setting) -> None:
        self.env_method("apply", setting)

    def drain(self) -> Finished:
        return merged(self.env_method("drain"))

    def snapshot(self) -> dict[str, np.ndarray]:
        parts = self.env_method("snapshot")
        return {name: np.stack([part[name] for part in parts]) for name in parts[0]}

    def restore(self, arrays: Arrays) -> None:
        for i in range(self.num_envs):
            part = {name: values[i] for name, values in arrays.items()}
            self.env_method("restore", part, indices=[i])


class ReachDummyVecEnv(_OneByOne, DummyVecEnv):
    """SB3's DummyVecEnv of ReachEnv; see the module."""

    def __init__(self, batch: ReachBatch, makers: Sequence[Maker]) -> None:
        """Make the environments; the batch tells of their task."""
        self.batch = batch
        super().__init__([*makers])

    def physics_seconds(self) -> float:
        """Time spent stepping physics so far (s)."""
        return sum(self.get_attr("seconds_physics"))


class WorkerLost(RuntimeError):
    """The process of an environment has died."""


class _Remote:
    """A pipe to the process of an environment, which says so where that has died."""

    def __init__(self, index: int, process: BaseProcess, pipe: Any) -> None:  # noqa: ANN401
        self._index, self._process, self._pipe = index, process, pipe

    def send(self, message: object) -> None:
        try:
            self._pipe.send(message)
        except OSError as error:
            raise self.lost() from error

    def recv(self) -> Any:  # noqa: ANN401  whatever the process answers
        try:
            # forked processes hold copies of each other's pipes, which then do not end with them
            while not self._pipe.poll(1.0):
                if not self._process.is_alive():
                    raise EOFError
            return self._pipe.recv()
        except (EOFError, OSError) as error:
            raise self.lost() from error

    def lost(self) -> WorkerLost:
        self._process.join(_PATIENCE)
        code = self._process.exitcode or 0
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return WorkerLost(f"the process of environment {self._index} has died ({how})")


class ReachSubprocVecEnv(_OneByOne, SubprocVecEnv):
    """SB3's SubprocVecEnv of ReachEnv, which says so where a process has died; see the module."""

    remotes: Any

    def __init__(
        self, batch: ReachBatch, makers: Sequence[Maker], start_method: str | None
    ) -> None:
        """Start the processes; the batch tells of their task."""
        self.batch = batch
        # what starts now is deaf to SIGTERM: the server, without which workers count as dead
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            super().__init__([*makers], start_method)
        except (EOFError, OSError) as error:  # from the first one, which is asked for its spaces
            lost = _Remote(0, self.processes[0], None).lost()
            self.close()
            raise lost from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        pairs = enumerate(zip(self.processes, self.remotes, strict=True))
        self.remotes = [_Remote(i, *pair) for i, pair in pairs]

    def physics_seconds(self) -> float:
        """Time spent stepping physics so far, the mean of the processes (s)."""
        return float(np.mean(self.get_attr("seconds_physics")))

    def close(self) -> None:
        """End the processes, by force where one does not end by itself."""
        if self.closed:
            return
        self.closed = True
        for remote, process in zip(self.remotes, self.processes, strict=True):
            if process.is_alive():
                with suppress(OSError, WorkerLost):
                    remote.send(("close", None))
        for process in self.processes:
            process.join(_PATIENCE)
            process.kill()
            process.join()
