"""A preset of one's own from bench tune=true: where it goes, where it may not, that it works."""

from pathlib import Path

import pytest

from reach_rl.bench import job
from reach_rl.cli.front_door import front
from reach_rl.config import conf_dir
from reach_rl.config.load import compose
from reach_rl.config.problems import ConfigError
from reach_rl.training.sizes_file import SizesFile

VALUES = {
    "vec_env.n_envs": 512,
    "vec_env.rollout_steps": 12,
    "vec_env.threads": 1,
    "ppo.batch_size": 2048,
    "torch_threads": 2,
}


def check(config) -> None:
    assert (config.vec_env.n_envs, config.ppo.n_steps) == (512, 12)
    assert (config.vec_env.threads, config.ppo.batch_size, config.torch_threads) == (1, 2048, 2)


@pytest.mark.parametrize(
    ("given", "path", "choice"),
    [
        ("mine", "mine/experiment/machine.yaml", "experiment=machine"),
        ("mine/experiment/lab.yaml", "mine/experiment/lab.yaml", "experiment=lab"),
        ("mine/site/lab.yaml", "mine/site/lab.yaml", "+site=lab"),
    ],
)
def test_a_preset_is_found_with_the_command_in_it(given, path, choice, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    target = SizesFile.of(given)
    target.reserve()
    assert not target.path.exists()
    target.write(VALUES, ["a fact"])
    text = (tmp_path / path).read_text()
    assert "# a fact\n" in text
    command = f"python -m reach_rl.train --config-dir mine {choice}"
    assert target.command == command
    assert text.splitlines()[1].endswith(command)
    check(compose([choice], config_dir=Path("mine")))
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [tmp_path / path]


def test_it_goes_with_other_presets(tmp_path):
    SizesFile.of(str(tmp_path)).reserve()
    SizesFile.of(str(tmp_path)).write(VALUES, [])
    config = compose(["experiment=[fast,machine]"], config_dir=tmp_path)
    check(config)
    assert config.total_timesteps == compose(["experiment=fast"]).total_timesteps


def test_what_stands_in_the_way_is_told_in_a_line(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    (tmp_path / "experiment").mkdir()
    there = tmp_path / "experiment" / "machine.yaml"
    there.write_text("seed: 1\n")
    for given, words in {
        file: "is no folder",
        tmp_path: f"is there already; remove it, or try write={there.with_name('machine_2.yaml')}",
        tmp_path / "vec_env" / "lab.yaml": f"try write={tmp_path / 'experiment' / 'lab.yaml'}",
        tmp_path / "experiment" / "fast.yaml": "would be hidden by the project's experiment=fast",
        tmp_path / "experiment" / "a b.yaml": "is no name of an option",
        conf_dir(): "is the project's own folder",
        conf_dir() / "site" / "lab.yaml": "is the project's own folder",
    }.items():
        with pytest.raises(ConfigError) as refused:
            SizesFile.of(str(given)).reserve()
        (line,) = refused.value.problems
        assert line.startswith("write=")
        assert words in line
        assert "\n" not in line
    assert there.read_text() == "seed: 1\n"
    target = SizesFile(there)
    with pytest.raises(ConfigError, match="is there already"):
        target.write(VALUES, [])
    assert there.read_text() == "seed: 1\n"


def test_a_disk_that_refuses_is_told_in_a_line(tmp_path, monkeypatch):
    target = SizesFile.of(str(tmp_path / "mine"))

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("reach_rl.training.sizes_file.write_atomic", full)
    target.reserve()
    with pytest.raises(ConfigError, match=r"^write=.*cannot be written \(No space left on device"):
        target.write(VALUES, [])
    with pytest.raises(ConfigError, match=r"^write=/proc/no/.*cannot be written"):
        SizesFile.of("/proc/no").reserve()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["write=mine"], "write=mine (command line): is for what tune=true finds; add tune=true"),
        (["tune=true", "vec_env=dummy"], "tunes one batch of environments, not vec_env=dummy"),
        (["tune=true", "out=no/bench.json"], "there is no folder no; make it first"),
        (["out=."], "is a folder; try out=bench.json"),
        (["tune=true", "write=mine/ppo/x.yaml"], "experiment/x.yaml"),
        (["tune=perhaps"], "tune"),
        (["tune_seconds=0"], "tune_seconds"),
    ],
)
def test_mistakes_on_the_command_line_cost_no_measurement(
    words, told, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for name in ("throughput.tune", "throughput.measure"):
        monkeypatch.setattr(f"reach_rl.training.{name}", lambda *_: pytest.fail("it was started"))
    assert front("bench", job, words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert told in error
    assert not list(tmp_path.iterdir())
