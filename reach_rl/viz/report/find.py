"""What a path given to report is: a run, several runs, or a sweep."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reach_rl.cli.runs import find
from reach_rl.config.problems import ConfigError, nearest
from reach_rl.viz.report.study import is_sweep

_RUN_FILES = ("config.yaml", "metrics.jsonl", "status.json")


@dataclass(frozen=True, slots=True)
class Subject:
    """What the page is about; a sweep has a folder, everything else its runs."""

    name: str
    runs: Sequence[Path]
    sweep: Path | None = None


def subject(paths: Sequence[str]) -> Subject:
    """What the paths are together.

    Raises:
        ConfigError: a path does not exist, or there is no run in it.
    """
    folders = [_folder(text) for text in paths]
    if len(folders) == 1 and is_sweep(folders[0]):
        return Subject(str(folders[0]), [], folders[0])
    runs = [run for folder in folders for run in _runs(folder)]
    return Subject(", ".join(map(str, folders)), list(dict.fromkeys(runs)))


def _folder(text: str) -> Path:
    path = Path(text)
    if path.is_dir():
        return path
    if path.is_file():
        raise ConfigError(
            f"path={text}: is a file; give the folder of a run; try path={path.parent}"
        )
    around = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
    near = nearest(path.name, around)
    hint = f"try path={path.parent / near}" if near else "see reach-rl runs"
    raise ConfigError(f"path={text}: no such folder; {hint}")


def _runs(folder: Path) -> list[Path]:
    if any((folder / name).is_file() for name in _RUN_FILES):
        return [folder]
    found = [run.folder for run in find(folder)]
    if not found:
        raise ConfigError(f"path={folder}: no run in it; see reach-rl runs")
    return sorted(found, key=_natural)


def _natural(folder: Path) -> tuple[str, int, str]:
    name = folder.name
    return (str(folder.parent), int(name) if name.isdigit() else -1, name)
