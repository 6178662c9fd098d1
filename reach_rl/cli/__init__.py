"""The command `reach-rl`: lists the verbs and hands over to one; imports only what it needs."""

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec

from reach_rl.config.problems import ConfigError, nearest

VERBS = {
    "train": ("reach_rl.train", "train a policy; with -m many runs, a grid or a search"),
    "evaluate": ("reach_rl.evaluate", "judge a policy on goals that it has never seen"),
    "play": ("reach_rl.play", "the policy in the browser, the goal dragged by mouse"),
    "export": ("reach_rl.export", "a bundle of the policy to deploy"),
    "report": ("reach_rl.report", "one HTML page of a run, several runs or a sweep"),
    "bench": ("reach_rl.bench", "measure throughput and where the time goes"),
    "dashboard": ("reach_rl.dashboard", "build the W&B workspace of the project"),
    "runs": ("reach_rl.cli.runs", "list runs and sweeps: state, steps, success, age"),
    "diff": ("reach_rl.cli.diff", "how two runs differ in configuration, code and results"),
    "repro": ("reach_rl.cli.repro", "the commands that reproduce a run"),
    "explain": ("reach_rl.cli.explain", "what a key means, its range, value and who set it"),
    "completion": ("reach_rl.cli.completion", "completion for bash, zsh or fish"),
}


def verbs() -> dict[str, str]:
    """Verb -> what it does, of the verbs that are there."""
    return {name: about for name, (module, about) in VERBS.items() if find_spec(module)}


def help_text() -> str:
    """What `reach-rl --help` prints."""
    rows = [f"  {name:<12}{about}" for name, about in verbs().items()]
    return "\n".join(
        [
            "Policies that bring the tool of a robot arm to a full pose and hold it there.",
            "",
            "usage: reach-rl VERB [group=option] [key=value] ...",
            "",
            *rows,
            "",
            "reach-rl VERB --help tells more; python -m reach_rl.VERB does the same for the first.",
        ]
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Run a verb; exits with its code."""
    from reach_rl.cli.termination import piped

    words = list(sys.argv[1:] if argv is None else argv)
    raise SystemExit(piped(lambda: dispatch(words)))


def dispatch(words: list[str]) -> int:
    """Run the verb that the words name; returns the exit code."""
    if not words or words[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0
    verb, *rest = words
    if verb == "--version":
        from reach_rl import __version__

        print(f"reach_rl {__version__}")
        return 0
    if verb == "_complete":
        from reach_rl.cli.completion import complete

        print("\n".join(complete(" ".join(rest), verbs())))
        return 0
    if verb not in verbs():
        return _unknown(verb)
    run: Callable[[], int | None] = import_module(VERBS[verb][0]).main
    sys.argv = [f"reach-rl {verb}", *rest]
    return run() or 0


def answered(
    usage: str, answer: Callable[[list[str]], str], argv: Sequence[str] | None = None
) -> int:
    """Print what a small verb answers to its words, its usage, or its errors; the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if {"-h", "--help"} & set(words):
        print(usage)
        return 0
    try:
        print(answer(words))
    except ConfigError as error:
        return refused(error)
    return 0


def refused(error: ConfigError) -> int:
    """Print every problem as a line; the exit code."""
    with suppress(BrokenPipeError):
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
    return 2


def option(words: Sequence[str], *names: str) -> str | None:
    """The value of a flag, as in `--flag value` or `--flag=value`."""
    for i, text in enumerate(words):
        flag, equals, value = text.partition("=")
        if flag in names:
            return value if equals else (words[i + 1] if i + 1 < len(words) else None)
    return None


def _unknown(verb: str) -> int:
    near = nearest(verb, list(verbs()))
    hint = f"did you mean reach-rl {near}?" if near else "see reach-rl --help"
    return refused(ConfigError(f"{verb}: no such verb; {hint}"))
