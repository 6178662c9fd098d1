"""Measure throughput and where the time goes: python -m reach_rl.bench n_envs=256."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reach_rl.cli.front_door import run
from reach_rl.config.problems import ConfigError
from reach_rl.config.verbs import BenchConfig
from reach_rl.rundir.atomic import json_text, reason, write_atomic
from reach_rl.rundir.provenance import machine
from reach_rl.rundir.status import now

if TYPE_CHECKING:
    from rich.console import Console, Group


def main() -> None:
    """Measure what the command line says, and exit."""
    run("bench", job)


def job(wanted: BenchConfig) -> dict[str, Any]:
    """Measure, print the table, and return its figures.

    Raises:
        ConfigError: the robot or the region cannot be made, or a file cannot be written.
    """
    from rich.console import Console

    console = Console(highlight=False)
    if wanted.n_envs is not None:
        wanted = replace(wanted, vec_env=replace(wanted.vec_env, n_envs=wanted.n_envs))
    result = _tune(wanted, console) if wanted.tune else _measure(wanted, console)
    if wanted.out is not None:
        _put("out", Path(wanted.out), json_text(result))
        console.print(f"figures in {wanted.out}", soft_wrap=True)
    return result


def _measure(wanted: BenchConfig, console: "Console") -> dict[str, Any]:
    """Learning and bare physics of the configuration as it is."""
    from reach_rl.training.throughput import measure

    console.print(
        f"measuring {wanted.robot.name} in {wanted.vec_env.n_envs:,} environments "
        f"({wanted.vec_env.kind.value}), twice {wanted.seconds:g} s"
    )
    with _bar(console, wanted.progress) as told:
        result = measure(wanted, wanted.seconds, told)
    console.print(table(result, wanted.task.substeps))
    return result


def _tune(wanted: BenchConfig, console: "Console") -> dict[str, Any]:
    """Search good sizes, and keep them if that is wished."""
    from reach_rl.config.rules import rollout_size
    from reach_rl.envs.vec_env import cores
    from reach_rl.sweeps import preset
    from reach_rl.training.throughput import least_steps, overrides, sizes_of, tune

    target = None if wanted.write is None else preset.reserved(wanted.write)
    console.print(
        f"tuning {wanted.robot.name} for {cores()} cores, about {wanted.tune_seconds:g} s; kept: "
        f"{rollout_size(wanted):,} samples a rollout, at least {least_steps(wanted)} steps long, "
        f"minibatches within a factor of two of {wanted.ppo.batch_size:,}\n",
        soft_wrap=True,
    )
    heads = ("environments", "rollout", "minibatch", "threads", "torch", "steps/s", "ratio")
    console.print("  ".join(f"{head:>{WIDTH}}" for head in heads).lstrip(), style="dim")
    result = tune(wanted, wanted.tune_seconds, lambda figures: console.print(_row(figures)))
    facts = verdict(result, overrides(sizes_of(wanted), wanted))
    for line in ("", *facts):
        console.print(line, soft_wrap=True)
    if target is not None:
        command = preset.command(target)
        about = [
            f"What bench found fastest on this machine.   {command}",
            f"{machine()['cpu']}, {cores()} cores, {now()}; keys as conf/ explains them",
            facts[0],
        ]
        _put("write", target, preset.text(about, [], nested(result["overrides"])))
        result["written"] = str(target)
        console.print(f"\nwritten to {target}; use it with\n  {command}", soft_wrap=True)
    return result


WIDTH = 9


def _row(figures: dict[str, Any]) -> str:
    """A line of the table of a search."""
    names = ("n_envs", "n_steps", "batch_size", "threads", "torch_threads")
    cells = [f"{figures[name]:,}" for name in names]
    cells += [f"{figures['steps_per_second']:,.0f}", f"{figures['ratio']:.1%}"]
    return f"{cells[0]:>12}  " + "  ".join(f"{cell:>{WIDTH}}" for cell in cells[1:])


def verdict(result: dict[str, Any], configured: dict[str, int]) -> list[str]:
    """What a search came to, a line each.

    Args:
        result: of training.throughput.tune.
        configured: the sizes it began with, as overrides.
    """
    best, default = result["best"], result["default"]
    changed = {k: v for k, v in result["overrides"].items() if v != configured[k]}
    if not changed:
        return [f"nothing is clearly faster than {default['steps_per_second']:,.0f} steps/s"]
    return [
        f"{best['steps_per_second']:,.0f} steps/s, {result['gain']:.2f} times the "
        f"{default['steps_per_second']:,.0f} of the configured sizes, compared in turns",
        "to type: " + " ".join(f"{key}={value}" for key, value in changed.items()),
        "faster is not better: see with a run whether it learns as well",
    ]


def nested(values: dict[str, int]) -> dict[str, Any]:
    """A tree of dotted keys, which have at most one dot."""
    tree: dict[str, Any] = {}
    for key, value in values.items():
        group, _, name = key.rpartition(".")
        (tree.setdefault(group, {}) if group else tree)[name] = value
    return tree


def _put(key: str, path: Path, text: str) -> None:
    try:
        write_atomic(path, text)
    except OSError as error:
        raise ConfigError(f"{key}={path}: cannot be written ({reason(error)})") from error


def table(result: dict[str, Any], substeps: int) -> "Group":
    """The figures as a table.

    Args:
        result: of training.throughput.measure.
        substeps: physics steps per environment step.
    """
    from rich.console import Group

    from reach_rl.monitoring.tables import plain_table

    shares, times = result["share"], result["microseconds"]
    rows = ((name, f"{share:.1%}", f"{times[name]:.1f}") for name, share in shares.items())
    split = plain_table(("", ">share", ">us per step"), rows)
    split.add_row("all", "100.0%", f"{sum(times.values()):.1f}", style="bold")
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
