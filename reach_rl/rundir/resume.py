"""Going on with a run: whose configuration holds, and what of it may differ from before."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from reach_rl.config.load import ConfigError, to_tree
from reach_rl.config.schema import Config
from reach_rl.rundir import checkpoint
from reach_rl.rundir.checkpoint import Checkpoint
from reach_rl.rundir.resumed import refused, warnings
from reach_rl.rundir.status import read_status

Say = Callable[[str], None]


def find(config: Config, folder: Path, say: Say, locked: bool = True) -> Checkpoint | None:
    """The checkpoint that a run goes on from; None for a run that begins.

    Args:
        config: as asked for.
        folder: of the run.
        say: told of what was set aside.
        locked: whether this process holds the folder's lock, so that nobody else can be at work.

    Raises:
        ConfigError: another process is at work in the folder, it holds a run that nobody asked to
            go on with, or there is nothing to go on from.
    """
    holder = read_status(folder)
    if holder.get("state") == "running" and holder.get("pid") != os.getpid():
        who = f"process {holder.get('pid')} on {holder.get('host')}"
        if not locked:
            raise ConfigError(
                f"{folder}: {who} is at work on this run; stop it first, or remove "
                f"{folder / 'status.json'} if it is dead"
            )
        say(f"warning: {who} had not finished with this run, but holds it no longer")
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
    """The configuration to go on with: the given one, if a run with the saved one can.

    Args:
        saved: the run's own.
        given: what is asked for, all of it.
        say: told of changes that make the run another one.

    Raises:
        ConfigError: a change does not fit what was saved; every such key is named.
    """
    before, after = to_tree(saved), to_tree(given)
    no_way = refused(before, after)
    if no_way:
        raise ConfigError(no_way.values())
    for line in warnings(before, after):
        say(line)
    return replace(given, run_dir=saved.run_dir, resume=saved.resume)  # how it began
