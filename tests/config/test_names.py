"""The closed lists of names are what the task implements."""

from reach_rl.config import names
from reach_rl.mdp import actions, observations, rewards


def test_names_agree_with_the_registries():
    assert set(names.OBSERVATION_TERMS) == set(observations.TERMS)
    assert set(names.REWARD_TERMS) == set(rewards.TERMS)
    assert set(names.ACTION_KINDS) == set(actions.KINDS)
