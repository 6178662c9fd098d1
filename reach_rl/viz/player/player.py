"""The player on a page: real time, what the user asks for, and what everybody sees."""

import queue
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import viser
import viser.transforms as vtf
from viser import uplot

from reach_rl.config.schema import Config
from reach_rl.robots import load_robot
from reach_rl.viz.player.drawing import Drawing
from reach_rl.viz.player.world import Policy, Reachable, Reading, World

if TYPE_CHECKING:
    from jinja2 import Template

Source = Callable[[], tuple[Config, Policy]]
"""Loads a policy and the run that it comes from."""

LATE = 0.25
"""Of what the machine falls behind, it makes up for so much at the most (s)."""

TEXT_EVERY, PLOT_EVERY = 0.1, 0.2
"""Time between two updates of the readings and of the plots (s)."""

IDLE_WAIT = 0.05
"""While time stands still, look for what the user wants this often (s)."""


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
        self._note = ""
        self._asking = ThreadPoolExecutor(1, "reachable")
        self._asked: Future[str] | None = None
        self._unreachable = ""
        self._page = Page(server, list(sources), chosen, self._act)
        self._load(chosen)

    def run(self, stop: Callable[[], bool]) -> None:
        """Play until asked to stop."""
        self._due = time.perf_counter()
        text = plot = 0.0
        reading = self.world.reading()
        while not stop():
            while not self._wishes.empty():
                self._wishes.get()()
            if self._paused:
                time.sleep(IDLE_WAIT)
                reading = self.world.reading(reading.reward)
            else:
                self._wait(self.world.period / self._speed)
                reading = self.world.step()
                self._page.record(reading)
            if self._asked is not None and self._asked.done():
                self._unreachable = self._asked.result()
            now = time.perf_counter()
            with self.server.atomic():
                self._drawing.show(self.world.qpos)
                self._drawing.light(reading.success, self._unreachable)
                if now - text > TEXT_EVERY:
                    text = now
                    hold = self.world.config.task.hold_time
                    note = self._note or "paused" * self._paused
                    self._page.show(reading, hold, self._unreachable, note)
                if now - plot > PLOT_EVERY and not self._paused:
                    plot = now
                    self._page.plot()

    def close(self) -> None:
        """Stop answering whether goals can be reached."""
        self._asking.shutdown(cancel_futures=True)

    def _wait(self, period: float) -> None:
        """Sleep until the next step is due; without drift."""
        now = time.perf_counter()
        self._due = max(self._due + period, now - LATE)
        time.sleep(max(0.0, self._due - now))

    def _act(self, name: str, value: object = None) -> None:
        """Leave a wish; called by the page's threads."""
        action: Callable[..., None] = getattr(self, f"_do_{name}")
        self._wishes.put(action if value is None else lambda: action(value))

    def _load(self, name: str) -> None:
        config, policy = self.sources[name]()
        robot = load_robot(config.robot, config.task.physics_step)
        self.world = World(config, policy, robot, self.seed)
        with self.server.atomic():
            self._drawing = Drawing(self.server, config.robot, robot.reach)
            self._drawing.gizmo.on_update(lambda _: self._act("drag"))
            self._reachable = Reachable(robot)
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
        if self._asked is not None:
            self._asked.cancel()  # the newest question counts
        self._asked = self._asking.submit(self._reachable, position, quaternion)

    def _do_push(self) -> None:
        self.world.push()

    def _do_speed(self, speed: float) -> None:
        self._speed = speed

    def _do_random_goal(self) -> None:
        self.world.random_goal()
        self._goal_moved(gizmo=True)

    def _do_reset(self) -> None:
        self.world.reset()
        self._page.forget()

    def _do_pause(self) -> None:
        self._paused = not self._paused
        self._page.show_pause(self._paused)

    def _do_policy(self, name: str) -> None:
        try:
            self._load(name)
            self._note = ""
        except Exception as error:
            self._note = f"{name} cannot be loaded: {type(error).__name__}"

    def _do_drag(self) -> None:
        gizmo = self._drawing.gizmo
        if self.world.take_goal(gizmo.position, gizmo.wxyz):
            self._goal_moved(gizmo=False)

    def _do_typed(self) -> None:
        position, angles = self._page.typed()
        self.world.set_goal(position, vtf.SO3.from_rpy_radians(*angles).wxyz)
        self._goal_moved(gizmo=True, fields=False)


SPEEDS = {"real time": 1.0, "half speed": 0.5, "a quarter": 0.25, "a tenth": 0.1}
"""Choices of the slow-motion field: simulated seconds per second."""

BUTTONS = (
    ("Random goal", "random_goal", "a goal of the region that the policy learned"),
    ("Pause", "pause", "stop the time"),
    ("Push the arm", "push", "push the tool sideways for 0.2 s"),
    ("Reset", "reset", "the arm back to its home, the goal stays"),
)
"""Text, action and hint."""

PLOTS = (
    ("position error (mm)", "#2276be", 0.0),
    ("orientation error (deg)", "#c2571a", 0.0),
    ("reward per step", "#22a05e", None),
)
"""Title, colour and lower end of the axis."""

PLOT_SECONDS = 8.0
PLOT_POINTS = 400


class Page:
    """Fields and readings. What the user does is handed to `actions` by name, with its value."""

    def __init__(
        self,
        server: viser.ViserServer,
        policies: Sequence[str],
        chosen: str,
        act: Callable[..., None],
    ) -> None:
        """Build the panel.

        Args:
            server: where.
            policies: what the user can switch between.
            chosen: which of them is shown first.
            act: called from other threads with the name of an action and its value: random_goal,
                reset, push, pause, speed, policy, typed.
        """
        self._plots: list[viser.GuiUplotHandle] = []
        self._history: deque[tuple[float, float, float, float]] = deque(maxlen=PLOT_POINTS)
        gui = server.gui
        gui.configure_theme(
            control_layout="collapsible", brand_color=(34, 118, 190), show_logo=False,
            show_share_button=False,
        )  # fmt: skip
        gui.set_panel_label("reach_rl")
        self._status = gui.add_html("")
        for name, action, hint in BUTTONS:
            button = gui.add_button(name, hint=hint)
            button.on_click(lambda _, action=action: act(action))
            if action == "pause":
                self._pause = button
        speed = gui.add_dropdown("Speed", list(SPEEDS))
        speed.on_update(lambda _: act("speed", SPEEDS[speed.value]))
        policy = gui.add_dropdown("Policy", list(policies), initial_value=chosen)
        policy.on_update(lambda _: act("policy", policy.value))
        with gui.add_folder("Goal"):
            self._position = gui.add_vector3("Position (m)", (0.0, 0.0, 0.0), step=0.01)
            self._angles = gui.add_vector3("Roll, pitch, yaw (deg)", (0.0, 0.0, 0.0), step=1.0)
            for field in (self._position, self._angles):
                field.on_update(lambda event: event.client and act("typed"))
        with gui.add_folder("Errors and reward"):
            self._add_plots(gui)

    def forget(self) -> None:
        """Begin the plots anew."""
        self._history.clear()

    def record(self, reading: Reading) -> None:
        """Remember a reading for the plots."""
        degrees = float(np.degrees(reading.orientation_error))
        self._history.append((reading.time, 1e3 * reading.position_error, degrees, reading.reward))

    def typed(self) -> tuple[np.ndarray, np.ndarray]:
        """Goal pose of the number fields: position (3,) m; roll, pitch, yaw (3,) rad."""
        return np.array(self._position.value), np.radians(self._angles.value)

    def show_goal(self, position: np.ndarray, angles: np.ndarray) -> None:
        """Goal pose in the number fields: position (3,) m; roll, pitch, yaw (3,) in degrees."""
        self._position.value = tuple(np.round(position, 4))
        self._angles.value = tuple(np.round(angles, 1))

    def show_pause(self, paused: bool) -> None:
        """What the pause button does next."""
        self._pause.label = "Go on" if paused else "Pause"

    def show(self, reading: Reading, hold_time: float, unreachable: str, note: str) -> None:
        """Readings as text; `note` is a line on how the player fares, or empty."""
        told = {"hold_time": hold_time, "unreachable": unreachable, "note": note}
        self._status.content = _status().render(told, reading=reading)

    def plot(self) -> None:
        """Draw the plots anew."""
        if len(self._history) < 2:
            return
        columns = np.array(self._history).T
        recent = columns[:, columns[0] >= columns[0, -1] - PLOT_SECONDS]
        for plot, row in zip(self._plots, (1, 2, 3), strict=True):
            plot.data = (recent[0], recent[row])

    def _add_plots(self, gui: viser.GuiApi) -> None:
        empty = (np.zeros(2), np.zeros(2))
        for label, color, low in PLOTS:
            series = uplot.Series(label=label, stroke=color, width=2)
            plot = gui.add_uplot(
                empty,
                (uplot.Series(label="t (s)"), series),
                scales={"x": uplot.Scale(time=False), "y": uplot.Scale(range=(low, None))},
                legend=uplot.Legend(show=True),
                aspect=2.4,
            )
            self._plots.append(plot)


@cache
def _status() -> "Template":
    from jinja2 import Environment, PackageLoader

    loader = PackageLoader("reach_rl.viz.player")
    return Environment(loader=loader, autoescape=True).get_template("status.html")
