"""A run's own configuration with what a command line changes in it.

Who goes on with a run, or judges it by other thresholds, names what changes; all else is the run's.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reach_rl.config.composition import COMMAND_LINE, Composer, plain
from reach_rl.config.load import load_run
from reach_rl.config.overrides import addition, check
from reach_rl.config.problems import NOTHING, ConfigError
from reach_rl.config.proof import Proof, compose_kept
from reach_rl.config.validation import to_tree, typed
from reach_rl.config.verbs import Verb

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

Tree = dict[str, Any]
OWN = ("run_dir", "resume")
"""Keys that name the run, and say nothing of it."""


def prove_own_task(composer: Composer, verb: Verb, overrides: Sequence[str]) -> Proof | None:
    """The proof of a judgement that changes keys of the run's own task; None if it does not.

    Of several runs it is the task of the first.
    """
    checked = check(composer, verb.schema, overrides)
    keys = [override for override in checked.good if override.key_or_group.startswith("task.")]
    if not keys or any(override.key_or_group == "task" for override in checked.good):
        return None
    found = dict.fromkeys(checked.problems)
    rest = [str(override.input_line) for override in checked.good if override not in keys]
    asked = compose_kept(composer, verb, rest, found)
    if asked is None:
        return Proof(problems=list(found))
    before = after = asked.tree
    given = [before.get("run"), *(before.get("runs") or []), before.get("bundle")]
    folder = Path(next((str(name) for name in given if name), ""))
    with suppress(ConfigError):  # a folder that is no run's is told by the rules
        before = {**before, "task": to_tree(load_run(folder).task)}
        after = changed(before, composer, verb, keys, found)
        offset = before["task"]["keypoint_offset"]
        if after["task"]["keypoint_offset"] != offset:
            text = f"is part of what the policy observes, and stays {offset:g}; leave it out"
            found[f"task.keypoint_offset ({COMMAND_LINE}): {text}"] = None

    def place(key: str) -> str:
        return f"{folder}/config.yaml" if key.startswith("task.") else asked.source(key)

    proof = Proof(NOTHING, None, [], overrides, composer.folders)
    return amended(proof, verb, composer, (before, after), place, found)


def amended(
    proof: Proof,
    verb: Verb,
    composer: Composer,
    trees: tuple[Tree, Tree],
    place: Callable[[str], str],
    found: dict[str, None],
    ready: Callable[[Any], Any] = lambda config: config,
) -> Proof:
    """The proof, completed by the typed configuration and all problems.

    Args:
        proof: what is known already.
        verb: whose command line it is.
        composer: of the command line.
        trees: before and after the change.
        place: where the value of a key that was not changed came from.
        found: problems so far, which are kept.
        ready: the configuration as the rules about files are to see it.
    """
    before, after = trees
    config = typed(verb.schema, after)
    wrong = config if isinstance(config, list) else verb.rules(config)
    if not isinstance(config, list):
        wrong = [*wrong, *verb.file_rules(ready(config), composer)]
    named = [key for key, _ in changes(before, after, ())]
    for problem in wrong:
        here = any(below(key, (problem.key,)) or below(problem.key, (key,)) for key in named)
        found[problem.line(COMMAND_LINE if here else place(problem.key))] = None
    proof.problems = list(found)
    proof.config = NOTHING if found else config
    return proof


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
                put(tree, given.tree, key.replace("/", ".").split("."))
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
    old: Mapping[str, Any], new: Mapping[str, Any], besides: Sequence[str] = OWN, prefix: str = ""
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Dotted keys whose values differ, with both values."""
    for name in dict.fromkeys([*old, *new]):
        a, b = old.get(name), new.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from changes(a, b, (), f"{prefix}{name}.")
        elif a != b and name not in besides:
            yield f"{prefix}{name}", (a, b)


def below(key: str, roots: Sequence[str]) -> bool:
    """Whether a dotted key is one of the roots, or below one."""
    return any(key == root or key.startswith(f"{root}.") for root in roots)


def put(tree: dict[str, Any], given: Mapping[str, Any], path: Sequence[str]) -> None:
    """Put the given value at a path into the tree; no value there, none in the tree."""
    name, *rest = path
    if name not in given:
        tree.pop(name, None)
    elif rest and isinstance(tree.get(name), dict) and isinstance(given[name], Mapping):
        put(tree[name], given[name], rest)
    else:
        tree[name] = copy.deepcopy(given[name])
