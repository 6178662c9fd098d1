"""Going on with a run: whose configuration holds, and what of it may differ from before."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reach_rl.config.context import OVERRIDES
from reach_rl.config.load import ConfigError, compose, to_config, to_tree
from reach_rl.config.schema import Config
from reach_rl.config.status import read_status
from reach_rl.learning import checkpoint
from reach_rl.learning.checkpoint import Checkpoint

FREE = (
    "total_timesteps",
    "progress",
    "picture",
    "profile",
    "torch_threads",
    "vec_env.threads",
    "evaluation",
    "checkpoint",
    "wandb",
)
"""Keys that may change when a run goes on."""

FIXED = (
    "robot",
    "observation",
    "action",
    "task.randomization",
    "ppo.policy",
    "ppo.policy_kwargs",
    "vec_env.kind",
    "vec_env.n_envs",
)
"""Keys that what was saved depends on. Any other key may change after a warning."""

Say = Callable[[str], None]


def find(config: Config, folder: Path, say: Say) -> Checkpoint | None:
    """The checkpoint that a run goes on from; None for a run that begins.

    Raises:
        ConfigError: another process is at work in the folder, it holds a run that nobody asked to
            go on with, or there is nothing to go on from.
    """
    holder = read_status(folder)
    if holder.get("state") == "running" and holder.get("pid") != os.getpid():
        who = f"process {holder.get('pid')} on {holder.get('host')}"
        raise ConfigError(f"{folder}: {who} is at work on this run; stop it first")
    records = folder / "metrics.jsonl"
    if config.resume is None:
        if records.is_file() and records.stat().st_size:
            raise ConfigError(f"{folder}: holds a run already; go on with it by resume={folder}")
        return None
    saved = checkpoint.newest(folder / "checkpoints", say)
    if saved is None and config.resume != "auto":
        raise ConfigError(f"resume={config.resume}: has no checkpoint; start anew with run_dir=")
    return saved


def continued(saved: Config, given: Config, say: Say) -> Config:
    """The configuration to go on with: the saved one with what the command line asks to change.

    Args:
        saved: the run's own.
        given: as composed from the command line. Outside a command line all of it counts.
        say: told of changes that make the run another one.

    Raises:
        ConfigError: a change does not fit what was saved; every such key is named.
    """
    overrides = OVERRIDES.get()
    before, tree = to_tree(saved), to_tree(given)
    if overrides is not None:
        tree = _asked(before, tree, to_tree(compose([])), overrides)
    tree |= {key: before[key] for key in ("run_dir", "resume")}  # how it began
    changed = dict(_differences(before, tree))
    refused = [
        f"{key}={_short(new)}: cannot change when a run goes on; it was {_short(old)}"
        for key, (old, new) in changed.items()
        if _below(key, FIXED) or _other_terms(key, old, new)
    ]
    if refused:
        raise ConfigError(refused)
    for key, (old, new) in changed.items():
        if not _below(key, FREE):
            say(f"warning: {key} changes from {_short(old)} to {_short(new)}")
    return to_config(tree)


def _asked(
    saved: Mapping[str, Any],
    given: Mapping[str, Any],
    default: Mapping[str, Any],
    overrides: Sequence[str],
) -> dict[str, Any]:
    """The saved tree with what differs from the defaults in the given one or is named there."""
    tree = _copy(saved)
    named = [text.partition("=")[0].lstrip("+~").partition("@")[0] for text in overrides]
    for key in [*dict(_differences(default, given)), *named]:
        _take_over(tree, given, key.replace("/", ".").split("."))
    return tree


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Dotted keys whose values differ, with both values."""
    for name in dict.fromkeys([*old, *new]):
        a, b = old.get(name), new.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from _differences(a, b, f"{prefix}{name}.")
        elif a != b:
            yield f"{prefix}{name}", (a, b)


def _other_terms(key: str, old: object, new: object) -> bool:
    """Whether a reward term comes or goes, which the sums of the episodes under way do not fit."""
    return key.startswith("reward.terms.") and key.count(".") == 2 and None in (old, new)


def _below(key: str, roots: Sequence[str]) -> bool:
    return any(key == root or key.startswith(f"{root}.") for root in roots)


def _take_over(tree: dict[str, Any], given: Mapping[str, Any], path: Sequence[str]) -> None:
    """Put the given value at a path into the tree; no value there, no change."""
    name, *rest = path
    if name not in given:
        return
    if rest and isinstance(tree.get(name), dict) and isinstance(given[name], Mapping):
        _take_over(tree[name], given[name], rest)
    else:
        tree[name] = _copy(given[name])


def _copy(value: Any) -> Any:  # noqa: ANN401  any plain value
    return {k: _copy(v) for k, v in value.items()} if isinstance(value, Mapping) else value


def _short(value: object) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
