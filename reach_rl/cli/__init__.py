"""The command `reach-rl`: lists the verbs and hands over to one; imports only what it needs."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from reach_rl.config import conf_dir, read_yaml
from reach_rl.config.problems import ConfigError, nearest
from reach_rl.origins import ExtensionError, load_file, split
from reach_rl.version import __version__

TEXTS: dict[str, Any] = read_yaml(Path(__file__).parent / "texts" / "words.yaml")
"""What the command line says of itself, such as `verbs`: verb -> what it does."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run a verb; exits with its code."""
    from reach_rl.cli.termination import piped

    words = list(sys.argv[1:] if argv is None else argv)
    raise SystemExit(piped(lambda: dispatch(words)))


def dispatch(words: list[str]) -> int:
    """Run the verb that the words name; returns the exit code."""
    try:
        verb, *rest = extended(words) or ["--help"]
        if verb in verbs() and verb not in TEXTS["usage"]:
            from reach_rl.cli.front_door import front

            sys.argv = [f"reach-rl {verb}", *rest]
            return front(verb, import_module(f"reach_rl.{verb}").job, rest)
        print(_answer(verb, rest))
    except (ConfigError, ExtensionError) as error:
        return refused(error)
    return 0


def verbs() -> dict[str, str]:
    """Verb -> what it does: those with a file in conf/ by its first line, then the small ones."""
    files = sorted(conf_dir().glob("*.yaml"), key=lambda path: (path.stem != "train", path.stem))
    lines = {path.stem: path.read_text(encoding="utf-8").partition(".   ")[0] for path in files}
    return {name: line.removeprefix("# ") for name, line in lines.items()} | TEXTS["verbs"]


def extended(words: Sequence[str]) -> list[str]:
    """The words without `--extend FILE.py`, whose files are loaded. Raises ExtensionError."""
    rest, files = split(words)
    for file in files:
        load_file(file)
    return rest


def _answer(verb: str, words: list[str]) -> str:
    """What one of the small verbs prints. Raises ConfigError."""
    usage = TEXTS["usage"]
    if verb in ("-h", "--help", "help"):
        return TEXTS["help"].format(verbs="\n".join(columns(verbs())))
    if verb == "--version":
        return f"reach_rl {__version__}"
    if verb == "_complete":
        from reach_rl.cli.completion import complete

        return "\n".join(complete(" ".join(words), verbs()))
    if verb not in usage:
        near = nearest(verb, list(verbs()))
        hint = f"did you mean reach-rl {near}?" if near else "see reach-rl --help"
        raise ConfigError(f"{verb}: no such verb; {hint}")
    if {"-h", "--help"} & set(words):
        return usage[verb]
    return import_module(f"reach_rl.cli.{verb}").answer(words)


def columns(rows: Mapping[str, str]) -> list[str]:
    """A line for each pair, the second ones below one another."""
    width = max(map(len, rows))
    return [f"  {left:<{width}}  {right}" for left, right in rows.items()]


def refused(error: ConfigError | ExtensionError) -> int:
    """Print every problem as a line; the exit code."""
    with suppress(BrokenPipeError):
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
    return 2


def option(words: Sequence[str], *names: str) -> str | None:
    """The value of a flag, as in `--flag value` or `--flag=value`."""
    for i, text in enumerate(words):
        flag, equals, value = text.partition("=")
        if flag in names:
            return value if equals else (words[i + 1] if i + 1 < len(words) else None)
    return None
