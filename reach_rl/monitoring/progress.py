"""Progress of a run: a bar on a terminal, else one plain line now and then."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from reach_rl.monitoring.console import TeeConsole

REDRAW_SECONDS = 0.2
LINE_SECONDS = 10.0


class Progress:
    """Context manager that shows how far training is.

    On a terminal a bar, and the plain lines only in the log; elsewhere, or when not enabled, a
    plain line about every ten seconds. Calls between two displays cost a clock reading.
    """

    def __init__(
        self,
        total_steps: int,
        enabled: bool = True,
        console: Console | None = None,
        start_step: int = 0,
        label: str = "train",
    ) -> None:
        """Prepare a display.

        Args:
            total_steps: environment steps of the whole run.
            enabled: whether a terminal gets a bar.
            console: where to; a TeeConsole also gets the plain lines into its log.
            start_step: where a resumed run goes on.
            label: word in front.
        """
        self.total_steps = total_steps
        self.console = console or TeeConsole()
        self.label = label
        self._step = start_step
        self._begin_step = start_step
        self._begin_time = time.monotonic()
        self._next_redraw = 0.0
        self._next_line = self._begin_time + LINE_SECONDS
        self._bar = self._make_bar() if enabled and self.console.is_terminal else None

    def __enter__(self) -> Self:
        """Show the bar."""
        self._begin_time = time.monotonic()
        self._next_line = self._begin_time + LINE_SECONDS
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the bar as it is last."""
        if self._bar is not None:
            self._bar.refresh()
            self._bar.stop()

    def update(
        self,
        step: int,
        success_rate: float | None = None,
        reward: float | None = None,
        fps: float | None = None,
    ) -> None:
        """Tell where training is.

        Args:
            step: environment steps so far.
            success_rate: share of goals reached; None while there is none.
            reward: mean return of the last episodes.
            fps: environment steps per second; None: the mean since the start.
        """
        now = time.monotonic()
        last = step >= self.total_steps > self._step
        self._step = step
        redraw = self._bar is not None and (now >= self._next_redraw or last)
        line = now >= self._next_line or (last and self._bar is None)
        if not (redraw or line):
            return
        rate = fps if fps else (step - self._begin_step) / max(now - self._begin_time, 1e-9)
        left = max(0, self.total_steps - step) / rate if rate > 0 else None
        if redraw and self._bar is not None:
            self._next_redraw = now + REDRAW_SECONDS
            self._draw(self._bar, success_rate, reward, rate, left)
        if line:
            self._next_line = now + LINE_SECONDS
            self._say(success_rate, reward, rate, left)

    def _make_bar(self) -> Bar:
        bar = Bar(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("[green]{task.fields[success]}"),
            TextColumn("[cyan]{task.fields[reward]}"),
            TextColumn("[dim]{task.fields[rate]}"),
            TextColumn("{task.fields[left]}"),
            console=self.console,
            auto_refresh=False,
            expand=True,
        )
        bar.add_task(
            self.label,
            total=self.total_steps,
            completed=self._step,
            success="success -",
            reward="reward -",
            rate="- steps/s",
            left="",
        )
        return bar

    def _draw(
        self,
        bar: Bar,
        success_rate: float | None,
        reward: float | None,
        rate: float,
        left: float | None,
    ) -> None:
        bar.update(
            bar.task_ids[0],
            completed=self._step,
            success=f"success {_percent(success_rate)}",
            reward=f"reward {_number(reward)}",
            rate=f"{rate:,.0f} steps/s",
            left=f"{_clock(left)} left",
        )
        bar.refresh()

    def _say(
        self, success_rate: float | None, reward: float | None, rate: float, left: float | None
    ) -> None:
        text = (
            f"{self._step:,} steps ({self._step / max(self.total_steps, 1):.0%}), "
            f"success {_percent(success_rate)}, reward {_number(reward)}, "
            f"{rate:,.0f} steps/s, {_clock(left)} left"
        )
        if self._bar is None:
            self.console.print(text, soft_wrap=True)
        elif isinstance(self.console, TeeConsole):
            self.console.note(text, soft_wrap=True)


def _percent(share: float | None) -> str:
    return "-" if share is None or share != share else f"{share:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.4g}"


def _clock(seconds: float | None) -> str:
    """`m:ss` or `h:mm:ss`."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
