"""The batch as an SB3 VecEnv: one process, n environments."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from reach_rl.config.kinds import GoalChange
from reach_rl.envs.batch import ReachBatch
from reach_rl.envs.spaces import spaces_of
from reach_rl.envs.statistics import Finished
from reach_rl.mdp.curriculum import Setting
from reach_rl.mdp.streams import Streams


class BatchVecEnv(VecEnv):
    """n environments stepped together.

    `done` marks the end of an episode and, where `truncate_at_goal_change` is set, a new goal on
    the timer; both are truncations, and `last_observations` holds what those environments saw
    last. Every `info` is empty but for those (terminal_observation, TimeLimit.truncated) and the
    `episode` record at the end of an episode, as SB3's Monitor writes it, and `physics`, the
    Incident that ended an episode whose numbers went bad.
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
        self._action = np.zeros((batch.n, batch.joints))
        self._pending_finished: list[Finished] = []
        self.cut: np.ndarray = np.zeros(0, np.int64)
        self.last_observations: np.ndarray = np.zeros((0, batch.observe.size), np.float32)
        super().__init__(batch.n, *spaces_of(batch))

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

    def skip_stagger(self) -> None:
        """Begin no staggered episodes: a restored batch has its ages already."""
        self._stagger = False

    def step_async(self, actions: np.ndarray) -> None:
        """Take the actions (n, j)."""
        self._action = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Advance one control period: observations, rewards, dones and infos."""
        step = self.batch.step(self._action)
        done = step.timed_out
        if self.truncate_at_goal_change:
            done = done | step.goal_changed
            self.cut, self.last_observations = step.cut, step.last_observation
        else:
            ended = step.timed_out[step.cut]
            self.cut, self.last_observations = step.cut[ended], step.last_observation[ended]
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for row, observation in zip(self.cut.tolist(), self.last_observations, strict=True):
            infos[row]["terminal_observation"] = observation
            infos[row]["TimeLimit.truncated"] = True
        for incident in self.batch.guard.taken():
            infos[incident.row]["physics"] = incident
        if step.timed_out.any():
            finished = self.batch.statistics.drain()
            self._pending_finished.append(finished)
            for row, total, length in zip(
                finished.rows, finished.returns, finished.lengths, strict=True
            ):
                infos[row]["episode"] = {"r": total, "l": length}
        return step.observation, step.reward.astype(np.float32), done, infos

    def drain(self) -> list[Finished]:
        """What has finished since the last call."""
        finished = [*self._pending_finished, self.batch.statistics.drain()]
        self._pending_finished = []
        return finished

    def apply(self, setting: Setting) -> None:
        """Take over the curriculum's setting."""
        self.batch.apply(setting)

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
