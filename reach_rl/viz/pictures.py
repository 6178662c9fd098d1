"""A run's pictures, drawn by a process of their own while the run is judged.

It draws the learning curve at once, and the goals when it is told that their outcomes are there.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 60.0
"""How long the end of a run waits for its pictures (s)."""


@contextmanager
def drawing(folder: Path, title: str) -> Iterator[Callable[[str], str]]:
    """Draw learning_curve.png and goals.png of a run; nothing that happens to them ends it.

    Args:
        folder: of the run.
        title: of its learning curve.

    Yields:
        What is to be called with the title of goals.png once evaluation.npz is there ("" if it is
        not): waits for the pictures and says what went wrong, "" if nothing did.
    """
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(folder), title],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the run
        )
    except OSError as error:
        trouble = str(error)
        yield lambda _: trouble
        return
    with process:
        try:
            yield lambda goals: _finished(process, goals)
        finally:
            process.kill()


def _finished(process: "subprocess.Popen[str]", goals: str) -> str:
    try:
        said = process.communicate(goals, PATIENCE)[1]
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return said.strip().rpartition("\n")[2] if process.returncode else ""


def main(folder: Path, title: str) -> None:
    """Draw; the goals once the run's process has given their title."""
    from reach_rl.evaluation import result
    from reach_rl.viz import plots

    plots.learning_curve(folder / "metrics.jsonl", folder / "learning_curve.png", title)
    if goals := sys.stdin.read():
        found = result.load(folder / result.FILE)
        plots.goals(found.goal_position, found.success, folder / "goals.png", goals)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
