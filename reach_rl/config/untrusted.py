"""What a file from others may not do: name code to run, read a secret, or be absurd.

Of the project's own keys the schema takes care. Hydra's part of a configuration has no schema of
ours, and may come from the same file.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from reach_rl.config import conf_dir
from reach_rl.config.problems import ConfigError

MAX_BYTES = 200_000
"""More than any configuration has."""
_PLUGINS = ("hydra_plugins.", "hydra._internal.core_plugins.")
_SEARCH_PATH = re.compile(r"\+{0,2}hydra\.searchpath=")
_COMMANDS = ("setup", "additional_parameters")


def load_yaml(text: str) -> Any:  # noqa: ANN401  a plain tree
    """The plain values of a YAML text.

    Raises:
        ValueError: it is too large, or has aliases, by which few lines mean billions of values.
        yaml.YAMLError: it is not YAML, or more than plain values.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    if len(text) > MAX_BYTES:
        raise ValueError(f"has more than {MAX_BYTES / 1e3:g} kB")
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, loader)):
        raise ValueError("has aliases (*name), which nobody writes into the file of a run")
    try:
        return yaml.load(text, loader)
    except RecursionError as error:
        raise ValueError("is nested too deep") from error


def naming_code(hydra: Mapping[Any, Any], overrides: Sequence[str]) -> list[str]:
    """Places of a composed configuration of Hydra that could run code, a line each.

    Args:
        hydra: Hydra's part of the configuration.
        overrides: of the command line, whose own commands are the user's.
    """
    refused = "would name code to run, which a configuration may not"
    lines = [f"{key}: {refused}" for key in _code_in(hydra, "hydra")]
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


def _code_in(tree: Any, path: str) -> Iterator[str]:  # noqa: ANN401  a plain tree
    """Keys by which Hydra would call something else than its plugins and loggers."""
    items = tree.items() if isinstance(tree, Mapping) else enumerate(tree)
    for key, value in items:
        here, text = f"{path}.{key}", value if isinstance(value, str) else ""
        plugin = path in ("hydra.launcher", "hydra.sweeper") and text.startswith(_PLUGINS)
        logs = path.startswith(("hydra.job_logging", "hydra.hydra_logging"))
        logger = text.startswith(("logging.", "colorlog."))
        called = key == "_target_" and not plugin
        made = logs and key in ("()", "class") and not logger
        if called or made or path == "hydra.callbacks":
            yield here
        elif isinstance(value, (Mapping, list)):
            yield from _code_in(value, here)


def search_folders(
    config_dir: Path | None, name: str, overrides: Sequence[str] = ()
) -> tuple[Path, ...]:
    """The user's folders of groups: --config-dir, then hydra.searchpath.

    Raises:
        ConfigError: Hydra would import a package to look for files in it, or there is no folder.
    """
    folders = () if config_dir is None else (config_dir,)
    found = []
    for place, entry in _search_path(folders, name, overrides):
        where = f"hydra.searchpath ({place}): {entry}"
        if entry.startswith("pkg://"):
            refused = "would import a package, which a configuration may not; try file://FOLDER"
            raise ConfigError(f"{where} {refused}")
        folder = Path(entry.removeprefix("file://"))
        if not folder.is_dir():
            raise ConfigError(f"{where}: no such folder")
        found.append(folder)
    return (*folders, *found)


def _search_path(
    folders: Sequence[Path], name: str, overrides: Sequence[str]
) -> list[tuple[str, str]]:
    """The entries of hydra.searchpath and who gives them: the command line, else the file."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    place, value = "", None
    own = next((p for folder in folders if (p := folder / f"{name}.yaml").is_file()), None)
    given = [text.partition("=")[2] for text in overrides if _SEARCH_PATH.match(text)]
    with suppress(YAMLError, OmegaConfBaseException, ValueError):  # told when it is composed
        if given:
            place, value = "command line", load_yaml(given[-1])
        elif own is not None and not (conf_dir() / own.name).is_file():
            place, value = str(own), OmegaConf.select(OmegaConf.load(own), "hydra.searchpath")
    entries = value if isinstance(value, Sequence) and not isinstance(value, str) else []
    return [(place, str(entry)) for entry in entries]


def without_secrets() -> None:
    """Let ${oc.env:NAME} refuse variables that sound like a credential."""
    from omegaconf import OmegaConf
    from omegaconf.resolvers.oc import env

    def guarded(key: str, *default: str | None) -> str | None:
        if sounds_secret(key):
            raise ValueError(f"${{oc.env:{key}}} would read a credential into a configuration")
        return env(key, *default)

    OmegaConf.register_new_resolver("oc.env", guarded, replace=True)


HIDDEN = "***"
_WORDS = (
    r"(?:token|secret|passwd|password|passphrase|api_?key|access_?key|private_?key|credential"
    r"|auth_?key|authorization|bearer|cookie)"
)
_NAME = re.compile(_WORDS, re.IGNORECASE)
_ASSIGNED = re.compile(
    rf"([\w.-]*{_WORDS}[\w.-]*[\"']?\s*[=:]\s*[\"']?)(?=[^\s\"',;]*\d)[^\s\"',;]{{8,}}",
    re.IGNORECASE,
)
_URL = re.compile(r"(\w+://)[^\s/@]+@")
_SHAPES = re.compile(
    r"\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|hf_\w{20,}|sk-[\w-]{20,}|xox[abprs]-[\w-]{10,}"
    r"|AKIA[A-Z0-9]{12,}|wandb_v\d_\w{20,})|\bBearer\s+[\w.+/=-]{8,}"
)
_LEAST = 6


def sounds_secret(name: str) -> bool:
    """Whether a key or an environment variable of that name may hold a credential."""
    return _NAME.search(name) is not None


def redact(value: Any) -> Any:  # noqa: ANN401  text or a plain tree, as given
    """The text or plain tree with everything that looks like a credential replaced by ***.

    Hidden are: values of keys that sound like a credential, values of environment variables of
    such names wherever they appear, `name=value` of such names, what stands before an @ in URLs,
    and tokens of well-known shapes.
    """
    return _tree(value, _environment())


def _environment() -> list[str]:
    found = [
        value
        for name, value in os.environ.items()
        if _NAME.search(name) and len(value) >= _LEAST and not os.path.exists(value)
    ]
    return sorted(found, key=len, reverse=True)


def _tree(value: Any, secrets: list[str], key: str = "") -> Any:  # noqa: ANN401
    if isinstance(value, Mapping):
        return {key: _tree(item, secrets, str(key)) for key, item in value.items()}
    if sounds_secret(key) and not (value is None or isinstance(value, bool) or value in ("", [])):
        return HIDDEN
    if isinstance(value, (list, tuple)):
        return [_tree(item, secrets) for item in value]
    return _text(value, secrets) if isinstance(value, str) else value


def _text(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    text = _URL.sub(rf"\1{HIDDEN}@", text)
    text = _SHAPES.sub(HIDDEN, text)
    return _ASSIGNED.sub(rf"\g<1>{HIDDEN}", text)
