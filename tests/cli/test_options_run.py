"""Every option of every group, and every preset, runs: rollouts, updates and a verdict."""

import json
from pathlib import Path

import pytest
import yaml

from reach_rl.config.load import compose
from reach_rl.config.problems import show
from reach_rl.config.sheets import chosen, groups, sheets, values
from reach_rl.training.session import train
from tests.small_runs import command

FILES = sheets()
ARM = Path(__file__).parents[1] / "assets" / "arm7.xml"
NEEDS = {
    "robot=custom": [
        f"robot.mjcf={ARM}",
        "robot.joints=[j1,j2,j3,j4,j5,j6,j7]",
        "robot.actuators=[a1,a2,a3,a4,a5,a6,a7]",
        "robot.tcp_site=tip",
        "task.region.joint_range=[0.5]",
    ],
    "curriculum=notes": ["reward=notes"],
}
GROUPS = [group for group in groups(FILES) if group in chosen(FILES, "train") and group != "sweep"]
OPTIONS = [f"{group}={option}" for group in GROUPS for option in groups(FILES)[group]]
SMALL = [
    *(f"{k}={show(v)}" for k, v in values([FILES["experiment/debug"]]).items()),
    "total_timesteps=96",  # three rollouts: a stage of a curriculum needs an update
    "vec_env.n_envs=2",
    "ppo.n_steps=16",
    "ppo.batch_size=16",
    "task.region.pool=16",
    "task.episode_steps=30",
    "task.goal_period=15",
    "task.hold_time=0.1",
    "evaluation.goals=2",
    "evaluation.periodic_goals=2",
    "evaluation.also=[]",
    "progress=false",
    "picture=false",
]


@pytest.mark.parametrize("option", OPTIONS)
def test_option(option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    quiet = [] if option.startswith(("wandb=", "experiment=")) else ["wandb=disabled"]
    config = compose([option, *NEEDS.get(option, []), *quiet, *SMALL])
    figures = train(config, tmp_path / "run")
    assert isinstance(figures, dict)
    assert figures["total_timesteps"] == config.total_timesteps
    assert figures["evaluation"]["goals"] == 2
    assert (tmp_path / "run" / "wandb").exists() == (option in ("wandb=online", "wandb=offline"))
    assert (tmp_path / "run" / "profile" / "calls.txt").exists() == (option == "experiment=profile")


def test_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """The values on the command line replace those of the file."""
    monkeypatch.chdir(tmp_path)
    words = ["-m", "sweep=seeds", "hydra.sweeper.params.seed=0,1", "hydra.sweep.dir=many"]
    command("train", *words, "experiment=debug", *SMALL)
    assert {path.name for path in tmp_path.iterdir()} == {"many"}
    made = sorted((tmp_path / "many").glob("*/summary.json"))
    assert [path.parent.name for path in made] == ["0", "1"]
    assert [json.loads(path.read_text())["seed"] for path in made] == [0, 1]
    configs = [yaml.safe_load((path.parent / "config.yaml").read_text()) for path in made]
    assert [config["seed"] for config in configs] == [0, 1]
    capsys.readouterr()
    command("repro", str(made[1].parent))
    (line,) = [x for x in capsys.readouterr().out.splitlines() if "-m reach_rl.train" in x]
    assert "seed=1" in line.split()
    assert "sweep" not in line


def test_nothing_that_a_run_writes_holds_a_credential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    secret = "s3cr3t-0123456789abcdef"
    overrides = [f"wandb.notes={secret}", f"wandb.tags=[{secret}]", "wandb=offline"]
    monkeypatch.setenv("LAB_API_KEY", secret)
    monkeypatch.setattr("sys.argv", ["reach_rl.train", *overrides])
    monkeypatch.chdir(tmp_path)
    train(compose([*overrides, *SMALL]), tmp_path / "run")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".wandb" and b"offline" in path.read_bytes() for path in files)
    assert [path for path in files if secret.encode() in path.read_bytes()] == []
