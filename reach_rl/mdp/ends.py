"""When goals and episodes end."""

import numpy as np

from reach_rl.config.kinds import GoalChange
from reach_rl.config.schema import TaskConfig
from reach_rl.mdp.arrays import Bools, Ints
from reach_rl.mdp.compiled import compiled

_NEVER = int(np.iinfo(np.int64).max)


class Ends:
    """The configured ends."""

    def __init__(self, task: TaskConfig) -> None:
        """Read them from the task."""
        self.episode_steps = task.episode_steps
        self.goal_period = task.goal_period if task.goal_change is GoalChange.TIMER else _NEVER
        self.at_hold = task.goal_change is GoalChange.HOLD

    def __call__(
        self, age: Ints, goal_age: Ints, completed: Bools, poisoned: Bools
    ) -> tuple[Bools, Bools]:
        """Count a step of n environments; whose episode it ends, and whose goal otherwise.

        Args:
            age: (n,) steps of the episode so far; one more afterwards.
            goal_age: (n,) steps of the goal so far; one more afterwards.
            completed: (n,) the goal's hold was completed at this step.
            poisoned: (n,) the physics went bad, which ends the episode.
        """
        limits = self.episode_steps, self.goal_period, self.at_hold
        return _ends(age, goal_age, completed, poisoned, *limits)


@compiled("Tuple((b1[::1], b1[::1]))(i8[:], i8[:], b1[:], b1[:], i8, i8, b1)")
def _ends(
    age: Ints,
    goal_age: Ints,
    completed: Bools,
    poisoned: Bools,
    episode_steps: int,
    goal_period: int,
    at_hold: bool,
) -> tuple[Bools, Bools]:
    episode, goal = np.empty(len(age), np.bool_), np.empty(len(age), np.bool_)
    for i in range(len(age)):
        age[i] += 1
        goal_age[i] += 1
        episode[i] = poisoned[i] or age[i] >= episode_steps
        due = goal_age[i] >= goal_period or (at_hold and completed[i])
        goal[i] = due and not episode[i]
    return episode, goal
