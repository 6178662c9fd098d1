"""The one catalogue of metric names: unit, meaning, healthy range, and which way is better.

Its rows are in metrics.yaml. Writers, plots, documentation and dashboards all read it.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from reach_rl.config import read_yaml
from reach_rl.extend import Better, Metric, entries, register


def sheet(name: str) -> dict[str, dict[str, Any]]:
    """A YAML sheet of this room."""
    return read_yaml(Path(__file__).parent / name)


def _metric(name: str, better: str = "neither", **rest: Any) -> Metric:  # noqa: ANN401  of the sheet
    healthy = rest.pop("healthy", None)
    return Metric(name, better=Better(better), healthy=healthy and tuple(healthy), **rest)


_SHEET = {
    part: {name: _metric(name, **row) for name, row in rows.items()}
    for part, rows in sheet("metrics.yaml").items()
}
_EVALUATION = _SHEET["evaluation"]

CATALOGUE: dict[str, Metric] = _SHEET["single"] | {
    f"eval/{name}": replace(metric, name=f"eval/{name}") for name, metric in _EVALUATION.items()
}
"""Every metric whose name is fixed."""

FAMILIES: dict[str, Metric] = _SHEET["families"]
"""Metrics whose name ends in a term, a weight, a joint or a region; by prefix."""

for _noun, _metrics in (("metric", CATALOGUE), ("metric_family", FAMILIES)):
    for _name, _entry in _metrics.items():
        register(_noun, _name, _entry)

for _name, _entry in (_EVALUATION | _SHEET["summary"]).items():  # what a search may optimise
    if _entry.better is not Better.NEITHER and not _name.startswith("success_ci95"):
        register("figure", re.sub(r"_(median|p95)$", r".\1", _name), _entry)


def describe(name: str) -> Metric:
    """The metric of that name, members of families included.

    Raises:
        KeyError: for a name that the catalogue does not know.
    """
    known = entries("metric").get(name)
    if known is not None:
        return known
    prefix, _, member = name.partition("/")
    family = FAMILIES.get(f"{prefix}/")
    if family is None or not member:
        raise KeyError(f"metric {name!r} is not in reach_rl.monitoring.metrics")
    if prefix == "final":
        region, _, figure = member.rpartition("/")
        known = entries("metric").get(f"eval/{figure}")
        if not region or known is None or figure == "score":
            raise KeyError(f"metric {name!r} is not final/<region>/<figure of an evaluation>")
        return replace(known, name=name)
    return replace(family, name=name, meaning=f"{family.meaning} ({member})")


def evaluation_metrics(evaluation: Mapping[str, Any], prefix: str = "eval") -> dict[str, Any]:
    """The flat metrics `<prefix>/<figure>` of an evaluation dictionary (as in summary.json).

    Nested figures join by underscores (`position_error_mm_median`); what is no metric, such as
    thresholds, is left out.
    """
    flat: dict[str, Any] = {}
    for key, value in evaluation.items():
        if key == "success_ci95":
            flat["success_ci95_low"], flat["success_ci95_high"] = value
        elif isinstance(value, Mapping):
            flat.update({f"{key}_{part}": item for part, item in value.items()})
        else:
            flat[key] = value
    known = entries("metric")
    return {f"{prefix}/{key}": item for key, item in flat.items() if f"eval/{key}" in known}
