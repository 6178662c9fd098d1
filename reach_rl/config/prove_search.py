"""Proof of a search: its keys, its ranges, and what goes together, before the first trial."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from reach_rl.config import search
from reach_rl.config.composition import COMMAND_LINE, Composed
from reach_rl.config.keys import find
from reach_rl.config.overrides import check
from reach_rl.config.search import Dimension, Search, dimension, rules
from reach_rl.config.verbs import Verb

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override


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
    typed, problems = search.typed(first.hydra["sweeper"])
    if typed is not None:
        launcher = str(first.hydra["runtime"]["choices"].get("hydra/launcher"))
        problems = list(rules(typed, dimensions, launcher))
        each = check(first.composer, verb.schema, typed.each).problems
        lines += [line.replace(f"({COMMAND_LINE})", "(hydra.sweeper.each)", 1) for line in each]
        typed = None if each else typed
    lines += [problem.line(first.source(problem.key)) for problem in problems]
    return typed, lines
