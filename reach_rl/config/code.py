"""Where Hydra's own configuration could name code to run, or hand out secrets: nowhere does it.

Of the project's own keys the schema takes care (see convert.names_code). Hydra's part of a
configuration has no schema of ours, and may come from the same file.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reach_rl.config import tame
from reach_rl.config.paths import conf_dir
from reach_rl.config.problems import ConfigError, show
from reach_rl.config.redact import sounds_secret

_PLUGINS = ("hydra_plugins.", "hydra._internal.core_plugins.")
_COMMANDS = ("setup", "additional_parameters")


def problems(hydra: Mapping[Any, Any], overrides: Sequence[str]) -> list[str]:
    """Places of a composed configuration of Hydra that could run code, a line each.

    Args:
        hydra: Hydra's part of the configuration.
        overrides: of the command line, whose own commands are the user's.
    """
    named = [f"hydra.callbacks.{name}" for name in hydra.get("callbacks") or {}]
    for group in ("job_logging", "hydra_logging"):
        named += [f"hydra.{group}.{path}" for path in _factories(hydra.get(group) or {})]
    rest = {key: value for key, value in hydra.items() if key != "callbacks"}
    named += [f"hydra.{path}" for path in _targets(rest)]
    lines = [f"{key}: would name code to run, which a configuration may not" for key in named]
    job, launcher = hydra.get("job") or {}, hydra.get("launcher") or {}
    for name in job.get("env_set") or {}:
        text = "a configuration may not set environment variables; set it in the shell"
        lines.append(f"hydra.job.env_set.{name}: {text}")
    for name in _COMMANDS:
        key = f"hydra.launcher.{name}"
        typed = any(text.lstrip("+").startswith(key) for text in overrides)
        if launcher.get(name) and not typed:
            lines.append(f"{key}: commands are taken from the command line only; type them there")
    return lines


def check_files(config_dir: Path | None, name: str, overrides: Sequence[str]) -> None:
    """What must be known of a folder of configuration files before Hydra reads it.

    Raises:
        ConfigError: Hydra would import a package to look for files in it, or a file is absurd.
    """
    _check_search_path(config_dir, name, overrides)
    if config_dir is None:
        return
    for path in (path for depth in ("*", "*/*", "*/*/*") for path in config_dir.glob(depth)):
        if path.suffix in (".yaml", ".yml") and path.is_file():
            _check_file(path)


def _check_file(path: Path) -> None:
    from yaml import YAMLError

    try:
        tame.check(path.read_text(encoding="utf-8", errors="replace"))
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (YAMLError, OSError):
        return  # of no concern unless it is used; then Hydra says so


def _check_search_path(config_dir: Path | None, name: str, overrides: Sequence[str]) -> None:
    folders = [folder for folder in (config_dir, conf_dir()) if folder is not None]
    path = next((p for p in (f / f"{name}.yaml" for f in folders) if p.is_file()), None)
    text = path.read_text(encoding="utf-8", errors="replace") if path is not None else ""
    for line in [line for line in text.splitlines() if "pkg:" in line] + [
        text for text in overrides if "searchpath" in text and "pkg:" in text
    ]:
        where = path if line not in overrides else "command line"
        raise ConfigError(
            f"hydra.searchpath ({where}): {line.strip()[:60]} would import a package, which a "
            f"configuration may not; try file://FOLDER"
        )


def without_secrets() -> None:
    """Let ${oc.env:NAME} refuse variables that sound like a credential."""
    from omegaconf import OmegaConf
    from omegaconf.resolvers.oc import env

    def guarded(key: str, *default: str | None) -> str | None:
        if sounds_secret(key):
            raise ValueError(f"${{oc.env:{key}}} would read a credential into a configuration")
        return env(key, *default)

    OmegaConf.register_new_resolver("oc.env", guarded, replace=True)


def _targets(tree: Any, path: str = "") -> Iterator[str]:  # noqa: ANN401  a plain tree
    """Keys by which Hydra would instantiate something else than a plugin of its own."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            known = path in ("launcher.", "sweeper.") and show(value).startswith(_PLUGINS)
            if re.fullmatch(r"_(target|partial|args|convert|recursive)_", str(key)):
                if key == "_target_" and not known:
                    yield f"{path}{key}"
            else:
                yield from _targets(value, f"{path}{key}.")
    elif isinstance(tree, list):
        for i, value in enumerate(tree):
            yield from _targets(value, f"{path}{i}.")


def _factories(tree: Any, path: str = "") -> list[str]:  # noqa: ANN401  a plain tree
    """Keys of a logging configuration whose value is a class beyond logging's own."""
    if not isinstance(tree, dict):
        return []
    found = []
    for key, value in tree.items():
        known = show(value).startswith(("logging.", "colorlog."))
        if key in ("()", "class") and not known:
            found.append(f"{path}{key}")
        found += _factories(value, f"{path}{key}.")
    return found
