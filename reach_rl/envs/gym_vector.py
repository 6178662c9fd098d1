"""The batch as Gymnasium's vector environment, which gymnasium.make_vec makes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from reach_rl.config.load import ConfigError
from reach_rl.config.schema import Config
from reach_rl.envs.batch import ReachBatch, Step
from reach_rl.envs.guard import hush
from reach_rl.envs.gym_env import composed
from reach_rl.envs.physics import threads_of
from reach_rl.mdp.arrays import Bools, Ints, where
from reach_rl.mdp.goals import Goals

Infos = dict[str, Any]
"""Name -> (n, ...), and with a `_` in front of it (n,): whose it is."""


class ReachVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """n arms in one batch; what Gymnasium's SyncVectorEnv of n ReachEnv gives, to the bit."""

    def __init__(
        self,
        config: Config | None = None,
        num_envs: int = 1,
        *,
        robot: str = "ur5e",
        overrides: Sequence[str] = (),
        seed: int | None = None,
        goals: Goals | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: None = None,
    ) -> None:
        """Make the environments.

        Args:
            config: the run; composed from what follows if None.
            num_envs: how many.
            robot: option of the group robot.
            overrides: what else to change, as on the command line.
            seed: seed of the first random stream until reset(seed=...) gives another; the others
                count on from it.
            goals: goals to draw from; the pool of the configured region by default.
            autoreset_mode: when an episode that has ended is followed by the next.
            render_mode: None; pictures are of single environments.

        Raises:
            ConfigError: the overrides are wrong, or the robot or the region cannot be made.
        """
        if render_mode is not None:
            better = 'try gymnasium.make(...), or vectorization_mode="sync"'
            raise ConfigError(f"render_mode={render_mode}: pictures are of one arm; {better}")
        hush()
        made = composed(config, robot, overrides)
        first = made.seed if seed is None else seed
        self.batch = ReachBatch(
            made,
            num_envs,
            first + np.arange(num_envs),
            threads=threads_of(made.vec_env.threads),
            goals=goals,
            autoreset=False,
        )
        self.num_envs, self.render_mode = num_envs, None
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {"render_modes": [], "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = self.batch.observation_space
        self.single_action_space = self.batch.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._over = np.zeros(num_envs, bool)
        self._observation = np.zeros(self.observation_space.shape or (), np.float32)
        self.apply, self.drain = self.batch.apply, self.batch.drain

    def reset(  # type: ignore[override]  Gymnasium's own take lists of seeds too
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[np.ndarray, Infos]:
        """Begin an episode everywhere, or where options["reset_mask"] says; observations (n, d).

        A seed starts random streams anew, one number the first and counting on.
        """
        super().reset(seed=seed if isinstance(seed, int) else None)
        mask: Any = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        if np.shape(mask) != (self.num_envs,) or np.asarray(mask).dtype != bool or not np.any(mask):
            raise ValueError(f"reset_mask: ({self.num_envs},) bools, at least one of them true")
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed
        if seeds is not None and len(seeds) != self.num_envs:
            raise ValueError(f"seed: {len(seeds)} of them for {self.num_envs} environments")
        rows = where(mask)
        for row, own in enumerate(seeds or ()):
            if own is not None and mask[row]:
                self.batch.streams.reseed(row, own)
        self._begin(rows)
        return self._observation.copy(), {}

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Infos]:
        """Advance one control period; observations (n, d), rewards, ends and time-outs (n,).

        The infos are those of ReachEnv. An environment that begins an episode in this step, as
        autoreset_mode says, has a reward of 0 and no infos of its own.
        """
        waiting = where(self._over)
        if len(waiting) and self.autoreset_mode is AutoresetMode.DISABLED:
            raise ValueError(f'reset(options={{"reset_mask": ...}}) first: {waiting} have ended')
        counters = self._park(waiting)
        step = self.batch.step(np.asarray(actions))
        self.batch.streams.counters[waiting] = counters
        self._observation = step.observation
        reward, over = step.reward.astype(np.float32), step.timed_out
        reward[waiting], over[waiting] = 0.0, False
        fresh, found = self._over, self._found(step)
        self._begin(waiting)
        final: Infos = {}
        if self.autoreset_mode is AutoresetMode.SAME_STEP and over.any():
            final, fresh = self._final(over, found), over
            self._begin(where(over))
        else:
            self._over = over
        terminated, infos = np.zeros(self.num_envs, bool), _told(found, ~fresh) | final
        return self._observation.copy(), reward, terminated, over.copy(), infos

    def _begin(self, rows: Ints) -> None:
        if len(rows):
            self._observation[rows] = self.batch.reset(rows)
            self._over = self._over.copy()
            self._over[rows] = False

    def _park(self, rows: Ints) -> np.ndarray:
        """Let these neither end, nor reach, nor count for anything; where their streams are."""
        self.batch.age[rows] = self.batch.goal_age[rows] = 0
        self.batch.state.reached[rows] = True
        return self.batch.streams.counters[rows]

    def _found(self, step: Step) -> Infos:
        """What there is to tell of each environment, as ReachEnv does; None where nothing is."""
        state, incidents = self.batch.state, self.batch.guard.taken()
        found: Infos = {
            "is_success": state.reached.copy(),
            "position_error": state.distance.copy(),
            "orientation_error": state.angle.copy(),
            "goal_changed": step.goal_changed,
        }
        if incidents:
            found["physics"] = np.full(self.num_envs, None, object)
            for incident in incidents:
                found["physics"][incident.row] = incident
        return found

    def _final(self, over: Bools, found: Infos) -> Infos:
        """Last observations and infos of the episodes that ended, whose next has not begun yet."""
        last = np.full(self.num_envs, None, object)
        for row in where(over).tolist():
            last[row] = self._observation[row].copy()
        infos = {"final_obs": last, "final_info": _told(found, over)}
        return infos | {f"_{name}": over.copy() for name in infos}


def _told(found: Infos, mask: Bools) -> Infos:
    """The infos of some environments, in Gymnasium's form."""
    infos: Infos = {}
    for name, values in found.items():
        here = mask & (values != None) if values.dtype == object else mask  # noqa: E711
        if here.any():
            nothing = values.dtype.type() if values.dtype != object else None
            infos |= {name: np.where(here, values, nothing), f"_{name}": here.copy()}
    return infos
