"""The panel beside the scene: buttons, fields, readings and plots."""

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import viser
from viser import uplot

from reach_rl.config.schema import TaskConfig
from reach_rl.viz.player.world import Reading

SPEEDS = {"real time": 1.0, "half speed": 0.5, "a quarter": 0.25, "a tenth": 0.1}
"""Choices of the slow-motion field: simulated seconds per second."""

PLOT_SECONDS = 8.0
PLOT_POINTS = 400
GREEN, AMBER, RED, GREY = "#22a05e", "#d99a12", "#d63a3a", "#868e96"


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
                reset, push, pause, speed, policy, position, angles.
        """
        self._plots: tuple[viser.GuiUplotHandle, ...] = ()
        self._history: deque[tuple[float, float, float, float]] = deque(maxlen=PLOT_POINTS)
        gui = server.gui
        _theme(gui, dark=False)
        gui.set_panel_label("reach_rl")
        self._status = gui.add_html("")
        goal = gui.add_button("Random goal", hint="a goal of the region that the policy learned")
        goal.on_click(lambda _: act("random_goal"))
        self._pause = gui.add_button("Pause", color="gray", hint="stop the time")
        self._pause.on_click(lambda _: act("pause"))
        push = gui.add_button("Push the arm", color="gray", hint="push the tool sideways for 0.2 s")
        push.on_click(lambda _: act("push"))
        reset = gui.add_button(
            "Reset", color="gray", hint="the arm back to its home, the goal stays"
        )
        reset.on_click(lambda _: act("reset"))
        speed = gui.add_dropdown("Speed", list(SPEEDS))
        speed.on_update(lambda _: act("speed", SPEEDS[speed.value]))
        policy = gui.add_dropdown("Policy", list(policies), initial_value=chosen)
        policy.on_update(lambda _: act("policy", policy.value))
        with gui.add_folder("Goal"):
            self._position = gui.add_vector3("Position (m)", (0.0, 0.0, 0.0), step=0.01)
            self._position.on_update(
                lambda event: event.client and act("position", np.array(self._position.value))
            )
            self._angles = gui.add_vector3("Roll, pitch, yaw (deg)", (0.0, 0.0, 0.0), step=1.0)
            self._angles.on_update(
                lambda event: event.client and act("angles", np.array(self._angles.value))
            )
        with gui.add_folder("Errors and reward"):
            self._add_plots(gui)
        dark = gui.add_checkbox("Dark", False)
        dark.on_update(lambda _: _theme(gui, dark.value))

    def forget(self) -> None:
        """Begin the plots anew."""
        self._history.clear()

    def record(self, reading: Reading) -> None:
        """Remember a reading for the plots."""
        self._history.append(
            (
                reading.time,
                1e3 * reading.position_error,
                float(np.degrees(reading.orientation_error)),
                reading.reward,
            )
        )

    def show_goal(self, position: np.ndarray, angles: np.ndarray) -> None:
        """Goal pose in the number fields: position (3,) m; roll, pitch, yaw (3,) in degrees."""
        self._position.value = tuple(np.round(position, 4))
        self._angles.value = tuple(np.round(angles, 1))

    def show_pause(self, paused: bool) -> None:
        """What the pause button does next."""
        self._pause.label = "Go on" if paused else "Pause"

    def show(self, reading: Reading, task: TaskConfig, unreachable: str, note: str) -> None:
        """Readings as text; `note` is a line on how the player fares, or empty."""
        self._status.content = status_html(reading, task, unreachable, note)

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
        made = []
        for label, color, low in (
            ("position error (mm)", "#2276be", 0.0),
            ("orientation error (deg)", "#c2571a", 0.0),
            ("reward per step", "#22a05e", None),
        ):
            made.append(
                gui.add_uplot(
                    empty,
                    (uplot.Series(label="t (s)"),
                     uplot.Series(label=label, stroke=color, width=2)),
                    scales={"x": uplot.Scale(time=False), "y": uplot.Scale(range=(low, None))},
                    legend=uplot.Legend(show=True),
                    aspect=2.4,
                )
            )  # fmt: skip
        self._plots = tuple(made)


def _theme(gui: viser.GuiApi, dark: bool) -> None:
    gui.configure_theme(
        control_layout="collapsible",
        control_width="medium",
        dark_mode=dark,
        show_logo=False,
        show_share_button=False,
        brand_color=(34, 118, 190),
    )


def status_html(reading: Reading, task: TaskConfig, unreachable: str, note: str) -> str:
    """The light and the figures under it; nothing in it comes from outside."""
    if reading.success:
        color, word = GREEN, "reached and held"
    elif unreachable:
        color, word = RED, f"out of reach: {unreachable}"
    elif reading.inside:
        color, word = AMBER, f"there, held {reading.held:.1f} of {task.hold_time:g} s"
    else:
        color, word = AMBER, "on its way"
    after = "" if reading.reached_after is None else f"{reading.reached_after:.2f} s"
    rows = (
        ("position error", f"{1e3 * reading.position_error:.1f} mm"),
        ("orientation error", f"{np.degrees(reading.orientation_error):.1f} deg"),
        ("fastest joint", f"{reading.joint_speed:.2f} rad/s"),
        ("reached and held after", after or "not yet"),
    )
    cells = "".join(
        f'<tr><td style="opacity:.65;padding:1px 0">{name}</td>'
        f'<td style="text-align:right;font-variant-numeric:tabular-nums">{value}</td></tr>'
        for name, value in rows
    )
    aside = f'<div style="color:{GREY};padding-top:4px">{note}</div>' if note else ""
    return (
        '<div style="padding:0.3em 1em 0.6em;font-size:0.85em">'
        f'<div data-light="{"on" if reading.success else "off"}" role="status" '
        'style="display:flex;gap:.6em;align-items:center;font-weight:600;padding-bottom:.4em">'
        f'<span style="flex:none;width:.95em;height:.95em;border-radius:50%;background:{color};'
        f'box-shadow:0 0 .5em {color}"></span><span>{word}</span></div>'
        f'<table style="width:100%;border-collapse:collapse">{cells}</table>{aside}</div>'
    )
