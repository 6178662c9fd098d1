"""Checkpoints as model artifacts: kept where W&B can take its time with them.

Training removes old checkpoints while W&B may still be connecting. So each one that is logged gets
a second name at once, by hard links, in the run's wandb folder. Offline they stay for wandb sync.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Models:
    """The second names of a run's checkpoints."""

    def __init__(self, run_dir: Path) -> None:
        """Keep them below the run's wandb folder."""
        self._folder = run_dir / "wandb" / "models"

    def keep(self, checkpoint: Path) -> Path:
        """A folder with the same files that nobody else removes. Raises OSError."""
        kept = self._folder / checkpoint.name
        shutil.copytree(checkpoint, kept, copy_function=_link, dirs_exist_ok=True)
        return kept

    def clear(self) -> None:
        """They are no longer needed."""
        shutil.rmtree(self._folder, ignore_errors=True)


def log_model(run: Any, folder: Path, step: int, aliases: Sequence[str]) -> None:  # noqa: ANN401
    """Log a checkpoint as the next version of the run's model; its files must stay.

    Args:
        run: the wandb.Run.
        folder: of the checkpoint; its name becomes an alias too.
        step: environment steps so far.
        aliases: such as best and latest.
    """
    import wandb

    artifact = wandb.Artifact(f"policy-{run.id}", type="model", metadata={"global_step": step})
    artifact.add_dir(str(folder), policy="immutable", skip_cache=True)
    run.log_artifact(artifact, aliases=[*aliases, folder.name])


def _link(source: str, target: str) -> None:
    Path(target).unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another kind of file system
        shutil.copy2(source, target)
