from dataclasses import fields
from typing import get_type_hints

import numpy as np
import pytest

from reach_rl.evaluation import result
from reach_rl.evaluation.result import Conditions, Evaluation
from reach_rl.mdp.arrays import Bools


@pytest.fixture
def found() -> Evaluation:
    """An evaluation of nine goals with every kind of value, NaN among them."""
    rng, hints = np.random.default_rng(0), get_type_hints(Evaluation)
    shapes = {"goal_position": (9, 3), "goal_quaternion": (9, 4)}
    values = {
        f.name: rng.random(9) < 0.7
        if hints[f.name] == Bools
        else rng.normal(size=shapes.get(f.name, (9,)))
        for f in fields(Evaluation)
        if f.name != "conditions"
    }
    values["time_to_success"][~values["success"]] = np.nan
    numbers = {"base": (0.0, 0.1, 0.2), "reach": 0.85, "position_threshold": 0.02}
    words = {f.name: numbers.get(f.name, 1) for f in fields(Conditions)}
    words |= {"robot": "ur5e", "region": "front", "start": "home", "physics_records": True}
    return Evaluation(conditions=Conditions(**words), **values)


def test_an_evaluation_comes_back_as_it_was(found, tmp_path):
    path = tmp_path / result.FILE
    result.save(path, found)
    back = result.load(path)
    assert back.conditions == found.conditions
    for field in fields(Evaluation):
        if field.name != "conditions":
            a, b = getattr(back, field.name), getattr(found, field.name)
            assert np.allclose(a, b, rtol=1e-6, equal_nan=True), field.name
            assert a.dtype.kind == b.dtype.kind
    assert [goal["index"] for goal in back.worst()] == [goal["index"] for goal in found.worst()]
    assert [p.name for p in tmp_path.iterdir()] == [result.FILE]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"[1, 2]"])
def test_a_damaged_file_is_said_to_be_one(tmp_path, content):
    path = tmp_path / result.FILE
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a whole evaluation"):
        result.load(path)


def test_a_file_that_lacks_an_array_is_damaged(found, tmp_path):
    path = tmp_path / result.FILE
    result.save(path, found)
    with np.load(path) as file:
        rest = {name: file[name] for name in file.files if name != "success"}
    np.savez(path, **rest)
    with pytest.raises(ValueError, match="not a whole evaluation"):
        result.load(path)


def test_no_file_is_another_matter(tmp_path):
    with pytest.raises(OSError):
        result.load(tmp_path / result.FILE)


def test_a_file_of_an_earlier_version_lacks_later_figures(found, tmp_path):
    path = tmp_path / result.FILE
    result.save(path, found)
    with np.load(path) as file:
        rest = {name: file[name] for name in file.files if name != "share_at_torque_limit"}
    np.savez(path, **rest)
    back = result.load(path)
    assert np.isnan(back.share_at_torque_limit).all() and len(back.share_at_torque_limit) == 9
    assert back.summary()["share_at_torque_limit"] is None
