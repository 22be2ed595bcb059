"""Writing: the composer and its draft, messages that wait, keys, files. Against the real stack, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from e2e.chat_page import ChatPage
from e2e.scripted_model import script
from e2e.stack import Stack, wait_for
from e2e.test_reading import TOP, frames, settled

StartStack = Callable[..., Stack]
OpenChat = Callable[..., ChatPage]

CARET_AT_END = "e => e.selectionStart === e.value.length && e.selectionEnd === e.value.length"


def running(chat: ChatPage, gate: str) -> None:
    """Let an answer run until this gate is opened."""
    chat.send(script(gate, ["say", "One. "], ["wait", gate], ["say", "Two."]))
    chat.wait_answer("One. ")


def queue(chat: ChatPage, *texts: str) -> None:
    """Send these while an answer runs."""
    for text in texts:
        chat.composer.fill(text)
        chat.composer.press("Enter")
        expect(chat.composer).to_have_value("")
    expect(chat.waiting.last).to_contain_text(texts[-1])


# Messages that wait


def test_what_is_sent_during_an_answer_waits_and_goes_in_order(
    chat: ChatPage, stack: Stack
) -> None:
    running(chat, "order")
    second, third = (script(name, ["say", name]) for name in ("second", "third"))
    queue(chat, second, third)
    expect(chat.waiting).to_have_count(2)
    expect(chat.outbox).to_contain_text("Waiting: 2 messages")
    expect(chat.status).to_have_text("Answering… Waiting: 2 messages")
    expect(chat.questions).to_have_count(1)
    expect(chat.composer).to_be_focused()
    stack.open_gate("order")
    chat.wait_answer("third")
    chat.wait_finished()
    expect(chat.questions).to_have_text([re.compile("order"), second, third])
    expect(chat.answers.nth(1).locator(".answer-text")).to_have_text("second")
    expect(chat.outbox).to_be_hidden()
    names = ["order", "second", "third"]
    steps = [f"{step} {name}" for name in names for step in ("start", "end")]
    assert [line for line in stack.journal() if line in steps] == steps


def test_a_waiting_message_is_taken_back_without_losing_the_draft(
    chat: ChatPage, stack: Stack
) -> None:
    running(chat, "back")
    queue(chat, "first thought", "second thought")
    chat.composer.fill("half a")
    chat.waiting.first.get_by_role("button", name="Take back").click()
    expect(chat.composer).to_have_value("first thought\n\nhalf a")
    expect(chat.composer).to_be_focused()
    wait_for(lambda: chat.composer.evaluate(CARET_AT_END), "the caret at the end")
    expect(chat.waiting).to_have_count(1)
    stack.open_gate("back")
    chat.wait_answer("second thought ")
    expect(chat.composer).to_have_value("first thought\n\nhalf a")


def test_waiting_messages_survive_a_reload(chat: ChatPage, stack: Stack) -> None:
    running(chat, "kept")
    queue(chat, "one", "two")
    chat.composer.fill("and a draft")
    chat.reload()
    expect(chat.waiting).to_have_text([re.compile("one"), re.compile("two")])
    expect(chat.composer).to_have_value("and a draft")
    stack.open_gate("kept")
    chat.wait_answer("two ")
    expect(chat.questions).to_have_count(3)


def test_each_waiting_message_keeps_its_wish_for_thinking(chat: ChatPage, stack: Stack) -> None:
    running(chat, "wish")
    chat.think.check()
    queue(chat, "with")
    chat.think.uncheck()
    queue(chat, "without")
    with chat.page.expect_request(lambda r: "with" in (r.post_data or "")) as sent:
        stack.open_gate("wish")
    assert '"thinking":true' in (sent.value.post_data or "")
    chat.wait_answer("without ")


def test_stop_holds_back_what_waits(chat: ChatPage, stack: Stack) -> None:
    running(chat, "never")
    queue(chat, "one", "two")
    chat.stop()
    stack.wait_journal("end never")
    expect(chat.outbox).to_contain_text("Held back: 2 messages")
    expect(chat.status).to_have_text("Stopped Held back: 2 messages")
    chat.reload()
    expect(chat.outbox).to_contain_text("Held back: 2 messages")
    expect(chat.questions).to_have_count(1)
    chat.button("Send now").click()
    expect(chat.composer).to_be_focused()
    chat.wait_answer("two ")
    expect(chat.questions).to_have_text([re.compile("never"), "one", "two"])


def test_an_error_holds_back_what_waits_until_the_answer_is_whole(
    chat: ChatPage, stack: Stack
) -> None:
    chat.send(script("e", ["say", "Half "], ["wait", "error"], ["tell", "The oven is cold."]))
    chat.wait_answer("Half ")
    queue(chat, "next")
    stack.open_gate("error")
    expect(chat.error).to_contain_text("The oven is cold.")
    expect(chat.outbox).to_contain_text("Held back: 1 message")
    chat.composer.fill("something else")
    chat.composer.press("Enter")
    chat.wait_answer("next ")
    expect(chat.questions).to_have_text([re.compile("oven"), "something else", "next"])


def test_a_reader_who_is_elsewhere_is_not_moved_by_a_message_that_waited(
    chat: ChatPage, stack: Stack
) -> None:
    chat.send(script("long", ["say", "a line of text\n" * 100], ["wait", "away"], ["say", "."]))
    chat.wait_longer_than(1000)
    queue(chat, "next")
    chat.scroller.hover()
    chat.page.mouse.wheel(0, -600)
    expect(chat.to_end).to_be_visible()
    top = settled(chat.scroller, TOP)
    stack.open_gate("away")
    chat.wait_answer("next ")
    frames(chat)
    assert chat.scroller.evaluate(TOP) == top


def test_the_focus_is_not_lost_when_what_has_it_goes(chat: ChatPage, stack: Stack) -> None:
    running(chat, "focus")
    queue(chat, "next")
    chat.waiting.get_by_role("button").focus()
    stack.open_gate("focus")
    chat.wait_answer("next ")
    expect(chat.composer).to_be_focused()
    running(chat, "focus2")
    chat.stop_button.focus()
    stack.open_gate("focus2")
    chat.wait_finished()
    expect(chat.composer).to_be_focused()


def test_a_new_chat_leaves_all_that_was_not_sent_where_it_is(chat: ChatPage, stack: Stack) -> None:
    running(chat, "old")
    queue(chat, "one", "two")
    chat.composer.fill("three")
    address = chat.address
    chat.new_chat()
    expect(chat.button("Hello!")).to_be_visible()
    expect(chat.outbox).to_be_hidden()
    expect(chat.composer).to_have_value("")
    expect(chat.composer).to_be_focused()
    chat.go(address)
    expect(chat.waiting).to_have_count(2)
    expect(chat.composer).to_have_value("three")
    chat.stop()
    stack.wait_journal("end old")


# The draft


def test_typing_is_never_interrupted_by_an_answer(chat: ChatPage, stack: Stack) -> None:
    chat.send(script("typing", ["words", 1500], ["wait", "typed"]))
    chat.wait_longer_than(10)
    text = "".join(f"wörd{index:02} 語 " for index in range(23))
    assert len(text) >= 200
    chat.composer.press_sequentially(text[:150])
    for _ in range(5):
        chat.composer.press("ArrowLeft")
    chat.composer.press_sequentially(text[150:])
    expect(chat.composer).to_have_value(text[:145] + text[150:] + text[145:150])
    expect(chat.composer).to_be_focused()
    chat.wait_streaming()
    stack.open_gate("typed")
    chat.wait_finished()
    expect(chat.composer).to_have_value(text[:145] + text[150:] + text[145:150])


@pytest.fixture
def full_stack(start_stack: StartStack, open_chat: OpenChat) -> Stack:
    """A stack whose only place is taken until the gate `full` opens."""
    stack = start_stack(max_running=1, max_queued=0)
    running(open_chat(stack.url), "full")
    return stack


@pytest.mark.long
def test_a_message_that_is_refused_is_kept_until_it_is_taken(
    open_chat: OpenChat, full_stack: Stack
) -> None:
    chat = open_chat(full_stack.url)
    with chat.page.expect_response("**/chat") as refused:
        chat.send("is there room")
    assert refused.value.status == 503
    expect(chat.error).to_be_visible()
    expect(chat.questions).to_have_text("is there room")
    full_stack.open_gate("full")
    full_stack.wait_journal("end full")
    chat.button("Retry").click()
    chat.wait_answer("is there room ")


@pytest.mark.long
def test_a_message_that_never_arrived_is_no_part_of_later_prompts(
    open_chat: OpenChat, start_stack: StartStack
) -> None:
    chat = open_chat(start_stack(max_prompt_chars=30).url)
    chat.page.route("**/models", lambda route: route.abort())  # else the composer would refuse it
    chat.reload()
    chat.send("much longer than thirty characters")
    expect(chat.error).to_contain_text("too long")
    chat.send("short")
    chat.wait_answer("short ")
    expect(chat.questions).to_have_text(["much longer than thirty characters", "short"])


def test_a_suggestion_leaves_the_draft_alone(chat: ChatPage) -> None:
    chat.composer.fill("a draft")
    chat.button("Hello!").click()
    chat.wait_answer("Hello! ")
    expect(chat.composer).to_have_value("a draft")


def test_what_was_written_before_the_page_was_ready_is_kept(chat: ChatPage) -> None:
    views = chat.hold("**/js/views/*")
    chat.page.goto(chat.url, wait_until="commit")
    chat.composer.fill("early")
    views.wait()
    views.let_go()
    expect(chat.page.locator(".hint")).not_to_be_empty()
    chat.composer.press("Enter")
    chat.wait_answer("early ")


def test_the_composer_grows_with_its_text_to_a_limit(chat: ChatPage) -> None:
    height = "e => e.getBoundingClientRect().height"
    before = chat.composer.evaluate(height)
    chat.composer.fill("a line\n" * 5)
    assert chat.composer.evaluate(height) > before + 60
    chat.composer.fill("a line\n" * 500)
    assert chat.composer.evaluate(height) <= 320
    chat.composer.fill("")
    assert chat.composer.evaluate(height) == before


# Editing


def test_up_edits_the_last_message_and_sending_replaces_it(chat: ChatPage) -> None:
    chat.send("one")
    chat.wait_answer("one ")
    chat.wait_finished()
    chat.send("tow")
    chat.wait_answer("tow ")
    chat.wait_finished()
    chat.composer.press("ArrowUp")
    expect(chat.composer).to_have_value("tow")
    expect(chat.composer).to_be_focused()
    wait_for(lambda: chat.composer.evaluate(CARET_AT_END), "the caret at the end")
    expect(chat.editing).to_be_visible()
    expect(chat.answers).to_have_count(2)  # nothing is gone until it is sent
    chat.composer.fill("two")
    chat.composer.press("Enter")
    chat.wait_answer("two ")
    expect(chat.questions).to_have_text(["one", "two"])
    expect(chat.editing).to_be_hidden()
    expect(chat.composer).to_have_value("")


def test_escape_leaves_the_message_as_it_was(chat: ChatPage) -> None:
    chat.send("one")
    chat.wait_answer("one ")
    chat.wait_finished()
    chat.composer.press("ArrowUp")
    chat.composer.fill("something else")
    chat.reload()
    expect(chat.composer).to_have_value("something else")
    chat.page.keyboard.press("Escape")
    expect(chat.composer).to_have_value("")
    expect(chat.composer).to_be_focused()
    expect(chat.questions).to_have_text(["one"])
    chat.wait_answer("one ")


def test_editing_puts_a_draft_aside(chat: ChatPage) -> None:
    chat.send(script("a", ["tell", "The oven is cold."]))
    expect(chat.error).to_be_visible()
    chat.composer.fill("a draft")
    chat.button("Edit message").click()
    expect(chat.composer).to_be_focused()
    wait_for(lambda: chat.composer.evaluate(CARET_AT_END), "the caret at the end")
    chat.composer.fill("better")
    chat.composer.press("Enter")
    chat.wait_answer("better ")
    expect(chat.questions).to_have_text(["better"])
    expect(chat.composer).to_have_value("a draft")


def test_up_in_a_text_moves_the_caret(chat: ChatPage) -> None:
    chat.send("one")
    chat.wait_answer("one ")
    chat.wait_finished()
    chat.composer.fill("two\nlines")
    chat.composer.press("ArrowUp")
    expect(chat.composer).to_have_value("two\nlines")
    assert chat.composer.evaluate("e => e.selectionStart") < 4


def test_up_takes_back_the_message_that_waits_last(chat: ChatPage, stack: Stack) -> None:
    running(chat, "up")
    chat.composer.press("ArrowUp")
    expect(chat.composer).to_have_value("")  # a message whose answer runs is not edited
    queue(chat, "one", "two")
    chat.composer.press("ArrowUp")
    expect(chat.composer).to_have_value("two")
    expect(chat.waiting).to_have_count(1)
    chat.composer.press("Enter")
    expect(chat.waiting).to_have_count(2)
    stack.open_gate("up")
    chat.wait_answer("two ")


# Keys


def test_no_key_of_a_composition_sends(chat: ChatPage) -> None:
    chat.composer.fill("にほん")
    for init in ({"key": "Enter", "isComposing": True}, {"key": "Enter", "keyCode": 229}):
        chat.composer.dispatch_event("keydown", {**init, "bubbles": True, "cancelable": True})
    expect(chat.composer).to_have_value("にほん")
    chat.composer.press("Shift+Enter")
    expect(chat.composer).to_have_value("にほん\n")
    expect(chat.questions).to_have_count(0)
    chat.composer.press("Enter")
    expect(chat.questions).to_have_count(1)


def test_enter_that_is_held_down_sends_and_writes_nothing(chat: ChatPage) -> None:
    chat.composer.fill("held")
    chat.page.keyboard.down("Enter")
    expect(chat.questions).to_have_text("held")
    for _ in range(3):
        chat.page.keyboard.down("Enter")  # a repeat, for it was not let go
    chat.page.keyboard.up("Enter")
    chat.composer.press_sequentially("next")
    expect(chat.composer).to_have_value("next")


def test_an_input_method_writes_while_an_answer_runs(chat: ChatPage, stack: Stack) -> None:
    typed = ("k", "か", "かn", "かん", "かんj", "かんじ")
    steps = [step for text in typed for step in (["wait", f"ime {text}"], ["words", 50])]
    chat.send(script("ime", ["words", 50], *steps, ["wait", "ime"]))
    chat.wait_longer_than(10)
    keyboard = chat.page.context.new_cdp_session(chat.page)
    for text in typed:
        composition = {"text": text, "selectionStart": len(text), "selectionEnd": len(text)}
        keyboard.send("Input.imeSetComposition", composition)
        length = len(chat.answer_text())
        stack.open_gate(f"ime {text}")
        chat.wait_longer_than(length)
    expect(chat.composer).to_have_value("かんじ")
    # The Enter and the Esc that belong to the input method, as a browser tells of them.
    for key in ("Enter", "Escape"):
        press = {"type": "rawKeyDown", "key": key, "windowsVirtualKeyCode": 229}
        keyboard.send("Input.dispatchKeyEvent", press)
    keyboard.send("Input.insertText", {"text": "漢字"})
    expect(chat.composer).to_have_value("漢字")
    expect(chat.waiting).to_have_count(0)
    chat.wait_streaming()
    chat.composer.press("Enter")
    expect(chat.waiting).to_have_text(re.compile("漢字"))
    stack.open_gate("ime")
    chat.wait_answer("漢字 ")


def table(chat: ChatPage) -> list[dict[str, Any]]:
    """The keys that the page says it has."""
    keys: list[dict[str, Any]] = chat.page.evaluate(
        """async () => {
            const { keysHere, keyNames } = await import(new URL("js/keys.js", document.baseURI));
            return keysHere().map((key) => ({ ...key, names: keyNames(key) }));
        }"""
    )
    return keys


def press(key: dict[str, Any]) -> str:
    """What Playwright calls this key."""
    modifiers = {"Control": key.get("mod"), "Shift": key.get("shift")}
    return "+".join([*(name for name, held in modifiers.items() if held), key["key"]])


def test_each_key_of_the_table_does_what_the_help_says(chat: ChatPage, stack: Stack) -> None:
    def send(key: str) -> None:
        chat.composer.fill("sent")
        chat.composer.press(key)
        expect(chat.questions).to_have_text("sent")
        chat.wait_answer("sent ")

    def new_line(key: str) -> None:
        chat.composer.fill("one")
        chat.composer.press(key)
        chat.composer.press_sequentially("two")
        expect(chat.composer).to_have_value("one\ntwo")
        chat.composer.fill("")

    def edit(key: str) -> None:
        send("Enter")
        chat.wait_finished()
        chat.composer.press(key)
        expect(chat.composer).to_have_value("sent")
        chat.button("Cancel").click()

    def stop(key: str) -> None:
        chat.send(script("by-key", ["say", "One. "], ["wait", "never"]))
        chat.wait_answer("One. ")
        chat.scroller.focus()
        chat.page.keyboard.press(key)
        stack.wait_journal("end by-key")

    def new_chat(key: str) -> None:
        send("Enter")
        chat.scroller.focus()
        chat.page.keyboard.press(key)
        expect(chat.questions).to_have_count(0)
        expect(chat.composer).to_be_focused()

    def help_(key: str) -> None:
        chat.scroller.focus()
        chat.page.keyboard.press(key)
        expect(chat.help).to_be_visible()
        chat.help.get_by_role("button", name="Close").click()

    def search(key: str) -> None:
        chat.scroller.focus()
        chat.page.keyboard.press(key)
        expect(chat.page.get_by_role("searchbox")).to_be_focused()
        chat.page.keyboard.press("Escape")

    checks = {
        "send": send,
        "newLine": new_line,
        "edit": edit,
        "stop": stop,
        "newChat": new_chat,
        "search": search,
        "help": help_,
    }
    keys = table(chat)
    assert {key["action"] for key in keys} == set(checks)
    for key in keys:
        checks[key["action"]](press(key))
        chat.page.keyboard.press("Control+k")
        expect(chat.questions).to_have_count(0)

    chat.button("Keys").click()
    expect(chat.help).to_be_visible()
    rows = chat.help.locator("dl > div")
    told = rows.evaluate_all(
        """rows => rows.flatMap((row) => [...row.querySelectorAll("dd")].map((keys) =>
            [row.querySelector("dt").textContent, ...[...keys.children].map((key) => key.textContent)]))"""
    )
    words = chat.page.evaluate(
        "async () => ({...(await import(new URL('js/words/en.js', document.baseURI))).keys})"
    )
    assert sorted(told) == sorted([words[key["action"]], *key["names"]] for key in keys)


@pytest.mark.parametrize("start", ["Keys", "scroller", "nothing"])
def test_the_help_gives_the_focus_back(start: str, chat: ChatPage, stack: Stack) -> None:
    running(chat, f"help-{start}")
    if start == "Keys":
        expected: Locator = chat.page.locator("#keys")
        expected.click()
    elif start == "scroller":
        expected = chat.scroller
        expected.focus()
        chat.page.keyboard.press("?")
    else:
        expected = chat.composer
        chat.page.evaluate("document.activeElement.blur()")
        chat.page.keyboard.press("?")
    expect(chat.help).to_be_visible()
    assert chat.help.evaluate("dialog => dialog.contains(document.activeElement)")
    chat.page.keyboard.press("Escape")
    expect(chat.help).to_be_hidden()
    expect(expected).to_be_focused()
    chat.wait_streaming()  # Esc closed what was open, and stopped nothing
    stack.open_gate(f"help-{start}")
    chat.wait_finished()


def test_a_question_mark_in_the_composer_is_text(chat: ChatPage) -> None:
    chat.composer.press_sequentially("why?")
    expect(chat.composer).to_have_value("why?")
    expect(chat.help).to_be_hidden()


def test_a_click_beside_the_help_closes_it(chat: ChatPage) -> None:
    chat.button("Keys").click()
    chat.help.get_by_role("heading").click()
    expect(chat.help).to_be_visible()
    chat.page.mouse.click(3, 3)
    expect(chat.help).to_be_hidden()


# Phones


@pytest.fixture
def phone(browser: Browser, open_chat: OpenChat, stack: Stack) -> Iterator[ChatPage]:
    """A tab on a touch screen, at the stack with the scripted model."""
    context = browser.new_context(
        service_workers="block",
        has_touch=True,
        is_mobile=True,
        viewport={"width": 390, "height": 760},
    )
    yield open_chat(stack.url, in_context=context)
    context.close()


def test_enter_breaks_the_line_on_a_touch_screen(phone: ChatPage, stack: Stack) -> None:
    phone.composer.tap()
    phone.composer.press_sequentially(script("tap", ["say", "One. "], ["wait", "tap"]))
    phone.composer.press("Enter")
    phone.composer.press("Enter")
    expect(phone.questions).to_have_count(0)
    expect(phone.composer).to_have_value(re.compile("\n\n$"))
    phone.send_button.tap()
    phone.wait_answer("One. ")
    expect(phone.composer).to_be_focused()  # so the keyboard stays
    phone.composer.press_sequentially("and then")
    phone.send_button.tap()
    expect(phone.waiting).to_have_text(re.compile("and then"))
    stack.open_gate("tap")
    phone.wait_answer("and then ")
    phone.composer.fill("with a keyboard")
    phone.composer.press("Control+Enter")
    phone.wait_answer("with a keyboard ")


def test_no_keyboard_comes_up_on_a_touch_screen_for_an_answer(phone: ChatPage) -> None:
    phone.composer.tap()
    phone.composer.fill(script("again", ["tell", "The oven is cold."]))
    phone.send_button.tap()
    expect(phone.error).to_be_visible()
    phone.button("Retry").tap()
    expect(phone.scroller).to_be_focused()


def test_the_help_on_a_touch_screen_tells_its_own_keys(phone: ChatPage) -> None:
    phone.button("Keys").tap()
    send = phone.help.locator("dl > div").filter(has_text="Send the message")
    expect(send.locator("dd")).to_have_count(1)
    expect(send.locator("kbd")).to_have_text(["Ctrl", "Enter"])


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_all_fits_and_can_be_hit(width: int, chat: ChatPage, stack: Stack) -> None:
    chat.page.set_viewport_size({"width": width, "height": 640})
    running(chat, f"fit-{width}")
    queue(chat, "w" * 300, "two\nlines", *(f"and {index}" for index in range(6)))
    chat.composer.fill("a draft\n" * 30)
    pick(chat, Path("a.bin"), b"a\0b")
    expect(chat.refusal).to_be_visible()
    for selector in ("html", "#scroller", "#composer"):
        wider = chat.page.locator(selector).evaluate("e => e.scrollWidth - e.clientWidth")
        assert wider == 0, selector
    for button in chat.page.get_by_role("button").all():
        box = button.bounding_box()
        assert box is None or min(box["height"], box["width"]) >= 44, button
    send = chat.send_button.bounding_box()
    assert send
    assert send["y"] + send["height"] <= 640
    # As on a phone whose keyboard is open: what is written, and Send, are still there, and so is some of the answer.
    chat.page.set_viewport_size({"width": width, "height": 400})
    for control in (chat.send_button, chat.stop_button, chat.composer):
        expect(control).to_be_in_viewport(ratio=0.5)
    assert chat.composer.evaluate("e => getComputedStyle(e).fontSize") == "16px"
    stack.open_gate(f"fit-{width}")


# Files


def pick(chat: ChatPage, name: Path, content: bytes) -> None:
    """Choose a file with the button."""
    with chat.page.expect_file_chooser() as chooser:
        chat.button("Add text files").click()
    chooser.value.set_files({"name": name.name, "mimeType": "", "buffer": content})


GIVE = """([type, files, text]) => {
    const data = new DataTransfer();
    for (const [name, content, kind] of files) {
        const bytes = Array.isArray(content) ? new Uint8Array(content) : content;
        data.items.add(new File([bytes], name, { type: kind ?? "" }));
    }
    if (text) data.setData("text/plain", text);
    const target = document.activeElement ?? document.body;
    const event = type === "paste"
        ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })
        : new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true });
    target.dispatchEvent(event);
    return event.defaultPrevented;
}"""


def give(chat: ChatPage, how: str, *files: list[Any], text: str = "") -> bool:
    """Drop or paste these files, each a name, its content, maybe its type; return whether the page took them."""
    taken: bool = chat.page.evaluate(GIVE, [how, files, text])
    return taken


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_a_text_file_becomes_a_fenced_block_at_the_caret(how: str, chat: ChatPage) -> None:
    chat.composer.fill("What is wrong?\n\nThank you.")
    chat.composer.evaluate("e => e.setSelectionRange(14, 14)")
    assert give(chat, how, ["main.py", "print('größer')\n"])
    block = "main.py\n```py\nprint('größer')\n```\n"
    expect(chat.composer).to_have_value(f"What is wrong?\n\n{block}\n\nThank you.")
    expect(chat.composer).to_be_focused()
    assert chat.composer.evaluate("e => e.selectionStart") == 16 + len(block)
    chat.composer.press("Control+z")
    expect(chat.composer).to_have_value("What is wrong?\n\nThank you.")
    chat.composer.press("Control+y")
    chat.reload()
    expect(chat.composer).to_have_value(f"What is wrong?\n\n{block}\n\nThank you.")


def test_files_are_taken_wherever_the_focus_is(chat: ChatPage) -> None:
    chat.scroller.focus()
    give(chat, "paste", ["a.txt", "a"], ["b.txt", "b"])
    expect(chat.composer).to_have_value("a.txt\n```txt\na\n```\n\nb.txt\n```txt\nb\n```\n")
    expect(chat.composer).to_be_focused()
    expect(chat.status).to_have_text("Added: a.txt, b.txt")


def test_files_are_taken_while_an_answer_runs(chat: ChatPage, stack: Stack) -> None:
    running(chat, "file")
    pick(chat, Path("a.txt"), b"a")
    # Else a browser would not tell that the same one is chosen again.
    assert chat.page.locator("[type=file]").evaluate("e => e.files.length") == 0
    pick(chat, Path("a.txt"), b"a")
    expect(chat.composer).to_have_value("a.txt\n```txt\na\n```\n\na.txt\n```txt\na\n```\n")
    expect(chat.composer).to_be_focused()
    stack.open_gate("file")


def test_a_file_that_is_dragged_over_the_page_sees_where_it_may_fall(
    chat: ChatPage, tmp_path: Path
) -> None:
    path = tmp_path / "notes.md"
    path.write_text("```\ncode\n```\n")
    pointer = chat.page.context.new_cdp_session(chat.page)
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}

    def drag(kind: str, x: int = 200, y: int = 200) -> None:
        event = {"type": kind, "x": x, "y": y, "data": data}
        pointer.send("Input.dispatchDragEvent", event)

    veil = chat.page.get_by_text("Drop text files to add them")
    drag("dragEnter")
    expect(veil).to_be_visible()
    drag("dragOver", 600, 300)
    expect(veil).to_be_visible()
    drag("dragOver", -9, -9)  # out of the window
    expect(veil).to_be_hidden()
    drag("dragEnter")
    expect(veil).to_be_visible()
    drag("dragOver")
    drag("drop")
    expect(veil).to_be_hidden()
    expect(chat.composer).to_have_value("notes.md\n````md\n```\ncode\n```\n````\n")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0, 0], "“x” is not a text file."),
        ("x" * 64_001, "“x” is too long: a file may have at most 64,000 characters."),
        ("", "“x” is empty."),
    ],
)
def test_a_file_that_is_refused_leaves_all_as_it_is(
    content: Any, reason: str, chat: ChatPage
) -> None:
    chat.composer.fill("a draft")
    assert give(chat, "drop", ["x", content], ["good.txt", "good"])
    expect(chat.refusal).to_have_text(reason)
    expect(chat.composer).to_have_value("a draft\n\ngood.txt\n```txt\ngood\n```\n")
    chat.button("Dismiss").click()
    expect(chat.refusal).to_be_hidden()
    expect(chat.composer).to_be_focused()


def test_files_fill_a_message_up_to_its_limit(chat: ChatPage) -> None:
    chat.composer.fill("x" * 40_000)
    give(chat, "drop", ["a", "a" * 50_000], ["b", "b" * 50_000], ["c", "c" * 100])
    expect(chat.refusal).to_have_text(
        "“b” does not fit: the message would be longer than 100,000 characters."
    )
    value = chat.composer.input_value()
    assert (value.count("a\n```"), value.count("b\n```"), value.count("c\n```")) == (2, 0, 2)
    chat.composer.press("Enter")
    chat.wait_finished()
    expect(chat.refusal).to_be_hidden()


def test_a_picture_beside_copied_text_does_not_hide_the_text(chat: ChatPage) -> None:
    chat.composer.focus()
    assert not give(chat, "paste", ["cell.png", "png", "image/png"], text="a cell")
    assert give(chat, "paste", ["photo.png", [0, 1], "image/png"])
    expect(chat.refusal).to_have_text("“photo.png” is not a text file.")


def test_text_that_is_dragged_is_no_file(chat: ChatPage) -> None:
    assert not give(chat, "dragover", text="words")
    assert not give(chat, "drop", text="words")
    assert give(chat, "dragover", ["a.txt", "a"])
