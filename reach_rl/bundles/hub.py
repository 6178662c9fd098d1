"""A folder as the Hugging Face hub expects it; nothing is sent anywhere."""

import shutil
from pathlib import Path
from typing import Any

from reach_rl.bundles import onnx_bundle as bundle
from reach_rl.bundles.card import card, front_matter
from reach_rl.rundir import atomic
from reach_rl.training.trained import TrainedPolicy

WEIGHTS = ("policy.safetensors", "normalizer.safetensors")

FILES = bundle.FILES | {*WEIGHTS, "results.json", ".gitattributes"}

ATTRIBUTES = "".join(
    f"*.{kind} filter=lfs diff=lfs merge=lfs -text\n" for kind in ("onnx", "safetensors", "npz")
)


def complete(folder: Path, subject: TrainedPolicy, written: bundle.Written, name: str) -> None:
    """Add to a bundle what the hub shows and stores beside it.

    Args:
        folder: with the bundle in it.
        subject: the policy.
        written: the bundle.
        name: of the model on the hub.
    """
    for part in WEIGHTS:
        shutil.copyfile(subject.folder / part, folder / part)
    results: dict[str, Any] = written.summary or {}
    atomic.write_atomic(folder / "results.json", atomic.json_text(results))
    atomic.write_atomic(folder / ".gitattributes", ATTRIBUTES)
    text = front_matter(written.contract, name) + card(written.contract)
    atomic.write_atomic(folder / "README.md", text)
