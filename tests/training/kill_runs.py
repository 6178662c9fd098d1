"""Trains runs that are killed at random moments: python -m tests.training.kill_runs DIR KILLS SEED.

Every attempt is a process of its own, forked off one that has imported everything, which saves the
seconds that the imports take. DIR/whole is a run that nobody disturbs; the runs DIR/0, DIR/1 ...
are killed and go on until they are finished, and as many are begun as the kills need.
"""

import os
import random
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from reach_rl.config.load import compose
from reach_rl.training.session import train
from tests.small_runs import SMALL

WORDS = (
    *SMALL,
    "total_timesteps=5120",
    "checkpoint.every=256",
    "evaluation.every=1024",
    "task.episode_steps=45",
    "task.randomization.payload=[0,1]",
    "curriculum=staged",
    "curriculum.window=4",
)


def attempt(config, folder, seconds=None):
    """Train in a process that is killed after some seconds; whether it finished before."""
    process = os.fork()
    if process == 0:
        log = os.open(folder / "out.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        code = 1
        try:
            code = 0 if isinstance(train(config, folder), dict) else 3
        finally:
            os._exit(code)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status):
        return False
    assert os.WEXITSTATUS(status) == 0, (folder / "out.txt").read_text()
    return True


def main():
    base, kills, draw = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    config = compose(WORDS)
    (base / "whole").mkdir()
    begin = time.monotonic()
    assert attempt(config, base / "whole")
    longest = 0.7 * (time.monotonic() - begin)
    run = 0
    while kills > 0:
        folder = base / str(run)
        folder.mkdir()
        again = replace(config, resume="auto", run_dir=str(folder))
        finished = False
        while not finished:
            seconds = draw.uniform(0.02, longest) if kills > 0 else None
            finished = attempt(again, folder, seconds)
            kills -= not finished
        run += 1


if __name__ == "__main__":
    main()
