"""Names for the arrays of the task, and what NumPy does slowly for small ones."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


def clipped(values: Array, low: Array | float, high: Array | float) -> Array:
    """np.clip of a few thousand numbers, in half the time."""
    return np.minimum(np.maximum(values, low), high)
