"""Judge a trained policy on held-out goals: python -m reach_rl.evaluate run=DIR."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reach_rl import CallableVerb
from reach_rl.cli.front_door import run
from reach_rl.config.problems import ConfigError, show
from reach_rl.config.validation import to_tree
from reach_rl.config.verbs import EvaluateConfig
from reach_rl.rundir.resume import changes

if TYPE_CHECKING:
    from reach_rl.config.schema import Config
    from reach_rl.evaluation.protocol import Driver, Policy
    from reach_rl.evaluation.recording import Watcher
    from reach_rl.evaluation.result import Evaluation
    from reach_rl.mdp.goals import Goals
    from reach_rl.monitoring.terminal import Progress, TeeConsole
    from reach_rl.robots import RobotModel
    from reach_rl.training.snapshot import TrainedPolicy

    Scene = tuple[RobotModel, Goals]

YARDSTICK = "yardstick"


def job(wanted: EvaluateConfig) -> dict[str, Any]:
    """Evaluate, print the tables and write the figures; returns them.

    Raises:
        ConfigError: the run or its checkpoint is not fit.
    """
    from reach_rl.monitoring.terminal import TeeConsole
    from reach_rl.rundir.atomic import write_json

    judge = Judge(wanted, TeeConsole())
    if wanted.runs:
        figures = judge.several()
    else:
        figures = judge.one() if wanted.bundle is None else judge.bundle(Path(wanted.bundle))
    if wanted.out is not None:
        write_json(Path(wanted.out), figures)
        judge.say(f"figures in {wanted.out}")
    return figures


class Judge:
    """What was asked for, and who is told."""

    def __init__(self, wanted: EvaluateConfig, console: "TeeConsole") -> None:
        """Judge as wanted; tables go to the console."""
        from reach_rl.envs.vec_env import threads_of

        self.wanted = wanted
        self.console = console
        self.threads = threads_of(wanted.threads)

    def say(self, text: str) -> None:
        """A line, never cut or taken for markup."""
        self.console.print(text, markup=False, soft_wrap=True)

    def one(self) -> dict[str, Any]:
        """A run's policy, beside the yardstick where that is wanted."""
        from reach_rl.evaluation.recording import Tracks
        from reach_rl.training.snapshot import load
        from reach_rl.viz.films import film_judgement

        trained = load(Path(self.wanted.run or ""), self.wanted.checkpoint, self.say)
        subject = trained.on(self.wanted.task, self.wanted.servo_lag)
        config, scene = subject.config, self._scene(subject.config)
        watcher = Tracks(fixed=2, worst=2) if self.wanted.video else None
        result = self.judge(subject.policy, config, scene, watcher=watcher)
        summary = result.summary(subject.folder.name) | self._differing(trained.config, config)
        self._show(summary, config, scene)
        if self.wanted.robustness:
            summary["robustness"] = self._robustness(subject, scene)
        if watcher is not None:
            steps = int(str(subject.saved.progress["num_timesteps"]))
            film_judgement(config, subject.run, steps, self.wanted.seed, watcher, self.say)
        return summary

    def bundle(self, folder: Path) -> dict[str, Any]:
        """What export has written, through the protocol."""
        from reach_rl.config.load import load_run
        from reach_rl.deploy.bundle import Bundle, BundleError
        from reach_rl.evaluation.drivers import BundleDriver

        try:
            bundle = Bundle(folder)
        except BundleError as error:
            raise ConfigError(f"bundle={folder}: {error}") from error
        trained = load_run(folder, self.say)
        if trained.robot.mjcf is not None:  # in the bundle; those before 0.2.0 name a whole path
            own = str((folder / trained.robot.mjcf).absolute())
            trained = replace(trained, robot=replace(trained.robot, mjcf=own))
        task = self.wanted.task or trained.task
        if (task.physics_step, task.substeps) != (trained.task.physics_step, trained.task.substeps):
            raise ConfigError(
                f"task.substeps={task.substeps}: the bundle gives targets for "
                f"{trained.task.substeps} physics steps of {trained.task.physics_step:g} s"
            )
        lag = self.wanted.servo_lag or trained.robot.servo_lag
        config = replace(trained, task=task, robot=replace(trained.robot, servo_lag=lag))
        scene = self._scene(config)
        result = self.judge(BundleDriver(bundle), config, scene)
        summary = result.summary(bundle.contract.checkpoint) | self._differing(trained, config)
        self._show(summary, config, scene)
        return summary

    def several(self) -> dict[str, Any]:
        """Runs on the same goals, and whether they differ by more than noise."""
        from reach_rl.evaluation.comparison import compare, labels
        from reach_rl.monitoring.tables import evaluation_table
        from reach_rl.training.snapshot import load

        runs = self.wanted.runs
        loaded = [load(Path(run), self.wanted.checkpoint, self.say) for run in runs]
        task = self.wanted.task or loaded[0].config.task
        evaluations: dict[str, Evaluation] = {}
        summaries: dict[str, dict[str, Any]] = {}
        for name, trained in zip(labels(runs), loaded, strict=True):
            subject = trained.on(task, self.wanted.servo_lag)
            differing = self._differing(trained.config, subject.config, f"{name}: ")
            scene, label = self._scene(subject.config), f"evaluate {name}"
            evaluations[name] = self.judge(subject.policy, subject.config, scene, label)
            summaries[name] = evaluations[name].summary(subject.folder.name) | differing
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
        words = [f"{key}={show(new)} (was {show(old)})" for key, (old, new) in pairs.items()]
        self.say(f"{who}differs from training: {', '.join(words)}")
        found = {key: {"trained": old, "judged": new} for key, (old, new) in pairs.items()}
        return {"differs_from_training": found}

    def _scene(self, config: "Config") -> "Scene":
        from reach_rl.evaluation.protocol import held_out_goals
        from reach_rl.robots import load_robot

        robot = load_robot(config.robot, config.task.physics_step)
        count, seed = self.wanted.goals, self.wanted.seed
        return robot, held_out_goals(config, robot, count, seed, self.threads)

    def judge(
        self,
        driver: "Driver | Policy",
        config: "Config",
        scene: "Scene",
        label: str = "evaluate",
        watcher: "Watcher | None" = None,
    ) -> "Evaluation":
        """One driver through the protocol, with a bar."""
        import torch

        from reach_rl.evaluation.protocol import evaluate
        from reach_rl.evaluation.recording import NOBODY

        robot, goals = scene
        torch.manual_seed(self.wanted.seed)  # evaluation.deterministic=false samples
        with self._bar(len(goals) * config.task.episode_steps, label) as bar:
            return evaluate(
                driver,
                config,
                goals,
                threads=self.threads,
                robot=robot,
                seed=self.wanted.seed,
                progress=bar.update,
                watcher=watcher or NOBODY,
            )

    def _bar(self, steps: int, label: str) -> "Progress":
        from reach_rl.monitoring.terminal import Progress

        return Progress(steps, self.wanted.progress, self.console, label=label)

    def _robustness(self, subject: "TrainedPolicy", scene: "Scene") -> dict[str, Any]:
        """Sweep, tell, and write robustness.json and robustness.png."""
        from reach_rl.evaluation import perturbations
        from reach_rl.monitoring.tables import robustness_table
        from reach_rl.robots.family import own_arm
        from reach_rl.rundir.atomic import write_json
        from reach_rl.viz import plots

        (robot, goals), config = scene, subject.config
        goals = perturbations.some(goals, self.wanted.robustness_goals)
        arm = own_arm(robot.name)
        payload = float(arm.numbers["spec"]["payload_kg"]) if arm else None
        factors = perturbations.factors(perturbations.nominal(config), robot, payload)
        points = sum(len(factor.values) for factor in factors)
        with self._bar(points * len(goals) * config.task.episode_steps, "robustness") as bar:
            found = perturbations.sweep(
                subject.policy,
                config,
                robot,
                goals,
                factors,
                threads=self.threads,
                seed=self.wanted.seed,
                progress=bar.update,
            )
        self.console.print(robustness_table(found))
        for sentence in perturbations.weak_spots(found):
            self.say(sentence)
        table = Path(self.wanted.out or subject.run / "robustness.json")
        title = f"{robot.name}, {subject.folder.name}: success on {len(goals):,} goals"
        plots.robustness(found, table.with_suffix(".png"), title)
        if self.wanted.out is None:
            write_json(table, {"checkpoint": subject.folder.name, **found})
            self.say(f"figures in {table}")
        self.say(f"plot in {table.with_suffix('.png')}")
        return found

    def _show(self, summary: dict[str, Any], config: "Config", scene: "Scene") -> None:
        """Print the tables; the yardstick, where it is wanted, becomes part of the summary."""
        from reach_rl.monitoring.tables import by_region, evaluation_table, worst_goals

        drivers = {YARDSTICK: "ik"} if self.wanted.yardstick else {}
        drivers |= {name: name for name in self.wanted.yardsticks}
        judged = {label: self._driven(d, config, scene, label) for label, d in drivers.items()}
        others = {label: figures for label, (_, figures) in judged.items()}
        columns = {"policy": summary, **others} if others else {summary["region"]: summary}
        told = {
            label: {"name": label, "knows": knows}
            | {key: v for key, v in figures.items() if key not in ("checkpoint", "worst")}
            for label, (knows, figures) in judged.items()
        }
        if self.wanted.yardstick:
            summary["yardstick"] = told[YARDSTICK]
        if self.wanted.yardsticks:
            summary["drivers"] = {name: told[name] for name in self.wanted.yardsticks}
        title = f"{summary['robot']}, {summary['region']}, {summary['checkpoint']}"
        for table in (evaluation_table(columns, title), by_region(summary, others)):
            self.console.print(table)
        self.console.print(worst_goals(summary))
        for label, (knows, _) in judged.items():
            what = f"the {label}, inverse kinematics," if label == YARDSTICK else label
            self.say(f"{what} knows {knows or 'what is observed'}")

    def _driven(self, name: str, config: "Config", scene: "Scene", label: str) -> tuple[str, Any]:
        """What a yardstick knows, and its figures on the same goals."""
        from reach_rl.extend import entries

        there, driver = entries("driver")[name](config, scene[0])
        return driver.knows, self.judge(driver, there, scene, label).summary()


if __name__ == "__main__":
    run("evaluate", job)
else:
    sys.modules[__name__].__class__ = CallableVerb  # it is reach_rl.evaluate(run) too
