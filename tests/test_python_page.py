"""The snippets of docs/python.md, run one after another at small size, and the examples."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

import reach_rl
from reach_rl.evaluation.result import Evaluation
from tests.small_runs import SMALL

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/python.md"
SHORT = ("task.episode_steps=60", "task.hold_time=0.1")
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_every_snippet_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they stand there, but with small runs and few goals."""
    compose, evaluate = reach_rl.compose, reach_rl.evaluate
    few: dict[str, int] = {}

    def fewer(subject: object, config: object = None, **named: int) -> Evaluation:
        few.update(named)
        return evaluate(subject, config, **{**named, "goals": 8})  # type: ignore[arg-type]

    def small(words: object = (), **named: object) -> object:
        return compose([*SMALL, *SHORT, *words], **named)  # type: ignore[misc]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reach_rl, "compose", small)
    monkeypatch.setattr(reach_rl, "evaluate", fewer)
    text, there = PAGE.read_text(), {"SMALL": SMALL}
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", text, re.M | re.S))
    assert len(blocks) == text.count("```python") > 7
    for block in blocks:
        line = text.count("\n", 0, block.start()) + 1
        code = block[1].replace('task=near"])', 'task=near", *SMALL])')
        exec(compile("\n" * line + code, PAGE.name, "exec"), there)
    assert few == {"goals": 1000, "seed": 7}
    assert there["run"].summary["evaluation"]["region"] == "near"
    assert there["figure"].data
    assert there["summary"]["learner"] == "random"
    assert there["many"].num_envs == 16
    assert Path("actor.pt").is_file()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_trains_and_is_judged(path: Path, tmp_path: Path) -> None:
    """In less than eighty lines; with two rollouts of a few arms."""
    if "sb3_contrib" in path.read_text():
        pytest.importorskip("sb3_contrib")
    assert len(path.read_text().splitlines()) < 80
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if hasattr(module, "SETTINGS"):
        module.SETTINGS |= {"learning_starts": 400, "batch_size": 32}
    folder = tmp_path / "run"
    summary = module.main([*SMALL, *SHORT, "total_timesteps=1100", f"run_dir={folder}"])
    assert summary == json.loads((folder / "summary.json").read_text())
    assert summary["total_timesteps"] >= 1024
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert any("rollout/success_rate" in record for record in records)
    assert reach_rl.load(folder).summary["learner"]
