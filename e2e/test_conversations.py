"""Conversations that are kept: branches, addresses, what goes on in the background, several tabs, and accidents."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect

from e2e.chat_page import ChatPage, as_read, records
from e2e.conftest import OpenChat
from e2e.pieces import LEAST, piece_by_piece, some_pieces
from e2e.relay import Relay
from e2e.scripted_model import script
from e2e.stack import Stack, wait_for
from e2e.test_reading import PLACE, settled

StartStack = Callable[..., Stack]


def sent(chat: ChatPage, send: Callable[[], object]) -> list[tuple[str, str]]:
    """Do something that asks a question; return the (role, content) of the messages that were sent."""
    with chat.page.expect_request("**/chat") as request:
        send()
    body: dict[str, Any] = request.value.post_data_json or {}
    messages = body["messages"]
    return [(message["role"], message["content"]) for message in messages]


# Branches


def test_an_edited_question_is_another_branch_and_nothing_is_overwritten(chat: ChatPage) -> None:
    chat.send("one")
    chat.wait_answer("one ")
    chat.send("two")
    chat.wait_answer("two ")
    first = chat.log.locator(".message.user").first
    first.get_by_role("button", name="Edit message").click()
    expect(chat.composer).to_have_value("one")
    chat.composer.fill("uno")
    assert sent(chat, lambda: chat.composer.press("Enter")) == [("user", "uno")]
    chat.wait_answer("uno ")
    expect(chat.questions).to_have_text(["uno"])
    expect(chat.branches).to_have_text(re.compile("2 / 2"))
    chat.branches.get_by_role("button", name="Previous version").click()
    expect(chat.questions).to_have_text(["one", "two"])
    expect(chat.branches.get_by_role("button", name="Next version")).to_be_focused()
    chat.wait_finished()
    assert sent(chat, lambda: chat.send("three")) == [
        ("user", "one"), ("assistant", "one "), ("user", "two"), ("assistant", "two "), ("user", "three"),
    ]  # fmt: skip
    chat.reload()
    expect(chat.questions).to_have_text(["one", "two", "three"])
    chat.branches.get_by_role("button", name="Next version").click()
    expect(chat.questions).to_have_text(["uno"])


def test_an_answer_that_is_asked_for_again_is_another_branch(chat: ChatPage, stack: Stack) -> None:
    chat.send(script("again", ["say", "once "], ["wait", "again"]))
    chat.wait_answer("once ")
    chat.stop()
    chat.button("Retry").click()
    expect(chat.answers.last.locator(".note")).to_have_count(0)  # it is another one by now
    chat.wait_answer("once ")
    stack.open_gate("again")
    chat.wait_finished()
    expect(chat.branches).to_have_text(re.compile("2 / 2"))
    chat.send("and on")
    chat.wait_answer("and on ")
    chat.branches.get_by_role("button", name="Previous version").click()
    chat.wait_note("Stopped")
    expect(chat.questions).to_have_count(1)
    # An answer in the middle, too.
    chat.branches.get_by_role("button", name="Next version").click()
    expect(chat.questions).to_have_count(2)
    chat.answers.first.get_by_role("button", name="Retry").click()
    expect(chat.branches).to_have_text(re.compile("3 / 3"))
    expect(chat.questions).to_have_count(1)
    chat.wait_finished()


def test_walking_leaves_the_branches_where_they_are_on_the_screen(chat: ChatPage) -> None:
    chat.page.set_viewport_size({"width": 800, "height": 500})
    chat.send("line\n\n" * 20)
    chat.wait_finished()
    chat.send("line\n\n" * 20)
    chat.wait_finished()
    chat.answers.first.get_by_role("button", name="Retry").click()
    expect(chat.branches).to_have_count(1)
    chat.wait_finished()
    chat.send("row\n\n" * 30)
    chat.wait_finished()
    chat.branches.scroll_into_view_if_needed()
    before = settled(chat.branches, PLACE)
    chat.branches.get_by_role("button", name="Previous version").click()
    expect(chat.questions.last).to_contain_text("line")
    assert abs(before - settled(chat.branches, PLACE)) < 2


def test_an_answer_without_a_text_is_asked_for_again_in_its_place(
    open_chat: OpenChat, relay: Relay
) -> None:
    chat = open_chat(relay.url)
    relay.unplug()
    chat.send("are you there")
    expect(chat.error).to_contain_text("cannot be reached")
    relay.plug_in()
    chat.button("Retry").click()
    chat.wait_answer("are you there ")
    expect(chat.branches).to_have_count(0)
    assert len(records(chat, "messages")) == 2


# Several conversations


def test_the_address_opens_a_conversation_and_back_and_forward_work(chat: ChatPage) -> None:
    chat.send("first")
    chat.wait_answer("first ")
    first = chat.address
    expect(chat.page).to_have_title("first – Burble")
    chat.new_chat()
    expect(chat.page).to_have_title("Burble")
    expect(chat.composer).to_be_focused()
    chat.send("second")
    chat.wait_answer("second ")
    second = chat.address
    assert first != second
    chat.page.go_back()
    expect(chat.questions).to_have_text("first")
    chat.page.go_forward()
    expect(chat.questions).to_have_text("second")
    chat.page.goto(chat.url + first)
    expect(chat.questions).to_have_text("first")
    chat.reload()
    expect(chat.questions).to_have_text("first")


@pytest.mark.parametrize("address", ["#/c/0123", "#/c/%E0%A4%A", "#/c/__proto__"])
def test_an_address_of_nothing_says_so(chat: ChatPage, address: str) -> None:
    chat.go("#/c/1")
    expect(chat.trouble).to_have_text("This conversation is not in this browser.")
    chat.page.goto("about:blank")
    chat.page.goto(chat.url + address)
    expect(chat.trouble).to_have_text("This conversation is not in this browser.")
    assert chat.address == "#/"
    chat.send("all the same")
    chat.wait_answer("all the same ")
    expect(chat.trouble).to_be_hidden()


# Holds back what the database says of a conversation, until `release()`.
HOLD_READING = """(id) => {
    const { get } = IDBObjectStore.prototype;
    IDBObjectStore.prototype.get = function (key) {
        const request = get.call(this, key);
        if (this.name === "conversations" && key === id)
            Object.defineProperty(request, "onsuccess", { set: (heard) => { globalThis.release = heard; } });
        return request;
    };
}"""


@pytest.mark.long
def test_an_address_of_nothing_leads_away_from_nothing_else(chat: ChatPage) -> None:
    chat.send("here")
    chat.wait_answer("here ")
    here = chat.address
    chat.new_chat()
    chat.page.evaluate(HOLD_READING, "0123")
    chat.go("#/c/0123")
    chat.go(here)
    expect(chat.questions).to_have_text("here")
    chat.page.evaluate("release()")
    assert chat.address == here
    expect(chat.questions).to_have_text("here")
    expect(chat.trouble).to_be_hidden()


def test_what_runs_goes_on_while_another_conversation_is_shown(
    chat: ChatPage, stack: Stack
) -> None:
    chat.send(script("behind", ["say", "one "], ["wait", "behind"], ["say", "two"]))
    chat.wait_answer("one ")
    chat.composer.fill("and then")
    chat.composer.press("Enter")
    expect(chat.waiting).to_have_count(1)
    address = chat.address
    chat.new_chat()
    expect(chat.waiting).to_have_count(0)
    chat.send("meanwhile")
    chat.wait_answer("meanwhile ")
    stack.open_gate("behind")
    # What waited there went, unseen.
    wait_for(
        lambda: any(record["content"] == "and then " for record in records(chat, "messages")),
        "the answer in the background",
    )
    chat.go(address)
    chat.wait_answer("and then ")
    expect(chat.waiting).to_have_count(0)
    expect(chat.answers.first.locator(".answer-text")).to_have_text("one two")


@pytest.mark.long
def test_more_answers_than_a_browser_has_connections_all_go_on(
    chat: ChatPage, stack: Stack
) -> None:
    addresses = []
    for index in range(8):
        chat.send(script(f"many{index}", ["say", "on "], ["wait", "many"], ["words", 3]))
        chat.wait_answer("on ")
        addresses.append(chat.address)
        chat.new_chat()
    chat.send("and another")
    chat.wait_answer("and another ")
    # The one that is looked at is read at once, and can be stopped.
    chat.go(addresses[0])
    expect(chat.questions).to_contain_text("many0")
    chat.stop()
    stack.wait_journal("end many0")
    stack.open_gate("many")
    for index, address in enumerate(addresses[1:], 1):
        chat.go(address)
        chat.wait_answer(f"on many{index}-0 many{index}-1 many{index}-2 ")


def test_each_conversation_has_its_own_draft(chat: ChatPage) -> None:
    chat.send("first")
    chat.wait_answer("first ")
    address = chat.address
    chat.composer.fill("to be sent later")
    chat.new_chat()
    expect(chat.composer).to_have_value("")
    chat.composer.fill("a new one")
    chat.go(address)
    expect(chat.composer).to_have_value("to be sent later")
    chat.reload()
    expect(chat.composer).to_have_value("to be sent later")
    chat.button("New chat").click()
    expect(chat.composer).to_have_value("a new one")


def test_an_edit_that_is_under_way_survives_a_reload(chat: ChatPage) -> None:
    chat.send("first")
    chat.wait_answer("first ")
    chat.composer.fill("aside")
    chat.button("Edit message").click()
    chat.composer.fill("changed")
    chat.reload()
    expect(chat.editing).to_be_visible()
    expect(chat.composer).to_have_value("changed")
    chat.composer.press("Escape")
    expect(chat.composer).to_have_value("aside")


def test_what_is_sent_is_seen_before_the_views_of_messages_are_there(
    page: Page, stack: Stack
) -> None:
    chat = ChatPage(page, stack.url + "/")
    views = "**/views/conversation.js"
    page.route(views, lambda route: route.abort())
    page.goto(chat.url)
    chat.wait_listening()
    chat.composer.fill("is anybody there")
    chat.composer.press("Enter")
    expect(chat.questions).to_have_text("is anybody there")
    page.unroute(views)
    chat.wait_answer("is anybody there ")
    expect(chat.questions).to_have_count(1)
    assert chat.faults == []


# Puts a conversation with this many questions and answers into the store.
SEED = """async ([url, count]) => {
    const { Store, defaultSettings } = await import(url + "js/store.js");
    const { newAnswer } = await import(url + "js/answer.js");
    const store = new Store("burble /");
    await store.open();
    const messages = [];
    for (let index = 0; index < count; index += 1) {
        const question = {
            id: `q${index}`, conversation: "long", parent: messages.at(-1)?.id ?? null, createdAt: 2 * index,
            role: "user", content: `question ${index}`,
        };
        const answer = newAnswer({ id: `a${index}`, conversation: "long", parent: question.id, think: false });
        messages.push(question, { ...answer, content: `answer ${index}`, end: { kind: "stop" } });
    }
    const conversation = {
        id: "long", title: "long", pinned: false, createdAt: 0, updatedAt: 0, head: messages.at(-1).id,
        settings: defaultSettings(), outbox: [], deletedAt: null,
    };
    await store.take([{ conversation, messages }]);
    store.close();
}"""


# Opens a conversation, and goes back as soon as something of it is shown.
LEAVE_AT_ONCE = """async (address) => {
    location.hash = address;
    while (!document.querySelector(".message")) await new Promise((done) => setTimeout(done));
    history.back();
}"""


def test_a_long_conversation_is_opened_at_its_end_and_shown_whole(chat: ChatPage) -> None:
    chat.page.evaluate(SEED, [chat.url, 150])
    chat.go("#/c/long")
    expect(chat.questions.last).to_be_in_viewport()
    expect(chat.page.locator(".unrendered")).to_have_count(0)  # all were drawn anew, as they stay
    expect(chat.questions).to_have_text([f"question {index}" for index in range(150)])
    chat.send("and on")
    chat.wait_answer("and on ")
    expect(chat.questions).to_have_count(151)
    # Another one is shown before the first is shown whole.
    chat.new_chat()
    chat.page.evaluate(LEAVE_AT_ONCE, "#/c/long")
    expect(chat.questions).to_have_count(0)


def test_the_reader_comes_back_to_where_he_was(chat: ChatPage) -> None:
    chat.page.evaluate(SEED, [chat.url, 60])
    chat.go("#/c/long")
    expect(chat.questions).to_have_count(60)
    expect(chat.page.locator(".unrendered")).to_have_count(0)  # all were drawn anew, as they stay
    read = chat.questions.nth(20)
    read.scroll_into_view_if_needed()
    chat.scroller.hover()
    chat.page.mouse.wheel(0, -1)
    expect(read).to_be_in_viewport()
    before = settled(read, PLACE)
    chat.reload()
    expect(read).to_be_in_viewport()
    assert abs(before - settled(read, PLACE)) < 5
    chat.button("New chat").click()
    expect(chat.questions).to_have_count(0)
    chat.page.go_back()
    expect(read).to_be_in_viewport()
    assert abs(before - settled(read, PLACE)) < 5
    # Who follows the end comes back to the end.
    chat.to_end.click()
    chat.reload()
    expect(chat.questions.last).to_be_in_viewport()


# Several tabs


@pytest.fixture
def two_tabs(open_chat: OpenChat, stack: Stack) -> Callable[[str], tuple[ChatPage, ChatPage]]:
    """Ask something in one tab, and open the conversation in another one, too."""

    def open_both(question: str) -> tuple[ChatPage, ChatPage]:
        first, second = open_chat(stack.url), open_chat(stack.url)
        first.send(question)
        expect(first.page).to_have_url(re.compile("#/c/"))
        second.go(first.address)
        expect(second.questions).to_have_count(1)
        return first, second

    return open_both


def test_two_tabs_show_the_same_live(
    two_tabs: Callable[[str], tuple[ChatPage, ChatPage]], stack: Stack
) -> None:
    first, second = two_tabs(
        script("live", ["say", "one "], ["wait", "live"], ["say", "two "], ["wait", "live2"])
    )
    second.wait_answer("one ")
    stack.open_gate("live")
    second.wait_answer("one two ")
    first.wait_answer("one two ")
    assert stack.journal().count("start live") == 1
    stack.open_gate("live2")
    second.wait_finished()
    second.send("from the second")
    first.wait_answer("from the second ")
    expect(first.questions).to_have_count(2)
    first.wait_finished()


def test_another_tab_stops_what_is_read_here(
    two_tabs: Callable[[str], tuple[ChatPage, ChatPage]], stack: Stack
) -> None:
    first, second = two_tabs(script("both", ["say", "both"], ["wait", "never"]))
    second.wait_answer("both")
    second.stop()
    stack.wait_journal("end both")
    first.wait_note("Stopped")
    first.wait_answer("both")


def test_another_tab_stops_what_has_not_begun(
    two_tabs: Callable[[str], tuple[ChatPage, ChatPage]], stack: Stack
) -> None:
    first, second = two_tabs(script("pre", ["say", "before"]))
    first.wait_finished()
    held = first.hold("**/chat")
    first.send(script("early-stop", ["wait", "never"]))
    [request] = held.wait()
    expect(second.questions).to_have_count(2)
    second.stop()
    first.wait_note("Stopped")
    request.continue_()
    stack.wait_journal("end early-stop")
    assert stack.journal().count("start early-stop") == 1


def test_another_tab_goes_on_where_a_tab_is_closed(
    two_tabs: Callable[[str], tuple[ChatPage, ChatPage]], stack: Stack
) -> None:
    first, second = two_tabs(script("closed", ["say", "one "], ["wait", "closed"], ["say", "two"]))
    second.wait_answer("one ")
    first.page.close()
    stack.open_gate("closed")
    second.wait_answer("one two")
    second.wait_finished()
    assert stack.journal().count("start closed") == 1


def test_two_tabs_that_go_on_at_once_keep_both(
    two_tabs: Callable[[str], tuple[ChatPage, ChatPage]],
) -> None:
    first, second = two_tabs("hello")
    first.wait_finished()
    second.wait_finished()
    # In both pages before either can hear of the other.
    submit = """(text) => {
        const composer = document.querySelector("#message");
        composer.value = text;
        composer.dispatchEvent(new Event("input", { bubbles: true }));
        document.querySelector("#composer").requestSubmit();
    }"""
    first.page.evaluate(submit, "one")
    second.page.evaluate(submit, "other")
    expect(first.page.get_by_text("one").first).to_be_visible()
    first.wait_finished()
    second.wait_finished()
    wait_for(
        lambda: (
            sorted(
                record["content"]
                for record in records(first, "messages")
                if record["role"] == "user"
            )
            == ["hello", "one", "other"]
        ),
        "all questions",
    )
    wait_for(lambda: len(records(first, "messages")) == 6, "all answers")


def test_what_waits_is_sent_by_one_tab_only(
    two_tabs: Callable[[str], tuple[ChatPage, ChatPage]], stack: Stack
) -> None:
    first, second = two_tabs(script("twice", ["say", "One. "], ["wait", "twice"], ["say", "Two."]))
    second.wait_answer("One.")
    for chat, text in ((first, "from one"), (second, "from the other")):
        chat.composer.fill(text)
        chat.composer.press("Enter")
    expect(first.waiting).to_have_count(2)
    expect(second.waiting).to_have_count(2)
    stack.open_gate("twice")
    for chat in (first, second):
        expect(chat.waiting).to_have_count(0)
        expect(chat.questions).to_have_count(3)
        chat.wait_finished()
    asked = [record["content"] for record in records(first, "messages") if record["role"] == "user"]
    assert sorted(asked)[:2] == ["from one", "from the other"]
    assert len(asked) == 3


@pytest.mark.long
def test_a_name_and_a_pin_of_two_tabs_are_both_kept(
    two_tabs: Callable[[str], tuple[ChatPage, ChatPage]],
) -> None:
    first, second = two_tabs("hello")
    first.wait_finished()
    second.wait_finished()
    first.think.check()
    expect(second.think).to_be_checked()


def test_a_question_on_its_way_is_not_asked_by_another_tab(
    open_chat: OpenChat, stack: Stack
) -> None:
    first = open_chat(stack.url)
    held = first.hold("**/chat")
    first.send("once")
    [request] = held.wait()
    second = open_chat(stack.url)
    others = second.hold("**/chat")
    second.go(first.address)
    second.wait_waiting("Sending…")
    second.page.evaluate("() => new Promise((resolve) => setTimeout(resolve, 300))")
    assert held.wait() == [request]
    assert others.wait(0) == []
    request.continue_()
    second.wait_answer("once ")


def test_a_draft_is_the_same_in_all_tabs(
    two_tabs: Callable[[str], tuple[ChatPage, ChatPage]],
) -> None:
    first, second = two_tabs("hello")
    first.composer.fill("from one")
    expect(second.composer).to_have_value("from one")
    second.composer.press("End")
    second.composer.press_sequentially(" and the other")
    expect(first.composer).to_have_value("from one and the other")
    first.composer.press("Enter")
    expect(second.composer).to_have_value("")


@pytest.mark.long
def test_a_draft_for_a_new_conversation_is_its_tabs_own_and_outlives_it(
    open_chat: OpenChat, stack: Stack
) -> None:
    first, second = open_chat(stack.url), open_chat(stack.url)
    first.composer.fill("from one")
    second.composer.fill("from the other")
    for chat in (first, second):  # which have heard of it
        expect(chat.page.locator("#composer")).not_to_have_class(re.compile("empty"))
    first.reload()
    expect(first.composer).to_have_value("from one")
    second.reload()
    expect(second.composer).to_have_value("from the other")
    with first.page.expect_event("close"):
        first.page.close(run_before_unload=True)
    third = open_chat(stack.url)
    expect(third.composer).to_have_value("from one")
    third.composer.press("Enter")
    third.wait_answer("from one ")
    expect(second.composer).to_have_value("from the other")
    fourth = open_chat(stack.url)
    expect(fourth.composer).to_have_value("")


@pytest.mark.long
def test_a_conversation_that_another_tab_deletes_is_said_to_be_gone(
    two_tabs: Callable[[str], tuple[ChatPage, ChatPage]],
) -> None:
    first, second = two_tabs("hello")
    first.wait_finished()
    first.page.locator(".list li").hover()
    first.page.get_by_role("button", name="More: hello").click()
    first.page.get_by_role("menuitem", name="Delete").click()
    expect(second.trouble).to_contain_text("deleted in another tab")
    expect(second.questions).to_have_count(0)
    expect(first.trouble).to_be_hidden()


# Where nothing can be agreed on, or kept


@pytest.fixture
def plain_http(browser: Browser, stack: Stack) -> Iterator[tuple[ChatPage, ChatPage]]:
    """Two tabs without what browsers give to secure pages alone."""
    context = browser.new_context(service_workers="block")
    context.add_init_script(
        "delete Navigator.prototype.locks; delete Navigator.prototype.storage; delete Crypto.prototype.randomUUID;"
    )
    first, second = (ChatPage(context.new_page(), stack.url + "/").open() for _ in range(2))
    yield first, second
    assert first.faults == second.faults == []
    context.close()


@pytest.mark.long
def test_two_tabs_by_plain_http(plain_http: tuple[ChatPage, ChatPage], stack: Stack) -> None:
    """Without locks each tab reads for itself, and no question is asked twice."""
    first, second = plain_http
    first.send(script("plain", ["say", "one "], ["wait", "plain"], ["say", "two"]))
    first.wait_answer("one ")
    second.go(first.address)
    second.wait_answer("one ")
    first.reload()
    first.wait_answer("one ")
    stack.open_gate("plain")
    first.wait_answer("one two")
    second.wait_answer("one two")
    assert stack.journal().count("start plain") == 1


def test_by_plain_http_a_question_on_its_way_is_not_given_up_by_who_looks_at_it(
    plain_http: tuple[ChatPage, ChatPage],
) -> None:
    first, second = plain_http
    held = first.hold("**/chat")
    first.send("slowly")
    [request] = held.wait()
    second.go(first.address)
    second.wait_waiting("Sending…")
    second.page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
    second.page.evaluate("() => new Promise((resolve) => setTimeout(resolve, 300))")
    request.continue_()
    for chat in (first, second):
        chat.wait_answer("slowly ")


def test_a_browser_that_keeps_nothing_says_so_and_has_all_conversations_until_it_is_closed(
    context: BrowserContext, open_chat: OpenChat, stack: Stack
) -> None:
    context.add_init_script(
        "IDBFactory.prototype.open = () => { throw new DOMException('no', 'SecurityError'); };"
    )
    chat = open_chat(stack.url)
    expect(chat.trouble).to_contain_text("keeps nothing")
    chat.send("first")
    chat.wait_answer("first ")
    first = chat.address
    chat.composer.fill("draft")
    chat.new_chat()
    chat.send("second")
    chat.wait_answer("second ")
    chat.go(first)
    expect(chat.questions).to_have_text("first")
    expect(chat.composer).to_have_value("draft")


def test_a_newer_version_of_what_is_kept_is_left_alone(
    context: BrowserContext, open_chat: OpenChat, stack: Stack
) -> None:
    chat = open_chat(stack.url)
    chat.page.evaluate(
        """() => new Promise((resolve) => {
            const opening = indexedDB.open("burble /", 99);
            opening.onsuccess = () => { opening.result.close(); resolve(); };
        })"""
    )
    expect(chat.trouble).to_contain_text("newer version")
    chat.reload()
    expect(chat.trouble).to_contain_text("newer version")
    chat.send("all the same")
    chat.wait_answer("all the same ")
    assert records(chat, "messages") == []


def test_a_browser_without_room_says_so_and_chats_on(chat: ChatPage, stack: Stack) -> None:
    session = chat.page.context.new_cdp_session(chat.page)
    session.send("Storage.overrideQuotaForOrigin", {"origin": stack.url, "quotaSize": 1})
    chat.send("is there room")
    chat.wait_answer("is there room ")
    expect(chat.trouble).to_contain_text("no room")
    session.send("Storage.overrideQuotaForOrigin", {"origin": stack.url})
    chat.new_chat()
    chat.send("room again")
    chat.wait_answer("room again ")
    expect(chat.trouble).to_be_hidden()


def test_little_room_is_told_before_it_is_too_late(
    context: BrowserContext, open_chat: OpenChat, stack: Stack
) -> None:
    context.add_init_script(
        "StorageManager.prototype.estimate = async () => ({ usage: 90, quota: 100 });"
    )
    chat = open_chat(stack.url)
    chat.send("hello")
    expect(chat.trouble).to_contain_text("almost no room")


def test_the_browser_is_asked_to_keep_what_is_there(
    context: BrowserContext, open_chat: OpenChat, stack: Stack
) -> None:
    context.add_init_script(
        """let asked = 0;
        StorageManager.prototype.persist = async () => {
            document.documentElement.dataset.asked = String((asked += 1));
        };"""
    )
    chat = open_chat(stack.url)
    root = chat.page.locator("html")
    expect(root).not_to_have_attribute("data-asked", re.compile(""))
    chat.send("hello")
    chat.wait_answer("hello ")
    chat.send("and on")
    chat.wait_answer("and on ")
    expect(root).to_have_attribute("data-asked", "1")


# Accidents


@pytest.fixture
def three(
    request: pytest.FixtureRequest, open_chat: OpenChat, stack: Stack
) -> tuple[ChatPage, list[str], list[str]]:
    """Three conversations whose answers run until the gate `three` opens, and what each will be in the end."""
    chat = open_chat(stack.url)
    addresses, wholes = [], []
    for name in "xyz":
        whole = " ".join(f"{name}{index} größer 日本語 👩\u200d🚀" for index in range(300)) + " "
        asked = script(
            name + request.node.name, ["type", whole, 0.001], ["wait", "three"], ["say", "end"]
        )
        chat.send(asked)
        chat.wait_longer_than(5)
        addresses.append(chat.address)
        wholes.append(whole + "end")
        if name != "z":
            chat.new_chat()
    return chat, addresses, wholes


@pytest.mark.long
def test_fifty_reloads_with_three_answers_running_lose_and_double_nothing(
    chat: ChatPage, stack: Stack
) -> None:
    names = ["reload-x", "reload-y", "reload-z"]
    answers = [some_pieces(51, seed) for seed in range(3)]
    wholes = [as_read("".join(pieces)) for pieces in answers]
    addresses: list[str] = []
    for name, pieces in zip(names, answers, strict=True):
        if addresses:
            chat.new_chat()
        chat.send(piece_by_piece(name, pieces))
        chat.wait_longer_than(0)
        addresses.append(chat.address)
    pick = random.Random(3)
    for index in range(50):
        which = pick.randrange(3)
        chat.go(addresses[which])
        expect(chat.questions).to_contain_text(names[which])
        assert wholes[which].startswith(chat.wait_longer_than(pick.choice([0, 0, LEAST])))
        for name in names:
            stack.open_gate(f"{name}{index}")
        chat.page.evaluate(
            "(ms) => new Promise((done) => setTimeout(done, ms))", pick.choice([0, 50, 200])
        )
        chat.reload()
    for name in names:
        stack.open_gate(f"{name}50")
    for address, whole in zip(addresses, wholes, strict=True):
        chat.go(address)
        chat.wait_answer(whole)
        chat.wait_finished()
    chat.reload()
    chat.wait_answer(wholes[-1])
    assert [stack.journal().count(f"start {name}") for name in names] == [1, 1, 1]


@pytest.mark.long
def test_after_the_kill_of_the_page_every_answer_goes_on(
    request: pytest.FixtureRequest,
    three: tuple[ChatPage, list[str], list[str]],
    open_chat: OpenChat,
    stack: Stack,
) -> None:
    chat, addresses, wholes = three
    with pytest.raises(Error):
        chat.page.goto("chrome://crash", timeout=5000)
    other = open_chat(stack.url)
    stack.open_gate("three")
    for address, whole in zip(addresses, wholes, strict=True):
        other.go(address)
        other.wait_answer(whole)
        other.wait_finished()
    starts = [line[:7] for line in stack.journal() if line.endswith(request.node.name)]
    assert sorted(line for line in starts if line.startswith("start")) == [
        "start x",
        "start y",
        "start z",
    ]


@pytest.mark.long
def test_what_is_sent_as_the_page_goes_away_is_sent_or_still_written(chat: ChatPage) -> None:
    for index in range(10):
        chat.new_chat() if index else None
        chat.composer.fill(f"quick {index}")
        with chat.page.expect_navigation(wait_until="domcontentloaded"):
            chat.page.evaluate(
                """() => {
                    document.querySelector("#composer").requestSubmit();
                    location.reload();
                }"""
            )
        chat.wait_listening()
        text = f"quick {index}"
        wait_for(
            lambda text=text: (  # type: ignore[misc]
                chat.composer.input_value() == text or chat.questions.all_text_contents() == [text]
            ),
            f"{text} in the composer or in the conversation",
        )
        if chat.composer.input_value() == text:
            chat.composer.press("Enter")
        chat.wait_answer(as_read(text) + " ")
