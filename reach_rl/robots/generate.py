"""Write assets/robots/<name>.xml from assets/ur_family.yaml; with --check, only compare.

One arm becomes readable XML text, always the same for the same numbers.
"""

import argparse
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from reach_rl.config import assets_dir
from reach_rl.robots.family import HOME, Family, Numbers, PublishedArm, read_family

HEADER = """\
<!-- {title}

     Generated from assets/ur_family.yaml by `make assets`; edit the numbers, not this file.

     Frames: `base_link` is the world: x forward, z up, origin at the mounting face, which stands
     on the table top (z = 0). `base_link_inertia` is turned by pi about z and is frame 0 of the
     published Denavit-Hartenberg table; site `tcp` on the tool flange is frame 6.
     Geoms: group 2 is looks, group 3 is collision. -->
"""

NEVER_TOUCH = (
    ("base_link_inertia", "shoulder_link"),  # neighbours, but a fixed base has no parent filter
    ("base_link_inertia", "upper_arm_link"),
    ("wrist_1_link", "wrist_3_link"),
)
"""Pairs of links that cannot touch; other neighbours are filtered by MuJoCo."""

ARENA = "1M"
"""Room for contacts, a dozen times what the arm in its worst tangle takes; MuJoCo itself reserves
13 MB for each of thousands of simulations."""

OFF_TABLE = ("base_link_inertia", "shoulder_link")
"""Links that cannot touch the table."""


def documents(assets: Path) -> dict[Path, str]:
    """The text of every generated file, by path."""
    family = read_family(assets / "ur_family.yaml")
    return {
        assets / "robots" / f"{name}.xml": arm_xml(arm, family) for name, arm in family.arms.items()
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 1 the files are out of step (only with --check)."""
    parser = argparse.ArgumentParser(
        prog="python -m reach_rl.robots.generate", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if stale")
    parser.add_argument("--assets", type=Path, default=None, help="folder of ur_family.yaml")
    arguments = parser.parse_args(argv)
    wanted = documents(arguments.assets or assets_dir())
    stale = [path for path, text in wanted.items() if _read(path) != text]
    if arguments.check:
        for path in stale:
            print(f"{path} is out of step with ur_family.yaml; run: make assets", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
        print(f"wrote {path}")
    return 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def arm_xml(arm: PublishedArm, family: Family) -> str:
    """The MJCF document of one arm."""
    root = ET.Element("mujoco", model=arm.name)
    ET.SubElement(root, "compiler", angle="radian", autolimits="true")
    ET.SubElement(root, "option", timestep="0.005", integrator="implicitfast")
    ET.SubElement(root, "size", memory=ARENA)
    _defaults(root, arm)
    asset = ET.SubElement(root, "asset")
    for name, rgba in family.colors.items():
        look = {key: _num(value) for key, value in family.material.items()}
        ET.SubElement(asset, "material", {"name": name, "rgba": _nums(rgba), **look})
    world = ET.SubElement(root, "worldbody")
    ET.SubElement(world, "geom", {"name": "table", "class": "table", "size": "2 2 0.1"})
    _tree(world, arm)
    contact = ET.SubElement(root, "contact")
    for one, other in NEVER_TOUCH:
        ET.SubElement(contact, "exclude", body1=one, body2=other)
    _servos(root, arm.numbers)
    custom = ET.SubElement(root, "custom")
    speeds = _nums(map(math.radians, arm.numbers["joint_limits"]["velocity_deg_s"]))
    ET.SubElement(custom, "numeric", name="velocity_limit", data=speeds)
    ET.SubElement(custom, "numeric", name="reach", data=_num(arm.reach))
    keyframe = ET.SubElement(root, "keyframe")
    ET.SubElement(keyframe, "key", name="home", qpos=_nums(HOME), ctrl=_nums(HOME))
    ET.indent(root)
    return HEADER.format(title=_title(arm)) + ET.tostring(root, encoding="unicode") + "\n"


def _title(arm: PublishedArm) -> str:
    same = "" if arm.hardware == arm.name else f" (the hardware of a {_human(arm.hardware)})"
    return f"Universal Robots {_human(arm.name)}{same}: {arm.reach:g} m reach."


def _human(name: str) -> str:
    return "UR" + name.removeprefix("ur")


def _defaults(root: ET.Element, arm: PublishedArm) -> None:
    top = ET.SubElement(ET.SubElement(root, "default"), "default", {"class": arm.name})
    armature = _num(arm.numbers["actuator"]["armature"][0])
    # the drive holds the arm up itself, within its torque limit
    ET.SubElement(top, "joint", axis="0 0 1", armature=armature, actuatorgravcomp="true")
    visual = ET.SubElement(top, "default", {"class": "visual"})
    ET.SubElement(visual, "geom", type="cylinder", group="2", contype="0", conaffinity="0")
    collision = ET.SubElement(top, "default", {"class": "collision"})
    ET.SubElement(collision, "geom", type="cylinder", group="3", contype="1", conaffinity="3")
    base = ET.SubElement(collision, "default", {"class": "collision_off_table"})
    ET.SubElement(base, "geom", conaffinity="1")
    table = ET.SubElement(top, "default", {"class": "table"})
    ET.SubElement(table, "geom", type="plane", group="3", contype="2", conaffinity="0")


def _tree(world: ET.Element, arm: PublishedArm) -> None:
    base = ET.SubElement(world, "body", name="base_link", childclass=arm.name)
    first, *links = arm.numbers["links"]
    body = ET.SubElement(base, "body", name=first["link"], quat="0 0 0 1")
    _fill(body, arm.numbers, first)
    for i, (joint, link) in enumerate(zip(arm.numbers["urdf_joints"], links, strict=True)):
        position = [0.0 if abs(x) < 1e-9 else x for x in joint["xyz"]]
        pose = {"pos": _nums(position), "quat": _quat(joint["rpy"])}
        if pose["quat"] == "1 0 0 0":
            del pose["quat"]
        body = ET.SubElement(body, "body", {"name": link["link"], **pose, "gravcomp": "1"})
        _fill(body, arm.numbers, link, i)
    ET.SubElement(body, "site", name="tcp", group="4", size="0.01")


def _fill(body: ET.Element, numbers: Numbers, link: Numbers, joint: int | None = None) -> None:
    """What a body holds: its inertia, its joint, its looks and its collision shapes."""
    name = link["link"]
    # a tensor derived from a sister arm stands in where the published one is suspect
    inertia = numbers.get("fullinertia_derived", {}).get(name, link["fullinertia"])
    inertial = {"mass": _num(link["mass"]), "pos": _nums(link["com"])}
    ET.SubElement(body, "inertial", inertial, fullinertia=_nums(inertia))
    if joint is not None:
        _joint(body, numbers, joint)
    own = {name.removesuffix("_link"), "base" if name == "base_link_inertia" else name}
    off_table = "collision_off_table" if name in OFF_TABLE else "collision"
    for kind, part in (("visual", "visual_primitives"), (off_table, "collision_primitives")):
        for shape in numbers[part]:
            if shape["link"] in own:
                ET.SubElement(body, "geom", {"class": kind, **_shape(shape)})


def _joint(body: ET.Element, numbers: Numbers, i: int) -> None:
    limit = math.radians(numbers["joint_limits"]["position_deg"][i])
    limits = {"range": _nums((-limit, limit))} if math.isfinite(limit) else {}
    limits["actuatorfrcrange"] = _torque(numbers, i)
    armature = numbers["actuator"]["armature"]
    if armature[i] != armature[0]:
        limits["armature"] = _num(armature[i])
    ET.SubElement(body, "joint", {"name": numbers["urdf_joints"][i]["joint"], **limits})


def _torque(numbers: Numbers, i: int) -> str:
    torque = numbers["joint_limits"]["effort_nm"][i]
    return _nums((-torque, torque))


def _shape(shape: Numbers) -> dict[str, str]:
    kind = shape.get("shape") or shape["type"]
    attributes = {} if kind == "cylinder" else {"type": kind}
    attributes["size"] = _nums(shape["size"] if "size" in shape else [shape["radius"]])
    attributes |= {key: _nums(shape[key]) for key in ("fromto", "pos") if key in shape}
    return attributes | ({"material": shape["color"]} if shape.get("color") else {})


def _servos(root: ET.Element, numbers: Numbers) -> None:
    actuator, gains = ET.SubElement(root, "actuator"), numbers["actuator"]
    for i, joint in enumerate(numbers["urdf_joints"]):
        name = joint["joint"]
        servo = {"name": name.removesuffix("_joint"), "joint": name}
        servo |= {key: _num(gains[key][i]) for key in ("kp", "kv")}
        servo["forcerange"] = _torque(numbers, i)
        limit = math.radians(numbers["joint_limits"]["position_deg"][i])
        if math.isfinite(limit):
            servo["ctrlrange"] = _nums((-limit, limit))
        ET.SubElement(actuator, "position", servo)


def _quat(rpy: Sequence[float]) -> str:
    """Quaternion w x y z of fixed-axis angles, scaled to whole numbers.

    The published angles are quarter turns, written with a calibration's rounding.
    """
    turns = [round(angle / (math.pi / 2)) for angle in rpy]
    if any(abs(angle - n * math.pi / 2) > 1e-6 for angle, n in zip(rpy, turns, strict=True)):
        raise ValueError(f"joint frame angles {rpy} are not multiples of pi/2")
    roll, pitch, yaw = (n * math.pi / 4 for n in turns)
    cr, sr = math.cos(roll), math.sin(roll)
    cp, sp = math.cos(pitch), math.sin(pitch)
    cy, sy = math.cos(yaw), math.sin(yaw)
    quat = (
        cr * cp * cy + sr * sp * sy,
        sr * cp * cy - cr * sp * sy,
        cr * sp * cy + sr * cp * sy,
        cr * cp * sy - sr * sp * cy,
    )
    largest = max(quat, key=abs)
    return _nums(round(x / largest, 12) for x in quat)


def _nums(values: Iterable[float]) -> str:
    return " ".join(_num(value) for value in values)


def _num(value: float) -> str:
    return f"{value + 0.0:.10g}"


if __name__ == "__main__":
    sys.exit(main())
