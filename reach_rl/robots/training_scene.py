"""The scene that is simulated in training: the arm, what it stands on, and two contact sensors.

Everything that costs time and changes nothing is left out: looks, lights, cameras, sensors of the
model; fixed bodies are merged; the pairs of shapes that can touch are listed once instead of
searched for at every step (a tenth of the step time of a UR arm).
"""

from collections.abc import Iterable, Mapping, Sequence

import mujoco
import numpy as np

from reach_rl.config.load import ConfigError
from reach_rl.config.schema import ScenePart
from reach_rl.extend import entries
from reach_rl.robots.joints import lineage

PAYLOAD = "payload"
SELF_CONTACT, TABLE_CONTACT = "self_contact", "table_contact"
MOST_PAIRS = 200
"""With more pairs of shapes than this, MuJoCo's search is quicker than a list."""


def set_stepping(spec: mujoco.MjSpec, physics_step: float) -> list[str]:
    """The time step and integrator of the simulation; in words what the model says otherwise."""
    option, fast = spec.option, mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    before, after = (option.timestep, int(option.integrator)), (physics_step, int(fast))
    option.timestep, option.integrator = physics_step, fast
    if before == after:
        return []
    was, now = (
        f"steps of {1e3 * step:g} ms ({mujoco.mjtIntegrator(kind).name[6:].lower()})"
        for step, kind in (before, after)
    )
    return [f"simulated in {now}, task.physics_step; the model says {was}"]


def strip(spec: mujoco.MjSpec, model: mujoco.MjModel) -> None:
    """Remove what only a viewer or a reader of sensors needs; the dynamics stay as they are."""
    for element in [*spec.sensors, *spec.lights, *spec.cameras]:
        spec.delete(element)
    spec.compiler.discardvisual = True
    spec.compiler.fusestatic = _may_merge(model)


def _may_merge(model: mujoco.MjModel) -> bool:
    """Whether every body fixed to a moving one has its gravity compensated as that one has."""
    moving = model.body_weldid != 0
    same = model.body_gravcomp == model.body_gravcomp[model.body_weldid]
    return bool((same | ~moving | (model.body_mass == 0)).all())


def name_all(spec: mujoco.MjSpec) -> None:
    """Give every body and geom a name, for references."""
    for kind, elements in (("body", spec.bodies), ("geom", spec.geoms)):
        for i, element in enumerate(elements):
            element.name = element.name or f"unnamed_{kind}_{i}"


def with_parts(spec: mujoco.MjSpec, parts: Mapping[str, ScenePart | None]) -> mujoco.MjSpec:
    """The scene with what extensions put beside the arm (see reach_rl.extend.scene_part).

    Raises:
        ConfigError: a part cannot be made.
    """
    known = entries("scene_part")
    for name, part in parts.items():
        try:
            made = spec if part is None else known[name](spec, **part.arguments)
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise ConfigError(f"robot.parts.{name}: {what}") from error
        if not isinstance(made, mujoco.MjSpec):
            raise ConfigError(f"robot.parts.{name}: gave {made!r}, but a MjSpec is expected")
        spec = made
    name_all(spec)
    return spec


def root_of(spec: mujoco.MjSpec, site: str) -> str:
    """Name of the topmost body of the arm that carries the site."""
    body = spec.site(site).parent
    while body.parent.name != "world":
        body = body.parent
    return body.name


def add_table(spec: mujoco.MjSpec) -> None:
    """A plane at z = 0 that every collision shape of the model can touch."""
    types = affinities = 0
    for geom in spec.geoms:
        types |= geom.contype
        affinities |= geom.conaffinity
    spec.worldbody.add_geom(
        name="table",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[0, 0, 0.1],
        contype=affinities,
        conaffinity=types,
        group=3,
    )


def needs_table(model: mujoco.MjModel, root: str) -> bool:
    """Whether the model has no collision shape but the arm's own."""
    own = model.body_rootid[model.geom_bodyid] == model.body(root).id
    solid = (model.geom_contype | model.geom_conaffinity) != 0
    return not (solid & ~own).any()


def add_payload(spec: mujoco.MjSpec, model: mujoco.MjModel, site: str) -> None:
    """A massless body at the tool; a simulation gives it a mass (`body_mass`) and it weighs."""
    if PAYLOAD in [body.name for body in spec.bodies]:
        return
    i = model.site(site).id
    spec.body(model.body(model.site_bodyid[i]).name).add_body(
        name=PAYLOAD, pos=model.site_pos[i], mass=0.0, inertia=[0, 0, 0], explicitinertial=True
    )
    spec.add_exclude(bodyname1=PAYLOAD, bodyname2="world")  # a reference, so it is not merged


def add_contact_sensors(spec: mujoco.MjSpec, root: str) -> None:
    """Count contacts of the arm with itself and with the world."""
    subtree, body = mujoco.mjtObj.mjOBJ_XBODY, mujoco.mjtObj.mjOBJ_BODY
    for name, kind, other in ((SELF_CONTACT, subtree, root), (TABLE_CONTACT, body, "world")):
        spec.add_sensor(
            name=name,
            type=mujoco.mjtSensor.mjSENS_CONTACT,
            objtype=kind,
            objname=other,
            reftype=subtree,
            refname=root,
            intprm=[1 << int(mujoco.mjtConDataField.mjCONDATA_FOUND), 0, 1],
        )


def list_pairs(spec: mujoco.MjSpec, model: mujoco.MjModel) -> bool:
    """Replace the search for contacts by the list of pairs that it would consider.

    Returns:
        Whether it did; models with pairs of their own, flexes or many shapes stay as they are.
    """
    if spec.pairs or model.nflex:
        return False
    pairs = _pairs(model)
    if len(pairs) > MOST_PAIRS:
        return False
    for one, other in pairs:
        spec.add_pair(geomname1=model.geom(one).name, geomname2=model.geom(other).name)
    for geom in spec.geoms:
        geom.contype = geom.conaffinity = 0
    for exclude in list(spec.excludes):
        if PAYLOAD not in (exclude.bodyname1, exclude.bodyname2):
            spec.delete(exclude)
    return True


def _pairs(model: mujoco.MjModel) -> list[tuple[int, int]]:
    """Geom pairs that MuJoCo's filters let through, as its documentation states them."""
    excluded = {tuple(sorted((s >> 16, s & 0xFFFF))) for s in model.exclude_signature.tolist()}
    flags = int(model.opt.disableflags)
    parents = not flags & int(mujoco.mjtDisableBit.mjDSBL_FILTERPARENT)
    found = []
    for one in range(model.ngeom):
        for other in range(one + 1, model.ngeom):
            bits = model.geom_contype[one] & model.geom_conaffinity[other]
            bits |= model.geom_contype[other] & model.geom_conaffinity[one]
            low, high = sorted((int(model.geom_bodyid[one]), int(model.geom_bodyid[other])))
            if bits and (low, high) not in excluded and not _joined(model, low, high, parents):
                found.append((one, other))
    return found


def _joined(model: mujoco.MjModel, one: int, other: int, parents: bool) -> bool:
    """Whether two bodies are one rigid piece, or parent and child pieces (not of the world)."""
    a, b = model.body_weldid[one], model.body_weldid[other]
    if a == b:
        return True
    above_a, above_b = (model.body_weldid[model.body_parentid[x]] for x in (a, b))
    return bool(parents and a and b and (a == above_b or b == above_a))


SAME = 1e-6
"""Distances that differ by less are the same (m)."""

FREE = (int(mujoco.mjtJoint.mjJNT_FREE), int(mujoco.mjtJoint.mjJNT_BALL))


def settle_contacts(
    spec: mujoco.MjSpec,
    model: mujoco.MjModel,
    qpos: np.ndarray,
    joints: Sequence[int],
    root: str,
    source: str,
) -> list[str]:
    """Leave out the contacts at home of what is built to touch; what those are, in words.

    That is: neighbours within the arm, its first link and the world, and parts that the policy's
    joints do not move against one another. What is no part of the arm stays as it is.

    Args:
        spec: gets the exclusions.
        model: of the spec.
        qpos: (nq,) home of the whole model.
        joints: ids of the joints that the policy moves.
        root: name of the topmost body of the arm.
        source: what set the home.

    Raises:
        ConfigError: at home the arm touches the world or itself in earnest.
    """
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_fwdPosition(model, data)
    own = model.body_rootid == model.body(root).id
    pairs = {tuple(sorted(int(model.geom_bodyid[g]) for g in c.geom)) for c in data.contact}
    notes = []
    for one, other in sorted(pairs):
        if not (own[one] or own[other]) or (own[one] != own[other] and model.body_weldid[one] != 0):
            continue
        name, with_what = model.body(other).name, model.body(one).name
        with_what = with_what if own[one] else "the table" if one == 0 else with_what
        between = _joints_between(model, one, other)
        moved = [joint for joint in between if joint in joints]
        if not own[one] and not moved and any(model.jnt_type[j] in FREE for j in between):
            raise ConfigError(
                f'robot.mjcf: the arm stands on {with_what} by the contact of "{name}", which '
                f"counts as a collision; fix its base to the world (no free joint)"
            )
        if moved and len(between) > 2 - (not own[one]):
            raise ConfigError(
                f"{source}: {name} touches {with_what} there; set robot.home to a free pose"
            )
        spec.add_exclude(bodyname1=model.body(one).name, bodyname2=name)
        notes.append(f"{name} touches {with_what} at home; contacts between the two are left out")
    return notes


def _joints_between(model: mujoco.MjModel, one: int, other: int) -> list[int]:
    """Joints that move two bodies against one another: those below their common ancestor."""
    apart = {*lineage(model, one)} ^ {*lineage(model, other)}
    return [j for j in range(model.njnt) if int(model.jnt_bodyid[j]) in apart]


def exclude_unchanging(
    spec: mujoco.MjSpec,
    model: mujoco.MjModel,
    poses: Iterable[mujoco.MjData],
    joints: Sequence[int],
    root: str,
) -> None:
    """Leave out contacts of the world with links whose distance from it no joint can change.

    They never touch, but with a clearance around the world they would always count as too near.
    """
    own = model.body_rootid == model.body(root).id
    apart: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for geoms in _pairs(model):
        world, link = sorted(int(model.geom_bodyid[g]) for g in geoms)
        if not own[world] and own[link] and model.body_weldid[world] == 0:
            apart.setdefault((world, link), []).append(geoms)
    apart = {
        bodies: pairs
        for bodies, pairs in apart.items()
        if set(_joints_between(model, *bodies)) <= set(joints)
    }
    before: dict[tuple[int, int], np.ndarray] = {}
    for data in poses:
        for bodies, pairs in list(apart.items()):
            now = [mujoco.mj_geomDistance(model, data, *pair, 10.0, None) for pair in pairs]
            if np.abs(now - before.setdefault(bodies, np.array(now))).max() > SAME:
                del apart[bodies]
    for world, link in apart:
        spec.add_exclude(bodyname1=model.body(world).name, bodyname2=model.body(link).name)
