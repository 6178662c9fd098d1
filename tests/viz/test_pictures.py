"""A run's pictures come from a process that cannot do the run any harm."""

import time
from pathlib import Path

from reach_rl.viz.pictures import drawing


def test_what_goes_wrong_is_told_in_a_line(tmp_path: Path) -> None:
    with drawing(tmp_path, "a run") as finish:
        said = finish("its goals")
    assert "No such file" in said and "evaluation.npz" in said and "\n" not in said
    assert (tmp_path / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "goals.png").exists()


def test_a_run_that_is_stopped_waits_for_none(tmp_path: Path) -> None:
    begin = time.monotonic()
    with drawing(tmp_path, "a run"):
        pass
    assert time.monotonic() - begin < 5
    assert not list(tmp_path.iterdir())
