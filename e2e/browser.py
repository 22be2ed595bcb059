"""The browser that the tests drive: found on this machine, or else installed.

Looked for in this order, each tried by launching it: the Chromium that Playwright brings, then a
Chromium or Chrome on PATH. Where there is none, `python -m e2e.browser` installs Playwright's own,
or the system's package where that download cannot be reached.
"""

from __future__ import annotations

import ctypes.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

from playwright.sync_api import Error, sync_playwright

# Takes the place of Playwright's own list (1.65), which is repeated here for what concerns Chromium on Linux. The
# first two are the pop-ups of the address bar: pages of each window that nobody sees, and most of what a window costs.
DISABLED_FEATURES = [
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    "AimEnabled",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
    "ThirdPartyStoragePartitioning",
]

# No sandbox, which containers do not allow and which tests that open no foreign page can do
# without; no graphics card; and none of the connections that Chromium makes on its own account.
LAUNCH_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--disable-features={','.join(DISABLED_FEATURES)}",
]

COMMANDS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]

PLAYWRIGHT = [sys.executable, "-m", "playwright"]

INSTALL_TIMEOUT_S = 900


class BrowserNotFound(LookupError):
    """No browser that starts. The text says what was tried and what to do."""


def find() -> str | None:
    """Return the path of a browser that starts, or None for Playwright's own.

    Raises `BrowserNotFound`. Not to be called while another synchronous Playwright runs in this thread.
    """
    failures = []
    driver = subprocess.run([*PLAYWRIGHT, "--version"], capture_output=True, text=True, check=False)
    if driver.returncode:
        raise BrowserNotFound(f"Playwright itself does not start: {driver.stderr.strip()}")
    with sync_playwright() as playwright:
        for executable in (None, *filter(None, map(shutil.which, COMMANDS))):
            try:
                playwright.chromium.launch(executable_path=executable, args=LAUNCH_FLAGS).close()
            except Error as error:
                reason = error.message.splitlines()[0]
                failures.append(f"  {executable or 'Playwright’s own'}: {reason}")
            else:
                return executable
    raise BrowserNotFound(
        "The tests found no Chromium that starts. Install Chromium or Google Chrome so that it is\n"
        "on PATH, or run: uv run playwright install --with-deps chromium\nTried:\n"
        + "\n".join(failures)
    )


def ensure() -> str | None:
    """Return what `find` returns, after installing a browser if there was none.

    Raises `BrowserNotFound` when that did not help.
    """
    for command in _installers():
        try:
            return find()
        except BrowserNotFound:
            print("There is no browser that starts yet. Now:", *command, flush=True)
        try:
            subprocess.run(command, timeout=INSTALL_TIMEOUT_S, check=True)
        except subprocess.SubprocessError as error:
            print(error, flush=True)
    return find()


def _installers() -> Iterator[list[str]]:
    """Yield what may help, in order; all but the download need root, so that comes before its libraries."""
    if not ctypes.util.find_library("atomic"):  # slim images lack it; Playwright's Node.js needs it
        yield from _apt_install("libatomic1")
    yield [*PLAYWRIGHT, "install", "chromium"]
    yield [*PLAYWRIGHT, "install-deps", "chromium"]
    yield from _apt_install("chromium")


def _apt_install(package: str) -> Iterator[list[str]]:
    become_root = [] if os.geteuid() == 0 else ["sudo"]
    if all(map(shutil.which, [*become_root, "apt-get"])):
        script = (
            f"export DEBIAN_FRONTEND=noninteractive; apt-get update && apt-get install -y {package}"
        )
        yield [*become_root, "sh", "-c", script]


if __name__ == "__main__":
    try:
        print(ensure() or "Playwright's own Chromium")
    except BrowserNotFound as missing:
        sys.exit(str(missing))
