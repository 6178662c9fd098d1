"""A real PostgreSQL server on a free port, for as long as a test needs it."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PASSWORD = "not-for-the-log"


def binaries() -> Path | None:
    """The folder of initdb and pg_ctl; None if no server is installed."""
    config = shutil.which("pg_config")
    said = subprocess.run([config, "--bindir"], capture_output=True, text=True) if config else None
    folders = [Path(said.stdout.strip())] if said else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").is_file()), None)


def as_other() -> list[str]:
    """In front of a command, so that root does not run it: PostgreSQL refuses root."""
    if os.getuid() != 0:
        return []
    user = pwd.getpwnam("nobody")
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


@contextmanager
def server() -> Iterator[str]:
    """The URL of an empty database `study`, on a server of its own."""
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    if os.getuid() == 0:
        user = pwd.getpwnam("nobody")
        os.chown(folder, user.pw_uid, user.pw_gid)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    bin_dir = binaries()
    assert bin_dir is not None

    def call(program: str, *arguments: str, **more: object) -> None:
        command = [*as_other(), str(bin_dir / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, **more)
        assert done.returncode == 0, done.stdout + done.stderr

    data, secret = folder / "data", folder / "secret"
    secret.write_text(PASSWORD)
    if os.getuid() == 0:
        os.chown(secret, user.pw_uid, user.pw_gid)
    call(
        *("initdb", "-D", str(data), "-U", "sweeper", "--no-sync", "-E", "UTF8", "--locale=C"),
        *("-A", "scram-sha-256", f"--pwfile={secret}"),
    )
    options = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c fsync=off"
    control = ("pg_ctl", "-D", str(data), "-w")
    call(*control, "-l", str(folder / "log"), "-o", options, "start")
    try:
        environment = os.environ | {"PGPASSWORD": PASSWORD}
        call(
            *("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "sweeper", "study"),
            env=environment,
        )
        yield f"postgresql+psycopg://sweeper:{PASSWORD}@127.0.0.1:{port}/study"
    finally:
        call(*control, "-m", "immediate", "stop")
        shutil.rmtree(folder)
