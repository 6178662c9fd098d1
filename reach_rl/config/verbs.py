"""The verbs of the command line that read a configuration: schema, rules and help of each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reach_rl.config.kinds import rule
from reach_rl.config.problems import Problem
from reach_rl.config.schema import Config, TaskConfig

if TYPE_CHECKING:
    from reach_rl.config.composition import Composer


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateConfig:
    """A judgement of a trained policy on held-out goals."""

    run: str
    goals: int = rule(ge=1)
    seed: int = rule(ge=0, le=2**31 - 1)
    out: str | None = field()
    checkpoint: str = field()
    task: TaskConfig | None = field()
    threads: int = rule(ge=0)
    progress: bool = field()


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchConfig(Config):
    """A measurement of throughput: a run's configuration and what to measure."""

    seconds: float = rule(gt=0)
    n_envs: int | None = rule(ge=1)


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb: its schema, rules, and the words of its help."""

    name: str
    schema: type
    summary: str
    keys: tuple[str, ...]
    examples: tuple[tuple[str, str], ...]
    rules: Callable[[Any], list[Problem]]
    file_rules: Callable[[Any, "Composer"], list[Problem]]
    makes_run: bool = False


def _train_rules(config: Config) -> list[Problem]:
    from reach_rl.config.validate import rules

    return rules(config)


def _train_file_rules(config: Config, composer: "Composer") -> list[Problem]:
    from reach_rl.config.filerules import file_rules

    return file_rules(config, composer.options("task"))


def _evaluate_rules(config: EvaluateConfig) -> list[Problem]:
    from reach_rl.config.validate import task_rules

    return task_rules(config.task) if config.task is not None else []


def _evaluate_file_rules(config: EvaluateConfig, _composer: "Composer") -> list[Problem]:
    from reach_rl.config.filerules import run_rules

    return run_rules(config.run, config.checkpoint)


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
    keys=("run", "goals", "seed", "out", "checkpoint", "threads", "progress"),
    examples=(
        ("run=DIR", "as at the end of training"),
        ("run=DIR goals=10000 seed=8", "more goals, other goals"),
        ("run=DIR task=near", "goals of another region"),
        ("run=DIR checkpoint=latest", "the newest policy"),
        ("run=DIR out=result.json", "the figures in a file"),
    ),
    rules=_evaluate_rules,
    file_rules=_evaluate_file_rules,
)

BENCH = Verb(
    name="bench",
    schema=BenchConfig,
    summary="Measure throughput: environment steps per second and where the time goes.",
    keys=("seconds", "n_envs", "vec_env.threads", "torch_threads", "ppo.n_steps"),
    examples=(
        ("", "the default configuration"),
        ("n_envs=64", "with 64 environments"),
        ("vec_env=subproc", "one process per environment"),
        ("experiment=notes", "the classic settings"),
        ("seconds=30", "steadier figures"),
    ),
    rules=_train_rules,
    file_rules=_train_file_rules,
)

VERBS: dict[str, Verb] = {verb.name: verb for verb in (TRAIN, EVALUATE, BENCH)}
