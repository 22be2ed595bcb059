"""What axe-core, the usual checker of accessibility, finds in the states of the page: nothing."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from e2e.chat_page import ChatPage
from e2e.relay import Relay
from e2e.scripted_model import script
from e2e.stack import Stack

AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
LONG_ANSWER = Path(__file__).parent.parent / "frontend" / "tests" / "long_answer.md"


def violations(chat: ChatPage) -> list[tuple[str, str]]:
    """Return what breaks a rule (WCAG 2.2 A and AA, and best practice): the rule, and where."""
    found: list[dict[str, Any]] = chat.page.evaluate(
        "async () => (await axe.run(document, { resultTypes: ['violations'] })).violations"
    )
    return [(rule["id"], node["html"][:200]) for rule in found for node in rule["nodes"]]


@pytest.fixture(params=["light 1280", "dark 390"])
def chat(request: pytest.FixtureRequest, browser: Browser, stack: Stack) -> Iterator[ChatPage]:
    """A tab in one of the themes and widths, without the policy: the checker itself is a foreign script."""
    scheme, width = request.param.split()
    context = browser.new_context(
        bypass_csp=True, color_scheme=scheme, viewport={"width": int(width), "height": 800}
    )
    chat = ChatPage(context.new_page(), stack.url + "/").open()
    chat.page.evaluate(AXE)
    yield chat
    context.close()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Name a script and its gates, which no other test has."""
    return str(request.node.name).replace(" ", "-")


def test_an_empty_page(chat: ChatPage) -> None:
    assert violations(chat) == []


def test_the_checker_finds_what_is_wrong(chat: ChatPage) -> None:
    chat.page.evaluate("document.body.append(document.createElement('button'))")
    assert {rule for rule, _ in violations(chat)} >= {"button-name"}


def test_an_answer_while_it_comes_and_messages_that_wait(
    chat: ChatPage, stack: Stack, name: str
) -> None:
    steps = [["think", "*Hm.* "], ["wait", name], ["say", "Well, `so`"], ["wait", "never"]]
    chat.send(script(name, *steps))
    expect(chat.thinking).to_be_visible()
    assert violations(chat) == []
    chat.thinking.locator("summary").click()
    assert violations(chat) == []
    stack.open_gate(name)
    chat.wait_answer("Well, so")
    assert violations(chat) == []
    for text in ("First in line", "Second in line"):
        chat.composer.fill(text)
        chat.composer.press("Enter")
    expect(chat.page.get_by_text("Second in line")).to_be_visible()
    assert violations(chat) == []
    chat.stop()
    assert violations(chat) == []


def test_a_long_answer(chat: ChatPage) -> None:
    chat.send(script("long", ["say", LONG_ANSWER.read_text()]))
    chat.wait_finished()
    assert violations(chat) == []
    chat.scroller.evaluate("element => { element.scrollTop = 0; }")
    assert violations(chat) == []


def test_an_answer_that_failed(chat: ChatPage) -> None:
    chat.send(script("failing", ["say", "So far "], ["fail", "broken"]))
    expect(chat.error).to_be_visible()
    assert violations(chat) == []


def test_an_absent_network(chat: ChatPage, relay: Relay) -> None:
    chat.page.goto(relay.url + "/")
    chat.page.evaluate(AXE)
    chat.send(script("offline", ["say", "Here. "], ["wait", "never"]))
    chat.wait_answer("Here. ")
    chat.page.context.set_offline(True)
    relay.unplug()
    chat.wait_waiting("You are offline. This goes on as soon as the connection is back.")
    assert violations(chat) == []


def test_the_list_of_keys(chat: ChatPage) -> None:
    chat.button("Keys").click()
    expect(chat.page.get_by_role("dialog")).to_be_visible()
    assert violations(chat) == []
