import io

import pytest

from reach_rl.monitoring import terminal as module
from reach_rl.monitoring.terminal import Progress, TeeConsole


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def run(console, clock, steps=1000, seconds=60, enabled=True):
    with Progress(steps, enabled, console) as progress:
        for k in range(1, seconds + 1):
            clock.now += 1.0
            progress.update(steps * k // seconds, 0.5, 12.3456, 48_200.4)


def test_piped_output_is_a_plain_line_every_ten_seconds(clock):
    out = io.StringIO()
    run(TeeConsole(file=out, width=80), clock, steps=1_500_000)
    lines = out.getvalue().splitlines()
    assert len(lines) == 6
    assert lines[0] == (
        "250,000 steps (17%), success 50.0%, reward 12.35, 48,200 steps/s, 0:26 left"
    )
    assert lines[-1].startswith("1,500,000 steps (100%)") and lines[-1].endswith("0:00 left")
    assert "\x1b" not in out.getvalue()


def test_a_terminal_gets_a_bar_and_the_log_plain_lines(clock, tmp_path):
    out = io.StringIO()
    console = TeeConsole(tmp_path / "train.log", file=out, force_terminal=True, width=80)
    run(console, clock)
    console.close()
    drawn = out.getvalue()
    for word in ("success 50.0%", "reward 12.35", "48,200 steps/s", "0:00 left", "100%"):
        assert word in drawn
    log = (tmp_path / "train.log").read_text()
    assert len(log.splitlines()) == 6 and "\x1b" not in log


def test_a_bar_that_is_not_wanted_is_a_line(clock):
    out = io.StringIO()
    run(TeeConsole(file=out, force_terminal=True, width=100), clock, enabled=False)
    assert len(out.getvalue().splitlines()) == 6


def test_nothing_known_yet_is_a_dash_and_the_rate_is_the_mean(clock):
    out = io.StringIO()
    with Progress(1000, True, TeeConsole(file=out, width=100), start_step=500) as progress:
        clock.now += 20.0
        progress.update(600, float("nan"))
    assert out.getvalue() == "600 steps (60%), success -, reward -, 5 steps/s, 1:20 left\n"


def test_drawing_is_rate_limited(clock, monkeypatch):
    out = io.StringIO()
    with Progress(10_000, True, TeeConsole(file=out, force_terminal=True)) as progress:
        draws = []
        monkeypatch.setattr(progress, "_draw", lambda *args: draws.append(args))
        for step in range(9_999):
            clock.now += 0.001
            progress.update(step)
    assert 40 <= len(draws) <= 55  # in ten seconds
