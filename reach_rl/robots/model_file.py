"""Reading a robot's MJCF: a missing, broken or prying file is one line, not a traceback.

A model file names others (includes, meshes, textures), which lie in sibling folders in most robot
descriptions. A model that came inside a run or a bundle must not make this program read files
outside of that.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree as ET

import mujoco

from reach_rl.config import assets_dir
from reach_rl.config.load import ConfigError
from reach_rl.config.schema import RobotConfig
from reach_rl.rundir.provenance import MODEL_LIST

MARKS = (MODEL_LIST, "contract.json", "provenance.json")
"""What a run's copy of a model, a bundle and a run have in their folders."""

MAX_XML_BYTES, MAX_FILE_BYTES = 20_000_000, 500_000_000


def model_path(cfg: RobotConfig) -> Path:
    """The MJCF file of the robot. Raises ConfigError if there is none."""
    if cfg.mjcf is not None:
        path = Path(cfg.mjcf).expanduser()
        if not path.is_file():
            what = "is a folder, not an MJCF file" if path.is_dir() else "no such file"
            raise ConfigError(f"robot.mjcf={cfg.mjcf}: {what} (looked at {path.absolute()})")
        return path
    folder = assets_dir() / "robots"
    known = sorted((p.stem for p in folder.glob("*.xml")), key=lambda n: (len(n), n))
    if cfg.name not in known:
        raise ConfigError(
            f"robot.name={cfg.name}: no model of that name; there are: {', '.join(known)}; "
            f"for another arm set robot.mjcf=PATH"
        )
    return folder / f"{cfg.name}.xml"


def read_spec(path: Path) -> mujoco.MjSpec:
    """The model as an editable spec.

    Raises:
        ConfigError: not MJCF, absurdly large, or from inside a run or a bundle and prying.
    """
    path = path.resolve()
    _look_through(path)
    try:
        return mujoco.MjSpec.from_file(str(path))
    except (ValueError, mujoco.FatalError) as error:
        raise ConfigError(f"robot.mjcf: {path.name} is not valid MJCF: {one_line(error)}") from None


def compile_spec(spec: mujoco.MjSpec, path: Path) -> mujoco.MjModel:
    """The compiled model. Raises ConfigError."""
    try:
        return spec.compile()
    except (ValueError, mujoco.FatalError) as error:
        raise ConfigError(f"robot.mjcf: {path.name} does not compile: {one_line(error)}") from None


def one_line(error: BaseException) -> str:
    """The message of an error on one line."""
    return " ".join(str(error).split())


def _look_through(main: Path) -> dict[Path, list[ET.Element]]:
    """The model and what it includes, each with its elements.

    Raises:
        ConfigError: one of them is too large, or pries.
    """
    home = next((f for f in main.parents if any((f / mark).is_file() for mark in MARKS)), None)
    files: dict[Path, list[ET.Element]] = {}
    new = {main}
    while new:
        files |= {path: _elements(path) for path in sorted(new)}
        # which file's folders count for which name is MuJoCo's to say: all of them, then
        folders = {path.parent / name for path in files for name in _folder_names(files.values())}
        new = set()
        for element in (e for elements in files.values() for e in elements):
            for name in (v for k, v in element.attrib.items() if k.startswith("file") and v):
                candidates = _candidates(name, folders)
                _check(main, home, name, candidates)
                if element.tag in ("include", "model"):
                    new |= {path for path in candidates if path.is_file() and path not in files}
    return files


def _elements(path: Path) -> list[ET.Element]:
    try:
        _check_size(path, MAX_XML_BYTES)
        root = ET.fromstring(path.read_bytes().decode())
    except OSError as error:
        raise ConfigError(f"robot.mjcf: {path.name} cannot be read: {error.strerror}") from None
    except (ET.ParseError, ValueError) as error:
        text = one_line(error)
        raise ConfigError(f"robot.mjcf: {path.name} is not valid XML: {text}") from None
    if root.tag not in ("mujoco", "mujocoinclude"):
        raise ConfigError(f"robot.mjcf: {path.name} is not MJCF: its root element is <{root.tag}>")
    return list(root.iter())


def _folder_names(files: Iterable[list[ET.Element]]) -> set[str]:
    """Every folder that a file name may be relative to, as <compiler> says it."""
    compilers = [e for elements in files for e in elements if e.tag == "compiler"]
    return {e.get(key, "") for e in compilers for key in ("assetdir", "meshdir", "texturedir")} | {
        ""
    }


def _candidates(name: str, folders: set[Path]) -> list[Path]:
    plain = name.replace("\\", "/")
    names = {plain, plain.rsplit("/", 1)[-1]} if not plain.startswith("/") else {plain}
    try:
        paths = sorted({(folder / n).resolve() for folder in folders for n in names})
        any(path.exists() for path in paths)
        return paths
    except (OSError, RuntimeError, ValueError):  # a loop of links, or too long
        raise ConfigError(f"robot.mjcf: {name[:60]!r} is no name of a file") from None


def _check(main: Path, home: Path | None, name: str, candidates: list[Path]) -> None:
    """Raise ConfigError for a file that is no plain, sensible one, or outside a foreign home."""
    outside = [path for path in candidates if home and not path.is_relative_to(home)]
    if outside and (len(outside) == len(candidates) or any(path.exists() for path in outside)):
        raise ConfigError(
            f'robot.mjcf: {main.name} refers to "{name}", which is outside {home}, with which the '
            f"model came; if you trust it, copy the model out of there and name it: robot.mjcf=PATH"
        )
    for path in candidates:
        if path.exists() and not path.is_dir() and not path.is_file():
            raise ConfigError(f'robot.mjcf: {main.name} refers to "{name}", which is no plain file')
        if path.is_file():
            _check_size(path, MAX_FILE_BYTES)


def _check_size(path: Path, most: int) -> None:
    size = path.stat().st_size
    if size > most:
        raise ConfigError(
            f"robot.mjcf: {path.name} has {size / 1e6:,.0f} MB; at most {most / 1e6:,.0f} are read"
        )


_FOLDERS = ("assetdir", "meshdir", "texturedir")


def model_sources(path: Path) -> tuple[str, dict[str, tuple[Path, bytes]]]:
    """A model with every file that it names, to be copied elsewhere.

    Args:
        path: of the model.

    Returns:
        Name of the model among the files; and the files: name below their common folder -> where
        each is, and its content, in which names of whole paths are made relative. Laid out by
        these names they compile to the same model.

    Raises:
        ConfigError: as read_spec.
    """
    main = path.resolve()
    files = _look_through(main)
    folders = {file.parent / name for file in files for name in _folder_names(files.values())}
    elements = [element for found in files.values() for element in found]
    names = {v.replace("\\", "/") for e in elements for k, v in e.items() if k.startswith("file")}
    names |= {name.rsplit("/", 1)[-1] for name in names}  # as <compiler strippath="true"> looks
    named = {Path(os.path.abspath(folder / name)) for folder in folders for name in names}
    there = sorted({main, *files, *(file for file in named if file.is_file())})
    root = Path(os.path.commonpath([file.parent for file in there]))
    contents = {
        file: _relative(file.read_bytes(), elements, main) if file in files else file.read_bytes()
        for file in there
    }
    copies = {file.relative_to(root).as_posix(): (file, data) for file, data in contents.items()}
    return main.relative_to(root).as_posix(), copies


def _relative(text: bytes, elements: list[ET.Element], main: Path) -> bytes:
    """The text of a model's file with names of whole paths relative to where MuJoCo looks."""
    dirs = {k: v for e in elements if e.tag == "compiler" for k, v in e.items() if k in _FOLDERS}
    for element in elements:
        for key, value in element.items():
            if not (key.startswith("file") or key in _FOLDERS) or not os.path.isabs(value):
                continue
            kind = "texturedir" if element.tag == "texture" else "meshdir"
            plain = key in _FOLDERS or element.tag in ("include", "model")
            folder = "" if plain else dirs.get(kind, dirs.get("assetdir", ""))
            name = os.path.relpath(value, main.parent / folder)
            for quote in "\"'":
                text = text.replace(
                    f"{quote}{value}{quote}".encode(), f"{quote}{name}{quote}".encode()
                )
    return text
