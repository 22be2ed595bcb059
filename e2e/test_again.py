"""A question that the server refuses for now: what its reader sees, and how it goes off after all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Route, ViewportSize, expect

from e2e.chat_page import ChatPage, records
from e2e.conftest import OpenChat
from e2e.scripted_model import script
from e2e.stack import Stack, wait_for
from e2e.test_access import AXE, violations
from e2e.test_words import english

SEEN = ".answer .again [aria-hidden]"
AGAIN = re.compile(r"^It is sent again in \d+ s\.$")


class Limit:
    """Refuses the next questions, each with a status, a code and seconds to wait; then it lets them through."""

    def __init__(self, context: BrowserContext) -> None:
        self.refusals: list[tuple[int, str, str]] = []
        self.asked: list[Any] = []
        context.route("**/chat", self._answer)

    def _answer(self, route: Route) -> None:
        self.asked.append(json.loads(route.request.post_data or ""))
        if self.refusals:
            self.refuse(route, *self.refusals.pop(0))
        else:
            route.continue_()

    def refuse(self, route: Route, status: int, code: str, retry_after: str) -> None:
        problem = {"code": code, "detail": f"Not now: {code}.", "status": status}
        headers = {"Content-Type": "application/problem+json", "Retry-After": retry_after}
        route.fulfill(status=status, headers=headers, body=json.dumps(problem))


@pytest.fixture
def limit(context: BrowserContext) -> Limit:
    return Limit(context)


def wait_asked(chat: ChatPage, limit: Limit, count: int) -> None:
    wait_for(
        lambda: chat.page.evaluate("1") and len(limit.asked) >= count, f"question number {count}"
    )


def until(chat: ChatPage, later_than: float = 0) -> float:
    """Return when the server takes the question again, by what it has said last, in ms since the epoch."""

    def moments() -> list[float]:
        ends = [record.get("end") or {} for record in records(chat, "messages")]
        return [end["until"] for end in ends if end.get("until", 0) > later_than]

    [moment] = wait_for(moments, "a moment that is kept")
    return moment


def wait_until(chat: ChatPage, moment: float) -> None:
    """Let it be this time, exactly: who is late by seconds is thought to have slept."""
    chat.page.clock.pause_at((moment + 1) / 1000)
    chat.page.clock.resume()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (429, "rate_limited"),
        pytest.param(429, "too_many_generations", marks=pytest.mark.long),
        pytest.param(503, "queue_full", marks=pytest.mark.long),
    ],
)
def test_after_a_short_wait_the_question_is_sent_again_by_itself(
    status: int, code: str, chat: ChatPage, limit: Limit
) -> None:
    limit.refusals = [(status, code, "60")]
    chat.page.clock.install()
    chat.send("once more")
    expect(chat.error).to_contain_text("It is sent again in")
    chat.composer.fill("a draft")
    wait_until(chat, until(chat))
    chat.wait_answer("once more ")
    assert len(limit.asked) == 2
    assert limit.asked[0] == limit.asked[1]
    expect(chat.composer).to_have_value("a draft")
    expect(chat.questions).to_have_text(["once more"])


@pytest.mark.long
def test_a_moment_that_passes_before_it_is_shown_is_not_missed(
    chat: ChatPage, limit: Limit
) -> None:
    chat.page.clock.install()
    held = chat.hold("**/chat")
    chat.send("sooner or later")
    [route] = held.wait()
    # From now on nothing is drawn.
    chat.page.clock.pause_at(chat.page.evaluate("Date.now()") / 1000 + 10)
    limit.refuse(route, 429, "rate_limited", "1")
    until(chat)
    chat.page.unroute("**/chat")
    chat.page.clock.fast_forward(2000)
    chat.page.clock.resume()
    chat.wait_answer("sooner or later ")
    assert len(limit.asked) == 1


@pytest.mark.long
def test_it_is_counted_down_and_those_who_listen_hear_it_once(chat: ChatPage, limit: Limit) -> None:
    chat.page.evaluate(
        """() => {
            globalThis.heard = [];
            const text = (root) => [...root.childNodes].map((node) =>
                node instanceof Text ? node.data : node.ariaHidden || node.hidden ? "" : text(node)).join("|");
            const log = document.querySelector("#conversation");
            new MutationObserver(() => {
                const alert = document.querySelector("#conversation [role=alert]");
                const said = alert ? text(alert) : "";
                if (globalThis.heard.at(-1) !== said) globalThis.heard.push(said);
            }).observe(log, { childList: true, subtree: true, characterData: true });
        }"""
    )
    limit.refusals = [(429, "rate_limited", "80"), (429, "rate_limited", "3600")]
    chat.page.clock.install()
    chat.send("patience")
    expect(chat.page.locator(SEEN)).to_have_text(AGAIN)
    moment = until(chat)
    for left in (40, 20):
        chat.page.clock.pause_at((moment - left * 1000 + 500) / 1000)
        expect(chat.page.locator(SEEN)).to_have_text(f"It is sent again in {left} s.")
        chat.page.clock.run_for(1000)
        expect(chat.page.locator(SEEN)).to_have_text(f"It is sent again in {left - 1} s.")
    wait_until(chat, moment)
    wait_asked(chat, limit, 2)
    expect(chat.page.locator(SEEN)).to_contain_text("You can send it again at ")
    told = [said for said in chat.page.evaluate("heard") if "again" in said]
    assert len(told) == 2, told
    assert re.search(r"It is sent again in \d+ s\.", told[0])
    assert "You can send it again at " in told[1]


@pytest.mark.long
def test_it_can_be_called_off(chat: ChatPage, limit: Limit) -> None:
    limit.refusals = [(429, "rate_limited", "60")]
    chat.page.clock.install()
    chat.send("no matter")
    chat.log.get_by_role("button", name="Cancel").click()
    expect(chat.composer).to_be_focused()
    chat.page.clock.fast_forward(61_000)
    expect(chat.page.locator(SEEN)).to_have_text("You can send it again now.")
    assert len(limit.asked) == 1
    chat.button("Retry").click()
    chat.wait_answer("no matter ")


@pytest.mark.long
def test_after_some_refusals_in_a_row_the_reader_decides(chat: ChatPage, limit: Limit) -> None:
    limit.refusals = [(429, "rate_limited", "1")] * 4
    chat.send("again and again")
    wait_asked(chat, limit, 4)
    expect(chat.page.locator(SEEN)).to_have_text("You can send it again now.")
    expect(chat.error).to_contain_text("You can send it again now.")
    assert len(limit.asked) == 4


@pytest.mark.long
@pytest.mark.parametrize("code", ["too_many_generations", "queue_full"])
def test_while_the_server_is_busy_it_is_tried_for_as_long_as_that_takes(
    code: str, chat: ChatPage, limit: Limit
) -> None:
    # What is waited beyond that, longer each time: 0, 2, 6, 14 and 28 s.
    limit.refusals = [(503, code, "60")] * 5
    chat.page.clock.install()
    chat.send("patience")
    moment = 0.0
    for asked, more in enumerate((0, 2, 6, 14, 28), 1):
        wait_asked(chat, limit, asked)
        expect(chat.page.locator(SEEN)).to_have_text(AGAIN)
        moment = until(chat, later_than=moment)
        chat.page.clock.pause_at((moment + more * 1000 - 1500) / 1000)
        expect(chat.page.locator(SEEN)).to_have_text("It is sent again in 2 s.")
        wait_until(chat, moment + more * 1000)
    chat.wait_answer("patience ")
    assert len(limit.asked) == 6


@pytest.mark.long
def test_it_goes_at_once_when_an_answer_of_this_browser_has_ended(
    chat: ChatPage, limit: Limit, open_chat: OpenChat, stack: Stack
) -> None:
    other = open_chat(stack.url)
    chat.send(script("busy", ["say", "one"], ["wait", "busy"]))
    chat.wait_answer("one")
    limit.refusals = [(429, "too_many_generations", "80")]
    other.send("two")
    # It has looked more than once, and found that answer under way.
    expect(other.page.locator(SEEN)).to_have_text(re.compile("in ([1-6]?[0-9]|7[0-7]) s"))
    assert len(limit.asked) == 2
    stack.open_gate("busy")
    other.wait_answer("two ")
    assert len(limit.asked) == 3


@pytest.mark.long
def test_a_busy_server_is_asked_again_when_the_reader_is_back(chat: ChatPage, limit: Limit) -> None:
    limit.refusals = [(429, "too_many_generations", "60")]
    see = """(hidden) => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    chat.page.clock.install()
    chat.send("back soon")
    expect(chat.page.locator(SEEN)).to_be_visible()
    chat.page.evaluate(see, True)
    chat.page.clock.fast_forward(90_000)
    expect(chat.page.locator(SEEN)).to_contain_text("It is sent again in")
    assert len(limit.asked) == 1
    chat.page.evaluate(see, False)
    chat.wait_answer("back soon ")


@pytest.mark.long
def test_what_is_sent_meanwhile_waits_behind_it(chat: ChatPage, limit: Limit) -> None:
    limit.refusals = [(429, "rate_limited", "80")]
    chat.page.clock.install()
    chat.send("first")
    expect(chat.page.locator(SEEN)).to_be_visible()
    chat.composer.fill("second")
    chat.composer.press("Enter")
    expect(chat.waiting).to_have_count(1)
    expect(chat.button("Send now")).to_have_count(0)
    until(chat)
    wait_for(lambda: records(chat, "conversations")[0]["outbox"], "the second to be kept")
    chat.reload()
    expect(chat.page.locator(SEEN)).to_contain_text("It is sent again in")
    expect(chat.waiting).to_have_count(1)
    expect(chat.questions).to_have_text(["first"])
    wait_until(chat, until(chat))
    chat.wait_answer("second ")
    expect(chat.questions).to_have_text(["first", "second"])
    assert [asked["messages"][-1]["content"] for asked in limit.asked] == [
        "first",
        "first",
        "second",
    ]


@pytest.mark.long
def test_what_waits_behind_it_is_held_back_once_it_is_called_off(
    chat: ChatPage, limit: Limit
) -> None:
    limit.refusals = [(429, "rate_limited", "60")]
    chat.send("first")
    expect(chat.page.locator(SEEN)).to_be_visible()
    chat.composer.fill("second")
    chat.composer.press("Enter")
    expect(chat.waiting).to_have_count(1)
    chat.log.get_by_role("button", name="Cancel").click()
    chat.button("Send now").click()
    chat.wait_answer("second ")


@pytest.mark.long
def test_it_waits_on_after_a_reload_and_is_asked_by_one_tab(
    chat: ChatPage, limit: Limit, open_chat: OpenChat, stack: Stack
) -> None:
    limit.refusals = [(429, "rate_limited", "80")]
    chat.page.clock.install()
    chat.send(script("reloaded", ["say", "there"]))
    expect(chat.page.locator(SEEN)).to_be_visible()
    other = open_chat(stack.url)
    other.go(chat.address)
    expect(other.page.locator(SEEN)).to_contain_text("It is sent again in")
    chat.reload()
    expect(chat.page.locator(SEEN)).to_contain_text("It is sent again in")
    wait_until(chat, until(chat))
    for tab in (chat, other):
        tab.wait_answer("there")
    assert len(limit.asked) == 2


@pytest.mark.long
def test_after_a_long_wait_the_reader_decides_and_is_told_the_time(
    chat: ChatPage, limit: Limit
) -> None:
    limit.refusals = [(429, "tokens_used_up", str(20 * 60)), (429, "tokens_used_up", str(7 * 3600))]
    chat.send("much")
    expect(chat.page.locator(SEEN)).to_have_text(
        re.compile(r"^You can send it again in (19|20) min\.$")
    )
    assert chat.log.get_by_role("button", name="Cancel").count() == 0
    chat.button("Retry").click()
    expect(chat.page.locator(SEEN)).to_contain_text("You can send it again ")
    expect(chat.page.locator(SEEN)).to_contain_text(":")
    moment = until(chat, later_than=chat.page.evaluate("Date.now()") + 3_600_000)
    now = chat.page.evaluate("Date.now()")
    assert 6.9 < (moment - now) / 3_600_000 <= 7
    # All else can be done meanwhile.
    chat.new_chat()
    chat.send("another conversation")
    chat.wait_answer("another conversation ")


@pytest.mark.long
def test_a_question_that_is_edited_meanwhile_is_not_sent_as_it_was(
    chat: ChatPage, limit: Limit
) -> None:
    limit.refusals = [(429, "rate_limited", "60")]
    chat.page.clock.install()
    chat.send("frist")
    expect(chat.page.locator(SEEN)).to_be_visible()
    chat.button("Edit message").click()
    expect(chat.composer).to_have_value("frist")
    wait_until(chat, until(chat))
    expect(chat.page.locator(SEEN)).to_have_text("You can send it again now.")
    assert len(limit.asked) == 1
    chat.composer.fill("first")
    chat.composer.press("Enter")
    chat.wait_answer("first ")
    assert [message["content"] for message in limit.asked[1]["messages"]] == ["first"]


@pytest.mark.long
def test_who_has_left_the_conversation_or_the_tab_sends_nothing(
    chat: ChatPage, limit: Limit
) -> None:
    limit.refusals = [(429, "rate_limited", "60"), (429, "rate_limited", "60")]
    chat.page.clock.install()
    chat.send("left behind")
    expect(chat.page.locator(SEEN)).to_be_visible()
    address, moment = chat.address, until(chat)
    chat.new_chat()
    wait_until(chat, moment + 1000)
    chat.go(address)
    expect(chat.button("Retry")).to_be_visible()
    expect(chat.page.locator(SEEN)).to_have_count(0)
    hidden = "Object.defineProperty(document, 'hidden', { value: true, configurable: true })"
    chat.page.evaluate(hidden)
    chat.button("Retry").click()
    expect(chat.page.locator(SEEN)).to_have_text(AGAIN)
    wait_until(chat, until(chat, later_than=moment))
    expect(chat.page.locator(SEEN)).to_have_text("You can send it again now.")
    assert len(limit.asked) == 2


@pytest.mark.long
def test_an_event_says_as_well_when_to_come_back(chat: ChatPage, context: BrowserContext) -> None:
    bodies = [
        'data: {"error": {"code": "upstream_busy", "message": "Busy.", "retry_after": 1}}\n\n',
        'id: 1\ndata: {"token": "Half "}\n\n'
        'id: 2\ndata: {"error": {"code": "upstream_busy", "message": "Busy.", "retry_after": 30}}\n\n',
    ]
    headers = {"Content-Type": "text/event-stream", "X-Generation-Id": "0" * 40}
    context.route("**/chat", lambda route: route.fulfill(headers=headers, body=bodies.pop(0)))
    chat.send("busy?")
    chat.wait_answer("Half ")
    # What has begun does not begin anew by itself.
    expect(chat.page.locator(SEEN)).to_contain_text("You can send it again in ")
    expect(chat.log.get_by_role("button", name="Cancel")).to_have_count(0)


@pytest.mark.long
def test_messages_that_wait_go_after_it(chat: ChatPage, limit: Limit, stack: Stack) -> None:
    chat.send(script("first", ["say", "one"], ["wait", "first"]))
    chat.wait_answer("one")
    chat.composer.fill("waits in line")
    chat.composer.press("Enter")
    expect(chat.waiting).to_have_count(1)
    limit.refusals = [(429, "rate_limited", "1")]
    stack.open_gate("first")
    chat.wait_answer("waits in line ")
    assert len(limit.asked) == 3


@pytest.mark.long
def test_the_limits_of_the_server_itself(
    start_stack: Callable[..., Stack], context: BrowserContext
) -> None:
    stack = start_stack(limit_concurrent_generations=1)
    chat = ChatPage(context.new_page(), stack.url + "/").open()
    other = ChatPage(context.new_page(), stack.url + "/").open()
    chat.send(script("running", ["say", "one"], ["wait", "running"]))
    chat.wait_answer("one")
    other.send("two")
    expect(other.error).to_contain_text("too_many_generations")
    expect(other.page.locator(SEEN)).to_be_visible()
    stack.open_gate("running")
    chat.wait_finished()
    other.wait_answer("two ")
    assert (chat.faults, other.faults) == ([], [])


@pytest.mark.long
@pytest.mark.parametrize(
    ("scheme", "width"),
    [("light", 1280), ("dark", 390)],
)
def test_it_can_be_used_by_everybody(
    scheme: Literal["light", "dark"], width: int, browser: Browser, stack: Stack
) -> None:
    viewport: ViewportSize = {"width": width, "height": 800}
    context = browser.new_context(
        service_workers="block", bypass_csp=True, color_scheme=scheme, viewport=viewport
    )
    chat = ChatPage(context.new_page(), stack.url + "/").open()
    chat.page.evaluate(AXE)
    Limit(context).refusals = [(429, "rate_limited", "80"), (429, "tokens_used_up", "9000")]
    chat.send("hello")
    expect(chat.page.locator(SEEN)).to_be_visible()
    assert violations(chat) == []
    chat.button("Retry").click()
    expect(chat.page.locator(SEEN)).to_contain_text(":")
    assert violations(chat) == []
    context.close()


@pytest.mark.long
def test_it_is_said_in_arabic(arabic: ChatPage) -> None:
    limit = Limit(arabic.page.context)
    limit.refusals = [(429, "rate_limited", wait) for wait in ("50", "1200", "9000")]
    arabic.send("123")
    for part in ("ستُرسَل مجدّدًا بعد", "يمكنك إرسالها مجدّدًا بعد", "عند الساعة"):
        expect(arabic.page.locator(SEEN)).to_contain_text(part)
        assert english(arabic.page) == []
        arabic.button("إعادة المحاولة").click()
