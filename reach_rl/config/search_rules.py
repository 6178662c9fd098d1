"""What does not go together in a search."""

import re
from collections.abc import Iterator, Sequence

from reach_rl.config.problems import NOTHING, Problem, listing, nearest
from reach_rl.config.search import (
    COMBINE,
    DIRECTIONS,
    EARLY,
    OBJECTIVES,
    PATH,
    QMC_TYPES,
    SCHEMES,
    SCORE,
    Qmc,
    Search,
    Wilcoxon,
)
from reach_rl.config.space import Dimension


def rules(search: Search, space: Sequence[Dimension], launcher: str) -> Iterator[Problem]:
    """What does not go together."""
    yield from _names(search)
    yield from _objectives(search)
    yield from _sampler(search, space)
    yield from _pruner(search)
    if (search.n_jobs or 1) > 1 and launcher == "basic":
        text = "one process runs one trial at a time; add hydra/launcher=joblib"
        yield Problem(f"{PATH}.n_jobs", search.n_jobs, text)


def _names(search: Search) -> Iterator[Problem]:
    named = [
        *((f"{PATH}.objective", name, OBJECTIVES) for name in search.objective),
        *((f"{PATH}.direction", name, DIRECTIONS) for name in search.direction),
        (f"{PATH}.combine", search.combine, COMBINE),
    ]
    if isinstance(search.sampler, Qmc):
        named.append((f"{PATH}.sampler.qmc_type", search.sampler.qmc_type, QMC_TYPES))
    for key, name, known in named:
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean {key}={near}?" if near else f"there are {listing(known, 40)}"
            yield Problem(key, name, f"there is no such thing; {hint}")
    if not re.fullmatch(r"[\w.+-]+", search.study_name):
        text = "becomes the name of a folder; use letters, digits and .+-_"
        yield Problem(f"{PATH}.study_name", search.study_name, text)
    scheme = re.split(r"[+:]", search.storage or "sqlite:")[0]
    if scheme not in SCHEMES or (search.storage and "://" not in search.storage):
        near = nearest(scheme, SCHEMES) or "sqlite"
        text = f"must be an URL that begins with {listing(f'{s}://' for s in SCHEMES)}"
        yield Problem(f"{PATH}.storage", scheme, f"{text}; try {near}://...")


def _objectives(search: Search) -> Iterator[Problem]:
    several, key = len(search.objective) > 1, f"{PATH}.direction"
    if not search.objective:
        yield Problem(f"{PATH}.objective", NOTHING, f"is empty; try {PATH}.objective={SCORE}")
    elif len(search.direction) not in (1, len(search.objective)):
        text = f"must give one direction, or {len(search.objective)}, one for each objective"
        yield Problem(key, search.direction, text)
    if several and search.pruner.name != "none":
        text = "cannot judge several objectives; add hydra/sweeper/pruner=none"
        yield Problem(f"{PATH}.pruner", search.pruner.name, text)
    early = all(name in EARLY for name in search.objective)
    if search.prunes and not several and not early:
        text = f"{search.objective[0]} is known at the end only; add hydra/sweeper/pruner=none"
        yield Problem(f"{PATH}.pruner", search.pruner.name, text)


def _sampler(search: Search, space: Sequence[Dimension]) -> Iterator[Problem]:
    key, name = f"{PATH}.sampler", search.sampler.name
    if name == "cmaes" and len(search.objective) > 1:
        yield Problem(key, name, "has one objective; add hydra/sweeper/sampler=nsgaii")
    if name == "cmaes" and sum(dimension.kind != "choice" for dimension in space) < 2:
        text = "needs two ranges of numbers or more; add hydra/sweeper/sampler=tpe"
        yield Problem(key, name, text)
    if name == "grid":
        for dimension in space:
            if dimension.count is None:
                better = f"try range({dimension.low:g},{dimension.high:g},STEP) or choices"
                yield Problem(dimension.key, NOTHING, f"a grid needs steps; {better}")


def _pruner(search: Search) -> Iterator[Problem]:
    if not isinstance(search.pruner, Wilcoxon):
        return
    runs, sure = search.seeds * max(1, len(search.each)), search.pruner.p_threshold
    needed = next(n for n in range(3, 99) if 0.5 ** (n - 1) < sure)
    if runs < needed:
        text = f"can never prune {runs} runs per trial at p_threshold={sure:g}"
        better = f"try {PATH}.seeds={needed}"
        yield Problem(f"{PATH}.pruner", "wilcoxon", f"{text}; {better}")
