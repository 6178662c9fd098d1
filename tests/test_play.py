"""The player as its users meet it: a process, a page, a mouse."""

import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import mujoco
import numpy as np
import pytest

from reach_rl.cli.front_door import front
from reach_rl.play import job
from reach_rl.viz.player.drawing import GIZMO

PATIENCE = 120_000  # ms; a loaded machine draws a frame a second


@contextmanager
def playing(*overrides):
    """A player and the address that it printed."""
    command = [sys.executable, "-m", "reach_rl.play", *overrides]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, line + process.stderr.read()
        yield process, found.group()
    finally:
        process.kill()
        process.communicate()


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def address():
    with playing(f"port={free_port()}") as (_, url):
        yield url


@pytest.fixture(scope="module")
def page(browser, address):
    """One viewer for all that needs no second one: a processor draws the scene slowly."""
    page = opened(browser, address)
    yield page
    assert not page.errors
    page.close()


SPARING = """
frames = 0
drawing = false
requestAnimationFrame = act => setTimeout(() => { frames++; act(performance.now()) }, 100)
cancelAnimationFrame = clearTimeout
for (const name of ["drawArrays", "drawElements", "drawArraysInstanced", "drawElementsInstanced"]) {
    const draw = WebGL2RenderingContext.prototype[name]
    WebGL2RenderingContext.prototype[name] = function (...all) { drawing && draw.apply(this, all) }
}
"""
"""The page draws when a test looks: a processor takes seconds for what a graphics card has done."""


def opened(browser, address):
    page = browser.new_page(viewport={"width": 760, "height": 480})
    page.add_init_script(SPARING)
    page.set_default_timeout(PATIENCE)
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(address)
    page.get_by_role("button", name="Random goal").wait_for()
    return page


def picture(page):
    """The scene as it is drawn."""
    begin = page.evaluate("drawing = true, frames")
    page.wait_for_function("begin => frames > begin + 1", arg=begin)
    drawn = page.locator("canvas").first.screenshot()
    page.evaluate("drawing = false")
    return drawn


def light(page, on):
    page.locator(f'[data-light="{"on" if on else "off"}"]').wait_for()


def until(condition, *again):
    """Wait for a condition; what may pass unseen on a busy machine is done again at times."""
    for attempt in range(1, PATIENCE // 100):
        if condition():
            return
        if attempt % 50 == 0:
            for act in again:
                act()
        time.sleep(0.1)
    raise AssertionError("it has not come to that")


def choose(page, field, option):
    page.get_by_label(field).first.click()
    page.get_by_role("option", name=re.compile(option)).click()


def numbers(page):
    """Goal as the fields show it: x, y, z in m and roll, pitch, yaw in degrees."""
    return np.array([float(i.input_value()) for i in page.locator("input[inputmode]").all()[-6:]])


def figure(page, name):
    row = page.locator("tr", has_text=name).first.inner_text()
    return float(re.search(r"([\d.]+) \w+", row).group(1))


def pixel(point, box, reach):
    """Where a point in the world is on the screen, for the camera that the page begins with."""
    camera = reach * np.array([2.1, -2.1, 1.5])
    ahead = reach * np.array([0.2, 0.0, 0.3]) - camera
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    up = np.cross(right, ahead)
    offset = point - camera
    scale = box["height"] / 2 / np.tan(0.35) / (offset @ ahead)
    return (
        box["x"] + box["width"] / 2 + scale * (offset @ right),
        box["y"] + box["height"] / 2 - scale * (offset @ up),
    )


def drag_along(page, position, angles, axis, distance, reach):
    """Drag an arrow of the gizmo with the mouse."""
    quaternion, matrix = np.empty(4), np.empty(9)
    mujoco.mju_euler2Quat(quaternion, np.radians(angles), "XYZ")
    mujoco.mju_quat2Mat(matrix, quaternion)
    direction = matrix.reshape(3, 3)[:, axis]
    box = page.locator("canvas").first.bounding_box()
    arrow = position + 0.7 * GIZMO * reach * direction
    page.mouse.move(*pixel(arrow, box, reach))
    page.wait_for_timeout(500)
    page.mouse.down()
    page.mouse.move(*pixel(arrow + distance * direction, box, reach), steps=6)
    page.wait_for_timeout(500)
    page.mouse.up()


def test_it_says_where_it_plays_and_ends_when_asked_to():
    port = free_port()
    with playing(f"port={port}", "robot=ur3e") as (process, url):
        assert url == f"http://127.0.0.1:{port}"
        assert f"ssh -L {port}:127.0.0.1:{port}" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert "Traceback" not in process.stderr.read()


def test_what_cannot_be_played_is_refused_in_one_line(address, monkeypatch, tmp_path, capsys):
    def refusal(*overrides):
        assert front("play", job, overrides) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    port = int(address.rsplit(":", 1)[1])
    assert re.search(rf"port={port}: in use .*; try port=\d+", refusal(f"port={port}"))
    assert "python -m reach_rl.train robot=ur30" in refusal("robot=ur30")
    assert "run=" in refusal(f"run={tmp_path / 'nowhere'}")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert "try viewer=browser" in refusal("viewer=native")


def test_the_native_window_plays_where_there_is_a_display(monkeypatch):
    if shutil.which("xvfb-run") is None:
        pytest.skip("needs Debian's xvfb")
    script = (
        "import itertools; from reach_rl.viz.player.native import show; import reach_rl.play as p;"
        "count = itertools.count(); source = p._loader(p._shipped()['ur3e']);"
        "show(*source(), 0, lambda: next(count) > 10); print('played', next(count))"
    )
    done = subprocess.run(
        ["xvfb-run", "-a", sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={k: v for k, v in __import__("os").environ.items() if k != "MUJOCO_GL"},
    )
    assert "played 12" in done.stdout, done.stderr
    assert done.returncode == 0, done.stderr


def test_the_arm_follows_the_goal_that_the_mouse_drags(page):
    light(page, on=True)
    before = numbers(page)
    still = picture(page)
    drag_along(page, before[:3], before[3:], axis=2, distance=0.1, reach=0.85)
    page.wait_for_function(
        "old => Math.abs(document.querySelectorAll('input[inputmode]')[0].value - old) > 0.02",
        arg=float(before[0]),
    )
    moved = numbers(page)
    assert 0.05 < np.linalg.norm(moved[:3] - before[:3]) < 0.2
    light(page, on=True)
    assert figure(page, "position error") < 20.0
    assert picture(page) != still


def test_a_goal_may_be_typed_and_one_out_of_reach_is_marked(page):
    field = page.locator("input[inputmode]").all()[-6]
    field.fill("1.7")
    field.press("Enter")
    page.get_by_text("out of reach").first.wait_for()
    light(page, on=False)
    page.get_by_role("button", name="Random goal").click()
    light(page, on=True)


def test_pause_stops_the_time_and_two_viewers_see_the_same(browser, address, page):
    first, second = page, opened(browser, address)
    light(first, on=True)
    first.get_by_role("button", name="Pause").click()
    second.get_by_role("button", name="Go on").wait_for()
    first.get_by_role("button", name="Random goal").click()
    until(lambda: figure(first, "position error") == figure(second, "position error") > 20.0)
    error = figure(first, "position error")
    time.sleep(1.5)
    assert figure(first, "position error") == figure(second, "position error") == error
    second.get_by_role("button", name="Go on").click()
    light(first, on=True)
    second.close()


def test_a_push_is_felt_and_another_robot_can_be_chosen(page):
    light(page, on=True)
    choose(page, "Speed", "a tenth")
    until(lambda: figure(page, "fastest joint") < 0.02)
    page.get_by_role("button", name="Push the arm").click()
    until(
        lambda: figure(page, "fastest joint") > 0.05,
        page.get_by_role("button", name="Push the arm").click,
    )
    choose(page, "Speed", "real time")
    choose(page, "Policy", "ur3e")
    page.get_by_text("on its way").wait_for()
    light(page, on=True)
