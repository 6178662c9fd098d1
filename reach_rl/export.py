"""Write a policy into a folder that others can use: python -m reach_rl.export run=DIR."""

import shutil
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from reach_rl.cli.front_door import run
from reach_rl.config.problems import ConfigError
from reach_rl.config.verbs import ExportConfig, ExportFormat

if TYPE_CHECKING:
    from reach_rl.training.snapshot import TrainedPolicy

UNPROVEN = 1
"""Exit code of a bundle that does not compute what the policy does."""


def job(wanted: ExportConfig) -> int:
    """Write the folder; returns the exit code.

    Raises:
        ConfigError: the run, its checkpoint or the folder is not fit.
    """
    from reach_rl.monitoring.terminal import TeeConsole
    from reach_rl.training.snapshot import load

    say = partial(TeeConsole().print, markup=False, soft_wrap=True)
    subject = load(Path(wanted.run), wanted.checkpoint, say)
    out = Path(wanted.out or Path(wanted.run) / f"export_{wanted.format.value}")
    if wanted.format is ExportFormat.SB3:
        return _sb3(subject, out, say)
    return _bundle(wanted, subject, out, say)


def _sb3(subject: "TrainedPolicy", out: Path, say: Callable[[str], None]) -> int:
    from reach_rl.bundles import sb3

    with published(out, sb3.FILES) as folder:
        sb3.write(subject, folder)
    say(f"{subject.folder.name} for Stable-Baselines3 is in {out}")
    return 0


def _bundle(
    wanted: ExportConfig, subject: "TrainedPolicy", out: Path, say: Callable[[str], None]
) -> int:
    from reach_rl.bundles import onnx_bundle as bundle
    from reach_rl.bundles.card import HUB_FILES, card, complete_for_hub
    from reach_rl.envs.vec_env import threads_of
    from reach_rl.rundir import atomic

    subject = subject.on(None, wanted.servo_lag)
    for_hub = wanted.format is ExportFormat.HUB
    try:
        with published(out, bundle.FILES | HUB_FILES if for_hub else bundle.FILES) as folder:
            contract, figures = bundle.write(
                subject,
                folder,
                goals=wanted.goals,
                seed=wanted.seed,
                threads=threads_of(wanted.threads),
                observed=wanted.format is ExportFormat.ONNX_OBSERVATION,
            )
            if for_hub:
                complete_for_hub(folder, subject.folder, contract, figures, out.name)
            else:
                atomic.write_atomic(folder / "README.md", card(contract))
    except bundle.Unproven as error:
        say(f"not exported: {error}")
        return UNPROVEN
    proof = contract["proof"]
    say(
        f"onnxruntime and torch agree over {proof['observations']:,} observations: joint targets "
        f"differ by at most {proof['largest_difference_rad']:.1g} rad",
    )
    if figures is not None:
        rate, region = figures["success_rate"], figures["region"]
        say(f"the bundle reaches {rate:.1%} of {wanted.goals:,} goals of {region}")
    say(f"{subject.folder.name} is in {out}")
    return 0


@contextmanager
def published(out: Path, own: Set[str]) -> Iterator[Path]:
    """An empty folder to write to, which becomes `out` once the block ends without an error.

    Args:
        out: the place; an earlier export there is replaced.
        own: names of the files that this format writes.

    Raises:
        ConfigError: something else is there.
    """
    if out.is_file():
        raise ConfigError(f"out={out}: is a file; give a folder")
    others = sorted({path.name for path in out.glob("*")} - own)
    if others:
        raise ConfigError(
            f"out={out}: holds {others[0]}, no export of this kind; give a new folder"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    work = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        yield work
        if out.exists():
            shutil.rmtree(out)
        work.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    run("export", job)
