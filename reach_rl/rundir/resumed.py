"""Going on with a run: its own configuration, what may change in it, and what was asked to."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reach_rl.config.composition import COMMAND_LINE, Composer
from reach_rl.config.load import load_run
from reach_rl.config.overrides import addition, check
from reach_rl.config.problems import NOTHING, ConfigError
from reach_rl.config.prove import Proof, compose_kept
from reach_rl.config.validation import to_tree, typed
from reach_rl.config.verbs import Verb

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
        for key, (old, new) in _changes(before, after)
        if _below(key, FIXED) or _other_terms(key, old, new)
    }


def warnings(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Lines about changes that make the run another one; of plain trees."""
    return [
        f"warning: {key} changes from {_short(old)} to {_short(new)}"
        for key, (old, new) in _changes(before, after)
        if not _below(key, (*FREE, *FIXED))
    ]


def lost(asked: Mapping[str, Any]) -> list[str]:
    """The problem of a single run that is to go on, nobody knows where."""
    if asked.get("resume") != "auto" or asked.get("run_dir") is not None:
        return []
    return [f"resume=auto ({COMMAND_LINE}): needs the folder of the run; add run_dir=DIR"]


def lost_jobs(overrides: Sequence[str]) -> list[str]:
    """Problems of a multirun that is to go on."""
    found = []
    for text in overrides:
        key, _, value = text.partition("=")
        if key.lstrip("+") != "resume" or value == "null":
            continue
        if value != "auto":
            hint = "all jobs would share it; try resume=auto hydra.sweep.dir=DIR"
            found.append(f"{text} ({COMMAND_LINE}): {hint}")
        elif not any(other.startswith("hydra.sweep.dir=") for other in overrides):
            hint = "needs the folder of the multirun; add hydra.sweep.dir=DIR"
            found.append(f"{text} ({COMMAND_LINE}): {hint}")
    return found


def prove_resumed(composer: Composer, verb: Verb, overrides: Sequence[str]) -> Proof | None:
    """The proof of a command line that goes on with a run.

    The run's own configuration holds, but for the groups and keys that the command line names.

    Args:
        composer: of the command line.
        verb: whose command line it is.
        overrides: all of them.

    Returns:
        None if it does not go on with one.
    """
    if not any(text.lstrip("+").startswith("resume=") for text in overrides):
        return None
    checked = check(composer, verb.schema, overrides)
    found = dict.fromkeys(checked.problems)
    where = [o for o in checked.good if o.key_or_group in (*_OWN, "sweep")]
    asked = compose_kept(composer, verb, [str(o.input_line) for o in where], {})
    folder = _folder(asked.tree) if asked is not None else None
    saved = _saved(folder) if folder is not None else None
    if asked is None or folder is None or saved is None:
        return None
    found |= dict.fromkeys(Proof(composed=asked).sweeps(verb))
    plain = [o for o in checked.good if not o.key_or_group.startswith("hydra")]
    groups = [o for o in plain if o.key_or_group in composer.groups]
    tree = saved
    if groups:
        default = compose_kept(composer, verb, [], found)
        given = compose_kept(composer, verb, [str(o.input_line) for o in groups], found)
        if default is not None and given is not None:
            tree = _taken_over(saved, default.tree, given.tree, [o.key_or_group for o in groups])
    tree, problems = _set(tree, [o for o in plain if o not in groups], verb)
    tree["resume"] = asked.tree["resume"]
    if tree["resume"] == "auto":
        tree["run_dir"] = str(folder)
    no_way = refused(saved, tree)
    problems += [_placed(line, COMMAND_LINE) for line in no_way.values()]
    for key in no_way:
        _put(tree, saved, key.split("."))
    proof = Proof(problems=[*found, *problems])
    config = typed(verb.schema, tree)
    wrong = config if isinstance(config, list) else []
    if not wrong:
        wrong = [*verb.rules(config), *verb.file_rules(config, composer)]
    changed = {key for key, _ in _changes(saved, tree, ())}
    for problem in wrong:
        named = any(_below(key, (problem.key,)) or _below(problem.key, (key,)) for key in changed)
        proof.problems.append(problem.line(COMMAND_LINE if named else f"{folder}/config.yaml"))
    proof.config = NOTHING if proof.problems else config
    return proof


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


def _set(
    tree: dict[str, Any], overrides: Sequence[Any], verb: Verb
) -> tuple[dict[str, Any], list[str]]:
    """The tree with single keys set as Hydra sets them, and what cannot be set."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    cfg, problems = OmegaConf.create(tree), []
    OmegaConf.set_struct(cfg, True)
    for override in overrides:
        text, key = str(override.input_line), override.key_or_group
        try:
            if override.is_delete():
                _remove(cfg, key)
            else:
                OmegaConf.update(
                    cfg, key, override.value(), merge=True, force_add=override.is_add()
                )
        except (OmegaConfBaseException, AttributeError, KeyError, IndexError, TypeError):
            hint = "" if override.is_delete() else f"; try {addition(verb.schema, text)}"
            problems.append(f"{text} ({COMMAND_LINE}): not there yet{hint}")
    plain = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(plain, dict)
    return {str(k): v for k, v in plain.items()}, problems


def _remove(cfg: Any, key: str) -> None:  # noqa: ANN401  an OmegaConf container
    from omegaconf import OmegaConf, open_dict

    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(cfg, parent, throw_on_missing=True) if parent else cfg
    with open_dict(cfg):
        del node[name]


def _taken_over(
    saved: Mapping[str, Any],
    default: Mapping[str, Any],
    given: Mapping[str, Any],
    groups: Sequence[str],
) -> dict[str, Any]:
    """The saved tree with what the chosen groups say: all of them, and what others they change."""
    tree = _copy(saved)
    for key in [*dict(_changes(default, given)), *(g.partition("@")[0] for g in groups)]:
        _put(tree, given, key.replace("/", ".").split("."))
    return tree


def _changes(
    old: Mapping[str, Any], new: Mapping[str, Any], besides: Sequence[str] = _OWN, prefix: str = ""
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Dotted keys whose values differ, with both values."""
    for name in dict.fromkeys([*old, *new]):
        a, b = old.get(name), new.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from _changes(a, b, (), f"{prefix}{name}.")
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
        tree[name] = _copy(given[name])


def _copy(value: Any) -> Any:  # noqa: ANN401  any plain value
    return {k: _copy(v) for k, v in value.items()} if isinstance(value, Mapping) else value


def _placed(line: str, place: str) -> str:
    """A line that begins with key=value, with the place that it came from."""
    key, _, rest = line.partition(": ")
    return f"{key} ({place}): {rest}"


def _short(value: object) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
