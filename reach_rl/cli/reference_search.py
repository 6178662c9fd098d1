"""The part of docs/configuration.md on searches: the keys of hydra.sweeper, samplers, pruners."""

from collections.abc import Iterator, Mapping
from typing import Any

from reach_rl.config.keys import bounds_of, bounds_text, hints, type_text, unwrap
from reach_rl.config.problems import listing, show
from reach_rl.config.search import OBJECTIVES, PATH, PRUNERS, SAMPLERS, Search
from reach_rl.config.sheets import Sheet, meaning

_GROUP = "hydra/sweeper"
_HEAD = ["| key | default | meaning | unit | type and range |", "|---|---|---|---|---|"]


def search_part(files: Mapping[str, Sheet]) -> Iterator[str]:
    """Lines of Markdown."""
    yield from (
        "## Searches",
        "",
        "With `-m` and `sweep=ppo`, `sweep=search` or another search.",
        "",
    )
    yield from (*_table(files[f"{_GROUP}/optuna"], Search, PATH), "")
    yield from (f"`{PATH}.objective` is {listing([f'`{n}`' for n in OBJECTIVES], 99)}.", "")
    for name, table in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
        for option, schema in table.items():
            sheet = files[f"{_GROUP}/{name}/{option}"]
            yield from (f"### {_GROUP}/{name}={option}", "", sheet.head[0], "")
            rows = list(_table(sheet, schema, f"{PATH}.{name}"))
            yield from [*rows, ""] if len(rows) > len(_HEAD) else []


def _table(sheet: Sheet, schema: type, path: str) -> Iterator[str]:
    yield from _HEAD
    for key, value in sheet.tree.items():
        comment = sheet.comments.get(f"{sheet.package}.{key}", "")
        if comment:
            about = meaning(comment)
            cells = (f"`{path}.{key}`", f"`{show(value)}`", about.text, about.unit)
            yield "| " + " | ".join(_cell(cell) for cell in (*cells, _type(schema, key))) + " |"


def _type(schema: type, key: str) -> str:
    tp: Any = hints(schema)[key]
    bounds = bounds_of(schema, key)
    null = " or null" if unwrap(tp)[1] else ""
    return type_text(tp) + null + (f", {bounds_text(bounds)}" if bounds else "")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
