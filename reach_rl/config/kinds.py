"""Building blocks of the schema: ranges of numbers, and the closed choices of words."""

from dataclasses import field
from enum import StrEnum
from typing import Any


def rule(
    *,
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
) -> Any:  # noqa: ANN401  a dataclass field of any type
    """A required field whose number (or each number of a list) obeys the given bounds."""
    bounds = {"gt": gt, "ge": ge, "lt": lt, "le": le}
    return field(metadata={"bounds": {k: v for k, v in bounds.items() if v is not None}})


class VecEnvKind(StrEnum):
    """How environments are vectorised."""

    BATCH = "batch"
    SUBPROC = "subproc"
    DUMMY = "dummy"


class GoalChange(StrEnum):
    """When an episode gets its next goal."""

    TIMER = "timer"
    HOLD = "hold"
    NEVER = "never"


class Start(StrEnum):
    """Where an episode starts."""

    HOME = "home"
    REGION = "region"


class ScheduleKind(StrEnum):
    """How a value moves over the run."""

    CONSTANT = "constant"
    LINEAR = "linear"
    COSINE = "cosine"
    KL_ADAPTIVE = "kl_adaptive"


class Unit(StrEnum):
    """What a curriculum counts, over all environments together."""

    STEPS = "steps"
    EPISODES = "episodes"
    FRACTION = "fraction"


class Activation(StrEnum):
    """Hidden-layer activation of both networks."""

    TANH = "tanh"
    RELU = "relu"
    ELU = "elu"
    SILU = "silu"
    GELU = "gelu"
    LEAKY_RELU = "leaky_relu"


class WandbMode(StrEnum):
    """Where W&B records go."""

    AUTO = "auto"
    ONLINE = "online"
    OFFLINE = "offline"
    DISABLED = "disabled"


class Viewer(StrEnum):
    """Where a policy is played with."""

    BROWSER = "browser"
    NATIVE = "native"


class ExportFormat(StrEnum):
    """What export writes."""

    ONNX = "onnx"
    SB3 = "sb3"
    HUB = "hub"
