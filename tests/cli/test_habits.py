"""Hydra's flags and habits at the front door, and a run's own task."""

import json
from pathlib import Path
from typing import Any

import pytest

from reach_rl.cli.front_door import front
from tests.cli.test_front import Job, _raise


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("words", [["ppo.lerning_rate=1"], ["ppo.learning_rate=-1"], ["seed=1,2"]])
@pytest.mark.parametrize("flags", [["--cfg", "job"], ["--cfg", "all", "--resolve"]])
def test_what_is_shown_is_proved_too(
    words: list[str], flags: list[str], capsys: pytest.CaptureFixture[str]
):
    assert front("train", _raise, words) == 2
    expected = capsys.readouterr().err
    assert front("train", _raise, [*words, *flags]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", expected)


OWN_ROBOT = "defaults: [ur10e]\nreach: 1.23\n"


def _folder_of_groups(tmp_path: Path, text: str = OWN_ROBOT) -> Path:
    folder = tmp_path / "theirs"
    (folder / "robot").mkdir(parents=True)
    (folder / "robot" / "lab.yaml").write_text(text)
    return folder


@pytest.mark.parametrize("many", [[], ["-m"]])
def test_a_search_path_on_the_command_line(tmp_path: Path, many: list[str]):
    folder = _folder_of_groups(tmp_path)
    job = Job()
    for path in (f"file://{folder}", "theirs"):
        assert front("train", job, [*many, f"hydra.searchpath=[{path}]", "robot=lab"]) == 0
    assert [config.robot.reach for config, _ in job.given] == [1.23, 1.23]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("file:///no/where", "file:///no/where: no such folder"),
        ("pkg://os", "pkg://os would import a package, which a configuration may not; "),
    ],
)
def test_a_search_path_that_leads_nowhere(path: str, line: str, capsys: pytest.CaptureFixture[str]):
    assert front("train", _raise, [f"hydra.searchpath=[{path}]"]) == 2
    assert capsys.readouterr().err.startswith(f"error: hydra.searchpath (command line): {line}")


def test_the_place_of_a_file_that_a_plugin_brings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    from hydra.core.plugins import Plugins
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    folder = _folder_of_groups(tmp_path, "defaults: [ur10e]\nreach: -1\n")

    class Theirs(SearchPathPlugin):
        def manipulate_search_path(self, search_path: Any) -> None:
            search_path.append("theirs", f"file://{folder}")

    plugins = Plugins.instance()
    monkeypatch.setattr(
        plugins,
        "plugin_type_to_subclass_list",
        {kind: list(found) for kind, found in plugins.plugin_type_to_subclass_list.items()},
    )
    monkeypatch.setattr(plugins, "class_name_to_class", dict(plugins.class_name_to_class))
    plugins.register(Theirs)
    assert front("train", _raise, ["robot=lab"]) == 2
    expected = f"error: robot.reach=-1 ({folder}/robot/lab.yaml): must be above 0\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["hydra.run.dir=X"],
            "hydra.run.dir=X (command line): makes no folder here; try run_dir=X",
        ),
        (
            ["-m", "hydra.run.dir=X", "seed=1,2"],
            "hydra.run.dir=X (command line): makes no folder here; try hydra.sweep.dir=X",
        ),
        (
            ["hydra.sweep.dir=X"],
            "hydra.sweep.dir=X (command line): makes no folder here; try run_dir=X",
        ),
        (
            ["seed=1\r"],
            "seed=1 (command line): ends with a carriage return, as lines of Windows do; "
            "remove it (\\r)",
        ),
    ],
)
def test_habits_of_hydra_that_mean_something_else_here(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str]
):
    assert front("train", _raise, words) == 2
    assert capsys.readouterr().err == f"error: {line}\n"


def test_the_sweeper_s_params_are_written_as_keys(capsys: pytest.CaptureFixture[str]):
    given = "hydra.sweeper.params={ppo.gamma: 'interval(0.9,0.99)'}"
    assert front("train", _raise, ["-m", "sweep=search", "total_timesteps=1", given]) == 2
    assert "write the keys themselves, as in ppo.gamma=" in capsys.readouterr().err


def test_an_empty_run_is_one_mistake(capsys: pytest.CaptureFixture[str]):
    assert front("evaluate", _raise, ["run="]) == 2
    expected = "error: run= (command line): nothing to judge; try run=DIR, runs=[DIR,DIR] or "
    assert capsys.readouterr().err == f"{expected}bundle=DIR\n"


def _trained(folder: str, *overrides: str) -> None:
    """A folder that can be judged, as far as the command line looks."""
    from reach_rl.config.load import compose, to_tree

    Path(folder, "checkpoints").mkdir(parents=True)
    tree = to_tree(compose([*overrides, "task.position_threshold=0.03"]))
    Path(folder, "config.yaml").write_text(json.dumps(tree))


def test_the_run_s_own_task_is_judged_by_other_thresholds(capsys: pytest.CaptureFixture[str]):
    _trained("one", "task=near")
    _trained("two", "task=full_sphere")
    given: list[Any] = []
    keys = ["task.orientation_threshold=0.01", "task.region.box_high=[null,null,0.5]"]
    for what in (["run=one"], ["runs=[one,two]"], ["run=one", "task=front"]):
        assert front("evaluate", given.append, [*what, *keys]) == 0, capsys.readouterr().err
    tasks = [config.task for config in given]
    assert [task.region.name for task in tasks] == ["near", "near", "front"]
    assert {task.position_threshold for task in tasks[:2]} == {0.03}
    assert {task.orientation_threshold for task in tasks} == {0.01}
    assert {tuple(task.region.box_high or ()) for task in tasks} == {(None, None, 0.5)}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("task.position_threshold=-1", "task.position_threshold=-1 (command line): must be above"),
        (
            "task.hold_time=99",
            "task.hold_time=99 (command line): longer than the 3.76 s for",
        ),
        (
            "task.postion_threshold=1",
            "task.postion_threshold=1 (command line): unknown key; did you",
        ),
        (
            "task.keypoint_offset=1",
            "task.keypoint_offset (command line): is part of what the",
        ),
        ("task.hold_time=1 goals=0", "goals=0 (command line): must be at least 1; try goals=1"),
    ],
)
def test_mistakes_in_the_run_s_own_task(words: str, line: str, capsys: pytest.CaptureFixture[str]):
    _trained("one")
    assert front("evaluate", _raise, ["run=one", *words.split()]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"error: {line}")
    assert front("evaluate", _raise, ["run=no", "task.hold_time=1"]) == 2
    expected = "error: run=no (command line): no such folder; reach-rl runs lists what there is\n"
    assert capsys.readouterr().err.replace("; try run=one", "") == expected
