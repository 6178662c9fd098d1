"""evaluation.npz: what an evaluation found, goal by goal, in a file without pickle."""

import io
import json
import os
import tempfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from reach_rl.evaluation.result import Conditions, Evaluation

FILE = "evaluation.npz"
"""Its name in the folder of a run."""

_CONDITIONS = "conditions"
_LATER = ("share_at_torque_limit", "max_joint_acceleration")
"""Arrays that files of an earlier version lack."""


def save(path: Path, evaluation: Evaluation) -> None:
    """Write every array of an evaluation, and its conditions as JSON, in one step.

    Numbers are stored with 32 bits: 1000 goals take some 100 kB.
    """
    arrays: dict[str, Any] = {name: _small(getattr(evaluation, name)) for name in _names()}
    arrays[_CONDITIONS] = np.array(json.dumps(asdict(evaluation.conditions)))
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.getvalue())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def load(path: Path) -> Evaluation:
    """Read an evaluation.

    Raises:
        OSError: there is no such file.
        ValueError: it is not a whole evaluation.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            unknown = np.full(len(file["success"]), np.nan, np.float32)
            later: dict[str, Any] = dict.fromkeys(_LATER, unknown)
            arrays: dict[str, Any] = {
                name: file[name] if name in file else later[name] for name in _names()
            }
            conditions = json.loads(str(file[_CONDITIONS]))
        conditions["base"] = tuple(conditions["base"])
        evaluation = Evaluation(conditions=Conditions(**conditions), **arrays)
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{path}: not a whole evaluation ({error})") from error
    if len({len(array) for array in arrays.values()}) != 1:
        raise ValueError(f"{path}: not a whole evaluation (arrays of different lengths)")
    return evaluation


def _names() -> list[str]:
    return [field.name for field in fields(Evaluation) if field.name != _CONDITIONS]


def _small(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype.kind == "f" else array
