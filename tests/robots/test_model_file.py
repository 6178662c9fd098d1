"""Models from elsewhere that pry or are broken: one line, and nothing was read outside."""

import os
import time

import pytest

from reach_rl.config.load import ConfigError
from reach_rl.robots.model_file import compile_spec, read_spec

MODEL = (
    '<mujoco>{}<worldbody><body name="b"><joint name="j"/><geom size="0.1"/></body>{}'
    "</worldbody>{}</mujoco>"
)
TETRAHEDRON = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 3 1 4\n"


def problem_of(path):
    begin = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        compile_spec(read_spec(path), path)
    assert time.monotonic() - begin < 20
    (line,) = caught.value.problems
    assert "\n" not in line and len(line) < 400
    assert line.startswith("robot.mjcf: ")
    return line


@pytest.fixture
def write(tmp_path):
    """Writes a model into a bundle beside which a secret lies."""
    (tmp_path / "secret.obj").write_text(TETRAHEDRON)
    (tmp_path / "secret.xml").write_text("<mujoco><worldbody/></mujoco>")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "contract.json").touch()

    def model(top="", world="", more="", name="arm.xml"):
        (folder / name).write_text(MODEL.format(top, world, more))
        return folder / name

    return model


USE = '<geom type="mesh" mesh="m"/>'


def mesh(name):
    return f'<asset><mesh name="m" file="{name}"/></asset>'


def test_a_mesh_of_its_own_is_fine(write):
    path = write('<compiler meshdir="parts"/>', USE, mesh("own.obj"))
    (path.parent / "parts").mkdir()
    (path.parent / "parts" / "own.obj").write_text(TETRAHEDRON)
    assert compile_spec(read_spec(path), path).nmesh == 1


def outside(write, kind):
    folder = write().parent
    secret = folder.parent / "secret.obj"
    match kind:
        case "parent":
            return write(mesh("../secret.obj"), USE)
        case "absolute":
            return write(mesh(str(secret)), USE)
        case "link":
            (folder / "own.obj").symlink_to(secret)
            return write(mesh("own.obj"), USE)
        case "link_to_folder":
            (folder / "parts").symlink_to(folder.parent)
            return write(mesh("parts/secret.obj"), USE)
        case "meshdir":
            return write('<compiler meshdir=".."/>' + mesh("secret.obj"), USE)
        case "assetdir":
            return write(f'<compiler assetdir="{folder.parent}"/>' + mesh("secret.obj"), USE)
        case "meshdir_of_an_include":
            text = '<mujocoinclude><compiler meshdir=".."/></mujocoinclude>'
            (folder / "sly.xml").write_text(text)
            return write(mesh("secret.obj") + '<include file="sly.xml"/>', USE)
        case "include_of_an_include":
            text = '<mujocoinclude><include file="../secret.xml"/></mujocoinclude>'
            (folder / "sly.xml").write_text(text)
            return write('<include file="sly.xml"/>')
        case "sub_model":
            world = f'<worldbody><body name="c">{USE}</body></worldbody>'
            (folder / "sub.xml").write_text(f"<mujoco>{mesh('../secret.obj')}{world}</mujoco>")
            return write('<asset><model name="s" file="sub.xml"/></asset>')
        case "texture":
            names = 'fileright="../secret.png" fileleft="../secret.png"'
            (folder.parent / "secret.png").write_bytes(b"\x89PNG")
            return write(f'<asset><texture name="t" type="cube" {names}/></asset>')
        case "height_field":
            return write('<asset><hfield name="h" size="1 1 1 1" file="/etc/hostname"/></asset>')
        case "skin":
            return write('<asset><skin name="s" file="../secret.obj"/></asset>')
        case "flex":
            return write("", '<flexcomp name="f" type="mesh" file="../secret.obj"/>')
        case _:
            return write(mesh("..\\secret.obj"), USE)


KINDS = [
    "parent",
    "absolute",
    "link",
    "link_to_folder",
    "meshdir",
    "assetdir",
    "meshdir_of_an_include",
    "include_of_an_include",
    "sub_model",
    "texture",
    "height_field",
    "skin",
    "flex",
    "backslash",
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_in_a_bundle_reads_nothing_outside(write, kind, tmp_path):
    line = problem_of(outside(write, kind))
    assert f"which is outside {tmp_path / 'model'}, with which the model came" in line


@pytest.mark.parametrize("kind", ["parent", "meshdir_of_an_include", "link"])
def test_a_model_of_ones_own_reads_what_it_refers_to(write, kind):
    """Meshes in a sibling folder are what robot descriptions have."""
    path = outside(write, kind)
    (path.parent / "contract.json").unlink()
    assert compile_spec(read_spec(path), path).nmesh == 1


def test_in_a_run_parts_may_lie_anywhere_in_it(write, tmp_path):
    path = outside(write, "parent")
    (path.parent / "contract.json").unlink()
    (tmp_path / "provenance.json").touch()
    assert compile_spec(read_spec(path), path).nmesh == 1
    path = write(mesh("/etc/hosts"), USE)
    assert f"outside {tmp_path}" in problem_of(path)


def test_a_link_to_a_model_is_read_where_the_model_lies(write, tmp_path):
    """What is checked is what MuJoCo reads."""
    path = write(mesh("own.obj"), USE)
    (path.parent / "own.obj").write_text(TETRAHEDRON)
    link = tmp_path / "elsewhere" / "link.xml"
    link.parent.mkdir()
    link.symlink_to(path)
    assert compile_spec(read_spec(link), link).nmesh == 1


def test_a_pipe_is_not_waited_for(write):
    path = write(mesh("own.obj"), USE)
    os.mkfifo(path.parent / "own.obj")
    assert "is no plain file" in problem_of(path)


UNREADABLE = {
    "huge": ("<!--" + 30_000_000 * "x" + "-->", "arm.xml has 30 MB; at most 20 are read"),
    "outside entity": (
        '<!DOCTYPE m [<!ENTITY x SYSTEM "/etc/hostname">]><mujoco model="&x;"/>',
        "is not valid XML: reference to external entity",
    ),
    "empty": ("", "is not valid XML"),
    "binary": (b"\x00\xff\xfe\x00" * 100, "is not valid XML"),
    "other encoding": (MODEL.format("", "", "").encode("utf-16"), "is not valid XML"),
    "no model": ("<html/>", "its root element is <html>"),
    "long name": (MODEL.format(mesh("a" * 5000), USE, ""), "is no name of a file"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_model_is_one_line(tmp_path, name):
    content, text = UNREADABLE[name]
    path = tmp_path / "arm.xml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert text in problem_of(path)


def test_a_file_that_includes_itself_comes_to_an_end(write):
    assert problem_of(write('<include file="arm.xml"/>'))
