"""The browser that tests look through: Debian's Chromium, driven by Playwright, without a window."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; without one the test is skipped with a reason, but never in CI."""
    if not CHROMIUM:
        if os.environ.get("CI"):
            raise RuntimeError("CI needs a Chromium: apt-get install chromium.")
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()
