"""Judge a trained policy on held-out goals: python -m reach_rl.evaluate run=DIR."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reach_rl.config.app import run
from reach_rl.config.problems import ConfigError
from reach_rl.config.verbs import EvaluateConfig

if TYPE_CHECKING:
    from rich.console import Console

    from reach_rl.config.schema import Config
    from reach_rl.evaluation.protocol import Evaluation
    from reach_rl.learning.checkpoint import Checkpoint


def main() -> None:
    """Evaluate as the command line says, and exit."""
    run("evaluate", job)


def job(wanted: EvaluateConfig) -> dict[str, Any]:
    """Evaluate, print the tables and write the figures; returns them.

    Raises:
        ConfigError: the run, its checkpoint or the place for the figures is not fit.
    """
    from reach_rl.config.load import load_run
    from reach_rl.learning import checkpoint, files
    from reach_rl.monitoring.console import open_console

    out = _check_out(wanted.out)
    config = load_run(Path(wanted.run))
    folder = _folder(wanted)
    saved = checkpoint.read(folder)
    _check_fit(config, saved, folder)
    if wanted.task is not None:  # the observation keeps the key points that it was learned with
        offset = config.task.keypoint_offset
        config = replace(config, task=replace(wanted.task, keypoint_offset=offset))
    console = open_console()
    result = _judge(wanted, config, saved, console)
    summary = result.summary(folder.name)
    if out is not None:
        files.replace_text(out, files.as_json(summary))
    _show(summary, out, console)
    return summary


def _judge(
    wanted: EvaluateConfig, config: "Config", saved: "Checkpoint", console: "Console"
) -> "Evaluation":
    import torch

    from reach_rl.evaluation.protocol import evaluate, held_out_goals
    from reach_rl.learning.checkpoint import policy_of
    from reach_rl.learning.vec_envs import threads_of
    from reach_rl.monitoring.progress import Progress
    from reach_rl.robots import load_robot

    threads = threads_of(wanted.threads)
    torch.manual_seed(wanted.seed)  # evaluation.deterministic=false samples
    robot = load_robot(config.robot, config.task.physics_step)
    goals = held_out_goals(config, robot, wanted.goals, wanted.seed, threads)
    policy = policy_of(saved, deterministic=config.evaluation.deterministic)
    steps = wanted.goals * config.task.episode_steps
    with Progress(steps, wanted.progress, console, label="evaluate") as progress:
        return evaluate(
            policy,
            config,
            goals,
            threads=threads,
            robot=robot,
            seed=wanted.seed,
            progress=progress.update,
        )


def _folder(wanted: EvaluateConfig) -> Path:
    """The checkpoint's folder; a run without periodic evaluations has no best, only a latest."""
    from reach_rl.learning import checkpoint

    checkpoints = Path(wanted.run) / "checkpoints"
    alone = wanted.checkpoint == "best" and not (checkpoints / "best").is_file()
    return checkpoint.resolve(checkpoints, "latest" if alone else wanted.checkpoint)


def _check_fit(config: "Config", saved: "Checkpoint", folder: Path) -> None:
    """Raise a ConfigError if the policy was trained to see or to do something else."""
    for key, ours, theirs in (
        ("observation", config.observation, saved.config.observation),
        ("action", config.action, saved.config.action),
        ("robot.joints", config.robot.joints, saved.config.robot.joints),
    ):
        if ours != theirs:
            raise ConfigError(
                f"checkpoint={folder}: its {key} is not that of the run's config.yaml; "
                f"give run= the folder of the run that it comes from"
            )


def _check_out(out: str | None) -> Path | None:
    if out is None:
        return None
    path = Path(out)
    if path.is_dir():
        raise ConfigError(f"out={out}: is a folder; try out={path / 'evaluation.json'}")
    if not path.parent.is_dir():
        raise ConfigError(f"out={out}: there is no folder {path.parent}; make it first")
    return path


def _show(summary: dict[str, Any], out: Path | None, console: "Console") -> None:
    from reach_rl.evaluation.tables import by_region, failures, motion
    from reach_rl.monitoring.tables import evaluation_table

    title = f"{summary['robot']}, {summary['checkpoint']}"
    console.print(evaluation_table({summary["region"]: summary}, title))
    for table in (motion(summary), by_region(summary), failures(summary)):
        if table is not None:
            console.print(table)
            console.print()
    if out is not None:
        console.print(f"figures in {out}", soft_wrap=True)


if __name__ == "__main__":
    main()
