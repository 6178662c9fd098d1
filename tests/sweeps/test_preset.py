"""A preset of one's own from bench tune=true: where it goes, where it may not, that it works."""

from pathlib import Path

import pytest

from reach_rl.bench import job
from reach_rl.cli.front_door import front
from reach_rl.config import conf_dir
from reach_rl.config.problems import ConfigError
from reach_rl.sweeps import preset
from tests.small_runs import compose

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


def put(path):
    path.write_text(preset.text(["a fact", preset.command(path)], [], preset.nested(VALUES)))


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("mine", "mine/experiment/machine.yaml"),
        ("mine/experiment/lab.yaml", "mine/experiment/lab.yaml"),
    ],
)
def test_a_preset_is_found_with_the_command_in_it(given, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    target = preset.reserved(given)
    assert not target.exists()
    put(target)
    assert "# a fact\n" in (tmp_path / path).read_text()
    choice = f"experiment={target.stem}"
    assert preset.command(target) == f"python -m reach_rl.train --config-dir mine {choice}"
    check(compose([choice], config_dir=Path("mine")))
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [tmp_path / path]


def test_it_goes_with_other_presets(tmp_path):
    put(preset.reserved(str(tmp_path)))
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
        file: "cannot be written (Not a directory",
        Path("/proc/no"): "cannot be written",
        tmp_path: "is there already; remove it, or choose another name",
        tmp_path / "vec_env" / "lab.yaml": "try write=DIR or DIR/experiment/NAME.yaml",
        tmp_path / "experiment" / "fast.yaml": "would be hidden by the project's experiment=fast",
        tmp_path / "experiment" / "a b.yaml": "is no place for a preset",
        conf_dir(): "is no place for a preset",
    }.items():
        with pytest.raises(ConfigError) as refused:
            preset.reserved(str(given))
        (line,) = refused.value.problems
        assert line.startswith("write=")
        assert words in line
        assert "\n" not in line
    assert there.read_text() == "seed: 1\n"


def test_a_disk_that_refuses_is_told_in_a_line(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    figures = {"n_envs": 1, "n_steps": 1, "batch_size": 1}
    figures |= {"steps_per_second": 1.0, "ratio": 1.0}
    found = {"best": figures, "default": figures, "overrides": VALUES, "gain": 1.0}
    monkeypatch.setattr("reach_rl.training.throughput.tune", lambda *_: found)
    monkeypatch.setattr("reach_rl.bench.verdict", lambda *_: ["fast"])
    monkeypatch.setattr("reach_rl.rundir.atomic.write_atomic", full)
    wanted = compose(["tune=true", f"write={tmp_path}"], "bench")
    with pytest.raises(ConfigError, match=r"^write=.*cannot be written, No space left on device"):
        job(wanted)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["write=mine"], "write=mine (command line): is for what tune=true finds; add tune=true"),
        (["tune=true", "vec_env=dummy"], "tunes one batch of environments, not vec_env=dummy"),
        (["tune=true", "out=no/bench.json"], "there is no folder no; make it first"),
        (["out=."], "is a folder; try out=bench.json"),
        (["tune=true", "write=mine/ppo/x.yaml"], "DIR/experiment/NAME.yaml"),
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
