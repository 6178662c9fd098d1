"""What the benchmarks of sweeps share: running a command, reading a study, writing figures."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reach_rl.sweeps import launchers

HERE = Path(__file__).parent
QUIET = ("wandb=disabled", "picture=false", "progress=false", "evaluation.also=[]")


def sweep(folder: Path, *overrides: str) -> tuple[float, dict[str, Any]]:
    """Run a search in a new folder; seconds, and what its results.json holds."""
    command = ["-m", f"hydra.sweep.dir={folder}", f"hydra.sweeper.preset_dir={folder / 'presets'}"]
    began = time.monotonic()
    train(*command, *overrides)
    return time.monotonic() - began, json.loads((folder / "results.json").read_text())


def train(*arguments: str) -> None:
    """Run `python -m reach_rl.train` with these arguments."""
    command = [sys.executable, "-m", "reach_rl.train", *QUIET, *arguments]
    print(" ".join(command[1:]), flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(done.stdout[-4000:])


def keep(
    name: str, figures: dict[str, Any], lines: Sequence[str], command: str | None = None
) -> None:
    """Write benchmarks/<name>.json and .md, and print the latter."""
    where = {"cores": launchers.cores(), "machine": platform.machine(), "python": sys.version[:6]}
    text = json.dumps(figures | where, indent=1) + "\n"
    (HERE / f"{name}.json").write_text(text)
    command = command or f"python benchmarks/{name}.py"
    made = f"`{command}`; {where['cores']} cores, {where['machine']}."
    page = "\n".join([*lines, "", made]) + "\n"
    (HERE / f"{name}.md").write_text(page)
    print(page)


def python_path() -> None:
    """Have sub-processes find the checkout, also where the package is not installed."""
    paths = [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
