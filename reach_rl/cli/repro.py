"""`reach-rl repro`: the commands that reproduce a run, and what is different today."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reach_rl.cli import option
from reach_rl.cli.diff import differences, of_making
from reach_rl.config.load import compose
from reach_rl.config.problems import ConfigError, command, override
from reach_rl.config.sheets import chain, flat, sheets, values
from reach_rl.config.untrusted import HIDDEN
from reach_rl.config.validation import to_tree
from reach_rl.origins import COPIES, conf_folders, flags
from reach_rl.rundir.atomic import read_json
from reach_rl.rundir.listing import config_values, run_dir
from reach_rl.rundir.provenance import asset, git_state, machine, sha256, versions


def answer(words: list[str]) -> str:
    """The commands. Raises ConfigError."""
    folders = [word for word in words if word != "--patch"]
    if len(folders) != 1:
        raise ConfigError("needs one folder; see reach-rl repro --help")
    folder = run_dir(folders[0])
    made = read_json(folder / "provenance.json")
    if not made:
        raise ConfigError(f"{folder}: has no provenance.json that can be read")
    if "--patch" in words:
        return (made.get("git") or {}).get("diff", "").removesuffix("\n")
    return "\n".join([*commands(folder, made), *warnings(folder, made)])


def commands(folder: Path, made: Mapping[str, Any]) -> list[str]:
    """The shell commands, one a line."""
    git = made.get("git") or {}
    lines = []
    if git.get("commit"):
        lines.append(f"git checkout {git['commit']}")
    if git.get("diff"):
        lines.append(f"reach-rl repro {shlex.quote(str(folder.absolute()))} --patch | git apply")
    packages = made.get("packages") or {}
    pins = [f"{name}=={version}" for name, version in packages.items() if name != "reach_rl"]
    if pins and differences(packages, _versions(made)):
        lines.append(f"python -m pip install {shlex.join(pins)}")
    theirs = made.get("extensions") or {}
    if pins := [f"{name}=={e['version']}" for name, e in theirs.items() if e.get("version")]:
        lines.append(f"python -m pip install {shlex.join(pins)}")
    if read_json(folder / "summary.json").get("learner"):  # not ours, so the command is all we know
        return [*lines, str(made.get("command"))]
    copies = [folder.absolute() / COPIES / name for name in theirs]
    files = [word for path in copies if path.is_file() for word in ("--extend", path)]
    with_own = [word for word in files if not flags()]  # else command() gives those of this command
    return [*lines, command("train", *with_own, *search(made), *overrides(made))]


def overrides(made: Mapping[str, Any]) -> list[str]:
    """The overrides of the run for a new folder, from wherever it is called."""
    found = []
    for text in map(str, made.get("overrides") or []):
        key, _, value = text.partition("=")
        if key == "sweep":
            found = [*_of_sweep(made, value), *found]
        elif key == "robot.mjcf":
            found.append(override(key, _place(made) / value.strip("'\"")))
        elif key not in ("run_dir", "resume"):
            found.append(text)
    return found


def _of_sweep(made: Mapping[str, Any], options: str) -> list[str]:
    """What the files of a sweep set beside the keys that it varies; a single run has no sweep."""
    files = sheets(config_dir(made), *conf_folders())
    names = [f"sweep/{option}" for option in options.strip("[]").split(",")]
    stack = [sheet for name in names for sheet in chain(files, name)]
    return [override(key, value) for key, value in values(stack).items()]


def _place(made: Mapping[str, Any]) -> Path:
    """The folder that the run was started in."""
    return Path(str(made.get("folder", ".")))


def search(made: Mapping[str, Any]) -> list[str]:
    """The words of the command that made the run by which files of one's own were found."""
    words = shlex.split(str(made.get("command", "")))
    own = config_dir(made)
    flags = ["--config-dir", str(own)] if own is not None else []
    return [*flags, *(word for word in words if word.lstrip("+").startswith("hydra.searchpath="))]


def config_dir(made: Mapping[str, Any]) -> Path | None:
    """The --config-dir of the command that made the run, absolute."""
    words = shlex.split(str(made.get("command", "")))
    given = option(words, "--config-dir", "-cd")
    return None if given is None else _place(made) / given


def warnings(folder: Path, made: Mapping[str, Any]) -> list[str]:
    """What is different today, a line each."""
    git, place = made.get("git") or {}, _place(made)
    files = {name: asset(name, place) for name in made.get("assets") or {}}
    now = {
        "git": git_state(),
        "packages": _versions(made),
        "machine": machine(),
        "assets": {name: sha256(path) for name, path in files.items() if path.is_file()},
    }
    topics = {**of_making(made, now, ("host",)), "Configuration": _configuration(folder, made)}
    if not git:
        topics["Code"] = ["the run was not made in a git checkout; its code is not recorded"]
    elif git.get("untracked"):
        topics["Code"] += [f"untracked files are not recorded: {', '.join(git['untracked'])}"]
    return [f"warning: {topic.lower()}: {row}" for topic, rows in topics.items() for row in rows]


def _versions(made: Mapping[str, Any]) -> dict[str, str]:
    """The versions today of the packages that the run tells of."""
    recorded = made.get("packages") or {}
    return {name: version for name, version in versions().items() if name in recorded}


def _configuration(folder: Path, made: Mapping[str, Any]) -> list[str]:
    """Keys that the same overrides would set to something else today."""
    then = config_values(folder)
    hidden = [f"{key} was a credential and is not recorded" for key in then if then[key] == HIDDEN]
    own, path = config_dir(made), [word for word in search(made) if "=" in word]
    try:
        today = compose([*path, *overrides(made)], config_dir=own)
    except ConfigError as error:
        return [*hidden, *(f"refused today: {problem}" for problem in error.problems)]
    rows = differences(then, flat(to_tree(today)), ("run_dir", "resume", "robot.mjcf"))
    return [*hidden, *(row for row in rows if HIDDEN not in row)]
