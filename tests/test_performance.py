"""benchmarks/: the check of the speed turns red and green, turns are taken, times add up."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_a_loss_of_11_percent_is_red_and_of_9_percent_green(capsys):
    from bench_check import verdict

    for percent, code in ((11, 1), (9, 0), (-30, 0), (float("nan"), 1)):
        noise = (0.7, 0.99, 1.0, 1.01, 1.6)
        assert verdict([n * (1 - percent / 100) for n in noise], "abc") == code, percent
    assert "training has 89.0% of the speed of abc" in capsys.readouterr().out


def test_the_check_lays_out_a_commit_or_says_that_there_is_none(tmp_path, monkeypatch, capsys):
    import bench_check

    def git(*words):
        subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "benchmarks").mkdir()
    monkeypatch.setattr(bench_check, "HERE", tmp_path / "benchmarks")
    monkeypatch.setattr(
        bench_check, "ratios", lambda then, _: [float((then / "a").read_text())] * 4
    )
    monkeypatch.setattr(sys, "argv", ["bench_check.py"])
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert bench_check.main() == 2
    assert capsys.readouterr().err.startswith("bench-check: no commit to compare with (")
    git("init", "-q")
    (tmp_path / "a").write_text("0.8")
    (tmp_path / "benchmarks" / "performance.json").write_text("{}")
    git("add", ".")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "measured")
    (tmp_path / "a").write_text("1.0")
    assert bench_check.main() == 1, "what is there now was taken for what was there then"


def test_a_ledger_charges_the_innermost_and_loses_nothing(monkeypatch):
    import ledger

    now = iter([0.0, 1.0, 3.0, 6.0, 10.0, 15.0])
    monkeypatch.setattr(ledger.time, "monotonic", lambda: next(now))
    book = ledger.Ledger("outside")  # at 0

    class Thing:
        def inner(self) -> int:
            return 7

        def outer(self) -> int:
            return self.inner()

    book.watch(Thing, "inner", "inner")
    book.watch(Thing, "outer", "outer")
    assert Thing().outer() == 7  # at 1, 3, 6 and 10
    assert book.turn() == {"outside": 1.0 + 5.0, "outer": 2.0 + 4.0, "inner": 3.0}  # at 15


def test_a_ledger_charges_imports(tmp_path, monkeypatch):
    (tmp_path / "slow_one.py").write_text("import time\ntime.sleep(0.05)\nimport slow_two\n")
    (tmp_path / "slow_two.py").write_text("import time\ntime.sleep(0.1)\n")
    code = (
        "import json, time\nfrom ledger import Ledger\nbook = Ledger('rest')\n"
        "book.watch_imports()\nimport slow_one\nprint(json.dumps(book.turn()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{BENCHMARKS}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert 0.05 <= found["import slow_one"] < found["import slow_two"]
    assert found["import slow_two"] >= 0.1


def test_processes_take_turns_and_their_parts_make_the_whole(monkeypatch):
    import performance_parts
    from turns import in_turns

    performance_parts.python_path()
    words = ("task.region.pool=64", "vec_env.threads=1", "vec_env.n_envs=16", "ppo.batch_size=64")
    cases = {
        "bare": ("bare", words, 1000),
        "profile": ("profile", words, 384),
    }
    said: list[str] = []
    begin = time.perf_counter()
    found = in_turns(cases, 2, said.append)
    seconds = time.perf_counter() - begin
    assert [line.split()[:2] for line in said] == [
        [turn, name] for turn in ("warm", "1", "2") for name in ("bare", "profile")
    ]
    for name, least in (("bare", 1000), ("profile", 384)):
        assert len(found[name]) == 2
        for turn in found[name]:
            assert least <= turn["steps"] < 2 * least
            assert turn["steps_per_second"] == turn["steps"] / turn["seconds"]
            assert turn["peak_mib"] > 50
    assert sum(turn["seconds"] for turns in found.values() for turn in turns) < seconds
    shares = performance_parts.shares(found["profile"])
    assert shares["task_of_physics"] > 0.0
    micro = shares["microseconds"]
    for name in (
        *(performance_parts.PHYSICS, *performance_parts.TASK.values()),
        *("update", "normaliser", "networks, collecting", "vectorised environment"),
    ):
        assert micro.get(name, 0.0) > 0.0 or name in ("resets", "new goals"), name
    for turn in found["profile"]:
        assert sum(turn["parts"].values()) == pytest.approx(turn["seconds"])


def test_a_process_that_dies_says_why():
    import performance_parts
    from turns import Worker

    performance_parts.python_path()
    worker = Worker("bare", ["robot=ur6"])
    with pytest.raises(SystemExit, match="robot=ur6"):
        worker.ready()
    worker.close()


def test_every_configuration_of_the_benchmarks_is_sound():
    from performance_parts import NOTES, STOCK, axes

    from reach_rl.config.load import compose

    for values in axes().values():
        for words in values.values():
            compose([*words])
    assert compose([*STOCK]).vec_env.n_envs == 16
    compose([*STOCK, "ppo=notes"])
    config = compose([*NOTES])
    assert (config.ppo.n_epochs, config.ppo.batch_size) == (8, 8192)
    assert config.vec_env.n_envs * config.ppo.n_steps == 16 * 2048


def test_the_page_is_that_of_the_figures():
    from performance_page import page

    from reach_rl.rundir.atomic import read_json

    written = (BENCHMARKS / "performance.md").read_text(encoding="utf-8")
    assert written == page(read_json(BENCHMARKS / "performance.json"))
    assert "A toy" not in written
