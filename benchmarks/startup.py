"""How long the command line takes to answer: whole processes, from start to exit.

    python benchmarks/startup.py [--runs 11]

Prints the median and the slowest of each; the figures depend on the machine, which is named.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from reach_rl.rundir.provenance import machine

ROOT = Path(__file__).resolve().parent.parent
CASES = {
    "train --help": (["-m", "reach_rl.train", "--help"], 0),
    "reach-rl --help": (["-m", "reach_rl.cli", "--help"], 0),
    "an unknown key": (["-m", "reach_rl.train", "ppo.btach_size=64"], 2),
    "five mistakes": (
        ["-m", "reach_rl.train", "sead=1", "ppo.gamma=2", "robot=ur6", "+x=1", "seed=a"],
        2,
    ),
    "a mistake in a grid of 40": (
        ["-m", "reach_rl.train", "-m", "seed=range(0,20)", "ppo.gamma=0.9,1.2"],
        2,
    ),
    "explain ppo.learning_rate": (["-m", "reach_rl.cli", "explain", "ppo.learning_rate"], 0),
    "a completion": (["-m", "reach_rl.cli", "_complete", "reach-rl train robot="], 0),
}


def seconds(arguments: Sequence[str], code: int) -> float:
    """Wall time of one process; raises if it does not exit as expected."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        took = time.perf_counter() - start
    if done.returncode != code or "Traceback" in done.stderr:
        raise RuntimeError(f"{arguments}: exit code {done.returncode}\n{done.stderr}")
    return took


def main() -> None:
    """Measure every case and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=11, help="processes per case")
    runs = parser.parse_args().runs
    host = machine()
    print(f"{host['cpu']}, {host['usable_cores']} cores, Python {host['python']}; {runs} runs each")
    print(f"{'command':<28}{'median':>9}{'slowest':>9}")
    for name, (arguments, code) in CASES.items():
        seconds(arguments, code)  # fills the caches of files and bytecode
        took = [seconds(arguments, code) for _ in range(runs)]
        print(f"{name:<28}{statistics.median(took):>7.2f} s{max(took):>7.2f} s")


if __name__ == "__main__":
    main()
