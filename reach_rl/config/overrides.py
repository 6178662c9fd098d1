"""Every override of a command line against the schema and the groups, before anything composes."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from reach_rl.config.composition import COMMAND_LINE, Composer
from reach_rl.config.keys import check_key, find, keys
from reach_rl.config.problems import ConfigError, listing, nearest, word

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

HYDRA_PREFIXES = ("hydra.", "hydra/", "hydra@")


_TERM = re.compile(
    r"\+{0,2}(?P<name>((reward|observation)\.terms|curriculum\.kinds|robot\.parts)\.\w+)"
    r"(?P<key>\.\w+)?"
)


def understood(text: str) -> str:
    """A short form as Hydra takes it.

    A term is switched on by its name, whether or not it is there: a number is the weight of a
    reward. net_arch=[64,64] stands for both networks, as in SB3; Hydra merges no list into keys.
    """
    key, equals, value = text.partition("=")
    term = _TERM.fullmatch(key)
    if term and (term["key"] or value.startswith("{")):
        return f"++{term['name']}{term['key'] or ''}={value}"
    if term and term["name"].startswith("reward.") and value not in ("null", ""):
        return f"++{term['name']}.weight={value}"
    if not key.endswith("net_arch"):
        return text
    if older := re.fullmatch(r"\[(\{[^{}]*\})\]", value):  # [{pi: [...], vf: [...]}]
        return key + equals + older.group(1)
    if "{" not in value:
        value = re.sub(r"\[[^\[\]]*\]", r"{pi:\g<0>,vf:\g<0>}", value)
    return key + equals + value


@contextmanager
def as_typed(words: Sequence[str]) -> Iterator[list[str]]:
    """The words as Hydra takes them; a problem that begins with one tells it as it was typed."""
    meant = {understood(text): text for text in words}
    try:
        yield list(map(understood, words))
    except ConfigError as error:
        mark = f" ({COMMAND_LINE}): "
        parts = [problem.partition(mark) for problem in error.problems]
        lines = [meant.get(text, text) + where + rest for text, where, rest in parts]
        raise ConfigError(lines) from error


def check(
    composer: Composer, schema: type, overrides: Sequence[str], multirun: bool = False
) -> tuple[list[str], list["Override"]]:
    """Check keys, groups and options: problems as lines, and the good overrides."""
    problems, good = [], []
    for text in overrides:
        parsed = _parse(composer, understood(text))
        why = parsed if isinstance(parsed, str) else _refused(composer, schema, parsed, multirun)
        if why:
            shown = text.replace("\r", "")
            problems.append(f"{shown} ({COMMAND_LINE}): {why}")
        elif not isinstance(parsed, str):
            good.append(parsed)
    return problems, good


def _parse(composer: Composer, text: str) -> "Override | str":
    """The override, or why it is none."""
    from hydra.errors import OverrideParseException

    key, equals, value = text.partition("=")
    if not equals and not text.startswith("~"):
        near = nearest(text, list(composer.groups))
        return f"not an override; write {near}=OPTION" if near else _NO_OVERRIDE
    try:
        return composer.parse(text)
    except OverrideParseException:
        if "\r" in text:
            return "ends with a carriage return, as lines of Windows do; remove it (\\r)"
        pairs = any(value.count(a) != value.count(b) for a, b in ("[]", "{}", "()"))
        if pairs or value.count("'") % 2 == 1 or value.count('"') % 2 == 1:
            return "brackets or quotes are not closed"
        return f"cannot be read; quote text with special characters: {key}='\"...\"'"


_NO_OVERRIDE = "not an override; write key=value"
_CODE = "would name code to run, which a configuration may not"


def _refused(composer: Composer, schema: type, override: "Override", multirun: bool) -> str | None:
    """Why an override is not taken."""
    key = override.key_or_group
    if re.search(r"\b_[a-z]+_\b", str(override.input_line)):
        return _CODE
    if key == "hydra" or key.startswith(HYDRA_PREFIXES):
        return _refused_of_hydra(composer, override, multirun)
    if override.is_sweep_override() and not multirun:
        found = find(schema, key)
        lists = found is not None and (found.type is Any or found.is_list)
        listed = f", or {key}=[...] for a list" if lists else ""
        return f"several values make several runs; add -m{listed}"
    if key in composer.groups:
        return _refused_option(composer, override)
    return check_key(schema, key, composer.groups)


def addition(schema: type, text: str) -> str:
    """How to set a key that is not there yet, such as that of a further term."""
    key, _, value = text.partition("=")
    parent, _, name = key.rpartition(".")
    term = find(schema, parent) if parent else None
    if term is None or not term.is_group or parent in keys(schema):
        return f"+{text}"
    return f"{parent}={value}" if name == "weight" else f"{parent}={{{name}:{value}}}"


def _refused_of_hydra(composer: Composer, override: "Override", multirun: bool) -> str | None:
    key = override.key_or_group
    if key == "hydra.run.dir" or (key == "hydra.sweep.dir" and not multirun):
        instead = "hydra.sweep.dir" if multirun else "run_dir"
        return f"makes no folder here; try {word(instead, override.value())}"
    if key.startswith("hydra.callbacks"):
        return _CODE
    if override.is_sweep_override():
        return "a key of Hydra's own takes one value for all runs"
    if "/" not in key.partition(".")[0]:
        return None
    options, value = composer.options(key), override.value()
    if not options:
        return "no such group of Hydra"
    if isinstance(value, str) and value not in options:
        return _no_option(key, value, options)
    return None


def _refused_option(composer: Composer, override: "Override") -> str | None:
    group, text = override.key_or_group, str(override.input_line)
    there, options = group in composer.chosen, composer.options(group)
    if override.is_delete():
        return None
    if override.is_add() == there:
        how = f"there already; try {text.lstrip('+')}" if there else f"not there yet; try +{text}"
        return f"the group is {how}"
    for value in _values(override):
        for name in value if isinstance(value, list) else [value]:
            if name is None and composer.chosen.get(group, "") is None:
                return "leave the group out"
            if name not in options:
                return _no_option(group, str(name), options)
    return None


def _values(override: "Override") -> list[Any]:
    if not override.is_sweep_override():
        return [override.value()]
    if not override.is_discrete_sweep():
        return ["interval"]
    strings = override.sweep_string_iterator()
    return [None if value == "null" else value.strip("'\"") for value in strings]


def _no_option(group: str, name: str, options: list[str]) -> str:
    near = nearest(name, options)
    hint = f"try {group}={near}; " if near else ""
    return f"no such option; {hint}{group} has {listing(options)}"
