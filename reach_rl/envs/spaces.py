"""What one environment says and takes, for Gymnasium and SB3 alike."""

import numpy as np
from gymnasium import spaces

from reach_rl.envs.batch import ReachBatch


def spaces_of(batch: ReachBatch) -> tuple[spaces.Box, spaces.Box]:
    """Observation and action space of one environment."""
    return (
        spaces.Box(-np.inf, np.inf, (batch.observe.size,), np.float32),
        spaces.Box(-1.0, 1.0, (batch.joints,), np.float32),
    )
