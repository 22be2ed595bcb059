"""The page in the reader's language, which may be written from the right."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from backend.errors import BurbleError
from e2e.chat_page import ChatPage
from e2e.scripted_model import script
from e2e.stack import Stack

# What is written in Latin letters in any language: names, keys, and codes for programs.
NAMES = "e2e\\.scripted_model:ScriptedModel|Burble|Markdown|Enter|Shift|Ctrl|Esc|[KU]"

# Every text and every name that is shown or spoken, but for what a model, a reader or the server wrote.
LATIN = """(names) => {
    const FOREIGN = "noscript, .answer-text, .thinking-text, .user > p, .note.error p, small, #list li";
    const said = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
        if (!node.parentElement.closest(FOREIGN)) said.push(node.data);
    }
    for (const element of document.querySelectorAll("[aria-label], [title], [placeholder]")) {
        if (element.closest("#list li")) continue;
        for (const name of ["aria-label", "title", "placeholder"]) said.push(element.getAttribute(name) ?? "");
    }
    return said.filter((text) => /[a-z]/i.test(text.replaceAll(new RegExp(names, "g"), "")));
}"""


def english(page: Page) -> list[str]:
    """Return what of the page's own words has Latin letters and is no name."""
    found: list[str] = page.evaluate(LATIN, NAMES)
    return found


def test_english_is_spoken_to_all_others(browser: Browser, stack: Stack) -> None:
    for locale, language in [("en-GB", "en"), ("fi", "en"), ("ar", "ar")]:
        context = browser.new_context(service_workers="block", locale=locale)
        page = context.new_page()
        page.goto(stack.url + "/")
        expect(page.locator("html")).to_have_attribute("lang", language)
        context.close()


@pytest.mark.long
@pytest.mark.parametrize("happens", ["an error", "nothing"])
def test_a_language_that_does_not_arrive_is_english(
    happens: str, browser: Browser, stack: Stack
) -> None:
    context = browser.new_context(service_workers="block", locale="ar")
    chat = ChatPage(context.new_page(), stack.url + "/")
    chat.page.route(
        "**/js/words/ar.js", lambda route: route.abort() if happens == "an error" else None
    )
    chat.page.goto(chat.url, wait_until="commit")
    chat.wait_listening()
    chat.send("hello")
    chat.wait_answer("hello ")
    expect(chat.page.locator("html")).to_have_attribute("lang", "en")
    assert chat.faults == []
    context.close()


def test_everything_is_said_in_arabic(arabic: ChatPage, stack: Stack) -> None:
    page = arabic.page
    expect(page.get_by_role("heading", level=2)).to_have_text("بمَ تفكّر؟")
    assert english(page) == []
    steps = [["think", "hm"], ["say", "Well. "], ["wait", "arabic"], ["fail", "x"]]
    arabic.think = page.get_by_role("checkbox")
    arabic.think.check()
    arabic.send(script("arabic", *steps))
    arabic.wait_answer("Well. ")
    arabic.composer.fill("123")
    arabic.composer.press("Enter")
    expect(page.locator(".outbox li")).to_have_count(1)
    assert english(page) == []
    stack.open_gate("arabic")
    expect(page.locator(".note.error")).to_be_visible()
    page.get_by_role("button", name="التفاصيل").click()
    assert english(page) == []
    page.get_by_role("button", name="المفاتيح").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert english(page) == []


def test_every_error_of_the_server_is_told_in_arabic(arabic: ChatPage) -> None:
    def below(kind: type[BurbleError]) -> Iterator[type[BurbleError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from below(child)

    errors = {kind.code: kind.default for kind in below(BurbleError)}
    told: dict[str, str] = arabic.page.evaluate(
        """async (errors) => {
            const { problem } = await import(new URL("js/words/ar.js", document.baseURI));
            return Object.fromEntries(Object.entries(errors).map(([code, text]) => [code, problem(code, text)]));
        }""",
        errors,
    )
    assert "engine_lost" in told
    assert {code: text for code, text in told.items() if re.search("[A-Za-z]", text)} == {}


def test_a_suggestion_is_sent_in_arabic(arabic: ChatPage) -> None:
    arabic.page.get_by_role("button", name="ألقِ التحية").click()
    expect(arabic.questions).to_have_text("مرحبًا!")
    arabic.wait_answer("مرحبًا! ")


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_it_begins_at_the_right_and_fits(width: int, arabic: ChatPage) -> None:
    arabic.page.set_viewport_size({"width": width, "height": 700})
    text = (
        "نص طويل " * 60
        + "\n\n- عنصر\n\n```python\n"
        + "x = 1 + " * 60
        + "\n```\n\n| أ | ب |\n|-|-|\n| ١ | ٢ |\n"
    )
    arabic.send(script("wide-arabic", ["say", text]))
    arabic.wait_finished()
    expect(arabic.answer.locator("td")).to_have_count(2)
    for selector in ("html", "#scroller"):
        wider = arabic.page.locator(selector).evaluate("e => e.scrollWidth - e.clientWidth")
        assert wider == 0, selector
    brand = arabic.page.locator(".brand").bounding_box()
    actions = arabic.page.locator(".top-actions").bounding_box()
    question = arabic.questions.last.bounding_box()
    answer = arabic.answer.bounding_box()
    assert brand
    assert actions
    assert question
    assert answer
    assert brand["x"] > actions["x"]
    assert (
        abs(question["x"] - answer["x"]) <= 1
    )  # the reader's own messages stand at the end of the line
    list_box = arabic.answer.locator("ul").bounding_box()
    item = arabic.answer.locator("li").evaluate("e => getComputedStyle(e).marginRight")
    assert list_box
    assert list_box["x"] + list_box["width"] <= answer["x"] + answer["width"] + 1
    assert float(item.removesuffix("px")) > 20  # the mark's room, at the right
    code = arabic.answer.locator("pre")
    assert code.evaluate("e => getComputedStyle(e).direction") == "ltr"
