"""Means over the goals and episodes that finished lately."""

from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np

from reach_rl.envs.statistics import Finished


class Window:
    """The last goals and episodes, and what they say."""

    def __init__(self, size: int, terms: Sequence[str]) -> None:
        """Keep the last `size` goals and the last `size` episodes."""
        self.terms = tuple(terms)
        self.goals: deque[tuple[float, float, float]] = deque(maxlen=size)
        """Per goal: reached, distance (m), angle (rad)."""
        self.episodes: deque[tuple[float, ...]] = deque(maxlen=size)
        """Per episode: return, length, goals, self collision, table collision, terms."""
        self.physics_resets = 0

    def add(self, batches: Iterable[Finished]) -> None:
        """Take in what finished."""
        for f in batches:
            self.physics_resets += f.physics_resets
            reached = [float(r) for r in f.reached]
            self.goals.extend(zip(reached, f.distance, f.angle, strict=True))
            for row in zip(
                f.returns,
                f.lengths,
                f.goals,
                f.self_collided,
                f.table_collided,
                f.shares,
                strict=True,
            ):
                self.episodes.append((*map(float, row[:5]), *row[5].tolist()))

    def metrics(self) -> dict[str, float]:
        """Means under rollout/ and reward/; nothing that has no sample yet."""
        out: dict[str, float] = {"health/physics_resets": self.physics_resets}
        if self.goals:
            reached, distance, angle = np.array(self.goals).T
            out["rollout/success_rate"] = float(reached.mean())
            out["rollout/position_error_mm"] = float(np.median(distance) * 1e3)
            out["rollout/orientation_error_deg"] = float(np.degrees(np.median(angle)))
        if self.episodes:
            columns = np.array(self.episodes).mean(axis=0).tolist()
            names = ("ep_rew_mean", "ep_len_mean", "goals_per_episode")
            names += ("self_collision_rate", "table_collision_rate")
            out |= {f"rollout/{n}": v for n, v in zip(names, columns[:5], strict=True)}
            out |= {f"reward/{n}": v for n, v in zip(self.terms, columns[5:], strict=True)}
        return out

    def state(self) -> dict[str, object]:
        """Plain JSON values."""
        return {
            "goals": [list(g) for g in self.goals],
            "episodes": [list(e) for e in self.episodes],
            "physics_resets": self.physics_resets,
        }

    def load(self, state: dict[str, object]) -> None:
        """Go on from a state."""
        self.goals.extend(tuple(g) for g in state["goals"])  # type: ignore[attr-defined]
        self.episodes.extend(tuple(e) for e in state["episodes"])  # type: ignore[attr-defined]
        self.physics_resets = int(state["physics_resets"])  # type: ignore[call-overload]
