"""A run in its folder: records, status, signals, the verdict and the pictures around the learning."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from reach_rl.config.load import ConfigError, compose
from reach_rl.config.provenance import write_run_files
from reach_rl.config.schema import Config
from reach_rl.config.status import Status
from reach_rl.evaluation.protocol import Evaluation
from reach_rl.learning import files
from reach_rl.learning.run import Diverged, Run, judge
from reach_rl.learning.signals import Stop, listening
from reach_rl.monitoring.console import TeeConsole, open_console
from reach_rl.monitoring.record import Record, open_record
from reach_rl.monitoring.tables import evaluation_table
from reach_rl.viz import plots

DIVERGED = 3
"""Exit code of a run that was stopped because its numbers went bad."""


def train(config: Config, folder: Path) -> dict[str, Any] | int:
    """Train, judge and record one run.

    Args:
        config: the run.
        folder: its folder; made if missing.

    Returns:
        The figures of summary.json, or the exit code of a run that was stopped.

    Raises:
        ConfigError: the robot, the region or the checkpoint to go on from is not fit.
    """
    resuming = _resuming(config, folder)
    folder.mkdir(parents=True, exist_ok=True)
    status = Status(folder)
    status.set("running")
    console = open_console(folder / "train.log")
    try:
        run = Run(config, folder, console)
        if not resuming:
            write_run_files(folder, config)
            run.announce()
        else:
            run.resume()
        with (
            listening() as stop,
            open_record(
                folder,
                config,
                resume=resuming,
                step=run.model.num_timesteps,
                say=console.print,
            ) as record,
        ):
            return _learn_and_judge(run, record, stop, status)
    except ConfigError:
        raise
    except Diverged as error:
        console.print(f"stopped: {error}")
        status.set("diverged", str(error))
        return DIVERGED
    except BaseException as error:
        status.set("failed", f"{type(error).__name__}: {error}")
        raise
    finally:
        console.close()


def _resuming(config: Config, folder: Path) -> bool:
    """Whether to go on with what is in the folder.

    Raises:
        ConfigError: there is nothing to go on with.
    """
    if config.resume is None:
        return False
    there = (folder / "checkpoints" / "latest").is_file()
    if not there and config.resume != "auto":
        raise ConfigError(f"resume={config.resume}: no checkpoint in {folder}; try another folder")
    return there


def _learn_and_judge(
    run: Run, record: Record, stop: Stop, status: Status
) -> dict[str, Any] | int:
    run.learn(record, stop)
    if stop.signal is not None:
        run.console.print(
            f"stopped by {stop.name} at step {run.model.num_timesteps:,}; everything is saved; "
            f"go on with: python -m reach_rl.train resume={run.folder}"
        )
        status.set("stopped", stop.name)
        record.close(stop.exit_code)
        return stop.exit_code
    evaluations = _judge(run)
    summary = _summary(run, evaluations)
    files.replace_text(run.folder / "summary.json", files.as_json(summary))
    _show(run, evaluations, record)
    status.set("finished")
    return summary


def _judge(run: Run) -> dict[str, Evaluation]:
    """The best policy on held-out goals of its own region and of the others asked for."""
    config, best = run.config, run.best()
    evaluations: dict[str, Evaluation] = {}
    regions = dict.fromkeys([config.task.region.name, *config.evaluation.also])
    for region in regions:
        run.console.print(f"judging {best.name} on {config.evaluation.goals} goals of {region}")
        evaluations[region] = judge(best, _in_region(config, region), run.threads)
    return evaluations


def _in_region(config: Config, region: str) -> Config:
    """The run's task with the goals of another region."""
    if region == config.task.region.name:
        return config
    other = compose([f"task={region}", f"robot.name={config.robot.name}"]).task.region
    return replace(config, task=replace(config.task, region=other))


def _summary(run: Run, evaluations: dict[str, Evaluation]) -> dict[str, Any]:
    """What summary.json holds."""
    first, *rest = evaluations.items()
    seconds = run.marks.seconds
    return {
        "robot": run.config.robot.name,
        "seed": run.config.seed,
        "total_timesteps": run.model.num_timesteps,
        "wall_time_s": seconds,
        "steps_per_second": run.model.num_timesteps / seconds,
        "evaluation": first[1].summary(run.best().name),
        "also": {region: e.summary(run.best().name) for region, e in rest},
        "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _show(run: Run, evaluations: dict[str, Evaluation], record: Record) -> None:
    """Print the verdict and draw it."""
    console: TeeConsole = run.console  # type: ignore[assignment]
    summaries = {region: e.summary(run.best().name) for region, e in evaluations.items()}
    record.evaluation(run.model.num_timesteps, summaries)
    console.print(evaluation_table(summaries))
    console.print(
        f"trained {run.model.num_timesteps:,} steps in {run.marks.seconds:.1f} s "
        f"({run.model.num_timesteps / run.marks.seconds:,.0f} steps/s)"
    )
    if run.config.picture:
        _draw(run, evaluations)
    console.print(f"everything is in {run.folder}")


def _draw(run: Run, evaluations: dict[str, Evaluation]) -> None:
    """learning_curve.png and goals.png."""
    title = f"{run.config.robot.name}, {run.config.task.region.name}, seed {run.config.seed}"
    plots.learning_curve(run.folder / "metrics.jsonl", run.folder / "learning_curve.png", title)
    region, evaluation = next(iter(evaluations.items()))
    plots.goals(
        evaluation.goal_position,
        evaluation.success,
        run.folder / "goals.png",
        f"{run.config.robot.name}: held-out goals of {region}",
    )
