"""Writes docs/configuration.md, the reference of every key; make docs calls it.

python -m reach_rl.cli.reference [--check]
"""

import sys
from collections.abc import Iterator, Mapping, Sequence

from reach_rl.cli.explain import all_meanings, meaning_of, schema_paths
from reach_rl.config.keys import ITEM, Key, keys
from reach_rl.config.paths import checkout_dir
from reach_rl.config.problems import listing, show
from reach_rl.config.schema import Config
from reach_rl.config.search import OBJECTIVES, PATH, PRUNERS, SAMPLERS, Search
from reach_rl.config.sheets import Meaning, Sheet, chain, chosen, groups, meaning, sheets, values
from reach_rl.config.verbs import VERBS, Verb

MODULE = "reach_rl.cli.reference"
_HEAD = ("| key | default | meaning | unit | type and range |", "|---|---|---|---|---|")
HEAD = """# Every key of the configuration

Generated from `conf/` and the schema by `make docs`; do not edit.
`reach-rl explain KEY` tells the same about one key, with its value and the file that set it.
"""


def page() -> str:
    """The whole reference as Markdown."""
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
            parts += [f"## The verb {verb.name}", "", verb.summary, "", *_keys(verb, files, ""), ""]
    return "\n".join(parts).rstrip() + "\n"


def _options(files: Mapping[str, Sheet], group: str, default: str | None) -> list[str]:
    rows = ["| option | what it is | how to use it |", "|---|---|---|"]
    for option in groups(files)[group]:
        sentence, command = files[f"{group}/{option}"].head
        mark = " (default)" if option == default else ""
        rows.append(f"| `{option}`{mark} | {_cell(sentence)} | `{command}` |")
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
    cells = (f"`{path}`", value, about.text, about.unit, kind)
    return "| " + " | ".join(map(_cell, cells)) + " |"


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
    yield from (f"`{PATH}.objective` is {listing([f'`{n}`' for n in OBJECTIVES], 99)}.", "")
    for name, table in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
        for option, schema in table.items():
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


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def keep(name: str, text: str, module: str, argv: Sequence[str] | None = None) -> int:
    """Write a generated page of docs/, or with --check say whether it is in step.

    Args:
        name: of the file in docs/.
        text: of the page.
        module: that writes it.
        argv: of the command line; this process's by default.

    Returns:
        The exit code.
    """
    path = checkout_dir() / "docs" / name
    if "--check" in (sys.argv[1:] if argv is None else argv):
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return 0
        print(f"error: {path} is out of step; run make docs (python -m {module})")
        return 1
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Write or check docs/configuration.md; returns the exit code."""
    return keep("configuration.md", page(), MODULE, argv)


if __name__ == "__main__":
    raise SystemExit(main())
