"""A sweep in the terminal: a live table of its trials, elsewhere one line per finished trial."""

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from reach_rl.monitoring.tables import PLAIN
from reach_rl.sweeps import results

if TYPE_CHECKING:
    from optuna.study import Study

REFRESH_SECONDS = 1.0
STYLES = {"running": "cyan", "complete": "green", "pruned": "yellow", "failed": "red"}
ENDED = ("complete", "pruned", "failed")

Row = Mapping[str, Any]
"""A trial, as results.rows tells it."""


class StudyTable:
    """Context manager that shows a study while it grows, also what other processes add to it.

    A terminal gets a table that is drawn anew every second; anything else a line per trial that
    ends. What other code prints meanwhile through the same console appears above the table.
    """

    def __init__(
        self, study: "Study", n_trials: int, parallel: int = 1, console: Console | None = None
    ) -> None:
        """Prepare a display.

        Args:
            study: what to show.
            n_trials: how many trials end the sweep, all processes together.
            parallel: trials that run side by side.
            console: where to; the terminal without it.
        """
        self.study, self.n_trials, self.parallel = study, n_trials, parallel
        self.console = console or Console(highlight=False)
        self._told: set[int] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._live: Live | None = None
        self._thread = threading.Thread(target=self._tick, name="sweep-table", daemon=True)

    def __enter__(self) -> Self:
        rows = results.rows(self.study)
        self._told = {row["number"] for row in rows if row["state"] in ENDED}  # told before
        if self.console.is_terminal:
            shown = table(self.study, rows, self.n_trials, self.parallel, self.console)
            self._live = Live(
                shown, console=self.console, auto_refresh=False, redirect_stdout=False
            )
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
                    self._say(row, rows)
            if self._live is not None:
                shown = table(self.study, rows, self.n_trials, self.parallel, self.console)
                self._live.update(shown, refresh=True)

    def _tick(self) -> None:
        while not self._over.wait(REFRESH_SECONDS):
            try:
                self.update()
            except Exception:  # a storage that is away for a moment ends no sweep
                time.sleep(REFRESH_SECONDS)

    def _say(self, row: Row, rows: list[dict[str, Any]]) -> None:
        """A trial that ended in a line; on a terminal, one that failed."""
        if self._live is None:
            left = time_left(rows, self.n_trials, self.parallel)
            text = f"{len(self._told)} of {self.n_trials}: {line(self.study, row, left)}"
        elif row["state"] == "failed":
            text = f"trial {row['number']} failed after {clock(row['seconds'])}: {row['reason']}"
        else:
            return
        self.console.print(text, markup=False, soft_wrap=True)


def line(study: "Study", row: Row, left: float | None) -> str:
    """A trial that ended, in words; `left` are the seconds until the sweep ends."""
    text = f"trial {row['number']} {row['state']} after {clock(row['seconds'])}"
    values = {name: value for name, value in row["values"].items() if value is not None}
    text += "".join(f", {name} {value:.4g}" for name, value in values.items())
    winner = results.best(study)
    if winner is not None:
        mine = winner.number == row["number"]
        text += ", the best" if mine else f", best {winner.values[0]:.4g}"
    text += f", {row['reason']}" if row["reason"] else ""
    params = " ".join(f"{_short(key)}={_number(value)}" for key, value in row["params"].items())
    return f"{text}, {clock(left)} left: {params}"


def table(
    study: "Study", rows: list[dict[str, Any]], n_trials: int, parallel: int, console: Console
) -> RenderableType:
    """What is running and what came out, as high and as wide as the terminal."""
    head = _head(study, rows, n_trials, parallel)
    best = getattr(results.best(study), "number", None)
    shown, hidden = _choose(rows, best, max(console.height - 6, 4))
    if not shown:
        return head
    names = [objective.name for objective in results.objectives(study)]
    cells = [["trial", "state", *names, "time"], *(_cells(row, names) for row in shown)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    room = console.width - sum(widths) - 2 * len(widths)
    keys, left_out = _fitting(results.searched(study), shown, room)
    grid = Table(
        box=PLAIN, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim"
    )
    for i, name in enumerate([*cells[0], *map(_short, keys)]):
        grid.add_column(name, justify="left" if i == 1 else "right", no_wrap=True)
    for row, texts in zip(shown, cells[1:], strict=True):
        params = [_number(row["params"].get(key)) for key in keys]
        state = Text(texts[1], STYLES.get(row["state"], ""))
        style = "bold" if row["number"] == best else ""
        grid.add_row(texts[0], state, *texts[2:], *params, style=style)
    notes = [f"{hidden} more trial{'s' * (hidden != 1)}"] * bool(hidden)
    notes += [f"not shown: {', '.join(map(_short, left_out))}"] * bool(left_out)
    foot = Text("; ".join(notes), "dim", no_wrap=True, overflow="ellipsis")
    return Group(head, grid, *([foot] if notes else []))


def _head(study: "Study", rows: list[dict[str, Any]], n_trials: int, parallel: int) -> Text:
    """The line above the table: how many, which best, how long still."""
    states = [row["state"] for row in rows]
    ended = sum(state in ENDED for state in states)
    counts = [f"{states.count(name)} {name}" for name in (*ENDED, "running") if name in states]
    text = Text(f"{study.study_name}: {ended} of {n_trials} trials", "bold")
    text.append(f" ({', '.join(counts)})" if counts else "", "not bold")
    winner = results.best(study)
    if winner is not None:
        text.append(f", best {winner.values[0]:.4g} in trial {winner.number}", "not bold")
    if ended < n_trials:
        text.append(f", {clock(time_left(rows, n_trials, parallel))} left", "not bold")
    return text


def _choose(
    rows: list[dict[str, Any]], best: int | None, most: int
) -> tuple[list[dict[str, Any]], int]:
    """The running trials, the best one and the newest, by number; and how many are hidden."""
    known = [row for row in reversed(rows) if row["state"] != "waiting"]
    known.sort(key=lambda row: row["state"] != "running" and row["number"] != best)
    return sorted(known[:most], key=lambda row: row["number"]), len(known[most:])


def _cells(row: Row, names: list[str]) -> list[str]:
    values = ["-" if (v := row["values"][name]) is None else f"{v:.4f}" for name in names]
    return [str(row["number"]), row["state"], *values, clock(row["seconds"])]


def _fitting(keys: list[str], rows: list[dict[str, Any]], room: int) -> tuple[list[str], list[str]]:
    """The keys whose columns fit, and the others."""
    for count, key in enumerate(keys):
        values = [_number(row["params"].get(key)) for row in rows]
        room -= max(map(len, [*values, _short(key)])) + 2
        if room < 0:
            return keys[:count], keys[count:]
    return keys, []


def time_left(rows: list[dict[str, Any]], n_trials: int, parallel: int) -> float | None:
    """Seconds until the last trial ends, judged by those that ended; None before any did."""
    ended = [row["seconds"] for row in rows if row["state"] in ENDED and row["seconds"]]
    if not ended:
        return None
    mean = sum(ended) / len(ended)
    running = [row["seconds"] or 0.0 for row in rows if row["state"] == "running"]
    begun = sum(min(seconds, mean) for seconds in running)
    todo = max(n_trials - sum(row["state"] in ENDED for row in rows), len(running))
    return max(0.0, (todo * mean - begun) / max(1, parallel))


def _short(key: str) -> str:
    """The last word of a key."""
    return key.rpartition(".")[2]


def _number(value: object) -> str:
    """A value as narrow as it stays clear."""
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def clock(seconds: float | None) -> str:
    """`m:ss` or `h:mm:ss`."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
