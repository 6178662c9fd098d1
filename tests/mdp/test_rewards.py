"""Every reward term on one state, worked out by hand."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from reach_rl import extend
from reach_rl.config.schema import Config, RewardTerm
from reach_rl.extend import entries, keys_of
from reach_rl.mdp import rewards
from reach_rl.mdp.rewards import Reward
from reach_rl.mdp.state import Arm, State
from reach_rl.mdp.terms import TermError

Make = Callable[..., State]

MOVING = {
    "distance": 0.05,
    "angle": 0.3,
    "keypoint_distance": 0.08,
    "keypoint_progress": 0.01,
    "joint_progress": -0.2,
    "inside_steps": 3,
    "completed": True,
    "joint_position": [1.9, 100.0],
    "joint_velocity": [0.3, -0.4],
    "action": [0.5, -1.0],
    "last_action": [0.25, 1.0],
    "self_contact": True,
    "table_contact": False,
    "joint_anchor": [[1.0, 1.0, 0.25], [1.0, 1.0, 0.05]],
    "tool_position": [1.0, 1.0, 0.02],
}
RESTING = {
    "joint_position": [-1.1, 0.0],
    "table_contact": True,
    "tool_position": [1.0, 1.0, -0.05],
}
"""At the goal, at rest, 0.1 rad below the lower limit -1, tool 5 cm under the table's top."""

CASES: dict[str, tuple[list[float], float, float]] = {
    # term: widths, value of MOVING, value of RESTING
    "distance": ([], 0.05, 0.0),
    "distance_tanh": ([0.1, 0.05], 0.38814434, 1.0),  # (1 - tanh 0.5 + 1 - tanh 1) / 2
    "orientation_error": ([], 0.3, 0.0),
    "keypoint_distance": ([], 0.08, 0.0),
    "keypoint_kernel": ([0.08, 0.04], 0.25160736, 1.0),  # (1/e + 1/e^2) / 2
    "progress": ([], 0.01, 0.0),
    "joint_progress": ([], -0.2, 0.0),
    "hold_bonus": ([], 1.0, 0.0),
    "completion_bonus": ([], 1.0, 0.0),
    "stillness": ([0.08], 0.22313016, 1.0),  # exp(-1) exp(-0.5)
    "velocity_near_goal": ([0.08, 0.04], 0.06290184, 0.0),  # 0.25160736 * 0.25
    "action_rate": ([], 4.0625, 0.0),  # 0.25^2 + 2^2
    "joint_velocity": ([], 0.25, 0.0),
    "joint_limit": ([0.4], 0.75, 1.25),  # 0.1 inside the upper limit; 0.1 outside the lower
    "self_collision": ([], 1.0, 0.0),
    "table_collision": ([], 0.0, 1.0),
    "table_margin": ([0.1], 1.3, 3.5),  # 0 + 0.5 + 0.8 of joint, joint and tool; 1 + 1 + 1.5
}


def test_every_term_has_a_case() -> None:
    assert set(entries("reward_term")) <= set(CASES)
    for name, term in entries("reward_term").items():
        assert keys_of(term) == (("scales",) if CASES[name][0] else ())


@pytest.mark.parametrize("name", entries("reward_term"))
def test_term(name: str, arm: Arm, state_of: Make) -> None:
    """Row by row: a moving and a resting arm."""
    scales, moving, resting = CASES[name]
    both = state_of(2)
    for row, values in enumerate((MOVING, RESTING)):
        for key, value in values.items():
            getattr(both, key)[row] = value
    keys = {"scales": np.array(scales)} if scales else {}
    value = entries("reward_term")[name](both, arm, **keys)
    assert value.shape == (2,)
    assert value.dtype == np.float64
    assert np.allclose(value, [moving, resting], rtol=1e-7, atol=1e-15)


def test_joint_limits_count_only_near_them(arm: Arm, state_of: Make) -> None:
    """Both limits, several joints, and none for a joint without limits."""
    limited = replace(arm, low=np.array([-1.0, -1.0]), high=np.array([2.0, 2.0]))
    state = state_of(3, joint_position=[[0.5, 1.0], [-0.9, 1.8], [1.6, 1.5]])
    values = rewards.joint_limit(state, limited, scales=np.array([0.4]))
    assert np.allclose(values, [0.0, 0.75 + 0.5, 0.0])
    assert np.allclose(rewards.joint_limit(state, arm, scales=np.array([0.4])), [0.0, 0.75, 0.0])


def test_the_reward_is_the_weighted_sum(config: Config, arm: Arm, state_of: Make) -> None:
    """Each term's share is weight times value; a null term is not there at all."""
    terms = {
        "distance": RewardTerm(weight=-2.0, scales=None),
        "progress": None,
        "stillness": RewardTerm(weight=3.0, scales=[0.08]),
        "action_rate": RewardTerm(weight=-0.1, scales=None),
    }
    reward = Reward(replace(config.reward, terms=terms), arm, state_of(1))
    total, shares = reward(state_of(1, **MOVING))
    assert reward.names == ("distance", "stillness", "action_rate")
    assert np.allclose(shares, [[-0.1, 3 * 0.22313016, -0.40625]])
    assert np.allclose(total, [-0.1 + 3 * 0.22313016 - 0.40625])
    reward.weights[1] = 0.5  # as a curriculum does
    assert np.allclose(reward(state_of(1, **MOVING))[1], [[-0.1, 0.11156508, -0.40625]])


def test_weight_zero_costs_nothing(
    config: Config, arm: Arm, state_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The term is not even worked out, and its share is 0; with a weight it is."""

    tried = []

    def explodes(state: State, _: object) -> np.ndarray:
        assert not tried, "worked out"
        tried.append(state)
        return state.distance

    monkeypatch.setitem(extend._ENTRIES["reward_term"], "distance", explodes)  # type: ignore[arg-type]
    terms = {
        "distance": RewardTerm(weight=0.0, scales=None),
        "progress": RewardTerm(weight=1.0, scales=None),
    }
    reward = Reward(replace(config.reward, terms=terms), arm, state_of(1))
    total, shares = reward(state_of(1, **MOVING))
    assert shares.tolist() == [[0.0, 0.01]]
    assert total.tolist() == [0.01]
    reward.weights[0] = 1.0
    with pytest.raises(TermError, match=r"^reward\.terms\.distance: AssertionError: worked out"):
        reward(state_of(1, **MOVING))


def test_only_heights_that_the_arm_can_change_are_near_the_table(arm: Arm, state_of: Make) -> None:
    """A base that stands low is no reason for a penalty at every step."""
    low = replace(arm, height_moves=np.array([False, True, False]))
    state = state_of(1, joint_anchor=[[0, 0, 0.02], [0, 0, 0.05]], tool_position=[0.0, 0.0, 0.01])
    assert rewards.table_margin(state, low, scales=np.array([0.1])) == pytest.approx([0.5])
