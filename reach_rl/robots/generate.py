"""Write assets/robots/<name>.xml from assets/ur_family.yaml; with --check, only compare.

One arm becomes readable XML text, always the same for the same numbers.
"""

import argparse
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from reach_rl.config.paths import assets_dir
from reach_rl.robots.family import HOME, Family, Joint, Link, PublishedArm, Shape, read_family

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
        look = {"name": name, "rgba": _nums(rgba)}
        look |= {"specular": _num(family.specular), "shininess": _num(family.shininess)}
        ET.SubElement(asset, "material", look)
    world = ET.SubElement(root, "worldbody")
    ET.SubElement(world, "geom", {"name": "table", "class": "table", "size": "2 2 0.1"})
    _tree(world, arm)
    contact = ET.SubElement(root, "contact")
    for one, other in NEVER_TOUCH:
        ET.SubElement(contact, "exclude", body1=one, body2=other)
    _servos(root, arm.joints)
    custom = ET.SubElement(root, "custom")
    velocities = _nums(joint.velocity for joint in arm.joints)
    ET.SubElement(custom, "numeric", name="velocity_limit", data=velocities)
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
    armature = _num(arm.joints[0].armature)
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
    first, *links = arm.links
    body = ET.SubElement(base, "body", name=first.name, quat="0 0 0 1")
    _fill(body, arm, first)
    for joint, link in zip(arm.joints, links, strict=True):
        pose = {"pos": _nums(joint.position), "quat": _quat(joint.rpy)}
        if pose["quat"] == "1 0 0 0":
            del pose["quat"]
        body = ET.SubElement(body, "body", {"name": link.name, **pose, "gravcomp": "1"})
        _fill(body, arm, link, joint)
    ET.SubElement(body, "site", name="tcp", group="4", size="0.01")


def _fill(body: ET.Element, arm: PublishedArm, link: Link, joint: Joint | None = None) -> None:
    """What a body holds: its inertia, its joint, its looks and its collision shapes."""
    inertial = {"mass": _num(link.mass), "pos": _nums(link.com)}
    ET.SubElement(body, "inertial", inertial, fullinertia=_nums(link.inertia))
    if joint is not None:
        limited = math.isfinite(joint.limit)
        limits = {"range": _nums((-joint.limit, joint.limit))} if limited else {}
        limits["actuatorfrcrange"] = _nums((-joint.torque, joint.torque))
        if joint.armature != arm.joints[0].armature:
            limits["armature"] = _num(joint.armature)
        ET.SubElement(body, "joint", {"name": joint.name, **limits})
    for shape in arm.visual:
        if shape.link == link.name:
            ET.SubElement(body, "geom", {"class": "visual", **_shape(shape)})
    kind = "collision_off_table" if link.name in OFF_TABLE else "collision"
    for shape in arm.collision:
        if shape.link == link.name:
            ET.SubElement(body, "geom", {"class": kind, **_shape(shape)})


def _shape(shape: Shape) -> dict[str, str]:
    attributes = {} if shape.kind == "cylinder" else {"type": shape.kind}
    attributes["size"] = _nums(shape.size)
    if shape.ends is not None:
        attributes["fromto"] = _nums(shape.ends)
    if shape.position is not None:
        attributes["pos"] = _nums(shape.position)
    if shape.color is not None:
        attributes["material"] = shape.color
    return attributes


def _servos(root: ET.Element, joints: Sequence[Joint]) -> None:
    actuator = ET.SubElement(root, "actuator")
    for joint in joints:
        limited = math.isfinite(joint.limit)
        servo = {"name": joint.name.removesuffix("_joint"), "joint": joint.name}
        servo |= {"kp": _num(joint.kp), "kv": _num(joint.kv)}
        servo["forcerange"] = _nums((-joint.torque, joint.torque))
        if limited:
            servo["ctrlrange"] = _nums((-joint.limit, joint.limit))
        ET.SubElement(actuator, "position", servo)


def _quat(rpy: Sequence[float]) -> str:
    """Quaternion w x y z of fixed-axis angles, scaled to whole numbers for quarter turns."""
    roll, pitch, yaw = (angle / 2 for angle in rpy)
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
