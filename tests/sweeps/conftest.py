"""Searches with quick trials, in this process and in others."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from optuna.study import Study

from reach_rl.cli.front_door import front
from reach_rl.sweeps.storage import open_study

ROOT = Path(__file__).parents[2]
SEARCH = ("-m", "sweep=search", "wandb=disabled", "hydra.sweeper.confirm_seeds=0")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to sweep in; presets go there too."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def quick(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Run a search with quick trials in this process; returns the exit code.

    The proof of all jobs before the first one is left out, which tests/config looks at and which
    composes as often as five trials do; so is the end of the search.
    """
    monkeypatch.setattr("reach_rl.sweeps.sweep.finish", lambda *_: 0)
    monkeypatch.setattr("reach_rl.config.multirun.prove_jobs", lambda *words: ([], [*words[2]]))
    sys.path.insert(0, str(Path(__file__).parent))
    from quick import job

    def run(*words: str) -> int:
        try:
            return front("train", job, [*SEARCH, f"hydra.sweeper.preset_dir={here}", *words])
        except SystemExit as stop:
            return int(str(stop.code))

    yield run
    sys.path.remove(str(Path(__file__).parent))


@pytest.fixture
def study(here: Path) -> Callable[..., Study]:
    """Open the study of a sweep's folder."""

    def find(name: str = "search") -> Study:
        return open_study(str(here / "multirun" / name / "study.journal"), name)

    return find


@pytest.fixture
def start(here: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Begin a search with quick trials in a process of its own."""
    begun: list[subprocess.Popen[str]] = []

    def begin(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(Path(__file__).with_name("quick.py")), *SEARCH]
        process = subprocess.Popen(
            [*command, f"hydra.sweeper.preset_dir={here}", *words],
            cwd=here,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        begun.append(process)
        return process

    yield begin
    for process in begun:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # its workers too
            process.communicate()
