"""Whether judged arms ever repeat themselves: python benchmarks/at_rest.py RUN [--goals 1000].

Only after a state that was there before, to the last bit and with the same action, would the rest
of an episode be certain. Tells in how many episodes one comes, and how still the arms are.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from reach_rl.evaluation.drivers import ik
from reach_rl.evaluation.protocol import evaluate, held_out_goals
from reach_rl.evaluation.recording import JudgedBatch, Watcher
from reach_rl.evaluation.result import Evaluation
from reach_rl.robots import load_robot
from reach_rl.training.snapshot import load


class Repeats(Watcher):
    """Remembers a hash of each arm's integration state and action at each control step."""

    def begin(self, batch: JudgedBatch, first: int, goals: int) -> None:
        """Watch these arms."""
        self.batch, self.seen = batch, [set[int]() for _ in range(batch.n)]
        self.at = np.full(batch.n, np.nan)
        self.step = 0

    def look(self) -> None:
        """Note who is where it was before; the time is left out of the state."""
        self.step += 1
        rows = np.concatenate((self.batch.batch.state[:, 1:], self.batch.state.action), axis=1)
        for i, row in enumerate(rows):
            key = hash(row.tobytes())
            if key in self.seen[i] and np.isnan(self.at[i]):
                self.at[i] = self.step
            self.seen[i].add(key)

    def end(self, result: Evaluation) -> None:
        """Tell of these arms."""
        there, speed = np.isfinite(self.at), np.percentile(result.final_joint_speed, [5, 50, 95])
        when = f", from step {np.median(self.at[there]):.0f} on (median)" if there.any() else ""
        shown = ", ".join(f"{value:.1e}" for value in speed)
        print(f"  {there.sum()} of {len(there)} arms repeat a state{when}; success", end=" ")
        print(f"{result.success.mean():.1%}; final speed (5, 50, 95 %): {shown} rad/s", flush=True)


def main() -> None:
    """Judge the run's policy and inverse kinematics, and look on."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--goals", type=int, default=1000)
    args = parser.parse_args()
    trained = load(args.run)
    config = trained.config
    robot = load_robot(config.robot, config.task.physics_step)
    goals = held_out_goals(config, robot, args.goals, seed=7)
    drivers: dict[str, Any] = {"policy": (config, trained.policy), "ik": ik(config, robot)}
    for name, (seen, driver) in drivers.items():
        print(f"{name}, {config.task.episode_steps} steps", flush=True)
        evaluate(driver, seen, goals, threads=2, robot=robot, watcher=Repeats())


if __name__ == "__main__":
    main()
