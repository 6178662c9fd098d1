"""Going on with a run: by its own configuration, with what may change in it, from its checkpoint.

The run's configuration holds, but for the groups and keys that the command line names.
"""

import copy
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reach_rl.config.composition import COMMAND_LINE, Composer, plain
from reach_rl.config.load import load_run
from reach_rl.config.overrides import addition, check
from reach_rl.config.problems import NOTHING, ConfigError
from reach_rl.config.proof import Proof, compose_kept
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

FREE = (
    "total_timesteps",
    "progress",
    "picture",
    "profile",
    "torch_threads",
    "vec_env.threads",
    "vec_env.start_method",
    "vec_env.worker_timeout",
    "vec_env.worker_restarts",
    "evaluation",
    "checkpoint",
    "wandb",
    "health",
    "guard",
)
"""Keys that may change when a run goes on."""

FIXED = (
    "robot",
    "observation",
    "action",
    "task.randomization",
    "ppo.policy",
    "ppo.policy_kwargs",
    "ppo.use_sde",
    "vec_env.kind",
    "vec_env.n_envs",
)
"""Keys that what was saved depends on. Any other key may change after a warning."""

_OWN = ("run_dir", "resume")


def refused(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """Keys that cannot change but do -> why; of plain trees."""
    return {
        key: f"{key}={_short(new)}: cannot change when a run goes on; it was {_short(old)}"
        for key, (old, new) in changes(before, after)
        if _below(key, FIXED) or _other_terms(key, old, new)
    }


def warnings(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Lines about changes that make the run another one; of plain trees."""
    return [
        f"warning: {key} changes from {_short(old)} to {_short(new)}"
        for key, (old, new) in changes(before, after)
        if not _below(key, (*FREE, *FIXED))
    ]


def lost(asked: Mapping[str, Any]) -> list[str]:
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


def prove_resumed(composer: Composer, verb: Verb, overrides: Sequence[str]) -> Proof | None:
    """The proof of a command line that goes on with a run; None if it does not.

    Args:
        composer: of the command line.
        verb: whose command line it is.
        overrides: all of them.
    """
    if not any(text.lstrip("+").startswith("resume=") for text in overrides):
        return None
    checked = check(composer, verb.schema, overrides)
    where = [str(o.input_line) for o in checked.good if o.key_or_group in (*_OWN, "sweep")]
    asked = compose_kept(composer, verb, where, {})
    folder = _folder(asked.tree) if asked is not None else None
    saved = _saved(folder) if folder is not None else None
    if asked is None or folder is None or saved is None:
        return None
    found = dict.fromkeys([*checked.problems, *Proof(composed=asked).sweeps(verb)])
    keys = [o for o in checked.good if not o.key_or_group.startswith("hydra")]
    tree = changed(saved, composer, verb, keys, found)
    tree["resume"] = asked.tree["resume"]
    if tree["resume"] == "auto":
        tree["run_dir"] = str(folder)
    for key, line in refused(saved, tree).items():
        start, _, rest = line.partition(": ")
        found[f"{start} ({COMMAND_LINE}): {rest}"] = None
        _put(tree, saved, key.split("."))
    config, wrong = _typed(tree, composer, verb, folder)
    named = [key for key, _ in changes(saved, tree, ())]
    for problem in wrong:
        here = any(_below(key, (problem.key,)) or _below(problem.key, (key,)) for key in named)
        found[problem.line(COMMAND_LINE if here else f"{folder}/config.yaml")] = None
    proved = NOTHING if found else config
    return Proof(proved, None, list(found), overrides, composer.folders)


def _typed(
    tree: dict[str, Any], composer: Composer, verb: Verb, folder: Path
) -> tuple[Any, list[Any]]:
    """The configuration and its problems."""
    config = typed(verb.schema, tree)
    if isinstance(config, list):
        return NOTHING, config
    return config, [*verb.rules(config), *verb.file_rules(own_model(config, folder), composer)]


def _folder(tree: Mapping[str, Any]) -> Path | None:
    """The folder of the run that a composed tree asks to go on with, if it has checkpoints."""
    resume = tree.get("resume")
    given = tree.get("run_dir") if resume == "auto" else resume
    if not isinstance(given, str) or not any(Path(given).glob("checkpoints/step_*")):
        return None
    return Path(given)


def _saved(folder: Path) -> dict[str, Any] | None:
    """The configuration of a run as a plain tree, from its folder or from its newest checkpoint."""
    checkpoints = sorted(folder.glob("checkpoints/step_*"), reverse=True)
    for place in (folder, *checkpoints):
        try:
            return to_tree(load_run(place))
        except ConfigError:
            continue
    return None


def changed(
    saved: Mapping[str, Any],
    composer: Composer,
    verb: Verb,
    overrides: Sequence["Override"],
    found: dict[str, None],
) -> dict[str, Any]:
    """The plain tree of a run with what overrides change in it.

    Of a group that they name all is taken over, and what its option changes elsewhere; single
    keys are set as Hydra sets them. Problems become lines in found.
    """
    tree = copy.deepcopy(dict(saved))
    groups = [override for override in overrides if override.key_or_group in composer.groups]
    if groups:
        default = compose_kept(composer, verb, [], found)
        given = compose_kept(composer, verb, [str(o.input_line) for o in groups], found)
        if default is not None and given is not None:
            named = [override.key_or_group.partition("@")[0] for override in groups]
            for key in [*dict(changes(default.tree, given.tree)), *named]:
                _put(tree, given.tree, key.replace("/", ".").split("."))
    return _set(tree, [o for o in overrides if o not in groups], verb, found)


def _set(
    tree: dict[str, Any], overrides: Sequence["Override"], verb: Verb, found: dict[str, None]
) -> dict[str, Any]:
    """The tree with single keys set."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    cfg = OmegaConf.create(tree)
    OmegaConf.set_struct(cfg, True)
    for override in overrides:
        text, key = str(override.input_line), override.key_or_group
        delete, add = override.is_delete(), override.is_add()
        try:
            if delete:
                _remove(cfg, key)
            else:
                OmegaConf.update(cfg, key, override.value(), merge=True, force_add=add)
        except (OmegaConfBaseException, AttributeError, KeyError, IndexError, TypeError):
            hint = "" if delete else f"; try {addition(verb.schema, text)}"
            found[f"{text} ({COMMAND_LINE}): not there yet{hint}"] = None
    return plain(cfg)


def _remove(cfg: Any, key: str) -> None:  # noqa: ANN401  an OmegaConf container
    from omegaconf import OmegaConf, open_dict

    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(cfg, parent, throw_on_missing=True) if parent else cfg
    with open_dict(cfg):
        del node[name]


def changes(
    old: Mapping[str, Any], new: Mapping[str, Any], besides: Sequence[str] = _OWN, prefix: str = ""
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Dotted keys whose values differ, with both values."""
    for name in dict.fromkeys([*old, *new]):
        a, b = old.get(name), new.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from changes(a, b, (), f"{prefix}{name}.")
        elif a != b and name not in besides:
            yield f"{prefix}{name}", (a, b)


def _other_terms(key: str, old: object, new: object) -> bool:
    """Whether a reward term comes or goes, which the sums of the episodes under way do not fit."""
    return key.startswith("reward.terms.") and key.count(".") == 2 and None in (old, new)


def _below(key: str, roots: Sequence[str]) -> bool:
    return any(key == root or key.startswith(f"{root}.") for root in roots)


def _put(tree: dict[str, Any], given: Mapping[str, Any], path: Sequence[str]) -> None:
    """Put the given value at a path into the tree; no value there, none in the tree."""
    name, *rest = path
    if name not in given:
        tree.pop(name, None)
    elif rest and isinstance(tree.get(name), dict) and isinstance(given[name], Mapping):
        _put(tree[name], given[name], rest)
    else:
        tree[name] = copy.deepcopy(given[name])


def _short(value: object) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


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
    return [*rest, f'run_dir="{folder}"', "resume=auto"]


def _begun(overrides: Sequence[str]) -> Path | None:
    """The folder under runs/ that this job began with the same overrides."""
    job = job_id()
    if job is None:
        return None
    for path in sorted(Path("runs").glob("*/*/status.json"), reverse=True):
        known = read_json(path.parent / "provenance.json").get("overrides")
        if read_json(path).get("job") == job and known == list(overrides):
            return path.parent
    return None
