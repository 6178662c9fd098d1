"""The verbs of the command line that read a configuration: schema, rules and help of each."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import reduce
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Le

from reach_rl.config.fields import Count, Integer, Name, NotNegative, Positive, Seed, Whole, strict
from reach_rl.config.problems import NOTHING, Problem
from reach_rl.config.rules import (
    FILES,
    PPO,
    RULES,
    TASK,
    Broken,
    Check,
    FileCheck,
    bundle_file,
    out_file,
    run_file,
)
from reach_rl.config.schema import Config, RobotConfig, TaskConfig, VecEnvKind

if TYPE_CHECKING:
    from reach_rl.config.composition import Composer


Viewer = StrEnum("Viewer", "BROWSER NATIVE")
"""Where a policy is played with."""
ExportFormat = StrEnum("ExportFormat", "ONNX ONNX_OBSERVATION SB3 HUB")
"""What export writes."""


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
    yardsticks: list[Annotated[str, Name("driver")]]
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
    """A verb: its schema and its rules; its words are at the top of conf/<name>.yaml."""

    name: str
    schema: type
    checks: tuple[Check, ...] = ()
    file_checks: tuple[FileCheck, ...] = ()
    """They hold where the verb runs."""
    makes_run: bool = False

    def rules(self, config: Any, *composer: "Composer") -> list[Problem]:  # noqa: ANN401
        """Every broken rule of a typed configuration; with a composer, those about files alone."""
        found = []
        checks: Any = self.file_checks if composer else self.checks
        for key, text in (broken for check in checks for broken in check(config, *composer)):
            value = reduce(lambda node, name: getattr(node, name, NOTHING), key.split("."), config)
            many = isinstance(value, Mapping) or key == "curriculum.stages"
            found.append(Problem(key, NOTHING if many else value, text))
        return found


def _evaluate(c: EvaluateConfig) -> Broken:
    for check in TASK if c.task is not None else ():
        yield from check(c)
    given = [key for key in ("run", "runs", "bundle") if getattr(c, key)]
    if not given:
        yield "run", "nothing to judge; try run=DIR, runs=[DIR,DIR] or bundle=DIR"
    for extra in given[1:]:
        yield extra, f"{given[0]} is given too; give one of them"
    if "bundle" in c.yardsticks:
        yield "yardsticks", "a bundle is no yardstick; judge it with bundle=DIR"
    for key in ("robustness", "video"):
        if getattr(c, key) and given and given[0] != "run":
            yield key, f"is for one run, not {given[0]}; give run=DIR"


def _subjects(c: EvaluateConfig, _: object) -> Broken:
    if c.bundle is not None:
        yield from bundle_file(c.bundle)
    elif c.run:
        yield from run_file(c.run, c.checkpoint)
    for folder in c.runs if not (c.bundle or c.run) else ():
        yield from (("runs", f"{folder}: {why}") for _, why in run_file(folder, "latest"))


def _bench(c: BenchConfig) -> Broken:
    if c.tune and c.vec_env.kind is not VecEnvKind.BATCH:
        kind = c.vec_env.kind.value
        yield "tune", f"tunes one batch of environments, not vec_env={kind}; try vec_env=batch"
    if c.write is not None and not c.tune:
        yield "write", "is for what tune=true finds; add tune=true"


def _run(c: ExportConfig | PlayConfig, _: object) -> Broken:
    if c.run is not None:
        yield from run_file(c.run, c.checkpoint)


def _report(c: ReportConfig) -> Broken:
    paths = c.path if isinstance(c.path, list) else [c.path]
    if not paths or not all(isinstance(path, str) and path for path in paths):
        yield "path", "must be a folder, or folders as in path=[A,B,C]"


def _dashboard(c: DashboardConfig) -> Broken:
    if c.entity is None and not c.dry_run:
        better = "give entity=NAME, or dry_run=true to see what would be built"
        yield "entity", f"whose project is it? {better}"
    if c.out is not None and not c.dry_run:
        yield "out", "is for dry_run only; add dry_run=true"


TRAIN = Verb("train", Config, RULES, FILES, makes_run=True)
ANY_LEARNER = replace(TRAIN, checks=tuple(check for check in RULES if check not in PPO))
"""The same for who brings a learner of his own."""
VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        TRAIN,
        Verb("evaluate", EvaluateConfig, (_evaluate,), (_subjects, out_file("evaluation.json"))),
        Verb("export", ExportConfig, (), (_run,)),
        Verb("bench", BenchConfig, (*RULES, _bench), (*FILES, out_file("bench.json"))),
        Verb("play", PlayConfig, (), (_run,)),
        Verb("report", ReportConfig, (_report,), (out_file("report.html"),)),
        Verb("dashboard", DashboardConfig, (_dashboard,)),
    )
}
