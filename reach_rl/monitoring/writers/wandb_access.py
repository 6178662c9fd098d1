"""Whether W&B can be used here, found out without importing or asking it."""

import configparser
import netrc
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from reach_rl.config.kinds import WandbMode

DEFAULT_HOST = "https://api.wandb.ai"


@dataclass(frozen=True, slots=True)
class Access:
    """How W&B is used, and a line that says so if it is not as one might expect."""

    mode: WandbMode
    """Never auto."""
    notice: str = ""


def resolve(mode: WandbMode, environ: Mapping[str, str] | None = None) -> Access:
    """What a configured mode comes to on this machine.

    Auto is online with credentials and else disabled, and heeds WANDB_MODE; online without
    credentials is offline.
    """
    environ = os.environ if environ is None else environ
    if mode is WandbMode.AUTO:
        return _auto(environ)
    if mode is WandbMode.ONLINE and not has_credentials(environ):
        return Access(
            WandbMode.OFFLINE, "W&B: not logged in (`wandb login`), so records stay on this machine"
        )
    return Access(mode)


def _auto(environ: Mapping[str, str]) -> Access:
    asked = environ.get("WANDB_MODE", "").lower()
    if environ.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes") or asked == "disabled":
        return Access(WandbMode.DISABLED)
    if asked in ("offline", "dryrun"):
        return Access(WandbMode.OFFLINE)
    if has_credentials(environ):
        return Access(WandbMode.ONLINE)
    return Access(
        WandbMode.DISABLED,
        "W&B is off: log in with `wandb login`, or record on this machine with wandb=offline",
    )


def has_credentials(environ: Mapping[str, str]) -> bool:
    """Whether W&B finds a key where it looks for one: environment, netrc, its settings file."""
    if environ.get("WANDB_API_KEY") or environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    settings = _settings_file(environ)
    host = environ.get("WANDB_BASE_URL") or settings.get("base_url") or DEFAULT_HOST
    return bool(settings.get("api_key")) or _in_netrc(urlsplit(host).netloc, environ)


def _settings_file(environ: Mapping[str, str]) -> Mapping[str, str]:
    folder = environ.get("WANDB_CONFIG_DIR") or str(_home(environ) / ".config" / "wandb")
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(Path(folder).expanduser() / "settings")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return {}
    return parser["default"] if parser.has_section("default") else {}


def _in_netrc(host: str, environ: Mapping[str, str]) -> bool:
    home = _home(environ)
    named = environ.get("NETRC")
    for path in [Path(named).expanduser()] if named else [home / ".netrc", home / "_netrc"]:
        try:
            found = netrc.netrc(path).authenticators(host)
        except (OSError, netrc.NetrcParseError):
            continue
        if found and found[2]:
            return True
    return False


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ["HOME"]) if environ.get("HOME") else Path.home()
