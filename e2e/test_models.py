"""Several models on the page: which one answers is seen, and chosen. Against the real stack, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

from e2e.chat_page import ChatPage, records
from e2e.scripted_model import script
from e2e.stack import MODEL, Stack, wait_for

StartStack = Callable[..., Stack]
OpenChat = Callable[..., ChatPage]

LONG = "some-organisation/A-Model-With-A-Very-Long-Name-128E-Instruct-Preview-Q4_K_M"
HOSTILE = '<img src=x onerror="document.title=1">\u202eknab'


class Picker:
    """The model's name in the page's head, and the menu that it opens where there are several."""

    def __init__(self, chat: ChatPage) -> None:
        self.chat = chat
        self.root = chat.page.locator("#model")
        self.name = self.root.locator("bdi")
        self.button = self.root.get_by_role("button")
        self.menu = chat.page.get_by_role("menu", name="Models")
        self.entries = self.menu.get_by_role("menuitemradio")
        self.gone = chat.page.locator(".notice", has_text="not served any more")

    def choose(self, name: str) -> None:
        self.button.click()
        self.entries.filter(has_text=name).click()
        expect(self.menu).to_be_hidden()
        expect(self.name).to_have_text(name)


@pytest.fixture
def picker(chat: ChatPage) -> Picker:
    return Picker(chat)


def figures(chat: ChatPage, answer: Locator) -> dict[str, str]:
    """Open the details of an answer; return what they tell."""
    answer.get_by_role("button", name="Details").click()
    rows = answer.locator(".figures > div")
    expect(rows.first).to_be_visible()
    return {row.locator("dt").inner_text(): row.locator("dd").inner_text() for row in rows.all()}


# Several are served


@pytest.mark.long
def test_each_model_answers_what_is_asked_of_it(
    start_stack: StartStack, open_chat: OpenChat
) -> None:
    stack = start_stack(
        model=f"{MODEL},simulated", simulated_min_delay_ms=1, simulated_max_delay_ms=2
    )
    chat = open_chat(stack.url)
    picker = Picker(chat)
    expect(picker.name).to_have_text(MODEL)
    chat.send(script("first", ["say", "Slowly. "], ["wait", "switched"], ["say", "Done."]))
    chat.wait_answer("Slowly. ")

    # With the keyboard alone; the answer that runs goes on.
    picker.button.focus()
    keys = chat.page.keyboard
    keys.press("Enter")
    expect(picker.entries).to_have_count(2)
    expect(picker.entries.first).to_be_focused()
    expect(picker.entries.first).to_be_checked()
    keys.press("ArrowDown")
    keys.press("Enter")
    expect(picker.menu).to_be_hidden()
    expect(picker.button).to_be_focused()
    expect(picker.button).to_have_accessible_name("Model: Simulated model")
    stack.open_gate("switched")
    chat.wait_answer("Slowly. Done.")
    chat.wait_finished()
    chat.send("hello")
    chat.wait_finished()
    expect(chat.answer).to_contain_text("simulated AI assistant")
    assert figures(chat, chat.answers.first)["Model"] == MODEL
    assert figures(chat, chat.answers.last)["Model"] == "Simulated model"
    expect(chat.answers.locator("h2")).to_have_text([MODEL, "Simulated model"])

    # It is the conversation's own, and kept; a new one goes on with it.
    chat.reload()
    expect(picker.name).to_have_text("Simulated model")
    expect(chat.answers.locator("h2")).to_have_text([MODEL, "Simulated model"])
    chat.new_chat()
    expect(picker.name).to_have_text("Simulated model")
    picker.choose(MODEL)
    chat.go(chat.address)
    chat.reload()
    expect(picker.name).to_have_text(MODEL)


def test_only_one_model_is_named_and_nothing_is_to_be_chosen(
    chat: ChatPage, picker: Picker
) -> None:
    chat.serve_models({"name": "The only one"})
    expect(picker.root).to_have_text("Model: The only one")
    expect(picker.button).to_have_count(0)


def test_a_server_without_a_list_names_nothing(chat: ChatPage, picker: Picker) -> None:
    chat.page.route("**/models", lambda route: route.fulfill(status=404))
    chat.reload()
    chat.send("hello")
    chat.wait_answer("hello ")
    expect(picker.root).to_be_hidden()


def test_what_each_can_do_is_said_where_it_is_chosen(chat: ChatPage, picker: Picker) -> None:
    chat.serve_models(
        {"context_tokens": 8192},
        {"id": "b", "name": "B", "thinking": False, "system": False},
        {"id": "c", "name": "C", "takes": None, "thinking": None, "system": None},
    )
    picker.button.click()
    expect(picker.entries).to_have_text(
        [
            "ScriptedThinking · System prompt · 8,192 tokens",
            "BSees your last message alone",
            "CNot loaded yet",
        ]
    )
    chat.page.keyboard.press("Escape")
    expect(picker.menu).to_be_hidden()
    expect(picker.button).to_be_focused()


def test_what_a_model_cannot_do_cannot_be_asked_of_it(chat: ChatPage, picker: Picker) -> None:
    chat.serve_models({}, {"id": "b", "name": "B", "thinking": False})
    chat.think.check()
    picker.choose("B")
    expect(chat.think).to_be_disabled()
    expect(chat.think).not_to_be_checked()
    expect(chat.think).to_have_accessible_description("This model does not take it.")
    picker.choose("Scripted")
    expect(chat.think).to_be_enabled()
    expect(chat.think).to_be_checked()
    # It is on for the model that is asked, whatever was served when it was pressed.
    chat.serve_models({"thinking": False})
    expect(chat.think).to_be_hidden()
    with chat.page.expect_request("**/chat") as sent:
        chat.send(script("unthinking", ["asked"]))
    assert json.loads(sent.value.post_data or "")["thinking"] is False
    chat.wait_finished()


def test_what_is_known_only_later_is_seen_then(chat: ChatPage, picker: Picker) -> None:
    chat.serve_models({"name": "Loading", "takes": None, "thinking": None})
    expect(picker.name).to_have_text("Loading")
    expect(chat.think).to_be_enabled()
    chat.reload()
    expect(picker.name).to_have_text("Loading")
    chat.page.unroute("**/models")
    chat.page.evaluate("dispatchEvent(new Event('online'))")  # else it waits a while
    expect(picker.name).to_have_text(MODEL)


# One that is gone


@pytest.mark.long
def test_a_model_that_is_gone_is_told_and_another_one_answers(
    chat: ChatPage, picker: Picker
) -> None:
    chat.serve_models({}, {"id": "old", "name": "Old"})
    chat.page.route("**/chat", lambda route: route.fulfill(status=503))
    picker.choose("Old")
    chat.send("hello")
    expect(chat.error).to_be_visible()
    chat.page.unroute("**/chat")
    chat.serve_models({})
    chat.reload()
    expect(picker.gone).to_contain_text("“old” is not served any more: Scripted answers.")
    expect(picker.name).to_have_text("Scripted")
    chat.send(script("instead", ["say", "I do."]))
    chat.wait_answer("I do.")
    assert figures(chat, chat.answers.last)["Model"] == "Scripted"
    # It was not forgotten, until the reader says so.
    (kept,) = records(chat, "conversations")
    assert kept["settings"]["model"] == "old"
    picker.gone.get_by_role("button", name="Use Scripted").click()
    expect(picker.gone).to_be_hidden()
    # What is shown is written a moment later.
    wait_for(
        lambda: records(chat, "conversations")[0]["settings"]["model"] == MODEL, "it to be kept"
    )
    chat.reload()
    expect(picker.name).to_have_text("Scripted")
    expect(picker.gone).to_have_count(0)


def test_a_model_that_goes_while_the_page_is_open_is_told_when_it_is_asked(
    chat: ChatPage, picker: Picker
) -> None:
    chat.serve_models({}, {"id": "old", "name": "Old"})
    picker.choose("Old")
    chat.page.unroute("**/models")
    chat.send(script("after-all", ["say", "Here."]))
    chat.wait_note("There is no such model here.")
    expect(picker.gone).to_be_visible()
    chat.button("Retry").click()
    chat.wait_answer("Here.")


# Any name


@pytest.fixture(params=["en", "ar"])
def phone(request: pytest.FixtureRequest, browser: Browser, stack: Stack) -> Iterator[ChatPage]:
    context = browser.new_context(
        service_workers="block",
        locale=request.param,
        viewport={"width": 320, "height": 568},
        has_touch=True,
    )
    chat = ChatPage(context.new_page(), stack.url + "/").open()
    yield chat
    assert chat.faults == []
    context.close()


def test_any_name_fits_the_smallest_screen(phone: ChatPage) -> None:
    phone.serve_models({"id": "long", "name": LONG}, {"id": "hostile", "name": HOSTILE})
    page = phone.page
    button = page.locator("#model button")
    for index, name in enumerate((LONG, HOSTILE.replace("\u202e", ""))):
        button.click()
        page.get_by_role("menuitemradio").nth(index).tap()
        expect(page.locator("#model bdi")).to_have_text(name)
        expect(page.get_by_role("menu")).to_be_hidden()
        for selector in ("html", ".top"):
            wider = page.locator(selector).evaluate("e => e.scrollWidth - e.clientWidth")
            assert wider <= 0, selector
        box = page.locator(".top-actions").bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 320
    button.click()
    menu = page.get_by_role("menu").bounding_box()
    assert menu
    assert menu["x"] >= 0
    assert menu["x"] + menu["width"] <= 320
    for entry in page.get_by_role("menuitemradio").all():
        box = entry.bounding_box()
        assert box
        assert box["height"] >= 44
        assert entry.evaluate("e => e.scrollWidth - e.clientWidth") == 0
    assert page.title() == "Burble"
    # All of the corner opens it, as large as a finger wants it.
    page.keyboard.press("Escape")
    page.get_by_role("heading", level=1).tap(force=True)
    expect(page.get_by_role("menu")).to_be_visible()


# What an answer has used


@pytest.mark.long
def test_usage_is_told_however_an_answer_ended(chat: ChatPage, stack: Stack) -> None:
    chat.serve_models({})
    chat.send(
        script("thought", ["think", "So, "], ["wait", "so"], ["think", "well. "], ["words", 3])
    )
    # Tokens that come together have no speed.
    expect(chat.thinking).to_be_visible()
    stack.open_gate("so")
    chat.wait_finished()
    told = figures(chat, chat.answers.last)
    assert told["Model"] == "Scripted"
    assert told["Length"] == "5 tokens"
    assert int(told["Conversation before it"].split()[0]) > 0
    assert {"First token after", "Speed", "Thought for"} <= set(told)
    chat.send(script("stopped", ["words", 4], ["wait", "never"]))
    chat.wait_answer("stopped-0 stopped-1 stopped-2 stopped-3 ")
    chat.stop()
    told = figures(chat, chat.answers.last)
    assert told["Length"] == "about 4 tokens"  # nobody has counted them
    assert "Conversation before it" not in told
    chat.send(script("resumed", ["words", 2], ["wait", "loaded"], ["words", 2]))
    chat.wait_answer("resumed-0 resumed-1 ")
    chat.reload()
    chat.wait_answer("resumed-0 resumed-1 ")
    stack.open_gate("loaded")
    chat.wait_finished()
    told = figures(chat, chat.answers.last)
    assert told["Model"] == "Scripted"
    assert told["Length"] == "4 tokens"
    assert told["Speed"] == "not known, the connection was interrupted"
    # After another load, too.
    assert figures(chat, chat.answers.nth(1))["Length"] == "about 4 tokens"
    assert figures(chat, chat.answers.first)["Length"] == "5 tokens"


# What goes wrong behind the server


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("upstream_unreachable", "Nobody answers at 127.0.0.1:9."),
        ("upstream_busy", "Try again in 20 seconds."),
        ("upstream_cut_off", "It broke off."),
    ],
)
def test_what_fails_behind_the_server_is_told_in_its_words(
    code: str, message: str, chat: ChatPage
) -> None:
    chat.send(script(code, ["raise", code, message]))
    chat.wait_note(message)
    expect(chat.error.locator("small")).to_have_text(code)
    expect(chat.button("Continue")).to_have_count(0)
    held = chat.hold("**/chat")
    chat.button("Retry").click()
    chat.wait_waiting("Sending…")  # the note of before is gone
    held.let_go()
    chat.wait_note(message)
    chat.send(script(f"{code}-later", ["say", "So far "], ["raise", code, message]))
    chat.wait_note(f"This answer was cut off here. {message}")
    expect(chat.button("Continue")).to_be_visible()


def test_a_conversation_that_a_model_finds_too_long_can_be_mended(chat: ChatPage) -> None:
    too_long = "The conversation has 9,000 tokens, and the model takes 8,192."
    chat.send(script("too-long", ["raise", "prompt_too_long", too_long]))
    chat.wait_note(too_long)
    expect(chat.error.get_by_role("button", name="Retry")).to_be_visible()
    expect(chat.error.get_by_role("button", name="Edit message")).to_be_visible()
    chat.send(script("short", ["asked"]))
    chat.wait_finished()
    assert '"messages": 1' in chat.answer_text()
