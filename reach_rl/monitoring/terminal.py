"""What a run shows: a console that also writes train.log, and how far it is.

A terminal that went away or a full disk silences that half and never stops a run.
"""

import io
import math
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self, TextIO

from rich.console import Console, NewLine
from rich.control import Control
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as RichProgress

from reach_rl.config.untrusted import redact
from reach_rl.rundir.atomic import Appender

LOG_WIDTH = 100
REDRAW_SECONDS = 0.2
LINE_SECONDS = 10.0


def plain_console(file: TextIO) -> Console:
    """A console that writes plain text into a file, in a notebook too, where rich would not."""
    options: dict[str, Any] = {"color_system": None, "highlight": False, "force_jupyter": False}
    return Console(file=file, width=LOG_WIDTH, **options)


class TeeConsole(Console):
    """A rich console whose prints also go, as plain text without credentials, to a log."""

    def __init__(self, log_path: Path | None = None, **options: Any) -> None:  # noqa: ANN401
        """Speak to the terminal, or as `options` of rich's Console say.

        Args:
            log_path: of the log to append to, such as train.log; None for the terminal alone.
            options: of rich's Console.

        Raises:
            OSError: if the log cannot be opened.
        """
        super().__init__(highlight=False, **options)
        self._log = Appender(log_path) if log_path else None

    def print(self, *objects: Any, **options: Any) -> None:  # noqa: ANN401
        """As rich's print; the log gets the same without styles."""
        try:
            super().print(*objects, **options)
        except OSError:
            self.quiet = True
        # Control codes and lone line ends are how a live display moves about on the terminal.
        if not objects or not all(isinstance(item, (Control, NewLine)) for item in objects):
            self.note(*objects, **options)

    def note(self, *objects: Any, **options: Any) -> None:  # noqa: ANN401
        """Print to the log only."""
        if self._log is None:
            return
        text = io.StringIO()
        plain_console(text).print(*objects, **options)
        self._log.append([redact(text.getvalue()).encode()])

    def close(self) -> None:
        """Close the log; the terminal half stays usable."""
        if self._log is not None:
            self._log.close()
            self._log = None

    @property
    def moves(self) -> bool:
        """Whether a bar can move: on a terminal, and in a notebook that has ipywidgets."""
        return self.is_terminal or (self.is_jupyter and find_spec("ipywidgets") is not None)

    def on_broken_pipe(self) -> None:
        """Fall silent instead of ending the process, which is rich's answer."""
        self.quiet = True


class Progress:
    """Context manager that shows how far training is.

    On a terminal a bar, and the plain lines only in the log; elsewhere, or when not enabled, a
    plain line about every ten seconds. Calls between two displays cost a clock reading.
    """

    def __init__(
        self,
        total_steps: int,
        enabled: bool = True,
        console: TeeConsole | None = None,
        start_step: int = 0,
        label: str = "train",
    ) -> None:
        """Prepare a display.

        Args:
            total_steps: environment steps of the whole run.
            enabled: whether a terminal gets a bar.
            console: where to; its log gets the plain lines too.
            start_step: where a resumed run goes on.
            label: word in front.
        """
        self.total_steps = total_steps
        self.console = console or TeeConsole()
        self._step = self._begin_step = start_step
        self._next_redraw = 0.0
        self._bar = self._make_bar(label) if enabled and self.console.moves else None

    def __enter__(self) -> Self:
        """Show the bar."""
        self._begin_time = time.monotonic()
        self._next_line = self._begin_time + LINE_SECONDS
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
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
        text = (
            f"success {_known(success_rate, '.1%')}, reward {_known(reward, '.4g')}, "
            f"{rate:,.0f} steps/s, {clock(left)} left"
        )
        if redraw and self._bar is not None:
            self._next_redraw = now + REDRAW_SECONDS
            self._draw(self._bar, text)
        if line:
            self._next_line = now + LINE_SECONDS
            share = step / max(self.total_steps, 1)
            tell = self.console.print if self._bar is None else self.console.note
            tell(f"{step:,} steps ({share:.0%}), {text}", soft_wrap=True)

    def _make_bar(self, label: str) -> RichProgress:
        bar = RichProgress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[text]}"),
            console=self.console,
            auto_refresh=False,
            expand=True,
        )
        bar.add_task(label, total=self.total_steps, completed=self._step, text="")
        return bar

    def _draw(self, bar: RichProgress, text: str) -> None:
        bar.update(bar.task_ids[0], completed=self._step, text=text)
        bar.refresh()


def _known(value: float | None, form: str) -> str:
    return "-" if value is None or math.isnan(value) else format(value, form)


def clock(seconds: float | None) -> str:
    """`m:ss` or `h:mm:ss`; `-` of None."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
