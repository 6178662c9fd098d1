"""What a check is, and where checks are registered."""

from collections.abc import Callable
from dataclasses import dataclass

from reach_rl.extend import register
from reach_rl.monitoring.health.history import History


@dataclass(frozen=True, slots=True)
class Sign:
    """What a check sees now."""

    seen: str
    """The figures."""
    against: str
    """What they would be in a healthy run, or why they matter."""
    remedies: tuple[str, str]
    """The two likeliest remedies, each the overrides to type."""


Look = Callable[[History], Sign | None]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that can go wrong with a run."""

    name: str
    title: str
    """What goes wrong, for people."""
    look: Look
    warm_up: float
    """Multiple of health.warm_up before which nothing is said."""
    lasts: float
    """Multiple of health.persistence for which the sign must last."""
    episodes: int
    """Length of so many episodes, in environment steps, before which nothing is said."""


def check(
    name: str, title: str, *, warm_up: float = 1.0, lasts: float = 1.0, episodes: int = 0
) -> Callable[[Look], Look]:
    """Register a function of the history as a check."""

    def decorated(look: Look) -> Look:
        register("health_check", name, Check(name, title, look, warm_up, lasts, episodes))
        return look

    return decorated


def number(value: float) -> str:
    """A number for an override: short, and exact enough."""
    return f"{value:.2g}".replace("e-0", "e-").replace("e+0", "e")
