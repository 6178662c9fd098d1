"""The commands of the README and of docs/, as they stand there.

A block fenced with `sh` holds commands. A word behind `sh` says what a block needs that is not
everywhere, and by that name it is skipped: a network, a server, a cluster, hours of training.
make test proves every command as the front door does; make torture runs those that take no hours
as they are written.
"""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from reach_rl.cli import front_door
from reach_rl.config.multirun import prove_jobs
from reach_rl.config.problems import ConfigError
from reach_rl.config.verbs import VERBS, Verb
from tests.small_runs import SMALL, command

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NEEDS = {"network", "server", "cluster", "setup", "hour", "quiet", "incident", "study"}


class Block(NamedTuple):
    """A fenced block of commands."""

    page: str
    line: int
    needs: str
    commands: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(path: Path) -> Iterator[Block]:
    """Every block of commands of a page."""
    text = path.read_text()
    for found in re.finditer(r"^```sh *(\w*)\n(.*?)^```$", text, re.M | re.S):
        commands = found[2].replace("\\\n", " ").splitlines()
        line = text.count("\n", 0, found.start()) + 1
        kept = tuple(c for c in commands if c.strip() and not c.lstrip().startswith("#"))
        yield Block(path.relative_to(ROOT).as_posix(), line, found[1], kept)


BLOCKS = [block for page in PAGES for block in blocks(page)]


def words(command: str) -> list[str]:
    """Verb and arguments of a command; [] if it is another program's."""
    given = shlex.split(command, comments=True)
    if given[:2] == ["python", "-m"] and given[2].startswith("reach_rl."):
        return [given[2].removeprefix("reach_rl."), *given[3:]]
    return given[1:] if given[:1] == ["reach-rl"] else []


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A working folder as a reader has it: an arm, settings, and what was made before."""
    work = tmp_path_factory.mktemp("work")
    shutil.copy(ROOT / "tests/assets/arm7.xml", work / "arm.xml")
    (work / "my_conf/experiment").mkdir(parents=True)
    settings = "# @package _global_\n# For this machine.\nvec_env:\n  threads: 1\n"
    (work / "my_conf/experiment/machine.yaml").write_text(settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        command("train", *SMALL, "run_dir=runs/mine")
        command("export", "run=runs/mine", "goals=8")
    for copy in ("runs/a", "runs/b", "multirun/mine/0", "multirun/mine/1"):
        shutil.copytree(work / "runs/mine", work / copy)
    return work


def test_there_are_commands_and_their_needs_are_known() -> None:
    assert len(BLOCKS) > 20
    assert {block.needs for block in BLOCKS} <= NEEDS | {""}


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.needs in ("", "hour")], ids=str)
def test_every_command_is_accepted(block: Block, folder: Path, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    for line in block.commands:
        verb, *rest = words(line) or [""]
        if not verb:
            script = re.search(r"python (benchmarks/\w+\.py)", line)
            assert script, f"{line}: no command of this project; mark its block"
            assert (ROOT / script[1]).is_file()
        elif verb in VERBS:
            assert problems(VERBS[verb], rest) == [], line
        else:
            command(verb, *rest)


def problems(verb: Verb, argv: list[str]) -> list[str]:
    """What the front door says against a command."""
    args = front_door.parsed(verb, argv)
    composer = front_door.composer_of(verb, args)
    if args.multirun:
        return prove_jobs(composer, verb, args.overrides)[0]
    try:
        front_door.prove_once(verb, composer, args.overrides)
    except ConfigError as error:
        return list(error.problems)
    return []


@pytest.mark.torture
@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_runs_as_written(block: Block, folder: Path) -> None:
    if block.needs:
        pytest.skip(f"needs: {block.needs}")
    script = f'set -e\nPATH="{Path(sys.executable).parent}:$PATH"\n' + "\n".join(block.commands)
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
