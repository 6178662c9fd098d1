"""What made a run: config.yaml, provenance.json and the user's own model, in its folder.

Neither file holds credentials. A model that was given by its path is copied as it was compiled,
with all files that it names, and whoever goes on with the run or judges it uses that copy.
"""

import hashlib
import os
import platform
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from reach_rl.config import assets_dir, checkout_dir
from reach_rl.config.load import CALL, config_text, named
from reach_rl.config.problems import ConfigError
from reach_rl.config.schema import Config
from reach_rl.config.untrusted import redact
from reach_rl.config.validation import to_tree
from reach_rl.extend import registered
from reach_rl.origins import COPIES, flags, origins, split
from reach_rl.rundir.atomic import read_json, sync_folder, write_atomic, write_bytes, write_json
from reach_rl.rundir.status import now
from reach_rl.version import __version__

ENVIRONMENT = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "MUJOCO_GL")
_MOST_DIFF = 1_000_000

ALWAYS = ("metric", "metric_family", "health_check", "callback", "writer")
"""Nouns whose entries work in every run; the others work where the configuration names them."""

MODEL = "model"
"""Folder of a run with its own copy of the user's model."""
MODEL_LIST = "MODEL.json"
"""In it: what each file is, and where it came from."""


def write_run_files(run_dir: Path, config: Config, argv: Sequence[str] | None = None) -> None:
    """Write config.yaml (resolved) and provenance.json; argv defaults to the process's own."""
    write_config(run_dir, config)
    argv = list(sys.argv if argv is None else argv)
    module = argv[0] if argv and argv[0].startswith("reach_rl.") else None
    command = ["python", "-m", module] if module else ["python", *argv[:1]]
    command += [*flags(), *split(argv[1:])[0]]
    made = {
        "command": shlex.join(command),
        "overrides": job_overrides(argv[1:]),
        "folder": os.getcwd(),
        "time": now(),
        "git": git_state(),
        "packages": versions(),
        "machine": machine(),
        "environment": {name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
        "assets": asset_hashes(run_dir, config),
    }
    if used := extensions(config):
        made["extensions"] = used
    write_json(run_dir / "provenance.json", redact(made))


def write_config(run_dir: Path, config: Config) -> None:
    """Write config.yaml. Raises OSError."""
    write_atomic(run_dir / "config.yaml", config_text(config, allow_unicode=True))
    _keep_extensions(run_dir, config)


def _used(config: Config) -> list[tuple[str, str]]:
    """Noun and name of what a run uses: what it names, and what works in every run."""
    always = (pair for pair in registered() if pair[0] in ALWAYS)
    return [*named(to_tree(config)), *always]


def extensions(config: Config) -> dict[str, dict[str, Any]]:
    """Name of each extension that a run uses -> its version, hash, place and what it registers."""
    return {
        e.name: {"version": e.version, "sha256": e.sha256, "place": e.place, "registers": terms}
        for e, terms in origins(_used(config)).items()
    }


def _keep_extensions(run_dir: Path, config: Config) -> None:
    """Copy the files of extensions into the run; one that has changed stands beside the first."""
    for used in origins(_used(config)):
        path = run_dir / COPIES / used.name
        if path.is_file() and sha256(path) != used.sha256:
            path = path.with_stem(f"{path.stem}-{used.sha256[:8]}")
        if used.content is not None and not path.is_file():
            path.parent.mkdir(exist_ok=True)
            write_bytes(path, used.content)


def lost_extensions(run_dir: Path) -> Iterator[str]:
    """Lines about what works in every run, and worked when this one began, and is not here."""
    for name, used in read_json(run_dir / "provenance.json").get("extensions", {}).items():
        parts = [part for part in used["registers"] if part.partition(" ")[0] in ALWAYS]
        lost = [part for part in parts if tuple(part.split()) not in registered()]
        if lost:
            yield f"warning: this run began with {name} ({', '.join(lost)}) and goes on without"


def job_overrides(arguments: Sequence[str]) -> list[str]:
    """The overrides of this run alone, also where it is one of a multirun."""
    current = CALL.get().overrides
    if current is not None:
        return list(current)
    return [text for text in arguments if "=" in text and not text.startswith("-")]


def git_state() -> dict[str, Any] | None:
    """Commit, and what differs from it, if the code runs from a git checkout; else None."""
    folder = checkout_dir()
    changed = _git(folder, "status", "--porcelain") if (folder / ".git").exists() else None
    if changed is None:
        return None
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    diff = (_git(folder, "diff", "--no-color", "--no-ext-diff", "HEAD") if commit else None) or ""
    return {
        "commit": commit.strip() if commit else None,
        "branch": (_git(folder, "branch", "--show-current") or "").strip(),
        "dirty": bool(changed.strip()),
        "untracked": [line[3:] for line in changed.splitlines() if line.startswith("??")],
        "diff": diff if len(diff) <= _MOST_DIFF else diff[:_MOST_DIFF] + "\n(cut)\n",
    }


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def versions() -> dict[str, str]:
    """Package -> version: of this one, and of all that it needs to run."""
    found = {"reach_rl": __version__}
    with suppress(metadata.PackageNotFoundError):
        for needed in metadata.requires("reach_rl") or ():
            if "extra ==" not in needed:
                name = re.split(r"[^\w.-]", needed)[0]
                found[name] = metadata.version(name)
    return found


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """Processor, cores, memory (GiB), operating system, Python and host name."""
    cpu, memory = platform.processor(), None
    with suppress(OSError, ValueError):
        memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
        found = re.search(r"model name\s*: *(.+)", Path("/proc/cpuinfo").read_text())
        cpu = found.group(1).strip() if found else cpu
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "usable_cores": cores(),
        "memory_gib": memory,
        "os": platform.platform(),
        "python": platform.python_version(),
        "host": socket.gethostname(),
    }


def asset_hashes(run_dir: Path, config: Config) -> dict[str, str]:
    """Model file of the robot, and the files that it names -> SHA-256."""
    kept = read_json(run_dir / MODEL / MODEL_LIST).get("files", {})
    if kept:
        return {known["source"]: known["source_sha256"] for known in kept.values()}
    names = (f"assets/robots/{config.robot.name}.xml", "assets/ur_family.yaml")
    if config.robot.mjcf is not None:
        names = (config.robot.mjcf,)
    return {name: sha256(asset(name)) for name in names if asset(name).is_file()}


def asset(name: str, folder: Path = Path()) -> Path:
    """The file that asset_hashes() calls so, in a process that works in that folder."""
    own = name.startswith("assets/")
    return assets_dir() / name.removeprefix("assets/") if own else folder / name


def other_assets(run_dir: Path) -> Iterator[str]:
    """Lines about a model whose files are not those with which a run began that kept no copy."""
    for name, digest in read_json(run_dir / "provenance.json").get("assets", {}).items():
        if asset(name).is_file() and sha256(asset(name)) != digest:
            yield (
                f"warning: {name} has changed since this run began; it goes on with the file as it "
                "is now"
            )


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def highlights(run_dir: Path) -> dict[str, Any]:
    """Git commit, packages, machine and overrides of a run, as its provenance.json has them."""
    found = read_json(run_dir / "provenance.json")
    kept = {k: found[k] for k in ("packages", "machine", "overrides") if k in found}
    git = found.get("git") or {}
    kept |= {f"git_{k}": git[k] for k in ("commit", "branch", "dirty") if k in git}
    return {"provenance": kept} if kept else {}


def group_and_name(run_dir: Path) -> tuple[str | None, str]:
    """The group and the name of a run: one of multirun/<date>/<time>/<n>, or of another sweep."""
    folder = run_dir.resolve()
    parts = folder.parts
    if "multirun" in parts[:-1]:
        below = parts[len(parts) - 1 - parts[::-1].index("multirun") + 1 :]
        if len(below) >= 2:
            return "_".join(below[:-1]), "_".join(below)
    for sweep in folder.parents[:3]:  # a trial of several runs has a folder for each
        if (sweep / "multirun.yaml").is_file():
            return sweep.name, "_".join([sweep.name, *folder.relative_to(sweep).parts])
    return None, folder.name


def keep_model(
    run_dir: Path, given: str, main: str, files: Mapping[str, tuple[Path, bytes]]
) -> None:
    """Copy a user's own model into model/ of the run; it is there whole or not at all.

    Args:
        run_dir: the run's folder.
        given: the model as robot.mjcf names it.
        main: name of the model's file among `files`.
        files: name below model/ -> where the file came from, and the content to keep.

    Raises:
        OSError: the disk refuses.
    """
    folder, temporary = run_dir / MODEL, run_dir / f".{MODEL}.tmp"
    about: dict[str, Any] = {"given": given, "main": main, "files": {}}
    shutil.rmtree(temporary, ignore_errors=True)
    for name, (source, content) in files.items():
        path = temporary / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content)
        hashes = {"sha256": hashlib.sha256(content).hexdigest(), "source_sha256": sha256(source)}
        about["files"][name] = {"source": str(source), **hashes}
    write_json(temporary / MODEL_LIST, about)
    temporary.rename(folder)
    sync_folder(run_dir)


def own_model(
    config: Config, run_dir: Path, say: Callable[[str], object] = lambda line: None
) -> Config:
    """The configuration of a run with the run's own copy of the user's model, if it has one.

    Args:
        config: of the run.
        run_dir: its folder.
        say: told if the model that was copied is another one by now.

    Raises:
        ConfigError: the copy is not what the run was trained on.
    """
    about = read_json(run_dir / MODEL / MODEL_LIST)
    if not about:
        return config
    folder = (run_dir / MODEL).resolve()
    for name, known in about["files"].items():
        path, source = folder / name, Path(known["source"])
        if not path.is_file() or sha256(path) != known["sha256"]:
            raise ConfigError(
                f"{run_dir / MODEL / name}: is not the file that this run was trained on; put it "
                f"back (it came from {source}), or train anew"
            )
        if source.is_file() and sha256(source) != known["source_sha256"]:
            say(
                f"note: {source} has changed since this run began; what counts is the run's own "
                f"copy, {run_dir / MODEL / name}"
            )
    return replace(config, robot=replace(config.robot, mjcf=str(folder / about["main"])))


def as_given(config: Config, run_dir: Path) -> Config:
    """The same with the model as it was given, which is how a run's folder tells it."""
    about = read_json(run_dir / MODEL / MODEL_LIST)
    if not about or config.robot.mjcf is None:
        return config
    return replace(config, robot=replace(config.robot, mjcf=about["given"]))
