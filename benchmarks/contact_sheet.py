"""One picture of all robots, labelled: python benchmarks/contact_sheet.py [OUT.png]."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from pathlib import Path

import numpy as np

from reach_rl.config.schema import RobotConfig

COLUMNS = 3
TILE = (500, 420)
POSE = (0.1, -1.95, 1.85, -1.47, -1.35, 0.0)
"""Joint angles that show the whole arm (rad)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Draw and write the sheet."""
    parser = argparse.ArgumentParser(prog="python benchmarks/contact_sheet.py", description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, default=Path("docs/images/robots.png"))
    out = parser.parse_args(argv).out
    out.parent.mkdir(parents=True, exist_ok=True)
    write_sheet(out)
    print(f"wrote {out}")
    return 0


def write_sheet(out: Path) -> None:
    """Write the contact sheet of the project's robots as PNG."""
    from reach_rl.robots.family import NAMES

    tiles = [_tile(name) for name in NAMES]
    rows = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
    _save(np.vstack(rows), [_label(name) for name in NAMES], out)


def _tile(name: str) -> np.ndarray:
    import mujoco

    from reach_rl.robots import display_spec
    from reach_rl.robots.display import Offscreen

    model = display_spec(_robot(name)).compile()
    data = mujoco.MjData(model)
    data.qpos[:] = POSE
    mujoco.mj_kinematics(model, data)
    arm = data.xpos[model.body("shoulder_link").id : model.body("wrist_3_link").id + 1]
    width, height = arm[:, 0].max() - arm[:, 0].min(), arm[:, 2].max()
    view = mujoco.MjvCamera()
    view.lookat[:] = ((arm[:, 0].max() + arm[:, 0].min()) / 2, 0.0, 0.49 * height)
    view.distance = 1.3 * max(width, 1.25 * height) + 0.2
    view.azimuth, view.elevation = 128.0, -14.0
    with closing(Offscreen(model, TILE)) as screen:
        return screen.picture(np.array(POSE), camera=view)


def _robot(name: str) -> RobotConfig:
    from reach_rl.config.load import compose

    return compose([f"robot={name}"]).robot


def _label(name: str) -> str:
    return f"UR{name.removeprefix('ur')}   {_robot_reach(name):.2f} m"


@cache
def _robot_reach(name: str) -> float:
    from reach_rl.robots import load_robot

    return load_robot(_robot(name)).reach


def _save(pixels: np.ndarray, labels: Sequence[str], out: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, width = pixels.shape[:2]
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(pixels, extent=(0, width, height, 0))
    axes.set_axis_off()
    for i, label in enumerate(labels):
        x, y = (i % COLUMNS) * TILE[0], (i // COLUMNS) * TILE[1]
        axes.text(x + 18, y + 34, label, fontsize=15, color="#2b3540", family="sans-serif")
    FigureCanvasAgg(figure).print_png(str(out))


if __name__ == "__main__":
    sys.exit(main())
