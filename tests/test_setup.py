"""make setup: with pip as the machine has it, with uv where somebody says so, once."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = "_".join(["PIP", "FIND", "LINKS"])
PROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "project"
version = "1"

[project.optional-dependencies]
dev = ["tiny"]
"""
BACKEND = '''\
"""Builds an editable wheel without anything installed."""

import zipfile

NAME = "project-1-py3-none-any.whl"
METADATA = """Metadata-Version: 2.1
Name: project
Version: 1
Provides-Extra: dev
Requires-Dist: tiny; extra == "dev"
"""


def build_editable(folder, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(f"{folder}/{NAME}", "w") as wheel:
        wheel.writestr("project.pth", "")
        wheel.writestr("project-1.dist-info/METADATA", METADATA)
        wheel.writestr("project-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr("project-1.dist-info/RECORD", "")
    return NAME
'''
TOOLS = ("make", "sh", "env", "touch")
"""All that the recipe calls; in a PATH of these alone there is no uv."""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout with our Makefile, whose extra `dev` asks for the package `tiny`."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "backend.py").write_text(BACKEND)
    (folder / "constraints.txt").write_text("tiny==1.0\n")
    (tmp_path / "tools").mkdir()
    for name in TOOLS:
        (tmp_path / "tools" / name).symlink_to(shutil.which(name))
    (tmp_path / "wheels").mkdir()
    return folder


def publish(wheels: Path, *versions: str) -> None:
    """Wheels of `tiny`, for pip to find."""
    for version in versions:
        with zipfile.ZipFile(wheels / f"tiny-{version}-py3-none-any.whl", "w") as wheel:
            info = f"tiny-{version}.dist-info"
            wheel.writestr("tiny.py", f"VERSION = '{version}'\n")
            wheel.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n"
            )
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")


def make(project: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`make setup` where packages come from the folder of wheels and nowhere else."""
    quiet = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "MAKE"))}
    return subprocess.run(
        ["make", "setup", f"PYTHON={sys.executable}", *words],
        cwd=project,
        env={
            **quiet,
            "PATH": str(project.parent / "tools"),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            SOURCES: str(project.parent / "wheels"),
            **variables,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def script(project: Path, name: str, line: str) -> Path:
    """A program of that name among the tools."""
    path = project.parent / "tools" / name
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path


def site(project: Path) -> Path:
    (folder,) = project.glob(".venv/lib/python*/site-packages")
    return folder


def test_pip_installs_what_the_constraints_say_from_where_it_always_does(project: Path) -> None:
    """And what fails is not taken for done; what is done is not done again."""
    failed = make(project)
    assert failed.returncode == 2
    assert "project[dev]" in failed.stderr
    assert not (project / ".venv" / ".installed").exists()
    publish(project.parent / "wheels", "1.0", "2.0")
    done = make(project)
    assert done.returncode == 0, done.stderr
    assert (site(project) / "tiny.py").read_text() == "VERSION = '1.0'\n"
    for name in ("tiny-1.0", "project-1"):
        info = site(project) / f"{name}.dist-info"
        assert (info / "INSTALLER").read_text().strip() == "pip"
    assert not list((site(project) / "__pycache__").glob("tiny*"))
    again = make(project)
    assert (again.returncode, again.stderr) == (0, "")
    assert "setting up" not in again.stdout


def test_uv_installs_where_somebody_says_so(project: Path) -> None:
    """One that notes how it was called; nothing of pip's configuration is put into its words."""
    script(project, "uv", 'echo "$@" >called; env >environment')
    python = script(project, "python", f"{shutil.which('mkdir')} -p .venv")  # a venv without pip
    done = make(project, f"PYTHON={python}", "UV=1")
    assert done.returncode == 0, done.stderr
    called = (project / "called").read_text().strip()
    wanted = "pip install --python .venv/bin/python --quiet -c constraints.txt -e .[dev]"
    assert called == wanted
    assert "UV_" not in (project / "environment").read_text()


@pytest.mark.parametrize("word", ["UV=", "UV=0"])
def test_uv_is_left_alone_where_nobody_asks_for_it(project: Path, word: str) -> None:
    done = make(project, word, "-n")
    assert "-m pip install" in done.stdout
    assert "uv pip" not in done.stdout


def test_no_uv_is_said_in_a_line_before_anything_is_made(project: Path) -> None:
    done = make(project, "UV=1")
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if "***" not in line]
    assert said == ["make: UV=1, but there is no uv here; leave UV=1 out, or install uv"]
    assert not (project / ".venv").exists()
