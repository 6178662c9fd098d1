"""Shell completion: what may follow what has been typed, and the scripts that ask for it.

Hydra's own composes a configuration at each tab, and knows neither verbs nor names of terms.
"""

import sys
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from reach_rl.config.keys import ITEM, Key, find, keys
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
complete -o default -o nospace -F _reach_rl reach-rl
""",
    "zsh": r"""#compdef reach-rl
_reach_rl() {
    local -a found more done
    found=("${(@f)$(reach-rl _complete "$LBUFFER" 2>/dev/null)}")
    more=(${(M)found:#*[=.]})
    done=(${found:#*[=.]})
    (( $#found )) || { _files; return }
    (( $#more )) && compadd -Q -S '' -a more
    (( $#done )) && compadd -Q -a done
}
compdef _reach_rl reach-rl
""",
    "fish": r"""complete -c reach-rl -f -a '(reach-rl _complete (commandline -cp | string collect))'
""",
}
INSTALL = """usage: reach-rl completion bash|zsh|fish

  bash   reach-rl completion bash >> ~/.bashrc
  zsh    reach-rl completion zsh > "${fpath[1]}/_reach-rl"   (before compinit)
  fish   reach-rl completion fish > ~/.config/fish/completions/reach-rl.fish"""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the script of a shell; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    shell = words[0] if words else ""
    if shell in SCRIPTS:
        print(SCRIPTS[shell], end="")
        return 0
    if shell in ("", "-h", "--help"):
        print(INSTALL)
        return 0
    near = nearest(shell, list(SCRIPTS))
    hint = f"try reach-rl completion {near}" if near else "there are bash, zsh and fish"
    print(f"error: {shell}: no such shell; {hint}", file=sys.stderr)
    return 2


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
    leaves = [key for key in keys(verb.schema).values() if key.leaf and not key.path.endswith(ITEM)]
    if "." in path:
        return [f"{name}=" for key in leaves if "." in key.path for name in _named(verb, key)]
    chosen = options if verb.makes_run else [g for g in options if find(verb.schema, g)]
    if verb.name == "bench":
        chosen = [group for group in options if group != "sweep"]
    single = [f"{key.path}=" for key in leaves if "." not in key.path]
    parts = [f"{key.path.partition('.')[0]}." for key in leaves if "." in key.path]
    return [*(f"{group}=" for group in chosen), *single, *parts]


def _named(verb: Verb, key: Key) -> list[str]:
    """The paths of a key with the names of terms put in for `*`."""
    group, star, _ = key.path.partition(f".{ITEM}")
    above = find(verb.schema, group)
    names = above.names if star and above is not None else ()
    return [key.path.replace(ITEM, name) for name in names] if star else [key.path]


def _choices(key: Key | None) -> Sequence[str]:
    if key is None:
        return ()
    return [*(["true", "false"] if key.type is bool else key.choices), *["null"] * key.optional]
