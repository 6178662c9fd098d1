"""When a goal counts as reached and held, and when goals and episodes end."""

import numpy as np

from reach_rl.config.schema import GoalChange, TaskConfig
from reach_rl.mdp.arrays import Array, Bools, Ints
from reach_rl.mdp.compiled import compiled
from reach_rl.mdp.state import State

_NEVER = int(np.iinfo(np.int64).max)


def update(
    state: State, position_threshold: float, orientation_threshold: float, hold: int
) -> None:
    """Count the steps inside both thresholds and mark the step that first completes the hold.

    Args:
        state: n environments, measured at this control step; inside_steps, completed and reached
            change.
        position_threshold: distance of the tool below which it is inside (m).
        orientation_threshold: angle of the tool below which it is inside (rad).
        hold: consecutive control steps inside that complete the hold.
    """
    _update.on(state, position_threshold, orientation_threshold, hold)


@compiled("void(f8[:], f8[:], i8[:], b1[:], b1[:], f8, f8, i8)")
def _update(
    distance: Array,
    angle: Array,
    inside_steps: Ints,
    completed: Bools,
    reached: Bools,
    position_threshold: float,
    orientation_threshold: float,
    hold: int,
) -> None:
    for i in range(len(distance)):
        inside = distance[i] < position_threshold and angle[i] < orientation_threshold
        inside_steps[i] = inside_steps[i] + 1 if inside else 0
        completed[i] = inside_steps[i] == hold and not reached[i]
        reached[i] = reached[i] or completed[i]


def ends(
    task: TaskConfig, age: Ints, goal_age: Ints, completed: Bools, poisoned: Bools
) -> tuple[Bools, Bools]:
    """Count a step of n environments; whose episode it ends, and whose goal otherwise.

    Args:
        task: when they end.
        age: (n,) steps of the episode so far; one more afterwards.
        goal_age: (n,) steps of the goal so far; one more afterwards.
        completed: (n,) the goal's hold was completed at this step.
        poisoned: (n,) the physics went bad, which ends the episode.
    """
    period = task.goal_period if task.goal_change is GoalChange.TIMER else _NEVER
    limits = task.episode_steps, period, task.goal_change is GoalChange.HOLD
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
