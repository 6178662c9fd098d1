"""`reach-rl new`: a small package of extensions, ready for pip."""

import re
from importlib.util import find_spec
from pathlib import Path

from reach_rl.config import read_yaml
from reach_rl.config.problems import ConfigError
from reach_rl.rundir.atomic import reason

FILES: dict[str, str] = read_yaml(Path(__file__).parent / "texts" / "new.yaml")
"""Path -> content; NAME stands for the package."""


def answer(words: list[str]) -> str:
    """What was written. Raises ConfigError."""
    if len(words) != 1:
        raise ConfigError("needs one name; try reach-rl new my_lab")
    folder = Path(words[0])
    name = folder.name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        better = re.sub(r"\W", "_", name.lower()).lstrip("_0123456789") or "my_lab"
        raise ConfigError(f"{name}: no name of a package; try reach-rl new {better}")
    if folder.exists() or find_spec(name) is not None:
        raise ConfigError(f"{name}: is there already; choose another name")
    try:
        for path, text in FILES.items():
            target = folder / path.replace("NAME", name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text.replace("NAME", name), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({reason(error)})") from error
    return f"{folder} is written; now: python -m pip install -e {folder}"
