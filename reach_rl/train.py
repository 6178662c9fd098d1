"""Train a policy: python -m reach_rl.train robot=ur5e ppo.learning_rate=3e-4."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reach_rl import CallableVerb
from reach_rl.cli.front_door import run

if TYPE_CHECKING:
    from reach_rl.config.schema import Config


def job(config: "Config", run_dir: Path) -> dict[str, Any] | int:
    """One run: its figures, or the exit code of a run that was stopped; or a trial of a search."""
    from reach_rl.config.search import current
    from reach_rl.training.session import train

    trial = current()
    if trial is None:
        return train(config, run_dir)
    from reach_rl.sweeps.trial import run_job
    from reach_rl.training.stopping import listening

    return run_job(config, run_dir, *trial, train, listening)


if __name__ == "__main__":
    run("train", job)
else:
    sys.modules[__name__].__class__ = CallableVerb  # it is reach_rl.train(config) too
