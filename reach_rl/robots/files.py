"""Reading a robot's MJCF: a missing, broken or prying file is one line, not a traceback.

A model file names others (includes, meshes, textures). A model from elsewhere must not make this
program read files outside the folder that it came in.
"""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import mujoco

from reach_rl.config.load import ConfigError
from reach_rl.config.paths import assets_dir
from reach_rl.config.schema import RobotConfig


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


def read_spec(path: Path, outside_files: bool = False) -> mujoco.MjSpec:
    """The model as an editable spec.

    Args:
        path: MJCF file.
        outside_files: allow files outside the folder of the model.

    Raises:
        ConfigError: not MJCF, or it refers to a file outside its folder.
    """
    _parse(path, path)
    if not outside_files:
        _stay_inside(path)
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


def _parse(path: Path, main: Path) -> ET.Element:
    try:
        root = ET.parse(path).getroot()
    except (ET.ParseError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"robot.mjcf: {path.name} is not valid XML: {one_line(error)}") from None
    if path == main and root.tag != "mujoco":
        raise ConfigError(f"robot.mjcf: {path.name} is not MJCF: its root element is <{root.tag}>")
    return root


def _stay_inside(main: Path) -> None:
    """Raise ConfigError if the model, or a model it includes, names a file outside its folder."""
    folder = main.resolve().parent
    todo, done = [main.resolve()], set()
    while todo:
        path = todo.pop()
        done.add(path)
        root = _parse(path, main.resolve())
        folders = _folders(root, {folder, path.parent})
        for tag, name in _references(root):
            candidates = _candidates(name, folders)
            outside = [p for p in candidates if not p.is_relative_to(folder)]
            if len(outside) == len(candidates) or any(p.exists() for p in outside):
                raise ConfigError(
                    f'robot.mjcf: {main.name} refers to "{name}", which is outside its folder '
                    f"{folder}; copy it there"
                )
            if tag in ("include", "model"):
                todo += [p for p in candidates if p.is_file() and p not in done and p not in todo]


def _references(root: ET.Element) -> Iterator[tuple[str, str]]:
    """Tag and value of every attribute that names a file."""
    for element in root.iter():
        for key, value in element.attrib.items():
            if key.startswith("file") and value:
                yield element.tag, value


def _folders(root: ET.Element, starts: set[Path]) -> set[Path]:
    """Every folder that a file name may be relative to."""
    names = {""}
    for compiler in root.iter("compiler"):
        names |= {compiler.get(key, "") for key in ("assetdir", "meshdir", "texturedir")}
    return {start / name for start in starts for name in names}


def _candidates(name: str, folders: set[Path]) -> list[Path]:
    plain = name.replace("\\", "/")
    names = {plain, plain.rsplit("/", 1)[-1]} if not plain.startswith("/") else {plain}
    return sorted({(folder / n).resolve() for folder in folders for n in names})
