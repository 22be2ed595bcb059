"""What the tests in a browser share: which browser it is, how it is launched, and their turn."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from e2e import browser

_executable = functools.cache(browser.ensure)


def _in_browser(item: pytest.Item) -> bool:
    return "browser" in getattr(item, "fixturenames", ())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests in a browser come last, in each process that runs some of them.

    From the first of them to the end, Playwright's event loop runs in this thread, in which
    `asyncio.run` then refuses to start another.
    """
    items.sort(key=_in_browser)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Find or install the browser before the clock of the first test that needs one is running."""
    if any(map(_in_browser, session.items)) and not session.config.option.collectonly:
        try:
            _executable()
        except browser.BrowserNotFound as missing:
            pytest.exit(str(missing), returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Launch the browser that was found, with the flags that it needs in a container."""
    return {
        **browser_type_launch_args,
        "args": browser.LAUNCH_FLAGS,
        "executable_path": _executable(),
    }


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    """Keep no copies of the page: a test that wants them says so, for they are loaded beside what is tested."""
    return {**browser_context_args, "service_workers": "block"}
