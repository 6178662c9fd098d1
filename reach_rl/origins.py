"""Code of others: how it is found and loaded, what is told of it, how it reaches other processes.

It comes from a person: as a file that is named on the command line (`--extend my_terms.py`) or to
`reach_rl.extend.load_file`, as an installed package with an entry point of the group `reach_rl`, or
as a module that a person's own program imports. What a run, a checkpoint, a bundle or a
configuration says of extensions is compared with what is loaded, and never imported.

Other processes get it with the job that they are given: `Carried` travels in the pickle of whatever
a pool, a launcher or a cluster runs, and loads there what it left here, with the content that it
had. An environment variable would do this too, and would run code that nobody named in every
command of a shell that has inherited it.
"""

import hashlib
import importlib.machinery
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from reach_rl import extend

GROUP = "reach_rl"
COPIES = "extensions"
"""Folder of a run, or of a bundle, with the files of extensions that it needs."""
_PREFIX = "reach_rl_extension_"
"""Before the name of a file's module: no file may stand for a module of somebody else's."""
_STARTED_IN = os.getcwd()


class ExtensionError(Exception):
    """An extension that cannot be loaded, a line that says what to do.

    No ValueError, which pydantic would take for a wrong value.
    """

    @property
    def problems(self) -> list[str]:
        """As those of a ConfigError."""
        return [str(self)]


@dataclass(frozen=True, slots=True)
class Extension:
    """Where something registered comes from."""

    name: str
    """Of the file, my_terms.py; of the package; or of the module that has neither."""
    version: str = ""
    """Of a package."""
    sha256: str = ""
    """Of the file, or of all Python files of the package."""
    place: str = ""
    """The file or the folder."""
    content: bytes | None = field(default=None, repr=False)
    """Of a file."""


@dataclass(slots=True)
class Package:
    """An installed package with entry points of our group."""

    name: str
    version: str
    modules: list[str]


_FILES: dict[str, Extension] = {}
"""Module -> the file that it was loaded from."""
_LOADED: set[str] = set()
"""Modules of entry points."""


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """A command line's words without `--extend FILE.py`, and the files. Raises ExtensionError."""
    rest, files, given = [], [], iter(words)
    for word in given:
        flag, equals, value = word.partition("=")
        if flag == "--extend":
            files.append(value if equals else next(given, ""))
        else:
            rest.append(word)
    if "" in files:
        raise ExtensionError("--extend: needs a file; try --extend my_terms.py")
    return rest, files


def load_file(path: str | Path) -> None:
    """Load a file of extensions; one that has changed is loaded anew. Raises ExtensionError."""
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        beside = sorted(str(p) for p in path.parent.glob("*.py"))[:3]
        hint = f"; there are {', '.join(beside)}" if beside else ""
        why = "is a folder" if path.is_dir() else (error.strerror or "cannot be read").lower()
        raise ExtensionError(f"--extend {path}: {why}{hint}") from error
    if path.suffix != ".py":
        raise ExtensionError(f"--extend {path}: no Python file; give one that ends in .py")
    if not re.fullmatch(r"[\w-]+", path.stem):
        better = re.sub(r"[^\w-]", "_", path.stem)
        raise ExtensionError(f"--extend {path}: rename it; letters, digits and _, as {better}.py")
    _load(path, content)


def _load(path: Path, content: bytes) -> None:
    name = _PREFIX + path.stem
    new = Extension(path.name, sha256=_digest(content), place=str(path), content=content)
    known = _FILES.get(name)
    if known is not None and known.content == content:
        return
    if known is not None and Path(known.place).absolute() != path.absolute():
        text = f"--extend {path}: {known.place} is loaded, another file of that name; rename one"
        raise ExtensionError(text)
    extend.forget(name)
    module = ModuleType(name)
    module.__file__ = str(path.absolute())
    module.__spec__ = spec = importlib.machinery.ModuleSpec(name, None, origin=module.__file__)
    spec._initializing = True  # type: ignore[attr-defined]  as while Python imports it
    sys.modules[name], _FILES[name] = module, new
    try:
        exec(compile(content, module.__file__, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        extend.forget(name)
        del sys.modules[name], _FILES[name]
        raise ExtensionError(f"--extend {path}: {_why(error, module.__file__)}") from error
    spec._initializing = False  # type: ignore[attr-defined]


def _why(error: BaseException, file: str = "") -> str:
    """Why a module cannot be imported, with the line of the file, and what to do."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    line = error.lineno if isinstance(error, SyntaxError) else (lines or [None])[-1]
    text = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
    hint = "mend the file" if file else "mend it"
    if isinstance(error, ModuleNotFoundError):
        hint = f"install {error.name}, or, if it is your own, make a package: reach-rl new NAME"
    where = f"line {line}, " if line else ""
    return f"{where}{type(error).__name__}: {text}; {hint}"


def load_installed() -> None:
    """Import the installed packages of extensions, once. Raises ExtensionError."""
    for package in packages().values():
        for module in package.modules:
            if module in _LOADED:
                continue
            _LOADED.add(module)
            try:
                importlib.import_module(module)
            except (Exception, SystemExit) as error:
                _LOADED.discard(module)
                extend.forget(module)
                raise ExtensionError(
                    f"the installed package {package.name} {package.version}, {module}: "
                    f"{_why(error)}, or pip uninstall {package.name}"
                ) from error


@cache
def packages() -> dict[str, Package]:
    """The installed packages with entry points of our group, by their name in Python.

    The folder that a command was started in counts only where it is named too (PYTHONPATH):
    `python -m` searches it first, and it may be the folder of a run.
    """
    found: dict[str, Package] = {}
    for i, folder in enumerate(sys.path):
        if i or (folder and folder != _STARTED_IN):
            for top, package in _packages_in(folder):
                found.setdefault(top, package).modules.extend(
                    m for m in package.modules if m not in found[top].modules
                )
    return found


def _packages_in(folder: str) -> Iterator[tuple[str, Package]]:
    """Those of one folder; importlib.metadata, which is slow, reads only what is ours."""
    with suppress(OSError):
        for name in sorted(os.listdir(folder)):
            points = Path(folder, name, "entry_points.txt")
            if not name.endswith(("-info", ".egg")) or f"[{GROUP}]" not in _text(points):
                continue
            from importlib.metadata import PathDistribution

            about = PathDistribution(points.parent)
            for point in about.entry_points.select(group=GROUP):
                top = point.module.partition(".")[0]
                yield top, Package(about.name, about.version, [point.module])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


@cache
def conf_folders() -> tuple[Path, ...]:
    """The conf/ folders of the installed packages of extensions; nothing is imported."""
    places = [Path(place) / "conf" for top in packages() for place in _folders(top)]
    return tuple(place for place in places if place.is_dir())


def _folders(top: str) -> list[str]:
    spec = find_spec(top)
    return list(spec.submodule_search_locations or ()) if spec is not None else []


def origin(module: str) -> Extension:
    """What is known of a module that has registered something."""
    top = module.partition(".")[0]
    if module in _FILES:
        return _FILES[module]
    installed = packages().get(top)
    folder = next(iter(getattr(sys.modules.get(top), "__path__", ())), "")
    if installed is not None or folder:
        name, version = (installed.name, installed.version) if installed else (top, "")
        return Extension(name, version, _digest_of(folder), folder)
    file = Path(getattr(sys.modules.get(module), "__file__", None) or "")
    if file.suffix != ".py" or not file.is_file():
        return Extension(module)
    content = file.read_bytes()
    return Extension(file.name, "", _digest(content), str(file), content)


@cache
def _digest_of(folder: str) -> str:
    """Of all Python files of a package, with their names."""
    files = sorted(Path(folder).rglob("*.py")) if folder else []
    named = [(p.relative_to(folder).as_posix().encode(), p.read_bytes()) for p in files]
    return _digest(b"\0".join(part for pair in named for part in pair)) if named else ""


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def origins(wanted: Iterable[tuple[str, str]]) -> dict[Extension, list[str]]:
    """The extensions that nouns and names come from, and what of it, as `reward_term mine`."""
    known, found = extend.registered(), {}
    for noun, name in dict.fromkeys(wanted):
        if (noun, name) in known:
            found.setdefault(origin(known[noun, name]), []).append(f"{noun} {name}")
    return found


@dataclass(frozen=True, slots=True)
class Needed:
    """An extension that a configuration names terms of, as the head of its file tells."""

    name: str
    version: str
    sha256: str
    terms: tuple[str, ...]

    @property
    def known(self) -> bool:
        """Whether all its terms are registered here, by whomever."""
        pairs = (term.split() for term in self.terms)
        return all(n in extend.HOMES and name in extend.entries(n) for n, name in pairs)

    def others(self) -> list[Extension]:
        """Where its terms come from here, if not from what they came from there."""
        pairs = ((noun, name) for noun, name in map(str.split, self.terms))
        own = (self.version, self.sha256)
        return [e for e in origins(pairs) if (e.version, e.sha256) != own]

    def place(self, *folders: Path) -> Path | None:
        """The copy of its file that one of the folders of runs or bundles has."""
        names = (f"{Path(self.name).stem}-{self.sha256[:8]}.py", self.name)
        paths = (folder / COPIES / name for folder in folders for name in names)
        return next((path for path in paths if path.is_file()), None)


_HEAD = re.compile(
    r"# extension (?P<name>[\w.-]{1,80})(?: (?P<version>[\w.+!-]{1,40}))?"
    r"(?: sha256:(?P<sha256>[0-9a-f]{64}))?: (?P<terms>\w+ \w+(?:, \w+ \w+)*)"
)


def head(wanted: Iterable[tuple[str, str]]) -> str:
    """The lines of comment that tell in a configuration's file which extensions it needs."""
    lines = []
    for e, terms in origins(wanted).items():
        digest = f" sha256:{e.sha256}" if e.sha256 else ""
        version = f" {e.version}" if e.version else ""
        name = re.sub(r"[^\w.-]", "_", e.name)
        lines.append(f"# extension {name}{version}{digest}: {', '.join(terms)}\n")
    return "".join(lines)


def needed(text: str) -> list[Needed]:
    """What the head of a configuration's file tells; letters, digits and dots, nothing else."""
    found = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        match = _HEAD.fullmatch(line)
        if match:
            name, version, digest, terms = (match[k] or "" for k in _HEAD.groupindex)
            found.append(Needed(name, version, digest, tuple(terms.split(", "))))
    return found


def flags() -> list[str]:
    """What gives another command the files of this one."""
    return [word for file in _FILES.values() for word in ("--extend", file.place)]


class Carried:
    """What this process has of others' code, on its way; loaded where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Files with their content; packages are installed there; else what was registered."""
        files = tuple((file.place, file.content) for file in _FILES.values())
        rest = [
            (noun, name, extend.entries(noun)[name], module)
            for (noun, name), module in extend.registered().items()
            if module not in _FILES and module.partition(".")[0] not in packages()
        ]
        return _arrived, (files, rest)


def _arrived(
    files: Iterable[tuple[str, bytes]], rest: Iterable[tuple[str, str, Any, str]]
) -> Carried:
    for place, content in files:
        _load(Path(place), content)
    for entry in rest:
        extend.register(*entry)
    return Carried()
