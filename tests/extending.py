"""Extensions for tests: a file, and a package as pip installs it, found by this process."""

import importlib
import sys
from contextlib import contextmanager
from pathlib import Path

from reach_rl import extend, origins

TERM = '''import numpy as np
from reach_rl.extend import reward_term


@reward_term
def low_tool(state, arm, *, height: float = 0.6):
    """How far the tool is below a height (m)."""
    return np.maximum(0.0, height - state.tool_position[:, 2])
'''


def forget_all() -> None:
    """Leave no extension loaded, nor looked for."""
    for module in set(extend.registered().values()):
        extend.forget(module)
    tops = {*origins.packages(), *origins._FILES}
    for module in [name for name in sys.modules if name.partition(".")[0] in tops]:
        del sys.modules[module]
    origins._FILES.clear()
    origins._LOADED.clear()
    for cached in (origins.packages, origins.conf_folders, origins._digest_of):
        cached.cache_clear()
    importlib.invalidate_caches()


@contextmanager
def fresh():
    """Nothing of others' is there, before and after."""
    forget_all()
    try:
        yield
    finally:
        forget_all()


def package(folder: Path, name: str, code: str = TERM, preset: str = "") -> Path:
    """What pip leaves of a package with an entry point: its folder and its .dist-info."""
    (folder / name / "conf" / "experiment").mkdir(parents=True)
    (folder / name / "__init__.py").write_text("")
    (folder / name / "terms.py").write_text(code)
    if preset:
        (folder / name / "conf" / "experiment" / f"{name}.yaml").write_text(preset)
    about = folder / f"{name}-1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (about / "entry_points.txt").write_text(f"[reach_rl]\n{name} = {name}.terms\n")
    return folder
