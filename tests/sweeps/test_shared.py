"""Several processes, one study: on a journal, on a real PostgreSQL server, behind a gRPC proxy."""

import json
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from reach_rl.config.problems import ConfigError
from reach_rl.sweeps import results
from reach_rl.sweeps.ledger import FOLDER, OWNER, Ledger
from reach_rl.sweeps.storage import locked, make_study, open_storage
from tests.sweeps import postgres

ROOT = Path(__file__).parents[2]
TOTAL = 6


@contextmanager
def held(*folders):
    """Nobody claims anything in these folders until the block is left."""
    with ExitStack() as stack:
        for folder in folders:
            stack.enter_context(locked(folder / "claim.lock"))
        yield


def waiting(process):
    """Whether a process waits for a lock."""
    lines = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and f" {process.pid} " in line for line in lines)


def both(start, folders, *words):
    """Two processes with the same command, both ready before either claims; what they print."""
    words = ("ppo.gamma=interval(0.5,1)", f"hydra.sweeper.n_trials={TOTAL}", *words)
    with held(*set(folders)):
        processes = [start(*words, f"hydra.sweep.dir={folder}") for folder in folders]
        end = time.monotonic() + 120.0
        while not all(waiting(process) for process in processes):
            assert all(process.poll() is None for process in processes), processes[0].stdout.read()
            assert time.monotonic() < end, "they never came to claim"
            time.sleep(0.05)
    texts = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(texts)
    return texts


def check(study):
    """One shared total: nothing twice, nothing lost, and both had their part."""
    found = study.get_trials(deepcopy=False)
    late = found[TOTAL:]  # claimed too late by a process without the common lock
    assert {trial.state.name for trial in late} <= {"WAITING"}
    found = found[:TOTAL]
    assert [trial.number for trial in found] == list(range(TOTAL))
    assert {trial.state.name for trial in found} <= {"COMPLETE", "PRUNED"}
    assert len({trial.params["ppo.gamma"] for trial in found}) == TOTAL
    assert len({trial.user_attrs[OWNER]["pid"] for trial in found}) == 2
    for trial in found:
        folder = Path(trial.user_attrs[FOLDER])
        assert folder.name == str(trial.number)
        (line,) = (folder / "begun.jsonl").read_text().splitlines()
        begun = json.loads(line)
        assert begun["gamma"] == trial.params["ppo.gamma"]
        assert begun["pid"] == trial.user_attrs[OWNER]["pid"]


def test_two_processes_finish_one_journal_study(here, start):
    folder = here / "sweep"
    texts = both(start, [folder, folder])
    check(results.find(folder))
    folders = {path.name for path in folder.iterdir() if path.name.isdecimal()}
    assert folders == set(map(str, range(TOTAL)))
    assert sum("train with it" in text for text in texts) == 1, "one of them keeps the winner"
    assert [path.name for path in here.rglob("tuned_*.yaml")] == ["tuned_search.yaml"]
    assert len(json.loads((folder / "results.json").read_text())["results"]) == TOTAL


@pytest.mark.skipif(postgres.binaries() is None, reason="no PostgreSQL server is installed")
def test_two_processes_finish_one_postgresql_study(here, start):
    """As on two machines: they share the database and no folder."""
    folders = [here / "one", here / "other"]
    with postgres.server() as url:
        texts = both(start, folders, f"hydra.sweeper.storage={url}")
        check(optuna.load_study(study_name="search", storage=url))
        assert results.find(folders[0], url).study_name == "search"
        with pytest.raises(ConfigError, match="password of its storage was not kept"):
            results.find(folders[0])
    runs = [path.name for folder in folders for path in folder.iterdir() if path.name.isdecimal()]
    assert sorted(map(int, runs)) == list(range(TOTAL))
    files = [path for path in here.rglob("*") if path.is_file()]
    leaked = [path for path in files if postgres.PASSWORD.encode() in path.read_bytes()]
    assert not leaked
    assert not any(postgres.PASSWORD in text for text in texts)


def test_a_study_behind_a_grpc_proxy_is_as_good(tmp_path):
    pytest.importorskip("grpc")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serve = (
        "import optuna; from reach_rl.sweeps.storage import open_storage; "
        f"optuna.storages.run_grpc_proxy_server(open_storage({str(tmp_path / 'j')!r}), "
        f"host='127.0.0.1', port={port})"
    )
    server = subprocess.Popen([sys.executable, "-c", serve], cwd=ROOT)
    try:
        url = f"grpc://127.0.0.1:{port}"
        open_storage(url).wait_server_ready(timeout=60)
        study = make_study(url, "mine", ["maximize"], ["score"], {"space": {}})
        ledger = Ledger(study, tmp_path / "sweep")
        claim = ledger.claim(1)
        ledger.tell(claim.number, TrialState.COMPLETE, values=[0.5])
        assert ledger.claim(1) is None
    finally:
        server.kill()
        server.wait()
    kept = optuna.load_study(study_name="mine", storage=open_storage(str(tmp_path / "j")))
    assert [trial.values for trial in kept.trials] == [[0.5]]
