"""The Python interface: what its calls give, and what they refuse."""

import inspect
import json
import os
import shlex
import signal
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import reach_rl
from reach_rl import api
from reach_rl.cli.repro import answer as repro
from reach_rl.config import conf_dir
from reach_rl.config.schema import Config
from reach_rl.evaluation.comparison import compare
from reach_rl.evaluation.result import Evaluation
from reach_rl.rundir.status import read_status
from reach_rl.training.loop import TrainingLoop
from tests.small_runs import SMALL, command

WORDS = [*SMALL, "robot=ur3e", "task=near", "task.episode_steps=60", "task.hold_time=0.1"]


@pytest.fixture(scope="module")
def config() -> Config:
    return reach_rl.compose(WORDS)


@pytest.fixture(scope="module")
def run(config: Config, tmp_path_factory: pytest.TempPathFactory) -> reach_rl.Run:
    """A run that Python trained; its summary is that which train returned."""
    folder = tmp_path_factory.mktemp("python") / "mine"
    summary = reach_rl.train(config, run_dir=folder)
    run = reach_rl.load(folder)
    assert run.summary == summary
    return run


@pytest.fixture(scope="module")
def result(run: reach_rl.Run) -> Evaluation:
    return reach_rl.evaluate(run, goals=8, seed=3, progress=False)


def refusal(*call: object, **named: object) -> str:
    """The one line of a call that is refused."""
    function, *arguments = call
    with pytest.raises(reach_rl.ConfigError) as wrong:
        function(*arguments, **named)  # type: ignore[operator]
    assert len(wrong.value.problems) == 1
    return wrong.value.problems[0]


# ---- names


@pytest.mark.parametrize("first", ["import reach_rl.train", "pass"])
def test_a_verb_is_a_module_and_a_function(first: str) -> None:
    """In a fresh process, in either order of use; and the import takes no time."""
    code = (
        "import time; begin = time.perf_counter()\n"
        "import reach_rl\n"
        "took = time.perf_counter() - begin\n"
        f"{first}\n"
        "import sys, inspect\n"
        "assert not {'torch', 'mujoco', 'hydra', 'numpy'} & set(sys.modules)\n"
        "try: reach_rl.train('ur5e')\n"
        "except reach_rl.ConfigError as error: print(error)\n"
        "import reach_rl.train\n"
        "from reach_rl.train import job\n"
        "print(reach_rl.train is sys.modules['reach_rl.train'], job.__name__)\n"
        "print(*inspect.signature(reach_rl.train).parameters)\n"
        "print(*inspect.signature(reach_rl.evaluate).parameters)\n"
        "print(took)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *lines, took = done.stdout.splitlines()
    assert lines == [
        'config: must come from compose(), not str; try reach_rl.compose(["robot=ur5e"])',
        "True job",
        "config run_dir",
        "subject config goals seed threads progress",
    ]
    assert float(took) < 0.3


def test_every_name_is_there_and_no_other() -> None:
    for name in reach_rl.__all__:
        assert getattr(reach_rl, name) is not None
    assert set(reach_rl.__all__) <= set(dir(reach_rl))
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        reach_rl.trian  # noqa: B018
    for verb in ("train", "evaluate"):
        assert inspect.signature(getattr(reach_rl, verb)) == inspect.signature(getattr(api, verb))


# ---- compose, make_vec_env


def test_a_configuration_is_that_of_the_command_line(config: Config, tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    (tmp_path / "task/mine.yaml").write_text("defaults: [near]\nhold_time: 0.25\n")
    mine = reach_rl.compose([*WORDS, "task=mine", "task.hold_time=0.26"], config_dir=tmp_path)
    assert mine == replace(config, task=replace(config.task, hold_time=0.26))
    assert "--config-dir=none: no such folder" in refusal(reach_rl.compose, config_dir="none")
    assert 'try compose(["robot=ur3e", "task=near"])' in refusal(reach_rl.compose, "robot=ur3e")


def test_short_forms_are_told_as_they_were_typed() -> None:
    line = refusal(reach_rl.compose, ["reward.terms.progres=3"])
    assert line.startswith("reward.terms.progres=3 (command line): unknown term")


def test_who_brings_a_learner_is_not_held_to_the_batch_of_ours(tmp_path: Path) -> None:
    words = [*WORDS, "vec_env.n_envs=3", "total_timesteps=10"]
    with pytest.raises(reach_rl.ConfigError) as wrong:
        reach_rl.compose(words)
    assert {line.partition("=")[0] for line in wrong.value.problems} == {
        "ppo.batch_size",
        "total_timesteps",
    }
    config = reach_rl.compose(words, own_learner=True)
    assert reach_rl.make_vec_env(config).num_envs == 3
    with reach_rl.record(config, tmp_path / "own"):
        pass
    assert reach_rl.load(tmp_path / "own").config == replace(config, run_dir=str(tmp_path / "own"))
    with pytest.raises(reach_rl.ConfigError, match="does not divide the rollout"):
        reach_rl.train(config, tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


def test_environments_are_as_many_as_asked_for(config: Config) -> None:
    env = reach_rl.make_vec_env(config, n_envs=5)
    assert env.reset().shape == (5, *env.observation_space.shape)
    assert reach_rl.make_vec_env(config).num_envs == config.vec_env.n_envs
    assert refusal(reach_rl.make_vec_env, config, 0).startswith("vec_env.n_envs=0: must be")
    assert "not dict" in refusal(reach_rl.make_vec_env, {})


# ---- train, load


def test_a_run_is_as_the_command_line_makes_it(run: reach_rl.Run, config: Config) -> None:
    """The same digits, the same files, and the words that make it again."""
    other = run.folder.with_name("typed")
    command("train", *WORDS, f"run_dir={other}")
    typed = json.loads((other / "summary.json").read_text())
    for key in ("evaluation", "total_timesteps", "robot", "seed"):
        assert typed[key] == run.summary[key]
    assert {path.name for path in run.folder.iterdir()} == {path.name for path in other.iterdir()}
    assert run.config == replace(config, run_dir=str(run.folder))
    made = [json.loads((f / "provenance.json").read_text()) for f in (run.folder, other)]
    assert made[0]["overrides"] == WORDS == made[1]["overrides"][:-1]


def again(folder: Path) -> Config:
    """What the command that repro prints would train."""
    line = next(x for x in repro([str(folder)]).splitlines() if "reach_rl.train" in x)
    return reach_rl.compose(shlex.split(line)[3:])


def test_a_configuration_that_somebody_changed_can_be_made_again(
    config: Config, run: reach_rl.Run, tmp_path: Path
) -> None:
    terms = {**config.reward.terms, "progress": None}
    changed = replace(config, seed=5, reward=replace(config.reward, terms=terms))
    reach_rl.train(changed, tmp_path / "changed")
    assert again(tmp_path / "changed") == changed
    assert again(run.folder) == config


def test_what_is_no_configuration_is_refused(config: Config, run: reach_rl.Run) -> None:
    there = run.folder
    assert "holds a run already" in refusal(reach_rl.train, config, there)
    assert "holds a run already" in refusal(reach_rl.record, config, there)
    wrong = replace(config, total_timesteps=-1)
    assert refusal(reach_rl.train, wrong).startswith("total_timesteps=-1: must be at least 1")


def test_an_interrupted_run_is_saved_and_says_so(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = TrainingLoop._iterate

    def iterate(self: TrainingLoop) -> dict:
        os.kill(os.getpid(), signal.SIGINT)
        return plain(self)

    monkeypatch.setattr(TrainingLoop, "_iterate", iterate)
    with pytest.raises(KeyboardInterrupt):
        reach_rl.train(config, tmp_path / "stopped")
    assert read_status(tmp_path / "stopped")["state"] == "stopped"
    monkeypatch.undo()
    asked = reach_rl.compose([f"resume={tmp_path / 'stopped'}"])
    assert reach_rl.train(asked)["total_timesteps"] == config.total_timesteps


def test_a_run_that_fails_raises(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reach_rl.training.divergence import Diverged

    def iterate(self: TrainingLoop) -> dict:
        raise Diverged("the numbers went bad")

    monkeypatch.setattr(TrainingLoop, "_iterate", iterate)
    with pytest.raises(api.TrainingStopped, match="diverged, the numbers went bad") as stopped:
        reach_rl.train(config, tmp_path / "bad")
    assert stopped.value.exit_code == 3


def test_a_policy_answers_as_in_sb3_and_in_plain_torch(run: reach_rl.Run, config: Config) -> None:
    env = reach_rl.make_vec_env(config)
    seen = env.reset() * np.linspace(0.1, 9.0, env.observation_space.shape[0], dtype=np.float32)
    action, state = run.policy.predict(seen)
    assert state is None
    assert run.policy is run.policy
    np.testing.assert_array_equal(run.policy(seen), action)
    np.testing.assert_allclose(run.policy.predict(seen[0])[0], action[0], rtol=1e-5)
    actor = torch.nn.Sequential(run.policy.normalizer, run.policy.network)
    with torch.no_grad():
        mean = actor(torch.from_numpy(seen)).clamp(-1.0, 1.0).numpy()
    np.testing.assert_array_equal(mean, action)
    assert (run.policy.normalizer(torch.from_numpy(seen)).abs() == 10.0).any()
    modules = {type(module).__module__.partition(".")[0] for module in run.policy.network}
    assert modules == {"torch"}


def test_a_folder_that_is_no_run_is_refused(run: reach_rl.Run, tmp_path: Path) -> None:
    assert refusal(reach_rl.load, tmp_path / "none").startswith(f"run={tmp_path}/none: no such")
    hint = refusal(reach_rl.load, run.folder.parent)
    assert f"(no config.yaml in it); try run={run.folder.parent}/" in hint
    assert "no such checkpoint; there are best, latest or step_" in refusal(
        reach_rl.load, run.folder, "bets"
    )


# ---- evaluate


def test_a_judgement_has_the_figures_of_the_command_line(
    run: reach_rl.Run, result: Evaluation, tmp_path: Path
) -> None:
    out = tmp_path / "figures.json"
    words = ("goals=8", "seed=3", "yardstick=false", "progress=false")
    command("evaluate", f"run={run.folder}", f"out={out}", *words)
    told = json.loads(out.read_text())
    known = json.loads(json.dumps(result.summary(told["checkpoint"])))
    for figures in (told, known):
        figures.pop("decision_ms", None)  # milliseconds are nobody's twice
    assert known == told


def test_the_defaults_are_those_of_the_command_line() -> None:
    written = yaml.safe_load((conf_dir() / "evaluate.yaml").read_text())
    given = inspect.signature(api.evaluate).parameters
    for key in ("goals", "seed", "threads", "progress"):
        assert given[key].default == written[key]


def test_any_callable_is_judged_alike(
    run: reach_rl.Run, result: Evaluation, config: Config
) -> None:
    same = reach_rl.evaluate(run.policy.__call__, config, goals=8, seed=3, progress=False)
    for field in fields(Evaluation):
        if field.name != "conditions":
            ours, theirs = getattr(same, field.name), getattr(result, field.name)
            np.testing.assert_array_equal(ours, theirs, field.name)
    lazy = reach_rl.evaluate(lambda seen: np.zeros((len(seen), 6)), config, goals=8, seed=3)
    assert lazy.action_rate.max() == 0.0 < result.action_rate.max()
    pair = compare({"mine": result, "lazy": lazy})["pairs"][0]
    assert {pair["first"], pair["second"]} == {"mine", "lazy"}


def test_what_remembers_is_told_where_episodes_begin(config: Config) -> None:
    class Counting:
        begun, calls = 0, 0

        def reset(self) -> None:
            self.begun += 1
            self.calls = 0

        def __call__(self, seen: np.ndarray) -> np.ndarray:
            self.calls += 1
            return np.zeros((len(seen), 6), np.float32)

    counting = Counting()
    reach_rl.evaluate(counting, config, goals=4, progress=False)
    assert (counting.begun, counting.calls) == (1, config.task.episode_steps)


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (lambda seen: seen, "the callable answers float32 (2, {d}), not actions (2, 6)"),
        (lambda seen: np.zeros(6), "the callable answers float64 (6,), not actions (2, 6)"),
        (lambda seen: None, "the callable answers object (), not actions (2, 6)"),
        (lambda seen: (np.zeros((2, 6)), None), "of SB3's predict take the first"),
        (lambda seen: np.full((2, 6), np.nan), "not finite"),
    ],
)
def test_an_answer_that_is_no_action_is_refused(config: Config, answer: object, line: str) -> None:
    size = reach_rl.make_vec_env(config, 1).observation_space.shape[0]
    assert line.format(d=size) in refusal(
        reach_rl.evaluate, answer, config, goals=2, progress=False
    )


def test_what_cannot_be_judged_is_refused(run: reach_rl.Run, config: Config) -> None:
    assert "as in evaluate(reach_rl.load(DIR))" in refusal(reach_rl.evaluate, "runs/mine")
    assert "give evaluate(callable, config)" in refusal(reach_rl.evaluate, print)
    assert refusal(reach_rl.evaluate, run, goals=0).startswith("goals=0: must be a whole number")
    assert refusal(reach_rl.evaluate, run, seed=1.5).startswith("seed=1.5: must be a whole number")


def test_judging_leaves_the_random_numbers_of_others_alone(run: reach_rl.Run) -> None:
    before = torch.get_rng_state()
    reach_rl.evaluate(run, goals=2, progress=False)
    assert (torch.get_rng_state() == before).all()


def test_a_judgement_shows_itself(result: Evaluation, capsys: pytest.CaptureFixture[str]) -> None:
    from plotly.graph_objects import Figure

    figure = result.figure()  # type: ignore[attr-defined]
    assert isinstance(figure, Figure)
    drawn = sum(len(trace.x) for trace in figure.data if trace.name != "base")
    assert drawn == len(result)
    for name in result.figure_names:  # type: ignore[attr-defined]
        assert result.figure(name).to_dict()["layout"]  # type: ignore[attr-defined]
    line = refusal(result.figure, "histogram-positon")  # type: ignore[attr-defined]
    assert line.endswith("did you mean histogram-position?")
    assert capsys.readouterr().out == ""
    text = repr(result)
    for words in ("ur3e, near", "95% interval", "Goals by part", "Worst goals"):
        assert words in text
    page = result._repr_mimebundle_(include=(), exclude=())  # type: ignore[attr-defined]
    assert "95% interval" in page["text/html"]
