"""Proof of a multirun: every job of a grid, and of a search its keys and the ends of its ranges."""

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reach_rl.config import search
from reach_rl.config.composition import COMMAND_LINE, Composed, Composer
from reach_rl.config.keys import find
from reach_rl.config.load import compose_kept, judge
from reach_rl.config.overrides import check
from reach_rl.config.problems import NOTHING
from reach_rl.config.search import OPTUNA, Dimension, Search, dimension, rules
from reach_rl.config.verbs import Verb

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

MOST_JOBS = 200
_PARAMS = "hydra.sweeper.params"


def prove_jobs(
    composer: Composer, verb: Verb, overrides: Sequence[str]
) -> tuple[list[str], list[str]]:
    """All problems of a multirun as lines, and the overrides as Hydra is to get them.

    A grid of up to MOST_JOBS jobs is checked job by job; of a larger one each value of each key
    is checked once. What a search may draw is checked for type and range. A key that the command
    line gives replaces what a file lets the sweeper vary; Hydra alone would multiply the two.
    """
    overrides = [_plainly(text) for text in overrides]
    problems, good = check(composer, verb.schema, overrides, multirun=True)
    grid = _Grid(composer, verb, dict.fromkeys([*problems, *_misfits(good)]))
    sweeps = [o for o in good if o.is_sweep_override() and values(o)]
    fixed = [str(o.input_line) for o in good if not o.is_sweep_override()]
    first = grid.base([*fixed, *(values(sweep)[0] for sweep in sweeps)])
    if first is None:
        return list(grid.found), overrides
    given = {override.key_or_group: override for override in good}
    params = (first.hydra.get("sweeper") or {}).get("params") or {}
    searched = _searched(grid, first, {k: v for k, v in params.items() if k not in given})
    columns = [column for column in map(values, (*sweeps, *searched)) if column]
    searches = first.hydra["runtime"]["choices"].get("hydra/sweeper") == OPTUNA
    if searches:
        ranges = [o for o in (*sweeps, *searched) if o.is_sweep_override()]
        settings, problems = prove_search(verb, first, ranges)
        columns += [settings.each] if settings is not None and settings.each else []
    else:
        ranges = [o.input_line for o in sweeps if o.is_interval_sweep()]
        problems = [f"{o} ({COMMAND_LINE}): needs a search; add sweep=search" for o in ranges]
    grid.note(problems)
    for job in _jobs(columns, each=searches):
        grid.check(fixed, job)
    return list(grid.found), _replaced(overrides, [given[key] for key in params if key in given])


def _plainly(text: str) -> str:
    """What is given to the sweeper for a key, as the sweep that it means."""
    key, _, value = text.lstrip("+").partition("=")
    if not key.startswith(f"{_PARAMS}."):
        return text
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return f"{key.removeprefix(f'{_PARAMS}.')}={value[1:-1] if quoted else value}"


def _misfits(overrides: Iterable["Override"]) -> Iterator[str]:
    """What no multirun can do."""
    for override in overrides:
        key, text = override.key_or_group, str(override.input_line)
        sweeps = override.is_sweep_override()
        if sweeps and key == "sweep":
            names = text.partition("=")[2]
            hint = f"one at a time; try sweep=[{names}] for every pair of their runs"
        elif key == "run_dir":
            hint = "all jobs would share it; try hydra.sweep.dir=DIR"
        elif key == _PARAMS:
            hint = "write the keys themselves, as in ppo.gamma='interval(0.9,0.99)'"
        elif sweeps and not values(override):
            hint = "the range is empty"
        else:
            continue
        yield f"{text} ({COMMAND_LINE}): {hint}"


def _replaced(overrides: Sequence[str], own: Sequence["Override"]) -> list[str]:
    """The overrides, with own (of keys that a file varies too) given to the sweeper instead."""
    lines = {str(override.input_line): override.key_or_group for override in own}
    if not lines:
        return list(overrides)
    escaped = {key: text.partition("=")[2].replace("'", "\\'") for text, key in lines.items()}
    inside = ",".join(f"{key}:'{value}'" for key, value in escaped.items())
    return [*(text for text in overrides if text not in lines), f"{_PARAMS}={{{inside}}}"]


class _Grid:
    """Checks jobs; those that differ only in plain values share one composition."""

    def __init__(self, composer: Composer, verb: Verb, found: dict[str, None]) -> None:
        self.composer = composer
        self.verb = verb
        self.found = found
        self.bases: dict[tuple[str, ...], Composed | None] = {}
        self.places: dict[str, str] = {}
        """Key that a file lets the sweeper vary -> the file."""

    def base(self, overrides: Sequence[str]) -> Composed | None:
        key = tuple(overrides)
        if key not in self.bases:
            self.bases[key] = compose_kept(self.composer, self.verb, overrides, self.found)
        return self.bases[key]

    def check(self, fixed: list[str], job: Sequence[str]) -> None:
        plain = [text for text in job if self._plain(text)]
        base = self.base([*fixed, *(text for text in job if text not in plain)])
        if base is None:
            return
        config, problems = judge(base.change(plain), self.verb)
        self.note(problems if config is NOTHING else ())

    def note(self, problems: Iterable[str]) -> None:
        """Keep problems; what a file varies did not come from the command line."""
        for line in problems:
            place = self.places.get(re.split(r"[= ]", line, maxsplit=1)[0])
            text = line.replace(f"({COMMAND_LINE})", f"({place})", 1) if place else line
            self.found[text] = None

    def _plain(self, text: str) -> bool:
        key = text.partition("=")[0]
        return key not in self.composer.groups and not text.startswith(("+", "~", "hydra"))


def _searched(grid: _Grid, first: Composed, varied: Mapping[str, str]) -> list["Override"]:
    """What a file lets the sweeper vary, as overrides."""
    choice = first.choices.get("sweep")
    place = grid.composer.label(f"sweep/{choice}") if choice else _PARAMS
    grid.places = dict.fromkeys(varied, place)
    lines = [f"{key}={value}" for key, value in varied.items()]
    problems, good = check(grid.composer, grid.verb.schema, lines, multirun=True)
    grid.note(problems)
    return good


def _jobs(columns: list[list[str]], each: bool) -> Iterator[Sequence[str]]:
    """Every job; with each, or of very many, each value once beside the first of the others."""
    if not each and math.prod(map(len, columns)) <= MOST_JOBS:
        yield from itertools.product(*columns)
        return
    for i, column in enumerate(columns):
        others = [other[0] for j, other in enumerate(columns) if j != i]
        yield from ([*others, value] for value in column[:MOST_JOBS])


def values(override: "Override") -> list[str]:
    """Each value of an override as an override; of a range without steps, its two ends."""
    key = override.get_key_element()
    if override.is_interval_sweep():
        sweep: Any = override.value()
        return [f"{key}={sweep.start}", f"{key}={sweep.end}"]
    if not override.is_sweep_override():
        return [str(override.input_line)]
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def space(verb: Verb, sweeps: Sequence["Override"]) -> tuple[list[Dimension], list[str]]:
    """The searched keys, and a line for each that cannot be searched."""
    found: list[Dimension] = []
    problems: list[str] = []
    for override in sweeps:
        key = find(verb.schema, override.key_or_group)
        whole = key is not None and key.type is int
        made = dimension(override, whole)
        if isinstance(made, str):
            problems.append(f"{override.input_line} ({COMMAND_LINE}): {made}")
        else:
            found.append(made)
    return found, problems


def prove_search(
    verb: Verb, first: Composed, sweeps: Sequence["Override"]
) -> tuple[Search | None, list[str]]:
    """The typed keys of a search (None if wrong as such), and every problem as a line.

    Args:
        verb: what each trial runs.
        first: the composition of some trial.
        sweeps: the overrides with several values, of the command line and of files.
    """
    dimensions, lines = space(verb, sweeps)
    if not sweeps:
        lines.append("nothing to search; give a range, such as ppo.gamma='interval(0.9,0.99)'")
    found = search.typed(first.hydra["sweeper"])
    settings, problems = (None, found) if isinstance(found, list) else (found, [])
    if settings is not None:
        launcher = str(first.hydra["runtime"]["choices"].get("hydra/launcher"))
        problems = list(rules(settings, dimensions, launcher))
        each = check(first.composer, verb.schema, settings.each)[0]
        lines += [line.replace(f"({COMMAND_LINE})", "(hydra.sweeper.each)", 1) for line in each]
        settings = None if each else settings
    lines += [problem.line(first.source(problem.key)) for problem in problems]
    return settings, lines
