"""Shell completion: what may follow what has been typed, and the scripts that ask for it."""

import sys
import typing
from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path

from reach_rl.config.keys import ITEM, Key, find, keys, unwrap
from reach_rl.config.names import names
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
    if len(words) <= 1:
        return _starting(current, verbs)
    verb = words[1]
    if verb == "completion":
        return _starting(current, SCRIPTS)
    config_dir = _config_dir(words)
    if verb == "explain":
        known = VERBS["train"]
        return [word.removesuffix("=") for word in _words(known, current, config_dir)]
    return _words(VERBS[verb], current, config_dir) if verb in VERBS else []


def _starting(current: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(current)]


def _config_dir(words: list[str]) -> Path | None:
    after = [words[i + 1] for i, word in enumerate(words[:-1]) if word in ("--config-dir", "-cd")]
    return Path(after[-1]) if after and Path(after[-1]).is_dir() else None


def _words(verb: Verb, current: str, config_dir: Path | None) -> list[str]:
    if current.startswith("-"):
        return _starting(current, FLAGS)
    options = groups(sheets(config_dir))
    key, equals, value = current.partition("=")
    if equals:
        before, comma, last = value.rpartition(",")
        found = options.get(key) or _choices(verb, key)
        return [f"{key}={before}{comma}{choice}" for choice in _starting(last, found)]
    first = key.partition(".")[0] if "." in key else ""
    return _starting(
        current,
        dict.fromkeys(
            [*(_group_words(verb, options) if not first else ()), *_key_words(verb, first)]
        ),
    )


def _group_words(verb: Verb, options: Iterable[str]) -> list[str]:
    if verb.name == "bench":
        options = [group for group in options if group != "sweep"]
    elif not verb.makes_run:
        options = [group for group in options if find(verb.schema, group) is not None]
    return [f"{group}=" for group in options]


def _key_words(verb: Verb, first: str) -> list[str]:
    """Keys below a first part; without one, single keys and the first parts themselves."""
    found = []
    for key in keys(verb.schema):
        paths = _named(key)
        head, dot, _ = key.path.partition(".")
        if first and head == first and dot:
            found += [f"{path}=" for path in paths if key.leaf]
        elif not first and not dot:
            found.append(f"{key.path}=" if key.leaf else f"{key.path}.")
    return found


def _named(key: Key) -> list[str]:
    """The paths of a key with the names of terms put in for `*`."""
    if ITEM not in key.path:
        return [key.path]
    group = key.path.partition(f".{ITEM}")[0]
    return [key.path.replace(ITEM, name) for name in names(group)]


def _choices(verb: Verb, path: str) -> Sequence[str]:
    key = find(verb.schema, path)
    if key is None:
        return ()
    inner, optional = unwrap(key.type)
    null = ["null"] if optional else []
    if isinstance(inner, type) and issubclass(inner, Enum):
        return [str(member.value) for member in inner] + null
    if inner is bool:
        return ["true", "false"]
    if typing.get_origin(inner) is None and (known := names(path)):
        return [*known, *null]
    return null
