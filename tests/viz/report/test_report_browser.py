"""The pages as a browser shows them."""

import json
import shutil
import time

import pytest
import yaml

from reach_rl.viz.report import page_of

RUN = [
    "learning-success-rate",
    "learning-position-error-mm",
    "learning-orientation-error-deg",
    "rollout-ep-rew-mean",
    "histogram-position",
    "histogram-orientation",
    "goals-",
    "goals--above",
    "goals--side",
    "train-approx-kl",
    "train-clip-fraction",
    "train-explained-variance",
    "rewards-",
    "curriculum-stage",
    "time-fps",
    "time-split",
]
SWEEP = [
    "history-objective",
    "parallel-objective",
    "slice-ppo-learning-rate-objective",
    "slice-action-objective",
    "importance-objective",
    "pruning",
]


def drawn(page, name: str) -> int:
    """How many marks a figure has."""
    marks = ".js-line, .js-fill, .point, .scatterlayer path, .barlayer path, canvas"
    return page.evaluate(
        f"document.querySelector('#figure-{name} .plot')?.querySelectorAll('{marks}').length ?? -1"
    )


WIDE = """[...document.querySelectorAll('.figure .plot svg.main-svg, html')].filter(e =>
    (e.tagName === 'HTML' ? e.scrollWidth : e.getBoundingClientRect().right) > innerWidth + 0.5)"""
"""What is wider than the window: the page itself, or a figure."""


def until(page, condition: str, seconds: float = 60.0) -> None:
    """Wait for a condition; the page's own policy forbids Playwright's way."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(50)


@pytest.fixture
def quiet(look):
    """Opens a page; in the end it must have kept silent and to itself."""
    seen = []

    def opened(*folders):
        it = look(*folders)
        it.page.emulate_media(media="screen", color_scheme="light")
        it.page.set_viewport_size({"width": 1280, "height": 900})
        seen.append(it)
        return it.page

    yield opened
    for it in seen:
        assert it.errors == []
        assert [url for url in it.requests if not url.startswith(("file:", "data:", "blob:"))] == []


def test_a_run_shows_all_its_figures(quiet, runs):
    page = quiet(runs / "0")
    counts = {name: drawn(page, name) for name in RUN}
    assert all(count > 0 for count in counts.values()), counts
    assert page.locator(".cards li").count() == 8
    assert "95 % interval" in page.locator(".cards li").first.inner_text()
    assert page.locator(".warnings li").count() == 1
    assert page.locator("video").count() == 1
    shapes = page.evaluate("document.querySelector('#figure-train-approx-kl .plot').layout.shapes")
    assert any(s["type"] == "line" and s["x0"] == 1024 for s in shapes), "the warning is not marked"
    assert any(s["type"] == "rect" and s["y1"] == 0.02 for s in shapes), "no healthy band"
    stages = page.evaluate("document.querySelector('#figure-rewards- .plot').layout.annotations")
    assert [note["text"] for note in stages][:1] == ["0"]


def test_seeds_have_bands(quiet, runs):
    page = quiet(runs)
    fills = page.evaluate(
        "document.querySelector('#figure-rollout-ep-rew-mean .plot').data"
        ".filter(t => t.fill === 'toself').length"
    )
    assert fills >= 1
    assert page.locator("#runs tbody tr").count() == 3
    assert "interquartile mean of 3 seeds" in page.locator(".cards").inner_text()


def test_a_sweep_shows_all_its_figures(quiet, sweep):
    page = quiet(sweep)
    counts = {name: drawn(page, name) for name in SWEEP}
    assert all(count > 0 for count in counts.values()), counts
    rows = page.locator("#trials tbody tr")
    assert rows.count() == 16
    assert "ValueError: <b>bad</b> numbers" in page.locator("#trials").inner_text()
    page.get_by_role("button", name="objective").click()
    page.get_by_role("button", name="objective").click()
    best = page.locator(".cards .value").first.inner_text()
    assert rows.first.locator("td").nth(2).inner_text() == best


def test_figures_follow_light_and_dark(quiet, runs):
    page = quiet(runs / "0")
    ink = "getComputedStyle(document.querySelector('#figure-time-fps .xtitle')).fill"
    ground = "getComputedStyle(document.body).backgroundColor"
    until(page, f"{ink} === 'rgb(93, 102, 115)'")
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    page.emulate_media(color_scheme="dark")
    until(page, f"{ink} === 'rgb(154, 164, 176)'")
    assert page.evaluate(ground) == "rgb(18, 20, 23)"


def test_nothing_sticks_out_on_a_phone(quiet, runs, sweep):
    for folder in (runs / "0", runs, sweep):
        page = quiet(folder)
        page.set_viewport_size({"width": 390, "height": 800})
        until(page, WIDE + ".length === 0")


def test_a_page_prints_with_whole_figures(quiet, runs):
    page = quiet(runs / "0")
    assert page.pdf(format="A4", print_background=True).startswith(b"%PDF")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 700, "height": 1000})
    until(page, "document.querySelector('#figure-time-fps svg').clientWidth < 400")
    cut = page.evaluate(
        """() => [...document.querySelectorAll('.figure')].filter(f => {
            const plot = f.querySelector('.main-svg');
            return plot && plot.getBoundingClientRect().width > f.clientWidth + 1;
        }).map(f => f.id)"""
    )
    assert cut == []
    assert not page.locator("nav").is_visible()


def test_folded_metrics_are_drawn_when_they_are_opened(quiet, runs):
    page = quiet(runs / "0")
    name = "std-elbow-joint"
    assert drawn(page, name) == 0
    page.locator("#others summary").click()
    until(page, f"document.querySelector('#figure-{name} .js-line, #figure-{name} .point')")


def test_nothing_from_files_is_run(browser, runs, tmp_path):
    attack = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
    folder = tmp_path / "<img src=x onerror=window.hacked=1>"
    shutil.copytree(runs / "0", folder, ignore=shutil.ignore_patterns("tb", "checkpoints"))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["robot"]["name"] = config["task"]["region"]["name"] = attack
    config["wandb"]["notes"] = attack
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    provenance = json.loads((folder / "provenance.json").read_text())
    provenance["command"] = attack
    (folder / "provenance.json").write_text(json.dumps(provenance))
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps(status | {"state": "failed", "reason": attack}))
    with (folder / "metrics.jsonl").open("a") as file:
        for step in (1, 2, 3):
            row = {"global_step": 5000 + step, f"reward/{attack}": step, attack: step}
            row |= {"health/alert": attack, "health/alert_text": attack}
            file.write(json.dumps(row) + "\n")
    (tmp_path / "report.html").write_text(page_of([str(folder)]))
    # without the page's policy, which would stop a script that got through
    page = browser.new_context(bypass_csp=True).new_page()
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_selector("html[data-ready]", timeout=60_000)
    page.locator("#others summary").click()
    until(page, "!document.querySelector('#others .plot:not([data-drawn])')")
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
    assert attack in page.locator(".warnings").inner_text()
    page.context.close()
