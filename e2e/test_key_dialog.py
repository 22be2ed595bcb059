"""The key that a server wants, as its reader meets it: asked for once, for all tabs, and nothing is lost meanwhile."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Literal

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Request,
    Route,
    ViewportSize,
    expect,
)

from e2e.chat_page import TIMEOUT_MS, ChatPage
from e2e.conftest import OpenChat
from e2e.gateway import Gateway
from e2e.relay import Relay
from e2e.scripted_model import script
from e2e.stack import Stack, wait_for
from e2e.test_access import AXE, violations
from e2e.test_keys import ANNA, BEN, write_keys
from e2e.test_words import english

# Nothing that a header can carry, so the page refuses it by itself: the server counts no try, of which this address has
# five a minute.
NOBODYS = "ключ"
NOTICE = "This server asks for a key. What you send waits for it."

# All that a page can keep, as text.
KEPT = """async () => {
    const kept = [document.cookie, JSON.stringify(localStorage), JSON.stringify(sessionStorage), location.href];
    for (const { name } of await indexedDB.databases()) {
        const opening = indexedDB.open(name);
        const db = await new Promise((resolve) => { opening.onsuccess = () => resolve(opening.result); });
        for (const store of db.objectStoreNames) {
            const all = db.transaction(store).objectStore(store).getAll();
            kept.push(JSON.stringify(await new Promise((resolve) => { all.onsuccess = () => resolve(all.result); })));
        }
        db.close();
    }
    return kept.join();
}"""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack that Anna has a key of; a test that takes it out gives it back."""
    stack = Stack(api_keys_file="keys")
    write_keys(stack, anna=ANNA, ben=BEN)
    yield stack.start()
    stack.stop()


@pytest.fixture
def chat(context: BrowserContext, stack: Stack) -> Iterator[ChatPage]:
    """A tab that was not let in yet: the dialog is open."""
    chat = ChatPage(context.new_page(), stack.url + "/")
    chat.page.goto(chat.url)
    expect(chat.key).to_be_focused()
    yield chat
    assert chat.faults == []


def notice(chat: ChatPage) -> str:
    return chat.page.locator("#access-notice p").inner_text()


def put_off(chat: ChatPage) -> None:
    chat.page.keyboard.press("Escape")
    expect(chat.page.locator("#access-notice")).to_be_visible()


def log_out(chat: ChatPage) -> None:
    chat.button("Log out").click()
    expect(chat.page.locator("#access-notice")).to_contain_text("You are logged out.")


def asked_for_sessions(page: Page) -> list[str]:
    """Return the list of what the page asks from now on of those who hand out sessions."""
    asked: list[str] = []

    def note(request: Request) -> None:
        if request.url.endswith("/session"):
            asked.append(request.method)

    page.on("request", note)
    return asked


def test_the_key_is_asked_for_once_and_what_was_sent_goes_by_itself(
    chat: ChatPage, stack: Stack, open_chat: OpenChat
) -> None:
    put_off(chat)
    assert notice(chat) == NOTICE
    chat.composer.fill("hello behind the door")
    chat.composer.press("Enter")
    expect(chat.key).to_be_focused()
    chat.page.keyboard.type("burble_nobody")
    chat.page.keyboard.press("Enter")
    expect(chat.key_refused).to_have_text("The server does not know this key.")
    expect(chat.key).to_be_focused()
    chat.log_in(ANNA)
    chat.wait_answer("hello behind the door ")
    expect(chat.page.locator("#access-notice")).to_be_hidden()
    expect(chat.page.locator("#model")).to_contain_text("ScriptedModel")
    [cookie] = chat.page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
    assert ANNA not in chat.page.evaluate(KEPT)
    assert "hello behind the door" in chat.page.evaluate(KEPT)
    # Neither is it asked for again, nor in another tab.
    chat.reload()
    expect(chat.questions).to_have_count(1)
    chat.send("hello again")
    chat.wait_answer("hello again ")
    other = open_chat(stack.url)
    other.send("hello from here")
    other.wait_answer("hello from here ")
    assert chat.key_dialog.count() + other.key_dialog.count() == 0


@pytest.mark.long
def test_all_tabs_wait_together_and_go_on_together(
    chat: ChatPage, context: BrowserContext, stack: Stack
) -> None:
    other = ChatPage(context.new_page(), stack.url + "/")
    other.page.goto(other.url)
    for tab, name in ((chat, "one"), (other, "two")):
        expect(tab.key).to_be_focused()
        tab.page.keyboard.press("Escape")
        tab.composer.fill(script(f"tab {name}", ["say", name]))
        tab.composer.press("Enter")
        expect(tab.key).to_be_focused()
    chat.log_in(ANNA)
    expect(other.key_dialog).to_have_count(0)
    chat.wait_answer("one")
    other.wait_answer("two")
    for name in ("one", "two"):
        assert stack.journal().count(f"start tab {name}") == 1
    expect(other.button("Log out")).to_be_visible()
    log_out(chat)
    expect(other.page.locator("#access-notice")).to_contain_text("You are logged out.")
    expect(other.button("Log out")).to_have_count(0)
    assert other.faults == []


@pytest.mark.long
def test_who_logs_out_is_not_known_any_more_and_the_conversations_stay(
    chat: ChatPage, stack: Stack
) -> None:
    chat.log_in(ANNA)
    chat.send("mine")
    chat.wait_answer("mine ")
    chat.wait_finished()
    [cookie] = chat.page.context.cookies()
    log_out(chat)
    assert chat.page.context.cookies() == []
    expect(chat.composer).to_be_focused()
    expect(chat.questions).to_have_text(["mine"])
    # The cookie is worth nothing, wherever it was copied to.
    chat.page.context.add_cookies(
        [{"name": cookie["name"], "value": cookie["value"], "url": stack.url}]
    )
    chat.send("and now?")
    chat.log_in(BEN)
    chat.wait_answer("and now? ")
    expect(chat.questions).to_have_text(["mine", "and now?"])


@pytest.mark.long
def test_an_answer_that_is_being_read_goes_on_where_it_was(
    context: BrowserContext, stack: Stack
) -> None:
    with closing(Relay(stack.port)) as relay:
        chat = ChatPage(context.new_page(), relay.url + "/")
        chat.page.goto(chat.url)
        chat.log_in(ANNA)
        chat.send(script("cut", ["say", "Begun, "], ["wait", "cut"], ["say", "and ended."]))
        chat.wait_answer("Begun,")
        chat.composer.fill("a draft")
        context.clear_cookies()
        relay.cut()
        expect(chat.key).to_be_focused()
        expect(chat.composer).to_have_value("a draft")
        stack.open_gate("cut")
        chat.page.keyboard.press("Escape")
        chat.wait_waiting("Waiting for the key of this server…")
        chat.button("Log in").click()
        chat.log_in(ANNA)
        chat.wait_answer("Begun, and ended.")
        assert stack.journal().count("start cut") == 1
        expect(chat.composer).to_have_value("a draft")
        assert chat.faults == []


@pytest.mark.long
def test_a_key_that_is_taken_out_in_the_middle_is_asked_for_and_what_was_written_stays(
    chat: ChatPage, stack: Stack
) -> None:
    chat.log_in(ANNA)
    chat.send(script("revoked", ["say", "Begun, "], ["wait", "revoked"], ["say", "and ended."]))
    chat.wait_answer("Begun,")
    write_keys(stack, ben=BEN)
    try:
        expect(chat.key).to_be_focused(timeout=2 * TIMEOUT_MS)
        expect(chat.error).to_contain_text("key_revoked")
        expect(chat.key_dialog).to_contain_text("The key that you were logged in with is not valid")
        expect(chat.key_refused).to_be_hidden()
        chat.wait_answer("Begun,")
        chat.page.keyboard.type(ANNA)
        chat.page.keyboard.press("Enter")
        expect(chat.key_refused).to_have_text("The server does not know this key.")
    finally:
        write_keys(stack, anna=ANNA, ben=BEN)
    chat.log_in(ANNA)
    chat.send("next")
    chat.wait_answer("next ")


@pytest.mark.long
def test_who_is_refused_soon_after_coming_in_is_not_told_of_cookies(chat: ChatPage) -> None:
    chat.log_in(ANNA)
    # The page asks nothing more by itself.
    expect(chat.page.locator("#model")).to_contain_text("ScriptedModel")
    chat.page.context.clear_cookies()
    chat.send("so soon")
    expect(chat.key_dialog).to_contain_text(
        "your key is not valid any more, or the login has expired"
    )
    expect(chat.key_refused).to_be_hidden()
    chat.log_in(ANNA)
    chat.wait_answer("so soon ")
    chat.wait_finished()
    # All is as it was: the next time, nobody was logged in.
    log_out(chat)
    chat.send("and later")
    expect(chat.key_dialog).to_contain_text("Whoever runs it can give you one.")


@pytest.mark.long
def test_after_logging_out_nothing_more_comes_and_after_the_next_login_all_is_there(
    chat: ChatPage, open_chat: OpenChat, stack: Stack
) -> None:
    chat.log_in(ANNA)
    other = open_chat(stack.url)
    for tab, name in ((chat, "left"), (other, "beside")):
        tab.send(script(name, ["say", "Begun, "], ["wait", name], ["say", "and ended."]))
        tab.wait_answer("Begun,")
    log_out(chat)
    for tab, name in ((chat, "left"), (other, "beside")):
        tab.wait_waiting("Waiting for the key of this server…")
        stack.open_gate(name)
        stack.wait_journal(f"end {name}")
        assert tab.key_dialog.count() == 0
        expect(tab.page.locator("#access-notice")).to_contain_text("You are logged out.")
        assert tab.answer_text() == "Begun,"
    chat.button("Log in").click()
    chat.log_in(ANNA)
    for tab in (chat, other):
        tab.wait_answer("Begun, and ended.")
    assert stack.journal().count("start left") == 1


@pytest.mark.long
def test_a_tab_that_is_still_loading_when_another_one_logs_out_shows_nothing_more(
    chat: ChatPage, context: BrowserContext, stack: Stack
) -> None:
    chat.log_in(ANNA)
    other = ChatPage(context.new_page(), stack.url + "/")
    held = other.hold("**/js/views/access.js")
    other.open()
    held.wait()
    other.send(script("loading", ["say", "Begun, "], ["wait", "loading"], ["say", "and ended."]))
    other.wait_answer("Begun,")
    log_out(chat)
    held.let_go()
    other.wait_waiting("Waiting for the key of this server…")
    expect(other.page.locator("#access-notice")).to_contain_text("You are logged out.")
    stack.open_gate("loading")
    assert other.faults == []


@pytest.mark.long
def test_a_reload_keeps_the_question_that_waits_for_the_key(chat: ChatPage, stack: Stack) -> None:
    put_off(chat)
    chat.composer.fill(script("reloaded", ["say", "at last"]))
    chat.composer.press("Enter")
    expect(chat.key).to_be_focused()
    chat.page.reload(wait_until="domcontentloaded")
    chat.log_in(ANNA)
    chat.wait_answer("at last")
    assert stack.journal().count("start reloaded") == 1


@pytest.mark.long
def test_a_question_that_was_stopped_meanwhile_is_not_sent(chat: ChatPage, stack: Stack) -> None:
    put_off(chat)
    for name in ("stopped", "kept"):
        chat.composer.fill(script(name, ["say", name]))
        chat.composer.press("Enter")
        expect(chat.key).to_be_focused()
        chat.page.keyboard.press("Escape")
        if name == "stopped":
            chat.stop()
    chat.button("Log in").click()
    chat.log_in(ANNA)
    chat.wait_answer("kept")
    assert "start stopped" not in stack.journal()


@pytest.mark.long
def test_what_is_being_typed_does_not_end_up_in_the_key(
    context: BrowserContext, stack: Stack
) -> None:
    chat = ChatPage(context.new_page(), stack.url + "/")
    is_writing = False
    chat.page.route("**/models", lambda route: route.continue_() if is_writing else route.abort())
    chat.page.clock.install()
    chat.open()
    text = "somebody writes while the server makes up its mind"
    chat.composer.press_sequentially(text[:3])
    chat.page.clock.pause_at(chat.page.evaluate("Date.now()") / 1000 + 60)
    is_writing = True

    def can_ask() -> bool:
        chat.page.clock.run_for(200)  # until the list of models is asked for again
        return chat.page.locator("#access-notice").count() == 1

    wait_for(can_ask, "what asks for the key")
    for letter in text[3:]:
        chat.page.keyboard.type(letter)
        chat.page.clock.run_for(500)
    chat.page.clock.run_for(500)
    expect(chat.key).to_be_focused()
    expect(chat.key).to_have_value("")
    expect(chat.composer).to_have_value(text)
    assert chat.faults == []


@pytest.mark.long
def test_after_too_many_tries_the_time_is_counted_down(chat: ChatPage) -> None:
    tries: list[str] = []

    def refuse(route: Route) -> None:
        tries.append(route.request.headers["authorization"])
        route.fulfill(status=429, headers={"Retry-After": "60"}, body="{}")

    chat.page.route("**/session", refuse)
    chat.page.evaluate(
        """() => {
            globalThis.heard = [];
            const alert = document.querySelector("#access-wrong");
            new MutationObserver(() => {
                const parts = [...alert.childNodes].filter((node) => !node.ariaHidden);
                const said = parts.map((node) => node.textContent).join("");
                if (said !== "" && globalThis.heard.at(-1) !== said) globalThis.heard.push(said);
            }).observe(alert, { childList: true, subtree: true, characterData: true });
        }"""
    )
    chat.page.clock.install()
    chat.page.keyboard.type("burble_wrong")
    chat.page.keyboard.press("Enter")
    seen = chat.key_refused.locator("[aria-hidden=true]")
    expect(seen).to_have_text(re.compile(r"^Too many wrong keys\. You can try again in \d+ s\.$"))
    chat.page.clock.fast_forward(20_000)
    expect(seen).to_have_text(re.compile(r"in ([1-3]?\d|40) s\.$"))
    chat.page.keyboard.press("Enter")
    chat.key_dialog.get_by_role("button", name="Log in").dispatch_event("click")
    chat.page.keyboard.press("Escape")
    expect(chat.key_dialog).to_have_count(0)
    chat.button("Log in").click()
    chat.page.clock.fast_forward(10_000)
    expect(seen).to_have_text(re.compile(r"in ([12]?\d|30) s\.$"))
    # Those who listen hear it once.
    assert chat.page.evaluate("heard") == ["Too many wrong keys. You can try again in 60 s."]
    assert tries == ["Bearer burble_wrong"]


@pytest.mark.long
def test_the_server_counts_the_tries(
    start_stack: Callable[..., Stack], context: BrowserContext
) -> None:
    own = start_stack(before=lambda stack: write_keys(stack, anna=ANNA), api_keys_file="keys")
    chat = ChatPage(context.new_page(), own.url + "/")
    chat.page.goto(chat.url)
    statuses: list[int] = []
    # Five a minute, which may take longer here.
    while len(statuses) < 20 and 429 not in statuses:
        expect(chat.key).to_be_focused()
        chat.key.fill(f"burble_wrong{len(statuses)}")
        with chat.page.expect_response("**/session") as answering:
            chat.page.keyboard.press("Enter")
        statuses.append(answering.value.status)
        said = "Too many wrong keys" if statuses[-1] == 429 else "The server does not know this key"
        expect(chat.key_refused).to_contain_text(said)
    assert statuses[:5] == [401] * 5
    expect(chat.key_refused).to_contain_text("Too many wrong keys. You can try again in")
    assert chat.faults == []


@pytest.mark.long
def test_what_is_no_key_is_not_sent_and_what_goes_wrong_is_said(chat: ChatPage) -> None:
    asked = asked_for_sessions(chat.page)
    chat.page.keyboard.press("Enter")
    expect(chat.key_refused).to_have_text("Type or paste the key first.")
    chat.page.keyboard.type(NOBODYS)
    chat.page.keyboard.press("Enter")
    expect(chat.key_refused).to_have_text("The server does not know this key.")
    assert asked == []
    chat.page.route("**/session", lambda route: route.abort())
    chat.key.fill("burble_x")
    chat.page.keyboard.press("Enter")
    expect(chat.key_refused).to_contain_text("The server cannot be reached.")
    chat.page.unroute("**/session")
    chat.page.route("**/session", lambda route: route.fulfill(status=403, body="{}"))
    chat.page.keyboard.press("Enter")
    expect(chat.key_refused).to_have_text("The server does not take keys here (status 403).")
    chat.page.unroute("**/session")
    # White space around it is nobody's key.
    chat.key.fill(f"  {ANNA}\t")
    chat.page.keyboard.press("Enter")
    expect(chat.key_dialog).to_have_count(0)
    chat.page.route("**/session", lambda route: route.abort())
    chat.button("Log out").click()
    expect(chat.page.locator("#access-notice")).to_contain_text("you are still logged in")
    chat.button("Dismiss").click()
    expect(chat.composer).to_be_focused()


@pytest.mark.long
def test_a_browser_that_keeps_no_cookies_is_told_so(chat: ChatPage) -> None:
    def forget(route: Route) -> None:
        route.fulfill(status=204)

    chat.page.route("**/session", forget)
    chat.page.keyboard.type(ANNA)
    chat.page.keyboard.press("Enter")
    expect(chat.key_refused).to_contain_text("Does the browser refuse cookies of this page?")


@pytest.mark.long
def test_the_key_is_shown_on_demand_and_an_input_methods_enter_sends_nothing(
    chat: ChatPage,
) -> None:
    asked = asked_for_sessions(chat.page)
    assert chat.key.evaluate("e => [e.type, e.autocomplete]") == ["password", "current-password"]
    chat.page.keyboard.type("burble_x")
    chat.key_dialog.get_by_label("Show the key").check()
    assert chat.key.evaluate("e => e.type") == "text"
    chat.key.evaluate(
        """(key) => {
            const enter = { key: "Enter", keyCode: 229, bubbles: true, cancelable: true };
            globalThis.isPrevented = !key.dispatchEvent(new KeyboardEvent("keydown", enter));
        }"""
    )
    assert chat.page.evaluate("isPrevented")
    assert asked == []
    chat.page.keyboard.press("Escape")
    chat.button("Log in").click()
    # What was typed does not stay.
    assert chat.key.evaluate("e => [e.type, e.value]") == ["password", ""]


@pytest.mark.long
@pytest.mark.browser_context_args(service_workers="allow")
def test_a_copy_asks_for_no_key(context: BrowserContext, stack: Stack) -> None:
    with closing(Gateway(stack.url)) as gateway:
        chat = ChatPage(context.new_page(), gateway.url + "/")
        chat.page.goto(chat.url)
        chat.log_in(ANNA)
        chat.send("hello there")
        chat.wait_answer("hello there ")
        chat.wait_finished()
        address = chat.page.url
        names = "async (list) => (await caches.match(list, { ignoreVary: true })) !== undefined"
        wait_for(lambda: chat.page.evaluate(names, chat.url + "files.json"), "the copy")
        gateway.down()
        context.clear_cookies()
        chat.reload()
        expect(chat.page.locator("#offline")).to_be_visible()
        chat.send("sent without a server")
        chat.wait_waiting("Connection lost. Reconnecting…")
        expect(chat.button("Log out")).to_have_count(0)
        assert chat.key_dialog.count() == 0
        asked = len(gateway.asked)
        gateway.up()
        chat.page.wait_for_url(address)
        chat.log_in(ANNA)
        chat.wait_answer("sent without a server ")
        assert [line for line in gateway.asked[asked:] if "/offline/" in line] == []
        # The browser reports what it could not reach.
        assert [fault for fault in chat.faults if "Content Security" not in fault] == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("scheme", "width"),
    [("light", 1280), ("dark", 390), ("dark", 320)],
)
def test_it_can_be_used_by_everybody(
    scheme: Literal["light", "dark"], width: int, browser: Browser, stack: Stack
) -> None:
    viewport: ViewportSize = {"width": width, "height": 500}
    context = browser.new_context(
        service_workers="block", bypass_csp=True, color_scheme=scheme, viewport=viewport
    )
    chat = ChatPage(context.new_page(), stack.url + "/")
    chat.page.goto(chat.url)
    chat.page.evaluate(AXE)
    expect(chat.key).to_be_focused()
    assert violations(chat) == []
    chat.page.keyboard.type(NOBODYS)
    chat.page.keyboard.press("Enter")
    expect(chat.key_refused).to_be_visible()
    expect(chat.key).to_have_attribute("aria-invalid", "true")
    expect(chat.key).to_have_accessible_description("The server does not know this key.")
    assert violations(chat) == []
    put_off(chat)
    expect(chat.status).to_have_text(NOTICE)
    assert violations(chat) == []
    chat.button("Log in").click()
    chat.log_in(ANNA)
    expect(chat.status).to_have_text("You are logged in.")
    if width < 1024:
        chat.button("Conversations").click()
    expect(chat.button("Log out")).to_be_visible()
    assert violations(chat) == []
    log_out(chat)
    expect(chat.page.locator("dialog.drawer")).to_be_hidden()
    assert violations(chat) == []
    context.close()


@pytest.mark.long
def test_it_is_said_in_arabic(browser: Browser, stack: Stack) -> None:
    context = browser.new_context(service_workers="block", locale="ar")
    page = context.new_page()
    page.goto(stack.url + "/")
    dialog = page.get_by_role("dialog", name="يطلب هذا الخادم مفتاحًا")
    expect(dialog.get_by_label("المفتاح", exact=True)).to_be_focused()
    assert english(page) == []
    page.keyboard.type(NOBODYS)
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_be_visible()
    assert english(page) == []
    page.keyboard.press("Escape")
    expect(page.locator("#access-notice")).to_be_visible()
    assert english(page) == []
    context.close()
