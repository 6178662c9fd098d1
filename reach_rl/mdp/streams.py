"""Random numbers of many environments at once, each with a stream of its own.

NumPy's generators draw one stream each; a loop over them would cost more than the physics. Here
the k-th number of an environment is a hash of (its seed, k), so that it does not depend on how
many environments there are, and the whole state is two integers per environment.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reach_rl.mdp.arrays import Array, Ints

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))


class Streams:
    """One random stream per environment."""

    def __init__(self, seeds: Sequence[int] | Ints) -> None:
        """Start a stream for each seed; equal seeds give equal streams."""
        self.keys = _mix(_mix(np.asarray(seeds, np.uint64)) + _GAMMA)
        self.counters = np.zeros(len(self.keys), np.uint64)

    def reseed(self, row: int, seed: int) -> None:
        """Start the stream of one row anew."""
        self.keys[row] = Streams([seed]).keys[0]
        self.counters[row] = 0

    def uniform(self, rows: Ints | slice, count: int) -> Array:
        """The next `count` numbers in [0, 1) of each row's stream, (rows, count)."""
        steps = self.counters[rows][:, None] + np.arange(1, count + 1, dtype=np.uint64)
        self.counters[rows] += np.uint64(count)
        bits = _mix(self.keys[rows][:, None] + steps * _GAMMA)
        return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def symmetric(self, rows: Ints | slice, count: int) -> Array:
        """The next `count` numbers in [-1, 1) of each row's stream, (rows, count)."""
        return 2.0 * self.uniform(rows, count) - 1.0
