"""What the repository promises: no traces of a machine, documented files, short pages."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
TARGETS = [
    "setup",
    "train",
    "play",
    "test",
    "lint",
    "assets",
    "docs",
    "bench",
    "bench-check",
    "torture",
    "policies",
    "sweep-demo",
    "hostile",
    "wheel-test",
    "clean",
    "help",
]
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:root|work|mnt|opt|home/\w+|Users/\w+)(?:/|\b)")
PACKAGE_SOURCE = re.compile(r"(?i)(?:extra[-_])?index[-_]url|find[-_]links|trusted[-_]host")
INSTALLERS = [
    *("pyproject.toml", "constraints.txt", "Makefile"),
    *(".ci/run", ".ci/wheel"),
]


def repository_files() -> list[Path]:
    """Every text file that git tracks, or would once it is added."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    paths = [ROOT / n.decode() for n in names.split(b"\0") if n]
    return [p for p in paths if p.is_file() and b"\0" not in p.read_bytes()[:4096]]


@pytest.mark.parametrize("pattern", [MACHINE_PATH, PACKAGE_SOURCE], ids=["path", "package source"])
def test_no_file_names_a_machine(pattern: re.Pattern[str]) -> None:
    hits = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in repository_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not hits, "\n".join(hits)


def test_patterns_find_what_they_should() -> None:
    assert MACHINE_PATH.search("see " + "/".join(["", "home", "someone", "x.txt"]))
    assert MACHINE_PATH.search("open('" + "/".join(["", "root", "a"]) + "')")
    assert not MACHINE_PATH.search("assets/robots and a/home-made/run")
    assert PACKAGE_SOURCE.search("pip install --" + "-".join(["extra", "index", "url"]))


@pytest.mark.parametrize("name", INSTALLERS)
def test_installers_name_no_host(name: str) -> None:
    assert "://" not in (ROOT / name).read_text()


def test_ci_runs_only_make_targets() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE)
    assert sorted(targets) == sorted(TARGETS)
    jobs = re.search(r"^for name in ([a-z -]+); do$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert jobs is not None
    assert set(jobs[1].split()) == {"setup", "lint", "test", "hostile", "wheel-test"}


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_make_help_lists_every_target() -> None:
    done = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = re.findall(r"^  make ([a-z-]+) ", done.stdout, re.MULTILINE)
    assert sorted(listed) == sorted(TARGETS)


@pytest.mark.parametrize(
    "path", sorted(CONF.rglob("*.yaml")), ids=lambda p: str(p.relative_to(CONF))
)
def test_config_file_opens_with_its_command(path: Path) -> None:
    lines = path.read_text().splitlines()
    opening = lines[1] if lines[0].startswith("# @package") else lines[0]
    assert re.match(r"# [^@\s].*\.\s+python -m reach_rl\.\w+", opening), opening


def test_primary_config_is_short() -> None:
    lines = (CONF / "train.yaml").read_text().splitlines()
    assert len([line for line in lines if not line.startswith("#")]) < 50  # its help aside


def test_modules_are_short() -> None:
    tops = ["reach_rl", "hydra_plugins", "benchmarks", "tests"]
    modules = [p for top in tops for p in (ROOT / top).rglob("*.py")]
    lengths = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in modules}
    assert not {name: n for name, n in lengths.items() if n > 400}
