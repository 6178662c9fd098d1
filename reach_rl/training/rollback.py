"""Back to the last good checkpoint, once, with a lower learning rate; where guard.rollback asks."""

from collections.abc import Callable
from pathlib import Path

from reach_rl.config.schema import Config
from reach_rl.learning.ppo import FastPPO
from reach_rl.rundir import checkpoint
from reach_rl.rundir.atomic import read_json, write_json
from reach_rl.rundir.checkpoint import Checkpoint
from reach_rl.training.divergence import FOLDER, Diverged

Say = Callable[[str], None]


def _file(folder: Path) -> Path:
    return folder / FOLDER / "rollback.json"


def begin(config: Config, folder: Path, error: Diverged, say: Say) -> Checkpoint | None:
    """The checkpoint to go on from; None where there is no going back.

    That it was gone back is written into the folder before anything else, so that it holds for
    every process that goes on with the run.

    Args:
        config: of the run.
        folder: of the run.
        error: why the run cannot go on.
        say: told of it.
    """
    if not (config.guard.rollback and error.learning) or _file(folder).exists():
        return None
    saved = checkpoint.newest(folder / "checkpoints", say)
    if saved is None:
        return None
    factor, step = config.guard.rollback_factor, int(str(saved.progress["num_timesteps"]))
    _file(folder).parent.mkdir(exist_ok=True)
    text = f"{error}; back to step {step:,} with the learning rate times {factor:g}"
    write_json(_file(folder), {"factor": factor, "step": step, "text": text, "told": False})
    say(f"warning: {text}")
    return saved


def kept(folder: Path) -> str:
    """What is left of a run that cannot go on, in words."""
    checkpoints = folder / "checkpoints"
    if not checkpoint.points(checkpoints, "latest"):
        return "no checkpoint was saved before"
    name = checkpoint.resolve(checkpoints, "latest").name
    return f"{name} is good; go on from it with: python -m reach_rl.train resume={folder}"


def slow_down(model: FastPPO, folder: Path) -> None:
    """Lower the learning rate of a run that was rolled back."""
    model.learning_rate.start *= float(read_json(_file(folder)).get("factor", 1.0))  # type: ignore[union-attr]


def tell(folder: Path, alert: Callable[[str, str], None]) -> None:
    """Record the rollback, if nobody has yet."""
    known = read_json(_file(folder))
    if known and not known["told"]:
        alert("rolled back", str(known["text"]))
        write_json(_file(folder), known | {"told": True})
