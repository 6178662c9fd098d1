"""The help of a verb: what it does, its groups with their options, its keys, and examples."""

import shutil
import textwrap
from pathlib import Path

from reach_rl.config.problems import show
from reach_rl.config.sheets import Sheet, chain, chosen, groups, meanings, sheets, values
from reach_rl.config.verbs import Verb

_FLAGS = (
    ("-m, --multirun", "several runs: values separated by commas, or a search"),
    ("--config-dir DIR", "groups and options of your own; they appear above"),
    ("--cfg job", "print the composed configuration and stop"),
    ("--hydra-help", "the help of Hydra, which composes the configuration"),
)


def help_text(verb: Verb, config_dir: Path | None = None) -> str:
    """At most 60 lines of at most 80 columns (as wide as the terminal, if that is wider)."""
    files = sheets(config_dir)
    width = max(79, min(119, shutil.get_terminal_size().columns - 1))
    call = f"python -m reach_rl.{verb.name}"
    parts = [
        f"{verb.summary}\n",
        f"usage: {call} [group=option] [key=value] ...",
        f"   or: reach-rl {verb.name} ...\n",
        *_groups(files, verb, width),
        *_keys(files, verb, width),
        "Examples:",
        *_columns([(f"reach-rl {verb.name} {x}".strip(), f"# {why}") for x, why in verb.examples]),
        "\nMore:",
        *_columns([*_FLAGS[0 if verb.makes_run else 1 :], _explain()]),
    ]
    return "\n".join(parts)


def _explain() -> tuple[str, str]:
    return ("reach-rl explain KEY", "what a key means, its range, and who set it")


def _groups(files: dict[str, Sheet], verb: Verb, width: int) -> list[str]:
    defaults = chosen(files, verb.name)
    options = groups(files)
    named = [group for group in [*defaults, *options] if group in options]
    if not defaults:
        return []
    if not verb.makes_run:
        named = [group for group in named if group in defaults and group != "sweep"]
    lines = ["Groups (* is chosen when you say nothing):"]
    for group in dict.fromkeys(named):
        marked = [f"*{o}" if o == defaults.get(group) else o for o in options[group]]
        indent = " " * 15
        text = textwrap.wrap("  ".join(marked), width - len(indent)) or [""]
        lines.append(f"  {group + '=':<13}" + f"\n{indent}".join(text))
    return [*lines, ""]


def _keys(files: dict[str, Sheet], verb: Verb, width: int) -> list[str]:
    stack = chain(files, verb.name)
    now, means = values(stack), meanings(verb.schema, stack)
    lines = ["Keys that people change (there are many more: reach-rl explain):"]
    column = max(len(key) + len(show(now.get(key))) for key in verb.keys) + 1
    for key in verb.keys:
        about = means.get(key)
        text = (
            f"{about.text} ({about.unit})" if about and about.unit else about.text if about else ""
        )
        left = f"  {key + '=' + show(now.get(key)):<{column}}  "
        lines.append(left + textwrap.shorten(text, width - len(left), placeholder=" ..."))
    return [*lines, ""]


def _columns(rows: list[tuple[str, str]]) -> list[str]:
    column = max(len(left) for left, _ in rows)
    return [f"  {left:<{column}}  {right}" for left, right in rows]
