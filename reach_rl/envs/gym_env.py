"""The batch with n = 1 as a Gymnasium environment."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

from reach_rl.config.load import ConfigError, compose
from reach_rl.config.schema import Config
from reach_rl.envs.batch import ReachBatch
from reach_rl.mdp.goals import Goals


def composed(config: Config | None, robot: str, overrides: Sequence[str]) -> Config:
    """What an environment was asked for. Raises ConfigError."""
    if config is None:
        return compose([f"robot={robot}", *overrides], own_learner=True)
    if overrides:
        raise ConfigError("overrides: config is given too; give one of them")
    return config


class ReachEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """One arm reaching for its goal; episodes end only by truncation."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012  Gymnasium's own

    def __init__(
        self,
        config: Config | None = None,
        *,
        robot: str = "ur5e",
        overrides: Sequence[str] = (),
        seed: int | None = None,
        goals: Goals | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Make the environment.

        Args:
            config: the run; composed from what follows if None.
            robot: option of the group robot.
            overrides: what else to change, as on the command line.
            seed: seed of the random stream until reset(seed=...) gives another.
            goals: goals to draw from; the pool of the configured region by default.
            render_mode: None or "rgb_array".

        Raises:
            ConfigError: the overrides are wrong, or the robot or the region cannot be made.
        """
        made = composed(config, robot, overrides)
        first = made.seed if seed is None else seed
        self.batch = batch = ReachBatch(made, 1, np.array([first]), goals=goals, autoreset=False)
        self.observation_space, self.action_space = batch.observation_space, batch.action_space
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": round(1.0 / made.task.control_period)}
        self._renderer: Any = None
        # what a vectorised environment asks of each of its own
        self.apply, self.drain, self.bad_terms = batch.apply, batch.drain, batch.bad_terms
        self.snapshot, self.restore = batch.snapshot, batch.restore

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode; a seed starts the random stream anew."""
        super().reset(seed=seed)
        if seed is not None:
            self.batch.streams.reseed(0, seed)
        return self.batch.reset()[0], {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Advance one control period.

        The info tells `is_success` (the goal was reached and held), `position_error` (m),
        `orientation_error` (rad) and `goal_changed`; and, where the episode ended because its
        numbers went bad, `physics`, the Incident.
        """
        step = self.batch.step(np.asarray(action)[None])
        state = self.batch.state
        info: dict[str, Any] = {
            "is_success": bool(state.reached[0]),
            "position_error": float(state.distance[0]),
            "orientation_error": float(state.angle[0]),
            "goal_changed": bool(step.goal_changed[0]),
        }
        for incident in self.batch.guard.taken():
            info["physics"] = incident
        truncated = bool(step.timed_out[0])
        # single precision, as SB3's DummyVecEnv keeps it and its SubprocVecEnv would not
        reward = float(np.float32(step.reward[0]))
        return step.observation[0], reward, False, truncated, info

    @property
    def seconds_physics(self) -> float:
        """Time spent stepping physics so far (s)."""
        return self.batch.seconds_physics

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """Arm and goal from the front camera, (480, 640, 3) uint8, with render_mode="rgb_array".

        Raises:
            RenderError: nothing on this machine can draw.
        """
        if self.render_mode != "rgb_array":
            return None
        if self._renderer is None:
            from reach_rl.robots import display_spec
            from reach_rl.robots.display import Offscreen

            self._renderer = Offscreen(display_spec(self.batch.config.robot).compile())
        state = self.batch.state
        goal = state.goal_position[0], state.goal_quaternion[0]
        return self._renderer.picture(self.batch.batch.bind("qpos")[0], goal)

    def close(self) -> None:
        """Release the renderer."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
