"""Watches the physics of a batch: whose numbers went bad, and the second that led to it.

MuJoCo resets a simulation by itself when a position, velocity or acceleration is not finite or
beyond 1e10, and leaves a warning behind. A simulation that is merely absurd (a joint at a thousand
radians a second) gets none, and would poison the normaliser; it counts as bad here, too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from mujoco.batch import Batch

from reach_rl.envs.physics import RANDOMIZED, VEL
from reach_rl.mdp.arrays import Array, Bools, Ints
from reach_rl.mdp.compiled import compiled
from reach_rl.robots import RobotModel

WARNINGS = {
    name: int(getattr(mujoco.mjtWarning, f"mjWARN_{name}"))
    for name in ("BADQPOS", "BADQVEL", "BADQACC")
}
"""MuJoCo's warnings after which it has reset the simulation by itself."""

WILD = "WILD"
"""Our own: faster than any arm moves."""


def hush() -> None:
    """Keep MuJoCo's own lines off the terminal and out of MUJOCO_LOG.TXT: a guard tells of them."""
    mujoco.set_mju_user_warning(lambda text: None)


HISTORY = 1.0
"""How much of the past is kept (s)."""

_MOVING = sum(
    int(getattr(mujoco.mjtState, f"mjSTATE_{name}"))
    for name in ("TIME", "QPOS", "QVEL", "ACT", "HISTORY", "WARMSTART", "CTRL")
)
"""What comes first in MuJoCo's integration state and changes in each step. Behind it is what is
applied from outside, forces and mocap bodies, which learning leaves alone."""


@dataclass(frozen=True, slots=True)
class Incident:
    """A simulation that went bad."""

    row: int
    """Of the batch."""
    warning: str
    """One of WARNINGS, or WILD."""
    joint: str
    """Where it was seen first."""
    arrays: dict[str, np.ndarray]
    """What led to it, oldest first, t control steps: states (t, k), MuJoCo's integration state
    before each step; targets (t, substeps, j) of the servos; and the simulation's own model fields,
    model.<name>. Empty where no history is kept."""


class Guard:
    """Watches a batch; see the module."""

    def __init__(self, batch: Batch, robot: RobotModel) -> None:
        """Watch from here on."""
        self.incidents: list[Incident] = []
        """Not yet taken by anybody."""
        self.bad_terms: set[str] = set()
        """Reward terms that gave a number which is not finite."""
        self._batch, self._model = batch, robot.model
        self._joints = robot.joint_names
        self._wild = max(1e3, 100.0 * float(robot.velocity_limits.max()))
        self._qvel = batch.bind("qvel")
        self._columns = [batch.warning[:, kind, 1] for kind in WARNINGS.values()]
        self._count = self._counted()
        self._history: _History | None = None

    def keep_history(self, seconds_per_step: float, substeps: int) -> None:
        """Remember the last second of every simulation, for incidents to tell of."""
        steps = math.ceil(HISTORY / seconds_per_step)
        self._history = _History(self._batch, steps, substeps, len(self._joints))

    def note(self, targets: Array) -> None:
        """Remember the targets (substeps, n, j) of the servos in the step to come."""
        if self._history is not None:
            self._history.note(targets)

    def forgive(self, rows: Ints | slice) -> None:
        """These simulations have been set up anew."""
        self._count[rows] = self._counted()[rows]
        if self._history is not None:
            self._history.begin(rows)

    def detect(self) -> Bools:
        """Which simulations have gone bad since the last call, (n,); they are reset, and finite."""
        if _calm(self._qvel, self._wild, *self._columns, self._count):
            return np.zeros(len(self._count), bool)
        count = self._counted()
        bad = count > self._count
        self._count[:] = count
        wild = ~(np.abs(self._qvel) < self._wild).all(axis=1) & ~bad
        self._tell(bad | wild, wild)
        if wild.any():
            self._batch.reset(np.flatnonzero(wild), stage=VEL)
        return bad | wild

    def check_reward(self, reward: Array, shares: Array, names: Sequence[str]) -> None:
        """Note the terms (n, k) of a reward (n,) that is not finite."""
        if not np.isfinite(reward).all():
            broken = np.atleast_1d(~np.isfinite(shares).all(axis=0))
            self.bad_terms |= {name for name, bad in zip(names, broken, strict=True) if bad}

    def taken(self) -> list[Incident]:
        """The incidents since the last call."""
        incidents, self.incidents = self.incidents, []
        return incidents

    def _counted(self) -> np.ndarray:
        position, velocity, acceleration = self._columns
        return position + velocity + acceleration

    def _tell(self, bad: Bools, wild: Bools) -> None:
        for row in np.flatnonzero(bad).tolist():
            warning, dof = self._where(row, bool(wild[row]))
            joint = self._model.joint(int(self._model.dof_jntid[dof])).name
            arrays = {} if self._history is None else self._history.of(row)
            self.incidents.append(Incident(row, warning, joint, arrays))

    def _where(self, row: int, wild: bool) -> tuple[str, int]:
        """The warning and the degree of freedom (of a position: its address) that it names."""
        if wild:
            return WILD, int(np.argmax(np.nan_to_num(np.abs(self._qvel[row]), nan=np.inf)))
        for name, kind in WARNINGS.items():
            last, number = self._batch.warning[row, kind].tolist()
            if number:
                return name, min(int(last), self._model.nv - 1)
        return "BADQACC", 0


@compiled("b1(f8[:,:], f8, i4[:], i4[:], i4[:], i4[:])")
def _calm(
    velocity: Array, wild: float, first: Array, second: Array, third: Array, counted: Array
) -> bool:
    """Whether no simulation has warnings that are not counted yet, nor moves wildly."""
    for i in range(len(counted)):
        if first[i] + second[i] + third[i] != counted[i]:
            return False
        for k in range(velocity.shape[1]):
            if not abs(velocity[i, k]) < wild:  # true for NaN
                return False
    return True


class _History:
    """A ring of the last steps of all simulations."""

    def __init__(self, batch: Batch, steps: int, substeps: int, joints: int) -> None:
        n = batch.nsim
        self._batch = batch
        self._moving = mujoco.mj_stateSize(batch.model, _MOVING)
        self._tick = 0
        self._since = np.zeros(n, np.int64)
        self._states = np.zeros((steps, n, self._moving))
        self._targets = np.zeros((steps, substeps, n, joints))

    def note(self, targets: Array) -> None:
        slot = self._tick % len(self._states)
        self._states[slot] = self._batch.state[:, : self._moving]
        self._targets[slot] = targets
        self._tick += 1

    def begin(self, rows: Ints | slice) -> None:
        self._since[rows] = self._tick

    def of(self, row: int) -> dict[str, np.ndarray]:
        """Copies of what is known of one simulation's episode, oldest first."""
        steps = len(self._states)
        count = min(steps, self._tick - int(self._since[row]))
        order = np.arange(self._tick - count, self._tick) % steps
        still = np.tile(self._batch.state[row, self._moving :], (count, 1))
        models = {f"model.{name}": self._batch.expanded(name) for name in RANDOMIZED}
        return {
            "states": np.concatenate((self._states[order, row], still), axis=1),
            "targets": self._targets[order, :, row],
            **{name: values[row].copy() for name, values in models.items() if values is not None},
        }
