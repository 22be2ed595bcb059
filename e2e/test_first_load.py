"""The first load of the page: small, from one host, and on the screen before its modules are in."""

from __future__ import annotations

import contextlib
import http.client
import re

import pytest
from playwright.sync_api import Page, Route, expect

from e2e.chat_page import MODULES, ChatPage
from e2e.stack import Stack, wait_for

MOST_BYTES = 60_000
# Each holds back the first paint. Browsers open six connections to a host, so a seventh costs it another round trip.
MOST_BLOCKING = 6

FIRST_PAINT = """() => new Promise((resolve) => {
    new PerformanceObserver((list, observer) => {
        const [paint] = list.getEntriesByName("first-contentful-paint");
        if (!paint) return;
        observer.disconnect();
        resolve(paint.startTime);
    }).observe({ type: "paint", buffered: true });
})"""


def test_the_first_load_is_small_and_from_one_host(page: Page, stack: Stack) -> None:
    urls: dict[str, str] = {}
    sizes: dict[str, int] = {}
    network = page.context.new_cdp_session(page)
    network.on(
        "Network.requestWillBeSent",
        lambda event: urls.update({event["requestId"]: event["request"]["url"]}),
    )
    network.on(
        "Network.loadingFinished",
        lambda event: sizes.update({event["requestId"]: event["encodedDataLength"]}),
    )
    network.send("Network.enable")
    page.goto(stack.url + "/", wait_until="networkidle")
    expect(page.locator("#message")).to_be_focused()  # there may have been a lull before
    wait_for(lambda: page.evaluate("1") and set(urls) == set(sizes), "all to arrive")
    assert {url for url in urls.values() if not url.startswith(stack.url + "/")} == set()
    by_path = {urls[request].removeprefix(stack.url): size for request, size in sizes.items()}
    assert sum(sizes.values()) <= MOST_BYTES, by_path  # heads of the responses included


def test_it_is_on_the_screen_before_its_modules_are_in(page: Page, stack: Stack) -> None:
    chat = ChatPage(page, stack.url + "/")
    modules = chat.hold(MODULES)
    page.goto(chat.url, wait_until="commit")
    assert page.evaluate(FIRST_PAINT) > 0
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_role("heading", level=2)).to_be_visible()
    expect(chat.composer).to_be_visible()
    expect(chat.composer).to_be_editable()
    modules.wait()
    modules.let_go()
    page.wait_for_load_state("networkidle")
    assert chat.faults == []


@pytest.mark.parametrize("path", ["/", "/js/main.js"])
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_head_is_answered_like_get_but_without_a_body(
    path: str, encoding: str, stack: Stack
) -> None:
    """Asked over one connection, on which a body would be read as the next answer."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", stack.port)) as connection:
        lengths = []
        for method in ("HEAD", "GET"):
            connection.request(method, path, headers={"Accept-Encoding": encoding})
            response = connection.getresponse()
            assert response.status == 200
            lengths.append(int(response.headers["Content-Length"]))
            body = response.read()
        assert lengths == [len(body)] * 2


def test_every_module_that_it_needs_is_named_in_its_head(page: Page, stack: Stack) -> None:
    """Else the browser learns of it only from a module that imports it, one round trip after another."""
    named: list[str] = []

    def serve_without_the_names(route: Route) -> None:
        response = route.fetch()
        html = response.text()
        named.extend(re.findall(r'<link rel="modulepreload" href="([^"]+)"', html))
        route.fulfill(response=response, body=re.sub(r'<link rel="modulepreload"[^>]*>', "", html))

    loaded: list[str] = []
    page.route(stack.url + "/", serve_without_the_names)
    page.on("request", lambda request: loaded.append(request.url.removeprefix(stack.url + "/")))
    page.goto(stack.url + "/", wait_until="networkidle")
    expect(page.locator("#message")).to_be_focused()  # there may have been a lull before
    needed = {path for path in loaded if path.startswith("js/")} - {
        "js/main.js",
        "js/chosen_theme.js",
    }
    assert needed
    head = "\n".join(f'<link rel="modulepreload" href="{path}" />' for path in sorted(needed))
    assert sorted(named) == sorted(needed), f"the head has to say:\n{head}"


def test_little_holds_back_its_first_paint(page: Page, stack: Stack) -> None:
    page.goto(stack.url + "/")
    blocking: list[str] = page.evaluate(
        """() => performance.getEntriesByType("resource")
            .filter(({ renderBlockingStatus }) => renderBlockingStatus === "blocking").map(({ name }) => name)"""
    )
    assert [name for name in blocking if not name.endswith(".css")] == [
        stack.url + "/js/chosen_theme.js"  # asked for with the style sheets
    ]
    assert len(blocking) <= MOST_BLOCKING, blocking
