"""Play with a policy: python -m reach_rl.play run=DIR."""

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from reach_rl.cli.front_door import run
from reach_rl.config import assets_dir
from reach_rl.config.problems import ConfigError, listing
from reach_rl.config.verbs import PlayConfig, Viewer

if TYPE_CHECKING:
    from reach_rl.config.schema import Config
    from reach_rl.learning.policy import Policy

DEFAULT = "ur5e"
"""Whose shipped policy plays if nothing is said."""

Source = Callable[[], "tuple[Config, Policy]"]


def job(wanted: PlayConfig) -> int:
    """Serve the page, or open the window, until somebody stops it.

    Returns:
        130 or 143, for it ends by a signal; 0 where the window was closed.

    Raises:
        ConfigError: there is no such policy, the port is taken, or there is no display.
    """
    sources = _sources(wanted)
    chosen = next(iter(sources))
    if wanted.viewer is Viewer.NATIVE:
        return _native(sources[chosen], wanted)
    return _serve(sources, chosen, wanted)


def _serve(sources: Mapping[str, Source], chosen: str, wanted: PlayConfig) -> int:
    from reach_rl.training.stopping import listening
    from reach_rl.viz.access import open_server

    _check_port(wanted.host, wanted.port)
    with listening() as stop, open_server(wanted.host, wanted.port, wanted.token) as (server, url):
        from reach_rl.viz.player.player import Player

        player = Player(server, sources, chosen, wanted.seed)
        print(f"playing {chosen}: open {url}", flush=True)
        print(
            f"from another machine: ssh -L {wanted.port}:127.0.0.1:{wanted.port} THIS_MACHINE, "
            f"then the same address; Ctrl-C ends it",
            flush=True,
        )
        try:
            player.run(lambda: stop.signal is not None)
        finally:
            player.close()
        return stop.exit_code


def _native(source: Source, wanted: PlayConfig) -> int:
    from reach_rl.training.stopping import listening
    from reach_rl.viz.player.native import show

    with listening() as stop:
        show(*source(), wanted.seed, lambda: stop.signal is not None)
        return stop.exit_code


def _sources(wanted: PlayConfig) -> dict[str, Source]:
    """Policies to choose from, by the name that the page shows; what was asked for comes first."""
    shipped = _shipped()
    if wanted.run is None:
        robot = DEFAULT if wanted.robot is None else wanted.robot.name
        if robot not in shipped:
            raise ConfigError(
                f"robot={robot}: no policy ships for it; there are {listing(shipped)}; or train "
                f"one (python -m reach_rl.train robot={robot}) and give run=DIR"
            )
        first = {robot: shipped.pop(robot)}
    else:
        first = _of_run(Path(wanted.run), wanted.checkpoint)
    return {_title(name): _loader(folder) for name, folder in {**first, **shipped}.items()}


def _shipped() -> dict[str, Path]:
    """Robot -> checkpoint folder of the policies that come with the package."""
    from reach_rl.rundir import checkpoint

    homes = sorted(p for p in (assets_dir() / "policies").glob("*") if p.is_dir())
    return {home.name: checkpoint.resolve(home, "best") for home in homes}


def _of_run(folder: Path, wanted: str) -> dict[str, Path]:
    """Checkpoints of a run, the wanted one first."""
    from reach_rl.rundir import checkpoint

    checkpoints = folder / "checkpoints"
    named = [name for name in ("best", "latest") if checkpoint.pointed(checkpoints, name)]
    first = "latest" if wanted == "best" and wanted not in named else wanted
    found = {name: checkpoint.resolve(checkpoints, name) for name in dict.fromkeys([first, *named])}
    for saved in sorted(checkpoints.glob("step_*"), reverse=True):
        found.setdefault(saved.name, saved)
    return {f"{folder.resolve().name} {name}": path for name, path in found.items()}


def _title(name: str) -> str:
    return f"{name} (ships with reach_rl)" if (assets_dir() / "policies" / name).is_dir() else name


def _loader(folder: Path) -> Source:
    def load() -> "tuple[Config, Policy]":
        from reach_rl.rundir import checkpoint
        from reach_rl.rundir.provenance import own_model
        from reach_rl.training.snapshot import policy_of

        saved = checkpoint.read(folder)
        return own_model(saved.config, folder.parents[1], print), policy_of(saved)

    return load


def _check_port(host: str, port: int) -> None:
    """Raise a ConfigError where the port cannot be had."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as error:
        raise ConfigError(
            f"host={host}: no such address; try host=127.0.0.1 for this machine"
        ) from error
    except OSError as error:
        other = port % 65535 + 1
        raise ConfigError(
            f"port={port}: in use on {host}, or not allowed; try port={other}"
        ) from error


if __name__ == "__main__":
    run("play", job)
