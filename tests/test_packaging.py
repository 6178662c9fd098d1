"""What a user installs: the wheel, its data, its licence and its console script."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DEPENDENCY_NAME_END = "<>=!~[; "


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return zipfile.ZipFile(next(out.glob("*.whl")))


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("folder", ["conf", "assets"])
def test_wheel_carries_every_data_file(wheel: zipfile.ZipFile, folder: str) -> None:
    """The wheel is built from the sdist, so both carry them."""
    prefix = f"reach_rl/_data/{folder}/"
    packed = {n.removeprefix(prefix): wheel.read(n) for n in wheel.namelist() if prefix in n}
    files = [p for p in (ROOT / folder).rglob("*") if p.is_file()]
    assert packed == {str(p.relative_to(ROOT / folder)): p.read_bytes() for p in files}
    assert packed


def test_wheel_carries_every_module_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    modules = {n for n in wheel.namelist() if n.endswith(".py")}
    sources = [p for top in ("reach_rl", "hydra_plugins") for p in (ROOT / top).rglob("*.py")]
    assert modules == {str(p.relative_to(ROOT)) for p in sources}
    top_level = {n.split("/")[0] for n in wheel.namelist()}
    assert {n for n in top_level if not n.endswith(".dist-info")} <= {"reach_rl", "hydra_plugins"}


def test_wheel_states_licence_and_console_script(wheel: zipfile.ZipFile) -> None:
    info = next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")).split("/")[0]
    assert "License-Expression: Apache-2.0" in wheel.read(f"{info}/METADATA").decode()
    assert b"Apache License" in wheel.read(f"{info}/licenses/LICENSE")
    assert "reach-rl = reach_rl.cli:main" in wheel.read(f"{info}/entry_points.txt").decode()


def test_every_direct_dependency_is_pinned_once(project: dict) -> None:
    extras = project["project"]["optional-dependencies"]
    wanted = {
        _name(d) for group in [project["project"]["dependencies"], *extras.values()] for d in group
    }
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all("==" in pin and "+" not in pin for pin in pins)
    assert sorted(_name(pin) for pin in pins) == sorted(wanted)


@pytest.mark.parametrize("module", ["reach_rl", "reach_rl.cli", "reach_rl.train"])
def test_import_is_light(module: str) -> None:
    """--help and an error in a key must not wait for the simulator or the learner."""
    heavy = ["torch", "mujoco", "wandb", "optuna", "matplotlib", "stable_baselines3"]
    code = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _name(requirement: str) -> str:
    for character in DEPENDENCY_NAME_END:
        requirement = requirement.split(character)[0]
    return requirement.lower().replace("_", "-")
