"""Commands as they are printed: whoever pastes one into a shell gets what was meant."""

import re
import shlex
from pathlib import Path

from reach_rl.config.problems import show

_BARE = re.compile(r"[\w./+@%-]*[A-Za-z_/][\w./+@%-]*", re.ASCII)
_VALUE = re.compile(r"[+-]?(true|false|null|nan|inf|\d[\d_]*(e[+-]?\d+)?)", re.IGNORECASE)


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
    return shlex.join(["python", "-m", f"reach_rl.{verb}", *map(str, words), *overrides])
