"""`reach-rl diff`: how two runs differ in configuration, code, machine and results."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from reach_rl.cli import TEXTS
from reach_rl.config.problems import ConfigError, show
from reach_rl.config.sheets import flat
from reach_rl.rundir.atomic import read_json
from reach_rl.rundir.listing import config_values, run_dir
from reach_rl.rundir.status import read_status

_IGNORED = ("run_dir", "resume")
_TOPICS = {
    "Packages": "packages",
    "Extensions": "extensions",
    "Machine": "machine",
    "Models": "assets",
}
_DETAILS = {"regions", "worst", "written", "seed", "robot", "total_timesteps"}
_ALSO = ("success_rate", "position_error_mm.median", "orientation_error_deg.median")


def answer(words: list[str]) -> str:
    """The differences. Raises ConfigError."""
    if len(words) != 2:
        raise ConfigError(f"needs two folders; {TEXTS['usage']['diff']}")
    a, b = map(run_dir, words)
    parts = {
        "Configuration": differences(config_values(a), config_values(b), _IGNORED),
        **of_making(read_json(a / "provenance.json"), read_json(b / "provenance.json")),
        "Results": _results(a, b),
    }
    lines = [f"A  {a}", f"B  {b}"]
    for title, rows in parts.items():
        lines += ["", f"{title}:", *(f"  {row}" for row in rows or ["the same"])]
    return "\n".join(lines)


def of_making(
    one: Mapping[str, Any], two: Mapping[str, Any], ignored: Sequence[str] = ()
) -> dict[str, list[str]]:
    """Topic -> lines on how two runs, of these provenances, were made differently."""
    found = {"Code": differences(_code(one.get("git") or {}), _code(two.get("git") or {}))}
    for topic, key in _TOPICS.items():
        found[topic] = differences(one.get(key) or {}, two.get(key) or {}, ignored)
    return found


def differences(
    a: Mapping[str, Any], b: Mapping[str, Any], ignored: Sequence[str] = ()
) -> list[str]:
    """Lines for the keys whose values differ."""
    return [
        f"{key}: {_shown(a, key)} -> {_shown(b, key)}"
        for key in {**a, **b}
        if key not in ignored and _shown(a, key) != _shown(b, key)
    ]


def _shown(values: Mapping[str, Any], key: str) -> str:
    text = show(values[key]) if key in values else "-"
    return text if len(text) <= 60 else f"{text[:24]}...{text[-24:]}"


def _code(git: Mapping[str, Any]) -> dict[str, str]:
    """Its commit, and what was changed beside it, told by lines and a hash."""
    changed = [line for line in str(git.get("diff", "")).splitlines() if line[:1] in ("+", "-")]
    mark = sha256("\n".join(changed).encode()).hexdigest()[:8]
    told = f"{len(changed)} changed lines ({mark})" if changed else "as committed"
    return {"commit": git.get("commit", "unknown"), "working tree": told}


def _results(a: Path, b: Path) -> list[str]:
    """The state, and those figures that are of the run's own region, of others the main ones."""
    one, two = (flat(read_json(folder / "summary.json")) for folder in (a, b))
    states = [{"state": read_status(folder).get("state", "unknown")} for folder in (a, b)]
    rows = differences(states[0], states[1])
    for key in dict.fromkeys([*one, *two]):
        x, y, parts = one.get(key), two.get(key), key.split(".")
        told = not _DETAILS & set(parts) and (parts[0] != "also" or key.endswith(_ALSO))
        if told and x != y:
            numbers = [v for v in (x, y) if isinstance(v, int | float) and not isinstance(v, bool)]
            change = f"  ({numbers[1] - numbers[0]:+.4g})" if len(numbers) == 2 else ""
            rows.append(f"{key}: {_figure(x)} -> {_figure(y)}{change}")
    return rows


def _figure(value: Any) -> str:  # noqa: ANN401
    return f"{value:.5g}" if isinstance(value, float) else show(value)
