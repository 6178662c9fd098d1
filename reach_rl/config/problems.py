"""What is wrong with a configuration, a line each, and what to type instead.

A command that is printed here and pasted into a shell gives what was meant.
"""

import difflib
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from reach_rl import origins

NOTHING: Any = object()  # no value to show
MISSING = "???"
_BARE = re.compile(r"[\w./+@%-]*[A-Za-z_/][\w./+@%-]*", re.ASCII)
_VALUE = re.compile(r"[+-]?(true|false|null|nan|inf|\d[\d_]*(e[+-]?\d+)?)", re.IGNORECASE)


class ConfigError(Exception):
    """Everything that is wrong with a configuration or an argument, a line each."""

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[list[str]]]:
        """Pickle as the list of problems, for launchers that run jobs in other processes."""
        return (type(self), (self.problems,))


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: the key, its value (NOTHING if it has none), and what is wrong with it."""

    key: str
    value: Any
    text: str

    def line(self, source: str = "") -> str:
        """The problem as one line; source says where the value came from."""
        value = "" if self.value is NOTHING else f"={show(self.value)}"
        where = f" ({source})" if source else ""
        return f"{self.key}{value}{where}: {self.text}"


def show(value: object) -> str:
    """A value as it is typed on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{k}:{show(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(show(item) for item in value) + "]"
    return " ".join(str(value).split())


def _number(value: float) -> str:
    text = f"{value:.12g}"
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if e else text


def nearest(word: str, known: Sequence[str], cutoff: float = 0.66) -> str | None:
    """The known word that is nearest to word, or None if nothing is near: 1 is the same word."""
    lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), list(lower), n=1, cutoff=cutoff)
    if found:
        return lower[found[0]]
    starts = [name for name in known if word and name.startswith(word)]
    return starts[0] if len(starts) == 1 else None


def meant(name: str, known: Sequence[str], prefix: str = "") -> str:
    """What was meant by an unknown name, or else the names that there are."""
    near = nearest(name, known)
    return f"did you mean {prefix}{near}?" if near else f"there are {listing(known)}"


def listing(names: Iterable[str], limit: int = 20) -> str:
    """Names in words: `a, b or c`."""
    names = list(names)
    if len(names) > limit:
        return ", ".join(names[:limit]) + f" and {len(names) - limit} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def override(key: str, value: object) -> str:
    """`key=value` as Hydra reads it back; a shell needs further quotes, see `command`."""
    if not isinstance(value, (str, Path)):
        return f"{key}={show(value)}"
    text = str(value)
    if _BARE.fullmatch(text) and not _VALUE.fullmatch(text):
        return f"{key}={text}"
    escaped = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + (f"\\{m[2]}" if m[2] else ""), text)
    escaped = escaped.replace("${", r"\${")
    return f"{key}='{escaped}'"


def word(key: str, value: object) -> str:
    """`key=value` as it is typed into a shell."""
    return shlex.quote(override(key, value))


def command(verb: str, *words: str | Path, **values: object) -> str:
    """`python -m reach_rl.<verb> ...` for a shell.

    Args:
        verb: of the command line.
        words: flags and overrides, as they are.
        values: overrides of top-level keys.
    """
    overrides = [override(key, value) for key, value in values.items()]
    flags = (*origins.flags(), *map(str, words))
    return shlex.join(["python", "-m", f"reach_rl.{verb}", *flags, *overrides])
