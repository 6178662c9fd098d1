"""What the pages say, and what becomes of damaged folders and wrong paths."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import optuna
import plotly.graph_objects as go
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from reach_rl.cli.front_door import front
from reach_rl.evaluation import result
from reach_rl.report import job
from reach_rl.viz.report import goal_figures, page_of, plotting
from reach_rl.viz.report.rendering import data
from reach_rl.viz.report.subject import members


@pytest.fixture
def copy(runs: Path, tmp_path: Path) -> Path:
    """A run to damage."""
    folder = tmp_path / "run"
    shutil.copytree(runs / "0", folder, ignore=shutil.ignore_patterns("tb", "checkpoints"))
    return folder


def words(page: str) -> str:
    """What is there to read, without scripts and styles."""
    plain = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", plain).split())


def test_the_command_writes_the_page_beside_the_run(copy, capsys):
    assert front("report", job, [f"path={copy}"]) == 0
    assert f"report in {copy / 'report.html'}" in capsys.readouterr().out.replace("\n", "")
    assert (copy / "report.html").read_text().startswith("<!doctype html>")
    assert [p.name for p in copy.glob(".*")] == []


def test_several_folders_go_into_a_page_where_you_are(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert front("report", job, [f"path=[{runs / '0'},{runs / '2'}]"]) == 0
    assert "2 seeds" in words((tmp_path / "report.html").read_text())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("path={0}/rum", "no such folder; try path={0}/run"),
        ("path={0}", "no run in it"),
        ("path={0}/run/config.yaml", "is a file"),
        ("path=3", "must be a folder"),
        ("path=[]", "must be a folder"),
        ("path={0}/run out={0}/run", "is a folder; try out={0}/run/report.html"),
        ("path={0}/run out={0}/no/x.html", "there is no folder"),
        ("path={0}/run video_mb=-1", "at least 0"),
    ],
)
def test_a_mistake_is_one_line(given, said, tmp_path, capsys):
    empty = tmp_path / "a"
    (empty / "b").mkdir(parents=True)
    place = empty if given == "path={0}" else tmp_path
    if place is tmp_path:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "config.yaml").write_text("seed: 0\n")
    assert front("report", job, given.format(place).split()) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said.format(place) in lines[0]


def test_the_page_needs_no_other_file(runs):
    page = page_of([str(runs / "0")])
    body = re.sub(r"<script\b.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"""<[^>]*\s(?:src|href)=["']?(?!["'#]|data:)""", body)
    assert "default-src 'none'" in page
    assert '<html lang="en">' in page
    assert body.count("<h1") == 1
    plots = re.findall(r'<div class="plot" role="img" aria-label="([^"]*)"', body)
    assert len(plots) > 20
    assert all(len(text) > 20 for text in plots)


def test_the_headline_figures_are_those_of_the_summary(runs):
    summary = json.loads((runs / "0" / "summary.json").read_text())["evaluation"]
    text = words(page_of([str(runs / "0")]))
    reached = round(summary["success_rate"] * summary["goals"])
    assert f"{reached} of 12 goals" in text
    low, high = (f"{100 * end:.1f}" for end in summary["success_ci95"])
    assert f"95 % interval {low} to {high} % (Wilson)" in text
    assert f"{summary['position_error_mm']['median']:.3g} mm" in text


def test_the_session_keeps_every_goal(runs):
    found = result.load(runs / "0" / result.FILE)
    summary = json.loads((runs / "0" / "summary.json").read_text())["evaluation"]
    assert len(found) == summary["goals"] == 12
    assert found.success.mean() == pytest.approx(summary["success_rate"])
    medians = summary["position_error_mm"]["median"], 1e3 * np.median(found.position_error)
    assert medians[0] == pytest.approx(medians[1], rel=1e-5)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("metrics.jsonl", None, "There is no metrics.jsonl"),
        ("metrics.jsonl", "", "There are no records of this yet"),
        ("metrics.jsonl", '{"global_step": 1, "train/std": NaN}\n{"global', "1 line is left out"),
        ("metrics.jsonl", '[1]\n{"train/std": 3}\n', "2 lines are left out"),
        ("summary.json", None, "No verdict on held-out goals yet"),
        ("summary.json", '{"evaluation": 5}', "No verdict on held-out goals yet"),
        ("summary.json", '{"evaluation": {"success_rate": null, "goals"', "cannot be read"),
        ("evaluation.npz", None, "There is no evaluation.npz"),
        ("evaluation.npz", "PK", "evaluation.npz cannot be read"),
        ("config.yaml", None, "There is no config.yaml"),
        ("config.yaml", "robot: [", "config.yaml cannot be read"),
        ("config.yaml", "robot: 3\ntask: null\n", "unknown region"),
        ("provenance.json", "{", "provenance.json cannot be read"),
        ("status.json", None, "UR5e, front"),
    ],
)
def test_what_is_missing_or_damaged_is_said(copy, file, content, said):
    if content is None:
        (copy / file).unlink()
    else:
        (copy / file).write_text(content)
    assert said in words(page_of([str(copy)]))


@pytest.mark.parametrize("state", ["running", "failed", "stopped", "diverged"])
def test_a_run_that_has_not_ended_well_has_a_page(copy, state):
    for name in ("summary.json", "evaluation.npz"):
        (copy / name).unlink()
    status = {"state": state, "reason": "because", "host": "elsewhere"}
    (copy / "status.json").write_text(json.dumps(status))
    text = words(page_of([str(copy)]))
    assert state in text
    assert "newest, periodic evaluation" in text
    assert "because" in text or state == "running"


def test_a_folder_with_nothing_but_a_status_has_a_page(tmp_path):
    (tmp_path / "status.json").write_text("{}")
    assert "unknown arm, unknown region" in words(page_of([str(tmp_path)]))


def test_a_damaged_seed_leaves_the_others_alone(runs, copy):
    (copy / "summary.json").unlink()
    (copy / "metrics.jsonl").unlink()
    text = words(page_of([str(copy), str(runs / "1"), str(runs / "2")]))
    assert "3 seeds (2 judged so far)" in text
    assert "interquartile mean of 2 seeds" in text


def test_configurations_are_told_apart(runs, copy):
    path = copy / "config.yaml"
    path.write_text(path.read_text().replace("gamma: 0.92", "gamma: 0.5"))
    assert "gamma: 0.5" in path.read_text()
    text = words(page_of([str(copy), str(runs / "1"), str(runs / "2")]))
    assert "3 runs of 2 configurations" in text
    assert "gamma 0.5" in text


def test_videos_are_put_in_while_there_is_room(copy):
    (copy / "videos" / "small.mp4").write_bytes(b"0" * 1000)
    (copy / "videos" / "large.mp4").write_bytes(b"0" * 3_000_000)
    page = page_of([str(copy)], video_mb=1.0)
    assert page.count('src="data:video/mp4;base64,MDAw') == 1
    assert "Too large for the page (video_mb=1): videos/large.mp4" in words(page)


def test_a_sweep_that_has_only_begun_has_a_page(tmp_path):
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.journal")))
    study = optuna.create_study(storage=storage, study_name="new")
    assert "0 trials (none begun)" in words(page_of([str(tmp_path)]))
    study.ask()
    assert "1 trials (1 running); none is complete yet" in words(page_of([str(tmp_path)]))


@pytest.mark.parametrize("content", ["", "not a journal\n"])
def test_a_journal_without_a_study_is_one_line(content, tmp_path, capsys):
    (tmp_path / "study.journal").write_text(content)
    assert front("report", job, [f"path={tmp_path}"]) == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1
    assert "no study of its own" in error[0] or "cannot be read" in error[0]


def test_what_fresh_seeds_made_of_the_best_trial(sweep, tmp_path):
    folder = tmp_path / "sweep"
    shutil.copytree(sweep, folder)
    before = words(page_of([str(folder)]))
    number = int(re.search(r"trial (\d+) is best", before)[1])
    fresh = {"success rate": {"mean": 0.9, "interval95": [0.8, 1.0], "values": [0.9, 0.9, 0.9]}}
    (folder / "winner.json").write_text(json.dumps({"trial": number, "fresh": fresh}))
    text = words(page_of([str(folder)]))
    assert "90.0 % 3 fresh seeds; 95 % interval 80.0 to 100.0 %" in text
    (folder / "winner.json").write_text(json.dumps({"trial": number + 1, "fresh": fresh}))
    assert "fresh seeds" not in words(page_of([str(folder)])), "of an older best trial"


def test_plotly_knows_every_property_of_every_figure(runs, sweep):
    for folders in ([runs / "0"], [runs], [sweep]):
        page = page_of([str(folder) for folder in folders])
        found = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
        assert len(found) > 5
        for text in found:
            go.Figure(json.loads(text))  # it raises for what it does not know


def test_data_cannot_end_its_element():
    text = data({"a": "</script><!--", "b": [1.5, None]})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script><!--", "b": [1.5, None]}


def test_secrets_and_the_home_folder_stay_at_home(copy, monkeypatch):
    path = copy / "config.yaml"
    path.write_text(path.read_text() + f"api_key: hunter22\nfolder: {Path.home()}/arm\n")
    text = words(page_of([str(copy)]))
    assert "hunter22" not in text
    assert f"{Path.home()}/arm" not in text


def test_a_figure_is_one_function(runs, monkeypatch):
    text = (Path(__file__).parents[3] / "docs" / "report.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    known = {name: list(drawers) for name, drawers in plotting._DRAWERS.items()}
    monkeypatch.setattr(plotting, "_DRAWERS", known)
    exec(example, vars(goal_figures) | {"members": members})  # as if it stood in that module
    page = page_of([str(runs / "0")])
    assert 'id="figure-misses-by-height"' in page
    assert "Misses by height Low goals are hard to reach from above." in words(page)
