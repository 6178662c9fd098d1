"""The beginning of a sweep: what its command means, and its study, new or to go on with."""

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reach_rl import __version__
from reach_rl.config.load import compose
from reach_rl.config.problems import ConfigError, show
from reach_rl.config.prove_search import space as dimensions
from reach_rl.config.redact import redact
from reach_rl.config.search import Dimension, Search
from reach_rl.config.verbs import VERBS
from reach_rl.sweeps.sampling import pruner
from reach_rl.sweeps.storage import locked, make_study, url_of

if TYPE_CHECKING:
    from hydra.types import HydraContext
    from optuna.study import Study

HARMLESS = ("wandb", "progress", "picture", "profile", "torch_threads", "vec_env.threads")
"""Keys that may differ when a study goes on."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is the same for every trial."""

    fixed: list[str]
    space: list[Dimension]
    texts: dict[str, str]
    """Searched key -> its range as it was given."""


def parse(context: "HydraContext", search: Search, arguments: Sequence[str]) -> Job:
    """What the command line and the sweep's file fix, and what they let Optuna choose."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parser = OverridesParser.create(config_loader=context.config_loader)
    lines = [f"{key}={value}" for key, value in search.params.items()]
    parsed = parser.parse_overrides([*lines, *arguments])
    last = {override.key_or_group: override for override in parsed}  # the command line's wins
    swept = [override for override in last.values() if override.is_sweep_override()]
    fixed = [
        f"{override.get_key_element()}={override.get_value_element_as_str()}"
        if not override.is_delete()
        else str(override.input_line)
        for override in last.values()
        if not override.is_sweep_override()
    ]
    space, problems = dimensions(VERBS["train"], swept)
    if problems:
        raise ConfigError(problems)
    texts = {o.key_or_group: str(o.input_line).partition("=")[2] for o in swept}
    return Job(fixed, space, texts)


def begin(search: Search, job: Job, folder: Path) -> "Study":
    """The study, new or to go on with.

    Raises:
        ConfigError: the storage cannot be used, or the study searches something else.
    """
    about = {
        "space": job.texts,
        "overrides": sorted(job.fixed),
        "objective": search.objective,
        "seeds": search.seeds,
        "each": search.each,
        "combine": search.combine,
        "command": redact(shlex.join(["python", "-m", *sys.argv])),
        "version": __version__,
    }
    url = url_of(search.storage, folder)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "claim.lock"):
        study = make_study(url, search.study_name, search.directions, search.objective, about)
        _same(study, search, about, folder)
    study.pruner = pruner(search.pruner)
    return study


def _same(study: "Study", search: Search, about: Mapping[str, Any], folder: Path) -> None:
    """Refuse a study that searches something else, and folders of another one."""
    before = study.user_attrs
    given = {**about, "overrides": _telling(about["overrides"])}
    known = {**before, "overrides": _telling(before.get("overrides", []))}
    other = f"hydra.sweeper.study_name={search.study_name}_2"
    for key in ("space", "overrides", "objective", "seeds", "each", "combine"):
        if given[key] != known.get(key):
            raise ConfigError(
                f"hydra.sweeper.study_name={search.study_name}: that study was begun "
                f"{_difference(key, known.get(key), given[key])}; for a new one add {other}"
            )
    directions = [direction.name.lower() for direction in study.directions]
    if directions != search.directions:
        raise ConfigError(
            f"hydra.sweeper.direction={','.join(search.directions)}: study {search.study_name} "
            f"has {','.join(directions)}; for a new one add {other}"
        )
    if not study.get_trials(deepcopy=False):
        old = [path.name for path in folder.iterdir() if path.name.isdecimal()]
        if old:
            raise ConfigError(
                f"hydra.sweep.dir={folder}: holds runs of another sweep; for a new one add {other}"
            )


def _telling(overrides: Sequence[str]) -> list[str]:
    """The overrides that make a difference to what a trial is worth."""
    keys = tuple(f"{key}=" for key in HARMLESS) + tuple(f"{key}." for key in HARMLESS)
    return [text for text in overrides if not text.lstrip("+~").startswith(keys)]


def _difference(key: str, old: Any, new: Any) -> str:  # noqa: ANN401  JSON
    """In words, the first item in which what a study was made with differs from what is asked."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        old, new = ([f"{k}={v}" for k, v in tree.items()] for tree in (old, new))
    if isinstance(old, list) and isinstance(new, list):
        lost = [item for item in old if item not in new]
        more = [item for item in new if item not in old]
        if lost or more:
            return f"with {lost[0]}" if lost else f"without {more[0]}"
    return f"with {key}={show(old)}"


def notes(search: Search, job: Job) -> Iterator[str]:
    """What a user may not expect."""
    if not search.prunes:
        return
    config = compose(job.fixed)
    every, total = config.evaluation.every, config.total_timesteps
    if every == 0 or every >= total:
        better = max(1, total // 5)
        yield (
            f"note: evaluation.every={every} looks at no trial before its end, so none is pruned; "
            f"try evaluation.every={better}"
        )
