"""n arms in one MuJoCo batch: the environment. Every other face wraps this one."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from gymnasium import spaces
from mujoco.batch import Batch

from reach_rl.config.schema import Config, Start
from reach_rl.envs.episodes import Episodes, Finished
from reach_rl.envs.guard import Guard
from reach_rl.envs.physics import NONE, RANDOMIZED, VEL, arm_of, check_ranges, randomize, stop_clock
from reach_rl.envs.pool import goal_pool, seen_form
from reach_rl.extend import PER_EPISODE, measured
from reach_rl.mdp import success
from reach_rl.mdp.actions import Action
from reach_rl.mdp.arrays import Array, Bools, Ints, clipped, columns, where
from reach_rl.mdp.curriculum import Setting
from reach_rl.mdp.goals import Goals
from reach_rl.mdp.observations import Observation
from reach_rl.mdp.rewards import Reward
from reach_rl.mdp.state import State, nearest_way
from reach_rl.mdp.streams import Streams
from reach_rl.mdp.terms import BoundTerms, tried
from reach_rl.robots import RobotModel, load_robot

GROUPS = 25
"""Environments that end together where ends are spread; ten resets at once cost as much as one."""

_KEPT = tuple(f.name for f in fields(State) if f.name != "goal_ways")
"""What a snapshot holds of the state; the ways follow from the goals."""

_OWN = ("target", "age", "goal_age", "goal_index", "pending", "delay")


@dataclass(slots=True)
class Step:
    """What one control step of n environments gave."""

    observation: np.ndarray
    """(n, d) float32; of the new goal or episode where one began."""
    reward: Array
    """(n,)."""
    timed_out: Bools
    """(n,) the episode ended; the observation is of the next one when autoreset is on."""
    goal_changed: Bools
    """(n,) the timer or a completed hold brought a new goal within the episode."""
    cut: Ints
    """(k,) environments whose observation is not their action's outcome: see last_observation."""
    last_observation: np.ndarray
    """(k, d) what these environments saw just before the new goal or episode."""


class ReachBatch:
    """n arms, each reaching for its goal."""

    persistent = True
    """One MjData an arm: a control step goes on from the kinematics that ended the one before."""

    def __init__(
        self,
        config: Config,
        n: int,
        seeds: Ints | None = None,
        *,
        threads: int = 1,
        goals: Goals | None = None,
        autoreset: bool = True,
        robot: RobotModel | None = None,
    ) -> None:
        """Compile the arm and sample its goals; call reset() next.

        Args:
            config: the run.
            n: environments.
            seeds: (n,) seed of each environment's random stream; config.seed + i by default.
            threads: physics threads.
            goals: goals to draw from; the pool of the configured region by default.
            autoreset: begin the next episode in the step that ends one.
            robot: the compiled arm, if there is one already.

        Raises:
            ConfigError: the robot or the region cannot be made.
        """
        self.config = config
        self.task = config.task
        self.n = n
        self.robot = robot or load_robot(config.robot, config.task.physics_step)
        check_ranges(self.robot, config.task)
        self.arm = arm_of(self.robot, config.task)
        self.autoreset = autoreset
        self.streams = Streams(config.seed + np.arange(n) if seeds is None else seeds)
        self.action = Action(config.action, self.arm, config.task.substeps)
        self._form = seen_form(config.observation, self.robot)
        self.goals = goals or goal_pool(config, self.robot, threads)
        self.setting = Setting(
            {}, config.task.position_threshold, config.task.orientation_threshold, 1.0
        )

        self._simulate(threads)
        self.joints = joints = len(self.arm.home)
        self.state = State.empty(n, joints, self._seen_ways.shape[1], self.action.size)
        self.target = np.zeros((n, joints))
        self.age = np.zeros(n, np.int64)
        self.goal_age = np.zeros(n, np.int64)
        self.goal_index = np.zeros(n, np.int64)
        delays = config.task.randomization.action_delay
        self.pending = np.zeros((n, max(delays) + 1, self.action.size))
        self.delay = np.zeros(n, np.int64)
        self.seconds_physics = 0.0
        self._all = np.arange(n)

        self._stand(self._all, np.broadcast_to(self.arm.home, (n, joints)))
        self._set_goal(self._all, self._all % len(self.goals))
        self.observe = Observation(config.observation, self.arm, self.state)
        self.reward = Reward(config.reward, self.arm, self.state)
        with tried():
            self.action(self.state.action, self.state, self.target)
        metrics = {name: (function, {}) for name, function in measured(PER_EPISODE).items()}
        self._metrics = BoundTerms("metric", metrics, self.state, self.arm)
        self.episodes = Episodes(n, len(self.reward.names), self.arm, [*metrics])
        parts = (self.observe.terms, self.reward.terms, self._metrics)
        self._parts = [part for part in parts if part.remembering]
        """Terms that remember."""

        self.observation_space = spaces.Box(-np.inf, np.inf, (self.observe.size,), np.float32)
        """Of one environment, as the next."""
        self.action_space = spaces.Box(-1.0, 1.0, (self.action.size,), np.float32)

    def _simulate(self, threads: int) -> None:
        """Make the simulations, and views of what the task reads and writes."""
        stop_clock()
        self.batch = Batch(self.robot.model, self.n, threads, persistent=self.persistent)
        self._qpos = self.batch.bind("qpos")
        self._qvel = self.batch.bind("qvel")
        self._ctrl = self.batch.bind("ctrl")
        self._site_pos = self.batch.bind("site_xpos")
        self._site_mat = self.batch.bind("site_xmat")
        self._site_quat = self.batch.bind("site_xquat")
        self._anchor = self.batch.bind("xanchor")
        self._axis = self.batch.bind("xaxis")
        self._sensors = self.batch.bind("sensordata")
        self.guard = Guard(self.batch, self.robot)

        self._joint_ids = self.robot.model.dof_jntid[self.robot.dof_adr]
        self._q, self._dof = columns(self.robot.qpos_adr), columns(self.robot.dof_adr)
        self._u, self._j = columns(self.robot.ctrl_ids), columns(self._joint_ids)

    @property
    def goals(self) -> Goals:
        """The goals that are drawn from, or assigned by their index; others may be set."""
        return self._goals

    @goals.setter
    def goals(self, goals: Goals) -> None:
        self._goals = goals
        self._ways = goals.ways if self.config.reward.terms.get("joint_progress") else None
        self._seen_ways = np.empty((len(goals), 0, self.arm.home.size))
        if self._form is not None:
            self._seen_ways = self._form.all_ways(goals.position, goals.matrix)

    def reset(self, rows: Ints | None = None) -> np.ndarray:
        """Begin an episode in these environments (all by default); their observations, (k, d)."""
        rows = self._all if rows is None else rows
        self._begin_episode(rows)
        return self._observe_rows(rows, self._noise(rows))

    def assign_goals(self, rows: Ints, indices: Ints) -> np.ndarray:
        """Give these environments these goals of the pool; their observations, (k, d)."""
        self._set_goal(rows, indices)
        return self._observe_rows(rows, self._noise(rows))

    def keep_history(self) -> None:
        """Remember the last second of every arm, for what the guard has to tell."""
        self.guard.keep_history(self.task.control_period, self.task.substeps)

    def bad_terms(self) -> list[str]:
        """Reward terms that gave a number which is not finite."""
        return sorted(self.guard.bad_terms)

    def stagger(self) -> None:
        """Spread the ends of the first episodes and goals over time, in groups."""
        groups = min(self.n, GROUPS)
        group = self._all * groups // self.n
        self.age[:] = group * self.task.episode_steps // groups
        period = self.task.goal_period
        self.goal_age[:] = group * period // groups % period

    def apply(self, setting: Setting) -> None:
        """Take over reward weights, thresholds and region of the curriculum."""
        self.setting = setting
        for name, weight in setting.weights.items():
            if name in self.reward.names:
                self.reward.weights[self.reward.names.index(name)] = weight

    def drain(self) -> Finished:
        """What has finished since the last call."""
        return self.episodes.drain()

    def snapshot(self) -> dict[str, np.ndarray]:
        """Copies of everything that a later process needs to go on exactly here."""
        out = {name: view.copy() for name, view in self._views().items()}
        out |= {f"statistics.{k}": v for k, v in self.episodes.snapshot().items()}
        models = {f"model.{name}": self.batch.expanded(name) for name in RANDOMIZED}
        return out | {k: values.copy() for k, values in models.items() if values is not None}

    def restore(self, snapshot: Mapping[str, np.ndarray]) -> None:
        """Go on where a snapshot of an equally configured batch was taken."""
        for name in RANDOMIZED:
            if f"model.{name}" in snapshot:
                self.batch.expand(name)[:] = snapshot[f"model.{name}"]
        if "model.body_mass" in snapshot:
            self.batch.set_const()
        for name, view in self._views().items():
            if name != "state.joint_progress":  # made anew in each step; older snapshots have none
                view[:] = snapshot[name]
        self.state.goal_ways[:] = self._seen_ways[self.goal_index]
        self.episodes.restore(
            {k.removeprefix("statistics."): v for k, v in snapshot.items() if "statistics." in k}
        )
        self.guard.forgive(slice(None))

    def _views(self) -> dict[str, np.ndarray]:
        """What a snapshot holds beside the sums of the episodes and the models' own fields."""
        own = {name: getattr(self, name) for name in _OWN}
        state = {f"state.{name}": getattr(self.state, name) for name in _KEPT}
        streams = {f"streams.{name}": getattr(self.streams, name) for name in ("keys", "counters")}
        memory = {key: array for part in self._parts for key, array in part.memory().items()}
        return own | state | streams | memory | {"physics": self.batch.state}

    def step(self, action: np.ndarray, targets: Array | None = None) -> Step:
        """Advance all environments by one control period.

        Args:
            action: (n, j), clipped to [-1, 1].
            targets: (substeps, n, j) of the servos (rad), for who drives them himself; what the
                action asks for by default.
        """
        s = self.state
        self.episodes.before(s)
        s.last_action[:] = s.action
        s.action[:] = clipped(action, -1.0, 1.0)
        delayed = self._delayed(s.action)
        if targets is None:
            targets = self.action(delayed, s, self.target)
        self.target[:] = targets[-1]
        self.guard.note(targets)
        joints_before = self._joint_distance()
        self._advance(targets)
        poisoned = self.guard.detect()

        self._read(slice(None))
        s.measure(self.arm)
        if self._ways is not None:
            s.joint_progress[:] = joints_before - self._joint_distance()
        setting = self.setting
        success.update(
            s, setting.position_threshold, setting.orientation_threshold, self.task.hold_steps
        )
        for part in self._parts:
            part.step(s)
        reward, shares = self.reward(s)
        self.guard.check_reward(reward, shares, self.reward.names)
        if poisoned.any():
            reward[poisoned], shares[poisoned] = 0.0, 0.0
            s.completed[poisoned] = s.reached[poisoned] = False
        if self.episodes.metrics:
            shares = np.column_stack((shares, *self._metrics(s)))
        self.episodes.add(s, reward, shares)
        noise = self._noise(self._all)
        observation = self.observe(s, noise)

        timed_out, changed = success.ends(self.task, self.age, self.goal_age, s.completed, poisoned)
        over = changed | timed_out
        cut = where(over if self.autoreset else changed)
        last = observation[cut]
        self.episodes.finish_goals(where(over), s)
        ended = where(timed_out)
        self.episodes.finish_episodes(ended, poisoned)
        fresh = where(changed)
        if len(fresh):
            self._draw_goal(fresh)
            kept = None if noise is None else noise[fresh]
            observation[fresh] = self._observe_rows(fresh, kept)
        if self.autoreset and len(ended):
            observation[ended] = self.reset(ended)
        return Step(observation, reward, timed_out, changed, cut, last)

    def _advance(self, targets: Array) -> None:
        """Step the physics through one control period; positions and velocities are current."""
        begin = time.perf_counter()
        last = len(targets) - 1
        for i, target in enumerate(targets):
            self._ctrl[:, self._u] = target
            self.batch.step(stage=VEL if i == last else NONE)
        self.seconds_physics += time.perf_counter() - begin

    def _delayed(self, action: Array) -> Array:
        """The action that takes effect now, (n, j)."""
        if self.pending.shape[1] == 1:
            return action
        self.pending[:, 1:] = self.pending[:, :-1].copy()
        self.pending[:, 0] = action
        return self.pending[self._all, self.delay]

    def _read(self, rows: Ints | slice) -> None:
        """Take the physics of these environments over into the state."""
        s, r = self.state, self.robot
        s.joint_position[rows] = self._qpos[rows][:, self._q]
        s.joint_velocity[rows] = self._qvel[rows][:, self._dof]
        s.joint_anchor[rows] = self._anchor[rows][:, self._j]
        s.joint_axis[rows] = self._axis[rows][:, self._j]
        s.tool_position[rows] = self._site_pos[rows, r.tcp_site]
        s.tool_matrix[rows] = self._site_mat[rows, r.tcp_site].reshape(-1, 3, 3)
        s.tool_quaternion[rows] = self._site_quat[rows, r.tcp_site]
        s.self_contact[rows] = self._sensors[rows, r.self_contact] > 0
        s.table_contact[rows] = self._sensors[rows, r.table_contact] > 0

    def _begin_episode(self, rows: Ints) -> None:
        """Put these environments at a start, at rest, with a new goal."""
        r = self.robot
        start = np.broadcast_to(self.arm.home, (len(rows), self.joints))
        if self.task.start is Start.REGION:
            start = self.goals.joints[self._draw_index(rows)]
        noise = self.task.start_noise * self.streams.symmetric(rows, self.joints)
        start = np.clip(start + noise, self.arm.low, self.arm.high)
        randomize(self.batch, r, self.task, rows, self.streams)
        self.delay[rows] = self._draw_delay(rows)

        self._stand(rows, start)
        self.pending[rows] = 0.0
        self.age[rows] = 0
        self.episodes.begin(rows)
        for part in self._parts:
            part.reset(rows)
        self._draw_goal(rows)

    def _stand(self, rows: Ints, start: Array) -> None:
        """Put these arms at joint angles (k, j), at rest."""
        s, r, k = self.state, self.robot, len(rows)
        self.batch.reset(rows, stage=NONE)
        qpos = np.broadcast_to(r.home_qpos, (k, len(r.home_qpos))).copy()
        qpos[:, r.qpos_adr] = start
        self._qpos[rows] = qpos
        self.guard.forgive(rows)
        ctrl = np.broadcast_to(r.base_ctrl, (k, len(r.base_ctrl))).copy()
        ctrl[:, r.ctrl_ids] = start
        self._ctrl[rows] = ctrl
        self.batch.forward(rows, stage=VEL)
        self.target[rows] = start
        s.action[rows] = 0.0
        s.last_action[rows] = 0.0
        self._read(rows)

    def _draw_index(self, rows: Ints) -> Ints:
        count = self.goals.within(self.setting.region_share)
        return (self.streams.uniform(rows, 1)[:, 0] * count).astype(np.int64)

    def _draw_delay(self, rows: Ints) -> Ints:
        least, most = self.task.randomization.action_delay
        if most == 0:
            return np.zeros(len(rows), np.int64)
        return least + (self.streams.uniform(rows, 1)[:, 0] * (most - least + 1)).astype(np.int64)

    def _draw_goal(self, rows: Ints) -> None:
        self._set_goal(rows, self._draw_index(rows))

    def _set_goal(self, rows: Ints, indices: Ints) -> None:
        s = self.state
        s.goal_position[rows] = self.goals.position[indices]
        s.goal_quaternion[rows] = self.goals.quaternion[indices]
        s.goal_matrix[rows] = self.goals.matrix[indices]
        s.goal_ways[rows] = self._seen_ways[indices]
        s.inside_steps[rows] = 0
        s.completed[rows] = False
        s.reached[rows] = False
        self.goal_index[rows] = indices
        self.goal_age[rows] = 0
        s.measure(self.arm, rows)
        s.keypoint_progress[rows] = 0.0
        s.joint_progress[rows] = 0.0

    def _joint_distance(self) -> Array | float:
        """How far the goals are in the joints, (n,) rad; 0 if no reward asks for it."""
        if self._ways is None:
            return 0.0
        return nearest_way(self.state.joint_position, self._ways[self.goal_index], self.arm)[0]

    def _noise(self, rows: Ints) -> Array | None:
        if not self.observe.noisy:
            return None
        return self.observe.noise * self.streams.symmetric(rows, len(self.observe.noise))

    def _observe_rows(self, rows: Ints, noise: Array | None) -> np.ndarray:
        if len(rows) == self.n:
            return self.observe(self.state, noise)
        return self.observe.rows(self.state, rows, noise)
