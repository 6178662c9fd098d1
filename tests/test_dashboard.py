"""The verb dashboard: what the workspace holds, and what is missing where it cannot be built."""

import json
import re
import subprocess
import sys

import pytest
import yaml

from reach_rl.cli.front_door import front
from reach_rl.config import conf_dir
from reach_rl.config.keys import find
from reach_rl.config.schema import Config
from reach_rl.dashboard import job
from reach_rl.monitoring.metrics import CATALOGUE, FAMILIES, describe
from reach_rl.viz.workspace import PANELS

SECTIONS = [
    "Success",
    "Learning",
    "PPO health",
    "Reward terms and curriculum",
    "Sweep",
    "Robots compared",
    "Videos",
]


@pytest.fixture(autouse=True)
def _nobody(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))


@pytest.fixture(scope="module")
def sections(tmp_path_factory):
    """The sections of the dry run, made where no connection can be."""
    out = tmp_path_factory.mktemp("w") / "workspace.json"
    script = """
import socket, sys

def refuse(*_):
    raise OSError("no network here")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from reach_rl.cli import main
main(["dashboard", *sys.argv[1:]])
"""
    words = ["entity=team", "project=arms", "name=mine", "dry_run=true", f"out={out}"]
    done = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    content = json.loads(out.read_text())
    assert (content["entity"], content["project"], content["name"]) == ("team", "arms", "mine")
    found = content["spec"]["section"]["panelBankConfig"]["sections"]
    return {section["name"]: section["panels"] for section in found}


def metrics_of(panel):
    """Every metric that a panel names."""
    config = panel["config"]
    names = [*config.get("metrics", []), *config.get("mediaKeys", [])]
    names += [config["targetKey"]] if "targetKey" in config else []
    for text in config.get("expressions") or []:
        names += re.findall(r"\$\{([^}]+)\}", text)
    axes = [column["accessor"] for column in config.get("columns", [])]
    axes += [config[axis] for axis in ("xAxis", "yAxis") if axis in config]
    names += [a.removeprefix("summary:") for a in axes if a.startswith("summary:")]
    return names


def test_it_has_the_sections_in_order_and_none_is_empty(sections):
    assert list(sections) == SECTIONS
    assert all(sections.values())


def test_every_metric_of_every_panel_is_in_the_catalogue(sections):
    named = [name for panels in sections.values() for panel in panels for name in metrics_of(panel)]
    assert len(set(named)) > 30
    for name in named:
        describe(name)
    patterns = [p["config"]["metricRegex"] for p in sections["Reward terms and curriculum"]]
    for pattern in patterns:
        assert any(re.match(pattern, family + "x") for family in FAMILIES)


def test_every_healthy_range_is_drawn(sections):
    shown = {p["config"]["metrics"][0]: p["config"] for p in sections["PPO health"][:-1]}
    sound = {name: m for name, m in CATALOGUE.items() if m.healthy is not None}
    assert shown.keys() == sound.keys()
    assert "healthy 0.05 to 0.2" in shown["train/clip_fraction"]["chartTitle"]
    for name, config in shown.items():
        value, *bounds = config["expressions"]
        assert value == f"${{{name}}}"
        drawn = [eval(text.replace(value, "7.0")) for text in bounds]
        assert drawn == pytest.approx(list(dict.fromkeys(sound[name].healthy)))
        assert name in sections["PPO health"][-1]["config"]["value"]


def test_everything_is_against_the_global_step(sections):
    lines = [p for panels in sections.values() for p in panels if "Line Plot" in p["viewType"]]
    assert len(lines) > 20
    assert {panel["config"]["xAxis"] for panel in lines} == {"global_step"}


def test_the_sweep_shows_what_sweeps_vary(sections):
    kinds = [panel["viewType"] for panel in sections["Sweep"]]
    assert kinds[:2] == ["Parallel Coordinates Plot", "Parameter Importance"]
    for key in PANELS["searched"]:
        assert find(Config, key) is not None
    for path in conf_dir().glob("sweep/*.yaml"):
        params = (yaml.safe_load(path.read_text()).get("hydra") or {}).get("sweeper") or {}
        searched = [k for k in params.get("params") or {} if k.startswith("ppo.")]
        assert set(searched) <= set(PANELS["searched"]), path
    axes = [column["accessor"] for column in sections["Sweep"][0]["config"]["columns"]]
    assert "config:ppo.value.learning_rate" in axes


def test_films_are_those_that_training_makes(sections):
    (panel,) = sections["Videos"]
    assert panel["config"]["mediaKeys"] == PANELS["films"] == ["video/best", "video/periodic"]


def test_a_missing_package_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    monkeypatch.delitem(sys.modules, "reach_rl.viz.workspace")
    assert front("dashboard", job, ["dry_run=true"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "pip install 'reach_rl[dashboards]'" in error


def test_no_credentials_is_one_line(capsys):
    assert front("dashboard", job, ["entity=team"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "wandb login" in error and "dry_run=true" in error


def test_whose_project_it_is_has_to_be_said(capsys):
    assert front("dashboard", job, []) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "entity=NAME" in error
