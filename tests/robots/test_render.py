"""Pictures without a window."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from reach_rl.robots import display as module
from reach_rl.robots import display_spec, load_robot
from reach_rl.robots.display import Offscreen, RenderError, backend
from tests.small_runs import compose


@pytest.fixture(scope="module")
def draws() -> None:
    """Skip where nothing can draw."""
    try:
        backend()
    except RenderError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("draws")
def test_a_ur_is_recognised_by_its_colours() -> None:
    """Blue lids, dark joints and light tubes are there, and the picture follows pose and goal."""
    config = compose(["robot=ur5e"]).robot
    model, home = display_spec(config).compile(), load_robot(config).home_qpos
    camera = Offscreen(model, (320, 240))
    picture = camera.picture(home)
    assert picture.shape == (240, 320, 3)
    assert picture.dtype == np.uint8
    red, green, blue = np.moveaxis(picture.astype(int), 2, 0)
    lids = (blue - red > 45) & (blue > 110) & (green > red)
    dark = picture.max(axis=2) < 80
    assert 0.002 < lids.mean() < 0.1
    assert 0.01 < dark.mean() < 0.3
    assert picture.mean() > 140  # light background
    assert (camera.picture(home + 0.5) != picture).mean() > 0.02
    goal = (np.array([0.6, -0.2, 0.5]), np.array([1.0, 0, 0, 0]))
    assert (camera.picture(home, goal) != picture).any()
    assert (camera.picture(home, camera="side") != picture).mean() > 0.1


def test_no_library_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names what was tried and the packages to install."""
    trial: Callable[[str], str] = lambda name: f"no {name}"  # noqa: E731
    monkeypatch.setattr(module, "_trial", trial)
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    backend.cache_clear()
    with pytest.raises(RenderError) as caught:
        backend()
    backend.cache_clear()
    text = str(caught.value)
    assert "egl: no egl; osmesa: no osmesa; glx: no glx" in text
    assert "apt-get install libegl1 libgl1" in text


def test_a_broken_backend_does_not_take_the_process_down() -> None:
    """OSMesa is mostly missing, and its trial says so instead of raising; MUJOCO_GL chooses."""
    code = (
        "import os; os.environ['MUJOCO_GL'] = 'osmesa'\n"
        "from reach_rl.robots.display import RenderError, backend\n"
        "try: print(backend())\n"
        "except RenderError as e: print('RenderError', e)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(("osmesa", "RenderError cannot draw pictures here"))
