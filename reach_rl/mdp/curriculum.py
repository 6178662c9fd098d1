"""What changes while training goes on, counted over all environments together."""

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reach_rl.config.rules import derive
from reach_rl.config.schema import Config, CurriculumConfig, TaskConfig, Unit
from reach_rl.extend import entries
from reach_rl.mdp.terms import TermError, told


@dataclass(frozen=True, slots=True)
class Setting:
    """What the environments are told."""

    weights: Mapping[str, float]
    """Reward weights that differ from the configured ones."""
    position_threshold: float
    """m."""
    orientation_threshold: float
    """rad."""
    region_share: float
    """Fraction of the joint range from which goals are drawn."""


class Curriculum:
    """Ramps reward weights by progress, and moves through stages by success."""

    def __init__(self, config: CurriculumConfig, task: TaskConfig, total_steps: int) -> None:
        """Start at the first stage and at the start of every ramp."""
        self.config = config
        self.task = task
        self.total_steps = total_steps
        self.steps = 0
        self.episodes = 0
        self.stage = 0
        self.recent: deque[bool] = deque(maxlen=config.window)

    def count(self, steps: int, episodes: int, outcomes: Iterable[bool]) -> None:
        """Count environment steps, finished episodes and the outcomes of finished goals."""
        self.steps += steps
        self.episodes += episodes
        for outcome in outcomes:
            self.recent.append(bool(outcome))
        stages = self.config.stages
        if (
            self.stage < len(stages) - 1
            and len(self.recent) == self.config.window
            and sum(self.recent) >= stages[self.stage].advance_at * self.config.window
        ):
            self.stage += 1
            self.recent.clear()

    @property
    def success(self) -> float:
        """Success rate of the last `window` goals; 0 before the first."""
        return sum(self.recent) / max(1, len(self.recent))

    @property
    def progress(self) -> float:
        """How far the ramps have gone, 0 to 1."""
        done = {
            Unit.STEPS: float(self.steps),
            Unit.EPISODES: float(self.episodes),
            Unit.FRACTION: self.steps / self.total_steps,
        }[self.config.unit]
        return min(1.0, done / self.config.duration)

    def setting(self) -> Setting:
        """What holds now."""
        progress = self.progress
        weights = {
            name: ramp.start + progress * (ramp.end - ramp.start)
            for name, ramp in self.config.ramps.items()
        }
        stages = self.config.stages
        now, share = (
            (stages[self.stage], stages[self.stage].region_share) if stages else (self.task, 1.0)
        )
        found = Setting(weights, now.position_threshold, now.orientation_threshold, share)
        known = entries("curriculum_kind")
        for name, kind in self.config.kinds.items():
            try:
                found = found if kind is None else known[name](found, self, **kind.arguments)
                if not isinstance(found, Setting):
                    raise TypeError(f"gave {found!r}, but a Setting is expected")
            except Exception as error:
                raise TermError(told(f"curriculum.kinds.{name}", error)) from error
        return found

    def metrics(self) -> dict[str, float]:
        """What holds now, under curriculum/."""
        setting = self.setting()
        values = {f"curriculum/{name}": weight for name, weight in setting.weights.items()}
        return values | {
            "curriculum/progress": self.progress,
            "curriculum/stage": self.stage,
            "curriculum/position_threshold": setting.position_threshold,
            "curriculum/orientation_threshold": setting.orientation_threshold,
            "curriculum/region_share": setting.region_share,
        }

    def state(self) -> dict[str, Any]:
        """Everything that a later process needs to go on, as plain JSON values."""
        return {
            "steps": self.steps,
            "episodes": self.episodes,
            "stage": self.stage,
            "recent": list(self.recent),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.steps, self.episodes, self.stage = (state[k] for k in ("steps", "episodes", "stage"))
        self.recent = deque(state["recent"], maxlen=self.config.window)


def in_words(config: Config) -> dict[str, str]:
    """What will change in a run, by kind."""
    known = entries("curriculum_kind")
    kinds = {
        name: str(known[name].__doc__).strip().partition("\n")[0].rstrip(".")
        for name, kind in config.curriculum.kinds.items()
        if kind is not None
    }
    ramps = {"curriculum": _ramps(config)} if config.curriculum.ramps else {}
    stages = {"stages": _stages(config)} if config.curriculum.stages else {}
    return ramps | stages | kinds


def _ramps(config: Config) -> str:
    curriculum, numbers = config.curriculum, derive(config)
    end = numbers.curriculum_end or 0.0
    share = end / numbers.total_steps
    where = f"{share:.0%} of the run" if share <= 1 else "after the run's end"
    unit = "of the run" if curriculum.unit is Unit.FRACTION else curriculum.unit.value
    return f"weights over {curriculum.duration:,g} {unit}, to step {end:,.0f} ({where})"


def _stages(config: Config) -> str:
    stages = (
        f"{stage.position_threshold * 1000:g} mm, "
        f"{math.degrees(stage.orientation_threshold):.1f} deg, {stage.region_share:.0%} of the "
        f"joint range until {stage.advance_at:.0%} success"
        for stage in config.curriculum.stages
    )
    window = f" over {config.curriculum.window:,} goals"
    return f"{window}; ".join(stages).rpartition(" until ")[0]
