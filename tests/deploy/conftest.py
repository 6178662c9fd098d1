"""A bundle that reaches its goals, for servos as stiff as an industrial arm's."""

import pytest

from reach_rl.bundles import onnx_bundle as bundles
from reach_rl.deploy import Bundle
from reach_rl.training.snapshot import load
from tests import reaching


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The bundle's folder."""
    run = reaching.reaching_run(tmp_path_factory.mktemp("runs") / "run", "robot.servo_lag=0.03")
    out = tmp_path_factory.mktemp("bundle")
    patch = pytest.MonkeyPatch()
    patch.setattr(bundles.prove, "__defaults__", (500,))
    bundles.write(load(run), out, goals=0, seed=7, threads=1)
    patch.undo()
    return out


@pytest.fixture(scope="session")
def bundle(folder):
    """The bundle, loaded."""
    return Bundle(folder)
