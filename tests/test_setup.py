"""What make setup installs with: uv or pip, both as pip's configuration says."""

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
INSTALL = ROOT / ".ci/install.py"
SOURCES = "-".join(["find", "links"])
NO_SUCH_STRATEGY = {"UV_INDEX_STRATEGY": "none"}


def load():
    spec = importlib.util.spec_from_file_location("install", INSTALL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def wheels(tmp_path):
    """A folder with one package, tiny 1.0."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        info = "tiny-1.0.dist-info"
        wheel.writestr("tiny.py", "ANSWER = 42\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return folder


def install(tmp_path, wheels, *wanted, **variables):
    """Install from these wheels alone, which only pip's configuration names."""
    settings = tmp_path / "pip.conf"
    settings.write_text(f"[global]\n{SOURCES} = {wheels}\n")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_"))}
    done = subprocess.run(
        [sys.executable, INSTALL, "--target", tmp_path / "site", *wanted],
        cwd=ROOT,
        env={**kept, "PIP_CONFIG_FILE": str(settings), "UV_OFFLINE": "1", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    return done, tmp_path / "site"


@pytest.mark.parametrize(
    ("variables", "installer", "said"),
    [
        ({}, "uv", ""),
        ({"PIP_NO_INDEX": "1"}, "pip", ""),
        (NO_SUCH_STRATEGY, "pip", "going on with pip"),
    ],
    ids=["uv", "a setting without equal", "uv fails"],
)
def test_installs_from_where_pip_would(tmp_path, wheels, variables, installer, said) -> None:
    done, site = install(tmp_path, wheels, "tiny", **variables)
    assert done.returncode == 0, done.stderr
    assert (site / "tiny.py").read_text() == "ANSWER = 42\n"
    assert (site / "tiny-1.0.dist-info/INSTALLER").read_text().strip() == installer
    assert said in done.stderr
    assert not list(site.rglob("__pycache__"))


def test_what_cannot_be_installed_is_an_error(tmp_path, wheels) -> None:
    done, _ = install(tmp_path, wheels, "no-such-package-of-ours", PIP_NO_INDEX="1")
    assert done.returncode != 0
    assert "no-such-package-of-ours" in done.stderr


def test_settings_of_pip_reach_uv() -> None:
    settings = {
        "-".join(["index", "url"]): "https://user:word@packages.example/simple",
        "-".join(["extra", "index", "url"]): "\nfile:///a\nfile:///b",
        SOURCES: "here there",
        "cert": "ca.crt",
        "no-cache-dir": "true",
        "timeout": "60",
    }
    arguments, variables = load().uv_options(settings)
    assert arguments == ["-f", "here", "-f", "there"]
    assert variables == {
        "UV_DEFAULT_INDEX": "https://user:word@packages.example/simple",
        "UV_INDEX": "file:///a file:///b",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "SSL_CERT_FILE": "ca.crt",
        "UV_NO_CACHE": "1",
    }
    assert load().uv_options({"proxy": "http://127.0.0.1:1"}) is None


def test_the_environment_counts_more_than_the_file(tmp_path, monkeypatch) -> None:
    (tmp_path / "pip.conf").write_text(
        "[install]\ntimeout = 2\n[global]\ntimeout = 1\nretries = 7\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.delenv("PIP_TIMEOUT", raising=False)
    found = load().pip_settings()
    assert (found["timeout"], found["retries"]) == ("2", "7")
    monkeypatch.setenv("PIP_TIMEOUT", "3")
    assert load().pip_settings()["timeout"] == "3"
