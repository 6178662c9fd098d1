"""A sweep in the terminal: a live table of its trials, elsewhere one line per finished trial."""

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from reach_rl.monitoring.tables import plain_table
from reach_rl.monitoring.terminal import clock
from reach_rl.sweeps import results

if TYPE_CHECKING:
    from optuna.study import Study

REFRESH_SECONDS = 1.0
ENDED = {"complete": "green", "pruned": "yellow", "failed": "red"}
STYLES = {**ENDED, "running": "cyan"}

Row = Mapping[str, Any]
"""A trial, as results.rows tells it."""


class StudyTable:
    """Context manager that shows a study while it grows, also what other processes add to it.

    A terminal gets a table that is drawn anew every second; anything else a line per trial that
    ends. What other code prints meanwhile through the same console appears above the table.
    """

    def __init__(self, study: "Study", n_trials: int, parallel: int, console: Console) -> None:
        """Prepare a display.

        Args:
            study: what to show.
            n_trials: how many trials end the sweep, all processes together.
            parallel: trials that run side by side.
            console: where to.
        """
        self.study, self.n_trials, self.parallel = study, n_trials, parallel
        self.console = console
        self._told: set[int] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._live: Live | None = None
        self._thread = threading.Thread(target=self._tick, name="sweep-table", daemon=True)

    def __enter__(self) -> Self:
        rows = results.rows(self.study)
        self._told = {row["number"] for row in rows if row["state"] in ENDED}  # told before
        if self.console.is_terminal:
            self._live = Live(console=self.console, auto_refresh=False, redirect_stdout=False)
            self._live.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.update()
        if self._live is not None:
            self._live.stop()

    def update(self) -> None:
        """Show what the study holds now; any thread may call it."""
        with self._lock:
            rows = results.rows(self.study)
            for row in rows:
                if row["state"] in ENDED and row["number"] not in self._told:
                    self._told.add(row["number"])
                    if self._live is None or row["state"] == "failed":
                        text = f"{len(self._told)} of {self.n_trials}: {self._line(row, rows)}"
                        self.console.print(text, markup=False, soft_wrap=True)
            if self._live is not None:
                shown = table(self.study, rows, self.n_trials, self.parallel, self.console)
                self._live.update(shown, refresh=True)

    def _tick(self) -> None:
        while not self._over.wait(REFRESH_SECONDS):
            with suppress(Exception):  # a storage that is away for a moment ends no sweep
                self.update()

    def _line(self, row: Row, rows: Sequence[Row]) -> str:
        """A trial that ended, in words."""
        text = f"trial {row['number']} {row['state']} after {clock(row['seconds'])}"
        values = {name: value for name, value in row["values"].items() if value is not None}
        text += "".join(f", {name} {value:.4g}" for name, value in values.items())
        winner = results.best(self.study)
        if winner is not None:
            mine = winner.number == row["number"]
            text += ", the best" if mine else f", best {winner.values[0]:.4g}"
        text += f", {row['reason']}" if row["reason"] else ""
        left = time_left(rows, self.n_trials, self.parallel)
        return f"{text}, {clock(left)} left: {_settings(row)}"


def table(
    study: "Study", rows: Sequence[Row], n_trials: int, parallel: int, console: Console
) -> RenderableType:
    """What is running and what came out, as high as the terminal: running, best and newest."""
    states = [row["state"] for row in rows]
    counts = [f"{states.count(name)} {name}" for name in STYLES if name in states]
    ended, winner = sum(state in ENDED for state in states), results.best(study)
    text = f"{study.study_name}: {ended} of {n_trials} trials ({', '.join(counts)})"
    if winner is not None:
        text += f", best {winner.values[0]:.4g} in trial {winner.number}"
    if ended < n_trials:
        text += f", {clock(time_left(rows, n_trials, parallel))} left"
    best = getattr(winner, "number", None)
    known = [row for row in reversed(rows) if row["state"] in STYLES]
    known.sort(key=lambda row: row["state"] != "running" and row["number"] != best)
    most = max(console.height - 6, 4)
    names = [f">{objective.name}" for objective in results.objectives(study)]
    grid = plain_table((">trial", "state", *names, ">time", "settings"), ())
    for column in grid.columns[:-1]:  # the last one gets what room is left
        column.no_wrap = True
    for row in sorted(known[:most], key=lambda row: row["number"]):
        values = ("-" if value is None else f"{value:.4f}" for value in row["values"].values())
        state = Text(row["state"], STYLES[row["state"]])
        cells = (str(row["number"]), state, *values, clock(row["seconds"]))
        settings = Text(_settings(row), no_wrap=True, overflow="ellipsis")
        grid.add_row(*cells, settings, style="bold" if row["number"] == best else "")
    hidden = [Text(f"{len(known) - most} more", "dim")] * (len(known) > most)
    return Group(Text(text, "bold", no_wrap=True, overflow="ellipsis"), grid, *hidden)


def time_left(rows: Sequence[Row], n_trials: int, parallel: int) -> float | None:
    """Seconds until the last trial ends, judged by those that ended; None before any did."""
    ended = [row["seconds"] for row in rows if row["state"] in ENDED and row["seconds"]]
    if not ended:
        return None
    mean = sum(ended) / len(ended)
    running = [row["seconds"] or 0.0 for row in rows if row["state"] == "running"]
    begun = sum(min(seconds, mean) for seconds in running)
    todo = max(n_trials - sum(row["state"] in ENDED for row in rows), len(running))
    return max(0.0, (todo * mean - begun) / max(1, parallel))


def _settings(row: Row) -> str:
    """The searched keys by their last words, with values as narrow as they stay clear."""
    texts = {k: f"{v:.3g}" if isinstance(v, float) else v for k, v in row["params"].items()}
    return " ".join(f"{key.rpartition('.')[2]}={text}" for key, text in texts.items())
