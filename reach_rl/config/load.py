"""From YAML and overrides to a validated Config; every problem is collected and raised at once."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reach_rl.config.composition import COMMAND_LINE, Composed, Composer
from reach_rl.config.keys import find, join
from reach_rl.config.overrides import addition, as_typed, check
from reach_rl.config.problems import NOTHING, ConfigError, nearest
from reach_rl.config.schema import Config
from reach_rl.config.search import unknown
from reach_rl.config.untrusted import load_yaml, naming_code, redact, search_folders
from reach_rl.config.validation import completed, holds, to_tree, typed
from reach_rl.config.verbs import ANY_LEARNER, TRAIN, VERBS, Verb
from reach_rl.origins import Needed, head, needed

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Call:
    """What a job was called with; a launcher's process knows it by this alone."""

    overrides: tuple[str, ...] | None = None
    """Of this job alone, also where it is one of a multirun."""
    folders: tuple[Path, ...] = ()
    """The user's folders of groups, so that a job can compose their options too."""


CALL: ContextVar[Call] = ContextVar("call", default=Call())  # noqa: B039  it is frozen
"""Of the job that runs now; set by the command line around every job."""


def to_config(tree: Mapping[str, Any], verb: Verb = TRAIN) -> Config:
    """The typed configuration from a plain tree, such as a run's config.yaml; reads no file.

    Raises:
        ConfigError: with all problems, one line each: unknown keys, missing values, wrong types,
            bounds and, once those are right, the rules across keys.
    """
    config = typed(verb.schema, tree)
    problems = config if isinstance(config, list) else verb.rules(config)
    if problems or isinstance(config, list):
        raise ConfigError(problem.line() for problem in problems)
    return config


def to_config_of_any_age(tree: Mapping[str, Any], verb: Verb = TRAIN) -> Config:
    """As to_config, of a run; a key that the version which made it did not know has its default.

    Raises:
        ConfigError: with all problems, one line each.
    """
    try:
        return to_config(tree, verb)
    except ConfigError:
        default = to_tree(prove(Composer(), TRAIN, []).config)
        return to_config(completed(Config, tree, default), verb)


def compose(
    overrides: Sequence[str] = (),
    config_name: str = "train",
    config_dir: Path | None = None,
    *,
    own_learner: bool = False,
) -> Any:  # noqa: ANN401  the schema of the verb; a Config for train
    """The validated configuration that the same command line would give. Raises ConfigError.

    Within a job, config_dir defaults to the folders that the job was started with. With a learner
    of one's own, the rules about ours do not hold.
    """
    given = search_folders(config_dir, config_name, overrides)
    folders = given or CALL.get().folders
    verb = ANY_LEARNER if own_learner else VERBS[config_name]
    with as_typed(overrides) as words:
        proof = prove(Composer(config_name, *folders), verb, words)
        if proof.problems:
            raise ConfigError(proof.problems)
    return proof.config


class LostExtension(ConfigError):
    """What a configuration names is registered by an extension that is not here."""


def config_text(config: Config, **style: Any) -> str:  # noqa: ANN401  of yaml.safe_dump
    """The file of a configuration, without credentials; its head tells the extensions it names."""
    import yaml

    text = yaml.safe_dump(redact(to_tree(config)), sort_keys=False, **style)
    return head(named(to_tree(config))) + text


def named(value: Any, path: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401  a plain tree
    """Noun and name of what is registered that the tree of a run's configuration names."""
    key = find(Config, path) if path else None
    noun = key.named.noun if key is not None and key.named is not None else ""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if noun and item is not None:
                yield noun, str(name)
            yield from named(item, join(path, name))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from named(item, join(path, i))
    elif noun and value is not None:
        yield noun, str(value)


def check_extensions(text: str, folder: Path, say: Say) -> None:
    """Compare the extensions that a file's head tells with those that are here.

    Args:
        text: of the file, in the folder of a run, a checkpoint or a bundle.
        folder: where it is.
        say: told of one that is another one by now.

    Raises:
        LostExtension: one is not here.
    """
    lost = []
    for wanted in needed(text):
        copy = wanted.place(folder, *folder.parents[1:2])
        what = f"{wanted.name} {wanted.version}".rstrip()
        terms = ", ".join(wanted.terms[:3]) + (" ..." if len(wanted.terms) > 3 else "")
        if not wanted.known:
            lost.append(f"{folder}: needs {what} ({terms}); {_how(wanted, copy)}")
        for here in wanted.others() if wanted.known else ():
            mine = f"{here.place or here.name} {here.version}".rstrip()
            kept = f"; its copy is {copy}" if copy else ""
            say(f"note: {terms} comes from {mine}, not as {folder} had it from {what}{kept}")
    if lost:
        raise LostExtension(lost)


def _how(wanted: Needed, copy: Path | None) -> str:
    if wanted.version:
        return f"if you trust it: python -m pip install {wanted.name}=={wanted.version}"
    if copy is not None:
        return f"if you trust it, add --extend {copy}"
    return f"add --extend FILE.py with the {wanted.name} that has it"


def load_run(run_dir: Path, say: Say = lambda line: None) -> Config:
    """The configuration of an earlier run, from its config.yaml.

    Args:
        run_dir: its folder.
        say: told of extensions that have changed since.

    Raises:
        ConfigError: it cannot be read.
        LostExtension: it names terms of an extension that is not here.
    """
    import yaml

    path = run_dir / "config.yaml"
    if not path.is_file():
        raise ConfigError(f"{run_dir}: not the folder of a run (no config.yaml in it)")
    try:
        text = path.read_text(encoding="utf-8")
        tree = load_yaml(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: is empty or no configuration")
    check_extensions(text, run_dir, say)
    try:
        return to_config_of_any_age(tree, ANY_LEARNER)
    except ConfigError as error:
        raise ConfigError(f"{path}: {problem}" for problem in error.problems) from error


@dataclass(slots=True)
class Proof:
    """The typed configuration (NOTHING if wrong), its composition, and every problem as a line."""

    config: Any = NOTHING
    composed: Composed | None = None
    problems: list[str] = field(default_factory=list)
    overrides: Sequence[str] = ()
    folders: Sequence[Path] = ()
    """The user's, in which groups were looked for."""

    def sweeps(self, verb: Verb) -> list[str]:
        """The problem of a single run that a sweep is chosen for."""
        if self.composed is None:
            return []
        texts = [o for o in self.composed.overrides if o.startswith("sweep=") and o != "sweep=null"]
        lines = [f"{text} ({COMMAND_LINE})" for text in texts]
        choice = self.composed.choices.get("sweep")
        lines = lines or ([f"sweep={choice}"] if choice else [])
        how = "add -m" if verb.makes_run else f"{verb.name} runs once, so leave it out"
        return [f"{line}: makes several runs; {how}" for line in lines]

    def placed(self, problems: Sequence[str], verb: Verb) -> list[str]:
        """Lines of a job that begin with a key, with the place where its value came from."""
        fresh = issubclass(verb.schema, Config) and getattr(self.config, "resume", None) is None
        if self.composed is None or not fresh:
            return list(problems)
        source = self.composed.source

        def place(found: re.Match[str]) -> str:
            key = find(verb.schema, found[2])
            where = source(key.path) if key is not None and key.leaf else ""
            return f"{found[1]} ({where}): " if where else found[0]

        return [re.sub(r"^(([\w.]+)(?:=\S+)?): ", place, line) for line in problems]


def prove(composer: Composer, verb: Verb, overrides: Sequence[str]) -> Proof:
    """Compose and check one run; every problem is in the proof, none is raised."""
    problems, good = check(composer, verb.schema, overrides)
    found = dict.fromkeys(problems)
    shipped = not good and not composer.folders and issubclass(verb.schema, Config)
    if found and shipped:  # what is left is right, and takes most of the time to be composed
        return Proof(problems=list(found))
    composed = compose_kept(composer, verb, [str(o.input_line) for o in good], found)
    config, problems = (NOTHING, []) if composed is None else judge(composed, verb)
    found |= dict.fromkeys(problems)
    return Proof(config, composed, list(found), overrides, composer.folders)


def judge(composed: Composed, verb: Verb) -> tuple[Any, list[str]]:
    """The typed configuration (or NOTHING) and its problems, a line each."""
    config = typed(verb.schema, composed.tree)
    problems = config if isinstance(config, list) else []
    if not problems:
        problems = [*verb.rules(config), *verb.rules(config, composed.composer)]
    lines = [problem.line(composed.source(problem.key)) for problem in problems]
    lines += naming_code(composed.hydra, composed.overrides)
    return (NOTHING if lines else config), lines


def compose_kept(
    composer: Composer, verb: Verb, overrides: Sequence[str], found: dict[str, None]
) -> Composed | None:
    """Compose; an override that Hydra refuses becomes a line in found and is left out."""
    left = list(overrides)
    while True:
        try:
            return composer.compose(left)
        except Exception as error:
            culprit, line = _refusal(error, left, verb, composer)
            found[line] = None
            if culprit is None:
                return None
            left.remove(culprit)


def _refusal(
    error: Exception, overrides: Sequence[str], verb: Verb, composer: Composer
) -> tuple[str | None, str]:
    """The override that Hydra refused, if it is one, and the problem as one line."""
    broken = _broken_file(error, composer)
    if broken:
        return None, broken
    message = " ".join(f"{error} {error.__cause__ or ''}".split())
    where = re.search(r"full_key: (\S+)", message)
    asked = re.search(r"Interpolation key '([^']*)' not found", message)
    text = _culprit(message, where.group(1) if where else None, overrides)
    if asked:
        rule = f"refers to ${{{asked.group(1)}}}, which there is not"
    elif "Could not override" in message and text and text.startswith("hydra."):
        rule = unknown(text.partition("=")[0]) or "Hydra has no such key; see --hydra-help"
    elif "Could not override" in message and text:
        rule = f"not there yet; try {addition(verb.schema, text)}"
    elif "Could not append" in message and text:
        rule = f"there already; try {text.lstrip('+')}"
    elif "Cannot merge" in message and (path := text or (where and where.group(1))):
        path = path.lstrip("+").partition("=")[0]
        key = find(verb.schema, path)
        rule = holds(key, path) if key is not None and key.is_group else "holds no keys"
    else:
        rule = re.sub(r"\s*full_key:.*| Available options.*| Config search path.*", "", message)
    if text:
        return text, f"{text} ({COMMAND_LINE}): {rule}"
    if where is None:
        return None, rule
    source = Composed({}, {}, composer, tuple(overrides)).source(where.group(1))
    return None, f"{where.group(1)} ({source}): {rule}" if source else f"{where.group(1)}: {rule}"


def _broken_file(error: Exception, composer: Composer) -> str | None:
    """The problem of a file that is no YAML, or that builds on one that there is not."""
    from yaml import MarkedYAMLError

    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{mark.name}, line {mark.line + 1}: {error.problem}"
    lost = re.search(r"In '([^']+)': Could not (?:load|find) '([^']+)'", str(error))
    if lost is None:
        return None
    group, _, option = lost.group(2).rpartition("/")
    near = nearest(option, composer.options(group)) if group else None
    hint = f"; did you mean {near}?" if near else ""
    return f"{composer.label(lost.group(1))}: builds on {lost.group(2)}, which there is not{hint}"


def _culprit(message: str, key: str | None, overrides: Sequence[str]) -> str | None:
    for text in overrides:
        own = text.lstrip("+~").partition("=")[0]
        if own == key or f"'{own}'" in message:
            return text
    return None
