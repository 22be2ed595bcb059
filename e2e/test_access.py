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
    chat.wait_still()  # half-faded colours have too little contrast
    found: list[dict[str, Any]] = chat.page.evaluate(
        "async () => (await axe.run(document, { resultTypes: ['violations'] })).violations"
    )
    return [(rule["id"], node["html"][:200]) for rule in found for node in rule["nodes"]]


@pytest.fixture(params=["light 1280", "dark 390"])
def chat(request: pytest.FixtureRequest, browser: Browser, stack: Stack) -> Iterator[ChatPage]:
    """A tab in one of the themes and widths, without the policy: the checker itself is a foreign script."""
    scheme, width = request.param.split()
    marker = request.node.get_closest_marker("browser_context_args")
    wishes = marker.kwargs if marker else {}
    context = browser.new_context(
        service_workers="block",
        bypass_csp=True,
        color_scheme=scheme,
        viewport={"width": int(width), "height": 800},
        **wishes,
    )
    chat = ChatPage(context.new_page(), stack.url + "/").open()
    chat.page.evaluate(AXE)
    yield chat
    context.close()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Name a script and its gates, which no other test has."""
    name: str = request.node.name
    return name.replace(" ", "-")


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
    chat.wait_listening()
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


def test_a_file_that_is_refused_and_a_message_that_is_edited(chat: ChatPage) -> None:
    chat.send("short")
    chat.wait_finished()
    chat.composer.press("ArrowUp")
    expect(chat.editing).to_be_visible()
    chooser = chat.page.locator("input[type=file]")
    chooser.set_input_files({"name": "a.bin", "mimeType": "", "buffer": b"\0"})
    expect(chat.refusal).to_be_visible()
    assert violations(chat) == []


def test_a_file_that_is_dragged_over_the_page(chat: ChatPage) -> None:
    data = chat.page.evaluate_handle(
        """() => {
            const data = new DataTransfer();
            data.items.add(new File(["a"], "a.txt"));
            return data;
        }"""
    )
    chat.page.dispatch_event("body", "dragenter", {"dataTransfer": data})
    expect(chat.page.get_by_text("Drop text files to add them")).to_be_visible()
    assert violations(chat) == []


@pytest.mark.browser_context_args(locale="ar", contrast="more")
def test_an_answer_in_arabic(chat: ChatPage) -> None:
    expect(chat.page.locator("html")).to_have_attribute("lang", "ar")
    assert violations(chat) == []
    chat.composer = chat.page.get_by_role("textbox")
    chat.send(script("arabic", ["say", "# نص\n\n" + LONG_ANSWER.read_text()]))
    chat.wait_finished()
    assert violations(chat) == []


# The keyboard

FOCUSED = """() => {
    const e = document.activeElement;
    const shown = getComputedStyle(e.matches("[type=checkbox]") ? e.nextElementSibling : e);
    const frame = getComputedStyle(e.closest("form") ?? e);
    const isSeen = shown.outlineStyle !== "none" || (e.matches("textarea") && frame.borderTopStyle !== "none");
    return [e.id || e.ariaLabel || e.textContent || e.tagName, e !== document.body, isSeen];
}"""


def walk(chat: ChatPage) -> list[str]:
    """Press Tab until the focus is where it began; return what had it. Each has to show it."""
    first = chat.page.evaluate(FOCUSED)
    names = []
    for _ in range(200):
        chat.page.keyboard.press("Tab")
        name, is_inside, is_seen = chat.page.evaluate(FOCUSED)
        if not is_inside:
            continue  # the browser's own controls
        assert is_seen, name
        names.append(name)
        if name == first[0]:
            return names
    raise AssertionError(f"Tab does not come back to {first[0]}: {names}")


def test_branches_and_an_address_of_nothing(chat: ChatPage) -> None:
    chat.send("one")
    chat.wait_answer("one ")
    chat.button("Retry").click()
    expect(chat.branches).to_be_visible()
    chat.wait_finished()
    assert violations(chat) == []
    chat.go("#/c/nothing")
    expect(chat.trouble).to_be_visible()
    assert violations(chat) == []


def test_every_button_is_reached_by_the_tab_key_and_shows_it(
    chat: ChatPage, stack: Stack, name: str
) -> None:
    steps = [
        ["think", "Hm."],
        ["say", "```python\nx = 1\n```\n\n| a |\n|-|\n| b |"],
        ["fail", "no"],
    ]
    chat.send(script(name, *steps))
    expect(chat.error).to_be_visible()
    expect(chat.button("Copy table")).to_be_visible()
    chat.composer.focus()
    controls = chat.page.locator("button, summary, textarea, input, a[href], [tabindex='0']")

    def visible() -> int:
        return int(controls.evaluate_all("all => all.filter((e) => e.checkVisibility()).length"))

    before, names = -1, [""]
    while before != visible():
        before = visible()
        names = walk(chat)  # again, should something have loaded meanwhile that brings a button
    for wanted in ("Wrap lines", "Copy table", "Details", "Retry", "new-chat", "theme", "keys"):
        assert wanted in names
    assert len(names) == before, names


def test_the_focus_is_never_lost(chat: ChatPage, stack: Stack, name: str) -> None:
    def is_somewhere() -> bool:
        # What changes is drawn in a task of its own.
        chat.page.evaluate("new Promise((resolve) => setTimeout(resolve))")
        return bool(chat.page.evaluate("document.activeElement !== document.body"))

    def press(button: str) -> None:
        chat.button(button).last.focus()
        chat.page.keyboard.press("Enter")

    chat.send(script(name, ["say", "So far "], ["wait", name], ["fail", "broken"]))
    chat.wait_answer("So far ")
    chat.composer.fill("Later")
    chat.composer.press("Enter")
    expect(chat.waiting).to_have_count(1)
    press("Take back")
    expect(chat.waiting).to_have_count(0)
    assert is_somewhere()
    chat.composer.fill("")
    stack.open_gate(name)
    expect(chat.error).to_be_visible()
    press("Retry")
    expect(chat.composer).to_be_focused()
    expect(chat.branches).to_be_visible()
    expect(chat.error).to_be_visible()
    press("Continue")
    expect(chat.composer).to_be_focused()
    expect(chat.answer).to_contain_text("interruption.")
    chat.wait_finished()
    press("Keys")
    expect(chat.help).to_be_visible()
    chat.page.keyboard.press("Escape")
    assert is_somewhere()
    chat.send(script(f"{name}-2", ["say", "Well "], ["wait", "never"]))
    chat.wait_answer("Well ")
    chat.stop_button.focus()
    chat.page.keyboard.press("Enter")
    chat.wait_note("Stopped")
    assert is_somewhere()
    press("Edit message")
    expect(chat.composer).to_be_focused()
    press("Cancel")
    assert is_somewhere()
    press("New chat")
    assert is_somewhere()


def test_the_settings(chat: ChatPage, name: str) -> None:
    chat.page.locator("#settings").click()
    dialog = chat.page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    assert violations(chat) == []
    dialog.get_by_role("textbox", name="Temperature").fill("hot")
    chat.page.keyboard.press("Tab")
    expect(dialog.get_by_text("Not taken")).to_be_visible()
    dialog.get_by_role("button", name="Save as preset…").click()
    chat.page.keyboard.press("Enter")
    expect(dialog.get_by_text("It has to have a name.")).to_be_visible()
    assert violations(chat) == []
    chat.page.keyboard.type("Cold")
    chat.page.keyboard.press("Enter")
    expect(dialog.get_by_role("button", name="Undo")).to_be_visible()
    dialog.get_by_text("Your presets").click()
    assert violations(chat) == []
    chat.serve_models({"id": "one", "takes": [], "system": False}, {"id": "two"})
    chat.reload()
    chat.page.evaluate(AXE)
    chat.page.locator("#settings").click()
    expect(dialog.get_by_text("This model does not take it.").first).to_be_visible()
    assert violations(chat) == []


def test_the_models(chat: ChatPage) -> None:
    chat.serve_models({"id": "one", "thinking": False}, {"id": "two", "name": "Two"})
    chat.page.get_by_role("button", name="Model").click()
    expect(chat.page.get_by_role("menu")).to_be_visible()
    assert violations(chat) == []
    chat.page.get_by_role("menuitemradio", name="Two").click()
    chat.page.route("**/chat", lambda route: route.fulfill(status=503))
    chat.send("hello")
    expect(chat.error).to_be_visible()
    chat.serve_models({"id": "one", "name": "One"})
    expect(chat.button("Use One")).to_be_visible()
    assert violations(chat) == []


def test_messages_that_did_not_fit(chat: ChatPage, name: str) -> None:
    chat.serve_models({"max_prompt_chars": 20})
    for text in ("a first question", "a second one"):
        chat.send(text)
        chat.wait_finished()
    expect(chat.page.get_by_text("The first 2 messages did not fit")).to_be_visible()
    assert violations(chat) == []
