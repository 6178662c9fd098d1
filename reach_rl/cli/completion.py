"""Shell completion: what may follow what has been typed, and the scripts that ask for it.

Hydra's own composes a configuration at each tab, and knows neither verbs nor names of terms.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from reach_rl.config.keys import ITEM, Key, below, find, keys
from reach_rl.config.problems import nearest
from reach_rl.config.sheets import groups, sheets
from reach_rl.config.verbs import VERBS, Verb

FLAGS = ("--help", "--multirun", "--config-dir", "--cfg")
SCRIPTS = {
    "bash": r"""_reach_rl() {
    local line="${COMP_LINE:0:COMP_POINT}" word reply
    word="${line##*[[:space:]]}"
    COMPREPLY=()
    while IFS= read -r reply; do
        [[ $reply == *[=.] ]] || reply="$reply "
        [[ $COMP_WORDBREAKS == *=* && $word == *=* ]] && reply="${reply#"${word%=*}="}"
        COMPREPLY+=("$reply")
    done < <(reach-rl _complete "$line" 2>/dev/null)
}
complete -o default -o nospace -F _reach_rl reach-rl""",
    "zsh": r"""#compdef reach-rl
_reach_rl() {
    local -a found=("${(@f)$(reach-rl _complete "$LBUFFER" 2>/dev/null)}")
    [[ -n $found ]] || { _files; return }
    compadd -Q -S '' -- ${(M)found:#*[=.]}
    compadd -Q -- ${found:#*[=.]}
}
compdef _reach_rl reach-rl""",
    "fish": "complete -c reach-rl -f -a '(reach-rl _complete (commandline -cp | string collect))'",
}
INSTALL = """usage: reach-rl completion bash|zsh|fish

  bash   reach-rl completion bash >> ~/.bashrc
  zsh    reach-rl completion zsh > "${fpath[1]}/_reach-rl"   (before compinit)
  fish   reach-rl completion fish > ~/.config/fish/completions/reach-rl.fish"""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the script of a shell; returns the exit code."""
    shell = [*(sys.argv[1:] if argv is None else argv), ""][0]
    if shell in SCRIPTS:
        print(SCRIPTS[shell])
    elif shell in ("", "-h", "--help"):
        print(INSTALL)
    else:
        near = nearest(shell, list(SCRIPTS))
        hint = f"try reach-rl completion {near}" if near else "there are bash, zsh and fish"
        print(f"error: {shell}: no such shell; {hint}", file=sys.stderr)
        return 2
    return 0


def complete(line: str, verbs: Iterable[str]) -> list[str]:
    """Whole words that may stand where the line ends; verbs are those that exist."""
    words = line.split()
    current = "" if not words or line[-1:].isspace() else words.pop()
    verb = words[1] if len(words) > 1 else ""
    found: Iterable[str] = {"": verbs, "completion": SCRIPTS}.get(verb, ())
    if verb == "explain":
        found = [word.removesuffix("=") for word in _words(VERBS["train"], current, words)]
    elif verb in VERBS:
        found = _words(VERBS[verb], current, words)
    return [word for word in dict.fromkeys(found) if word.startswith(current)]


def _words(verb: Verb, current: str, before: list[str]) -> Iterable[str]:
    dirs = [b for a, b in pairwise(before) if a in ("--config-dir", "-cd")]
    options = groups(sheets(Path(dirs[-1]) if dirs and Path(dirs[-1]).is_dir() else None))
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
