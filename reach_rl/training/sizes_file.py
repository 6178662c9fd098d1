"""What bench tune=true found, as a preset in a user's own folder of groups (--config-dir)."""

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from reach_rl.config import conf_dir
from reach_rl.config.problems import ConfigError, Problem, command, word
from reach_rl.config.sheets import groups, sheets
from reach_rl.rundir.atomic import reason, write_atomic

_GROUP, _NAME = "experiment", "machine"
_KEY = "write"


@dataclass(frozen=True, slots=True)
class SizesFile:
    """A file DIR/GROUP/NAME.yaml."""

    path: Path

    @classmethod
    def of(cls, given: str) -> "SizesFile":
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
        return command("train", "--config-dir", shown, f"{plus}{self.group}={self.path.stem}")

    def reserve(self) -> None:
        """Make the folder, and try that a file can be written there.

        Raises:
            ConfigError: nothing can be written there, or it would not be found or hide something.
        """
        self._check()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path.parent):
                pass
        except OSError as error:
            raise self._unwritable(error) from error

    def write(self, values: Mapping[str, int], facts: Sequence[str]) -> None:
        """Write the file: dotted key -> value, and what is to be known of them, a line each.

        Raises:
            ConfigError: it cannot be written, or has come up meanwhile.
        """
        self._check()
        tree: dict[str, dict[str, int] | int] = {}
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
            raise self._unwritable(error) from error

    def _check(self) -> None:
        """Raise a ConfigError where the file cannot be made."""
        path, name, group = self.path, self.path.stem, self.group
        parent = next(p for p in path.absolute().parents if p.exists())
        options = groups(sheets())
        other = self.folder / _GROUP / f"{_NAME}.yaml"
        if self.folder.resolve() == conf_dir().resolve():
            text = f"is the project's own folder; choose one of yours, as in {_KEY}=my_conf"
        elif path.exists():
            text = f"is there already; remove it, or try {word(_KEY, _free(path))}"
        elif not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
            what = "no folder" if not parent.is_dir() else "a folder that you may not write to"
            text = f"{parent} is {what}; choose a folder of yours, as in {_KEY}=my_conf"
        elif group != _GROUP and group in options:
            instead = self.folder / _GROUP / path.name
            text = f"would be an option of {group} alone; try {word(_KEY, instead)}"
        elif not all(re.fullmatch(r"[A-Za-z_]\w*", word, re.ASCII) for word in (name, group)):
            text = f"{group}={name} is no name of an option; try {word(_KEY, other)}"
        elif group == _GROUP and name in options[_GROUP]:
            text = f"would be hidden by the project's experiment={name}; try {word(_KEY, other)}"
        else:
            return
        raise ConfigError(Problem(_KEY, str(path), text).line())

    def _unwritable(self, error: OSError) -> ConfigError:
        why = f"cannot be written ({reason(error)}); choose a folder of yours, as in {_KEY}=my_conf"
        return ConfigError(Problem(_KEY, str(self.path), why).line())


def _free(path: Path) -> Path:
    """The same name with a number that nobody has."""
    number = 2
    while (other := path.with_name(f"{path.stem}_{number}.yaml")).exists():
        number += 1
    return other
