"""From YAML and overrides to a validated Config; every problem is collected and raised at once."""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reach_rl.config.composition import Composer
from reach_rl.config.problems import ConfigError
from reach_rl.config.proof import prove
from reach_rl.config.schema import Config
from reach_rl.config.untrusted import load_yaml, search_folders
from reach_rl.config.validation import completed, lacking, to_tree, typed
from reach_rl.config.verbs import TRAIN, VERBS, Verb

__all__ = [
    "CALL",
    "Call",
    "ConfigError",
    "compose",
    "load_run",
    "to_config",
    "to_config_of_any_age",
    "to_tree",
]


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


def to_config_of_any_age(tree: Mapping[str, Any]) -> Config:
    """As to_config, of a run; a key that the version which made it did not know has its default.

    Raises:
        ConfigError: with all problems, one line each.
    """
    if lacking(Config, tree):
        default = to_tree(prove(Composer(), TRAIN, []).config)
        tree = completed(Config, tree, default)
    return to_config(tree)


def compose(
    overrides: Sequence[str] = (), config_name: str = "train", config_dir: Path | None = None
) -> Any:  # noqa: ANN401  the schema of the verb; a Config for train
    """The validated configuration that the same command line would give. Raises ConfigError.

    Within a job, config_dir defaults to the folders that the job was started with.
    """
    given = search_folders(config_dir, config_name, overrides)
    folders = given or CALL.get().folders
    proof = prove(Composer(config_name, *folders), VERBS[config_name], overrides)
    if proof.problems:
        raise ConfigError(proof.problems)
    return proof.config


def load_run(run_dir: Path) -> Config:
    """The configuration of an earlier run, from its config.yaml. Raises ConfigError."""
    import yaml

    path = run_dir / "config.yaml"
    if not path.is_file():
        raise ConfigError(f"{run_dir}: not the folder of a run (no config.yaml in it)")
    try:
        tree = load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: is empty or no configuration")
    try:
        return to_config_of_any_age(tree)
    except ConfigError as error:
        raise ConfigError(f"{path}: {problem}" for problem in error.problems) from error
