"""`reach-rl extensions`: what is registered, by whom and from where."""

import textwrap
from collections.abc import Iterable
from pathlib import Path

from reach_rl.config.problems import ConfigError
from reach_rl.extend import HOMES, entries, registered
from reach_rl.origins import conf_folders, origins
from reach_rl.version import __version__


def answer(words: list[str]) -> str:
    """The list, others' first. Raises ConfigError."""
    if words:
        raise ConfigError(f"{words[0]}: takes no words; see reach-rl extensions --help")
    known = {noun: list(entries(noun)) for noun in HOMES}
    theirs = registered()
    lines = []
    for extension, terms in origins(theirs).items():
        lines.append(f"{extension.name} {extension.version}".rstrip())
        lines += _row("from", [extension.place or "this process"])
        lines += _row("sha256", [extension.sha256[:16]] if extension.sha256 else [])
        lines += _rows(tuple(term.split(" ", 1)) for term in terms)  # type: ignore[misc]
    for folder in conf_folders():
        files = sorted(folder.rglob("*.yaml"))
        lines += [str(folder), *_row("conf", [_option(p.relative_to(folder)) for p in files])]
    own = ((noun, name) for noun in known for name in known[noun] if (noun, name) not in theirs)
    return "\n".join([*lines, f"reach_rl {__version__}", *_rows(own)])


def _option(path: Path) -> str:
    return f"{path.parent}={path.stem}" if path.parent.name else path.name


def _rows(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """A paragraph for each noun."""
    found: dict[str, list[str]] = {}
    for noun, name in pairs:
        found.setdefault(noun, []).append(name)
    return [line for noun, names in found.items() for line in _row(noun, names)]


def _row(what: str, names: list[str]) -> list[str]:
    return textwrap.wrap(
        ", ".join(names),
        100,
        initial_indent=f"  {what:<18}",
        subsequent_indent=" " * 20,
        break_long_words=False,
        break_on_hyphens=False,
    )
