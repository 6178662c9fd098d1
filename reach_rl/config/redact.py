"""Keeps credentials out of everything that a run writes."""

import os
import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"
_WORDS = (
    r"(?:token|secret|passwd|password|passphrase|api_?key|access_?key|private_?key|credential"
    r"|auth_?key|authorization|bearer|cookie)"
)
_NAME = re.compile(_WORDS, re.IGNORECASE)
_ASSIGNED = re.compile(
    rf"([\w.-]*{_WORDS}[\w.-]*[\"']?\s*[=:]\s*[\"']?)(?=[^\s\"',;]*\d)[^\s\"',;]{{8,}}",
    re.IGNORECASE,
)
_URL = re.compile(r"(\w+://)[^\s/@]+@")
_SHAPES = re.compile(
    r"\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|hf_\w{20,}|sk-[\w-]{20,}|xox[abprs]-[\w-]{10,}"
    r"|AKIA[A-Z0-9]{12,}|wandb_v\d_\w{20,})|\bBearer\s+[\w.+/=-]{8,}"
)
_LEAST = 6


def sounds_secret(name: str) -> bool:
    """Whether a key or an environment variable of that name may hold a credential."""
    return _NAME.search(name) is not None


def redact(value: Any) -> Any:  # noqa: ANN401  text or a plain tree, as given
    """The text or plain tree with everything that looks like a credential replaced by ***.

    Hidden are: values of keys that sound like a credential, values of environment variables of
    such names wherever they appear, `name=value` of such names, what stands before an @ in URLs,
    and tokens of well-known shapes.
    """
    return _tree(value, _environment())


def _environment() -> list[str]:
    found = [
        value
        for name, value in os.environ.items()
        if _NAME.search(name) and len(value) >= _LEAST and not os.path.exists(value)
    ]
    return sorted(found, key=len, reverse=True)


def _tree(value: Any, secrets: list[str]) -> Any:  # noqa: ANN401
    if isinstance(value, Mapping):
        return {key: _item(str(key), item, secrets) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_tree(item, secrets) for item in value]
    return _text(value, secrets) if isinstance(value, str) else value


def _item(key: str, value: Any, secrets: list[str]) -> Any:  # noqa: ANN401
    plain = value is None or isinstance(value, (bool, Mapping)) or value in ("", [])
    return HIDDEN if _NAME.search(key) and not plain else _tree(value, secrets)


def _text(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    text = _URL.sub(rf"\1{HIDDEN}@", text)
    text = _SHAPES.sub(HIDDEN, text)
    return _ASSIGNED.sub(rf"\g<1>{HIDDEN}", text)
