"""Going on with a run, or judging it otherwise: its own configuration, but for what is named.

The run's configuration holds, but for the groups and keys that the command line names.
"""

import copy
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reach_rl.config import problems, read_yaml
from reach_rl.config.composition import COMMAND_LINE, Composer, plain
from reach_rl.config.load import LostExtension, Proof, compose_kept, load_run
from reach_rl.config.overrides import addition, check
from reach_rl.config.problems import NOTHING, ConfigError
from reach_rl.config.schema import Config
from reach_rl.config.validation import to_tree, typed
from reach_rl.config.verbs import Verb
from reach_rl.rundir.atomic import read_json
from reach_rl.rundir.provenance import own_model
from reach_rl.rundir.status import job_id, read_status

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

    from reach_rl.rundir.checkpoint import Checkpoint

Say = Callable[[str], None]
Tree = Mapping[str, Any]

OWN = ("run_dir", "resume")
"""Keys that name the run, and say nothing of it."""

_KEYS: Mapping[str, Sequence[str]] = read_yaml(Path(__file__).parent / "going_on.yaml")
"""`free` and `fixed`: keys that may and keys that cannot change when a run goes on."""


def changes(
    old: Tree, new: Tree, besides: Sequence[str] = OWN, prefix: str = ""
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Dotted keys whose values differ, with both values."""
    for name in dict.fromkeys([*old, *new]):
        a, b = old.get(name), new.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from changes(a, b, (), f"{prefix}{name}.")
        elif a != b and name not in besides:
            yield f"{prefix}{name}", (a, b)


def refused(before: Tree, after: Tree) -> dict[str, tuple[str, str]]:
    """Keys that cannot change but do -> `key=value`, and why; of plain trees."""
    return {
        key: (f"{key}={_short(new)}", f"cannot change when a run goes on; it was {_short(old)}")
        for key, (old, new) in changes(before, after)
        if _below(key, _KEYS["fixed"]) or _other_terms(key, old, new)
    }


def warnings(before: Tree, after: Tree) -> list[str]:
    """Lines about changes that make the run another one; of plain trees."""
    return [
        f"warning: {key} changes from {_short(old)} to {_short(new)}"
        for key, (old, new) in changes(before, after)
        if not _below(key, (*_KEYS["free"], *_KEYS["fixed"]))
    ]


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
        raise ConfigError(map(": ".join, no_way.values()))
    for line in warnings(before, after):
        say(line)
    return replace(given, run_dir=saved.run_dir, resume=saved.resume)  # how it began


def find(config: Config, folder: Path, say: Say, locked: bool = True) -> "Checkpoint | None":
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
    from reach_rl.rundir import checkpoint

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
            how = problems.word("resume", folder)
            raise ConfigError(f"{folder}: holds a run already; go on with it by {how}")
        return None
    saved = checkpoint.newest(folder / "checkpoints", say)
    if saved is None and config.resume != "auto":
        raise ConfigError(f"resume={config.resume}: has no checkpoint; start anew with run_dir=")
    return saved


def prove_resumed(composer: Composer, verb: Verb, overrides: Sequence[str]) -> Proof | None:
    """The proof of a command line that goes on with a run; None if it does not.

    Args:
        composer: of the command line.
        verb: whose command line it is.
        overrides: all of them.
    """
    if not any(text.lstrip("+").startswith("resume=") for text in overrides):
        return None
    wrong, good = check(composer, verb.schema, overrides)
    where = [str(o.input_line) for o in good if o.key_or_group in (*OWN, "sweep")]
    asked = compose_kept(composer, verb, where, {})
    folder = _folder(asked.tree) if asked is not None else None
    saved = _saved(folder) if folder is not None else None
    if asked is None or folder is None or saved is None:
        return None
    found = dict.fromkeys([*wrong, *Proof(composed=asked).sweeps(verb)])
    keys = [o for o in good if not o.key_or_group.startswith("hydra")]
    tree = _changed(saved, composer, verb, keys, found)
    tree["resume"] = asked.tree["resume"]
    if tree["resume"] == "auto":
        tree["run_dir"] = str(folder)
    for key, (start, why) in refused(saved, tree).items():
        found[f"{start} ({COMMAND_LINE}): {why}"] = None
        _put(tree, saved, key.split("."))
    source, trees = f"{folder}/config.yaml", (saved, tree)

    def ready(config: Config) -> Config:
        return own_model(config, folder)

    return _proved(composer, verb, overrides, trees, lambda _: source, found, ready)


def prove_own_task(composer: Composer, verb: Verb, overrides: Sequence[str]) -> Proof | None:
    """The proof of a judgement that changes keys of the run's own task; None if it does not.

    Of several runs it is the task of the first.
    """
    wrong, good = check(composer, verb.schema, overrides)
    keys = [override for override in good if override.key_or_group.startswith("task.")]
    if not keys or any(override.key_or_group == "task" for override in good):
        return None
    found = dict.fromkeys(wrong)
    rest = [str(override.input_line) for override in good if override not in keys]
    asked = compose_kept(composer, verb, rest, found)
    if asked is None:
        return Proof(problems=list(found))
    before = after = asked.tree
    given = [before.get("run"), *(before.get("runs") or []), before.get("bundle")]
    folder = Path(next((str(name) for name in given if name), ""))
    with suppress(ConfigError):  # a folder that is no run's is told by the rules
        before = {**before, "task": to_tree(load_run(folder).task)}
        after = _changed(before, composer, verb, keys, found)
        offset = before["task"]["keypoint_offset"]
        if after["task"]["keypoint_offset"] != offset:
            text = f"is part of what the policy observes, and stays {offset:g}; leave it out"
            found[f"task.keypoint_offset ({COMMAND_LINE}): {text}"] = None

    def source(key: str) -> str:
        return f"{folder}/config.yaml" if key.startswith("task.") else asked.source(key)

    return _proved(composer, verb, overrides, (before, after), source, found)


def _proved(
    composer: Composer,
    verb: Verb,
    overrides: Sequence[str],
    trees: tuple[Tree, Tree],
    source: Callable[[str], str],
    found: dict[str, None],
    ready: Callable[[Any], Any] = lambda config: config,
) -> Proof:
    """The proof of a change.

    Args:
        composer: of the command line.
        verb: whose command line it is.
        overrides: all of them.
        trees: before and after the change.
        source: where the value of a key that was not changed came from.
        found: problems so far; those of the change come after them.
        ready: the configuration as the rules about files are to see it.
    """
    config = typed(verb.schema, trees[1])
    wrong = config if isinstance(config, list) else verb.rules(config)
    if not isinstance(config, list):
        wrong = [*wrong, *verb.rules(ready(config), composer)]
    named = [key for key, _ in changes(*trees, ())]
    for problem in wrong:
        here = any(_below(key, (problem.key,)) or _below(problem.key, (key,)) for key in named)
        found[problem.line(COMMAND_LINE if here else source(problem.key))] = None
    return Proof(NOTHING if found else config, None, list(found), overrides, composer.folders)


def _changed(
    saved: Tree,
    composer: Composer,
    verb: Verb,
    overrides: Sequence["Override"],
    found: dict[str, None],
) -> dict[str, Any]:
    """The plain tree of a run with what overrides change in it.

    Of a group that they name all is taken over, and what its option changes elsewhere; single
    keys are set as Hydra sets them. Problems become lines in found.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    tree = copy.deepcopy(dict(saved))
    groups = [override for override in overrides if override.key_or_group in composer.groups]
    if groups:
        default = compose_kept(composer, verb, [], found)
        given = compose_kept(composer, verb, [str(o.input_line) for o in groups], found)
        if default is not None and given is not None:
            named = [override.key_or_group.partition("@")[0] for override in groups]
            for key in [*dict(changes(default.tree, given.tree)), *named]:
                _put(tree, given.tree, key.replace("/", ".").split("."))
    cfg = OmegaConf.create(tree)
    OmegaConf.set_struct(cfg, True)
    for override in [o for o in overrides if o not in groups]:
        text, key = str(override.input_line), override.key_or_group
        if override.is_delete():
            found[f"{text} ({COMMAND_LINE}): what a run has stays; try {key}=null"] = None
            continue
        try:
            value, add = override.value(), override.is_add()
            OmegaConf.update(cfg, key, value, merge=True, force_add=add)
        except (OmegaConfBaseException, AttributeError, KeyError, IndexError, TypeError):
            hint = addition(verb.schema, text)
            found[f"{text} ({COMMAND_LINE}): not there yet; try {hint}"] = None
    return plain(cfg)


def _put(tree: dict[str, Any], given: Tree, path: Sequence[str]) -> None:
    """Put the given value at a path into the tree; no value there, none in the tree."""
    name, *rest = path
    if name not in given:
        tree.pop(name, None)
    elif rest and isinstance(tree.get(name), dict) and isinstance(given[name], Mapping):
        _put(tree[name], given[name], rest)
    else:
        tree[name] = copy.deepcopy(given[name])


def _below(key: str, roots: Sequence[str]) -> bool:
    """Whether a dotted key is one of the roots, or below one."""
    return any(key == root or key.startswith(f"{root}.") for root in roots)


def _folder(tree: Tree) -> Path | None:
    """The folder of the run that a composed tree asks to go on with, if it has checkpoints."""
    resume = tree.get("resume")
    given = tree.get("run_dir") if resume == "auto" else resume
    if not isinstance(given, str) or not any(Path(given).glob("checkpoints/step_*")):
        return None
    return Path(given)


def _saved(folder: Path) -> dict[str, Any] | None:
    """The configuration of a run as a plain tree, from its folder or from its newest checkpoint."""
    for place in (folder, *sorted(folder.glob("checkpoints/step_*"), reverse=True)):
        try:
            return to_tree(load_run(place))
        except LostExtension:
            raise
        except ConfigError:
            continue
    return None


def _other_terms(key: str, old: object, new: object) -> bool:
    """Whether a reward term comes or goes, which the sums of the episodes under way do not fit."""
    return key.startswith("reward.terms.") and key.count(".") == 2 and None in (old, new)


def _short(value: object) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def lost(asked: Tree) -> list[str]:
    """The problem of a single run that is to go on, nobody knows where."""
    if asked.get("resume") != "auto" or asked.get("run_dir") is not None:
        return []
    return [f"resume=auto ({COMMAND_LINE}): needs the folder of the run; add run_dir=DIR"]


def lost_jobs(overrides: Sequence[str]) -> Iterator[str]:
    """Problems of a multirun that is to go on."""
    placed = any(text.startswith("hydra.sweep.dir=") for text in overrides)
    for text in overrides:
        key, _, value = text.lstrip("+").partition("=")
        if key != "resume" or value == "null" or (value == "auto" and placed):
            continue
        hint = "all jobs would share it; try resume=auto hydra.sweep.dir=DIR"
        if value == "auto":
            hint = "needs the folder of the multirun; add hydra.sweep.dir=DIR"
        yield f"{text} ({COMMAND_LINE}): {hint}"


def requeued() -> bool:
    """Whether this process is a job that Slurm, or submitit on this machine, started again."""
    count = os.environ.get("SLURM_RESTART_COUNT", "")
    local = os.environ.get("SUBMITIT_EXECUTOR") == "local"
    return local or (count.isdecimal() and int(count) > 0)


def holds_run(folder: Path) -> bool:
    """Whether a folder holds something of a run to go on with."""
    return (folder / "metrics.jsonl").is_file() or any(folder.glob("checkpoints/step_*"))


def going_on(overrides: Sequence[str]) -> list[str]:
    """The overrides of a single run, with what makes a requeued job go on by itself."""
    own = {text.partition("=")[0].lstrip("+"): text.partition("=")[2] for text in overrides}
    if not requeued() or "resume" in own:
        return list(overrides)
    folder = Path(own["run_dir"]) if own.get("run_dir") else _begun(overrides)
    if folder is None or not holds_run(folder):
        return list(overrides)
    rest = [text for text in overrides if text.partition("=")[0].lstrip("+") != "run_dir"]
    return [*rest, problems.override("run_dir", folder), "resume=auto"]


def _begun(overrides: Sequence[str]) -> Path | None:
    """The folder under runs/ that this job began with the same overrides."""
    job = job_id()
    for path in sorted(Path("runs").glob("*/*/status.json"), reverse=True) if job else ():
        known = read_json(path.parent / "provenance.json").get("overrides")
        if read_json(path).get("job") == job and known == list(overrides):
            return path.parent
    return None
