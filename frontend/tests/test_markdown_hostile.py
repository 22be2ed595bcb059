"""Hostile Markdown in a real browser, with the page's Content-Security-Policy and without: nothing runs or is sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request

from frontend.tests.scripted_server import FRONTEND, Handler, Server

MODULE = "./hostile_markdown.js"

ROUNDING_PX = 1


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.url
        server.shutdown()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    yield page
    page.close()


def call(page: Page, function: str) -> Any:
    return page.evaluate(f"async () => (await import('{MODULE}')).{function}()")


def foreign_requests(page: Page, server_url: str) -> list[str]:
    """Return a list to which the address of each request is added that is not for one of the frontend's files."""
    urls: list[str] = []

    def note(request: Request) -> None:
        is_file = (FRONTEND / urlsplit(request.url).path.lstrip("/")).is_file()
        if not (request.url.startswith(f"{server_url}/") and is_file):
            urls.append(request.url)

    page.on("request", note)
    return urls


@pytest.mark.parametrize("query", ["", "?policy"])
def test_hostile_markdown_does_nothing(page: Page, server_url: str, query: str) -> None:
    page.goto(f"{server_url}/tests/page.html{query}")
    requests = foreign_requests(page, server_url)
    windows: list[Page] = []
    page.on("popup", lambda window: windows.append(window))
    assert call(page, "faults") == []
    assert requests == []
    assert windows == []


def test_the_policy_is_in_force(page: Page, server_url: str) -> None:
    page.goto(f"{server_url}/tests/page.html?policy")
    refusal = page.evaluate(
        "() => { try { document.body.innerHTML = 'x' } catch (e) { return e.name } }"
    )
    assert refusal == "TypeError"


def test_the_checks_see_what_a_naive_renderer_does(page: Page, server_url: str) -> None:
    page.goto(f"{server_url}/tests/page.html")
    requests = foreign_requests(page, server_url)
    violated = call(page, "naiveViolations")
    page.wait_for_function("() => window.__pwned === 1")
    seen = {name for names in violated.values() for name in names}
    assert seen >= {
        "attr:background",
        "attr:class-from-content",
        "attr:data-*",
        "attr:id",
        "attr:name",
        "attr:on*",
        "attr:style",
        "element:base",
        "element:button",
        "element:dialog",
        "element:embed",
        "element:form",
        "element:iframe",
        "element:img",
        "element:input",
        "element:script",
        "element:svg",
        "element:video",
        "href-scheme:data",
        "href-scheme:javascript",
        "id-or-name-from-content",
        "invisible-char-copied",
        "missing-rel-noopener-noreferrer",
        "overlay",
        "referrer-leak",
        "rendered-as-role",
        "same-origin-looking-link-to-foreign-host",
        "text-lost",
    }
    assert any("SECRET" in url for url in requests)


def test_bombs_take_time_in_proportion_to_their_length(page: Page, server_url: str) -> None:
    page.goto(f"{server_url}/tests/page.html")
    assert call(page, "slowBombs") == []


def test_nothing_is_wider_than_its_place(page: Page, server_url: str) -> None:
    page.goto(f"{server_url}/tests/page.html")
    widths = call(page, "excessWidths")
    assert [(name, excess_px) for name, excess_px in widths if excess_px > ROUNDING_PX] == []
