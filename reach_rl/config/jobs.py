"""Proof of a multirun: every job of a grid, and every end of a searched range."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from reach_rl.config.composition import COMMAND_LINE, Composed, Composer
from reach_rl.config.overrides import check
from reach_rl.config.problems import NOTHING
from reach_rl.config.prove import compose_kept, judge
from reach_rl.config.verbs import Verb

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

MOST_JOBS = 200


def prove_jobs(composer: Composer, verb: Verb, overrides: Sequence[str]) -> list[str]:
    """All problems of a multirun as lines.

    A grid of up to MOST_JOBS jobs is checked job by job; of a larger one each value of each key
    is checked once. What a search may draw is checked for type and range.
    """
    checked = check(composer, verb.schema, overrides, multirun=True)
    found = dict.fromkeys(checked.problems)
    for line in checked.lines:
        if line.lstrip("+").startswith("run_dir="):
            found[f"{line} ({COMMAND_LINE}): all jobs would share it; try hydra.sweep.dir=DIR"] = (
                None
            )
    grid = _Grid(composer, verb, found)
    sweeps = [override for override in checked.good if override.is_sweep_override()]
    fixed = [str(override.input_line) for override in checked.good if override not in sweeps]
    first = grid.base([*fixed, *(values(sweep)[0] for sweep in sweeps)])
    if first is None:
        return list(found)
    search = first.hydra["runtime"]["choices"].get("hydra/sweeper", "basic") != "basic"
    columns = [values(sweep) for sweep in sweeps]
    if not search:
        for sweep in filter(lambda s: s.is_interval_sweep(), sweeps):
            text = f"{sweep.input_line} ({COMMAND_LINE})"
            found[f"{text}: needs a search; add hydra/sweeper=optuna"] = None
    columns += _searched(first, verb, found)
    jobs = _each(columns) if search else _jobs(columns)
    for job in jobs:
        grid.check(fixed, job, across=not search)
    return list(found)


class _Grid:
    """Checks jobs; those that differ only in plain values share one composition."""

    def __init__(self, composer: Composer, verb: Verb, found: dict[str, None]) -> None:
        self.composer = composer
        self.verb = verb
        self.found = found
        self.bases: dict[tuple[str, ...], Composed | None] = {}

    def base(self, overrides: Sequence[str]) -> Composed | None:
        key = tuple(overrides)
        if key not in self.bases:
            self.bases[key] = compose_kept(self.composer, self.verb, overrides, self.found)
        return self.bases[key]

    def check(self, fixed: list[str], job: Sequence[str], across: bool) -> None:
        plain = [text for text in job if self._plain(text)]
        base = self.base([*fixed, *(text for text in job if text not in plain)])
        if base is None:
            return
        config, problems = judge(base.change(plain), self.verb, across)
        self.found |= dict.fromkeys(problems if config is NOTHING else ())

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


def _searched(composed: Composed, verb: Verb, found: dict[str, None]) -> list[list[str]]:
    """What a file lets the sweeper vary (hydra.sweeper.params), as columns of overrides."""
    params = (composed.hydra.get("sweeper") or {}).get("params")
    if not isinstance(params, dict):
        return []
    lines = [f"{key}={value}" for key, value in params.items()]
    checked = check(composed.composer, verb.schema, lines, multirun=True)
    found |= dict.fromkeys(checked.problems)
    return [values(override) for override in checked.good]


def values(override: "Override") -> list[str]:
    """Each value of an override as an override; of a range without steps, its two ends."""
    key = override.get_key_element()
    if override.is_interval_sweep():
        sweep: Any = override.value()
        return [f"{key}={sweep.start}", f"{key}={sweep.end}"]
    if not override.is_sweep_override():
        return [str(override.input_line)]
    return [f"{key}={value}" for value in override.sweep_string_iterator()]
