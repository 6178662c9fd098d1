"""The front door of every verb that reads a configuration.

    argv --> --help?  printed here, without importing Hydra; exit code 0
         --> --extend the files of extensions are loaded
         --> flags    Hydra's own parser; a mistake is one line, exit code 2
         --> proof    every override against the schema and the groups, composition, types, ranges,
                      rules across keys, files; of a multirun, every job. All problems are printed
                      together, a line each, exit code 2; nothing was imported or written
         --> job      one run: the typed configuration of the proof, handed to the verb's job
             Hydra    -m, --cfg and the like: the real hydra.main with its launchers and sweepers;
                      for each job of a multirun it calls a HydraJob, which calls the verb's job

A job is `job(config)`, or `job(config, run_dir)` for a verb that makes a run. It returns its
result (what a sweeper gets), or an exit code: 3 diverged, 130 or 143 stopped by a signal. A
ConfigError from it is printed like the problems above, and the folder made for the run goes.
"""

import gc
import io
import shlex
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from reach_rl.cli import extended, option, refused
from reach_rl.cli.termination import Terminated, code_of, ending, piped
from reach_rl.config import conf_dir
from reach_rl.config.keys import flag_hint
from reach_rl.config.overrides import as_typed
from reach_rl.config.problems import ConfigError, listing, nearest
from reach_rl.config.verbs import VERBS, Verb
from reach_rl.origins import ExtensionError

if TYPE_CHECKING:
    from reach_rl.config.composition import Composer
    from reach_rl.config.load import Proof

Job = Callable[..., Any]
_ASIDE = ("info", "hydra_help")
"""Flags with which Hydra tells about itself; no configuration is proved."""


def run(verb: str, job: Job) -> None:
    """Run a verb on this process's arguments, and exit with its code."""
    gc.set_threshold(100_000)  # imports leave nothing to collect, and looking for it takes a tenth
    raise SystemExit(piped(lambda: front(verb, job, sys.argv[1:])))


def front(verb: str, job: Job, argv: Sequence[str]) -> int:
    """Run a verb on the given arguments; returns the exit code."""
    try:
        with ending(), as_typed(extended(argv)) as words:
            return _front(VERBS[verb], job, words)
    except ExtensionError as error:
        return refused(error)
    except ConfigError as error:
        return refused(error)
    except KeyboardInterrupt as stopped:
        return stopped.code if isinstance(stopped, Terminated) else 130


def _front(verb: Verb, job: Job, argv: list[str]) -> int:
    if {"-h", "--help"} & set(argv):
        from reach_rl.cli.explain import help_text

        print(help_text(verb, _config_dir(option(argv, "--config-dir", "-cd"))))
        return 0
    args = parsed(verb, argv)
    composer = composer_of(verb, args)
    flags = [text for text in argv if text not in args.overrides]
    if any(getattr(args, flag) for flag in _ASIDE):
        return _shown(verb, composer, argv)
    if args.multirun:
        return _multirun(verb, job, composer, flags, args.overrides)
    proof = prove_once(verb, composer, args.overrides)
    if args.cfg:
        return _shown(verb, composer, argv)
    from reach_rl.cli.jobs import run_one

    try:
        return run_one(verb, job, proof)
    except ConfigError as error:
        raise ConfigError(proof.placed(error.problems, verb)) from error


def parsed(verb: Verb, argv: list[str]) -> Namespace:
    """Flags, and what is none: `overrides`. Raises ConfigError."""
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
    given = {"-m": args.multirun, "--run": args.run}
    given |= {f"--{flag}": getattr(args, flag) for flag in ("cfg", *_ASIDE)}
    names = [flag for flag, value in given.items() if value]
    if len(names) > 1:
        raise ConfigError(f"{' and '.join(names)}: do not go together; try {names[-1]} alone")
    if args.shell_completion:
        raise ConfigError("--shell-completion: try reach-rl completion bash, zsh or fish")
    if args.config_path:
        better = shlex.join(["--config-dir", args.config_path])
        raise ConfigError(f"--config-path={args.config_path}: try {better}")
    args.multirun = args.multirun or "hydra.mode=MULTIRUN" in args.overrides
    if args.multirun and not verb.makes_run:
        raise ConfigError(f"-m: {verb.name} runs once; call it for each of them")
    return args


def _config_dir(given: str | None) -> Path | None:
    if given is not None and not Path(given).is_dir():
        raise ConfigError(f"--config-dir={given}: no such folder")
    return None if given is None else Path(given)


def composer_of(verb: Verb, args: Namespace) -> "Composer":
    """What composes as the flags say. Raises ConfigError."""
    from reach_rl.config.composition import Composer
    from reach_rl.config.untrusted import search_folders

    config_dir = _config_dir(args.config_dir)
    name = (args.config_name or verb.name).removesuffix(".yaml")
    folders = search_folders(config_dir, name, args.overrides)
    names = sorted({path.stem for f in (*folders, conf_dir()) for path in f.glob("*.yaml")})
    if name not in names:
        near = nearest(name, names)
        hint = f"try --config-name={near}" if near else f"there are {listing(names)}"
        raise ConfigError(f"--config-name={name}: no such file; {hint}")
    return Composer(name, *folders)


def prove_once(verb: Verb, composer: "Composer", overrides: list[str]) -> "Proof":
    """The proof of a single run. Raises ConfigError."""
    from reach_rl.config.load import prove
    from reach_rl.rundir.resume import going_on, lost, prove_own_task, prove_resumed

    proof, problems = None, []
    if verb.makes_run:
        overrides = going_on(overrides)
        proof = prove_resumed(composer, verb, overrides)
    elif verb.name == "evaluate" and any(text.startswith("task.") for text in overrides):
        proof = prove_own_task(composer, verb, overrides)
    proof = proof or prove(composer, verb, overrides)
    if verb.makes_run and proof.composed is not None:
        problems = lost(proof.composed.tree)
    problems = [*problems, *proof.sweeps(verb), *proof.problems]
    if problems:
        raise ConfigError(problems)
    return proof


def _multirun(
    verb: Verb, job: Job, composer: "Composer", flags: list[str], overrides: list[str]
) -> int:
    """Many runs by Hydra's launcher and sweeper, once every one of them is proved."""
    from reach_rl.cli.jobs import HydraJob
    from reach_rl.config.multirun import prove_jobs
    from reach_rl.rundir.resume import lost_jobs

    problems, plain = prove_jobs(composer, verb, overrides)
    problems += lost_jobs(overrides)
    if problems:
        raise ConfigError(problems)
    task = HydraJob(verb, job, composer.folders)
    with ending(task.report) as signals:
        try:
            _hydra(verb, composer, [*flags, *plain], task)
        finally:
            code = task.close()
        if task.error is not None:
            raise task.error
        return code_of(signals[-1]) if signals else code


def _shown(verb: Verb, composer: "Composer", argv: list[str]) -> int:
    """What Hydra prints; held until its end, for Hydra reports a closed reader as an error."""
    text = io.StringIO()
    try:
        with redirect_stdout(text):
            _hydra(verb, composer, argv, lambda _: None)
    finally:
        print(text.getvalue(), end="")
    return 0


def _hydra(verb: Verb, composer: "Composer", argv: list[str], task: Callable[[Any], Any]) -> None:
    """Hydra's own main, which reads sys.argv."""
    import hydra

    from reach_rl.config.composition import VERSION

    task.__module__ = f"reach_rl.{verb.name}"  # names Hydra's job
    before, sys.argv = sys.argv, [task.__module__, *argv]
    try:
        with composer.searched():
            hydra.main(str(conf_dir()), composer.config_name, VERSION)(task)()
    finally:
        sys.argv = before
