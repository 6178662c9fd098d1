"""A term is one function: its keyword-only arguments are its keys in the configuration."""

import dataclasses
from collections.abc import Iterator
from typing import Annotated, Literal

import cloudpickle
import numpy as np
import pytest
from annotated_types import Gt

from reach_rl import extend
from reach_rl.cli.completion import complete
from reach_rl.cli.explain import answer as explain
from reach_rl.config.keys import find
from reach_rl.config.load import ConfigError, compose, to_config, to_tree
from reach_rl.config.schema import Config
from reach_rl.mdp.rewards import Reward
from reach_rl.mdp.state import State


@pytest.fixture(autouse=True)
def terms(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two terms of somebody else."""
    for noun in ("reward_term", "observation_term"):
        monkeypatch.setitem(extend._ENTRIES, noun, dict(extend.entries(noun)))

    @extend.reward_term
    def elbow_height(
        state: State,
        arm: object,
        *,
        height: Annotated[float, Gt(0)] = 0.6,
        joints: list[int] = [2],  # noqa: B006
        norm: Literal["l1", "l2"] = "l1",
    ) -> np.ndarray:
        """How far the elbow is below a height (m)."""
        return np.maximum(0.0, height - state.joint_anchor[:, joints[0], 2])

    @extend.observation_term
    def tool_height(state: State, arm: object, *, above: float = 0.0) -> np.ndarray:
        """Height of the tool above a plane (m)."""
        return state.tool_position[:, 2:] - above

    yield


@pytest.mark.parametrize(
    ("override", "weight", "height"),
    [
        ("reward.terms.elbow_height=-0.1", -0.1, 0.6),
        ("+reward.terms.elbow_height=-0.1", -0.1, 0.6),
        ("reward.terms.elbow_height={weight: -0.1, height: 0.5}", -0.1, 0.5),
        ("+reward.terms.elbow_height={weight: -1, height: 1}", -1.0, 1.0),
    ],
)
def test_a_term_is_switched_on_by_its_name(override: str, weight: float, height: float):
    term = compose([override]).reward.terms["elbow_height"]
    assert (term.weight, term.arguments["height"], term.arguments["joints"]) == (
        weight,
        height,
        [2],
    )
    assert type(term.arguments["height"]) is float


def test_a_number_is_the_weight_and_leaves_the_rest():
    plain, changed = compose(), compose(["reward.terms.keypoint_kernel=2"])
    before, after = (c.reward.terms["keypoint_kernel"] for c in (plain, changed))
    assert after == dataclasses.replace(before, weight=2.0)


def test_nothing_takes_the_defaults():
    term = compose(["observation.terms.tool_height={}"]).observation.terms["tool_height"]
    assert (term.noise, term.scales, term.arguments) == (0.0, None, {"above": 0.0})


def test_a_configuration_with_it_is_a_tree_and_travels():
    config = compose(["reward.terms.elbow_height={weight: -0.1, norm: l2}"])
    tree = to_tree(config)
    assert tree["reward"]["terms"]["elbow_height"] == {
        "weight": -0.1,
        "scales": None,
        "height": 0.6,
        "joints": [2],
        "norm": "l2",
    }
    assert to_config(tree) == config
    assert cloudpickle.loads(cloudpickle.dumps(config)) == config


def test_the_function_gets_its_arguments():
    config = compose(["reward.terms.elbow_height={weight: -2, height: 0.5}"])
    term = config.reward.terms["elbow_height"]
    alone = dataclasses.replace(config.reward, terms={"elbow_height": term})
    state = State.empty(3, 6)
    state.joint_anchor[:, 2, 2] = [0.1, 0.5, 0.9]
    reward, _ = Reward(alone, None, state)(state)  # type: ignore[arg-type]
    np.testing.assert_allclose(reward, [-0.8, 0.0, 0.0])


TERM = "reward.terms.elbow_height"
MISTAKES = {
    "{weight: 1, height: 0}": ".height=0 (command line): must be above 0",
    "{weight: 1, norm: l3}": ".norm=l3 (command line): must be l1 or l2",
    "{weight: 1, joints: [a]}": ".joints=[a] (command line): item 1, a, must be a whole number",
    "{height: 1}": f".weight (command line): has no value; give one with +{TERM}.weight=...",
    "{weight: 1, heigth: 1}": (
        f".heigth=1 (command line): unknown key; did you mean {TERM}.height?"
    ),
}


@pytest.mark.parametrize("value", MISTAKES)
def test_mistakes(value: str):
    with pytest.raises(ConfigError) as caught:
        compose([f"{TERM}={value}"])
    assert caught.value.problems == [f"{TERM}{MISTAKES[value]}"]


def test_its_keys_name_no_code():
    with pytest.raises(ConfigError, match="would name code to run"):
        compose([f"{TERM}={{weight: 1, _target_: x}}"])


def test_a_key_of_its_own_is_found_explained_and_searched():
    path = "reward.terms.elbow_height.height"
    key = find(Config, path)
    assert key is not None
    assert (key.path, key.type, key.range) == (path, float, "above 0")
    text = explain([path, "reward.terms.elbow_height=-0.1"])
    assert "  meaning  How far the elbow is below a height" in text
    assert "  range    above 0" in text
    assert "  value    0.6" in text or "  value    null" in text
    assert "elbow_height" in explain(["reward.terms"])
    assert f"{path}=" in complete("reach-rl train reward.terms.elb", ["train"])
