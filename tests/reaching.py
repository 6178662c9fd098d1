"""A run whose policy reaches its goals without having been trained: a network written by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

from reach_rl.config.load import to_tree
from reach_rl.config.schema import Config, ObservationTerm
from reach_rl.envs.physics import arm_of
from reach_rl.learning.policy import bare_network
from reach_rl.robots import load_robot
from reach_rl.rundir import checkpoint
from tests.small_runs import compose

GAIN = 4.0
STEP = 1234
NAME = "step_000000001234"


def config_of(*overrides: str) -> Config:
    """A run that observes the damped least-squares step to the goal, and acts in joint speeds."""
    config = compose(
        [
            "ppo.policy_kwargs.net_arch.pi=[12]",
            "ppo.policy_kwargs.net_arch.vf=[4]",
            "ppo.policy_kwargs.activation_fn=relu",
            "task.region.pool=64",
            "task.episode_steps=200",
            "action.curve=1.0",
            "observation.normalize=false",
            *overrides,
        ]
    )
    terms = {"damped_least_squares": ObservationTerm(scales=None, noise=0.0)}
    return replace(config, observation=replace(config.observation, terms=terms))


def weights_of(config: Config) -> dict[str, np.ndarray]:
    """a = GAIN x / speed, through six units for x and six for -x."""
    network = bare_network(config, 6, 6)
    weights = {name: value.detach().numpy().copy() for name, value in network.state_dict().items()}
    robot = load_robot(config.robot, config.task.physics_step)
    speed = config.action.speed * arm_of(robot, config.task).velocity_limits
    both = np.vstack((np.eye(6), -np.eye(6)))
    weights["mlp_extractor.policy_net.0.weight"][:] = both
    weights["mlp_extractor.policy_net.0.bias"][:] = 0.0
    weights["action_net.weight"][:] = (GAIN / speed)[:, None] * both.T
    weights["action_net.bias"][:] = 0.0
    return weights


def write_run(
    folder: Path,
    config: Config,
    weights: dict[str, np.ndarray],
    step: int = STEP,
    pointer: str = "best",
) -> Path:
    """A run's folder with one checkpoint, as training leaves it."""
    size = weights["mlp_extractor.policy_net.0.weight"].shape[1]
    rows = {"rows": np.zeros(config.vec_env.n_envs)}
    normalizer = {"obs_mean": np.zeros(size), "obs_var": np.ones(size), "obs_count": np.ones(1)}
    returns = {"ret_mean": np.zeros(1), "ret_var": np.ones(1), "ret_count": np.ones(1)}
    saved = checkpoint.Checkpoint(
        config=config,
        policy=weights,
        optimizer={},
        normalizer={**normalizer, **returns, "returns": rows["rows"]},
        environment=rows,
        learner=rows,
        progress={"num_timesteps": step},
    )
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(to_tree(config)))
    checkpoints = folder / "checkpoints"
    checkpoint.point(checkpoints, pointer, checkpoint.write(checkpoints, step, saved))
    return folder


def reaching_run(folder: Path, *overrides: str) -> Path:
    """A run that reaches its goals, in this folder."""
    config = config_of(*overrides)
    return write_run(folder, config, weights_of(config))
