"""W&B without an account, its own reader, and a server that answers as told."""

import gzip
import http.server
import json
import os
import subprocess
import sys
import threading
import time

import pytest

KEY = "0123456789" * 4


@pytest.fixture
def wandb_home(tmp_path, monkeypatch):
    """No account, no W&B settings, and W&B's caches in the test's folder."""
    for name in list(os.environ):
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", os.devnull)
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_ARTIFACT_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    yield tmp_path
    os.environ.pop("WANDB_SERVICE", None)  # of the service that the test started


@pytest.fixture
def fresh_service():
    """A W&B service that reads the environment of this test."""
    import wandb

    wandb.teardown()
    yield
    wandb.teardown()


@pytest.fixture
def read_back():
    """W&B's own reader of offline runs, `wandb leet inspect`: a run's folder to records by type."""
    return _read_back


def _read_back(run_dir, pattern="offline-run-*"):
    (path,) = run_dir.glob(f"wandb/{pattern}/*.wandb")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", str(path), "--json"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = {}
    for line in lines.splitlines():
        record = json.loads(line)
        found.setdefault(record["type"], []).append(record.get(record["type"]))
    return found


@pytest.fixture
def history():
    """Of what was read back, the rows that mirror records: without tables and films."""

    def rows(found):
        items = [row["item"] for row in found["history"]]
        plain = [{k: v for k, v in item.items() if not k.startswith("_")} for item in items]
        media = ("evaluation", "video/")
        return [row for row in plain if not any(k.startswith(media) for k in row)]

    return rows


class Server(http.server.ThreadingHTTPServer):
    """Stands in for W&B's server.

    `how` is ok (runs begin and go on), stall (they begin, then nothing is answered any more), or
    an HTTP status that every request gets.
    """

    def __init__(self, how):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.how = how
        self.runs = []
        self.known = {}
        self.released = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _answer(self):
        server = self.server
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if isinstance(server.how, int):
            return self._say({"errors": ["no"]}, server.how)
        if self.path == "/graphql":
            question = json.loads(body)
            name, given = question.get("operationName"), question.get("variables", {})
            if name == "RunResumeStatus":
                return self._say({"data": {"model": server.known.get(given["name"])}})
            if name == "UpsertBucket":
                return self._say({"data": {"upsertBucket": self._bucket(given)}})
        if server.how == "stall":
            server.released.wait(60)
        if self.path == "/graphql" and name == "CreateRunFiles":
            return self._say({"data": {"createRunFiles": self._places(given["files"])}})
        return self._say({"data": {}} if self.path == "/graphql" else {})

    def _places(self, names):
        files = [{"name": n, "uploadUrl": f"{self.server.url}/upload"} for n in names]
        return {"runID": "x", "uploadHeaders": [], "files": files}

    def _bucket(self, given):
        self.server.runs.append(given)
        project = {"id": "p", "name": given["project"], "entity": {"id": "e", "name": "team"}}
        bucket = {
            "id": "x", "name": given["name"], "displayName": given.get("displayName") or "run",
            "description": "", "config": "{}", "sweepName": None, "historyLineCount": 0,
            "project": project,
        }  # fmt: skip
        return {"inserted": True, "bucket": bucket}

    def _say(self, content, status=200):
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = _answer


@pytest.fixture
def wandb_server(wandb_home, monkeypatch, fresh_service):
    """Starts a server and points W&B at it, with a key."""
    servers = []

    def start(how):
        server = Server(how)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        return server

    yield start
    for server in servers:
        server.released.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def wait_until():
    """Wait for a condition, failing if it does not come about."""

    def wait(condition, seconds=60.0):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.02)

    return wait


@pytest.fixture
def service_pids():
    """W&B services that a process started."""

    def pids(parent):
        command = ["ps", "--ppid", str(parent), "-o", "pid=,args="]
        rows = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
        return [int(row.split()[0]) for row in rows if "wandb-core" in row]

    return pids
