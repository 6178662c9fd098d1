"""The generated models against the published numbers."""

import math
import shutil
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
import yaml

from reach_rl.config import assets_dir
from reach_rl.robots.family import NAMES, read_family
from reach_rl.robots.generate import documents, main


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    """The robots of the numbers file, untyped."""
    text = (assets_dir() / "ur_family.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["robots"]


def model_of(name: str) -> mujoco.MjModel:
    """The generated model."""
    return mujoco.MjModel.from_xml_path(str(assets_dir() / "robots" / f"{name}.xml"))


def dh_forward(dh: dict[str, list[float]], q: np.ndarray) -> np.ndarray:
    """(4, 4) pose of frame 6 in frame 0, from the standard Denavit-Hartenberg table."""
    pose = np.eye(4)
    for a, d, alpha, theta in zip(dh["a"], dh["d"], dh["alpha"], q, strict=True):
        c, s, ca, sa = math.cos(theta), math.sin(theta), math.cos(alpha), math.sin(alpha)
        row = [[c, -s * ca, s * sa, a * c], [s, c * ca, -c * sa, a * s]]
        pose = pose @ np.array([*row, [0, sa, ca, d], [0, 0, 0, 1]])
    return pose


@pytest.mark.parametrize("name", NAMES)
def test_kinematics_equal_the_dh_table(name: str, published: dict[str, Any]) -> None:
    """Position to 1e-6 m and orientation to 1e-6 rad at 100 configurations."""
    model = model_of(name)
    data = mujoco.MjData(model)
    base, tcp = model.body("base_link_inertia").id, model.site("tcp").id
    dh = published[published[name].get("same_as", name)]["dh"]
    rng = np.random.default_rng(7)
    for q in rng.uniform(-2 * np.pi, 2 * np.pi, (100, 6)):
        data.qpos[:] = q
        mujoco.mj_kinematics(model, data)
        frame = data.xmat[base].reshape(3, 3)
        position = frame.T @ (data.site_xpos[tcp] - data.xpos[base])
        turn = frame.T @ data.site_xmat[tcp].reshape(3, 3)
        expected = dh_forward(dh, q)
        difference = turn.T @ expected[:3, :3]
        skew = difference - difference.T
        angle = math.asin(min(1.0, np.linalg.norm(skew) / (2 * math.sqrt(2))))
        assert np.trace(difference) > 2.9
        assert np.linalg.norm(position - expected[:3, 3]) < 1e-6
        assert angle < 1e-6


def test_home_points_forward() -> None:
    """Base_link follows REP-103: at home the tool is in front (x) and above (z), pointing down."""
    model = model_of("ur5e")
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    mujoco.mj_kinematics(model, data)
    assert data.site("tcp").xpos[0] > 0.4
    assert data.site("tcp").xpos[2] > 0.4
    assert data.site("tcp").xmat.reshape(3, 3)[2, 2] == pytest.approx(-1.0)


@pytest.mark.parametrize("name", NAMES)
def test_masses_limits_and_servos_are_the_published(name: str, published: dict[str, Any]) -> None:
    """Total mass, inertia tensors, limits, gains and reach, straight from the numbers file."""
    numbers = published[published[name].get("same_as", name)]
    model = model_of(name)
    assert model.body_subtreemass[0] == pytest.approx(sum(x["mass"] for x in numbers["links"]))
    limits, servo = numbers["joint_limits"], numbers["actuator"]
    finite = np.isfinite(limits["position_deg"])
    assert (model.jnt_limited == finite).all()
    assert np.allclose(
        model.jnt_range[finite, 1], np.radians(np.array(limits["position_deg"])[finite])
    )
    assert np.allclose(model.actuator_forcerange[:, 1], limits["effort_nm"])
    assert np.allclose(model.numeric("velocity_limit").data, np.radians(limits["velocity_deg_s"]))
    assert np.allclose(model.actuator_gainprm[:, 0], servo["kp"])
    assert np.allclose(model.actuator_biasprm[:, 2], -np.array(servo["kv"]))
    assert np.allclose(model.dof_armature, servo["armature"])
    assert np.allclose(model.jnt_actfrcrange[:, 1], limits["effort_nm"])
    assert model.jnt_actfrclimited.all() and model.jnt_actgravcomp.all()
    assert model.numeric("reach").data[0] == published[name]["spec"]["reach_m"]
    derived = numbers.get("fullinertia_derived", {})
    for link in numbers["links"]:
        tensor = derived.get(link["link"], link["fullinertia"])
        xx, yy, zz, xy, xz, yz = tensor
        principal = np.linalg.eigvalsh([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        assert np.allclose(np.sort(model.body(link["link"]).inertia), principal, rtol=1e-6)


def test_ur30_does_not_use_the_suspect_tensors() -> None:
    """Its upper arm is heavier and longer than the UR16e's, and turns harder."""
    inertia = {n: max(model_of(n).body("upper_arm_link").inertia) for n in ("ur16e", "ur30")}
    assert inertia["ur30"] > 4 * inertia["ur16e"]


def test_only_the_ur3e_turns_its_last_joint_without_limit() -> None:
    """As on the real arm."""
    assert [n for n in NAMES if not model_of(n).jnt_limited[5]] == ["ur3e"]


def test_sister_arms_share_hardware() -> None:
    """The UR7e is a UR5e, the UR12e a UR10e."""
    arms = read_family(assets_dir() / "ur_family.yaml")[0]
    for sister, arm in (("ur7e", "ur5e"), ("ur12e", "ur10e")):
        assert arms[sister].hardware == arm
        for part in ("links", "urdf_joints", "joint_limits", "collision_primitives"):
            assert arms[sister].numbers[part] == arms[arm].numbers[part]


def test_excluded_pairs_can_not_touch() -> None:
    """With the exclusions removed, no arm in free motion touches itself there."""
    rng = np.random.default_rng(3)
    for name in NAMES:
        spec = mujoco.MjSpec.from_file(str(assets_dir() / "robots" / f"{name}.xml"))
        pairs = {frozenset((e.bodyname1, e.bodyname2)) for e in spec.excludes}
        for exclude in list(spec.excludes):
            spec.delete(exclude)
        model = spec.compile()
        data = mujoco.MjData(model)
        for q in rng.uniform(-np.pi, np.pi, (400, 6)):
            data.qpos[:] = q
            mujoco.mj_fwdPosition(model, data)
            for one, other in data.contact.geom:
                names = [model.body(model.geom_bodyid[g]).name for g in (one, other)]
                assert frozenset(names) not in pairs, f"{name}: {names} at {q}"


def test_generated_files_are_in_step() -> None:
    """The committed models are what the generator writes today."""
    assert main(["--check"]) == 0
    wanted = {p.name for p in documents(assets_dir())}
    assert {p.name for p in (assets_dir() / "robots").glob("*.xml")} == wanted


def test_check_notices_a_stale_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A changed number makes --check fail and names the command; writing repairs it."""
    text = (assets_dir() / "ur_family.yaml").read_text(encoding="utf-8")
    (tmp_path / "ur_family.yaml").write_text(
        text.replace("effort_nm: [54, 54, 28", "effort_nm: [55, 54, 28")
    )
    shutil.copytree(assets_dir() / "robots", tmp_path / "robots")
    assert main(["--check", "--assets", str(tmp_path)]) == 1
    assert (
        "ur3e.xml is out of step with ur_family.yaml; run: make assets" in capsys.readouterr().err
    )
    assert main(["--assets", str(tmp_path)]) == 0
    assert main(["--check", "--assets", str(tmp_path)]) == 0
    assert 'forcerange="-55 55"' in (tmp_path / "robots" / "ur3e.xml").read_text()


def test_what_an_arm_lacks_and_arms_without_a_model_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers alone make no model; a model without all its numbers is refused in a line."""
    tree = yaml.safe_load((assets_dir() / "ur_family.yaml").read_text(encoding="utf-8"))
    numbers = tmp_path / "ur_family.yaml"
    numbers.write_text(yaml.safe_dump(tree))
    assert main(["--assets", str(tmp_path)]) == 0
    assert "no model of ur18, ur8long:" in capsys.readouterr().out
    for part in ("dh", "joint_limits"):
        less = {**tree["robots"], "ur5e": {**tree["robots"]["ur5e"]}}
        del less["ur5e"][part]
        numbers.write_text(yaml.safe_dump({**tree, "robots": less}))
        assert main(["--assets", str(tmp_path)]) == 1
        assert capsys.readouterr().err.startswith("ur_family.yaml: an arm of conf/robot lacks ")
