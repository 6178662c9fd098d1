"""The ONNX bundle: policy.onnx, contract.json, golden.npz, config.yaml, and its proof.

The proof runs onnxruntime beside torch and the environment, on what arms really see.
"""

import hashlib
import io
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from reach_rl.bundles.graph import OPSET
from reach_rl.bundles.policy_graph import STATE, TEXTS, PolicyGraph, build
from reach_rl.config.load import config_text, named
from reach_rl.config.schema import Config
from reach_rl.config.validation import to_tree
from reach_rl.deploy.bundle import FORMAT, WITH_OBSERVATION, Bundle
from reach_rl.envs.batch import ReachBatch
from reach_rl.envs.physics import arm_of
from reach_rl.evaluation.drivers import sensed
from reach_rl.evaluation.perturbations import nominal
from reach_rl.evaluation.protocol import evaluate, held_out_goals
from reach_rl.evaluation.result import COMPARED
from reach_rl.extend import entries
from reach_rl.learning.policy import Policy
from reach_rl.mdp.arrays import Array
from reach_rl.origins import COPIES, origins
from reach_rl.robots import RobotModel, load_robot
from reach_rl.robots.model_file import model_path, model_sources
from reach_rl.rundir import atomic
from reach_rl.rundir.provenance import MODEL
from reach_rl.training.snapshot import TrainedPolicy, policy_of
from reach_rl.version import __version__

FILES = frozenset(
    {"policy.onnx", "contract.json", "golden.npz", "config.yaml", "README.md", MODEL, COPIES}
)

RESULTS = ("goals", "region", "seed", "final_joint_speed_rad_s", *COMPARED)

OBSERVATIONS = 10_000
TOLERANCE = 1e-5
"""Largest difference of a joint target (rad)."""

ARMS = 50
KEPT = 64
"""Golden vectors."""


class Unproven(Exception):
    """The model does not compute what the policy does."""


def write(
    subject: TrainedPolicy,
    folder: Path,
    *,
    goals: int,
    seed: int,
    threads: int,
    observed: bool = False,
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Write a bundle into an empty folder, without its card.

    Args:
        subject: the policy; its configuration says on which servos.
        folder: where to.
        goals: held-out goals to judge the bundle on; 0 for none.
        seed: of these goals.
        threads: physics threads.
        observed: the bundle takes the observation, and does not work it out.

    Returns:
        What contract.json holds, and the figures of the bundle on the held-out goals.

    Raises:
        ConfigError: the arm cannot be made or written.
        Unproven: onnxruntime and torch differ.
    """
    config = subject.config
    robot = load_robot(config.robot, config.task.physics_step)
    graph = build(config, subject.saved, robot, observed=observed)
    proof, golden = prove(graph, policy_of(subject.saved), config, robot, threads)
    told, model = _with_its_model(config)
    contents = {
        "policy.onnx": graph.model.SerializeToString(),
        "golden.npz": _npz(golden),
        "config.yaml": config_text(told).encode(),
        **{f"{COPIES}/{e.name}": e.content for e in origins(named(to_tree(told))) if e.content},
        **model,
    }
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(folder / name, data)
    contract = _contract(subject, robot, graph, proof)
    if observed:
        contract |= {"format": WITH_OBSERVATION, "observation": _parts(config, robot)}
    contract["files"] = {k: hashlib.sha256(data).hexdigest() for k, data in contents.items()}
    atomic.write_atomic(folder / "contract.json", atomic.json_text(contract))
    bundle = Bundle(folder)  # as a robot's computer would
    if goals == 0:
        return contract, None
    held_out = held_out_goals(config, robot, goals, seed, threads)
    config, driver = entries("driver")["bundle"](config, robot, bundle)
    result = evaluate(driver, config, held_out, threads=threads, robot=robot, seed=seed)
    summary = result.summary(bundle.contract.checkpoint)
    contract["results"] = {name: summary[name] for name in RESULTS}
    atomic.write_atomic(folder / "contract.json", atomic.json_text(contract))
    return contract, summary


def _with_its_model(config: Config) -> tuple[Config, dict[str, bytes]]:
    """The configuration that names a user's own model by its place in the bundle, and its files."""
    if config.robot.mjcf is None:
        return config, {}
    main, files = model_sources(model_path(config.robot))
    robot = replace(config.robot, mjcf=f"{MODEL}/{main}")
    contents = {f"{MODEL}/{name}": data for name, (_, data) in files.items()}
    return replace(config, robot=robot), contents


def _parts(config: Config, robot: RobotModel) -> list[dict[str, Any]]:
    """The parts of the observation in their order: name, place, widths and meaning of each."""
    slices = ReachBatch(config, 1, robot=robot).observe.slices
    return [
        {
            "name": name,
            "first": part.start,
            "size": part.stop - part.start,
            "scales": config.observation.terms[name].scales,  # type: ignore[union-attr]
            "meaning": (entries("observation_term")[name].__doc__ or "").partition("\n")[0],
        }
        for name, part in slices.items()
    ]


def _contract(
    subject: TrainedPolicy, robot: RobotModel, graph: PolicyGraph, proof: dict[str, float]
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
            for name, text in TEXTS["frames"].items()
        },
        "control": {
            "rate_hz": 1.0 / task.control_period,
            "period_s": task.control_period,
            "path_times_s": (task.physics_step * np.arange(1, task.substeps + 1)).tolist(),
        },
        **{
            kind: [{**asdict(p), "shape": ["n", *p.shape], "type": "float64"} for p in ports]
            for kind, ports in (("inputs", graph.inputs), ("outputs", graph.outputs))
        },
        "state": {p.name: STATE[p.name] for p in graph.inputs if p.name in STATE},
        "limits": _limits(config, robot),
        "task": {
            "region": task.region.name,
            "position_m": task.position_threshold,
            "orientation_rad": task.orientation_threshold,
            "hold_s": task.hold_time,
            "episode_s": task.episode_steps * task.control_period,
        },
        "proof": proof,
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


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    return content.getvalue()


def prove(
    graph: PolicyGraph,
    policy: Policy,
    config: Config,
    robot: RobotModel,
    threads: int,
    observations: int = OBSERVATIONS,
) -> tuple[dict[str, float], dict[str, Array]]:
    """Run the torch policy in the batch, and the model beside it on the same arms.

    Half of the arms follow the policy, half get their action with noise on top, so that what is
    compared is not only the way that the policy takes by itself. Goals change as in training. The
    observations have no noise: a bundle adds none.

    Args:
        graph: the model.
        policy: the torch policy.
        config: the run.
        robot: the arm.
        threads: physics threads.
        observations: how many, at least.

    Returns:
        What contract.json tells of it, and the golden vectors: `input.<name>` and
        `output.<name>`, (KEPT, ...) each.

    Raises:
        Unproven: a joint target differs by more than TOLERANCE.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        graph.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names, taken = [p.name for p in graph.outputs], {p.name for p in graph.inputs}
    config = nominal(config)
    batch = ReachBatch(config, ARMS, threads=threads, robot=robot)
    observation = batch.reset()
    rng = np.random.default_rng(0)
    golden: list[dict[str, Array]] = []
    largest, where = -1.0, (0, 0)
    steps = -(-observations // ARMS)
    for step in range(steps):
        state = {**sensed(batch), "last_action": batch.state.action, "last_target": batch.target}
        state["observation"] = observation.astype(np.float64)
        inputs = {name: value.copy() for name, value in state.items() if name in taken}
        asked = policy(observation)
        wanted = batch.action(asked, batch.state, batch.target)
        values: Any = session.run(names, inputs)
        out: dict[str, Array] = dict(zip(names, values, strict=True))
        gap = np.abs(out["joint_path"] - wanted.swapaxes(0, 1)).max(axis=(0, 1))
        worst = int(np.argmax(gap))
        if not gap[worst] <= largest:
            largest, where = float(gap[worst]), (step, worst)
        row = {f"input.{k}": v[step % ARMS] for k, v in inputs.items()}
        golden.append(row | {f"output.{k}": v[step % ARMS] for k, v in out.items()})
        noise = rng.normal(0.0, 0.5, asked.shape)
        noise[: ARMS // 2] = 0.0
        observation = batch.step(np.clip(asked + noise, -1.0, 1.0)).observation
    if not largest < TOLERANCE:
        raise Unproven(
            f"onnxruntime and torch differ by {largest:.3g} rad at {robot.joint_names[where[1]]} "
            f"in step {where[0]} of {steps * ARMS:,} observations; {TOLERANCE:g} is allowed"
        )
    picked = np.linspace(0, steps - 1, KEPT).round().astype(int)
    stacked = {k: np.stack([golden[i][k] for i in picked]) for k in golden[0]}
    return {
        "observations": steps * ARMS,
        "largest_difference_rad": largest,
        "tolerance_rad": TOLERANCE,
    }, stacked
