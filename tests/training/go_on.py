"""A process that goes on with runs: python -m tests.training.go_on STEPS DIR ..."""

import sys
from dataclasses import replace
from pathlib import Path

from reach_rl.config.load import load_run
from reach_rl.training.session import train

if __name__ == "__main__":  # subproc's workers import this module
    for name in sys.argv[2:]:
        wanted = replace(load_run(Path(name)), resume=name, total_timesteps=int(sys.argv[1]))
        assert isinstance(train(wanted, Path(name)), dict)
