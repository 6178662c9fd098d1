"""The front door of every verb that reads a configuration.

    argv --> --help?  printed here, without importing Hydra; exit code 0
         --> flags    Hydra's own parser; a mistake is one line, exit code 2
         --> proof    every override against the schema and the groups, composition, types, ranges,
                      rules across keys, files; of a multirun, every job. All problems are printed
                      together, a line each, exit code 2; nothing was imported or written
         --> Hydra    the real hydra.main, so that -m, launchers, sweepers, --cfg and --info work;
                      it calls a Task, which types the configuration and calls the verb's job

A job is `job(config)`, or `job(config, run_dir)` for a verb that makes a run. It returns its
result (what a sweeper gets), or an exit code: 3 diverged, 130 or 143 stopped by a signal. A
ConfigError from it is printed like the problems above, and the folder made for the run goes.
"""

import io
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from reach_rl.cli.ending import Terminated, ending
from reach_rl.cli.pipe import piped
from reach_rl.config.code import check_files
from reach_rl.config.keys import flag_hint
from reach_rl.config.paths import conf_dir
from reach_rl.config.problems import ConfigError, listing, nearest
from reach_rl.config.verbs import VERBS, Verb

if TYPE_CHECKING:
    from reach_rl.cli.job import Task
    from reach_rl.config.prove import Proof

_SHOWS = ("cfg", "info", "hydra_help", "shell_completion")


def run(verb: str, job: Callable[..., Any]) -> None:
    """Run a verb on this process's arguments, and exit with its code."""
    raise SystemExit(piped(lambda: front(verb, job, sys.argv[1:])))


def front(verb: str, job: Callable[..., Any], argv: Sequence[str]) -> int:
    """Run a verb on the given arguments; returns the exit code."""
    try:
        with ending():
            return _front(VERBS[verb], job, list(argv))
    except ConfigError as error:
        with suppress(BrokenPipeError):
            for problem in error.problems:
                print(f"error: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:
        return stopped.code if isinstance(stopped, Terminated) else 130


def _front(verb: Verb, job: Callable[..., Any], argv: list[str]) -> int:
    if {"-h", "--help"} & set(argv):
        from reach_rl.cli.help import help_text

        print(help_text(verb, _config_dir(_option(argv, "--config-dir", "-cd"))))
        return 0
    args = _parse(verb, argv)
    config_dir = _config_dir(args.config_dir)
    name = _config_name(verb, args.config_name, config_dir)
    check_files(config_dir, name, args.overrides)
    showing = any(getattr(args, flag) for flag in _SHOWS)
    multirun = args.multirun or "hydra.mode=MULTIRUN" in args.overrides
    overrides, proof = list(args.overrides), None
    if not showing:
        overrides, proof = _prove(verb, name, config_dir, overrides, multirun)
    flags = [text for text in argv if text not in args.overrides]
    from reach_rl.cli.job import Task

    task = Task(verb.name, job, multirun, config_dir)
    if proof is not None and proof.composed is None:  # a run that goes on has its own configuration
        task.own = proof.config, overrides
        overrides = [text for text in overrides if text.lstrip("+~").startswith("hydra")]
    try:
        with _held() if showing else nullcontext(), ending(task.report) as end:
            code = _hand_over(task, name, [*flags, *overrides])
            return end.code or code
    except ConfigError as error:
        problems = proof.placed(error.problems, verb) if proof is not None else error.problems
        raise ConfigError(problems) from error


def _parse(verb: Verb, argv: list[str]) -> Namespace:
    from hydra._internal.utils import get_args_parser

    def refuse(message: str) -> NoReturn:
        hints = [flag_hint(verb.schema, word) for word in message.split() if word.startswith("-")]
        hint = next(filter(None, hints), f"see python -m reach_rl.{verb.name} --help")
        raise ConfigError(f"{message}; {hint}")

    parser = get_args_parser()
    parser.allow_abbrev = False
    parser.error = refuse
    args = parser.parse_intermixed_args(argv)
    if args.experimental_rerun:
        raise ConfigError("--experimental-rerun: would run a pickle; try reach-rl repro RUN")
    flags = {"-m": args.multirun, "--run": args.run} | {f"--{f}": getattr(args, f) for f in _SHOWS}
    given = [flag for flag, value in flags.items() if value]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)}: do not go together; try {given[-1]} alone")
    if args.config_path:
        raise ConfigError(f"--config-path={args.config_path}: try --config-dir {args.config_path}")
    if args.multirun and not verb.makes_run:
        raise ConfigError(f"-m: {verb.name} runs once; call it for each of them")
    return args


def _option(argv: list[str], *names: str) -> str | None:
    for i, text in enumerate(argv):
        flag, equals, value = text.partition("=")
        if flag in names:
            return value if equals else (argv[i + 1] if i + 1 < len(argv) else None)
    return None


def _config_dir(given: str | None) -> Path | None:
    if given is not None and not Path(given).is_dir():
        raise ConfigError(f"--config-dir={given}: no such folder")
    return None if given is None else Path(given)


def _config_name(verb: Verb, given: str | None, config_dir: Path | None) -> str:
    if given is None:
        return verb.name
    folders = [folder for folder in (config_dir, conf_dir()) if folder is not None]
    names = sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})
    name = given.removesuffix(".yaml")
    if name not in names:
        near = nearest(name, names)
        hint = f"try --config-name={near}" if near else f"there are {listing(names)}"
        raise ConfigError(f"--config-name={given}: no such file; {hint}")
    return name


def _prove(
    verb: Verb, name: str, config_dir: Path | None, overrides: list[str], multirun: bool
) -> "tuple[list[str], Proof | None]":
    """The overrides as Hydra is to get them, and the proof of a single run."""
    from reach_rl.config.composition import Composer
    from reach_rl.config.jobs import prove_jobs
    from reach_rl.config.prove import prove
    from reach_rl.rundir.requeue import going_on
    from reach_rl.rundir.resumed import lost, lost_jobs, prove_resumed

    composer, proof = Composer(name, config_dir), None
    if multirun:
        asked = list(overrides)
        problems, overrides = prove_jobs(composer, verb, overrides)
        problems = [*problems, *lost_jobs(asked)]
    else:
        overrides = going_on(overrides) if verb.makes_run else overrides
        proof = prove_resumed(composer, verb, overrides) if verb.makes_run else None
        proof = proof or prove(composer, verb, overrides)
        problems = [*proof.sweeps(verb), *proof.problems]
        if verb.makes_run and proof.composed is not None:
            problems = [*lost(proof.composed.tree), *problems]
    if problems:
        raise ConfigError(problems)
    return overrides, proof


def _hand_over(task: "Task", name: str, argv: list[str]) -> int:
    import hydra

    from reach_rl.config.composition import without_rivals

    without_rivals()
    entry = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=name)(task)
    with _arguments([f"reach_rl.{task.verb}", *argv]):
        try:
            entry()
        finally:
            task.close()
    if task.error is not None:
        raise task.error
    return task.code


@contextmanager
def _held() -> Iterator[None]:
    """Print at the end what Hydra prints meanwhile; it would report a closed reader as an error."""
    text = io.StringIO()
    try:
        with redirect_stdout(text):
            yield
    finally:
        print(text.getvalue(), end="")


@contextmanager
def _arguments(argv: list[str]) -> Iterator[None]:
    """Hydra reads sys.argv."""
    before, sys.argv = sys.argv, argv
    try:
        yield
    finally:
        sys.argv = before
