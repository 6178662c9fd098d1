"""What every test starts from: no dashboard account, whatever the user's shell holds."""

import os
import shutil
from collections.abc import Iterator

import pytest

os.environ.pop("WANDB_API_KEY", None)
os.environ["NETRC"] = os.devnull  # W&B looks for credentials there


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """Chromium without a window, one for all pages; its graphics are drawn by the processor."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("needs Debian's chromium")
    api = pytest.importorskip("playwright.sync_api")
    flags = [
        "--no-sandbox", "--disable-background-networking", "--use-gl=angle",
        "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
    ]  # fmt: skip
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=flags)
        yield chromium
        chromium.close()
