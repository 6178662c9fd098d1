"""When a goal counts as reached and held."""

from reach_rl.mdp.arrays import Array, Bools, Ints
from reach_rl.mdp.compiled import compiled
from reach_rl.mdp.state import State


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
    _update(
        state.distance,
        state.angle,
        position_threshold,
        orientation_threshold,
        hold,
        state.inside_steps,
        state.completed,
        state.reached,
    )


@compiled("void(f8[:], f8[:], f8, f8, i8, i8[:], b1[:], b1[:])")
def _update(
    distance: Array,
    angle: Array,
    position_threshold: float,
    orientation_threshold: float,
    hold: int,
    inside_steps: Ints,
    completed: Bools,
    reached: Bools,
) -> None:
    for i in range(len(distance)):
        inside = distance[i] < position_threshold and angle[i] < orientation_threshold
        inside_steps[i] = inside_steps[i] + 1 if inside else 0
        completed[i] = inside_steps[i] == hold and not reached[i]
        reached[i] = reached[i] or completed[i]
