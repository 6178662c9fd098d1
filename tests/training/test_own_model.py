"""A user's own model is part of the run: it is judged and gone on with as it was trained on."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from reach_rl import evaluate, play
from reach_rl.cli.front_door import front
from reach_rl.config.load import ConfigError, load_run
from reach_rl.robots.model_file import model_sources
from reach_rl.rundir import checkpoint
from reach_rl.rundir.provenance import keep_model
from reach_rl.training.session import train
from reach_rl.training.snapshot import load
from tests.training.test_resume import stopped_at

ASSETS = Path(__file__).parent.parent / "assets"
STAND = """<mujocoinclude><worldbody>
<geom name="stand" type="box" size="0.05 0.05 0.1" pos="{} 0 0.1"/>
</worldbody></mujocoinclude>"""
PARTS = [
    "robot.joints=[j1,j2,j3,j4,j5,j6,j7]",
    "robot.actuators=[a1,a2,a3,a4,a5,a6,a7]",
    "robot.tcp_site=tip",
    "task.region.joint_range=[0.8]",
]


def cell(folder, x=2.0):
    """An arm with a stand in a file of its own; returns the arm's file."""
    (folder / "parts").mkdir(parents=True, exist_ok=True)
    (folder / "parts" / "stand.xml").write_text(STAND.format(x))
    text = (ASSETS / "arm7.xml").read_text()
    included = '<include file="parts/stand.xml"/>\n  <worldbody>'
    (folder / "arm.xml").write_text(text.replace("<worldbody>", included, 1))
    return folder / "arm.xml"


JUDGE = ["run=run", "goals=4", "out=e.json", "progress=false"]


@pytest.fixture(scope="module")
def halves(small, tmp_path_factory):
    """A run stopped in its middle, how it was judged then, and its model changed afterwards."""
    base = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cell(base / "cell").parent)
        config = small("robot=custom", "robot.mjcf=arm.xml", *PARTS, "total_timesteps=1024")
        assert isinstance(train(config, base / "whole"), dict)
        stopped_at(patch, 512)
        assert train(config, base / "run") == 143
        patch.chdir(base)
        assert front("evaluate", evaluate.job, JUDGE) == 0
    cell(base / "cell", x=0.1)  # where the arm stands
    return base, json.loads((base / "e.json").read_text())


def test_the_run_keeps_its_model_and_tells_it_as_it_was_given(halves):
    run = halves[0] / "run"
    names = {p.relative_to(run / "model").as_posix() for p in (run / "model").rglob("*.*")}
    assert names == {"MODEL.json", "arm.xml", "parts/stand.xml"}
    assert "2.0 0 0.1" in (run / "model/parts/stand.xml").read_text()
    assert load_run(run).robot.mjcf == "arm.xml"
    latest = checkpoint.resolve(run / "checkpoints", "latest")
    assert checkpoint.read(latest).config.robot.mjcf == "arm.xml"


def test_a_run_is_judged_on_its_own_model_from_anywhere(halves, tmp_path, monkeypatch, capsys):
    base, judged = halves
    shutil.copytree(base / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert front("evaluate", evaluate.job, JUDGE) == 0
    out = capsys.readouterr().out
    assert out.count("stand.xml has changed since this run began") == 1
    again = json.loads((tmp_path / "e.json").read_text())
    assert again["position_error_mm"] == judged["position_error_mm"]
    shutil.rmtree(base / "cell")
    assert front("evaluate", evaluate.job, JUDGE) == 0
    assert "has changed" not in capsys.readouterr().out
    cell(base / "cell", x=0.1)


def test_playing_says_that_the_model_has_changed(halves, monkeypatch, capsys):
    monkeypatch.chdir(halves[0])
    monkeypatch.setattr("reach_rl.viz.player.native.show", lambda *_: None)
    assert front("play", play.job, ["run=run", "viewer=native"]) == 0
    assert capsys.readouterr().out.count("stand.xml has changed since this run began") == 1


def test_going_on_is_bit_exact_though_the_model_has_changed(halves, tmp_path, capsys, monkeypatch):
    base, _ = halves
    folder = tmp_path / "run"
    shutil.copytree(base / "run", folder)
    monkeypatch.chdir(tmp_path)
    config = replace(load_run(folder), resume=str(folder))
    assert isinstance(train(config, folder), dict)
    assert "stand.xml has changed since this run began" in capsys.readouterr().out
    states = [
        checkpoint.read(checkpoint.resolve(run / "checkpoints", "latest"))
        for run in (base / "whole", folder)
    ]
    for name, value in states[0].policy.items():
        np.testing.assert_array_equal(states[1].policy[name], value, err_msg=name)


def test_a_copy_that_was_changed_is_refused(halves, tmp_path):
    shutil.copytree(halves[0] / "run", tmp_path / "run")
    (tmp_path / "run/model/parts/stand.xml").write_text(STAND.format(3.0))
    with pytest.raises(ConfigError, match=r"stand\.xml: is not the file that this run was trained"):
        load(tmp_path / "run")


def test_files_beside_and_with_whole_paths_compile_to_the_same_model(tmp_path):
    """Meshes in a sibling folder, one of them by its whole path, and by links."""
    meshes = tmp_path / "robot" / "meshes"
    meshes.mkdir(parents=True)
    corners = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    faces = "".join(f"f {a} {b} {c}\n" for a, b, c in ((1, 3, 2), (1, 2, 4), (1, 4, 3), (2, 3, 4)))
    text = "".join(f"v {x} {y} {z}\n" for x, y, z in corners) + faces
    for name in ("one.obj", "two.obj"):
        (meshes / name).write_text(text)
    main = tmp_path / "robot" / "mjcf" / "arm.xml"
    main.parent.mkdir()
    main.write_text(
        f'<mujoco><compiler meshdir="../meshes"/><asset><mesh name="one" file="one.obj"/>'
        f'<mesh name="two" file="{meshes}/two.obj"/></asset><worldbody><body>'
        '<geom type="mesh" mesh="one"/><geom type="mesh" mesh="two"/></body></worldbody></mujoco>'
    )
    name, files = model_sources(main)
    assert sorted(files) == ["meshes/one.obj", "meshes/two.obj", "mjcf/arm.xml"]
    before = mujoco.MjModel.from_xml_path(str(main))
    keep_model(tmp_path, str(main), name, files)
    shutil.rmtree(tmp_path / "robot")
    after = mujoco.MjModel.from_xml_path(str(tmp_path / "model" / name))
    np.testing.assert_array_equal(after.mesh_vert, before.mesh_vert)
    np.testing.assert_array_equal(after.body_inertia, before.body_inertia)
