"""When a goal counts as reached and held."""

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
    inside = (state.distance < position_threshold) & (state.angle < orientation_threshold)
    state.inside_steps[:] = (state.inside_steps + 1) * inside
    state.completed[:] = (state.inside_steps == hold) & ~state.reached
    state.reached |= state.completed
