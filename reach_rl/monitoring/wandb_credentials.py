"""Whether W&B can be used here, found out without importing or asking it."""

import configparser
import netrc
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from reach_rl.config.schema import WandbMode

DEFAULT_HOST = "https://api.wandb.ai"


def usable(mode: WandbMode, environ: Mapping[str, str]) -> tuple[WandbMode, str]:
    """What a configured mode comes to on this machine, and a line that says so if it is not plain.

    Auto is online with credentials and else disabled, and heeds WANDB_MODE; online without
    credentials is offline. W&B itself is neither imported nor asked.
    """
    if mode is WandbMode.AUTO:
        asked = environ.get("WANDB_MODE", "").lower()
        off = environ.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes")
        if off or asked == "disabled":
            return WandbMode.DISABLED, ""
        if asked in ("offline", "dryrun"):
            return WandbMode.OFFLINE, ""
        if not has_credentials(environ):
            hint = "log in with `wandb login`, or record on this machine with wandb=offline"
            return WandbMode.DISABLED, f"W&B is off: {hint}"
        return WandbMode.ONLINE, ""
    if mode is WandbMode.ONLINE and not has_credentials(environ):
        notice = "W&B: not logged in (`wandb login`), so records stay on this machine"
        return WandbMode.OFFLINE, notice
    return mode, ""


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
    named = environ.get("NETRC")
    home = _home(environ)
    for path in [Path(named).expanduser()] if named else [home / ".netrc", home / "_netrc"]:
        with suppress(OSError, netrc.NetrcParseError):
            found = netrc.netrc(path).authenticators(host)
            if found and found[2]:
                return True
    return False


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ["HOME"]) if environ.get("HOME") else Path.home()
