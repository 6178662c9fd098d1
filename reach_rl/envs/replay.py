"""Episodes whose numbers went bad, in files: python -m reach_rl.envs.replay FILE steps one again.

physics_reset_<step>_<environment>.npz holds the last second of states and targets of the one
simulation and the model fields that it had for itself (see guard.Incident); the .json of the same
name holds the configuration, what was seen, and the command that replays it.
"""

import argparse
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from zipfile import BadZipFile

import mujoco
import numpy as np
from mujoco.batch import Batch

from reach_rl.cli import refused
from reach_rl.config.load import ConfigError, to_config_of_any_age
from reach_rl.config.problems import command
from reach_rl.config.schema import Config
from reach_rl.config.untrusted import redact
from reach_rl.config.validation import to_tree
from reach_rl.envs.guard import WARNINGS, Guard, Incident, hush
from reach_rl.envs.physics import NONE, RANDOMIZED, VEL
from reach_rl.robots import RobotModel, load_robot
from reach_rl.rundir.atomic import write_json

FORMAT = 1
_DAMAGED = (OSError, ValueError, TypeError, LookupError, BadZipFile, MemoryError, RecursionError)


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


def replay(arrays: Mapping[str, np.ndarray], robot: RobotModel) -> tuple[int, int, str, str] | None:
    """Step the recorded states and targets through the same model again.

    Returns:
        Control step (from 0) and physics step (from 1) before which the numbers were bad, warning
        and joint as in Incident; None if they stay good.
    """
    batch = Batch(robot.model, 1, 1)
    for name in RANDOMIZED:
        if f"model.{name}" in arrays:
            batch.expand(name)[0] = arrays[f"model.{name}"]
    if "model.body_mass" in arrays:
        batch.set_const()
    guard, ctrl = Guard(batch, robot), batch.bind("ctrl")
    for i, (state, target) in enumerate(zip(arrays["states"], arrays["targets"], strict=True)):
        batch.state[0] = state
        for k, angles in enumerate(target, 1):
            ctrl[0, robot.ctrl_ids] = angles
            batch.step(stage=VEL if k == len(target) else NONE)
            reset = any(batch.warning[0, kind, 1] for kind in WARNINGS.values())
            if (reset or k == len(target)) and guard.detect()[0]:
                (found,) = guard.taken()
                return i, k, found.warning, found.joint
    return None


def report(path: Path) -> tuple[str, bool]:
    """The replay of a file in words, and whether it came to the same end. Raises ConfigError."""
    try:
        known = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as file:
            arrays = dict(file)
        if known["format"] != FORMAT:
            raise ValueError(f"format {known['format']}")
        config = to_config_of_any_age(known["config"])
        robot = load_robot(config.robot, config.task.physics_step)
        steps, seen = len(arrays["targets"]), replay(arrays, robot)
        same = seen is not None and (seen[0] + 1, *seen[2:]) == (
            steps, known["warning"], known["joint"],
        )  # fmt: skip
        lines = [
            f"{robot.name}, environment {known['environment']} at step {known['step']:,}: "
            f"{known['warning']} at {known['joint']} after the last {steps} control steps"
        ]
        if known["model_sha256"] != _fingerprint(robot.model):
            lines.append("note: the model has changed since, or another MuJoCo compiled it")
    except _DAMAGED as error:
        text = " ".join(str(error).split())
        raise ConfigError(f"{path}: no whole physics_reset file of this version ({text})") from None
    if seen is None:
        return "\n".join([*lines, "not reproduced: the numbers stay good"]), False
    how = "reproduced" if same else "not reproduced, but"
    where = "{2} at {3} in control step {0}, physics step {1}".format(*seen)
    return "\n".join([*lines, f"{how} {where}"]), same


def main(argv: Sequence[str] | None = None) -> int:
    """Replay a file; exit code 0 if it came to the same end, 1 if not, 2 for a wrong file."""
    hush()
    parser = argparse.ArgumentParser(prog="python -m reach_rl.envs.replay", description=__doc__)
    parser.add_argument("file", type=Path, help="health/physics_reset_*.json of a run")
    try:
        text, same = report(parser.parse_args(argv).file)
    except ConfigError as error:
        return refused(error)
    print(text)
    return 0 if same else 1


def _fingerprint(model: mujoco.MjModel) -> str:
    """Hash of a compiled model."""
    buffer = np.zeros(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return hashlib.sha256(buffer.tobytes()).hexdigest()


if __name__ == "__main__":
    raise SystemExit(main())
