import dataclasses

import pytest
import yaml

from reach_rl.config.load import ConfigError, compose, to_config, to_tree
from reach_rl.config.schema import Config, GoalChange, NetArch
from reach_rl.extend import entries


@pytest.fixture(scope="module")
def config() -> Config:
    return compose()


def _changed(config: Config, path: str, value: object) -> dict:
    tree = to_tree(config)
    node = tree
    *parts, last = path.split(".")
    for part in parts:
        node = node[part]
    node[last] = value
    return tree


def _problems(config: Config, path: str, value: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        to_config(_changed(config, path, value))
    return caught.value.problems


def test_tree_and_back(config: Config):
    assert to_config(to_tree(config)) == config
    assert to_config(yaml.safe_load(yaml.safe_dump(to_tree(config)))) == config


def test_tree_is_plain(config: Config):
    yaml.safe_dump(to_tree(config))  # refuses anything that is not plain
    assert type(to_tree(config)["task"]["goal_change"]) is str


@pytest.mark.parametrize(
    ("path", "given", "held"),
    [
        ("ppo.learning_rate", "1e-3", 0.001),
        ("ppo.learning_rate", 1, 1.0),
        ("seed", 3.0, 3),
        ("task.goal_change", "hold", GoalChange.HOLD),
        ("task.region.box_low", [None, 1, -2.5], [None, 1.0, -2.5]),
        ("robot.home", None, None),
        ("ppo.policy_kwargs.net_arch", [256, 128], NetArch(pi=[256, 128], vf=[256, 128])),
        ("ppo.policy_kwargs.net_arch", [{"pi": [8], "vf": [16]}], NetArch(pi=[8], vf=[16])),
        ("ppo.device", "cuda:1", "cuda:1"),
    ],
)
def test_accepted(config: Config, path: str, given: object, held: object):
    value: object = to_config(_changed(config, path, given))
    for part in path.split("."):
        value = getattr(value, part)
    assert value == held
    assert type(value) is type(held)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seed", True),
        ("seed", "3"),
        ("seed", 0.5),
        ("progress", 1),
        ("ppo.gamma", True),
        ("ppo.gamma", float("nan")),
        ("ppo.clip_range", float("inf")),
        ("ppo.gamma", None),
        ("robot.name", 5),
        ("robot.joints", "shoulder"),
        ("robot.joints", [1]),
        ("ppo.policy_kwargs.net_arch.pi", [64, True]),
        ("ppo", 3),
        ("observation.terms", ["joint_angle"]),
        ("observation.terms.joint_angle", 3),
        ("ppo.rollout_buffer_kwargs", {"deep": {"_target_": "os.system"}}),
    ],
)
def test_refused(config: Config, path: str, value: object):
    (problem,) = _problems(config, path, value)
    assert problem.startswith(path)


def test_all_problems_at_once(config: Config):
    tree = _changed(config, "seed", -1)
    tree["ppo"]["gamma"] = 2
    del tree["task"]["hold_time"]
    tree["robot"]["colour"] = "blue"
    with pytest.raises(ConfigError) as caught:
        to_config(tree)
    assert len(caught.value.problems) == 4
    assert str(caught.value).count("\n") == 3


def test_terms_may_be_dropped_and_order_is_kept(config: Config):
    terms = {name: {"scales": None, "noise": 0.0} for name in reversed(entries("observation_term"))}
    terms["joint_angle"] = None
    made = to_config(_changed(config, "observation.terms", terms))
    assert list(made.observation.terms) == list(reversed(entries("observation_term")))
    assert made.observation.terms["joint_angle"] is None


def test_config_is_frozen(config: Config):
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 3  # type: ignore[misc]
