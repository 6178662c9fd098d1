"""What is told of an export in Markdown, and what the Hugging Face hub wants beside it."""

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from reach_rl.rundir import atomic

Tree = Mapping[str, Any]

WEIGHTS = ("policy.safetensors", "normalizer.safetensors")

HUB_FILES = frozenset({*WEIGHTS, "results.json", ".gitattributes"})
"""Beside the bundle's own files."""

ATTRIBUTES = "".join(
    f"*.{kind} filter=lfs diff=lfs merge=lfs -text\n" for kind in ("onnx", "safetensors", "npz")
)


def card(contract: Tree, name: str | None = None) -> str:
    """The card of a bundle, with the YAML of the hub in front where it has a name there.

    Args:
        contract: of contract.json.
        name: of the model on the Hugging Face hub.
    """
    lags = dict.fromkeys(f"{lag:g}" for lag in contract["robot"]["servo_lag_s"])
    told = {"results": None, **contract, "lags": lags, "name": name, "degrees": math.degrees}
    return page("hub.md" if name else "card.md", told)


def page(template: str, values: Tree) -> str:
    """One of the pages in templates/ with these values."""
    loader = PackageLoader("reach_rl.bundles")
    environment = Environment(
        loader=loader, undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    return environment.get_template(template).render(values)


def complete_for_hub(
    folder: Path, weights: Path, contract: Tree, results: Tree | None, name: str
) -> None:
    """Add to a bundle what the Hugging Face hub shows and stores; nothing is sent anywhere.

    Args:
        folder: with the bundle in it.
        weights: folder of the checkpoint.
        contract: of contract.json.
        results: figures of the bundle, where it was judged.
        name: of the model on the hub.
    """
    for part in WEIGHTS:
        shutil.copyfile(weights / part, folder / part)
    atomic.write_atomic(folder / "results.json", atomic.json_text(dict(results or {})))
    atomic.write_atomic(folder / ".gitattributes", ATTRIBUTES)
    atomic.write_atomic(folder / "README.md", card(contract, name))
