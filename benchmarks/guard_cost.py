"""What watching costs: steps with and without the guard's history.

python benchmarks/guard_cost.py [n_envs] [seconds]     (256 and 5; about a minute on two cores)
"""

import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from reach_rl.config.load import compose
from reach_rl.envs.batch import ReachBatch


def rate(step: Callable[[], object], seconds: float) -> float:
    """Calls per second."""
    for _ in range(20):
        step()
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        step()
        count += 1
    return count / (time.perf_counter() - begin)


def compare(
    name: str, one: Callable[[], object], other: Callable[[], object], seconds: float
) -> None:
    """Print both rates, taken in turns so that a busy machine is unkind to both."""
    rates = np.array([(rate(one, seconds / 5), rate(other, seconds / 5)) for _ in range(5)])
    plain, watched = np.median(rates, axis=0)
    share = 100.0 * (float(np.median(rates[:, 0] / rates[:, 1])) - 1.0)
    print(f"{name}: {plain:,.0f} -> {watched:,.0f} steps/s; a step takes {share:+.1f} % longer")


def main(n_envs: int = 256, seconds: float = 5.0) -> None:
    """Measure and print."""
    config = compose(["task.region.pool=256"])
    batches = [ReachBatch(config, n_envs), ReachBatch(config, n_envs)]
    batches[1].keep_history()
    action = np.random.default_rng(0).uniform(-1.0, 1.0, (n_envs, 6))
    for batch in batches:
        batch.reset()
    plain, watched = (partial(batch.step, action) for batch in batches)
    compare(f"history of {n_envs} arms", plain, watched, seconds)


if __name__ == "__main__":
    main(int((sys.argv[1:] or ["256"])[0]), float((sys.argv[2:] or ["5"])[0]))
