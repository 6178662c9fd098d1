"""Hydra's composition without its global state: the tree of a run, and which file set each key."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reach_rl.config.code import without_secrets
from reach_rl.config.paths import conf_dir
from reach_rl.config.sheets import chosen, sheets

if TYPE_CHECKING:
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra.core.default_element import ResultDefault
    from hydra.core.override_parser.types import Override

COMMAND_LINE = "command line"
INTERNAL = ("hydra", "hydra_plugins")


def without_rivals() -> None:
    """Forget what other installed plugins register as hydra/sweeper=optuna, which is ours here."""
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    Plugins.instance()
    group: Any = ConfigStore.instance().repo.get("hydra", {}).get("sweeper", {})
    for name in ("optuna.yaml", "sampler", "pruner"):
        group.pop(name, None)


class Composer:
    """Composes one primary config over the user's folder (first) and the shipped conf/."""

    def __init__(self, config_name: str = "train", config_dir: Path | None = None) -> None:
        self.config_name = config_name
        self.config_dir = config_dir

    @cached_property
    def loader(self) -> "ConfigLoaderImpl":
        """Hydra's loader; every YAML file is read once."""
        from hydra import version
        from hydra._internal.config_loader_impl import ConfigLoaderImpl
        from hydra._internal.config_repository import CachingConfigRepository
        from hydra._internal.utils import create_config_search_path
        from hydra.core.config_search_path import SearchPathQuery
        from hydra.core.utils import setup_globals

        version.setbase("1.3")
        setup_globals()
        without_secrets()
        path = create_config_search_path(str(conf_dir()))
        without_rivals()
        if self.config_dir is not None:
            before = SearchPathQuery(provider="schema")
            path.prepend("command-line", f"file://{self.config_dir.resolve()}", before)
        loader = ConfigLoaderImpl(config_search_path=path)
        cached: Any = CachingConfigRepository(loader.repository)
        loader.repository = cached
        return loader

    @cached_property
    def groups(self) -> list[str]:
        """The groups of conf/ and of the user's folder."""
        return [name for name in self.loader.list_groups("") if name not in INTERNAL]

    @cached_property
    def chosen(self) -> dict[str, str | None]:
        """The groups of the primary config and the option that it chooses for each."""
        return chosen(sheets(self.config_dir), self.config_name)

    def options(self, group: str) -> list[str]:
        """The options of a group."""
        from hydra.core.object_type import ObjectType

        return self.loader.get_group_options(group, ObjectType.CONFIG)

    def parse(self, override: str) -> "Override":
        """One override as Hydra reads it. Raises OverrideParseException."""
        from hydra.core.override_parser.overrides_parser import OverridesParser

        return OverridesParser.create(config_loader=self.loader).parse_overrides([override])[0]

    def compose(self, overrides: Sequence[str] = ()) -> "Composed":
        """Compose as Hydra would. Raises Hydra's and OmegaConf's own exceptions."""
        from hydra.types import RunMode
        from omegaconf import OmegaConf, open_dict

        cfg = self.loader.load_configuration(self.config_name, list(overrides), RunMode.RUN)
        hydra = OmegaConf.to_container(cfg.hydra, resolve=False)
        with open_dict(cfg):
            del cfg["hydra"]
        assert isinstance(hydra, dict)
        return Composed(_tree(cfg), hydra, self, tuple(overrides), cfg)

    def sources(self, overrides: Sequence[str]) -> dict[str, str]:
        """Dotted key -> the file that set it last, or `command line`."""
        found: dict[str, str] = {}
        for default in self._defaults(overrides):
            for key in self._keys(default):
                found.pop(key, None)
                found[key] = self.label(str(default.config_path))
        for override in map(self.parse, overrides):
            key = override.key_or_group
            if key not in self.groups:
                found.pop(key, None)
                found[key] = COMMAND_LINE
        return found

    def files(self, overrides: Sequence[str]) -> list[str]:
        """Labels of the composed files, weakest first."""
        return [self.label(str(default.config_path)) for default in self._defaults(overrides)]

    def _defaults(self, overrides: Sequence[str]) -> list["ResultDefault"]:
        from hydra.types import RunMode

        result = self.loader.compute_defaults_list(self.config_name, list(overrides), RunMode.RUN)
        internal = ("hydra/", "_dummy")
        return [
            d for d in result.defaults if d.config_path and not d.config_path.startswith(internal)
        ]

    def _keys(self, default: "ResultDefault") -> list[str]:
        from omegaconf import OmegaConf

        result = self.loader.repository.load_config(str(default.config_path))
        if result is None:
            return []
        package = "" if default.package in (None, "_global_") else str(default.package)
        return leaves(OmegaConf.to_container(result.config, resolve=False), package)

    def label(self, name: str) -> str:
        """How a message calls a config file."""
        own = self.config_dir / f"{name}.yaml" if self.config_dir is not None else None
        return str(own) if own is not None and own.is_file() else f"conf/{name}.yaml"


@dataclass(frozen=True)
class Composed:
    """A composed configuration before it is typed, and Hydra's own part of it."""

    tree: dict[str, Any]
    hydra: dict[Any, Any]
    composer: Composer = field(repr=False)
    overrides: tuple[str, ...] = ()
    cfg: Any = field(default=None, repr=False)

    def change(self, overrides: Sequence[str]) -> "Composed":
        """The same with further values (not groups) set, without composing again."""
        from omegaconf import OmegaConf

        cfg = copy.deepcopy(self.cfg)
        for override in map(self.composer.parse, overrides):
            OmegaConf.update(cfg, override.key_or_group, override.value(), merge=True)
        both = (*self.overrides, *overrides)
        return Composed(_tree(cfg), self.hydra, self.composer, both, cfg)

    @property
    def choices(self) -> dict[str, str | None]:
        """The option chosen for each group."""
        chosen = self.hydra["runtime"]["choices"]
        return {k: v for k, v in chosen.items() if k in self.composer.groups}

    @cached_property
    def _sources(self) -> dict[str, str]:
        return self.composer.sources(self.overrides)

    def source(self, key: str) -> str:
        """Where the value of a dotted key came from: a file, `command line`, or nothing."""
        key = key.split("[")[0]
        below = [where for name, where in self._sources.items() if name.startswith(f"{key}.")]
        while key:
            if key in self._sources:
                return self._sources[key]
            if below:
                return below[-1]
            key = key.rpartition(".")[0]
        return ""


def _tree(cfg: Any) -> dict[str, Any]:  # noqa: ANN401  an OmegaConf container
    from omegaconf import OmegaConf

    tree = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(tree, dict)
    return {str(key): value for key, value in tree.items()}


def leaves(tree: object, path: str = "") -> list[str]:
    """Dotted keys of the leaves of a tree; an empty mapping is a leaf."""
    if not isinstance(tree, Mapping) or not tree:
        return [path] if path else []
    keys: list[str] = []
    for key, value in tree.items():
        if path or key not in ("defaults", "hydra"):
            keys += leaves(value, f"{path}.{key}" if path else str(key))
    return keys
