"""`reach-rl new`: what it writes works, and its own test passes."""

import os
import subprocess
import sys
import tomllib

import pytest

from reach_rl.cli import dispatch


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_its_own_test_passes(tmp_path):
    assert dispatch(["new", "my_lab"]) == 0
    project = tomllib.loads((tmp_path / "my_lab" / "pyproject.toml").read_text())["project"]
    about = tmp_path / "my_lab" / f"my_lab-{project['version']}.dist-info"  # as pip would
    about.mkdir()
    (about / "METADATA").write_text(f"Name: my_lab\nVersion: {project['version']}\n")
    points = project["entry-points"]["reach_rl"]
    lines = [f"{name} = {module}" for name, module in points.items()]
    (about / "entry_points.txt").write_text("\n".join(["[reach_rl]", *lines]))
    path = os.pathsep.join([os.environ["PYTHONPATH"], str(tmp_path / "my_lab")])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "my_lab/tests"]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "needs one name; try reach-rl new my_lab"),
        (["My-Lab"], "My-Lab: no name of a package; try reach-rl new my_lab"),
        (["there"], "there: is there already; choose another name"),
        (["numpy"], "numpy: is there already; choose another name"),
    ],
)
def test_a_name_that_does_not_do_is_one_line(tmp_path, capsys, words, line):
    (tmp_path / "there").mkdir()
    assert dispatch(["new", *words]) == 2
    assert capsys.readouterr().err == f"error: {line}\n"
