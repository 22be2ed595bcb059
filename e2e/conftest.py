"""Fixtures of the whole: stacks that a test starts as it needs them, one that many tests share, and tabs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from e2e.chat_page import ChatPage
from e2e.relay import Relay
from e2e.stack import Stack

OpenChat = Callable[..., ChatPage]


@pytest.fixture
def start_stack() -> Iterator[Callable[..., Stack]]:
    """Start a stack with the scripted model, or another `model`, and any settings; it ends with the test."""
    stacks: list[Stack] = []

    def start(
        *, ready: bool = True, before: Callable[[Stack], object] | None = None, **settings: Any
    ) -> Stack:
        stack = Stack(**settings)
        stacks.append(stack)
        if before:
            before(stack)
        return stack.start(ready)

    yield start
    for stack in stacks:
        stack.stop()


@pytest.fixture(scope="session")
def scripted_stack() -> Iterator[Stack]:
    stack = Stack().start()
    yield stack
    stack.stop()


@pytest.fixture(scope="module")
def stack(scripted_stack: Stack) -> Iterator[Stack]:
    """One stack with the scripted model for all tests that leave it as they found it.

    Gates and the journal are a module's own.
    """
    yield scripted_stack
    scripted_stack.clear()


@pytest.fixture(scope="session")
def simulated_stack() -> Iterator[Stack]:
    """One stack with the simulated model, at a hurried pace."""
    stack = Stack(model="simulated", simulated_min_delay_ms=2, simulated_max_delay_ms=6).start()
    yield stack
    stack.stop()


@pytest.fixture
def open_chat(context: BrowserContext) -> Iterator[OpenChat]:
    """Open the page in a new tab; at the end of the test no tab may have had a fault."""
    chats: list[ChatPage] = []

    def open_tab(url: str, *, in_context: BrowserContext | None = None) -> ChatPage:
        chats.append(ChatPage((in_context or context).new_page(), url + "/"))
        return chats[-1].open()

    yield open_tab
    assert [chat.faults for chat in chats] == [[] for _ in chats]


@pytest.fixture
def chat(open_chat: OpenChat, stack: Stack) -> ChatPage:
    """A tab at the stack with the scripted model."""
    return open_chat(stack.url)


@pytest.fixture
def arabic(browser: Browser, stack: Stack) -> Iterator[ChatPage]:
    """A tab at the stack with the scripted model, whose reader speaks Arabic."""
    context = browser.new_context(
        service_workers="block", locale="ar-EG", viewport={"width": 1280, "height": 800}
    )
    chat = ChatPage(context.new_page(), stack.url + "/")
    chat.composer = chat.page.get_by_role("textbox", name="رسالتك")
    chat.open()
    expect(chat.page.locator("html")).to_have_attribute("dir", "rtl")
    yield chat
    assert chat.faults == []
    context.close()


@pytest.fixture
def relay(stack: Stack) -> Iterator[Relay]:
    relay = Relay(stack.port)
    yield relay
    relay.close()
