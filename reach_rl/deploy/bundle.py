"""A bundle as export writes it: contract.json says what policy.onnx takes and gives.

Loading checks the version of the contract, the hash of every file, and that the network gives on
this machine what it gave where it was exported.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

FORMAT = 1
"""Version of the contract that this module reads."""
WITH_OBSERVATION = 2
"""And that of a bundle that takes the observation too (export format=onnx_observation)."""

GOLDEN_TOLERANCE = 1e-5
"""Largest difference from the golden outputs: rounding differs between processors."""


class BundleError(Exception):
    """The bundle is missing, damaged, of another version, or does not compute what it should."""


@dataclass(frozen=True, slots=True)
class Contract:
    """What the policy takes, gives and may do; j joints, s points of a path, SI units."""

    robot: str
    joints: tuple[str, ...]
    """Names of the joints, in the order of every joint array."""
    checkpoint: str
    period: float
    """Time between two calls of the policy (s)."""
    path_times: np.ndarray
    """(s,) times after the call for which the joint path is (s)."""
    outputs: tuple[str, ...]
    actions: int
    """Numbers of an action."""
    observation: Mapping[str, int]
    """Part of the observation -> how many numbers, in order; empty where the bundle works it out
    itself."""
    state: Mapping[str, str]
    """Input -> the output of the call before that it takes."""
    in_base_frame: bool
    """Goals and poses are in the arm's base frame; before 0.2.0 they were in its model's world."""
    home: np.ndarray
    """(j,) where training started (rad)."""
    low: np.ndarray
    """(j,) least joint angles (rad); -inf where there is no limit."""
    high: np.ndarray
    """(j,) greatest joint angles (rad); inf where there is no limit."""
    velocity: np.ndarray
    """(j,) joint speed limits (rad/s)."""
    acceleration: np.ndarray
    """(j,) acceleration that the policy asks of the joints at most (rad/s2)."""
    target_velocity: np.ndarray
    """(j,) how fast the targets may move, which lead the joints by the servo's lag (rad/s)."""
    target_acceleration: np.ndarray
    """(j,) how fast their speed may change (rad/s2)."""
    position_threshold: float
    """m."""
    orientation_threshold: float
    """rad."""
    hold_time: float
    """s."""


class Bundle:
    """A checked bundle, ready to be called."""

    def __init__(self, folder: Path | str, threads: int = 1) -> None:
        """Load and check a bundle.

        Args:
            folder: as export has written it.
            threads: that the network may use.

        Raises:
            BundleError: it is not fit to be used.
        """
        folder = Path(folder)
        tree = _read_json(folder / "contract.json")
        if tree.get("format") not in (FORMAT, WITH_OBSERVATION):
            raise BundleError(
                f"its contract has format {tree.get('format')}, this controller reads {FORMAT}; "
                f"use the reach_rl that exported it ({tree.get('reach_rl')})"
            )
        _check_files(folder, tree)
        self.contract = _contract(tree)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(folder / tree["policy"]["file"]), options, providers=["CPUExecutionProvider"]
        )
        self._names = {i.name for i in self._session.get_inputs()}
        self._check_golden(folder / tree["golden"]["file"])

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name for n inputs at once; inputs that the network lacks are passed over.

        Raises:
            ValueError: an input is missing.
        """
        missing = sorted(self._names - inputs.keys())
        if missing:
            raise ValueError(f"the bundle takes {missing[0]} too, see inputs in its contract.json")
        given = {k: np.asarray(v, np.float64) for k, v in inputs.items() if k in self._names}
        values: Any = self._session.run(list(self.contract.outputs), given)
        return dict(zip(self.contract.outputs, values, strict=True))

    def first_state(self, position: np.ndarray) -> dict[str, np.ndarray]:
        """What the policy remembers before its first call, with the arm at rest at `position`."""
        shape = (*position.shape[:-1], self.contract.actions)
        start = {"last_action": np.zeros(shape), "last_target": position}
        return {name: start[name] for name in self.contract.state}

    def _check_golden(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as file:
            golden = {name: file[name] for name in file.files}
        out = self({n.removeprefix("input."): v for n, v in golden.items() if n.startswith("in")})
        for name in self.contract.outputs:
            difference = float(np.abs(out[name] - golden[f"output.{name}"]).max())
            if not difference <= GOLDEN_TOLERANCE:
                raise BundleError(
                    f"{name} differs by {difference:.2g} from what it was where it was exported"
                )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path.name}: {error.strerror}") from error


def _read_json(path: Path) -> dict[str, Any]:
    text = _read(path)
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError) as error:
        raise BundleError(f"{path.name} is damaged ({error})") from error


def _check_files(folder: Path, tree: Mapping[str, Any]) -> None:
    for name, wanted in tree["files"].items():
        if hashlib.sha256(_read(folder / name)).hexdigest() != wanted:
            raise BundleError(f"{name} is not the file that was exported")


def _contract(tree: Mapping[str, Any]) -> Contract:
    try:
        limits, task = tree["limits"], tree["task"]
        return Contract(
            robot=tree["robot"]["name"],
            joints=tuple(tree["robot"]["joints"]),
            checkpoint=tree["policy"]["checkpoint"],
            period=float(tree["control"]["period_s"]),
            path_times=np.asarray(tree["control"]["path_times_s"], float),
            outputs=tuple(entry["name"] for entry in tree["outputs"]),
            actions=int({e["name"]: e["shape"] for e in tree["outputs"]}["action"][1]),
            observation={p["name"]: int(p["size"]) for p in tree.get("observation", ())},
            state=dict(tree["state"]),
            in_base_frame="base_in_world" in tree["robot"],
            home=np.asarray(tree["robot"]["home_rad"], float),
            low=_bounds(limits["position_low_rad"], -np.inf),
            high=_bounds(limits["position_high_rad"], np.inf),
            velocity=np.asarray(limits["velocity_rad_s"], float),
            acceleration=np.asarray(limits["acceleration_rad_s2"], float),
            target_velocity=np.asarray(limits["target_velocity_rad_s"], float),
            target_acceleration=np.asarray(limits["target_acceleration_rad_s2"], float),
            position_threshold=float(task["position_m"]),
            orientation_threshold=float(task["orientation_rad"]),
            hold_time=float(task["hold_s"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"contract.json is damaged ({error!r})") from error


def _bounds(values: list[float | None], absent: float) -> np.ndarray:
    return np.array([absent if value is None else value for value in values], float)
