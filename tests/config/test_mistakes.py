"""Every mistake gives its one line, exit code 2, no traceback, and leaves nothing behind."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

import reach_rl
from reach_rl.cli.front_door import front
from reach_rl.config.composition import Composer
from reach_rl.config.keys import below
from reach_rl.config.problems import listing
from reach_rl.config.schema import Config, PPOConfig
from reach_rl.extend import entries

TABLE = Path(__file__).with_name("mistakes.txt").read_text(encoding="utf-8")
BLOCKS = [block.splitlines() for block in TABLE.split("\n\n") if block.startswith("$ ")]
CASES = [(block[0][2:], block[1:]) for block in BLOCKS]


@pytest.fixture(scope="module")
def words() -> dict[str, str]:
    composer = Composer()
    return {
        "{ROLLOUT}": "vec_env.n_envs=512 ppo.n_steps=12",
        "{TOP}": listing(sorted({*below(Config, ""), *composer.groups}), 40),
        "{PPO}": listing(sorted(below(PPOConfig, "")), 40),
        "{TASKS}": listing(composer.options("task")),
        "{OBSERVATIONS}": listing(entries("observation_term")),
        "{CURRICULA}": listing(composer.options("curriculum")),
    }


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what some of the mistakes name."""
    files = {
        "arm.txt": "no model",
        "old/metrics.jsonl": "",
        "mine/robot/bad.yaml": "defaults: [ur5e]\njoints: [a, b\n",
        "mine/robot/odd.yaml": "defaults: [ur5e]\nname: ur5e\nreech: 1.0\n",
        "mine/robot/code.yaml": "defaults: [ur5e]\nname: ur5e\n_target_: os.system\n",
        "mine/robot/lost.yaml": "defaults: [ur6e]\n",
        "mine/sweep/bad.yaml": "# @package _global_\nhydra:\n  sweeper:\n    params:\n"
        "      seed: 0,x\n      ppo.gama: 1,2\n",
        "mine/night.yaml": "defaults: [train, override sweep: seeds]\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _filled(text: str, words: dict[str, str]) -> str:
    for name, value in words.items():
        text = text.replace(name, value)
    return text


def _never(*_: object) -> None:
    raise AssertionError("the job must not start")


def test_the_table_is_as_long_as_promised():
    assert len(CASES) >= 100
    assert len({line for line, _ in CASES}) == len(CASES)


@pytest.mark.parametrize(("line", "expected"), CASES, ids=[line for line, _ in CASES])
def test_mistake(
    line: str,
    expected: list[str],
    words: dict[str, str],
    here: Path,
    capsys: pytest.CaptureFixture[str],
):
    before = sorted(here.rglob("*"))
    code = front("train", _never, _filled(line, words).split(" "))
    printed = capsys.readouterr()
    lines = [_filled(text, words).replace("{HERE}", str(here)) for text in expected]
    assert printed.err.splitlines() == lines
    assert printed.out == ""
    assert code == 2
    assert sorted(here.rglob("*")) == before


ONE_RUN = [case for case in CASES if not case[0].startswith("-") and " -" not in case[0]]


@pytest.mark.parametrize(("line", "expected"), ONE_RUN[::6], ids=[c[0] for c in ONE_RUN[::6]])
def test_python_says_the_same(
    line: str, expected: list[str], words: dict[str, str], here: Path
) -> None:
    with pytest.raises(reach_rl.ConfigError) as wrong:
        reach_rl.compose(_filled(line, words).split(" "))
    lines = [_filled(text, words).replace("{HERE}", str(here)) for text in expected]
    assert [f"error: {problem}" for problem in wrong.value.problems] == lines


@pytest.mark.quiet
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sead=1", "error: sead=1 (command line): unknown key; did you mean seed?\n"),
        ("ppo.gamma=[1", "error: ppo.gamma=[1 (command line): brackets or quotes are not closed\n"),
        ("-m seed=1,two", "error: seed=two (command line): must be a whole number\n"),
    ],
)
def test_a_whole_process_says_the_same_at_once(line: str, expected: str, tmp_path: Path):
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "reach_rl.train", *line.split()],
        cwd=tmp_path,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert time.perf_counter() - start < 3
    assert done.stderr == expected
    assert done.returncode == 2
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def _environment() -> dict[str, str]:
    import os

    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
