"""Searching all conversations, and going to what was found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from e2e.chat_page import ChatPage
from e2e.scripted_model import script
from e2e.stack import Stack, wait_for
from e2e.test_access import AXE, violations
from e2e.test_reading import TOP, settled

OpenChat = Callable[..., ChatPage]

FILLER = "A paragraph of some length that is there to be scrolled away. " * 3 + "\n\n"

# Writes conversations as another tab would: each is a title and its messages; a message is its text, or a list of
# messages that are branches beside each other, of which the last one goes on.
WRITE = """async (conversations) => {
    const { Store, newId, defaultSettings } = await import("./js/store.js");
    const { newAnswer } = await import("./js/answer.js");
    const store = new Store(`burble ${new URL(".", document.baseURI).pathname}`);
    await store.open();
    const now = Date.now();
    const made = conversations.map(({ id, title, turns }, at) => {
        const messages = [];
        let parent = null;
        turns.forEach((turn, depth) => {
            const from = parent;
            for (const [branch, content] of [turn].flat().entries()) {
                const message = { id: newId(), conversation: id, parent: from };
                const createdAt = now - 1e6 + at * 1000 + depth * 10 + branch;
                messages.push(depth % 2
                    ? { ...newAnswer({ ...message, think: false }), createdAt, content, end: { kind: "stop" } }
                    : { ...message, role: "user", createdAt, content });
                parent = message.id;
            }
        });
        return { messages, conversation: {
            id, title, pinned: false, createdAt: now, updatedAt: now + at, head: parent,
            settings: defaultSettings(), outbox: [], deletedAt: null } };
    });
    await store.take(made);
    store.close();
}"""

# The marked words, and whether the first of them is on the screen.
MARKED = """() => [...(CSS.highlights.get("search-hit") ?? [])].map((mark) => {
    const range = document.createRange();
    range.setStart(mark.startContainer, mark.startOffset);
    range.setEnd(mark.endContainer, mark.endOffset);
    return range.toString();
})"""
IS_IN_VIEW = """(scroller) => {
    const [mark] = CSS.highlights.get("search-hit") ?? [];
    if (!mark) return false;
    const range = document.createRange();
    range.setStart(mark.startContainer, mark.startOffset);
    range.setEnd(mark.endContainer, mark.endOffset);
    const [hit, view] = [range.getBoundingClientRect(), scroller.getBoundingClientRect()];
    return hit.top >= view.top && hit.bottom <= view.bottom && hit.left >= view.left && hit.right <= view.right;
}"""
FRAMES = "async () => { for (let n = 0; n < 12; n += 1) await new Promise(requestAnimationFrame); }"


def conversation(name: str, title: str, *turns: str | list[str]) -> dict[str, Any]:
    return {"id": name, "title": title, "turns": turns}


def write(chat: ChatPage, *conversations: dict[str, Any]) -> None:
    chat.page.evaluate(WRITE, list(conversations))


def field(chat: ChatPage) -> Locator:
    return chat.page.get_by_role("searchbox", name="Search", exact=True)


def results(chat: ChatPage) -> Locator:
    return chat.page.get_by_role("search").get_by_role("link")


def marked(page: Page) -> list[str]:
    words: list[str] = page.evaluate(MARKED)
    return words


def wait_marked(chat: ChatPage, words: list[str]) -> None:
    """Wait until these words are marked; return when the page has settled, with the first in view."""
    for _ in range(200):
        if marked(chat.page) == words:
            break
        chat.page.evaluate(FRAMES)
    assert marked(chat.page) == words
    chat.page.evaluate(FRAMES)
    wait_for(lambda: chat.scroller.evaluate(IS_IN_VIEW), "the first of them in view")


def test_words_are_typed_found_and_gone_to_by_keys_alone(chat: ChatPage) -> None:
    write(
        chat,
        conversation(
            "long", "Sewing", "How?", FILLER * 30 + "A **nee**dle of `steel`.\n\n" + FILLER * 30
        ),
        conversation("titled", "Needles of pines", "Trees?", "Yes."),
        conversation("other", "Elsewhere", "Nothing", "here."),
    )
    keyboard = chat.page.keyboard
    chat.scroller.focus()
    keyboard.press("/")
    expect(field(chat)).to_be_focused()
    keyboard.type("NEEDLE")
    expect(results(chat)).to_have_count(2)
    expect(results(chat).locator("strong")).to_have_text(["Needles of pines", "Sewing"])
    expect(results(chat).locator("mark")).to_have_text(["Needle", "needle"])
    expect(chat.status).to_have_text("2 conversations")
    keyboard.press("ArrowDown")
    expect(results(chat).nth(0)).to_be_focused()
    keyboard.press("ArrowDown")
    expect(results(chat).nth(1)).to_be_focused()
    keyboard.press("Enter")
    expect(chat.page).to_have_url(chat.url + "#/c/long")
    wait_marked(chat, ["needle"])
    assert chat.log.locator("mark").count() == 0  # the message itself is as it was
    keyboard.press("Escape")
    assert marked(chat.page) == []
    keyboard.press("/")
    expect(field(chat)).to_be_focused()
    expect(field(chat)).to_have_value("NEEDLE")
    keyboard.press("Escape")
    expect(field(chat)).to_have_value("")
    expect(results(chat)).to_have_count(0)
    expect(chat.composer).to_be_focused()
    chat.page.go_back()
    expect(chat.page).to_have_url(chat.url)


def test_enter_in_the_field_opens_the_first(chat: ChatPage) -> None:
    write(chat, conversation("a", "Apples", "Are they red?", "Some."))
    field(chat).fill("red")
    expect(results(chat)).to_have_count(1)
    field(chat).press("ArrowDown")
    results(chat).press("ArrowUp")
    expect(field(chat)).to_be_focused()
    field(chat).press("Enter")
    expect(chat.questions).to_have_text(["Are they red?"])
    wait_marked(chat, ["red"])


def test_of_what_was_found_that_is_marked_which_is_shown(chat: ChatPage) -> None:
    write(
        chat,
        conversation("a", "Apples", "Red?", "Some."),
        conversation("b", "Berries", "Red?", "All."),
    )
    current = chat.page.get_by_role("search").locator("[aria-current=page]")
    chat.go("#/c/a")
    expect(chat.questions).to_have_text("Red?")  # with that, the composer has taken the focus
    field(chat).fill("red")
    expect(results(chat)).to_have_count(2)
    expect(current).to_contain_text("Apples")
    results(chat).filter(has_text="Berries").click()
    expect(current).to_contain_text("Berries")
    assert (
        current.evaluate("e => getComputedStyle(e.querySelector('.found-text')).fontWeight")
        == "400"
    )
    chat.go("#/")
    expect(current).to_have_count(0)


def test_a_hit_on_another_branch_brings_that_branch(chat: ChatPage) -> None:
    write(chat, conversation("b", "Fruit", "Which?", ["A quince.", "A medlar."]))
    chat.page.goto(chat.url + "#/c/b")
    expect(chat.answers).to_have_count(1)
    expect(chat.answer).to_have_text("A medlar.")
    field(chat).fill("quince")
    results(chat).click()
    expect(chat.answer).to_have_text("A quince.")
    wait_marked(chat, ["quince"])


def test_words_in_code_that_scrolls_sideways_are_brought_into_view(chat: ChatPage) -> None:
    line = "x" + " + x" * 200 + " + needle" + " + x" * 200
    write(
        chat,
        conversation("code", "Code", "Show me", f"{FILLER * 20}```\n{line}\n```\n\n{FILLER * 20}"),
    )
    field(chat).fill("needle")
    results(chat).click()
    wait_marked(chat, ["needle"])


def test_all_words_of_a_phrase_are_marked_across_lines(chat: ChatPage) -> None:
    write(
        chat,
        conversation("p", "Phrase", "Say it", "One *two\nthree* four, two three, and three two."),
    )
    field(chat).fill('"two three"')
    results(chat).click()
    wait_marked(chat, ["two\nthree", "two three"])


def test_the_marks_go_when_the_reader_writes_or_searches_anew(chat: ChatPage) -> None:
    write(chat, conversation("m", "Marks", "A needle", "Yes."))
    field(chat).fill("needle")
    results(chat).click()
    wait_marked(chat, ["needle"])
    chat.composer.fill("w")
    assert marked(chat.page) == []
    results(chat).click()
    wait_marked(chat, ["needle"])
    field(chat).fill("need")
    assert marked(chat.page) == []


def test_what_was_found_follows_what_changes_in_another_tab(
    chat: ChatPage, context: BrowserContext, open_chat: OpenChat, stack: Stack
) -> None:
    field(chat).fill("walrus")
    expect(chat.page.get_by_text("Nothing was found.")).to_be_visible()
    other = open_chat(stack.url)
    write(other, conversation("w", "Seals", "Is a walrus one?", "No."))
    expect(results(chat)).to_have_count(1)
    expect(results(chat)).to_contain_text("Is a walrus one?")
    expect(field(chat)).to_be_focused()


def test_more_is_shown_when_it_is_wanted(chat: ChatPage) -> None:
    write(chat, *[conversation(f"c{n}", f"Talk {n}", "a walrus", "…") for n in range(30)])
    field(chat).fill("walrus")
    expect(chat.page.locator(".found-count")).to_have_text("30 conversations")
    expect(results(chat)).to_have_count(25)
    chat.button("Show more").click()
    expect(results(chat)).to_have_count(30)
    expect(chat.button("Show more")).to_be_hidden()
    expect(results(chat).nth(25)).to_be_focused()


def test_a_hit_can_be_opened_in_another_tab(chat: ChatPage, context: BrowserContext) -> None:
    write(chat, conversation("t", "Tabs", "a walrus", "Yes."))
    field(chat).fill("walrus")
    with context.expect_page() as opened:
        results(chat).click(modifiers=["ControlOrMeta"])
    expect(opened.value).to_have_url(chat.url + "#/c/t")
    expect(chat.questions).to_have_count(0)


def test_the_reader_may_scroll_away_from_what_was_found(chat: ChatPage) -> None:
    write(chat, conversation("s", "Scroll", "How?", FILLER * 30 + "A needle.\n\n" + FILLER * 30))
    field(chat).fill("needle")
    results(chat).click()
    wait_marked(chat, ["needle"])
    chat.scroller.hover()
    chat.page.mouse.wheel(0, -3000)
    wait_for(lambda: not chat.scroller.evaluate(IS_IN_VIEW), "it to be out of view")
    chat.page.evaluate(FRAMES)
    assert not chat.scroller.evaluate(IS_IN_VIEW)
    assert marked(chat.page) == ["needle"]


def test_the_own_list_makes_way_while_the_reader_searches(chat: ChatPage) -> None:
    body = chat.page.locator("body")
    expect(body).not_to_have_class("searching")
    field(chat).fill("a")
    expect(body).to_contain_class("searching")
    field(chat).fill("")
    expect(body).not_to_contain_class("searching")


def test_escape_gives_up_the_search_and_then_closes_the_drawer(chat: ChatPage) -> None:
    chat.page.set_viewport_size({"width": 600, "height": 800})
    write(chat, conversation("d", "Drawers", "a walrus", "Yes."))
    chat.scroller.focus()
    drawer = chat.page.get_by_role("dialog", name="Conversations")
    keyboard = chat.page.keyboard
    keyboard.press("/")
    expect(field(chat)).to_be_focused()
    keyboard.type("walrus")
    expect(results(chat)).to_have_count(1)
    keyboard.press("Escape")
    expect(results(chat)).to_have_count(0)
    expect(field(chat)).to_be_focused()
    expect(drawer).to_be_visible()
    keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(chat.scroller).to_be_focused()


def test_a_key_of_a_composition_does_nothing(chat: ChatPage) -> None:
    write(chat, conversation("c", "Tokyo 東京", "Where?", "There."))
    field(chat).fill("東")
    expect(results(chat)).to_have_count(1)
    for key in ("Enter", "Escape", "ArrowDown"):
        field(chat).evaluate(
            """(field, key) => field.dispatchEvent(new KeyboardEvent("keydown", {
                key, keyCode: 229, isComposing: true, bubbles: true, cancelable: true }))""",
            key,
        )
    expect(field(chat)).to_be_focused()
    expect(field(chat)).to_have_value("東")
    expect(chat.questions).to_have_count(0)


@pytest.mark.long
def test_a_jump_lets_go_of_an_answer_that_is_being_written(chat: ChatPage, stack: Stack) -> None:
    chat.send("First of all")
    chat.wait_answer("First of all")
    chat.send(script("before", ["say", FILLER], ["words", 1000]))
    chat.wait_finished()
    chat.send(script("jump", ["say", "A needle. "], ["wait", "jump"], ["words", 1000]))
    chat.wait_answer("A needle.")
    field(chat).fill("needle")
    # Where the page can be scrolled no further, so that nothing but the jump itself tells it to let go.
    results(chat).click()
    wait_marked(chat, ["needle"])
    top = settled(chat.scroller, TOP)
    stack.open_gate("jump")
    chat.wait_finished()
    chat.page.evaluate(FRAMES)
    assert chat.scroller.evaluate(TOP) == top
    assert marked(chat.page) == ["needle"]


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_was_found_is_accessible(scheme: str, browser: Any, stack: Stack) -> None:
    context = browser.new_context(bypass_csp=True, color_scheme=scheme)
    chat = ChatPage(context.new_page(), stack.url + "/").open()
    write(
        chat,
        conversation("a", "A needle", "Which?", "This."),
        conversation("b", "B", "needle", "."),
    )
    chat.page.evaluate(AXE)
    field(chat).fill("needle")
    expect(results(chat)).to_have_count(2)
    assert violations(chat) == []
    results(chat).nth(1).click()
    wait_marked(chat, ["needle"])
    assert violations(chat) == []
    context.close()
