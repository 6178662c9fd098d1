"""Finds the study of a sweep's folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from reach_rl.config.problems import ConfigError
from reach_rl.viz.report.read import at

if TYPE_CHECKING:
    from optuna.study import Study

JOURNAL = "study.journal"


def is_sweep(folder: Path) -> bool:
    """Whether a folder is that of a search, not of plain runs."""
    return (folder / JOURNAL).is_file() or _sweeper(folder).get("storage") is not None


def open_study(folder: Path) -> "Study":
    """The study of a sweep, from its journal or from the storage that its multirun.yaml names.

    Raises:
        ConfigError: it cannot be reached, or there is no study in it.
    """
    import optuna

    from reach_rl.sweeps.storage import open_storage

    sweeper = _sweeper(folder)
    journal = folder / JOURNAL
    url = str(journal) if journal.is_file() else str(sweeper.get("storage"))
    name = sweeper.get("study_name")
    if "***" in url:
        text = "its storage is kept without the password, which a page would need; run optuna with"
        raise ConfigError(f"path={folder}: {text} the full URL instead")
    try:
        storage = open_storage(url)
        names = [study.study_name for study in storage.get_all_studies()]
        if name not in names:
            name = names[0] if len(names) == 1 else None
        if name is None:
            raise ConfigError(f"path={folder}: there is no study in {url} yet")
        return optuna.load_study(study_name=str(name), storage=storage)
    except ConfigError:
        raise
    except Exception as error:
        text = " ".join(f"{type(error).__name__} {error}".split())
        raise ConfigError(f"path={folder}: the study cannot be read ({text[:160]})") from error


def _sweeper(folder: Path) -> dict[str, Any]:
    """`hydra.sweeper` of the sweep; empty where it is not told."""
    try:
        tree = yaml.safe_load((folder / "multirun.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    found = at(tree, "hydra", "sweeper")
    return dict(found) if isinstance(found, dict) else {}
