"""A conversation's settings, presets, and what fits into a prompt. Against the real stack, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Route, expect

from e2e.chat_page import ChatPage
from e2e.scripted_model import script
from e2e.stack import Stack

StartStack = Callable[..., Stack]
OpenChat = Callable[..., ChatPage]

NOTHING_SET = {"temperature": None, "top_p": None, "max_tokens": None}


class Settings:
    """The dialog with the settings, as its reader sees it."""

    def __init__(self, chat: ChatPage) -> None:
        self.chat = chat
        self.button = chat.page.locator("#settings")
        self.dialog = chat.page.get_by_role("dialog", name="Settings for this conversation")
        self.preset = self.dialog.get_by_role("combobox", name="Preset")
        self.system = self.field("System prompt")
        self.temperature = self.field("Temperature")
        self.top_p = self.field("Top-p")
        self.max_tokens = self.field("Max tokens")
        self.think = self.dialog.get_by_role("checkbox", name="Think first")
        # The page's own status is in the dialog, too, while that is open.
        self.said = self.dialog.locator("[role=status]:not(#status)")
        self.presets = self.dialog.get_by_role("listitem")

    def field(self, name: str) -> Locator:
        return self.dialog.get_by_role("textbox", name=name)

    def press(self, name: str) -> None:
        self.dialog.get_by_role("button", name=name, exact=True).click()

    def open(self) -> Settings:
        self.button.click()
        expect(self.dialog).to_be_visible()
        return self

    def close(self) -> None:
        self.press("Done")
        expect(self.dialog).to_be_hidden()

    def save_preset(self, name: str) -> None:
        self.press("Save as preset…")
        self.dialog.get_by_role("textbox", name="Name of the preset").fill(name)
        self.press("Save")
        expect(self.said).to_have_text(f"“{name}” is saved.")


@pytest.fixture
def settings(chat: ChatPage) -> Settings:
    return Settings(chat)


def ask(chat: ChatPage, name: str, extra: str = "") -> dict[str, Any]:
    """Send a message, which `extra` makes longer; return how the model was asked."""
    chat.send(script(name, ["asked"], ["ignored", extra]))
    chat.wait_finished()
    expect(chat.answer.locator("code")).to_be_visible()
    asked: dict[str, Any] = json.loads(chat.answer_text())
    return asked


# What is sent


def test_nothing_is_set_until_the_reader_sets_it(chat: ChatPage) -> None:
    with chat.page.expect_request("**/chat") as sent:
        asked = ask(chat, "usual")
    assert set(json.loads(sent.value.post_data or "")) == {"messages", "thinking", "resumable"}
    assert asked == {"messages": 1, "system": None, "thinking": False, **NOTHING_SET}


def test_settings_go_with_the_next_message(chat: ChatPage, settings: Settings) -> None:
    settings.open()
    settings.system.fill("You are a pirate.\nBe brief.")
    settings.temperature.fill("0,7")
    settings.top_p.fill("0.9")
    settings.max_tokens.fill("50")
    settings.think.check()
    settings.close()
    expect(settings.button).to_be_focused()
    expect(settings.button).to_have_accessible_name("Settings for this conversation (changed)")
    expect(chat.think).to_be_checked()
    with chat.page.expect_request("**/chat") as sent:
        asked = ask(chat, "set")
    body = json.loads(sent.value.post_data or "")
    assert body["messages"][0] == {"role": "system", "content": "You are a pirate.\nBe brief."}
    del body["messages"]
    assert body == {
        "thinking": True,
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 50,
        "resumable": True,
    }
    assert asked == {
        "messages": 2,
        "system": "You are a pirate.\nBe brief.",
        "thinking": True,
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 50,
    }


def test_settings_are_a_conversations_own_and_kept(chat: ChatPage, settings: Settings) -> None:
    settings.open().temperature.fill("0.3")
    settings.close()
    assert ask(chat, "first")["temperature"] == 0.3
    address = chat.page.url
    chat.reload()
    expect(settings.button).to_have_accessible_name("Settings for this conversation (changed)")
    expect(settings.open().temperature).to_have_value("0.3")
    settings.close()
    assert ask(chat, "again")["temperature"] == 0.3
    chat.button("New chat").click()
    expect(chat.questions).to_have_count(0)
    expect(settings.open().temperature).to_have_value("")
    settings.max_tokens.fill("9")
    settings.close()
    assert ask(chat, "second") == {
        "messages": 1,
        "system": None,
        "thinking": False,
        **NOTHING_SET,
        "max_tokens": 9,
    }
    chat.page.goto(address)
    expect(chat.questions).to_have_count(2)
    expect(settings.open().temperature).to_have_value("0.3")
    expect(settings.max_tokens).to_have_value("")


def test_settings_of_a_conversation_that_is_not_begun_are_kept(
    chat: ChatPage, settings: Settings
) -> None:
    settings.open().system.fill("Be brief.")
    settings.close()
    chat.reload()
    expect(settings.open().system).to_have_value("Be brief.")
    settings.close()
    assert ask(chat, "begun")["system"] == "Be brief."


def test_what_is_wrong_is_said_and_not_sent(chat: ChatPage, settings: Settings) -> None:
    settings.open().temperature.fill("0.5")
    settings.temperature.press("Tab")
    settings.temperature.fill("hot")
    settings.max_tokens.fill("1.5")
    settings.max_tokens.press("Tab")
    expect(settings.temperature).to_have_accessible_description(
        "Not taken: it has to be a number from 0 to 2, such as 0.7. "
        "From 0, the likeliest words, to 2, the most surprising ones."
    )
    expect(settings.max_tokens).to_have_attribute("aria-invalid", "true")
    settings.press("Done")
    expect(settings.temperature).to_be_focused()
    expect(settings.temperature).to_have_value("hot")
    chat.page.keyboard.press("Escape")
    expect(settings.dialog).to_be_hidden()
    assert ask(chat, "wrong") == {
        "messages": 1,
        "system": None,
        "thinking": False,
        **NOTHING_SET,
        "temperature": 0.5,
    }


# Models


def test_the_model_is_named_with_what_it_can_do(chat: ChatPage, settings: Settings) -> None:
    chat.serve_models({"name": "Scripted", "context_tokens": 8192})
    settings.open()
    expect(settings.dialog.get_by_text("Model: Scripted")).to_be_visible()
    expect(
        settings.dialog.get_by_text("Thinking · System prompt · 8,192 tokens", exact=True)
    ).to_be_visible()


def test_what_a_model_does_not_take_cannot_be_set(chat: ChatPage, settings: Settings) -> None:
    chat.serve_models({"takes": ["top_p"], "thinking": False, "system": False})
    settings.open()
    for field in (settings.system, settings.temperature, settings.max_tokens, settings.think):
        expect(field).to_be_disabled()
        expect(field).to_have_accessible_description("This model does not take it.")
    expect(settings.top_p).to_be_enabled()


def test_what_was_set_for_another_model_is_not_sent(chat: ChatPage, settings: Settings) -> None:
    settings.open().temperature.fill("1")
    settings.system.fill("Be brief.")
    settings.close()
    chat.serve_models({"takes": [], "system": False})
    chat.reload()
    assert ask(chat, "fewer") == {
        "messages": 1,
        "system": None,
        "thinking": False,
        **NOTHING_SET,
    }


def test_a_server_without_a_list_of_models_does_as_well(chat: ChatPage, settings: Settings) -> None:
    chat.page.route("**/models", lambda route: route.fulfill(status=404))
    chat.reload()
    settings.open().temperature.fill("1")
    expect(settings.dialog.get_by_text("Model:")).to_be_hidden()
    settings.close()
    assert ask(chat, "unlisted")["temperature"] == 1


# Presets


@pytest.mark.long
def test_a_preset_is_used_in_another_conversation(chat: ChatPage, settings: Settings) -> None:
    settings.open().system.fill("Translate into Arabic.")
    settings.temperature.fill("0")
    settings.save_preset("Translator")
    settings.close()
    ask(chat, "one")
    chat.button("New chat").click()
    expect(chat.questions).to_have_count(0)
    settings.open().preset.select_option("Translator")
    expect(settings.said).to_have_text("“Translator” is used now.")
    expect(settings.system).to_have_value("Translate into Arabic.")
    settings.close()
    asked = ask(chat, "two")
    assert (asked["system"], asked["temperature"]) == ("Translate into Arabic.", 0)
    chat.reload()
    expect(settings.open().preset.locator(":checked")).to_have_text("Translator")
    settings.press("Back to the defaults")
    expect(settings.preset.locator(":checked")).to_have_text("Defaults")
    settings.press("Undo")
    expect(settings.preset.locator(":checked")).to_have_text("Translator")


def test_a_deleted_preset_can_be_brought_back(chat: ChatPage, settings: Settings) -> None:
    settings.open().top_p.fill("0.5")
    settings.save_preset("Half")
    settings.dialog.get_by_text("Your presets").click()
    settings.press("Delete: Half")
    expect(settings.presets).to_have_count(0)
    undo = settings.dialog.get_by_role("button", name="Undo")
    expect(undo).to_be_focused()
    chat.page.keyboard.press("Enter")
    expect(settings.presets).to_have_count(1)
    chat.reload()
    expect(settings.open().preset.locator(":checked")).to_have_text("Half")


@pytest.mark.long
def test_two_tabs_have_the_same_presets_and_settings(
    chat: ChatPage, settings: Settings, open_chat: OpenChat
) -> None:
    ask(chat, "shared")
    there = open_chat(chat.url.removesuffix("/"))
    there.page.goto(chat.page.url)
    expect(there.questions).to_have_count(1)
    other = Settings(there).open()
    settings.open().max_tokens.fill("77")
    expect(other.max_tokens).to_have_value("77")
    settings.save_preset("Short")
    expect(other.preset.locator(":checked")).to_have_text("Short")
    other.dialog.get_by_text("Your presets").click()
    other.press("Rename: Short")
    other.dialog.get_by_role("textbox", name="Name of the preset").fill("Shorter")
    chat.page.keyboard.press("Escape")
    there.page.keyboard.press("Enter")
    expect(other.presets).to_contain_text("Shorter")
    expect(settings.open().preset.locator(":checked")).to_have_text("Shorter")


# The dialog


def test_it_is_used_by_keys_alone(chat: ChatPage, settings: Settings) -> None:
    keys = chat.page.keyboard
    chat.composer.focus()
    for _ in range(3):  # thinking, files, settings
        keys.press("Tab")
    expect(settings.button).to_be_focused()
    keys.press("Enter")
    expect(settings.dialog.get_by_role("heading")).to_be_focused()
    keys.press("Tab")
    expect(settings.preset).to_be_focused()
    keys.press("Tab")
    keys.press("Enter")
    name = settings.dialog.get_by_role("textbox", name="Name of the preset")
    expect(name).to_be_focused()
    keys.press("Escape")
    expect(name).to_be_hidden()
    expect(settings.dialog.get_by_role("button", name="Save as preset…")).to_be_focused()
    keys.press("Escape")
    expect(settings.dialog).to_be_hidden()
    expect(settings.button).to_be_focused()


def test_it_is_not_loaded_before_it_is_wanted_and_tried_again_when_it_fails(
    chat: ChatPage, settings: Settings
) -> None:
    asked: list[str] = []

    def fail(route: Route) -> None:
        asked.append(route.request.url)
        route.abort()

    chat.page.route("**/js/views/settings.js", fail)
    assert asked == []
    settings.button.click()
    expect(chat.refusal).to_contain_text("The settings could not be loaded.")
    assert len(asked) > 1
    chat.page.unroute("**/js/views/settings.js")
    settings.open()


@pytest.fixture
def arabic(browser: Browser, stack: Stack) -> Iterator[ChatPage]:
    context = browser.new_context(
        locale="ar", viewport={"width": 320, "height": 568}, has_touch=True
    )
    chat = ChatPage(context.new_page(), stack.url + "/").open()
    yield chat
    assert chat.faults == []
    context.close()


def test_it_fits_the_smallest_screen_in_either_direction(arabic: ChatPage) -> None:
    dialog = arabic.page.locator("dialog.settings")
    arabic.page.locator("#settings").click()
    expect(dialog).to_be_visible()
    dialog.locator(".name-form button:visible").first.click()
    dialog.locator(".naming:visible input").fill("اسم")
    arabic.page.keyboard.press("Enter")
    dialog.locator("summary").click()
    expect(dialog.locator("li")).to_have_count(1)
    expect(dialog.locator(".said button")).to_be_visible()
    assert dialog.evaluate("e => [e.scrollWidth - e.clientWidth, e.offsetWidth]") == [0, 320]
    assert dialog.evaluate("e => getComputedStyle(e).direction") == "rtl"
    for control in dialog.locator(
        "button:visible, select:visible, textarea, [type=text]:visible"
    ).all():
        box = control.bounding_box()
        assert box
        assert min(box["width"], box["height"]) >= 44, control
    for field in dialog.locator("textarea, select:visible, [type=text]:visible").all():
        assert field.evaluate("e => getComputedStyle(e).fontSize") == "16px"  # no zoom on a phone


# What fits


@pytest.fixture(scope="module")
def small_stack() -> Iterator[Stack]:
    """A stack that takes 1000 characters."""
    stack = Stack(max_prompt_chars=1000).start()
    yield stack
    stack.stop()


def test_what_did_not_fit_is_said(open_chat: OpenChat, small_stack: Stack) -> None:
    chat = open_chat(small_stack.url)
    left_out = chat.answers.last.locator(".left-out")
    assert ask(chat, "a", "x" * 400)["messages"] == 1
    expect(left_out).to_be_hidden()
    assert ask(chat, "b", "x" * 400)["messages"] == 1
    expect(left_out).to_have_text("The first 2 messages did not fit and were not sent.")
    assert ask(chat, "c")["messages"] == 3
    expect(left_out).to_have_text("The first 2 messages did not fit and were not sent.")
    chat.reload()
    expect(chat.answers).to_have_count(3)
    expect(left_out).to_have_text("The first 2 messages did not fit and were not sent.")
    expect(chat.answers.first.locator(".left-out")).to_be_hidden()


def test_a_message_that_cannot_fit_is_kept_and_not_sent(
    open_chat: OpenChat, small_stack: Stack
) -> None:
    chat = open_chat(small_stack.url)
    expect(chat.page.locator("#model")).to_be_visible()  # it is known by then
    settings = Settings(chat).open()
    settings.system.fill("😀" * 100)
    settings.close()
    chat.composer.fill("é" * 901)
    chat.composer.press("Enter")
    expect(chat.refusal).to_have_text(
        "Your message is too long by 1 character: it may have at most 900 characters."
    )
    expect(chat.composer).to_have_value("é" * 901)
    expect(chat.questions).to_have_count(0)
    chat.composer.fill("é" * 900)
    chat.composer.press("Enter")
    expect(chat.questions).to_have_count(1)
    expect(chat.refusal).to_be_hidden()
    chat.wait_finished()
    expect(chat.answer).to_have_text("é" * 900)


@pytest.mark.long
def test_a_message_that_the_server_finds_too_long_can_only_be_edited(
    open_chat: OpenChat, small_stack: Stack
) -> None:
    chat = open_chat(small_stack.url)
    chat.page.route("**/models", lambda route: route.fulfill(status=404))
    chat.reload()
    chat.send("x" * 1001)
    expect(chat.error).to_contain_text("Your message is too long for this server.")
    expect(chat.answers.last.get_by_role("button")).to_have_text(["Edit message"])
    chat.button("Edit message").click()
    expect(chat.composer).to_have_value("x" * 1001)
    chat.composer.fill("short")
    chat.composer.press("Enter")
    chat.wait_answer("short ")
