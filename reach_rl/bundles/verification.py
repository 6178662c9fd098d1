"""The proof of a bundle: onnxruntime against torch and the environment, on what arms really see."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from reach_rl.bundles.policy_graph import PolicyGraph
from reach_rl.config.schema import Config
from reach_rl.envs.batch import ReachBatch
from reach_rl.evaluation.perturbations import nominal
from reach_rl.learning.policy import Policy
from reach_rl.mdp.arrays import Array
from reach_rl.robots import RobotModel

OBSERVATIONS = 10_000
TOLERANCE = 1e-5
"""Largest difference of a joint target (rad)."""

ARMS = 50
KEPT = 64
"""Golden vectors."""


@dataclass(frozen=True, slots=True)
class BundleProof:
    """What was compared."""

    observations: int
    largest: float
    """Largest difference of a joint target (rad)."""
    step: int
    """Environment step of the largest difference."""
    joint: str
    golden: dict[str, Array]
    """`input.<name>` and `output.<name>`, (KEPT, ...) each."""

    @property
    def holds(self) -> bool:
        """Whether the difference is small enough."""
        return self.largest < TOLERANCE


def prove(
    graph: PolicyGraph,
    policy: Policy,
    config: Config,
    robot: RobotModel,
    threads: int,
    observations: int = OBSERVATIONS,
) -> BundleProof:
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
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        graph.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [port.name for port in graph.outputs]
    config = nominal(config)
    batch = ReachBatch(config, ARMS, threads=threads, robot=robot)
    observation = batch.reset()
    rng = np.random.default_rng(0)
    golden: list[dict[str, Array]] = []
    largest, where = -1.0, (0, 0)
    steps = -(-observations // ARMS)
    for step in range(steps):
        inputs = inputs_of(batch, graph)
        asked = policy(observation)
        s = batch.state
        wanted = batch.action(asked, s.joint_position, s.joint_velocity, batch.target)
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
    picked = np.linspace(0, steps - 1, KEPT).round().astype(int)
    stacked = {k: np.stack([golden[i][k] for i in picked]) for k in golden[0]}
    return BundleProof(steps * ARMS, largest, where[0], robot.joint_names[where[1]], stacked)


def inputs_of(batch: ReachBatch, graph: PolicyGraph) -> dict[str, Array]:
    """What the model takes of the batch's present state, (n, ...) each."""
    wanted = {port.name for port in graph.inputs}
    return {name: value for name, value in state_of(batch).items() if name in wanted}


def state_of(batch: ReachBatch) -> dict[str, Array]:
    """Every input that a bundle may take, (n, ...) each."""
    s = batch.state
    goal_position, goal_quaternion = batch.robot.in_base(s.goal_position, s.goal_quaternion)
    return {
        "joint_position": s.joint_position.copy(),
        "joint_velocity": s.joint_velocity.copy(),
        "goal_position": goal_position.copy(),
        "goal_quaternion": goal_quaternion.copy(),
        "last_action": s.action.copy(),
        "last_target": batch.target.copy(),
        "self_contact": s.self_contact.astype(float),
    }
