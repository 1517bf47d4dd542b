"""A headless Chromium of this machine, for the pages that this project writes."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WEBGL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
"""Options that draw WebGL without a GPU."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start it; where CI_BROWSER_REQUIRED is set, its absence is a failure."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        reason = f"no browser to open pages in: none of {', '.join(BROWSERS)} is installed"
        if os.environ.get("CI_BROWSER_REQUIRED"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        # Chromium has no sandbox for root, as which containers run.
        arguments = [*WEBGL, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        with playwright.chromium.launch(executable_path=path, args=arguments) as started:
            yield started
