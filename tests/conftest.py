"""What every test starts from: the settings below, whatever the machine and the shell hold.

A variable reaches the tests, and every process that they start, only if it is named here.
"""

import importlib.util
import locale
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HOME = tempfile.mkdtemp(prefix="home-")

KEPT = (
    *("PATH", "LD_LIBRARY_PATH", "TMPDIR", "USER", "LOGNAME"),  # finds programs; names files
    *("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"),  # how much of the machine is for the tests
    *("PYTEST_", "COVERAGE_", "COV_"),  # the runner's own
)
"""Names of variables that stay, or what these begin with where it ends in _."""

SET = {
    "HOME": HOME,
    # fonts and shaders take seconds to look through, so these stay from one run to the next
    "XDG_CACHE_HOME": str(ROOT / ".pytest_cache" / "home"),
    "PYTHONPATH": str(ROOT),
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "NETRC": os.devnull,  # W&B looks for credentials there
    "PIP_CONFIG_FILE": os.devnull,  # with it pip reads none of the machine's
    "UV_NO_CONFIG": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    # a checkout may belong to somebody else, as it does in containers
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
}


def _kept(name: str) -> bool:
    return any(name.startswith(k) if k.endswith("_") else name == k for k in KEPT)


def _settle() -> None:
    """Bring this process where one is that starts with these variables alone."""
    if "PYTHONWARNINGS" in os.environ:
        sys.warnoptions.clear()
        warnings.resetwarnings()
    for name in [name for name in os.environ if not _kept(name)]:
        del os.environ[name]
    os.environ.update(SET)
    locale.setlocale(locale.LC_ALL, "")
    time.tzset()
    os.umask(0o022)


_settle()  # before anything is imported that looks at them


LONGEST = (
    *("test_play", "test_options_run", "test_resume", "test_report_browser", "test_sweep"),
    *("test_ending", "test_video", "test_train", "test_stopping", "test_kill", "test_divergence"),
    *("test_compatibility", "test_shared", "test_joblib", "test_real", "test_bench", "test_front"),
    *("test_export", "test_setup", "test_wandb", "test_wandb_runs", "test_wrappers"),
)


COMPILES = (
    "import reach_rl.learning.ppo",
    "import hydra, matplotlib.pyplot, optuna, scipy.stats, trimesh, wandb, reach_rl.envs.batch\n"
    "from reach_rl.mdp.compiled import load_all\n"
    "load_all()",
)
"""What most tests load, in two halves that cost about the same."""


def pytest_sessionstart(session: pytest.Session) -> None:
    """After an installation, what all of xdist's processes load is compiled once, not by each."""
    torch = importlib.util.find_spec("torch")
    controls = getattr(session.config.option, "numprocesses", None)
    if controls and torch and not Path(importlib.util.cache_from_source(torch.origin)).exists():
        for process in [subprocess.Popen([sys.executable, "-c", code]) for code in COMPILES]:
            process.wait()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no process waits for another's last one."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


def pytest_unconfigure() -> None:
    """Remove what the tests left at home."""
    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """Chromium without a window, one for all pages; its graphics are drawn by the processor."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("needs Debian's chromium")
    api = pytest.importorskip("playwright.sync_api")
    flags = [
        "--no-sandbox", "--disable-background-networking", "--use-gl=angle",
        "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
    ]  # fmt: skip
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=flags)
        yield chromium
        chromium.close()
