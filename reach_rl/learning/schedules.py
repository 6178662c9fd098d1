"""How a value moves over the run; steps decide, never the clock."""

import math

from reach_rl.config.schema import Schedule, ScheduleKind


class Scheduled:
    """A value for SB3: called with the remaining progress, 1 at the start and 0 at the end."""

    def __init__(self, start: float, schedule: Schedule) -> None:
        """Begin at `start`."""
        self.start = start
        self.schedule = schedule
        self.factor = 1.0
        """With kl_adaptive: the value as a multiple of its start."""

    def __call__(self, progress_remaining: float) -> float:
        """The value now."""
        end = self.schedule.end
        remaining = min(1.0, max(0.0, progress_remaining))
        match self.schedule.kind:
            case ScheduleKind.CONSTANT:
                return self.start
            case ScheduleKind.LINEAR:
                return self.start * (end + (1.0 - end) * remaining)
            case ScheduleKind.COSINE:
                return self.start * (
                    end + (1.0 - end) * 0.5 * (1.0 - math.cos(math.pi * remaining))
                )
            case ScheduleKind.KL_ADAPTIVE:
                return self.start * self.factor

    def adapt(self, kl: float) -> None:
        """With kl_adaptive: follow the KL divergence of the last update (Rudin et al., 2022).

        The value shrinks by 1.5 above twice the target and grows by 1.5 below half of it, between
        a hundredth of and ten times its start.
        """
        if self.schedule.kind is not ScheduleKind.KL_ADAPTIVE:
            return
        if kl > 2.0 * self.schedule.target_kl:
            self.factor = max(self.factor / 1.5, 0.01)
        elif 0.0 < kl < 0.5 * self.schedule.target_kl:
            self.factor = min(self.factor * 1.5, 10.0)
