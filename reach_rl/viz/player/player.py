"""The player: real time, what the user asks for, and what everybody sees."""

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import viser
import viser.transforms as vtf

from reach_rl.config.schema import Config
from reach_rl.robots import RobotModel, load_robot
from reach_rl.viz.player.drawing import Drawing
from reach_rl.viz.player.page import Page
from reach_rl.viz.player.reachable import Reachable
from reach_rl.viz.player.world import Policy, World

Source = Callable[[], tuple[Config, Policy]]
"""Loads a policy and the run that it comes from."""

LATE = 0.25
"""If the machine falls behind by more than this, the clock starts anew instead of racing (s)."""

TEXT_EVERY, PLOT_EVERY = 0.1, 0.2
"""Time between two updates of the readings and of the plots (s)."""

IDLE_WAIT = 0.05
"""While time stands still, look for what the user wants this often (s)."""


@dataclass(slots=True)
class _Clock:
    """When the next step is due; drift-free."""

    due: float = 0.0

    def wait(self, period: float) -> float:
        """Sleep until the next step is due; by how much it is late (s)."""
        now = time.perf_counter()
        self.due += period
        if self.due < now - LATE or self.due > now + LATE + period:
            self.due = now
            return LATE
        time.sleep(max(0.0, self.due - now))
        return max(0.0, now - self.due)


class Player:
    """A world on a page. Everything happens in run(); the page's threads only leave wishes."""

    def __init__(
        self, server: viser.ViserServer, sources: Mapping[str, Source], chosen: str, seed: int = 0
    ) -> None:
        """Load the chosen policy and draw it.

        Args:
            server: where to show it.
            sources: what the user can switch between.
            chosen: which one comes first.
            seed: of the goals.

        Raises:
            ConfigError: the policy, its robot or its region is not fit.
        """
        self.server = server
        self.sources = sources
        self.seed = seed
        self._wishes: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._paused, self._speed = False, 1.0
        self._note, self._late = "", 0
        self._questions = _Questions()
        self._page = Page(server, list(sources), chosen, self._act)
        self._load(chosen)

    def run(self, stop: Callable[[], bool]) -> None:
        """Play until asked to stop."""
        clock = _Clock(time.perf_counter())
        text = plot = 0.0
        reading = self.world.reading()
        while not stop():
            self._grant()
            if self._paused:
                time.sleep(IDLE_WAIT)
                reading = self.world.reading(reading.reward)
            else:
                late = clock.wait(self.world.period / self._speed)
                self._late = self._late + 1 if late >= LATE else 0
                reading = self.world.step()
                self._page.record(reading)
            unreachable = self._questions.answer
            now = time.perf_counter()
            with self.server.atomic():
                self._drawing.show(self.world.qpos)
                self._drawing.light(reading.success, unreachable)
                if now - text > TEXT_EVERY:
                    text = now
                    self._page.show(reading, self.world.config.task, unreachable, self._remark())
                if now - plot > PLOT_EVERY and not self._paused:
                    plot = now
                    self._page.plot()

    def close(self) -> None:
        """Stop answering questions."""
        self._questions.close()

    def _remark(self) -> str:
        if self._late > 10:
            return "this machine is too slow for real time; it plays as fast as it can"
        return self._note or ("paused" if self._paused else "")

    def _act(self, name: str, value: object = None) -> None:
        """Leave a wish; called by the page's threads."""
        action: Callable[..., None] = getattr(self, f"_do_{name}")
        self._wishes.put(action if value is None else lambda: action(value))

    def _grant(self) -> None:
        """Do what was wished for since the last step."""
        while True:
            try:
                self._wishes.get_nowait()()
            except queue.Empty:
                return

    def _load(self, name: str) -> None:
        config, policy = self.sources[name]()
        robot = load_robot(config.robot, config.task.physics_step)
        self.world = World(config, policy, robot, self.seed)
        with self.server.atomic():
            self._drawing = Drawing(self.server, config.robot, robot.reach)
            self._drawing.gizmo.on_update(lambda _: self._act("drag"))
            self._questions.about(robot)
            self._page.forget()
            self._goal_moved(gizmo=True)
            self._drawing.show(self.world.qpos)

    def _goal_moved(self, *, gizmo: bool, fields: bool = True) -> None:
        """Show the goal everywhere but where it was moved."""
        position, quaternion = self.world.goal
        if gizmo:
            self._drawing.place_goal(position, quaternion)
        if fields:
            rpy = vtf.SO3(quaternion).as_rpy_radians()
            self._page.show_goal(position, np.degrees([rpy.roll, rpy.pitch, rpy.yaw]))
        self._questions.ask(position, quaternion)

    def _do_random_goal(self) -> None:
        self.world.random_goal()
        self._goal_moved(gizmo=True)

    def _do_reset(self) -> None:
        self.world.reset()
        self._page.forget()

    def _do_push(self) -> None:
        self.world.push()

    def _do_pause(self) -> None:
        self._paused = not self._paused
        self._page.show_pause(self._paused)

    def _do_speed(self, speed: float) -> None:
        self._speed = speed

    def _do_policy(self, name: str) -> None:
        try:
            self._load(name)
            self._note = ""
        except Exception as error:
            self._note = f"{name} cannot be loaded: {type(error).__name__}"

    def _do_drag(self) -> None:
        gizmo = self._drawing.gizmo
        position, quaternion = np.asarray(gizmo.position), np.asarray(gizmo.wxyz)
        if _same(self.world.goal, (position, quaternion)):
            return
        self.world.set_goal(position, quaternion)
        self._goal_moved(gizmo=False)

    def _do_position(self, position: np.ndarray) -> None:
        self.world.set_goal(position, self.world.goal[1])
        self._goal_moved(gizmo=True, fields=False)

    def _do_angles(self, angles: np.ndarray) -> None:
        roll, pitch, yaw = np.radians(angles)
        rotation = vtf.SO3.from_rpy_radians(roll, pitch, yaw)
        self.world.set_goal(self.world.goal[0], rotation.wxyz)
        self._goal_moved(gizmo=True, fields=False)


def _same(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> bool:
    return bool(np.allclose(a[0], b[0], atol=1e-6) and np.allclose(a[1], b[1], atol=1e-6))


class _Questions:
    """Asks in the background whether a goal can be reached; only the newest question counts."""

    def __init__(self) -> None:
        self.answer = ""
        """Why the goal is out of reach; empty if it is within, or not known yet."""
        self._newest: queue.SimpleQueue[tuple[Reachable, np.ndarray, np.ndarray] | None] = (
            queue.SimpleQueue()
        )
        self._reachable: Reachable | None = None
        self._thread = threading.Thread(target=self._work, name="reachable", daemon=True)
        self._thread.start()

    def about(self, robot: RobotModel) -> None:
        """Answer for this arm from here on."""
        self._reachable = Reachable(robot)

    def ask(self, position: np.ndarray, quaternion: np.ndarray) -> None:
        """Find out about a goal."""
        if self._reachable is not None:
            self._newest.put((self._reachable, position, quaternion))

    def close(self) -> None:
        """End the thread."""
        self._newest.put(None)
        self._thread.join(timeout=5.0)

    def _work(self) -> None:
        while (question := self._newest.get()) is not None:
            while not self._newest.empty():
                question = self._newest.get()
                if question is None:
                    return
            reachable, position, quaternion = question
            self.answer = reachable(position, quaternion).reason
