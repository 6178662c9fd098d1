"""Episodes whose numbers went bad, in files: python -m reach_rl.envs.replay FILE steps one again.

physics_reset_<step>_<environment>.npz holds the last second of states, targets, actions and goals
of the one simulation and the model fields that it had for itself (see guard.Incident); the .json
of the same name holds the configuration, what was seen, and the command that replays it.
"""

import argparse
import hashlib
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import mujoco
import numpy as np
from mujoco.batch import Batch

from reach_rl.config.load import ConfigError, to_config_of_any_age
from reach_rl.config.problems import command
from reach_rl.config.schema import Config
from reach_rl.config.untrusted import redact
from reach_rl.config.validation import to_tree
from reach_rl.envs.guard import WARNINGS, Guard, Incident, hush
from reach_rl.envs.physics import RANDOMIZED
from reach_rl.robots import RobotModel, load_robot
from reach_rl.rundir.atomic import write_json

FORMAT = 1
_ARRAYS = ("states", "targets", "actions", "goal_position", "goal_quaternion")
_DAMAGED = (OSError, ValueError, TypeError, LookupError, BadZipFile, MemoryError, RecursionError)
_KNOWN = ("step", "environment", "warning", "joint", "model_sha256", "config")


def write(folder: Path, incident: Incident, step: int, config: Config, robot: RobotModel) -> Path:
    """Save an incident.

    Args:
        folder: made if missing.
        incident: with its history.
        step: environment steps of the run when it happened.
        config: of the run.
        robot: as it was simulated.

    Returns:
        The .json file; the .npz lies beside it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"physics_reset_{step:012d}_{incident.row:04d}.json"
    content = io.BytesIO()
    np.savez_compressed(content, **incident.arrays)  # type: ignore[arg-type]
    path.with_suffix(".npz").write_bytes(content.getvalue())  # the .json tells that it is whole
    write_json(
        path,
        {
            "format": FORMAT,
            "step": step,
            "environment": incident.row,
            "warning": incident.warning,
            "joint": incident.joint,
            "control_steps": len(incident.arrays["states"]),
            "replay": command("envs.replay", path),
            "mujoco": mujoco.__version__,
            "model_sha256": _fingerprint(robot.model),
            "config": redact(to_tree(config)),
        },
    )
    return path


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came out of stepping an incident again."""

    steps: int
    """Control steps that were stepped."""
    warning: str | None
    """What went bad in the last of them, as in Incident; None if nothing did."""
    joint: str | None
    substep: int | None
    """Physics step of the last control step, from 1, before which MuJoCo gave up."""
    disturbed: list[int]
    """Control steps, from 0, before which the recorded state is not what the physics gives."""
    fastest: list[float]
    """Largest joint speed at the end of each control step (rad/s)."""


def replay(arrays: Mapping[str, np.ndarray], robot: RobotModel) -> Replayed:
    """Step the recorded states and targets through the same model again."""
    batch = Batch(robot.model, 1, 1)
    for name in RANDOMIZED:
        if f"model.{name}" in arrays:
            batch.expand(name)[0] = arrays[f"model.{name}"]
    if "model.body_mass" in arrays:
        batch.set_const()
    states, targets = arrays["states"], arrays["targets"]
    guard, ctrl, qvel = Guard(batch, robot), batch.bind("ctrl"), batch.bind("qvel")
    disturbed, fastest = [], []
    for i, (state, target) in enumerate(zip(states, targets, strict=True)):
        if i > 0 and not np.array_equal(batch.state[0], state, equal_nan=True):
            disturbed.append(i)
        batch.state[0] = state
        last = len(target) - 1
        for k, angles in enumerate(target):
            ctrl[0, robot.ctrl_ids] = angles
            stage = mujoco.mjtStage.mjSTAGE_VEL if k == last else mujoco.mjtStage.mjSTAGE_NONE
            batch.step(stage=int(stage))
            reset = any(batch.warning[0, kind, 1] for kind in WARNINGS.values())
            if (reset or k == last) and guard.detect()[0]:
                (found,) = guard.taken()
                return Replayed(i + 1, found.warning, found.joint, k + 1, disturbed, fastest)
        fastest.append(float(np.abs(qvel[0]).max()))
    return Replayed(len(states), None, None, None, disturbed, fastest)


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What is known of an incident, and its arrays. Raises ConfigError."""
    with _readable(path, "cannot be read"):
        known = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    if not isinstance(known, dict) or known.get("format") != FORMAT:
        raise ConfigError(f"{path}: not a physics_reset file of this version")
    whole = set(_ARRAYS) <= arrays.keys() and set(_KNOWN) <= known.keys()
    if not whole or not isinstance(known["config"], dict):
        raise ConfigError(f"{path}: not a whole physics_reset file")
    return known, arrays


def report(path: Path) -> tuple[str, bool]:
    """The replay of a file in words, and whether it came to the same end. Raises ConfigError."""
    known, arrays = read(path)
    config = to_config_of_any_age(known["config"])
    robot, period = load_robot(config.robot, config.task.physics_step), config.task.control_period
    width = mujoco.mj_stateSize(robot.model, mujoco.mjtState.mjSTATE_INTEGRATION)
    with _readable(path, f"does not fit {robot.name}"):
        if arrays["states"].shape[1:] != (width,):
            raise ValueError(f"states of {arrays['states'].shape[1:]}, not ({width},)")
        seen = replay(arrays, robot)
    steps, substeps = arrays["targets"].shape[:2]
    lines = [
        f"{robot.name}, environment {known['environment']} at step {known['step']:,}: "
        f"{known['warning']} at {known['joint']} after the last {steps} control steps "
        f"({steps * period:.2f} s)"
    ]
    if known["model_sha256"] != _fingerprint(robot.model):
        lines.append("note: the model has changed since, or another MuJoCo compiled it")
    lines += [f"note: something else wrote into the state before step {i}" for i in seen.disturbed]
    for i, speed in [*enumerate(seen.fastest)][-5:]:
        lines.append(f"step {i:3d}  t = {i * period:5.2f} s  fastest joint {speed:.4g} rad/s")
    if seen.warning is None:
        return "\n".join([*lines, "not reproduced: the numbers stay good"]), False
    same = (seen.warning, seen.joint, seen.steps) == (known["warning"], known["joint"], steps)
    lines.append(
        f"{'reproduced' if same else 'not reproduced, but'} {seen.warning} at {seen.joint} in "
        f"control step {seen.steps - 1}, physics step {seen.substep} of {substeps}"
    )
    return "\n".join(lines), same


@contextmanager
def _readable(path: Path, what: str) -> Iterator[None]:
    """What a damaged file makes of a block is one line."""
    try:
        yield
    except _DAMAGED as error:
        raise ConfigError(f"{path}: {what} ({' '.join(str(error).split())})") from None


def main(argv: Sequence[str] | None = None) -> int:
    """Replay a file; exit code 0 if it came to the same end, 1 if not, 2 for a wrong file."""
    hush()
    parser = argparse.ArgumentParser(prog="python -m reach_rl.envs.replay", description=__doc__)
    parser.add_argument("file", type=Path, help="health/physics_reset_*.json of a run")
    try:
        text, same = report(parser.parse_args(argv).file)
    except ConfigError as error:
        print(*(f"error: {problem}" for problem in error.problems), sep="\n", file=sys.stderr)
        return 2
    print(text)
    return 0 if same else 1


def _fingerprint(model: mujoco.MjModel) -> str:
    """Hash of a compiled model."""
    buffer = np.zeros(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return hashlib.sha256(buffer.tobytes()).hexdigest()


if __name__ == "__main__":
    raise SystemExit(main())
