"""Shell completion: what may follow what has been typed; texts/ has the scripts that ask.

Hydra's own composes a configuration at each tab, and knows neither verbs nor names of terms.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

from reach_rl.cli import TEXTS
from reach_rl.config.keys import ITEM, Key, below, find, keys
from reach_rl.config.problems import ConfigError, nearest
from reach_rl.config.sheets import groups, sheets
from reach_rl.config.verbs import VERBS, Verb
from reach_rl.origins import conf_folders

FLAGS = ("--help", "--multirun", "--config-dir", "--extend", "--cfg")
SHELLS = ("bash", "zsh", "fish")


def answer(words: list[str]) -> str:
    """The script of a shell. Raises ConfigError."""
    shell = words[0] if words else ""
    if shell and shell not in SHELLS:
        near = nearest(shell, list(SHELLS))
        hint = f"try reach-rl completion {near}" if near else "there are bash, zsh and fish"
        raise ConfigError(f"{shell}: no such shell; {hint}")
    script = Path(__file__).parent / "texts" / f"reach-rl.{shell}"
    return script.read_text(encoding="utf-8").strip() if shell else TEXTS["usage"]["completion"]


def complete(line: str, verbs: Iterable[str]) -> list[str]:
    """Whole words that may stand where the line ends."""
    words = line.split()
    current = "" if not words or line[-1:].isspace() else words.pop()
    verb = words[1] if len(words) > 1 else ""
    found: Iterable[str] = {"": verbs, "completion": SHELLS}.get(verb, ())
    if verb == "explain":
        found = [word.removesuffix("=") for word in _words(VERBS["train"], current, words)]
    elif verb in VERBS:
        found = _words(VERBS[verb], current, words)
    return [word for word in dict.fromkeys(found) if word.startswith(current)]


def _words(verb: Verb, current: str, before: list[str]) -> Iterable[str]:
    dirs = [b for a, b in pairwise(before) if a in ("--config-dir", "-cd")]
    own = Path(dirs[-1]) if dirs and Path(dirs[-1]).is_dir() else None
    options = groups(sheets(own, *conf_folders()))
    path, equals, value = current.partition("=")
    if current.startswith("-"):
        return FLAGS
    if equals:
        first, comma, _ = value.rpartition(",")
        found = options.get(path) or _choices(find(verb.schema, path))
        return [f"{path}={first}{comma}{choice}" for choice in found]
    paths = list(_paths(verb.schema))
    if "." in path:
        return [f"{name}=" for name in paths if "." in name]
    chosen = options if verb.makes_run else [g for g in options if find(verb.schema, g)]
    first = {name.partition(".")[0]: "." in name for name in paths}
    keys_ = [f"{name}{'.' if deep else '='}" for name, deep in first.items()]
    return [*(f"{group}=" for group in chosen if group != "sweep" or verb.name == "train"), *keys_]


def _paths(schema: type) -> Iterator[str]:
    """The keys that hold values, those of each term included."""
    for key in [key for key in keys(schema).values() if ITEM not in key.path]:
        if key.leaf:
            yield key.path
        for name in key.names if key.is_mapping else ():
            yield from (f"{key.path}.{name}.{k}" for k in below(schema, f"{key.path}.{name}"))


def _choices(key: Key | None) -> list[str]:
    words = [] if key is None else ["true", "false"] if key.type is bool else key.choices
    return [*words, *(["null"] if key is not None and key.optional else [])]
