"""Numbers that go bad: found before they reach a checkpoint, told with what is known of them."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecNormalize

from reach_rl.config.problems import command, listing
from reach_rl.config.schema import Config
from reach_rl.envs import replay
from reach_rl.envs.batch import ReachBatch
from reach_rl.envs.guard import Incident
from reach_rl.learning.ppo import FastPPO
from reach_rl.training.snapshot import normalizer_arrays

FOLDER = "health"
"""Of a run: where incidents are written."""

_LOSSES = ("loss", "policy_gradient_loss", "value_loss", "entropy_loss")


class Diverged(Exception):
    """Numbers went bad; the run was stopped before they reached a checkpoint."""

    exit_code = 3

    def __init__(self, reason: str, *, learning: bool = False) -> None:
        """learning: losses, gradients, parameters or what they learn from are not finite."""
        super().__init__(reason)
        self.learning = learning


class DivergenceWatch:
    """Watches the physics, the samples and the updates of a run."""

    def __init__(self, config: Config, folder: Path, template: ReachBatch) -> None:
        """Watch the run in this folder; the template is a batch of its task."""
        self.config, self.folder = config, folder / FOLDER
        self.template = template
        self.alerts: list[tuple[str, str]] = []
        """Titles and texts that nobody has been told yet."""
        self._incidents: list[tuple[int, Incident]] = []
        self._recent: deque[tuple[int, int]] = deque()
        self._dumps = len(list(self.folder.glob("physics_reset_*.json")))

    def note(self, step: int, dones: np.ndarray, infos: list[dict[str, Any]]) -> None:
        """See one step of all environments."""
        for row in np.flatnonzero(dones).tolist():
            incident = infos[row].get("physics")
            if incident is not None:
                self._incidents.append((step, replace(incident, row=row)))

    def check_rollout(self, model: FastPPO, env: VecNormalize) -> None:
        """After a rollout, before its update.

        Raises:
            Diverged: what was collected is not finite, or the physics is unstable too often.
        """
        self._physics(model.num_timesteps, model.n_steps * env.num_envs)
        buffer = model.rollout_buffer
        seen = cast("np.ndarray", buffer.observations)
        first = [_first_bad(array) for array in (seen, buffer.values, buffer.rewards)]
        if min(first) == model.n_steps:
            return
        kind = ("observation", "value of the networks", "reward")[first.index(min(first))]
        terms: list[str] = []
        if kind == "observation":
            terms = self._bad_observations(seen[min(first)])
        elif kind == "reward":
            terms = sorted({t for found in env.env_method("bad_terms") for t in found})
        if terms:
            text, hint = f"{kind} term {listing(terms)}", f"see {kind}.terms.{terms[0]}"
            raise self._diverged(f"{text} is not finite", model, hint)
        raise self._diverged(f"the {kind} is not finite", model, self._slower())

    def check_update(self, model: FastPPO, env: VecNormalize) -> None:
        """After an update. Raises Diverged: something of the learner is not finite."""
        values = model.logger.name_to_value
        losses = [values.get(f"train/{name}", 0.0) for name in _LOSSES]
        if model.broken is not None or not np.isfinite(losses).all():
            text = f"the {model.broken or 'loss'} is not finite"
            raise self._diverged(text, model, self._slower())
        bad = _bad_parameter(model.policy)
        if bad is not None:
            raise self._diverged(f"parameter {bad} is not finite", model, self._slower())
        for name, array in normalizer_arrays(env).items():
            if not np.isfinite(array).all():
                raise self._diverged(f"the normaliser ({name}) is not finite", model)

    def metrics(self) -> dict[str, float]:
        """Figures under health/."""
        return {"health/physics_reset_rate": self._rate()}

    def told(self) -> list[tuple[str, str]]:
        """Alerts since the last call."""
        alerts, self.alerts = self.alerts, []
        return alerts

    def state(self) -> dict[str, object]:
        """Plain JSON values."""
        return {"recent": [list(pair) for pair in self._recent]}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self._recent.extend((int(steps), int(resets)) for steps, resets in state["recent"])

    def _physics(self, step: int, steps: int) -> None:
        """Count and write down the incidents of a rollout."""
        incidents, self._incidents = self._incidents, []
        self._recent.append((steps, len(incidents)))
        while sum(s for s, _ in self._recent) - self._recent[0][0] >= self.config.guard.window:
            self._recent.popleft()
        paths = [self._write(when, incident) for when, incident in incidents]
        written = [path for path in paths if path is not None]
        if written:
            how = command("envs.replay", written[0])
            text = f"{_seen(i for _, i in incidents)}; replay it with: {how}"
            self.alerts.append(("the physics is unstable", text))
        if self._rate() > self.config.guard.max_reset_rate:
            where = written[0] if written else self.folder
            raise Diverged(
                f"the physics is unstable too often: {self._rate():.3g} times in 1000 environment "
                f"steps (guard.max_reset_rate={self.config.guard.max_reset_rate:g}) at step "
                f"{step:,}; {_seen(i for _, i in incidents)}; see {where}; try "
                f"task.physics_step={self.config.task.physics_step / 2:g} "
                f"task.substeps={2 * self.config.task.substeps}, or less randomisation"
            )

    def _rate(self) -> float:
        """Incidents in 1000 environment steps, over the window."""
        return 1000.0 * sum(resets for _, resets in self._recent) / self.config.guard.window

    def _write(self, step: int, incident: Incident) -> Path | None:
        """Save an incident, if there is room for one more."""
        if self._dumps >= self.config.guard.dumps or not incident.arrays:
            return None
        self._dumps += 1
        try:
            robot = self.template.robot
            return replay.write(self.folder, incident, step, self.config, robot)
        except OSError as error:
            self.alerts.append(("an incident was not written", f"{self.folder}: {error}"))
            return None

    def _bad_observations(self, seen: np.ndarray) -> list[str]:
        """Terms of observations (n, d) that are not finite."""
        bad = np.atleast_1d(~np.isfinite(seen).all(axis=0))
        slices = self.template.observe.slices
        return sorted(name for name, part in slices.items() if bad[part].any())

    def _slower(self) -> str:
        """A learning rate to try."""
        return f"try ppo.learning_rate={min(self.config.ppo.learning_rate / 3, 1e-3):.1e}"

    def _diverged(self, text: str, model: FastPPO, hint: str = "") -> Diverged:
        hint = f"; {hint}" if hint else ""
        return Diverged(f"{text} at step {model.num_timesteps:,}{hint}", learning=True)


def _bad_parameter(policy: ActorCriticPolicy) -> str | None:
    """The first parameter that is not finite itself, or whose state of the optimizer is not."""
    states = policy.optimizer.state
    tensors = {
        name: [parameter.detach(), *states.get(parameter, {}).values()]
        for name, parameter in policy.named_parameters()
    }
    # a finite sum has finite parts; a sum that is not may have overflowed
    sums = torch.stack([tensor.sum() for group in tensors.values() for tensor in group])
    if bool(sums.isfinite().all()):
        return None
    for name, group in tensors.items():
        if not all(bool(tensor.isfinite().all()) for tensor in group):
            return name
    return None


def _first_bad(array: np.ndarray) -> int:
    """The first step of a rollout (t, n, ...) with a number that is not finite; t if none has."""
    good = np.isfinite(array).reshape(len(array), -1).all(axis=1)
    return len(array) if good.all() else int(np.argmin(good))


def _seen(incidents: Iterable[Incident]) -> str:
    """What went bad where, in words."""
    kinds = [f"{incident.warning} at {incident.joint}" for incident in incidents]
    return "".join(kinds[:1]) + (f" and {len(kinds) - 1} more" if len(kinds) > 1 else "")
