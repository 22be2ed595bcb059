"""Runs the tests in `test_*.js` in a real browser; each is a test of its own here.

Their names are known only to the browser, so one run of a module collects and decides them all; a test that its
module did not report fails, and so does a module that reports none.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from frontend.tests.scripted_server import Handler, Server

MODULES = sorted(path.name for path in Path(__file__).parent.glob("test_*.js"))


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.url
        server.shutdown()


LONG = {
    "test_formulas.js",
    "test_highlight.js",
    "test_markdown_cost.js",
    "test_markdown_streaming.js",
    "test_transfer.js",
}


@pytest.mark.timeout(1200)  # for a module, which is many tests
@pytest.mark.parametrize(
    "module",
    [pytest.param(name, marks=pytest.mark.long if name in LONG else ()) for name in MODULES],
)
def test_in_browser(
    module: str, browser: Browser, server_url: str, subtests: pytest.Subtests
) -> None:
    page = browser.new_page()
    page.goto(f"{server_url}/tests/page.html")
    run = "async (module) => (await import('./harness.js')).run(module)"
    results = page.evaluate(run, f"./{module}")
    page.close()
    assert results
    for result in results:
        with subtests.test(msg=result["name"]):
            assert result["failure"] is None, result["failure"]
