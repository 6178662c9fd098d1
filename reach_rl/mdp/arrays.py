"""Names for the arrays of the task, and what NumPy does slowly for small ones."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


def total(values: Array) -> Array:
    """Sum over the last axis; the ways into np.sum and np.einsum are longer than this work."""
    return np.add.reduce(values, axis=-1)


def dot(a: Array, b: Array) -> Array:
    """Scalar products of vectors, their components along the last axis."""
    return np.add.reduce(a * b, axis=-1)


def where(flags: Bools) -> Ints:
    """Indices of the rows (n,) that are set, in half the time of np.flatnonzero."""
    return flags.nonzero()[0]


def clipped(values: Array, low: Array | float, high: Array | float) -> Array:
    """np.clip of a few thousand numbers, in half the time."""
    return np.minimum(np.maximum(values, low), high)
