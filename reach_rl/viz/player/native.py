"""The policy in MuJoCo's own window."""

import os
import sys
import threading
import time
from collections.abc import Callable

import mujoco

from reach_rl.config.problems import ConfigError
from reach_rl.config.schema import Config
from reach_rl.robots import load_robot
from reach_rl.robots.display import GOAL, display_spec
from reach_rl.viz.player.world import Policy, World

HELP = (
    "space: random goal   backspace: reset   enter: push   double-click the goal, Ctrl+drag: move"
)
SPACE, BACKSPACE, ENTER = 32, 259, 257
CLOSING = 10.0
"""Seconds that MuJoCo's window may take to close."""


def show(config: Config, policy: Policy, seed: int, stop: Callable[[], bool]) -> None:
    """Play in a window until it is closed or `stop` says so.

    Args:
        config: the run that the policy comes from.
        policy: what moves the arm.
        seed: of the goals.
        stop: asked after every step.

    Raises:
        ConfigError: there is no display.
    """
    _check_display()
    import mujoco.viewer

    robot = load_robot(config.robot, config.task.physics_step)
    world = World(config, policy, robot, seed)
    model = display_spec(config.robot).compile()
    data = mujoco.MjData(model)
    goal = int(model.body(GOAL).mocapid[0])
    keys: list[int] = []
    does = {SPACE: world.random_goal, BACKSPACE: world.reset, ENTER: world.push}
    before = set(threading.enumerate())
    print(HELP, flush=True)
    with mujoco.viewer.launch_passive(model, data, key_callback=keys.append) as window:
        _place(data, goal, world)
        due = time.perf_counter()
        while window.is_running() and not stop():
            with window.lock():
                world.take_goal(data.mocap_pos[goal], data.mocap_quat[goal])
                while keys:
                    does.get(keys.pop(0), lambda: None)()
                    _place(data, goal, world)
                world.step()
                data.qpos[:] = world.qpos
                mujoco.mj_forward(model, data)
            window.sync()
            due = max(due + world.period, time.perf_counter() - world.period)
            time.sleep(max(0.0, due - time.perf_counter()))
    for thread in set(threading.enumerate()) - before:  # one that still draws at exit crashes
        thread.join(CLOSING)


def _place(data: mujoco.MjData, goal: int, world: World) -> None:
    """Show the world's goal."""
    data.mocap_pos[goal], data.mocap_quat[goal] = world.goal


def _check_display() -> None:
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise ConfigError(
            "viewer=native: there is no display here (DISPLAY is not set); try viewer=browser"
        )
