import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from reach_rl.config.load import ConfigError, load_run
from reach_rl.config.untrusted import redact
from reach_rl.rundir.provenance import git_state, sha256, write_run_files
from reach_rl.rundir.status import Status, read_status
from tests.small_runs import compose

SECRET = "s3cr3t-0123456789abcdef"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://ann:hunter22@host/x", "https://***@host/x"),
        ("see wandb_api_key=0123456789abcdef now", "see wandb_api_key=*** now"),
        ("password: 'abc12345678'", "password: '***'"),
        ("ghp_0123456789abcdefghijABCDEFGHIJ", "***"),
        ("Authorization: Bearer abc.def.ghi123", "Authorization: *** ***"),
        ("key point at 0.15 m, token count 3", "key point at 0.15 m, token count 3"),
        ("ppo.learning_rate=3e-4", "ppo.learning_rate=3e-4"),
        ("0123456789abcdef0123456789abcdef01234567", "0123456789abcdef0123456789abcdef01234567"),
    ],
)
def test_text(given: str, kept: str):
    if "Bearer" in given:
        assert "abc.def.ghi123" not in redact(given)
    else:
        assert redact(given) == kept


def test_trees():
    tree = {"api_key": SECRET, "n": 3, "deep": [{"auth_token": 5, "name": "a"}], "secret": None}
    kept = {"api_key": "***", "n": 3, "deep": [{"auth_token": "***", "name": "a"}], "secret": None}
    assert redact(tree) == kept


def test_values_of_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LAB_API_KEY", SECRET)
    assert redact({"notes": f"uses {SECRET} here", "list": [SECRET]}) == {
        "notes": "uses *** here",
        "list": ["***"],
    }


def test_run_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    overrides = ["robot=ur10e", f"wandb.notes={SECRET}"]
    config = compose(overrides)
    write_run_files(tmp_path, config, ["reach_rl.train", *overrides])
    for path in tmp_path.iterdir():
        assert SECRET not in path.read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"config.yaml", "provenance.json"}
    tree = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert tree["wandb"]["notes"] == "***"
    made = json.loads((tmp_path / "provenance.json").read_text())
    assert made["command"] == "python -m reach_rl.train robot=ur10e wandb.notes=***"
    assert made["overrides"] == ["robot=ur10e", "wandb.notes=***"]
    assert made["packages"]["mujoco"]
    assert made["machine"]["cores"] == os.cpu_count()
    root = Path(__file__).parents[2]
    model = root / "assets" / "robots" / "ur10e.xml"
    assert made["assets"]["assets/robots/ur10e.xml"] == sha256(model)


def test_a_run_s_configuration_comes_back(tmp_path: Path):
    config = compose(["experiment=notes", "ppo.learning_rate=1e-5"])
    write_run_files(tmp_path, config, ["reach_rl.train"])
    assert load_run(tmp_path) == config
    with pytest.raises(ConfigError, match="not the folder of a run"):
        load_run(tmp_path / "nowhere")


def test_git_state_of_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def git(*words: str) -> None:
        call = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *words]
        subprocess.run(call, check=True, capture_output=True)

    (tmp_path / "a.py").write_text("x = 1\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    monkeypatch.setattr("reach_rl.rundir.provenance.checkout_dir", lambda: tmp_path.resolve())
    state = git_state()
    assert state is not None
    assert (state["dirty"], state["diff"], len(state["commit"])) == (False, "", 40)
    (tmp_path / "a.py").write_text("x = 2\n")
    (tmp_path / "b.py").write_text("")
    git("config", "color.ui", "always")
    git("config", "diff.external", "false")
    state = git_state()
    assert state is not None
    assert state["dirty"]
    assert "\n+x = 2" in state["diff"]
    assert state["untracked"] == ["b.py"]
    folder = tmp_path / "sub"
    folder.mkdir()
    monkeypatch.setattr("reach_rl.rundir.provenance.checkout_dir", lambda: folder)
    assert git_state() is None  # installed somewhere inside another project's checkout


def test_status(tmp_path: Path):
    status = Status(tmp_path)
    status.set("running")
    first = read_status(tmp_path)
    assert (first["state"], first["pid"], first["finished"]) == ("running", os.getpid(), None)
    status.set("failed", f"no route to https://ann:{SECRET}@host")
    last = read_status(tmp_path)
    assert (last["state"], last["reason"]) == ("failed", "no route to https://***@host")
    assert last["started"] == first["started"]
    assert last["finished"]
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_a_killed_run_has_died(tmp_path: Path):
    code = (
        "from pathlib import Path; from reach_rl.rundir.status import Status;"
        f"Status(Path({str(tmp_path)!r})).set('running')"
    )
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
    assert read_status(tmp_path)["state"] == "died"


def test_a_reused_process_number_is_not_the_run(tmp_path: Path):
    Status(tmp_path).set("running")
    path = tmp_path / "status.json"
    content = json.loads(path.read_text()) | {"process_start": "1"}
    path.write_text(json.dumps(content))
    assert read_status(tmp_path)["state"] == "died"
    path.write_text(json.dumps(content | {"host": "elsewhere"}))
    assert read_status(tmp_path)["state"] == "running"
