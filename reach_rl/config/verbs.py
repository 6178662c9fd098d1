"""The verbs of the command line that read a configuration: schema, rules and help of each."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Le

from reach_rl.config.fields import Count, Integer, NotNegative, Positive, Seed, Whole, strict
from reach_rl.config.problems import Problem
from reach_rl.config.schema import Config, RobotConfig, TaskConfig, VecEnvKind

if TYPE_CHECKING:
    from reach_rl.config.composition import Composer


class Viewer(StrEnum):
    """Where a policy is played with."""

    BROWSER = "browser"
    NATIVE = "native"


class ExportFormat(StrEnum):
    """What export writes."""

    ONNX = "onnx"
    SB3 = "sb3"
    HUB = "hub"


@strict
class EvaluateConfig:
    """A judgement of a trained policy, of several, or of a bundle on held-out goals."""

    run: str | None
    runs: list[str]
    bundle: str | None
    goals: Count
    seed: Seed
    out: str | None
    checkpoint: str
    task: TaskConfig | None
    servo_lag: Positive | None
    yardstick: bool
    robustness: bool
    robustness_goals: Count
    video: bool
    threads: Whole
    progress: bool


@strict
class ExportConfig:
    """A policy in a folder that others can use."""

    run: str
    format: ExportFormat
    out: str | None
    checkpoint: str
    servo_lag: Positive | None
    goals: Whole
    seed: Seed
    threads: Whole


@strict
class BenchConfig(Config):
    """A measurement of throughput: a run's configuration and what to measure."""

    seconds: Positive
    n_envs: Count | None
    tune: bool
    tune_seconds: Positive
    write: str | None
    out: str | None


@strict
class PlayConfig:
    """A policy on a page, or in MuJoCo's own window."""

    run: str | None
    robot: RobotConfig | None
    checkpoint: str
    viewer: Viewer
    host: str
    port: Annotated[Integer, Ge(1), Le(65535)]
    token: str | None
    seed: Seed


@strict
class ReportConfig:
    """A page about runs or a sweep."""

    path: Any  # a folder, or a list of folders
    out: str | None
    video_mb: NotNegative


@strict
class DashboardConfig:
    """A W&B workspace."""

    entity: str | None
    project: str
    name: str
    dry_run: bool
    out: str | None


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb: its schema, rules, and the words of its help."""

    name: str
    schema: type
    summary: str
    keys: tuple[str, ...]
    examples: tuple[tuple[str, str], ...]
    rules: Callable[[Any], list[Problem]] = lambda _config: []
    file_rules: Callable[[Any, "Composer"], list[Problem]] = lambda _config, _composer: []
    makes_run: bool = False


def _train_rules(config: Config) -> list[Problem]:
    from reach_rl.config.rules import rules

    return rules(config)


def _train_file_rules(config: Config, composer: "Composer") -> list[Problem]:
    from reach_rl.config.rules import file_rules

    return file_rules(config, composer.options("task"))


def _evaluate_rules(config: EvaluateConfig) -> list[Problem]:
    from reach_rl.config.rules import task_rules

    problems = task_rules(config) if config.task is not None else []
    given = [key for key in ("run", "runs", "bundle") if getattr(config, key)]
    if not given:
        text = "nothing to judge; try run=DIR, runs=[DIR,DIR] or bundle=DIR"
        problems.append(Problem("run", config.run, text))
    for extra in given[1:]:
        text = f"{given[0]} is given too; give one of them"
        problems.append(Problem(extra, getattr(config, extra), text))
    if config.robustness and given and given[0] != "run":
        text = f"sweeps one run, not {given[0]}; give run=DIR"
        problems.append(Problem("robustness", True, text))
    if config.video and given and given[0] != "run":
        problems.append(Problem("video", True, f"films one run, not {given[0]}; give run=DIR"))
    return problems


def _evaluate_file_rules(config: EvaluateConfig, _composer: "Composer") -> list[Problem]:
    from reach_rl.config.rules import bundle_rules, out_rules, run_rules

    problems = out_rules(config.out, "evaluation.json")
    if config.bundle is not None:
        return [*bundle_rules(config.bundle), *problems]
    folders = [config.run] if config.run else config.runs
    return [*(p for folder in folders for p in run_rules(folder, config.checkpoint)), *problems]


def _bench_rules(config: BenchConfig) -> list[Problem]:
    problems = _train_rules(config)
    if config.tune and config.vec_env.kind is not VecEnvKind.BATCH:
        kind = config.vec_env.kind.value
        text = f"tunes one batch of environments, not vec_env={kind}; try vec_env=batch"
        problems.append(Problem("tune", True, text))
    if config.write is not None and not config.tune:
        text = "is for what tune=true finds; add tune=true"
        problems.append(Problem("write", config.write, text))
    return problems


def _bench_file_rules(config: BenchConfig, composer: "Composer") -> list[Problem]:
    from reach_rl.config.rules import out_rules

    return [*_train_file_rules(config, composer), *out_rules(config.out, "bench.json")]


def _run_file_rules(config: ExportConfig | PlayConfig, _composer: "Composer") -> list[Problem]:
    from reach_rl.config.rules import run_rules

    return [] if config.run is None else run_rules(config.run, config.checkpoint)


def _report_rules(config: ReportConfig) -> list[Problem]:
    path = config.path
    if isinstance(path, str) and path:
        return []
    if isinstance(path, list) and path and all(isinstance(item, str) and item for item in path):
        return []
    return [Problem("path", path, "must be a folder, or folders as in path=[A,B,C]")]


def _report_file_rules(config: ReportConfig, _composer: "Composer") -> list[Problem]:
    from reach_rl.config.rules import out_rules

    return out_rules(config.out, "report.html")


def _dashboard_rules(config: DashboardConfig) -> list[Problem]:
    problems = []
    if config.entity is None and not config.dry_run:
        text = "whose project is it? give entity=NAME, or dry_run=true to see what would be built"
        problems.append(Problem("entity", None, text))
    if config.out is not None and not config.dry_run:
        text = "is for dry_run only; add dry_run=true"
        problems.append(Problem("out", config.out, text))
    return problems


TRAIN = Verb(
    name="train",
    schema=Config,
    summary="Train a policy that brings a robot arm's tool to full poses and holds it there.",
    keys=(
        "seed",
        "total_timesteps",
        "run_dir",
        "resume",
        "vec_env.n_envs",
        "vec_env.threads",
        "ppo.learning_rate",
        "ppo.n_steps",
        "ppo.batch_size",
        "ppo.n_epochs",
        "ppo.gamma",
        "task.position_threshold",
        "task.orientation_threshold",
        "task.hold_time",
    ),
    examples=(
        ("", "a UR5e, in minutes"),
        ("robot=ur10e ppo.learning_rate=3e-4 seed=1", "another arm"),
        ("experiment=notes total_timesteps=500000", "classic interface"),
        ("-m robot=ur3e,ur5e seed=1,2,3", "six runs"),
        ("run_dir=runs/mine resume=auto", "go on with it"),
    ),
    rules=_train_rules,
    file_rules=_train_file_rules,
    makes_run=True,
)

EVALUATE = Verb(
    name="evaluate",
    schema=EvaluateConfig,
    summary="Judge a trained policy on goals that it has never seen.",
    keys=(
        "run",
        "runs",
        "bundle",
        "goals",
        "seed",
        "out",
        "checkpoint",
        "servo_lag",
        "yardstick",
        "robustness",
        "threads",
        "progress",
    ),
    examples=(
        ("run=DIR", "beside inverse kinematics"),
        ("run=DIR goals=10000 seed=8", "more goals, other goals"),
        ("run=DIR task=near", "goals of another region"),
        ("runs=[DIR,DIR]", "is it more than noise"),
        ("run=DIR robustness=true", "on arms that differ"),
        ("run=DIR servo_lag=0.03", "on stiffer servos"),
        ("bundle=DIR", "what export has written"),
        ("run=DIR out=result.json", "the figures in a file"),
    ),
    rules=_evaluate_rules,
    file_rules=_evaluate_file_rules,
)

EXPORT = Verb(
    name="export",
    schema=ExportConfig,
    summary="Write a policy into a folder to deploy, to share or to train on with SB3.",
    keys=("run", "format", "out", "checkpoint", "servo_lag", "goals"),
    examples=(
        ("run=DIR", "a bundle to deploy"),
        ("run=DIR servo_lag=0.03", "for stiffer servos"),
        ("run=DIR checkpoint=latest", "the newest policy"),
        ("run=DIR format=sb3", "for Stable-Baselines3"),
        ("run=DIR format=hub", "for the Hugging Face hub"),
    ),
    file_rules=_run_file_rules,
)

BENCH = Verb(
    name="bench",
    schema=BenchConfig,
    summary="Measure throughput: environment steps per second and where the time goes.",
    keys=("seconds", "n_envs", "vec_env.threads", "torch_threads", "tune", "write", "out"),
    examples=(
        ("", "the default configuration"),
        ("n_envs=64", "with 64 environments"),
        ("vec_env=subproc", "one process per environment"),
        ("experiment=notes", "the classic settings"),
        ("seconds=30", "steadier figures"),
        ("tune=true", "good sizes for this machine"),
        ("tune=true write=my_conf", "and keep them as a preset"),
    ),
    rules=_bench_rules,
    file_rules=_bench_file_rules,
)

PLAY = Verb(
    name="play",
    schema=PlayConfig,
    summary="Play with a policy in the browser: drag the goal, push the arm, see it follow.",
    keys=("run", "robot", "checkpoint", "viewer", "host", "port", "token", "seed"),
    examples=(
        ("", "a policy that ships"),
        ("robot=ur10e", "another shipped arm"),
        ("run=DIR", "what you trained"),
        ("run=DIR viewer=native", "in MuJoCo's own window"),
        ("run=DIR host=0.0.0.0 token=auto", "seen from other machines"),
    ),
    file_rules=_run_file_rules,
)

REPORT = Verb(
    name="report",
    schema=ReportConfig,
    summary="Put a run, several runs or a sweep on one HTML page that needs no network.",
    keys=("path", "out", "video_mb"),
    examples=(
        ("path=DIR", "a run, into its folder"),
        ("path=DIR out=run.html", "into another file"),
        ("path=[A,B,C]", "several runs, such as seeds"),
        ("path=multirun/DATE/TIME", "all runs of a multirun"),
        ("path=SWEEP", "a sweep, from its study"),
    ),
    rules=_report_rules,
    file_rules=_report_file_rules,
)

DASHBOARD = Verb(
    name="dashboard",
    schema=DashboardConfig,
    summary="Build the W&B workspace of the project, from the catalogue of its metrics.",
    keys=("entity", "project", "name", "dry_run", "out"),
    examples=(
        ("entity=NAME", "in the project reach_rl"),
        ("entity=NAME project=arms", "in another project"),
        ("entity=NAME name=precise", "under another name"),
        ("dry_run=true", "only show it"),
        ("dry_run=true out=w.json", "into a file"),
    ),
    rules=_dashboard_rules,
)

VERBS: dict[str, Verb] = {
    verb.name: verb for verb in (TRAIN, EVALUATE, EXPORT, BENCH, PLAY, REPORT, DASHBOARD)
}
