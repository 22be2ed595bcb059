"""Hostile text from a model, in every place where the page shows any, with the page's policy and without it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from e2e.chat_page import ChatPage
from e2e.scripted_model import script
from e2e.stack import Stack

pytestmark = pytest.mark.long

VECTORS = json.loads(
    (Path(__file__).parent.parent / "frontend" / "tests" / "hostile_markdown.json").read_text()
)
# The bombs are long, and are the renderer's own tests' affair.
TEXTS = [
    vector["input"].replace("␞", "") for vector in VECTORS if not vector["class"].startswith("bomb")
]
PIECE = 7  # characters: cuts everything somewhere

FORBIDDEN = (
    "script, style, link, base, meta, img, svg, iframe, object, embed, video, audio, form, dialog, [style], [onerror], "
    "[onload], [onclick], [onfocus], [ontoggle], [id], [name], [srcdoc], [background], input:not([type=checkbox])"
)


def pieces(action: str, text: str) -> list[list[str]]:
    return [[action, text[at : at + PIECE]] for at in range(0, len(text), PIECE)]


@pytest.mark.parametrize("without_policy", [False, True])
def test_hostile_text_is_only_text(browser: Browser, stack: Stack, without_policy: bool) -> None:
    context = browser.new_context(service_workers="block", bypass_csp=without_policy)
    page = context.new_page()
    windows: list[Page] = []
    foreign: list[str] = []

    def note(request: Request) -> None:
        if not request.url.startswith(stack.url):
            foreign.append(request.url)

    context.on("page", lambda opened: windows.append(opened))
    page.on("request", note)
    chat = ChatPage(page, stack.url + "/").open()
    everything = "\n\n".join(TEXTS)
    for index, text in enumerate(TEXTS):
        steps = [*pieces("think", text), *pieces("say", text), ["tell", text]]
        chat.send(script(f"hostile {without_policy} {index}", *steps))
        chat.wait_finished()
        expect(chat.error.last).to_be_visible()
    chat.send(script(f"all {without_policy}", ["think", everything], ["say", everything]))
    chat.wait_finished()
    for thinking in chat.thinking.all():
        thinking.locator("summary").click()
    assert chat.thinking.count() == len(TEXTS) + 1
    # What the reader has sent is shown as well.
    chat.send(everything)
    chat.wait_finished()
    assert page.evaluate("window.__pwned") is None
    found = chat.log.locator(".answer-text, .thinking-text, .note, .user p").locator(FORBIDDEN)
    assert found.evaluate_all("all => all.map((element) => element.cloneNode().outerHTML)") == []
    schemes = "links => [...new Set(links.map((link) => link.protocol))].sort()"
    links = chat.log.locator("a[href]:not([role=doc-noteref])")
    assert set(links.evaluate_all(schemes)) <= {"http:", "https:", "mailto:"}
    loose = "links => links.filter((link) => link.rel !== 'noopener noreferrer' || link.target !== '_blank').length"
    assert links.evaluate_all(loose) == 0
    assert (foreign, windows, chat.faults) == ([], [], [])
    context.close()
