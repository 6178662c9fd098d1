"""`reach-rl diff`: how two runs differ in configuration, code, machine and results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reach_rl.cli import answered
from reach_rl.config.problems import ConfigError, show
from reach_rl.rundir.atomic import read_json
from reach_rl.rundir.listing import config_values, flat, run_dir
from reach_rl.rundir.status import read_status

USAGE = "usage: reach-rl diff RUN_A RUN_B"
_ABSENT = "-"
_IGNORED = ("run_dir", "resume")
_DETAILS = ("regions", "worst", "written", "seed", "robot", "total_timesteps")
_ALSO = ("success_rate", "position_error_mm.median", "orientation_error_deg.median")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the differences; returns the exit code."""
    return answered(USAGE, _answer, argv)


def _answer(words: list[str]) -> str:
    if len(words) != 2:
        raise ConfigError(f"needs two folders; {USAGE}")
    return compare(run_dir(words[0]), run_dir(words[1]))


def compare(a: Path, b: Path) -> str:
    """The differences of two runs as text."""
    one, two = read_json(a / "provenance.json"), read_json(b / "provenance.json")
    parts = {
        "Configuration": differences(config_values(a), config_values(b), _IGNORED),
        "Code": _code(one, two),
        "Packages": differences(one.get("packages") or {}, two.get("packages") or {}),
        "Machine": differences(one.get("machine") or {}, two.get("machine") or {}),
        "Models": differences(one.get("assets") or {}, two.get("assets") or {}),
        "Results": _results(a, b),
    }
    lines = [f"A  {a}", f"B  {b}"]
    for title, rows in parts.items():
        lines += ["", f"{title}:", *(rows or ["  the same"])]
    return "\n".join(lines)


def differences(
    a: Mapping[str, Any], b: Mapping[str, Any], ignored: Sequence[str] = ()
) -> list[str]:
    """Lines for the keys whose values differ."""
    keys = [key for key in {**a, **b} if key not in ignored]
    return [
        f"  {key}: {_shown(a, key)} -> {_shown(b, key)}"
        for key in keys
        if _shown(a, key) != _shown(b, key)
    ]


def _shown(values: Mapping[str, Any], key: str) -> str:
    text = show(values[key]) if key in values else _ABSENT
    return text if len(text) <= 60 else f"{text[:24]}...{text[-24:]}"


def _code(one: Mapping[str, Any], two: Mapping[str, Any]) -> list[str]:
    a, b = one.get("git") or {}, two.get("git") or {}
    rows = differences({"commit": a.get("commit")}, {"commit": b.get("commit")})
    if a.get("diff", "") != b.get("diff", ""):
        changed = [f"{_size(git)} changed lines beside its commit" for git in (a, b)]
        rows.append(f"  working tree: {changed[0]} -> {changed[1]}")
    return rows


def _size(git: Mapping[str, Any]) -> int:
    lines = str(git.get("diff", "")).splitlines()
    return sum(line[:1] in "+-" and line[:3] not in ("+++", "---") for line in lines if line)


def _results(a: Path, b: Path) -> list[str]:
    one, two = (flat(read_json(folder / "summary.json")) for folder in (a, b))
    states = [{"state": read_status(folder).get("state", "unknown")} for folder in (a, b)]
    rows = differences(states[0], states[1])
    for key in dict.fromkeys([*one, *two]):
        x, y = one.get(key), two.get(key)
        if x != y and _told(key):
            rows.append(f"  {key}: {_figure(x)} -> {_figure(y)}{_change(x, y)}")
    return rows


def _told(key: str) -> bool:
    """Whether a figure is listed: those of the run's own region, of others the main ones."""
    parts = key.split(".")
    return not set(parts) & set(_DETAILS) and (parts[0] != "also" or key.endswith(_ALSO))


def _change(a: object, b: object) -> str:
    numbers = [x for x in (a, b) if isinstance(x, (int, float)) and not isinstance(x, bool)]
    return f"  ({numbers[1] - numbers[0]:+.4g})" if len(numbers) == 2 else ""


def _figure(value: Any) -> str:  # noqa: ANN401
    return f"{value:.5g}" if isinstance(value, float) else show(value)
