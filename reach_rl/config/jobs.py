"""Proof of a multirun: every job of a grid, and every end of a searched range."""

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reach_rl.config.composition import COMMAND_LINE, Composed, Composer
from reach_rl.config.overrides import check
from reach_rl.config.problems import NOTHING
from reach_rl.config.prove import compose_kept, judge
from reach_rl.config.prove_search import prove_search
from reach_rl.config.search import OPTUNA
from reach_rl.config.verbs import Verb

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

MOST_JOBS = 200
_PARAM = re.compile(r"\+{0,2}hydra\.sweeper\.params\.([^=]+)=(.*)", re.DOTALL)


def prove_jobs(
    composer: Composer, verb: Verb, overrides: Sequence[str]
) -> tuple[list[str], list[str]]:
    """All problems of a multirun as lines, and the overrides as Hydra is to get them.

    A grid of up to MOST_JOBS jobs is checked job by job; of a larger one each value of each key
    is checked once. What a search may draw is checked for type and range. A key that the command
    line gives replaces what a file lets the sweeper vary; Hydra alone would multiply the two.
    """
    overrides = [_PARAM.sub(_plainly, text) for text in overrides]
    checked = check(composer, verb.schema, overrides, multirun=True)
    found = dict.fromkeys(checked.problems)
    for text in (str(o.input_line) for o in checked.sweeps if o.key_or_group == "sweep"):
        names = text.partition("=")[2]
        both = f"one at a time; try sweep=[{names}] for every pair of their runs"
        found[f"{text} ({COMMAND_LINE}): {both}"] = None
    for line in checked.lines:
        if line.lstrip("+").startswith("run_dir="):
            found[f"{line} ({COMMAND_LINE}): all jobs would share it; try hydra.sweep.dir=DIR"] = (
                None
            )
    grid = _Grid(composer, verb, found)
    sweeps = [override for override in checked.good if override.is_sweep_override()]
    for override in [override for override in sweeps if not values(override)]:
        found[f"{override.input_line} ({COMMAND_LINE}): the range is empty"] = None
        sweeps.remove(override)
    fixed = [str(override.input_line) for override in checked.good if override not in sweeps]
    first = grid.base([*fixed, *(values(sweep)[0] for sweep in sweeps)])
    if first is None:
        return list(found), overrides
    search = first.hydra["runtime"]["choices"].get("hydra/sweeper") == OPTUNA
    columns = [values(sweep) for sweep in sweeps]
    if not search:
        for sweep in filter(lambda s: s.is_interval_sweep(), sweeps):
            text = f"{sweep.input_line} ({COMMAND_LINE})"
            found[f"{text}: needs a search; add sweep=search"] = None
    params = _params(first)
    given = {override.key_or_group: override for override in checked.good}
    varied = {key: value for key, value in params.items() if key not in given}
    grid.places = dict.fromkeys(varied, _place(first))
    searched = _searched(composer, verb, varied, grid)
    columns += [column for column in map(values, searched) if column]
    if search:
        settings, problems = prove_search(
            verb, first, [o for o in (*sweeps, *searched) if o.is_sweep_override()]
        )
        grid.note(problems)
        columns += [settings.each] if settings is not None and settings.each else []
    jobs = _each(columns) if search else _jobs(columns)
    for job in jobs:
        grid.check(fixed, job)
    return list(found), _replaced(overrides, [given[key] for key in params if key in given])


def _plainly(found: re.Match[str]) -> str:
    """What is given to the sweeper, as the sweep of its key that it means."""
    key, value = found.groups()
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return f"{key}={value[1:-1] if quoted else value}"


def _params(composed: Composed) -> dict[str, str]:
    """What a file lets the sweeper vary: key -> values as on the command line."""
    params = (composed.hydra.get("sweeper") or {}).get("params")
    return params if isinstance(params, dict) else {}


def _place(composed: Composed) -> str:
    """The file that names what to vary."""
    choice = composed.choices.get("sweep")
    return composed.composer.label(f"sweep/{choice}") if choice else "hydra.sweeper.params"


def _replaced(overrides: Sequence[str], own: Sequence["Override"]) -> list[str]:
    """The overrides, with own (of keys that a file varies too) given to the sweeper instead."""
    lines = {str(override.input_line) for override in own}
    escaped = {
        override.key_or_group: str(override.input_line).partition("=")[2].replace("'", "\\'")
        for override in own
    }
    rest = [text for text in overrides if text not in lines]
    if not escaped:
        return rest
    inside = ",".join(f"{key}:'{value}'" for key, value in escaped.items())
    return [*rest, f"hydra.sweeper.params={{{inside}}}"]


class _Grid:
    """Checks jobs; those that differ only in plain values share one composition."""

    def __init__(self, composer: Composer, verb: Verb, found: dict[str, None]) -> None:
        self.composer = composer
        self.verb = verb
        self.found = found
        self.bases: dict[tuple[str, ...], Composed | None] = {}
        self.places: dict[str, str] = {}  # key that a file lets the sweeper vary -> the file

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


def _jobs(columns: list[list[str]]) -> Iterator[Sequence[str]]:
    if math.prod(map(len, columns)) <= MOST_JOBS:
        yield from itertools.product(*columns)
    else:
        yield from _each(columns)


def _each(columns: list[list[str]]) -> Iterator[Sequence[str]]:
    """Each value of each column once, beside the first of the others."""
    for i, column in enumerate(columns):
        others = [other[0] for j, other in enumerate(columns) if j != i]
        yield from ([*others, value] for value in column[:MOST_JOBS])


def _searched(
    composer: Composer, verb: Verb, params: Mapping[str, str], grid: _Grid
) -> list["Override"]:
    """What a file lets the sweeper vary, as overrides."""
    lines = [f"{key}={value}" for key, value in params.items()]
    checked = check(composer, verb.schema, lines, multirun=True)
    grid.note(checked.problems)
    return checked.good


def values(override: "Override") -> list[str]:
    """Each value of an override as an override; of a range without steps, its two ends."""
    key = override.get_key_element()
    if override.is_interval_sweep():
        sweep: Any = override.value()
        return [f"{key}={sweep.start}", f"{key}={sweep.end}"]
    if not override.is_sweep_override():
        return [str(override.input_line)]
    return [f"{key}={value}" for value in override.sweep_string_iterator()]
