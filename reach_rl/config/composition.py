"""Hydra's composition by its public calls: the tree of a run, and which file set each key."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reach_rl.config import conf_dir
from reach_rl.config.sheets import Sheet, chosen, composed_files, flat, groups, sheets, values
from reach_rl.config.untrusted import without_secrets
from reach_rl.origins import conf_folders

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from hydra.core.override_parser.types import Override

COMMAND_LINE = "command line"
VERSION = "1.3"
_FOLDERS: ContextVar[Sequence[Path]] = ContextVar("folders", default=())


class Composer:
    """Composes one primary config over conf/, the user's folders of groups, and extensions'."""

    def __init__(self, config_name: str = "train", *folders: Path | None) -> None:
        self.config_name = config_name
        self.folders = tuple(folder for folder in folders if folder is not None)
        self.places = (*self.folders, *conf_folders())

    @contextmanager
    def searched(self) -> Iterator[None]:
        """Hydra looks into the user's folders too."""
        _prepare_hydra()
        _without_rivals()
        token = _FOLDERS.set(self.places)
        try:
            yield
        finally:
            _FOLDERS.reset(token)

    @contextmanager
    def hydra(self) -> Iterator["ConfigLoader"]:
        """Hydra, initialised for this composer; a job of Hydra's that runs now is left alone."""
        from hydra import initialize_config_dir
        from hydra.core.global_hydra import GlobalHydra

        running = GlobalHydra.instance().hydra
        GlobalHydra.instance().clear()
        name = f"reach_rl.{self.config_name}"
        try:
            with self.searched(), initialize_config_dir(str(conf_dir()), name, VERSION):
                yield GlobalHydra.instance().config_loader()
        finally:
            GlobalHydra.instance().hydra = running

    @cached_property
    def loader(self) -> "ConfigLoader":
        """Knows the groups, their options, and the places of files."""
        with self.hydra() as loader:
            return loader

    @cached_property
    def files(self) -> dict[str, Sheet]:
        """Every file of conf/, of the user's folders and of plugins by name."""
        known = {conf_dir(), *(folder.resolve() for folder in self.places)}
        places = [Path(s.path) for s in self.loader.get_sources() if s.scheme() == "file"]
        return sheets(*self.places, *(place for place in places if place not in known))

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """The groups of conf/ and of the user's folders, and the options of each."""
        return groups(self.files)

    @cached_property
    def chosen(self) -> dict[str, str | None]:
        """The groups of the primary config and the option that it chooses for each."""
        return chosen(self.files, self.config_name)

    def options(self, group: str) -> list[str]:
        """The options of a group, also of one of Hydra's own."""
        from hydra.core.object_type import ObjectType

        return self.groups.get(group) or self.loader.get_group_options(group, ObjectType.CONFIG)

    def label(self, name: str) -> str:
        """How a message calls a config file."""
        sheet = self.files.get(name)
        if sheet is None or sheet.path.is_relative_to(conf_dir()):
            return f"conf/{name}.yaml"
        return str(sheet.path)

    def parse(self, override: str) -> "Override":
        """One override as Hydra reads it. Raises OverrideParseException."""
        from hydra.core.override_parser.overrides_parser import OverridesParser

        return OverridesParser.create(config_loader=self.loader).parse_overrides([override])[0]

    def compose(self, overrides: Sequence[str] = ()) -> "Composed":
        """Compose as Hydra would. Raises Hydra's and OmegaConf's own exceptions."""
        from hydra import compose
        from omegaconf import OmegaConf, open_dict

        with self.hydra():
            cfg = compose(self.config_name, list(overrides), return_hydra_config=True)
        hydra = OmegaConf.to_container(cfg.hydra, resolve=False)
        with open_dict(cfg):
            del cfg["hydra"]
        assert isinstance(hydra, dict)
        return Composed(plain(cfg), hydra, self, tuple(overrides), cfg)

    def sources(self, overrides: Sequence[str], choices: Mapping[str, Any]) -> dict[str, str]:
        """Dotted key -> the file that set it last, or `command line`.

        Args:
            overrides: of the command line.
            choices: the option of each group, or several.
        """
        parsed = {o.key_or_group: o.value() for o in map(self.parse, overrides)}
        several = {key: value for key, value in parsed.items() if isinstance(value, list)}
        found: dict[str, str] = {}
        for name in composed_files(self.files, self.config_name, {**choices, **several}):
            label = self.label(name)
            for key in values([self.files[name]]):
                found.pop(key, None)
                found[key] = label
        for key, value in parsed.items():
            for leaf in [] if key in self.groups else flat({key: value}):
                found.pop(leaf, None)
                found[leaf] = COMMAND_LINE
        return found


@cache
def _prepare_hydra() -> None:
    """Once in a process: Hydra is to search the user's folders and to hand out no secret."""
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.core.plugins import Plugins
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    class UserFolders(SearchPathPlugin):
        """The folders of the composer at work."""

        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            for folder in _FOLDERS.get():
                search_path.append("command-line", f"file://{folder.resolve()}")

    Plugins.instance().register(UserFolders)
    without_secrets()


def _without_rivals() -> None:
    """Forget what other installed plugins register as hydra/sweeper=optuna, which is ours here."""
    from hydra.core.config_store import ConfigStore

    registered: Any = ConfigStore.instance().repo.get("hydra", {}).get("sweeper", {})
    for name in ("optuna.yaml", "sampler", "pruner"):
        registered.pop(name, None)


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
        return Composed(plain(cfg), self.hydra, self.composer, both, cfg)

    @property
    def choices(self) -> dict[str, str | None]:
        """The option chosen for each group, weakest first, as Hydra composes them."""
        chosen = self.hydra["runtime"]["choices"] if self.hydra else {}
        return {k: chosen[k] for k in reversed(chosen) if k in self.composer.groups}

    @cached_property
    def _sources(self) -> dict[str, str]:
        return self.composer.sources(self.overrides, self.choices or self.composer.chosen)

    def source(self, key: str) -> str:
        """Where the value of a dotted key came from: a file, `command line`, or nothing."""
        key = key.split("[")[0]
        while key:
            if key in self._sources:
                return self._sources[key]
            below = [w for name, w in self._sources.items() if name.startswith(f"{key}.")]
            if below and "." in key:
                return below[-1]
            key = key.rpartition(".")[0]
        return ""


def plain(cfg: Any) -> dict[str, Any]:  # noqa: ANN401  an OmegaConf container
    """The resolved values of an OmegaConf container."""
    from omegaconf import OmegaConf

    tree = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(tree, dict)
    return {str(key): value for key, value in tree.items()}
