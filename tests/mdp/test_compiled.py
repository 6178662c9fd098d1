"""Compiled loops give what their Python gives, are compiled once, and cost nothing unused."""

import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reach_rl.envs.batch import ReachBatch
from reach_rl.envs.vec_env import make_vec_env
from reach_rl.learning.normalize import Normalize, normalized
from reach_rl.mdp import compiled as module
from reach_rl.mdp.compiled import Compiled, compiled, load_all
from tests.small_runs import compose

TASK = [
    "vec_env.n_envs=3",
    "ppo.batch_size=18",
    "task.region.pool=16",
    "task.episode_steps=12",
    "task.goal_period=5",
    "task.hold_time=0.02",
    "task.position_threshold=1.0",
    "task.orientation_threshold=4.0",
    "+observation.terms.joint_error={scales:[1.0,0.1],noise:0.0}",
    "+reward.terms.joint_progress={weight:1.0,scales:null}",
    "reward.terms.joint_limit={weight:-0.1,scales:[3.0]}",
    "reward.terms.table_margin={weight:-2.0,scales:[2.0]}",
]
ROUNDING = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-6}


def alike(found: Any, wanted: Any) -> None:
    """Equal, up to the rounding of the type."""
    if isinstance(found, tuple):
        for one, other in zip(found, wanted, strict=True):
            alike(one, other)
    elif isinstance(found, np.ndarray):
        room = ROUNDING.get(found.dtype, 0.0)
        np.testing.assert_allclose(found, wanted, rtol=room, atol=room)
    else:
        assert found == wanted


def test_loops_give_what_their_python_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each call of a run of several episodes, twice: compiled and not."""
    called = set()

    def twice(self: Compiled, *arguments: Any) -> Any:
        called.add(self)
        again = copy.deepcopy(arguments)
        found, wanted = self.call(*arguments), self.function(*again)
        alike((found, *arguments), (wanted, *again))
        return found

    config = compose(TASK)
    env = normalized(make_vec_env(config), config)
    assert type(env) is Normalize
    monkeypatch.setattr(Compiled, "__call__", twice)
    env.reset()
    rng = np.random.default_rng(0)
    for _ in range(30):
        env.step(rng.uniform(-1.5, 1.5, (3, 6)).astype(np.float32))
    batch: ReachBatch = env.venv.batch  # type: ignore[attr-defined]
    assert batch.state.joint_velocity.any()
    rooms = ("reach_rl.mdp", "reach_rl.envs", "reach_rl.learning")
    assert called == {loop for loop in module._ALL if loop.function.__module__.startswith(rooms)}


def python(code: str, **environment: str) -> str:
    """What a Python says that starts anew."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_nothing_is_compiled_before_it_is_needed() -> None:
    code = "import sys, reach_rl.learning.normalize; print('numba' in sys.modules)"
    assert python(code) == "False"


def test_a_later_process_compiles_nothing(tmp_path: Path) -> None:
    code = """
import sys
from reach_rl.mdp import compiled, success
compiled.load_all(print)
print(success._update.new, "scipy.linalg" in sys.modules)  # which Numba's compiler imports
"""
    folder = str(tmp_path / "loops")
    told, new = python(code, NUMBA_CACHE_DIR=folder).splitlines()
    assert "once after an installation" in told
    assert new == "True True"
    assert python(code, NUMBA_CACHE_DIR=folder) == "False False"


def test_without_a_place_to_keep_them_loops_are_compiled_all_the_same() -> None:
    """As of code without a file, of which Numba keeps nothing."""
    space: dict[str, Any] = {}
    exec("def double(x):\n    return 2.0 * x", space)
    double = compiled("f8(f8)")(space["double"])
    module._ALL.remove(double)
    assert double(21.0) == 42.0
    assert double.call.signatures  # type: ignore[attr-defined]


def test_all_loops_load_at_once() -> None:
    load_all()
    assert all(hasattr(loop.call, "signatures") for loop in module._ALL)
