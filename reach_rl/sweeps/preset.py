"""Presets, files experiment/NAME.yaml: of a search's trial, and of the sizes that bench found.

Of a trial, conf/experiment/tuned_<study>.yaml: what was searched and what the command fixed.
"""

import itertools
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from reach_rl.config import checkout_dir, conf_dir
from reach_rl.config.composition import Composer
from reach_rl.config.load import named
from reach_rl.config.problems import ConfigError, show
from reach_rl.config.problems import command as typed_command
from reach_rl.config.untrusted import redact
from reach_rl.origins import head
from reach_rl.rundir.atomic import reason, write_atomic
from reach_rl.rundir.resume import changes

_OURS = "# study: "
HARMLESS = ("wandb", "progress", "picture", "profile", "torch_threads", "vec_env.threads")
"""Keys that may differ when a study goes on."""

_RUN = ("seed", "total_timesteps", "run_dir", "resume", "checkpoint", "evaluation", "hydra")
_SIDE = (*HARMLESS, *_RUN)
"""Keys of one run, its length, its machine and its judging, which a preset leaves to its user."""


def write(
    name: str,
    overrides: Sequence[str],
    facts: Mapping[str, str],
    folder: Path,
    config_dir: Path | None = None,
    searched: Sequence[str] = (),
) -> Path:
    """Write a preset, and return its path.

    A file of the same study is replaced, any other one is kept and the new one gets a number.

    Args:
        name: of the study.
        overrides: of the trial, as on the command line.
        facts: provenance, a line each; `study` says which study this is.
        folder: where to; see `default_folder`.
        config_dir: the user's folder of groups, if the sweep had one.
        searched: keys that stay, whatever they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = place(name, facts["study"], folder)
    parts = split(overrides, Composer("train", config_dir), searched)
    about = [f"{key}: {fact}" for key, fact in facts.items()]
    about += [line.removeprefix("# ") for line in head(named(parts[1])).splitlines()]
    title = f"What a sweep found best.   python -m reach_rl.train experiment={path.stem}"
    write_atomic(path, text([title, *about], *parts))
    return path


def reserved(given: str) -> Path:
    """A file of the user's own for a preset, where nothing is yet and something can be written.

    Args:
        given: folder of groups DIR, for DIR/experiment/machine.yaml, or DIR/experiment/NAME.yaml.

    Raises:
        ConfigError: it would not be found, or would hide or overwrite something.
    """
    path = Path(given)
    path = path if path.suffix == ".yaml" else path / "experiment" / "machine.yaml"
    group, ours = path.absolute().parent, conf_dir() / "experiment"
    named = re.fullmatch(r"[A-Za-z_]\w*", path.stem, re.ASCII)
    if group.name != "experiment" or not named or group.resolve() == ours.resolve():
        why = "is no place for a preset; try write=DIR or DIR/experiment/NAME.yaml, in your own DIR"
    elif path.exists():
        why = "is there already; remove it, or choose another name"
    elif (ours / path.name).exists():
        why = f"would be hidden by the project's experiment={path.stem}; choose another name"
    else:
        try:
            group.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=group):
                return path
        except OSError as error:
            why = f"cannot be written ({reason(error)}); choose a folder of yours, as my_conf"
    raise ConfigError(f"write={path}: {why}")


def default_folder(sweep: Path, config_dir: Path | None = None) -> Path:
    """Where presets go: into the checkout's conf/experiment if that can be written.

    Otherwise into the user's own folder of groups, or into conf/experiment of the sweep's folder,
    which --config-dir makes known.
    """
    own = conf_dir() / "experiment"
    if conf_dir() == checkout_dir() / "conf" and os.access(own, os.W_OK):
        return own
    return (config_dir or sweep / "conf") / "experiment"


def command(path: Path) -> str:
    """How to train with a preset."""
    shipped = path.parent.parent == conf_dir()
    own = path.absolute().parent.parent if len(path.parts) < 3 else path.parent.parent
    flags = () if shipped else ("--config-dir", own)
    return typed_command("train", *flags, f"experiment={path.stem}")


def place(name: str, study: str, folder: Path) -> Path:
    """The file of a study: tuned_<name>.yaml, or with a number where another study has it."""
    stem = "tuned_" + re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
    for number in itertools.count(1):
        path = folder / (f"{stem}.yaml" if number == 1 else f"{stem}_{number}.yaml")
        if not path.exists() or f"{_OURS}{study}\n" in path.read_text(encoding="utf-8"):
            break
    return path


def text(comments: Sequence[str], defaults: list[Any], tree: dict[str, Any]) -> str:
    """The file; its comments, a line each, pass on no credentials."""
    facts = (" ".join(str(redact(comment)).splitlines()) for comment in comments)
    lines = ["# @package _global_", *(f"# {fact}" for fact in facts)]
    content: dict[str, Any] = {"defaults": defaults} if defaults else {}
    body = yaml.safe_dump(content | tree, sort_keys=False, default_flow_style=None)
    return "\n".join(lines) + "\n" + (body if content or tree else "")


def split(
    overrides: Sequence[str], composer: Composer, searched: Sequence[str] = ()
) -> tuple[list[Any], dict[str, Any]]:
    """Overrides as a defaults list and the values that differ from what it alone gives.

    What a chosen sweep= sets counts too, but for Hydra's own keys.
    """
    from omegaconf import OmegaConf

    sides = [side for side in _SIDE if not any(_within(key, [side]) for key in searched)]
    kept = [o for o in overrides if not _within(o.lstrip("+~").partition("=")[0], sides)]
    full = composer.compose(kept)
    experiment = full.choices.get("experiment")
    presets = [f"experiment={show(experiment)}"] if experiment else []
    usual = composer.compose(presets).choices
    chosen = {
        group: option
        for group, option in full.choices.items()
        if option != usual.get(group) and group not in ("sweep", "experiment", *_SIDE)
    }
    groups = [f"{group}={show(option)}" for group, option in chosen.items()]
    plain: Any = OmegaConf.to_container  # as written, interpolations included
    before, after = (plain(c.cfg) for c in (composer.compose([*presets, *groups]), full))
    found = changes(before, after, ())
    tree = nested({key: value for key, (_, value) in found if not _within(key, sides)})
    names: list[Any] = experiment if isinstance(experiment, list) else [experiment]
    overriding = [{f"override /{group}": option} for group, option in chosen.items()]
    return [*(name for name in names if name), *overriding], tree


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """A tree of dotted keys."""
    from omegaconf import OmegaConf

    tree = OmegaConf.create()
    for key, value in values.items():
        OmegaConf.update(tree, key, value, merge=False)
    return OmegaConf.to_container(tree)  # type: ignore[return-value]


def _within(key: str, sides: Sequence[str]) -> bool:
    return key in sides or key.startswith(tuple(f"{side}{end}" for side in sides for end in "./"))
