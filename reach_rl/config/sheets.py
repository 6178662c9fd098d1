"""The YAML files as a reader sees them: their sentence, values, and the comment of each key.

Read without Hydra, so that help and completion answer at once.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from reach_rl.config import conf_dir
from reach_rl.config.keys import ITEM, find, join


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore
    """Reads 1e-3 as a number, as Hydra does; YAML 1.1 leaves it as text."""


_NUMBER = re.compile(r"[+-]?(\d[\d_]*\.?[\d_]*|\.\d+)[eE][+-]?\d+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("+-.0123456789"))


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a key means, and its unit (empty if it has none)."""

    text: str = ""
    unit: str = ""

    @property
    def full(self) -> str:
        """Both."""
        return f"{self.text} ({self.unit})" if self.unit else self.text


@dataclass(frozen=True)
class Sheet:
    """One YAML file of conf/ or of the user's folder; name is such as `ppo/default`."""

    name: str
    path: Path

    @cached_property
    def lines(self) -> list[str]:
        """The text, line by line."""
        return self.path.read_text(encoding="utf-8").splitlines()

    @cached_property
    def package(self) -> str:
        """The dotted prefix of its keys."""
        at = [line.split()[-1] for line in self.lines if line.startswith("# @package")]
        package = at[0] if at else self.name.rpartition("/")[0].replace("/", ".")
        return "" if package == "_global_" else package

    @cached_property
    def head(self) -> tuple[str, str]:
        """The first sentence and the command that uses it."""
        opening = next((x for x in self.lines if x.startswith("# ") and "@package" not in x), "# ")
        sentence, _, command = opening[2:].partition("   ")
        return sentence.strip(), command.strip()

    @property
    def examples(self) -> dict[str, str]:
        """Of a verb: overrides -> what they are for."""
        found = (re.fullmatch(r"#   (.*?) *# (.*)", line) for line in self.lines)
        return {example[1]: example[2] for example in found if example}

    @property
    def often(self) -> list[str]:
        """Of a verb: the keys that people change, all of its own where it says nothing."""
        given = next((line for line in self.lines if line.startswith("# Often changed: ")), "")
        return re.findall(r"[\w.]+", given)[2:] or list(self.tree)

    @cached_property
    def content(self) -> dict[str, Any]:
        """Everything, as YAML reads it."""
        return yaml.load("\n".join(self.lines), Loader=_Loader) or {}

    @cached_property
    def tree(self) -> dict[str, Any]:
        """Values as written, without defaults and Hydra's part."""
        items = self.content.items()
        return {k: v for k, v in items if k not in ("defaults", "hydra")}

    @property
    def defaults(self) -> list[Any]:
        """Its defaults list."""
        return list(self.content.get("defaults", []))

    @cached_property
    def comments(self) -> dict[str, str]:
        """Dotted key -> the comment on its line; items of lists are `*`."""
        root = yaml.compose("\n".join(self.lines), Loader=_Loader)
        return dict(self._comments(root, self.package, -1)) if root is not None else {}

    def _comments(self, node: yaml.Node, path: str, above: int) -> Iterator[tuple[str, str]]:
        if isinstance(node, yaml.SequenceNode):
            for item in node.value:
                yield from self._comments(item, f"{path}.{ITEM}", above)
        if not isinstance(node, yaml.MappingNode):
            return
        for key, value in node.value:
            name = f"{path}.{key.value}" if path else str(key.value)
            line = key.start_mark.line
            if line != above:
                comment = _comment(self.lines[line])
                if comment:
                    yield name, comment
            yield from self._comments(value, name, line)


def _comment(line: str) -> str:
    found = re.search(r"(?:^|\s)#\s+(.*)$", re.sub(r"\"[^\"]*\"|'[^']*'", "", line))
    return found.group(1).strip() if found else ""


def sheets(*folders: Path | None) -> dict[str, Sheet]:
    """Every file of conf/ and of the user's folders by name; the first of a name counts."""
    found: dict[str, Sheet] = {}
    for folder in (*reversed(folders), conf_dir()):
        if folder is not None:
            for path in sorted(folder.rglob("*.yaml")):
                name = path.relative_to(folder).with_suffix("").as_posix()
                found[name] = Sheet(name, path)
    return found


def groups(files: Mapping[str, Sheet]) -> dict[str, list[str]]:
    """Group -> its options."""
    found: dict[str, list[str]] = {}
    for name in sorted(files):
        group, _, option = name.rpartition("/")
        if group and not group.startswith("hydra"):
            found.setdefault(group, []).append(option)
    return found


def chosen(files: Mapping[str, Sheet], name: str) -> dict[str, str | None]:
    """Group -> the option that a primary config chooses, in order."""
    found: dict[str, str | None] = {}
    for entry in files[name].defaults if name in files else []:
        if isinstance(entry, str) and entry != "_self_":
            found |= chosen(files, entry)
        elif isinstance(entry, Mapping):
            for group, option in entry.items():
                word, _, over = str(group).rpartition(" ")
                if "override" not in word or not over.startswith("hydra/"):
                    found[over.strip("/")] = option
    return found


def chain(files: Mapping[str, Sheet], name: str) -> list[Sheet]:
    """A file and those that it builds on, weakest first."""
    if name not in files:
        return []
    group = name.rpartition("/")[0]
    below: list[Sheet] = []
    for entry in files[name].defaults:
        if isinstance(entry, str) and entry != "_self_":
            below += chain(files, f"{group}/{entry}" if group else entry)
        elif isinstance(entry, Mapping) and not group:
            for part, option in entry.items():
                below += chain(files, f"{part}/{option}")
    return [*below, files[name]]


def composed_files(files: Mapping[str, Sheet], name: str, choices: Mapping[str, Any]) -> list[str]:
    """The names of the files that a composition is made of, weakest first.

    Args:
        files: every file by name.
        name: of the primary config, which is stronger than its groups and weaker than presets.
        choices: the option that was chosen for each group, or several.
    """
    options = [
        f"{group}/{o}"
        for group, given in choices.items()
        for o in (given if isinstance(given, list) else [given])
    ]
    stack = [sheet for option in options for sheet in chain(files, option)]
    primary = [sheet for sheet in chain(files, name) if "/" not in sheet.name]
    parts = ([s for s in stack if s.package], primary, [s for s in stack if not s.package])
    return [sheet.name for part in parts for sheet in part]


def values(stack: list[Sheet]) -> dict[str, Any]:
    """Dotted key -> value of a chain of files; mappings are taken apart, lists are not."""
    found: dict[str, Any] = {}
    for sheet in stack:
        found |= flat(sheet.tree, sheet.package)
    return {key: _followed(value, found) for key, value in found.items()}


def _followed(value: Any, known: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """A value that is another key's, such as ${vec_env.rollout_steps}, as that key's value."""
    asked = re.fullmatch(r"\$\{([\w.]+)\}", value) if isinstance(value, str) else None
    return known.get(asked.group(1), value) if asked else value


def flat(tree: Mapping[Any, Any], path: str = "") -> dict[str, Any]:
    """Dotted key -> value of the leaves; lists stay whole, an empty mapping is a leaf."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        name = join(path, key)
        found |= flat(value, name) if isinstance(value, Mapping) and value else {name: value}
    return found


def at(tree: object, *keys: str) -> Any:  # noqa: ANN401  whatever is there
    """What is at a path of a plain tree; None if there is nothing."""
    for key in keys:
        if not isinstance(tree, Mapping):
            return None
        tree = tree.get(key)
    return tree


def meaning(comment: str) -> Meaning:
    """A comment as text and unit: `distance (m)` is the text `distance` and the unit `m`."""
    found = re.fullmatch(r"(.*?)\s*\(([^()]*)\)", comment)
    return Meaning(found.group(1), found.group(2)) if found else Meaning(comment, "")


def meanings(schema: type, stack: list[Sheet]) -> dict[str, Meaning]:
    """Dotted key -> meaning, from the comments of files; the first file that has one wins.

    A key below a term, such as observation.terms.x.noise, is also there with `*` for the term.
    """
    found: dict[str, Meaning] = {}
    for sheet in stack:
        for key, comment in sheet.comments.items():
            found.setdefault(key, meaning(comment))
            general = find(schema, key)
            if general is not None and not general.path.endswith(ITEM):
                found.setdefault(general.path, meaning(comment))
    return found
