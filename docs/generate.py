"""Writes configuration.md and metrics.md beside itself, the references; make docs calls it.

python docs/generate.py [--check]
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reach_rl.cli.explain import all_meanings, meaning_of
from reach_rl.config.keys import ITEM, Key, keys
from reach_rl.config.problems import listing, show
from reach_rl.config.schema import Config
from reach_rl.config.search import KINDS, PATH, Search, objectives, parts
from reach_rl.config.sheets import Meaning, Sheet, chain, chosen, groups, meaning, sheets, values
from reach_rl.config.verbs import VERBS, Verb
from reach_rl.extend import entries

_HEAD = ("| key | default | meaning | unit | type and range |", "|---|---|---|---|---|")
HEAD = """# Every key of the configuration

Generated from `conf/` and the schema by `make docs`; do not edit.
`reach-rl explain KEY` tells the same about one key, with its value and the file that set it.
"""
METRICS_HEAD = """# Every metric and every warning

Generated from `reach_rl/monitoring` by `make docs`; do not edit. [monitoring.md](monitoring.md)
is the guide. Every metric is recorded at `global_step`, the environment steps of all environments
together so far.
"""
SECTIONS = {
    "rollout/": "Training: the last goals and episodes, `ppo.stats_window_size` of them",
    "eval/": "Periodic evaluations, on goals of their own, acting as configured by `evaluation`",
    "final/": "The verdict",
    "train/": "PPO: the last rollout and its update",
    "std/": "Exploration, per joint",
    "reward/": "Reward terms",
    "curriculum/": "Curriculum",
    "observation/": "Observation terms",
    "normalizer/": "Observations and the normaliser",
    "time/": "Time",
    "health/": "Health",
}
_BETTER = {"up": "higher", "down": "lower", "neither": ""}


def page() -> str:
    """The reference of every key as Markdown."""
    files = sheets()
    train = VERBS["train"]
    options, defaults = groups(files), chosen(files, "train")
    order = [group for group in dict.fromkeys([*defaults, *options]) if group in options]
    parts = [HEAD, "## General", "", *_keys(train, files, ""), ""]
    for group in order:
        parts += [f"## {group}", "", *_options(files, group, defaults.get(group)), ""]
        table = _keys(train, files, group)
        parts += [*table, ""] if table else []
        parts += _terms(train, files, group)
    parts += _searches(files)
    for verb in VERBS.values():
        if verb is not train:
            parts += [
                f"## The verb {verb.name}",
                "",
                files[verb.name].head[0],
                "",
                *_keys(verb, files, ""),
                "",
            ]
    return "\n".join(parts).rstrip() + "\n"


def schema_paths(schema: type) -> list[Key]:
    """The keys that hold values, `*` for the names of terms."""
    return [key for key in keys(schema).values() if key.leaf and not key.path.endswith(ITEM)]


def _options(files: Mapping[str, Sheet], group: str, default: str | None) -> list[str]:
    rows = ["| option | what it is | how to use it |", "|---|---|---|"]
    for option in groups(files)[group]:
        sentence, command = files[f"{group}/{option}"].head
        mark = " (default)" if option == default else ""
        rows.append(_cells(f"`{option}`{mark}", sentence, f"`{command}`"))
    return rows


def _keys(verb: Verb, files: Mapping[str, Sheet], group: str) -> list[str]:
    stack = chain(files, verb.name)
    now, means = values(stack), all_meanings(verb.schema, files, verb.name)
    known = {key.path for key in schema_paths(Config)} if verb.schema is not Config else set()
    rows = []
    for key in sorted(schema_paths(verb.schema), key=lambda key: not group and "." in key.path):
        first = key.path.partition(".")[0]
        outside = first not in groups(files)
        if (outside if not group else first == group) and key.path not in known:
            value = f"`{show(now[key.path])}`" if key.path in now else ""
            about = meaning_of(verb.schema, means, key.path)
            rows.append(_row(key, key.path.replace(ITEM, "NAME"), value, about))
    return [*_HEAD, *rows] if rows else []


def _row(key: Key, path: str, value: str, about: Meaning) -> str:
    kind = key.words + (f", {key.range}" if key.range else "")
    return _cells(f"`{path}`", value, about.text, about.unit, kind)


def _terms(verb: Verb, files: Mapping[str, Sheet], group: str) -> Iterator[str]:
    means = all_meanings(verb.schema, files, verb.name)
    for path, key in keys(verb.schema).items():
        if path.partition(".")[0] == group and len(key.names) > 3 and ITEM not in path:
            yield from (f"Names in `{path}`:", "")
            for name in key.names:
                about = means.get(f"{path}.{name}")
                unit = f" ({about.unit})" if about and about.unit else ""
                yield f"- `{name}`" + (f": {about.text}{unit}" if about else "")
            yield ""


def _searches(files: Mapping[str, Sheet]) -> Iterator[str]:
    """The keys of hydra.sweeper, of samplers and of pruners."""
    group = "hydra/sweeper"
    yield from ("## Searches", "")
    yield from ("With `-m` and `sweep=ppo`, `sweep=search` or another search.", "")
    yield from (*_table(files[f"{group}/optuna"], Search, PATH), "")
    yield from (f"`{PATH}.objective` is {listing([f'`{n}`' for n in objectives()], 99)}.", "")
    for name in KINDS:
        for option, schema in parts(name).items():
            sheet = files[f"{group}/{name}/{option}"]
            yield from (f"### {group}/{name}={option}", "", sheet.head[0], "")
            rows = _table(sheet, schema, f"{PATH}.{name}")
            yield from [*rows, ""] if rows else []


def _table(sheet: Sheet, schema: type, path: str) -> list[str]:
    rows = []
    for key, value in sheet.tree.items():
        comment = sheet.comments.get(f"{sheet.package}.{key}", "")
        if comment:
            found = keys(schema)[key]
            rows.append(_row(found, f"{path}.{key}", f"`{show(value)}`", meaning(comment)))
    return [*_HEAD, *rows] if rows else []


def metrics_page() -> str:
    """The reference of every metric and warning as Markdown."""
    parts = [METRICS_HEAD]
    for prefix, title in SECTIONS.items():
        found = [m for name, m in entries("metric").items() if name.startswith(prefix)]
        found += [m for name, m in entries("metric_family").items() if name == prefix]
        head = ["| name | unit | healthy | better | meaning |", "|---|---|---|---|---|"]
        parts += [f"## {title}", "", *head, *map(_metric, found), ""]
    parts += ["## Warnings", ""]
    parts += ["What `health.stop_on` may name. A sign must last; see the guide.", ""]
    parts += ["| name | title | when |", "|---|---|---|"]
    for name, check in entries("health_check").items():
        parts.append(_cells(f"`{name}`", check.title, check.look.__doc__ or ""))
    return "\n".join(parts).rstrip() + "\n"


def _metric(m: Any) -> str:  # noqa: ANN401  a Metric of the monitoring
    name = "final/REGION/NAME" if m.name == "final/" else m.name
    name += "NAME" if name.endswith("/") else ""
    healthy = "" if m.healthy is None else f"{m.healthy[0]:g} to {m.healthy[1]:g}"
    return _cells(f"`{name}`", m.unit, healthy, _BETTER[m.better], m.meaning)


def _cells(*texts: str) -> str:
    cells = (" ".join(text.split()).replace("|", "\\|").replace("<", "&lt;") for text in texts)
    return f"| {' | '.join(cells)} |"


def main(argv: Sequence[str]) -> int:
    """Write both pages, or with --check say whether they are in step; returns the exit code."""
    code = 0
    for name, text in (("configuration.md", page()), ("metrics.md", metrics_page())):
        path = Path(__file__).parent / name
        if "--check" not in argv:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            print(f"error: {path} is out of step; run make docs")
            code = 1
    return code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
