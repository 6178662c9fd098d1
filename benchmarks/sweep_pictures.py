"""Take the pictures of a sweep that docs/sweeps.md shows: the live table and optuna-dashboard.

    python benchmarks/sweep_pictures.py multirun/ppo

Writes sweep_table.png and optuna_dashboard.png into docs/images. Needs Chromium, playwright and
optuna-dashboard, no network.
"""

import argparse
import io
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from screenshots import browser, save

from reach_rl.sweeps import results
from reach_rl.sweeps.table import table

COLUMNS, LINES = 108, 22
PAGE = (
    "<style>body{{margin:0;background:#fff}}pre{{font:15px/1.35 'DejaVu Sans Mono',monospace;"
    "padding:14px;display:inline-block}}</style><pre>{code}</pre>"
)


def main() -> None:
    """Take both pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sweep", type=Path, help="folder of a sweep with a study.journal")
    parser.add_argument("--total", type=int, help="trials that the table is to count to")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    given = parser.parse_args()
    with browser() as chromium:
        live_table(chromium, given.sweep, given.total, given.out / "sweep_table.png")
        dashboard(chromium, given.sweep, given.out / "optuna_dashboard.png")


def live_table(chromium: Any, sweep: Path, total: int | None, out: Path) -> None:  # noqa: ANN401
    """What a terminal shows of a sweep."""
    study = results.find(sweep)
    console = Console(record=True, file=io.StringIO(), width=COLUMNS, height=LINES)
    rows = results.rows(study)
    console.print(table(study, rows, total or len(rows), 2, console))
    page = chromium.new_page(viewport={"width": 1200, "height": 700})
    page.set_content(console.export_html(code_format=PAGE, inline_styles=True))
    page.locator("pre").screenshot(path=str(out))
    with Image.open(out) as full:
        few = full.convert("RGB").quantize(32)
    few.save(out, optimize=True)


def dashboard(chromium: Any, sweep: Path, out: Path) -> None:  # noqa: ANN401  a browser
    """The first page of optuna-dashboard on the study."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as place:
        journal = Path(place) / "study.journal"  # a copy: a server writes beside what it reads
        journal.write_bytes((sweep / "study.journal").read_bytes())
        program = str(Path(sys.executable).with_name("optuna-dashboard"))
        server = subprocess.Popen([program, "--port", str(port), str(journal)])
        try:
            address = f"http://127.0.0.1:{port}/dashboard/studies/0"
            wait(address)
            page = chromium.new_page(viewport={"width": 1280, "height": 1215})
            page.goto(address)
            page.wait_for_timeout(8000)
            save(page, out)
        finally:
            server.terminate()
            server.wait()


def wait(address: str) -> None:
    """Until somebody answers there."""
    for _ in range(120):
        try:
            urllib.request.urlopen(address)
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise SystemExit(f"nobody answers at {address}")


if __name__ == "__main__":
    main()
