"""Every override of a command line against the schema and the groups, before anything composes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reach_rl.config.composition import COMMAND_LINE, Composer
from reach_rl.config.keys import check_key, find, keys
from reach_rl.config.problems import listing, nearest, word

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

HYDRA_PREFIXES = ("hydra.", "hydra/", "hydra@")


@dataclass(slots=True)
class Checked:
    """Overrides after the check: problems as lines, the good ones, and those that sweep."""

    problems: list[str] = field(default_factory=list)
    good: list["Override"] = field(default_factory=list)

    @property
    def sweeps(self) -> list["Override"]:
        """The overrides with several values."""
        return [override for override in self.good if override.is_sweep_override()]

    @property
    def lines(self) -> list[str]:
        """The good overrides as they were typed."""
        return [str(override.input_line) for override in self.good]


def understood(text: str) -> str:
    """A short form as Hydra takes it.

    A term is switched on by its name, whether or not it is there: a number is the weight of a
    reward. net_arch=[64,64] stands for both networks, as in SB3; Hydra merges no list into keys.
    """
    key, equals, value = text.partition("=")
    term = re.fullmatch(r"\+{0,2}((reward|observation)\.terms\.\w+)", key)
    if term and value.startswith("{"):
        return f"++{term.group(1)}={value}"
    if term and term.group(2) == "reward" and value not in ("null", ""):
        return f"++{term.group(1)}.weight={value}"
    if not key.endswith("net_arch"):
        return text
    if older := re.fullmatch(r"\[(\{[^{}]*\})\]", value):  # [{pi: [...], vf: [...]}]
        return key + equals + older.group(1)
    if "{" not in value:
        value = re.sub(r"\[[^\[\]]*\]", r"{pi:\g<0>,vf:\g<0>}", value)
    return key + equals + value


def check(
    composer: Composer, schema: type, overrides: Sequence[str], multirun: bool = False
) -> Checked:
    """Check keys, groups and options; values are judged once composed."""
    checked = Checked()
    for text in map(understood, overrides):
        parsed = _parse(composer, text)
        problem = parsed if isinstance(parsed, str) else _check(composer, schema, parsed, multirun)
        if problem:
            checked.problems.append(problem)
        elif not isinstance(parsed, str):
            checked.good.append(parsed)
    return checked


def _parse(composer: Composer, text: str) -> "Override | str":
    from hydra.errors import OverrideParseException

    key, equals, value = text.partition("=")
    if not equals and not text.startswith("~"):
        near = nearest(text, list(composer.groups))
        hint = f"; write {near}=OPTION" if near else "; write key=value"
        return f"{text} ({COMMAND_LINE}): not an override{hint}"
    try:
        return composer.parse(text)
    except OverrideParseException:
        if "\r" in text:
            shown, hint = (
                text.replace("\r", ""),
                "ends with a carriage return, as lines of Windows do",
            )
            return f"{shown} ({COMMAND_LINE}): {hint}; remove it (\\r)"
        if _opens(value):
            hint = "brackets or quotes are not closed"
        else:
            hint = f"cannot be read; quote text with special characters: {key}='\"...\"'"
        return f"{text} ({COMMAND_LINE}): {hint}"


def _opens(value: str) -> bool:
    pairs = any(value.count(a) != value.count(b) for a, b in ("[]", "{}", "()"))
    return pairs or value.count("'") % 2 == 1 or value.count('"') % 2 == 1


def _check(composer: Composer, schema: type, override: "Override", multirun: bool) -> str | None:
    text = str(override.input_line)
    key = override.key_or_group
    if re.search(r"\b_[a-z]+_\b", text):
        return f"{text} ({COMMAND_LINE}): would name code to run, which a configuration may not"
    if key == "hydra" or key.startswith(HYDRA_PREFIXES):
        return _check_hydra(composer, override, multirun)
    if override.is_sweep_override() and not multirun:
        listed = f", or {key}=[...] for a list" if _holds_list(schema, key) else ""
        return f"{text} ({COMMAND_LINE}): several values make several runs; add -m{listed}"
    if key in composer.groups:
        return _check_group(composer, override)
    unknown = check_key(schema, key, composer.groups)
    return f"{text} ({COMMAND_LINE}): {unknown}" if unknown else None


def _holds_list(schema: type, key: str) -> bool:
    found = find(schema, key)
    return found is not None and (found.type is Any or found.is_list)


def addition(schema: type, text: str) -> str:
    """How to set a key that is not there yet, such as that of a further term."""
    key, _, value = text.partition("=")
    parent, _, name = key.rpartition(".")
    term = find(schema, parent) if parent else None
    if term is None or not term.is_group or parent in keys(schema):
        return f"+{text}"
    return f"{parent}={value}" if name == "weight" else f"{parent}={{{name}:{value}}}"


def _check_hydra(composer: Composer, override: "Override", multirun: bool) -> str | None:
    key, text = override.key_or_group, str(override.input_line)
    if key == "hydra.run.dir" or (key == "hydra.sweep.dir" and not multirun):
        instead = "hydra.sweep.dir" if multirun else "run_dir"
        better = word(instead, override.value())
        return f"{text} ({COMMAND_LINE}): makes no folder here; try {better}"
    if key.startswith("hydra.callbacks"):
        return f"{text} ({COMMAND_LINE}): would name code to run, which a configuration may not"
    if override.is_sweep_override():
        return f"{text} ({COMMAND_LINE}): a key of Hydra's own takes one value for all runs"
    if "/" not in key.partition(".")[0]:
        return None
    options = composer.options(key)
    value = override.value()
    if not options:
        return f"{text} ({COMMAND_LINE}): no such group of Hydra"
    if isinstance(value, str) and value not in options:
        return f"{text} ({COMMAND_LINE}): {_no_option(key, value, options)}"
    return None


def _check_group(composer: Composer, override: "Override") -> str | None:
    group, text = override.key_or_group, str(override.input_line)
    options = composer.options(group)
    if override.is_delete():
        return None
    if override.is_add() and group in composer.chosen:
        better = text.lstrip("+")
        return f"{text} ({COMMAND_LINE}): the group is there already; try {better}"
    if not override.is_add() and group not in composer.chosen:
        return f"{text} ({COMMAND_LINE}): the group is not there yet; try +{text}"
    values = _values(override)
    for value in values:
        names_ = value if isinstance(value, list) else [value]
        for name in names_:
            if name is None and composer.chosen.get(group, "") is None:
                return f"{text} ({COMMAND_LINE}): leave the group out"
            if not isinstance(name, str) or name not in options:
                return f"{text} ({COMMAND_LINE}): {_no_option(group, str(name), options)}"
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
