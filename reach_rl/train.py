"""Train a policy: python -m reach_rl.train robot=ur5e ppo.learning_rate=3e-4."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from reach_rl.config.app import run

if TYPE_CHECKING:
    from reach_rl.config.schema import Config


def main() -> None:
    """Train as the command line says, and exit."""
    run("train", job)


def job(config: "Config", run_dir: Path) -> dict[str, Any] | int:
    """One run: its figures, or the exit code of a run that was stopped."""
    from reach_rl.learning.session import train

    return train(config, run_dir)


if __name__ == "__main__":
    main()
