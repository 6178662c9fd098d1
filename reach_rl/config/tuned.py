"""What bench tune=true found, as a file in a user's own folder of groups (--config-dir)."""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from reach_rl.config.paths import conf_dir
from reach_rl.config.problems import ConfigError, Problem
from reach_rl.rundir.atomic import write_atomic
from reach_rl.rundir.disk import reason

_GROUP, _NAME = "experiment", "machine"
_KEY = "write"


@dataclass(frozen=True, slots=True)
class Target:
    """A file DIR/GROUP/NAME.yaml."""

    path: Path

    @classmethod
    def of(cls, given: str) -> "Target":
        """Of a file as it is given; of a folder DIR, DIR/experiment/machine.yaml."""
        path = Path(given)
        return cls(path if path.suffix == ".yaml" else path / _GROUP / f"{_NAME}.yaml")

    @property
    def folder(self) -> Path:
        """What --config-dir is to name."""
        return self.path.absolute().parent.parent

    @property
    def group(self) -> str:
        """Its group."""
        return self.path.absolute().parent.name

    @property
    def command(self) -> str:
        """How to train with it."""
        plus = "" if self.group == _GROUP else "+"
        shown = self.path.parent.parent if len(self.path.parts) > 2 else self.folder
        return f"python -m reach_rl.train --config-dir {shown} {plus}{self.group}={self.path.stem}"

    def reserve(self) -> None:
        """Make the folder, and try that a file can be written there. Raises ConfigError."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path.parent):
                pass
        except OSError as error:
            raise self._refused(error) from error

    def write(self, values: Mapping[str, int], facts: Sequence[str]) -> None:
        """Write the file: dotted key -> value, and what is to be known of them, a line each.

        Raises:
            ConfigError: it cannot be written, or has come up meanwhile.
        """
        if self.path.exists():
            raise ConfigError(_exists(self.path).line())
        tree: dict[str, object] = {}
        for key, value in values.items():
            group, _, name = key.rpartition(".")
            place = tree.setdefault(group, {}) if group else tree
            assert isinstance(place, dict)
            place[name] = value
        lines = [
            "# @package _global_",
            f"# What bench found fastest on this machine.   {self.command}",
            *(f"# {fact}" for fact in facts),
        ]
        try:
            write_atomic(self.path, "\n".join(lines) + "\n" + yaml.safe_dump(tree, sort_keys=False))
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> ConfigError:
        text = (
            f"cannot be written ({reason(error)}); choose a folder of yours, as in {_KEY}=my_conf"
        )
        return ConfigError(Problem(_KEY, str(self.path), text).line())


def rules(given: str, shipped: Sequence[str], options: Sequence[str]) -> Iterator[Problem]:
    """Why the file cannot be made; nothing is written.

    Args:
        given: the value of the key.
        shipped: groups of the project.
        options: the project's own experiments.
    """
    target = Target.of(given)
    path, name = target.path, target.path.stem
    parent = next(p for p in path.absolute().parents if p.exists())
    instead = target.folder / _GROUP / path.name
    if target.folder.resolve() == conf_dir().resolve():
        text = f"is the project's own folder; choose one of yours, as in {_KEY}=my_conf"
        yield Problem(_KEY, given, text)
    elif path.exists():
        yield _exists(path)
    elif not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        what = "no folder" if not parent.is_dir() else "a folder that you may not write to"
        text = f"{parent} is {what}; choose a folder of yours, as in {_KEY}=my_conf"
        yield Problem(_KEY, given, text)
    elif target.group != _GROUP and target.group in shipped:
        text = f"would be an option of {target.group} alone; try {_KEY}={instead}"
        yield Problem(_KEY, given, text)
    elif not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or not re.fullmatch(
        r"[A-Za-z_]\w*", target.group, re.ASCII
    ):
        text = f"{target.group}={name} is no name of an option; try {_KEY}={_default(target)}"
        yield Problem(_KEY, given, text)
    elif target.group == _GROUP and name in options:
        text = f"would hide the project's experiment={name}; try {_KEY}={_default(target)}"
        yield Problem(_KEY, given, text)


def _default(target: Target) -> Path:
    return target.folder / _GROUP / f"{_NAME}.yaml"


def _exists(path: Path) -> Problem:
    other = _free(path)
    return Problem(_KEY, str(path), f"is there already; remove it, or try {_KEY}={other}")


def _free(path: Path) -> Path:
    """The same name with a number that nobody has."""
    number = 2
    while (other := path.with_name(f"{path.stem}_{number}.yaml")).exists():
        number += 1
    return other
