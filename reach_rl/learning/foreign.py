"""Policies that Stable-Baselines3 itself has saved: pickles, read only by who says that he may.

This is the only module that reads a pickle.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reach_rl.config.problems import ConfigError
from reach_rl.learning.policy import Policy

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecNormalize


def load_sb3(
    model: Path,
    statistics: Path | None = None,
    *,
    allow_pickle: bool = False,
    deterministic: bool = True,
) -> Policy:
    """A policy from SB3's model.zip and vecnormalize.pkl.

    Args:
        model: the zip file that PPO.save wrote.
        statistics: the file that VecNormalize.save wrote; None: observations were not normalised.
        allow_pickle: run the code that is in these files. Whoever made them can make that do
            anything that the user may, so only for files of one's own.
        deterministic: give the mean action, not a sample.

    Raises:
        ConfigError: it was not allowed, or the files are not what SB3 writes.
    """
    if not allow_pickle:
        raise ConfigError(
            f"{model}: files of Stable-Baselines3 are pickles, and reading a pickle runs whatever "
            "code its maker put there; if you made it or trust who did, say allow_pickle=True"
        )
    from stable_baselines3 import PPO

    try:
        network = PPO.load(model, device="cpu").policy
        normal = None if statistics is None else _unpickled(statistics)
        observed: Any = normal.obs_rms if normal is not None and normal.norm_obs else None
        mean = None if observed is None else np.asarray(observed.mean)
        variance = None if observed is None else np.asarray(observed.var)
    except Exception as error:  # a pickle may raise anything
        text = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{model}: cannot be read as a model of SB3 ({text[:200]})") from error
    network.set_training_mode(False)
    return Policy(
        network,
        mean,
        variance,
        float(normal.clip_obs) if normal is not None else np.inf,
        epsilon=float(normal.epsilon) if normal is not None else 1e-8,
        deterministic=deterministic,
    )


def _unpickled(path: Path) -> "VecNormalize":
    import pickle

    from stable_baselines3.common.vec_env import VecNormalize

    with path.open("rb") as file:
        found = pickle.load(file)
    if not isinstance(found, VecNormalize):
        raise ValueError(f"{path} holds no VecNormalize")
    return found
