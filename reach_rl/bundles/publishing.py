"""Where an export goes: written beside its place, and put there whole."""

import shutil
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path

from reach_rl.config.problems import ConfigError


@contextmanager
def published(out: Path, own: Set[str]) -> Iterator[Path]:
    """An empty folder to write to, which becomes `out` once the block ends without an error.

    Args:
        out: the place; an earlier export there is replaced.
        own: names of the files that this format writes.

    Raises:
        ConfigError: something else is there.
    """
    check(out, own)
    out.parent.mkdir(parents=True, exist_ok=True)
    work = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        yield work
        if out.exists():
            shutil.rmtree(out)
        work.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def check(out: Path, own: Set[str]) -> None:
    """Raise a ConfigError if `out` holds what this format does not write."""
    if not out.exists():
        return
    if not out.is_dir():
        raise ConfigError(f"out={out}: is a file; give a folder")
    others = sorted(path.name for path in out.iterdir() if path.name not in own)
    if others:
        raise ConfigError(
            f"out={out}: holds {others[0]}, no export of this kind; give a new folder"
        )
