"""From an argument list to a typed configuration, or to every problem at once.

conf/ and assets/ are in the installed package, else in the checkout.
"""

from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).resolve().parent.parent


def conf_dir() -> Path:
    """The folder of the shipped YAML configuration."""
    return _data("conf")


def ur_arms() -> list[str]:
    """The Universal Robots of conf/robot, smallest first within a series."""
    names = [path.stem for path in (conf_dir() / "robot").glob("ur*.yaml")]
    return sorted(names, key=lambda name: (len(name.rstrip("e")), name))


def assets_dir() -> Path:
    """The folder of the shipped robot models and published numbers."""
    return _data("assets")


def _data(name: str) -> Path:
    packaged = _PACKAGE / "_data" / name
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


def read_yaml(path: Path) -> Any:  # noqa: ANN401  a plain tree
    """The plain values of a YAML file, by the quick parser. Raises OSError or yaml.YAMLError."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text(encoding="utf-8"), loader)


def checkout_dir() -> Path:
    """The folder that holds the package: the root of the checkout, if it runs from one."""
    return _PACKAGE.parent
