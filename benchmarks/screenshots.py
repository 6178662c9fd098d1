"""Take the pictures of reports and of TensorBoard that docs/ shows, in headless Chromium.

    python benchmarks/screenshots.py --run DIR --seeds DIR --sweep DIR

Writes report_run.png, report_seeds.png, report_sweep.png and tensorboard.png (of the seeds) into
docs/images. A folder that is not given has no picture. Needs Chromium and playwright, no network.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from reach_rl.viz.report import page_of

WIDTH = 1280
HEIGHT = {"run": 1500, "seeds": 1500, "sweep": 2300}
SHOWN = 920
"""Width of the pictures in pixels."""

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
TAGS = (
    "^(eval/success_rate|eval/position_error_mm_median|rollout/ep_rew_mean|rollout/success_rate"
    "|train/approx_kl|train/explained_variance)$"
)


def main() -> None:
    """Take the pictures that the command line asks for."""
    arguments = argparse.ArgumentParser(description="Take the pictures that docs/ shows.")
    for name in ("run", "seeds", "sweep"):
        arguments.add_argument(f"--{name}", type=Path)
    arguments.add_argument("--out", type=Path, default=Path("docs/images"))
    given = arguments.parse_args()
    with browser() as chromium:
        for name in ("run", "seeds", "sweep"):
            folder = getattr(given, name)
            if folder is not None:
                report(chromium, folder, HEIGHT[name], given.out / f"report_{name}.png")
        if given.seeds is not None:
            tensorboard(chromium, given.seeds, given.out / "tensorboard.png")


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield chromium
        chromium.close()


def report(chromium: Any, folder: Path, height: int, out: Path) -> None:  # noqa: ANN401  a browser
    """The upper part of the report of a folder."""
    with tempfile.TemporaryDirectory() as place:
        html = Path(place) / "report.html"
        html.write_text(page_of([str(folder)]))
        page = chromium.new_page(viewport={"width": WIDTH, "height": height})
        page.goto(html.as_uri())
        page.wait_for_selector("html[data-ready]", timeout=120_000)
        page.wait_for_timeout(1000)
        save(page, out)


def tensorboard(chromium: Any, folder: Path, out: Path) -> None:  # noqa: ANN401  a browser
    """TensorBoard's time series of the runs in a folder."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", "0"]
    with subprocess.Popen(
        [*command, "--host", "127.0.0.1"], stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stderr is not None
            address = next(
                found[0] for line in server.stderr if (found := re.search(r"http://\S+", line))
            )
            page = chromium.new_page(viewport={"width": WIDTH, "height": 1080})
            page.goto(f"{address}?darkMode=false&tagFilter={quote(TAGS)}#timeseries")
            page.wait_for_selector("card-view", timeout=120_000)
            page.get_by_role("button", name="Settings").last.click()
            page.wait_for_timeout(6000)
            save(page, out)
        finally:
            server.terminate()


def save(page: Any, out: Path) -> None:  # noqa: ANN401  a page of a browser
    """What is in view, a little smaller."""
    page.screenshot(path=out)
    page.close()
    with Image.open(out) as full:
        height = round(full.height * SHOWN / full.width)
        small = full.convert("RGB").resize((SHOWN, height), Image.Resampling.LANCZOS)
    small.save(out, optimize=True)
    print(f"{out}: {out.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
