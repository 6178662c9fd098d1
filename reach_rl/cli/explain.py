"""`reach-rl explain`: what a key means, what it may hold, what it holds now, and who set it."""

import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reach_rl.config.composition import Composed, Composer
from reach_rl.config.keys import (
    ITEM,
    Key,
    check_key,
    find,
    join,
    keys,
)
from reach_rl.config.problems import ConfigError, listing, show
from reach_rl.config.proof import compose_kept
from reach_rl.config.sheets import Meaning, Sheet, chain, meanings, sheets
from reach_rl.config.verbs import TRAIN, VERBS, Verb

USAGE = """usage: reach-rl explain [KEY] [group=option] [key=value] ... [--config-dir DIR]

  reach-rl explain                          the groups and the keys outside of them
  reach-rl explain ppo                      a table of a group
  reach-rl explain ppo.learning_rate        one key
  reach-rl explain ppo experiment=notes     as it is in a preset
  reach-rl explain evaluate.goals           a key of another verb"""
_WIDTH = 79


def main(argv: Sequence[str] | None = None) -> int:
    """Print the explanation; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if {"-h", "--help"} & set(words):
        print(USAGE)
        return 0
    try:
        print(explain(words))
    except ConfigError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        return 2
    return 0


def explain(words: Sequence[str]) -> str:
    """The explanation of a key as text. Raises ConfigError."""
    words, config_dir = _config_dir(list(words))
    asked = [word for word in words if "=" not in word and not word.startswith("~")]
    overrides = [word for word in words if word not in asked]
    if len(asked) > 1:
        raise ConfigError(f"{asked[1]}: one key at a time; see reach-rl explain --help")
    verb, key = _verb(asked[0] if asked else "")
    found: dict[str, None] = {}
    composer = Composer(verb.name, config_dir)
    composed = compose_kept(composer, verb, overrides, found)
    if composed is None or found:
        raise ConfigError(list(found))
    page = _Page(verb, composed)
    return page.overview() if not key else page.key(key)


def _config_dir(words: list[str]) -> tuple[list[str], Path | None]:
    for flag in ("--config-dir", "-cd"):
        if flag in words[:-1]:
            at = words.index(flag)
            folder = Path(words[at + 1])
            if not folder.is_dir():
                raise ConfigError(f"--config-dir={folder}: no such folder")
            return words[:at] + words[at + 2 :], folder
    return words, None


def _verb(key: str) -> tuple[Verb, str]:
    first, _, rest = key.partition(".")
    return (VERBS[first], rest) if first in VERBS else (TRAIN, key)


class _Page:
    """Explanations within one composed configuration."""

    def __init__(self, verb: Verb, composed: Composed) -> None:
        self.verb = verb
        self.composed = composed
        self.means = all_meanings(verb.schema, sheets(*composed.composer.folders), verb.name)

    def key(self, path: str) -> str:
        """One key, or a table if it holds further keys."""
        found = find(self.verb.schema, path)
        if found is None and path in self.composed.composer.groups:
            return self.presets(path)
        wrong = check_key(self.verb.schema, path, self.composed.composer.groups)
        if wrong:
            raise ConfigError(f"{path}: {wrong}")
        value = self.value(path)
        if found is None or not found.leaf or isinstance(value, Mapping):
            return self.table(path, value)
        return self.single(path, found, value)

    def presets(self, group: str) -> str:
        """The options of a group that sets keys of other groups."""
        files = sheets(*self.composed.composer.folders)
        what = "makes several runs, with -m" if group == "sweep" else "sets keys of other groups"
        lines = [f"{group}=OPTION {what}:"]
        for option in self.composed.composer.options(group):
            lines += [f"  {option}", f"      {files[f'{group}/{option}'].head[0]}"]
        return "\n".join(lines)

    def single(self, path: str, key: Key, value: Any) -> str:  # noqa: ANN401
        """All about one key."""
        about = self.meaning(path)
        rows = {
            "meaning": about.text or "(none given)",
            "unit": about.unit,
            "type": key.words,
            "range": key.range,
            "names": listing(key.names, 40) if key.names else "",
            "value": show(value),
            "set by": self.composed.source(path) or "(not set)",
            "change": f"reach-rl {self.verb.name} {path}=...",
        }
        lines = [path]
        for name, text in rows.items():
            if text:
                lines += textwrap.wrap(
                    text, _WIDTH, initial_indent=f"  {name:<9}", subsequent_indent=" " * 11
                )
        return "\n".join(lines)

    def table(self, path: str, value: Any) -> str:  # noqa: ANN401
        """Every key below a path: value, meaning, and who set it."""
        lines = [path]
        if path in self.composed.composer.groups:
            options = self.composed.composer.options(path)
            now = self.composed.choices.get(path)
            lines[0] = f"{path}={now or 'null'}   (options: {', '.join(options)})"
        above = self.meaning(path)
        if above.text:
            lines.append(f"  {above.text}")
        key = find(self.verb.schema, path)
        if key is not None and key.names:
            text = f"names: {listing(key.names, 40)}"
            lines += textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="    ")
        for name, item in (value or {}).items() if isinstance(value, Mapping) else ():
            lines += self.row(join(path, name), item)
        lines.append(f"\nreach-rl explain {path}.KEY tells type and range.")
        return "\n".join(lines)

    def row(self, path: str, value: Any) -> list[str]:  # noqa: ANN401
        """One key of a table, and those below it."""
        found = find(self.verb.schema, path)
        if isinstance(value, Mapping) and value and found is not None and not found.leaf:
            below = [
                line for name, item in value.items() for line in self.row(join(path, name), item)
            ]
            about = self.meaning(path)
            return [f"  {path}:{'  # ' + about.text if about.text else ''}", *below]
        about = self.meaning(path)
        text = f"{about.text} ({about.unit})" if about.unit else about.text
        source = self.composed.source(path)
        head = f"  {path} = {show(value)}"
        tail = f"[{source}]"
        gap = max(2, _WIDTH - len(head) - len(tail))
        indent = " " * 6
        below = textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent)
        return [head + " " * gap + tail, *below]

    def overview(self) -> str:
        """The groups, and the keys outside of them."""
        lines = [USAGE, "", "Groups:"]
        for group in self.composed.composer.groups:
            lines.append(f"  {group:<13}{', '.join(self.composed.composer.options(group))}")
        lines += ["", "Keys outside of the groups:"]
        for name, value in self.composed.tree.items():
            if name not in self.composed.composer.groups:
                lines += self.row(name, value)
        return "\n".join(lines)

    def meaning(self, path: str) -> Meaning:
        return meaning_of(self.verb.schema, self.means, path)

    def value(self, path: str) -> Any:  # noqa: ANN401
        node: Any = self.composed.tree
        for part in path.split("."):
            node = node.get(part) if isinstance(node, Mapping) else None
        return node


def all_meanings(schema: type, files: Mapping[str, Sheet], verb: str) -> dict[str, Meaning]:
    """Meanings from every file: those that the verb composes first, strongest first."""
    composed = [sheet for name in (verb, "train") for sheet in reversed(chain(files, name))]
    return meanings(schema, [*composed, *files.values()])


def meaning_of(schema: type, means: Mapping[str, Meaning], path: str) -> Meaning:
    """The meaning of a dotted key; of an item, that of its kind."""
    key = find(schema, path)
    general = key.path if key is not None else path
    return means.get(path) or means.get(general) or Meaning("", "")


def schema_paths(schema: type) -> list[Key]:
    """The keys that hold values, `*` for the names of terms."""
    return [key for key in keys(schema).values() if key.leaf and not key.path.endswith(ITEM)]
