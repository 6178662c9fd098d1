"""The help of a verb, and `reach-rl explain`: what a key means, may hold, holds, and who set it."""

import re
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reach_rl.cli import TEXTS, columns
from reach_rl.config.keys import ITEM, Key, check_key, find, join
from reach_rl.config.problems import ConfigError, listing, show
from reach_rl.config.sheets import (
    Meaning,
    Sheet,
    at,
    chain,
    chosen,
    groups,
    meaning,
    meanings,
    sheets,
    values,
)
from reach_rl.config.verbs import TRAIN, VERBS, Verb
from reach_rl.extend import entries
from reach_rl.origins import conf_folders, flags

if TYPE_CHECKING:
    from reach_rl.config.composition import Composed

_WIDTH = 79


def help_text(verb: Verb, config_dir: Path | None = None) -> str:
    """At most 60 lines of at most 80 columns."""
    files, known = sheets(config_dir, *conf_folders()), TEXTS["flags"]
    own = sheets()[verb.name]
    examples = {f"reach-rl {verb.name} {x}".strip(): f"# {y}" for x, y in own.examples.items()}
    return TEXTS["help_of_verb"].format(
        verb=verb,
        groups="\n".join(_groups(files, verb)),
        summary=own.head[0],
        keys="\n".join(_common_keys(files, verb, own.often)),
        examples="\n".join(columns(examples)),
        more="\n".join(columns({**(known["runs"] if verb.makes_run else {}), **known["all"]})),
    )


def _groups(files: dict[str, Sheet], verb: Verb) -> list[str]:
    defaults, options = chosen(files, verb.name), groups(files)
    named = [group for group in dict.fromkeys([*defaults, *options]) if group in options]
    if not defaults:
        return []
    if not verb.makes_run:
        named = [group for group in named if group in defaults and group != "sweep"]
    lines = ["Groups (* is chosen when you say nothing):"]
    for group in named:
        marked = [f"*{o}" if o == defaults.get(group) else o for o in options[group]]
        lines += _wrapped("  ".join(marked), f"  {group + '=':<13}", 15)
    return [*lines, "", ""]


def _common_keys(files: dict[str, Sheet], verb: Verb, often: Sequence[str]) -> list[str]:
    stack = chain(files, verb.name)
    now, means = values(stack), meanings(verb.schema, stack)
    lines = []
    column = max(len(key) + len(show(now.get(key))) for key in often) + 1
    for key in often:
        left = f"  {key + '=' + show(now.get(key)):<{column}}  "
        about = means.get(key, Meaning()).full
        lines.append(left + textwrap.shorten(about, _WIDTH - len(left), placeholder=" ..."))
    return lines


def _wrapped(text: str, first: str, indent: int) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=" " * indent)


def answer(words: Sequence[str]) -> str:
    """The explanation of a key as text. Raises ConfigError."""
    from reach_rl.cli.front_door import composer_of, parsed
    from reach_rl.config.load import compose_kept
    from reach_rl.config.overrides import understood

    args = parsed(TRAIN, list(words))
    asked = [word for word in args.overrides if "=" not in word and not word.startswith("~")]
    overrides = [understood(word) for word in args.overrides if word not in asked]
    if len(asked) > 1:
        raise ConfigError(f"{asked[1]}: one key at a time; see reach-rl explain --help")
    whole = "".join(asked)
    first, _, rest = whole.partition(".")
    verb, key = (VERBS[first], rest) if first in VERBS else (TRAIN, whole)
    found: dict[str, None] = {}
    composed = compose_kept(composer_of(verb, args), verb, overrides, found)
    if composed is None or found:
        raise ConfigError(list(found))
    page = _Page(verb, composed)
    return page.key(key) if key else page.overview()


class _Page:
    """Explanations within one composed configuration."""

    def __init__(self, verb: Verb, composed: "Composed") -> None:
        self.verb, self.schema = verb, verb.schema
        self.composed, self.composer = composed, composed.composer
        self.files = sheets(*self.composer.places)
        self.means = all_meanings(verb.schema, self.files, verb.name)

    def key(self, path: str) -> str:
        """One key, or a table if it holds further keys."""
        found = find(self.schema, path)
        if found is None and path in self.composer.groups:
            return self.presets(path)
        wrong = check_key(self.schema, path, self.composer.groups)
        if wrong:
            raise ConfigError(f"{path}: {wrong}")
        value = at(self.composed.tree, *path.split("."))
        if found is None or not found.leaf or isinstance(value, Mapping):
            return self.table(path, value)
        return self.single(path, found, value)

    def presets(self, group: str) -> str:
        """The options of a group that sets keys of other groups."""
        what = "makes several runs, with -m" if group == "sweep" else "sets keys of other groups"
        lines = [f"{group}=OPTION {what}:"]
        for option in self.composer.options(group):
            lines += [f"  {option}", f"      {self.files[f'{group}/{option}'].head[0]}"]
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
            "default": _default(self.schema, path),
            "value": show(value),
            "set by": self.composed.source(path) or "(not set)",
            "change": shlex.join(["reach-rl", self.verb.name, *flags(), f"{path}=..."]),
        }
        named = {name: text for name, text in rows.items() if text}
        lines = [x for name, text in named.items() for x in _wrapped(text, f"  {name:<9}", 11)]
        return "\n".join([path, *lines])

    def table(self, path: str, value: Any) -> str:  # noqa: ANN401
        """Every key below a path: value, meaning, and who set it."""
        lines, about, key = [path], self.meaning(path).text, find(self.schema, path)
        if path in self.composer.groups:
            options = ", ".join(self.composer.options(path))
            now = self.composed.choices.get(path)
            lines[0] = f"{path}={now or 'null'}   (options: {options})"
        if about:
            lines.append(f"  {about}")
        if key is not None and key.names:
            lines += _wrapped(f"names: {listing(key.names, 40)}", "  ", 4)
        for name, item in value.items() if isinstance(value, Mapping) else ():
            lines += self.row(join(path, name), item)
        return "\n".join([*lines, f"\nreach-rl explain {path}.KEY tells type and range."])

    def row(self, path: str, value: Any) -> list[str]:  # noqa: ANN401
        """One key of a table, and those below it."""
        found, about = find(self.schema, path), self.meaning(path)
        groups_keys = found is not None and not found.leaf and found.path[-1] != ITEM
        if isinstance(value, Mapping) and value and groups_keys:
            below = [x for name, item in value.items() for x in self.row(join(path, name), item)]
            return [f"  {path}:{'  # ' + about.text if about.text else ''}", *below]
        head, tail = f"  {path} = {show(value)}", f"[{self.composed.source(path)}]"
        gap = " " * max(2, _WIDTH - len(head) - len(tail))
        return [head + gap + tail, *_wrapped(about.full, " " * 6, 6)]

    def overview(self) -> str:
        """The groups, and the keys outside of them."""
        known = self.composer.groups
        lines = [f"  {group:<13}{', '.join(self.composer.options(group))}" for group in known]
        kept = {key: value for key, value in self.composed.tree.items() if key not in known}
        rows = [line for key, value in kept.items() for line in self.row(key, value)]
        usage = TEXTS["usage"]["explain"]
        return "\n".join([usage, "\nGroups:", *lines, "\nKeys outside of the groups:", *rows])

    def meaning(self, path: str) -> Meaning:
        return meaning_of(self.schema, self.means, path)


def all_meanings(schema: type, files: Mapping[str, Sheet], verb: str) -> dict[str, Meaning]:
    """Meanings from every file: those that the verb composes first, strongest first."""
    composed = [sheet for name in (verb, "train") for sheet in reversed(chain(files, name))]
    return meanings(schema, [*composed, *files.values()])


def meaning_of(schema: type, means: Mapping[str, Meaning], path: str) -> Meaning:
    """The meaning of a dotted key; of an item, that of its kind, or what its function says."""
    key = find(schema, path)
    term, _, own = path.rpartition(".")
    every = f"{term.rpartition('.')[0]}.{ITEM}.{own}"
    known = means.get(path) or means.get(key.path if key is not None else path) or means.get(every)
    return known or _said(schema, path) or Meaning()


def _said(schema: type, path: str) -> Meaning | None:
    """What a term says of itself: its first line; of one of its keys, what stands at its name."""
    for term, key in ((path, ""), path.rpartition(".")[::2]):
        function = _function(schema, term)
        text = getattr(function, "__doc__", None) or ""
        line = re.search(rf"^\s*{key}: (.+)$", text, re.MULTILINE) if key else None
        if function is not None:
            first = text.strip().partition("\n")[0]
            return meaning((line.group(1) if line else first).rstrip("."))
    return None


def _function(schema: type, path: str) -> Any:  # noqa: ANN401
    """The function of a term."""
    group, _, name = path.rpartition(".")
    terms = find(schema, group) if group else None
    if terms is None or terms.named is None or not terms.is_mapping or name not in terms.names:
        return None
    return entries(terms.named.noun)[name]


def _default(schema: type, path: str) -> str:
    """What a key of a term is where it is left out."""
    term, _, key = path.rpartition(".")
    function = _function(schema, term)
    found = signature(function).parameters.get(key) if function is not None else None
    return show(found.default) if found is not None and found.default is not found.empty else ""
