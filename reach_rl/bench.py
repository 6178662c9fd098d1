"""Measure throughput and where the time goes: python -m reach_rl.bench n_envs=256."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reach_rl.config.app import run
from reach_rl.config.verbs import BenchConfig

if TYPE_CHECKING:
    from rich.console import Console, Group


def main() -> None:
    """Measure what the command line says, and exit."""
    run("bench", job)


def job(wanted: BenchConfig) -> dict[str, Any]:
    """Measure, print the table, and return its figures.

    Raises:
        ConfigError: the robot or the region cannot be made.
    """
    from rich.console import Console

    from reach_rl.learning.throughput import measure

    console = Console(highlight=False)
    if wanted.n_envs is not None:
        wanted = replace(wanted, vec_env=replace(wanted.vec_env, n_envs=wanted.n_envs))
    console.print(
        f"measuring {wanted.robot.name} in {wanted.vec_env.n_envs:,} environments "
        f"({wanted.vec_env.kind.value}), twice {wanted.seconds:g} s"
    )
    with _bar(console, wanted.progress) as told:
        result = measure(wanted, wanted.seconds, told)
    console.print(table(result, wanted.task.substeps))
    return result


def table(result: dict[str, Any], substeps: int) -> "Group":
    """The figures as a table.

    Args:
        result: of learning.throughput.measure.
        substeps: physics steps per environment step.
    """
    from rich.console import Group
    from rich.table import Table

    from reach_rl.monitoring.tables import PLAIN

    split = Table(box=PLAIN, show_edge=False, pad_edge=False, header_style="dim")
    for name in ("", "share", "us per step"):
        split.add_column(name, justify="right" if name else "left")
    for name, share in result["share"].items():
        split.add_row(name, f"{share:.1%}", f"{result['microseconds'][name]:.1f}")
    split.add_row("all", "100.0%", f"{sum(result['microseconds'].values()):.1f}", style="bold")
    threads = result["threads"]
    on = f"{threads} thread{'s' if threads > 1 else ''}"
    return Group(
        "",
        split,
        "",
        f"learning  {result['steps_per_second']:>9,.0f} environment steps/s",
        f"bare      {result['bare_steps_per_second']:>9,.0f} environment steps/s, which is "
        f"{substeps} x mj_step alone, {on}",
        f"ratio     {result['ratio']:>9.1%}",
    )


@contextmanager
def _bar(console: "Console", wanted: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal that goes away at the end; to be told what is done of how much."""
    if not (wanted and console.is_terminal):
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("measure"), BarColumn(bar_width=None), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, expand=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


if __name__ == "__main__":
    main()
