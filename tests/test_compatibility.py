"""What 0.1.0 left on disk still serves: judged, played, exported, resumed, reported.

tests/data/v0_1_0 says how it was made, and holds in expected.json what 0.1.0 itself made of it.
Everything goes through the commands, as a user's scripts do, within this process.
"""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reach_rl.deploy import Bundle
from tests.small_runs import command

ROOT = Path(__file__).parents[1]
DATA = Path(__file__).parent / "data" / "v0_1_0"
EXPECTED = json.loads((DATA / "expected.json").read_text())
ALIKE = 1e-3
"""Relative difference that processors may make; one of onnxruntime and torch makes 1e-5."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a copy of everything, where none of the paths in the files exists."""
    for name in ("run", "stopped", "bundle"):
        shutil.copytree(DATA / name, tmp_path / name)
    shutil.copytree(DATA / "search", tmp_path / "multirun" / "search")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def alike(found: Any, expected: Any, path: str = "") -> None:
    """Everything that 0.1.0 said is there and is the same; what is new may stand beside it."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            assert key in found, f"{path}/{key}"
            alike(found[key], value, f"{path}/{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), path
        for i, value in enumerate(expected):
            alike(found[i], value, f"{path}/{i}")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=ALIKE, abs=1e-9), path
    else:
        assert found == expected, path


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def state(folder: Path) -> str:
    return json.loads((folder / "status.json").read_text())["state"]


def test_no_file_says_on_which_machine_it_was_made() -> None:
    files = [path.read_bytes() for path in DATA.rglob("*") if path.is_file()]
    places = {place for data in files for place in re.findall(rb"(?<![\w.{])/(?:\w+/)+\w+", data)}
    assert {p for p in places if not p.startswith((b"/srv/lab", b"/srv/reach_rl"))} == set()
    assert sum(map(len, files)) < 700_000


def test_a_run_is_judged_as_it_was(here: Path) -> None:
    command("evaluate", "run=run", "goals=8", "threads=1", "out=found.json")
    alike(json.loads((here / "found.json").read_text()), EXPECTED["evaluation"])


def test_a_run_is_exported_and_the_bundle_computes_what_it_did(here: Path) -> None:
    command("export", "run=run", "goals=0", "out=mine")
    new, old = Bundle(here / "mine"), Bundle(here / "bundle")  # each checks itself
    assert new.contract.checkpoint == old.contract.checkpoint
    with np.load(here / "bundle" / "golden.npz") as golden:
        found = new({n.removeprefix("input."): golden[n] for n in golden.files if "input." in n})
        for name in old.contract.outputs:
            assert found[name] == pytest.approx(golden[f"output.{name}"], rel=0, abs=1e-5), name


def test_a_bundle_is_judged_as_it_was(here: Path) -> None:
    command("evaluate", "bundle=bundle", "goals=8", "threads=1", "out=found.json")
    alike(json.loads((here / "found.json").read_text()), EXPECTED["bundle"])


def test_a_run_goes_on_for_a_rollout_as_it_would_have(here: Path) -> None:
    """Optimiser, normaliser, environments and random numbers: one update depends on all of them."""
    before = metrics(here / "run")[:4]  # the last line is the verdict, which is given anew
    command("train", "resume=run", "total_timesteps=320")
    *old, new, verdict = metrics(here / "run")
    assert old == before
    assert "final/front/success_rate" in verdict
    alike(new, EXPECTED["next_rollout"])
    assert (here / "run" / "checkpoints" / "latest").read_text().strip() == "step_000000000320"
    assert state(here / "run") == "finished"


def test_a_run_that_was_stopped_comes_to_its_end(here: Path) -> None:
    before = metrics(here / "stopped")
    assert state(here / "stopped") == "stopped"
    command("train", "resume=stopped")
    after = metrics(here / "stopped")
    assert after[: len(before)] == before
    steps = sorted({line["global_step"] for line in after})
    assert steps == list(range(64, 512 + 1, 64))
    assert state(here / "stopped") == "finished"
    summary = json.loads((here / "stopped" / "summary.json").read_text())
    assert summary["total_timesteps"] == 512
    assert summary["evaluation"]["goals"] == 4


def test_run_and_search_are_reported(here: Path) -> None:
    command("report", "path=run")
    page = (here / "run" / "report.html").read_text()
    assert "ur5e" in page
    assert "step_" in page
    command("report", "path=multirun/search")
    page = (here / "multirun" / "search" / "report.html").read_text()
    assert "ppo.gamma" in page


def test_a_search_goes_on_with_one_more_trial(here: Path) -> None:
    """The command in its results, with another number of trials; nothing is tried again."""
    folder = here / "multirun" / "search"
    before = json.loads((folder / "results.json").read_text())
    program, *words = shlex.split(before["command"])[2:]
    assert program == "reach_rl.train"
    kept = [word for word in words if not word.startswith("hydra.sweeper.n_trials=")]
    command("train", *kept, "hydra.sweeper.n_trials=3")
    after = json.loads((folder / "results.json").read_text())
    assert [trial["state"] for trial in after["results"]] == ["complete"] * 3
    for old, new in zip(before["results"], after["results"], strict=False):
        assert (new["params"], new["values"]) == (old["params"], old["values"])
    alike(after["results"][2], EXPECTED["third_trial"])
    assert (folder / "2" / "summary.json").exists()


def test_a_run_is_played(here: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    player = subprocess.Popen(
        [sys.executable, "-m", "reach_rl.play", "run=run", f"port={port}"],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert player.stdout is not None
        assert player.stdout.readline().startswith("playing run best: open http://127.0.0.1")
        player.send_signal(signal.SIGTERM)
        _, errors = player.communicate(timeout=60)
    finally:
        player.kill()
    assert player.returncode == 143, errors


def test_runs_are_listed_and_the_command_of_one_is_told(here: Path, capsys) -> None:
    command("runs", ".")
    listed = capsys.readouterr().out
    assert all(word in listed for word in ("run", "finished", "stopped", "search"))
    command("repro", "run")
    assert "seed=5" in capsys.readouterr().out
