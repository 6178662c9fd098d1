"""Measure throughput and where the time goes: python -m reach_rl.bench n_envs=256."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reach_rl.cli.front_door import run
from reach_rl.config.verbs import BenchConfig
from reach_rl.rundir.atomic import json_text, write_wanted
from reach_rl.rundir.provenance import machine
from reach_rl.rundir.status import now

if TYPE_CHECKING:
    from rich.console import Console


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
        write_wanted("out", Path(wanted.out), json_text(result))
        console.print(f"figures in {wanted.out}", soft_wrap=True)
    return result


def _measure(wanted: BenchConfig, console: "Console") -> dict[str, Any]:
    """Learning and bare physics of the configuration as it is."""
    from rich.progress import track

    from reach_rl.training.throughput import ROUNDS, measure

    console.print(
        f"measuring {wanted.robot.name} in {wanted.vec_env.n_envs:,} environments "
        f"({wanted.vec_env.kind.value}), twice {wanted.seconds:g} s"
    )
    unseen = not (wanted.progress and console.is_terminal)
    turns = track(range(ROUNDS), "measure", console=console, transient=True, disable=unseen)
    result = measure(wanted, wanted.seconds, turns)
    console.print(table(result, wanted.task.substeps))
    return result


def _tune(wanted: BenchConfig, console: "Console") -> dict[str, Any]:
    """Search good sizes, and keep them if that is wished."""
    from reach_rl.config.rules import rollout_size
    from reach_rl.rundir.provenance import cores
    from reach_rl.sweeps import preset
    from reach_rl.training.throughput import least_steps, overrides, sizes_of, tune

    target = None if wanted.write is None else preset.reserved(wanted.write)
    console.print(
        f"tuning {wanted.robot.name} for {cores()} cores, about {wanted.tune_seconds:g} s; kept: "
        f"{rollout_size(wanted):,} samples a rollout, at least {least_steps(wanted)} steps long, "
        f"minibatches within a factor of two of {wanted.ppo.batch_size:,}\n",
        soft_wrap=True,
    )
    console.print(_HEADS, style="dim")
    result = tune(wanted, wanted.tune_seconds, lambda found: console.print(_ROW.format(**found)))
    facts = verdict(result, overrides(sizes_of(wanted), wanted))
    console.print("", *facts, sep="\n", soft_wrap=True)
    if target is not None:
        command = preset.command(target)
        about = [
            f"What bench found fastest on this machine.   {command}",
            f"{machine()['cpu']}, {cores()} cores, {now()}; keys as conf/ explains them",
            facts[0],
        ]
        write_wanted("write", target, preset.text(about, [], preset.nested(result["overrides"])))
        result["written"] = str(target)
        console.print(f"\nwritten to {target}; use it with\n  {command}", soft_wrap=True)
    return result


_HEADS = "environments    rollout  minibatch    steps/s      ratio"
_ROW = "{n_envs:>12,}  {n_steps:>9,}  {batch_size:>9,}  {steps_per_second:>9,.0f}  {ratio:>9.1%}"


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


def table(result: dict[str, Any], substeps: int) -> str:
    """The figures as a table.

    Args:
        result: of training.throughput.measure.
        substeps: physics steps per environment step.
    """
    each = result["microseconds"]
    rows = [f"{name:<9}{share:>7.1%}{each[name]:>14.1f}" for name, share in result["share"].items()]
    on = f"{result['threads']} thread{'s' if result['threads'] > 1 else ''}"
    return "\n".join(
        [
            f"\n{'':<9}{'share':>7}{'us per step':>14}",
            *rows,
            f"{'all':<9}{'100.0%':>7}{sum(each.values()):>14.1f}\n",
            f"learning  {result['steps_per_second']:>9,.0f} environment steps/s",
            f"bare      {result['bare_steps_per_second']:>9,.0f} environment steps/s, which is "
            f"{substeps} x mj_step alone, {on}",
            f"ratio     {result['ratio']:>9.1%}",
        ]
    )


if __name__ == "__main__":
    run("bench", job)
