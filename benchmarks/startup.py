"""How long the command line takes: from Enter to the answer, and a training from phase to phase.

    python benchmarks/startup.py [--runs 11]

Prints the median and the slowest of each command; then when each phase of a training begins, and
how that compares with bare imports, in turns. The figures depend on the machine, which is named.
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

TRAININGS = ("experiment=debug", "experiment=fast", "total_timesteps=300000")
TORCH, BARE = "torch", "torch, stable_baselines3, mujoco"
"""What is imported bare beside a training."""
MOST = 1.7
"""Start over `import torch` above which --check fails."""
PROBE = """
import sys
from reach_rl import train
from reach_rl.cli.front_door import run
def job(config, folder):
    from reach_rl.envs.vec_env import BatchVecEnv
    plain = BatchVecEnv.step_wait
    def first(env):
        BatchVecEnv.step_wait = plain
        print("at the first environment step")
        return plain(env)
    BatchVecEnv.step_wait = first
    return train.job(config, folder)
run("train", job)
"""
PHASES = {
    "at the first environment step": "first environment step",
    "judging ": "trained and saved",
    "trained ": "verdict",
}
"""How lines begin that a training says -> what is reached by then; the last is the end."""


def phases(training: str) -> dict[str, float]:
    """Seconds from Enter to each phase of a training, in the order of the phases."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        words = [training, "wandb=disabled", "progress=false", f"run_dir={folder}/run"]
        start = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-u", "-c", PROBE, *words],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            for line in process.stdout or ():
                for begins, name in PHASES.items():
                    if line.startswith(begins):
                        found.setdefault(name, time.perf_counter() - start)
        found["the end"] = time.perf_counter() - start
    if process.returncode or len(found) <= len(PHASES):
        raise RuntimeError(f"{training}: exit code {process.returncode}, {found}")
    return found


def in_turns(training: str, runs: int) -> dict[str, dict[str, float]]:
    """Of each phase of a training the median seconds, and their ratios to bare imports."""
    taken = []
    for turn in range(runs + 1):
        bare = {name: seconds(["-c", f"import {name}"], 0) for name in (TORCH, BARE)}
        now = phases(training)
        if turn:  # the first fills the caches of files, bytecode and compiled loops
            taken.append((bare, now))
    return {
        phase: {"seconds": statistics.median(now[phase] for _, now in taken)}
        | {name: statistics.median(now[phase] / bare[name] for bare, now in taken) for name in bare}
        for phase in taken[0][1]
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


def check() -> int:
    """Say whether a training starts as quickly as it should; the exit code."""
    ratio = in_turns(TRAININGS[0], 5)[PHASES["at the first environment step"]][TORCH]
    print(f"\nthe first environment step comes after {ratio:.2f} times `import torch`")
    return int(not ratio <= MOST)


def main() -> None:
    """Measure every case and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=11, help="processes per case")
    parser.add_argument("--check", action="store_true", help="only the start, beside MOST")
    args = parser.parse_args()
    if args.check:
        raise SystemExit(check())
    runs = args.runs
    host = machine()
    print(f"{host['cpu']}, {host['usable_cores']} cores, Python {host['python']}; {runs} runs each")
    print(f"{'command':<28}{'median':>9}{'slowest':>9}")
    for name, (arguments, code) in CASES.items():
        seconds(arguments, code)  # fills the caches of files and bytecode
        took = [seconds(arguments, code) for _ in range(runs)]
        print(f"{name:<28}{statistics.median(took):>7.2f} s{max(took):>7.2f} s")
    for training in TRAININGS:
        found = in_turns(training, -(-runs // 3))
        print(f"\n{training:<28}{'median':>9}{'/ torch':>9}{'/ torch, SB3, mujoco':>22}")
        for phase, row in found.items():
            print(f"{phase:<28}{row['seconds']:>7.2f} s{row[TORCH]:>9.2f}{row[BARE]:>22.2f}")


if __name__ == "__main__":
    main()
