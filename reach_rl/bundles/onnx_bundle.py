"""The ONNX bundle: policy.onnx, contract.json, golden.npz, config.yaml and a model card."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from reach_rl import __version__
from reach_rl.bundles.graph import OPSET
from reach_rl.bundles.policy_graph import PolicyGraph, Port, build
from reach_rl.bundles.verification import TOLERANCE, BundleProof, prove
from reach_rl.config.schema import Config
from reach_rl.config.untrusted import redact
from reach_rl.config.validation import to_tree
from reach_rl.deploy.bundle import FORMAT, Bundle
from reach_rl.envs.physics import arm_of
from reach_rl.evaluation.drivers import make_driver
from reach_rl.evaluation.protocol import evaluate, held_out_goals
from reach_rl.robots import RobotModel, load_robot
from reach_rl.rundir import atomic
from reach_rl.training.snapshot import TrainedPolicy, policy_of

FILES = frozenset({"policy.onnx", "contract.json", "golden.npz", "config.yaml", "README.md"})

FRAMES = {
    "base": "the arm's base, body {base} of the robot's model, however that is mounted. For this "
    "project's own arms that is ROS base_link: at the mounting face, z out of it, x forward; the "
    "base frame of a Universal Robots controller is this one turned by pi about z.",
    "tool": "site {site} of the robot model; on a Universal Robots arm the tool flange, frame 6 of "
    "the published Denavit-Hartenberg table, with no tool centre point set.",
}

RESULTS = (
    "goals",
    "region",
    "seed",
    "success_rate",
    "success_ci95",
    "position_error_mm",
    "orientation_error_deg",
    "time_to_success_s",
    "final_joint_speed_rad_s",
    "self_collision_rate",
    "table_collision_rate",
)


class Unproven(Exception):
    """The model does not compute what the policy does."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    contract: dict[str, Any]
    proof: BundleProof
    summary: dict[str, Any] | None
    """Figures of the bundle on the held-out goals."""


def write(subject: TrainedPolicy, folder: Path, *, goals: int, seed: int, threads: int) -> Written:
    """Write a bundle into an empty folder, without its card.

    Args:
        subject: the policy; its configuration says on which servos.
        folder: where to.
        goals: held-out goals to judge the bundle on; 0 for none.
        seed: of these goals.
        threads: physics threads.

    Raises:
        ConfigError: the arm cannot be made or written.
        Unproven: onnxruntime and torch differ.
    """
    config = subject.config
    robot = load_robot(config.robot, config.task.physics_step)
    graph = build(config, subject.saved, robot)
    proof = prove(graph, policy_of(subject.saved), config, robot, threads)
    if not proof.holds:
        raise Unproven(
            f"onnxruntime and torch differ by {proof.largest:.3g} rad at {proof.joint} in step "
            f"{proof.step} of {proof.observations:,} observations; {TOLERANCE:g} is allowed"
        )
    contents = {
        "policy.onnx": graph.model.SerializeToString(),
        "golden.npz": _npz(proof.golden),
        "config.yaml": yaml.safe_dump(redact(to_tree(config)), sort_keys=False).encode(),
    }
    for name, data in contents.items():
        atomic.write_bytes(folder / name, data)
    contract = _contract(subject, robot, graph, proof)
    contract["files"] = {k: hashlib.sha256(data).hexdigest() for k, data in contents.items()}
    atomic.write_atomic(folder / "contract.json", atomic.json_text(contract))
    bundle = Bundle(folder)  # as a robot's computer would
    if goals == 0:
        return Written(contract, proof, None)
    summary = judge(bundle, config, robot, goals=goals, seed=seed, threads=threads)
    contract["results"] = {name: summary[name] for name in RESULTS}
    atomic.write_atomic(folder / "contract.json", atomic.json_text(contract))
    return Written(contract, proof, summary)


def judge(
    bundle: Bundle, config: Config, robot: RobotModel, *, goals: int, seed: int, threads: int
) -> dict[str, Any]:
    """The figures of a bundle on held-out goals, as `evaluate bundle=` gives them."""
    held_out = held_out_goals(config, robot, goals, seed, threads)
    config, driver = make_driver("bundle", config, robot, bundle)
    result = evaluate(driver, config, held_out, threads=threads, robot=robot, seed=seed)
    return result.summary(bundle.contract.checkpoint)


def _contract(
    subject: TrainedPolicy, robot: RobotModel, graph: PolicyGraph, proof: BundleProof
) -> dict[str, Any]:
    config = subject.config
    task = config.task
    return {
        "format": FORMAT,
        "reach_rl": __version__,
        "policy": {
            "file": "policy.onnx",
            "opset": OPSET,
            "checkpoint": subject.folder.name,
            "trained_steps": subject.saved.progress.get("num_timesteps"),
        },
        "golden": {"file": "golden.npz"},
        "robot": {
            "name": robot.name,
            "joints": list(robot.joint_names),
            "home_rad": robot.home.tolist(),
            "reach_m": robot.reach,
            "servo_lag_s": robot.servo_lag.tolist(),
            "base_in_world": {
                "position_m": robot.base_position.tolist(),
                "quaternion": robot.base_quaternion.tolist(),
            },
        },
        "frames": {
            name: text.format(site=config.robot.tcp_site, base=robot.base_name)
            for name, text in FRAMES.items()
        },
        "control": {
            "rate_hz": 1.0 / task.control_period,
            "period_s": task.control_period,
            "path_times_s": (task.physics_step * np.arange(1, task.substeps + 1)).tolist(),
        },
        "inputs": [_port(port) for port in graph.inputs],
        "outputs": [_port(port) for port in graph.outputs],
        "state": graph.state,
        "limits": _limits(config, robot),
        "task": {
            "region": task.region.name,
            "position_m": task.position_threshold,
            "orientation_rad": task.orientation_threshold,
            "hold_s": task.hold_time,
            "episode_s": task.episode_steps * task.control_period,
        },
        "proof": {
            "observations": proof.observations,
            "largest_difference_rad": proof.largest,
            "tolerance_rad": TOLERANCE,
        },
    }


def _limits(config: Config, robot: RobotModel) -> dict[str, list[float | None]]:
    """Of joints and targets; targets lead the joints by the servo's lag times their speed.

    A joint without a torque limit may be asked to reverse its full speed within a period.
    """
    arm, period = arm_of(robot, config.task), config.task.control_period
    speed = config.action.speed * arm.velocity_limits
    acceleration = config.action.torque * arm.acceleration_limits
    acceleration = np.where(np.isfinite(acceleration), acceleration, 2.0 * speed / period)
    if config.action.kind == "offset":
        target_speed = speed + arm.servo_lag * acceleration
        target_acceleration = acceleration * (1.0 + 2.0 * arm.servo_lag / period)
    else:
        target_speed, target_acceleration = speed, 2.0 * speed / period
    return {
        "position_low_rad": [float(v) if np.isfinite(v) else None for v in arm.low],
        "position_high_rad": [float(v) if np.isfinite(v) else None for v in arm.high],
        "velocity_rad_s": arm.velocity_limits.tolist(),
        "acceleration_rad_s2": acceleration.tolist(),
        "target_velocity_rad_s": target_speed.tolist(),
        "target_acceleration_rad_s2": target_acceleration.tolist(),
    }


def _port(port: Port) -> dict[str, Any]:
    return {
        "name": port.name,
        "shape": ["n", *port.shape],
        "type": "float64",
        "unit": port.unit,
        "frame": port.frame,
        "meaning": port.meaning,
    }


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    return content.getvalue()
