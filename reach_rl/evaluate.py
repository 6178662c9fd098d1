"""Judge a trained policy on held-out goals: python -m reach_rl.evaluate run=DIR."""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reach_rl.cli.front_door import run
from reach_rl.config.problems import ConfigError, show
from reach_rl.config.validation import to_tree
from reach_rl.config.verbs import EvaluateConfig
from reach_rl.rundir.resume import changes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from reach_rl.config.schema import Config
    from reach_rl.evaluation.protocol import Driver, Evaluation, Policy
    from reach_rl.evaluation.recording import Watcher
    from reach_rl.mdp.goals import Goals
    from reach_rl.robots import RobotModel
    from reach_rl.training.snapshot import TrainedPolicy

YARDSTICK = "yardstick"


def main() -> None:
    """Evaluate as the command line says, and exit."""
    run("evaluate", job)


def job(wanted: EvaluateConfig) -> dict[str, Any]:
    """Evaluate, print the tables and write the figures; returns them.

    Raises:
        ConfigError: the run or its checkpoint is not fit.
    """
    from reach_rl.monitoring.terminal import open_console
    from reach_rl.rundir import atomic

    out = None if wanted.out is None else Path(wanted.out)
    judge = Judge(wanted, open_console())
    if wanted.runs:
        figures = judge.several()
    elif wanted.bundle is not None:
        figures = judge.bundle(Path(wanted.bundle))
    else:
        figures = judge.one(out)
    if out is not None:
        atomic.write_atomic(out, atomic.json_text(figures))
        judge.say(f"figures in {out}")
    return figures


class Judge:
    """What was asked for, and who is told."""

    def __init__(self, wanted: EvaluateConfig, console: "Console") -> None:
        """Judge as wanted; tables go to the console."""
        from reach_rl.envs.vec_env import threads_of

        self.wanted = wanted
        self.console = console
        self.threads = threads_of(wanted.threads)

    def say(self, text: str) -> None:
        """A line, never cut or taken for markup."""
        self.console.print(text, markup=False, soft_wrap=True)

    def one(self, out: Path | None) -> dict[str, Any]:
        """A run's policy, beside the yardstick where that is wanted."""
        from reach_rl.training.snapshot import load
        from reach_rl.viz.video.filming import film_judgement, tracks

        trained = load(Path(self.wanted.run or ""), self.wanted.checkpoint, self.say)
        subject = trained.on(self.wanted.task, self.wanted.servo_lag)
        robot, goals = self._scene(subject.config)
        watched = tracks()
        watcher = watched if self.wanted.video else None
        result = self.judge(subject.policy, subject.config, robot, goals, watcher=watcher)
        summary = result.summary(subject.folder.name)
        summary |= self._differing(trained.config, subject.config)
        self._show(summary, self._yardstick(subject.config, robot, goals))
        if self.wanted.robustness:
            self._robustness(subject, robot, goals, summary, out)
        if self.wanted.video:
            steps = int(str(subject.saved.progress["num_timesteps"]))
            film_judgement(subject.config, subject.run, steps, self.wanted.seed, watched, self.say)
        return summary

    def bundle(self, folder: Path) -> dict[str, Any]:
        """What export has written, through the protocol."""
        from reach_rl.config.load import load_run
        from reach_rl.deploy.bundle import Bundle, BundleError
        from reach_rl.evaluation.drivers import make_driver

        try:
            bundle = Bundle(folder)
        except BundleError as error:
            raise ConfigError(f"bundle={folder}: {error}") from error
        config = load_run(folder)
        if config.robot.mjcf is not None:  # in the bundle; those before 0.2.0 name a whole path
            own = str((folder / config.robot.mjcf).absolute())
            config = replace(config, robot=replace(config.robot, mjcf=own))
        trained = config
        task = self.wanted.task or config.task
        if (task.physics_step, task.substeps) != (config.task.physics_step, config.task.substeps):
            raise ConfigError(
                f"task.substeps={task.substeps}: the bundle gives targets for "
                f"{config.task.substeps} physics steps of {config.task.physics_step:g} s"
            )
        config = replace(
            config,
            task=task,
            robot=replace(config.robot, servo_lag=self.wanted.servo_lag or config.robot.servo_lag),
        )
        robot, goals = self._scene(config)
        config, driver = make_driver("bundle", config, robot, bundle)
        result = self.judge(driver, config, robot, goals)
        summary = result.summary(bundle.contract.checkpoint)
        summary |= self._differing(trained, config)
        self._show(summary, self._yardstick(config, robot, goals))
        return summary

    def several(self) -> dict[str, Any]:
        """Runs on the same goals, and whether they differ by more than noise."""
        from reach_rl.evaluation.comparison import compare, labels
        from reach_rl.monitoring.tables import evaluation_table
        from reach_rl.training.snapshot import load

        names = labels(self.wanted.runs)
        subjects = [
            load(Path(folder), self.wanted.checkpoint, self.say) for folder in self.wanted.runs
        ]
        task = self.wanted.task or subjects[0].config.task
        evaluations: dict[str, Evaluation] = {}
        differing: dict[str, dict[str, Any]] = {}
        for name, trained in zip(names, subjects, strict=True):
            subject = trained.on(task, self.wanted.servo_lag)
            differing[name] = self._differing(trained.config, subject.config, f"{name}: ")
            robot, goals = self._scene(subject.config)
            label = f"evaluate {name}"
            evaluations[name] = self.judge(subject.policy, subject.config, robot, goals, label)
        summaries = {
            name: evaluation.summary(subject.folder.name) | differing[name]
            for (name, evaluation), subject in zip(evaluations.items(), subjects, strict=True)
        }
        comparison = compare(evaluations)
        self.console.print(evaluation_table(summaries, f"{task.region.name}, the same goals"))
        for pair in comparison["pairs"]:
            self.say(f"\n{pair['second']} against {pair['first']}")
            for sentence in pair["words"]:
                self.say(f"  {sentence}")
        self.say("\nThis compares these policies; how recipes differ takes several seeds of each.")
        return {"runs": summaries, **comparison}

    def _differing(self, trained: "Config", judged: "Config", who: str = "") -> dict[str, Any]:
        """Say what the judgement has otherwise than training, and return it for the figures."""
        pairs = dict(changes(to_tree(trained), to_tree(judged)))
        if not pairs:
            return {}
        words = ", ".join(
            f"{key}={show(new)} (was {show(old)})" for key, (old, new) in pairs.items()
        )
        self.say(f"{who}differs from training: {words}")
        found = {key: {"trained": old, "judged": new} for key, (old, new) in pairs.items()}
        return {"differs_from_training": found}

    def _scene(self, config: "Config") -> "tuple[RobotModel, Goals]":
        from reach_rl.evaluation.protocol import held_out_goals
        from reach_rl.robots import load_robot

        robot = load_robot(config.robot, config.task.physics_step)
        return robot, held_out_goals(
            config, robot, self.wanted.goals, self.wanted.seed, self.threads
        )

    def judge(
        self,
        driver: "Driver | Policy",
        config: "Config",
        robot: "RobotModel",
        goals: "Goals",
        label: str = "evaluate",
        watcher: "Watcher | None" = None,
    ) -> "Evaluation":
        """One driver through the protocol, with a bar."""
        import torch

        from reach_rl.evaluation.protocol import evaluate
        from reach_rl.evaluation.recording import NOBODY

        torch.manual_seed(self.wanted.seed)  # evaluation.deterministic=false samples
        with self._bar(len(goals) * config.task.episode_steps, label) as progress:
            return evaluate(
                driver,
                config,
                goals,
                threads=self.threads,
                robot=robot,
                seed=self.wanted.seed,
                progress=progress,
                watcher=watcher or NOBODY,
            )

    @contextmanager
    def _bar(self, steps: int, label: str) -> "Iterator[Callable[[int, float], None]]":
        from reach_rl.monitoring.terminal import Progress

        with Progress(steps, self.wanted.progress, self.console, label=label) as progress:
            yield progress.update

    def _yardstick(
        self, config: "Config", robot: "RobotModel", goals: "Goals"
    ) -> dict[str, Any] | None:
        from reach_rl.evaluation.drivers import make_driver

        if not self.wanted.yardstick:
            return None
        there, driver = make_driver("ik", config, robot)
        summary = self.judge(driver, there, robot, goals, YARDSTICK).summary(None)
        known = {k: v for k, v in summary.items() if k != "checkpoint"}
        return {"name": YARDSTICK, "knows": driver.knows, **known}

    def _robustness(
        self,
        subject: "TrainedPolicy",
        robot: "RobotModel",
        goals: "Goals",
        summary: dict[str, Any],
        out: Path | None,
    ) -> None:
        """Sweep, tell, and write robustness.json and robustness.png."""
        from reach_rl.evaluation import perturbations
        from reach_rl.monitoring.tables import robustness_table
        from reach_rl.robots.family import rated_payload
        from reach_rl.rundir import atomic
        from reach_rl.viz import plots

        config = subject.config
        goals = perturbations.some(goals, self.wanted.robustness_goals)
        factors = perturbations.factors(
            perturbations.nominal(config), robot, rated_payload(robot.name)
        )
        points = sum(len(factor.values) for factor in factors)
        with self._bar(points * len(goals) * config.task.episode_steps, "robustness") as progress:
            found = perturbations.sweep(
                subject.policy,
                config,
                robot,
                goals,
                factors,
                threads=self.threads,
                seed=self.wanted.seed,
                progress=progress,
            )
        summary["robustness"] = found
        self.console.print(robustness_table(found))
        for sentence in perturbations.weak_spots(found):
            self.say(sentence)
        picture = subject.run / "robustness.png" if out is None else out.with_suffix(".png")
        title = f"{robot.name}, {subject.folder.name}: success on {len(goals):,} goals"
        plots.robustness(found, picture, title)
        if out is None:
            table = subject.run / "robustness.json"
            atomic.write_json(table, {"checkpoint": subject.folder.name, **found})
            self.say(f"figures in {table}")
        self.say(f"plot in {picture}")

    def _show(self, summary: dict[str, Any], yardstick: dict[str, Any] | None) -> None:
        """Print the tables; the yardstick becomes part of the summary."""
        from reach_rl.monitoring.tables import by_region, evaluation_table, worst_goals

        columns = {summary["region"]: summary}
        others: dict[str, Any] = {}
        if yardstick is not None:
            others = {yardstick["name"]: yardstick}
            columns = {"policy": summary, **others}
            summary["yardstick"] = {k: v for k, v in yardstick.items() if k != "worst"}
        title = f"{summary['robot']}, {summary['region']}, {summary['checkpoint']}"
        for table in (evaluation_table(columns, title), by_region(summary, others)):
            self.console.print(table)
        self.console.print(worst_goals(summary))
        if yardstick is not None:
            self.say(f"the {yardstick['name']}, inverse kinematics, knows {yardstick['knows']}")


if __name__ == "__main__":
    main()
