"""Installs what the command line names into the environment of the Python that runs it.

make setup runs it: python .ci/install.py -e '.[dev]'. uv is several times as fast as pip, which
does it where uv cannot be had, fails, or could not do as pip's configuration says. Both install the
same versions from the same sources; neither byte-compiles what may never be imported.
"""

import ast
import os
import subprocess
import sys

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
INSTALL = [*PIP, "install", "--quiet", "--no-compile", "-c", "constraints.txt"]
UV = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable]

ALIKE = {
    "break-system-packages", "cache-dir", "config-file", "default-timeout",
    "disable-pip-version-check", "no-color", "no-input", "no-python-version-warning",
    "no-warn-script-location", "progress-bar", "quiet", "require-virtualenv", "retries",
    "root-user-action", "timeout", "verbose",
}  # fmt: skip
"""Settings of pip that change neither what is installed nor where it comes from."""


def main(wanted: list[str]) -> int:
    """Install what these arguments of pip install name; returns the exit code."""
    options = uv_options(pip_settings())
    if options is not None and _run([*INSTALL, "uv"]).returncode == 0:
        arguments, variables = options
        command = [*UV, "-c", "constraints.txt", *arguments, *wanted]
        done = _run(command, variables | dict(os.environ))
        if done.returncode == 0:
            return 0
        reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        print(f"uv could not install it ({reason[0].strip()}); going on with pip", file=sys.stderr)
    return subprocess.run([*INSTALL, *wanted], check=False).returncode


def pip_settings() -> dict[str, str]:
    """What pip's files and PIP_ variables set for pip install, by option; the last one counts."""
    found = {}
    for line in _run([*PIP, "config", "list"]).stdout.splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.rpartition(".")
        found[section, option] = str(ast.literal_eval(value))
    sections = ("global", "install", ":env:")  # in pip's order
    return {o: v for section in sections for (s, o), v in found.items() if s == section}


def uv_options(settings: dict[str, str]) -> tuple[list[str], dict[str, str]] | None:
    """The same for uv: arguments and environment variables; None if something has no equal."""
    arguments: list[str] = []
    variables = {"UV_INDEX_STRATEGY": "unsafe-best-match"}  # the best of all indexes, as pip takes
    for option, value in settings.items():
        match option.split("-"):
            case ["index", "url"]:
                variables["UV_DEFAULT_INDEX"] = value
            case ["extra", "index", "url"]:
                variables["UV_INDEX"] = " ".join(value.split())
            case ["find", "links"]:
                arguments += [a for place in value.split() for a in ("-f", place)]
            case ["cert"]:
                variables["SSL_CERT_FILE"] = value
            case ["no", "cache", "dir"]:
                variables["UV_NO_CACHE"] = "1"
            case _ if option not in ALIKE:
                return None
    return arguments, variables


def _run(
    command: list[str], environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
