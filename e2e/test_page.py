"""The page in a real browser, against the real stack: what its readers see, and what they never may."""

from __future__ import annotations

import contextlib
import http.client
import re
import threading
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from backend.models import simulated
from e2e.chat_page import ChatPage
from e2e.pieces import LEAST, piece_by_piece, some_pieces
from e2e.relay import Relay
from e2e.scripted_model import script
from e2e.stack import Stack, http_client, wait_for

StartStack = Callable[..., Stack]
OpenChat = Callable[..., ChatPage]

# So long does the page think that it may be about to go away: `js/chats.js`, `js/reading.js`.
LEAVING_MS = 3000


# Answers


@pytest.mark.parametrize(
    ("suggestion", "reply"),
    [
        ("Hello!", simulated.GREETING),
        ("Explain how this works", simulated.EXPLANATION),
        ("What is streaming?", simulated.STREAMING),
        ("Show me some code", simulated.CODE),
    ],
)
def test_each_suggestion_gets_the_answer_that_it_names(
    suggestion: str, reply: str, open_chat: OpenChat, simulated_stack: Stack
) -> None:
    chat = open_chat(simulated_stack.url)
    chat.button(suggestion).click()
    expect(chat.questions).to_have_text(suggestion)
    chat.wait_answer(without_marks(reply))
    chat.wait_finished()
    expect(chat.composer).to_be_focused()


def without_marks(markdown: str) -> str:
    """Return what the simulated model's replies read like when they are rendered."""
    return re.sub(r"^```\w*$|^\d+\. |`", "", markdown, flags=re.MULTILINE)


def test_text_shows_while_it_is_written(chat: ChatPage, stack: Stack) -> None:
    chat.send(script("a", ["say", "One"], ["say", " "], ["wait", "grow"], ["say", "two."]))
    chat.wait_answer("One ")
    chat.wait_streaming()
    expect(chat.status).to_have_text("Answering…")
    stack.open_gate("grow")
    chat.wait_answer("One two.")
    chat.wait_finished()
    expect(chat.status).to_have_text("The answer is complete.")


def test_the_whole_conversation_is_sent_without_what_was_thought(chat: ChatPage) -> None:
    first = script("a", ["think", "Hm. "], ["say", "Yes."])
    chat.think.check()
    chat.send(first)
    chat.wait_answer("Yes.")
    chat.wait_finished()
    chat.think.uncheck()
    with chat.page.expect_request("**/chat") as sent:
        chat.send("And again?")
    assert sent.value.post_data_json == {
        "messages": [
            {"role": "user", "content": first},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "And again?"},
        ],
        "thinking": False,
        "resumable": True,
    }
    chat.wait_answer("And again? ")


def test_what_looks_like_html_is_text(chat: ChatPage) -> None:
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>\n&amp; <b>bold</b>"
    chat.send(script("a", ["say", hostile]))
    chat.wait_answer(hostile.replace("&amp;", "&"))
    assert chat.answer.locator("img, script, b").count() == 0


# Waiting


@pytest.mark.long
def test_the_place_in_the_line_is_shown(open_chat: OpenChat, start_stack: StartStack) -> None:
    stack = start_stack(max_running=1)
    first, second, third = (open_chat(stack.url) for _ in range(3))
    first.send(script("a", ["say", "first"], ["wait", "a"]))
    first.wait_answer("first")
    second.send(script("b", ["say", "second"]))
    second.wait_waiting("Waiting in line, 1st")
    third.send(script("c", ["say", "third"]))
    third.wait_waiting("Waiting in line, 2nd")
    expect(third.status).to_have_text("Waiting in line, 2nd")
    stack.open_gate("a")
    second.wait_answer("second")
    third.wait_answer("third")


@pytest.mark.long
def test_loading_and_reading_are_shown(open_chat: OpenChat, start_stack: StartStack) -> None:
    stack = start_stack(ready=False, before=hold_load)
    chat = open_chat(stack.url)
    send_when_loading(chat, script("a", ["prefill", 3, 10], ["wait", "p"], ["say", "read"]))
    stack.open_gate("load")
    chat.wait_waiting("Reading your message… 30 %")
    stack.open_gate("p")
    chat.wait_answer("read")
    expect(chat.answers.last.locator(".waiting")).to_be_hidden()


def hold_load(stack: Stack) -> None:
    (stack.script / "hold-load").touch()


def send_when_loading(chat: ChatPage, text: str) -> None:
    """Send as soon as there is an engine at all, which then loads its model."""
    wait_for(lambda: "loading" in http_client.get(chat.url + "health/ready").text, "the engine")
    chat.send(text)
    chat.wait_waiting("Loading the model…")


def stop_and_hear(chat: ChatPage) -> None:
    """Press Stop and wait until the server has confirmed it."""
    with chat.page.expect_response(lambda response: response.request.method == "DELETE") as stopped:
        chat.stop()
    assert stopped.value.status == 204


# Stop


def test_stop_while_answering_keeps_what_is_there(chat: ChatPage, stack: Stack) -> None:
    chat.send(script("answering", ["say", "Kept. "], ["wait", "never"]))
    chat.wait_answer("Kept. ")
    chat.stop()
    stack.wait_journal("end answering")
    chat.wait_finished()
    assert chat.answer_text() == "Kept."
    expect(chat.status).to_have_text("Stopped")


def test_stopped_text_does_not_grow_while_the_stop_is_on_its_way(
    chat: ChatPage, stack: Stack
) -> None:
    chat.send(script("growing", ["say", "Kept. "], ["wait", "growing"], ["say", "Not this."]))
    chat.wait_answer("Kept. ")
    chat.page.route("**/chat/*", lambda route: None)
    chat.stop()
    stack.open_gate("growing")
    stack.wait_journal("end growing")
    chat.send("and then")
    chat.wait_answer("and then ")
    chat.reload()
    chat.wait_answer("and then ")
    expect(chat.answers.first.locator(".answer-text")).to_have_text("Kept. ")


def test_stop_while_thinking(chat: ChatPage, stack: Stack) -> None:
    chat.think.check()
    chat.send(script("thinking", ["think", "Hm. "], ["wait", "never"]))
    expect(chat.thinking.locator(".thinking-text")).to_have_text("Hm.")
    chat.stop()
    stack.wait_journal("end thinking")
    expect(chat.thinking.locator("summary")).to_have_text(re.compile(r"Thought for \d+ s"))


def test_stop_while_reading_the_message_with_the_escape_key(chat: ChatPage, stack: Stack) -> None:
    chat.send(script("prefill", ["prefill", 1, 2], ["wait", "never"]))
    chat.wait_waiting("Reading your message… 50 %")
    chat.page.keyboard.press("Escape")
    chat.wait_note("Stopped")
    stack.wait_journal("end prefill")


def test_stop_after_a_reload(chat: ChatPage, stack: Stack) -> None:
    chat.send(script("reloaded", ["say", "Kept. "], ["wait", "never"]))
    chat.wait_answer("Kept. ")
    chat.reload()
    chat.wait_answer("Kept. ")
    chat.stop()
    stack.wait_journal("end reloaded")
    chat.reload()
    chat.wait_note("Stopped")
    chat.wait_answer("Kept.")


@pytest.mark.long
def test_stop_while_queued(open_chat: OpenChat, start_stack: StartStack) -> None:
    stack = start_stack(max_running=1)
    first, second = open_chat(stack.url), open_chat(stack.url)
    first.send(script("a", ["say", "first"], ["wait", "a"]))
    first.wait_answer("first")
    second.send(script("b", ["say", "second"]))
    second.wait_waiting("Waiting in line, 1st")
    stop_and_hear(second)
    stack.open_gate("a")
    first.wait_finished()
    second.send(script("c", ["say", "third"]))
    second.wait_answer("third")
    assert "start b" not in stack.journal()


@pytest.mark.long
def test_stop_while_the_model_loads(open_chat: OpenChat, start_stack: StartStack) -> None:
    stack = start_stack(ready=False, before=hold_load)
    chat = open_chat(stack.url)
    send_when_loading(chat, script("a", ["say", "no"]))
    stop_and_hear(chat)
    stack.open_gate("load")
    chat.send(script("b", ["say", "yes"]))
    chat.wait_answer("yes")
    assert "start a" not in stack.journal()


def test_stop_before_the_server_has_answered(
    open_chat: OpenChat, stack: Stack, relay: Relay
) -> None:
    chat = open_chat(relay.url)
    chat.send("what shows answers is loaded by now")
    chat.wait_answer("what shows answers is loaded by now ")
    # What follows another message waits for the list of the models, which may be kept back as well.
    chat.new_chat()
    relay.hold()
    chat.send(script("early", ["say", "Never shown."], ["wait", "never"]))
    stack.wait_journal("start early")
    chat.stop()
    relay.let_go()
    stack.wait_journal("end early")
    assert chat.answer_text() == ""


def test_the_second_click_of_a_double_click_on_send_does_not_stop(
    chat: ChatPage, stack: Stack
) -> None:
    chat.composer.fill(script("double", ["say", "on"], ["wait", "double"], ["say", " and on"]))
    chat.send_button.dblclick()
    chat.wait_answer("on")
    stack.open_gate("double")
    chat.wait_answer("on and on")


# Errors


def test_an_error_in_the_answer_keeps_its_text_and_can_be_retried(
    chat: ChatPage, stack: Stack
) -> None:
    chat.send(script("oven", ["say", "Half "], ["tell", "The oven is cold."]))
    expect(chat.error).to_contain_text("The oven is cold.")
    expect(chat.error.locator("small")).to_have_text("model_error")
    chat.wait_answer("Half")
    chat.button("Retry").click()
    stack.wait_journal("end oven", 2)
    expect(chat.error).to_contain_text("The oven is cold.")
    expect(chat.answers).to_have_count(1)
    expect(chat.questions).to_have_count(1)


def test_a_lost_engine_is_an_error_and_retry_gets_a_whole_answer(
    open_chat: OpenChat, start_stack: StartStack
) -> None:
    stack = start_stack()
    chat = open_chat(stack.url)
    chat.send(script("lost", ["say", "Half "], ["wait", "again"], ["say", "and half."]))
    chat.wait_answer("Half ")
    [lost] = stack.engines()
    lost.kill()
    expect(chat.error).to_be_visible()
    chat.wait_answer("Half")
    wait_for(lambda: lost not in stack.engines() and stack.answers(), "a new engine")
    stack.open_gate("again")
    chat.button("Retry").click()
    chat.wait_answer("Half and half.")
    expect(chat.error).to_have_count(0)


@pytest.mark.long
def test_a_refused_message_can_be_edited(open_chat: OpenChat, start_stack: StartStack) -> None:
    chat = open_chat(start_stack(max_prompt_chars=20).url)
    chat.page.route("**/models", lambda route: route.abort())  # else the composer would refuse it
    chat.reload()
    chat.send("much longer than twenty characters")
    expect(chat.error.locator("small")).to_have_text("prompt_too_long")
    chat.button("Edit message").click()
    expect(chat.composer).to_have_value("much longer than twenty characters")
    chat.composer.fill("short")
    chat.composer.press("Enter")
    chat.wait_answer("short ")
    expect(chat.questions).to_have_text("short")


def test_a_message_to_a_server_that_is_away_is_not_lost(open_chat: OpenChat, relay: Relay) -> None:
    chat = open_chat(relay.url)
    relay.unplug()
    chat.send("are you there")
    expect(chat.error).to_contain_text("cannot be reached")
    expect(chat.questions).to_have_text("are you there")
    relay.plug_in()
    chat.button("Retry").click()
    chat.wait_answer("are you there ")


def test_a_message_that_may_have_arrived_is_not_sent_again_by_a_reload(
    open_chat: OpenChat, relay: Relay
) -> None:
    chat = open_chat(relay.url)
    relay.unplug()
    chat.send("are you there")
    expect(chat.error).to_contain_text("cannot be reached")
    chat.wait_kept("unreachable")
    relay.plug_in()
    chat.reload()
    chat.wait_note("cannot be reached")
    chat.button("Retry").click()
    chat.wait_answer("are you there ")
    expect(chat.questions).to_have_count(1)


def test_a_message_that_the_reload_itself_broke_off_is_sent_again(chat: ChatPage) -> None:
    """Some browsers break a request off before they tell the page that it goes away."""
    held = chat.hold("**/chat")
    chat.never_after(LEAVING_MS)
    chat.send("are you there")
    [request] = held.wait()
    with chat.page.expect_event("requestfailed"):
        chat.page.evaluate("dispatchEvent(new Event('beforeunload'))")
        request.abort()
    chat.page.unroute("**/chat")
    chat.reload()
    chat.wait_answer("are you there ")
    expect(chat.questions).to_have_count(1)


@pytest.mark.long
def test_the_end_at_a_limit_is_told(open_chat: OpenChat, start_stack: StartStack) -> None:
    chat = open_chat(start_stack(max_generation_seconds=0.5).url)
    chat.send(script("a", ["say", "Up to here"], ["wait", "never"]))
    chat.wait_note("length limit")
    chat.wait_answer("Up to here")


@pytest.mark.long
def test_an_answer_whose_rest_is_gone_keeps_its_text(
    open_chat: OpenChat, start_stack: StartStack
) -> None:
    stack = start_stack(log_ttl=0)
    chat = open_chat(stack.url)
    with chat.page.expect_response("**/chat") as response:
        chat.send(script("a", ["say", "This much. "], ["wait", "a"], ["say", "And this."]))
    chat.wait_answer("This much. ")
    address = chat.page.url
    chat.page.goto("about:blank")
    stack.open_gate("a")
    link = f"{stack.url}/chat/{response.value.headers['x-generation-id']}"
    wait_for(
        lambda: http_client.head(link).status_code != 200 and get_status(link) == 404, "its end"
    )
    chat.page.goto(address)
    chat.wait_note("cut off")
    chat.wait_answer("This much.")
    chat.button("Retry").click()
    chat.wait_answer("This much. And this.")


def get_status(link: str) -> int:
    with http_client.stream("GET", link) as response:
        return response.status_code


# The network


def test_a_pulled_plug_is_told_and_mended(open_chat: OpenChat, stack: Stack, relay: Relay) -> None:
    pieces = some_pieces(10)
    chat = open_chat(relay.url)
    chat.send(piece_by_piece("plug", pieces))
    length = 0
    for index in range(8):
        length = len(chat.wait_longer_than(length + LEAST))
        stack.open_gate(f"plug{index}")
        relay.cut()
    relay.unplug()
    chat.wait_waiting("Connection lost. Reconnecting…")
    expect(chat.status).to_have_text("Connection lost. Reconnecting…")
    relay.plug_in()
    for index in range(8, 10):
        stack.open_gate(f"plug{index}")
    chat.wait_answer("".join(pieces))
    chat.wait_finished()


def test_a_browser_without_a_network_says_so(
    open_chat: OpenChat, stack: Stack, relay: Relay
) -> None:
    chat = open_chat(relay.url)
    chat.send(script("a", ["say", "Before "], ["wait", "net"], ["say", "and after."]))
    chat.wait_answer("Before ")
    chat.page.context.set_offline(True)
    relay.cut()
    chat.wait_waiting("You are offline. This goes on as soon as the connection is back.")
    stack.open_gate("net")
    chat.page.context.set_offline(False)
    chat.wait_answer("Before and after.")


def test_what_is_sent_without_a_network_goes_when_it_is_back(chat: ChatPage, stack: Stack) -> None:
    chat.page.context.set_offline(True)
    chat.send("are you there")
    chat.wait_waiting("You are offline. This goes on as soon as the connection is back.")
    chat.page.context.set_offline(False)
    chat.wait_answer("are you there ")
    chat.wait_finished()


def test_stop_takes_back_what_was_sent_without_a_network(chat: ChatPage, stack: Stack) -> None:
    chat.page.context.set_offline(True)
    chat.send(script("offline", ["say", "Never."]))
    chat.wait_waiting("You are offline. This goes on as soon as the connection is back.")
    chat.stop()
    chat.page.context.set_offline(False)
    chat.send("and now")
    chat.wait_answer("and now ")
    assert "start offline" not in stack.journal()


def test_a_message_whose_answer_had_no_id_yet_is_sent_again_after_a_reload(
    chat: ChatPage,
) -> None:
    held = chat.hold("**/chat")
    chat.send("hello again")
    held.wait()
    chat.reload()
    held.wait(2)
    held.let_go()
    chat.wait_answer("hello again ")
    expect(chat.questions).to_have_count(1)


def test_two_tabs_keep_two_conversations(open_chat: OpenChat, stack: Stack) -> None:
    first, second = open_chat(stack.url), open_chat(stack.url)
    first.send(script("a", ["say", "one "], ["wait", "tabs"], ["say", "first"]))
    second.send(script("b", ["say", "two "], ["wait", "tabs"], ["say", "second"]))
    first.wait_answer("one ")
    second.wait_answer("two ")
    first.reload()
    stack.open_gate("tabs")
    first.wait_answer("one first")
    second.wait_answer("two second")


def test_an_empty_answer_says_so_and_can_be_asked_for_again(chat: ChatPage, stack: Stack) -> None:
    chat.send(script("empty"))
    chat.wait_note("empty answer")
    expect(chat.status).to_have_text("The model gave an empty answer.")
    chat.button("Retry").click()
    stack.wait_journal("end empty", 2)
    chat.wait_finished()
    chat.wait_note("empty answer")
    chat.button("Edit message").click()
    expect(chat.editing).to_be_visible()
    chat.composer.fill("full")
    chat.composer.press("Enter")
    chat.wait_answer("full ")
    expect(chat.questions).to_have_text("full")


# Looks


@pytest.mark.parametrize("width", [320, 390, 1280, 2560])
def test_nothing_is_wider_than_the_screen(width: int, chat: ChatPage) -> None:
    chat.page.set_viewport_size({"width": width, "height": 700})
    chat.send("w" * 500)
    chat.wait_answer("w" * 500)
    chat.wait_finished()
    for selector in ("html", "#scroller"):
        wider = chat.page.locator(selector).evaluate("e => e.scrollWidth - e.clientWidth")
        assert wider == 0, selector
    for button in chat.page.get_by_role("button").all():
        box = button.bounding_box()
        assert box is None or min(box["height"], box["width"]) >= 44


def test_the_cursor_rests_for_those_who_want_less_motion(
    browser: Browser, open_chat: OpenChat, stack: Stack
) -> None:
    context = browser.new_context(service_workers="block", reduced_motion="reduce")
    chat = open_chat(stack.url, in_context=context)
    chat.send(script("a", ["think", "still"], ["wait", "never"]))
    expect(chat.thinking).to_be_visible()
    assert chat.page.evaluate("document.getAnimations().length") == 0
    chat.page.emulate_media(reduced_motion="no-preference")
    assert chat.page.evaluate("document.getAnimations().length") > 0
    chat.stop()
    context.close()


# Where it is served


@pytest.mark.long
def test_the_page_works_below_a_subpath(open_chat: OpenChat, stack: Stack) -> None:
    class Stripping(BaseHTTPRequestHandler):
        """A reverse proxy that serves the stack below /burble/."""

        def forward(self) -> None:
            assert self.path.startswith("/burble/")
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            upstream = http.client.HTTPConnection(urllib.parse.urlsplit(stack.url).netloc)
            path = self.path.removeprefix("/burble")
            with contextlib.closing(upstream):
                upstream.request(self.command, path, body, dict(self.headers))
                response = upstream.getresponse()
                self.send_response_only(response.status)
                for name, value in response.getheaders():
                    if name.lower() not in ("transfer-encoding", "connection"):
                        self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # the client has left
                    while data := response.read1():
                        self.wfile.write(data)
                        self.wfile.flush()

        do_GET = do_POST = do_DELETE = forward

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Stripping) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        chat = open_chat(f"http://127.0.0.1:{proxy.server_address[1]}/burble")
        chat.send(script("below", ["say", "It "], ["wait", "sub"], ["say", "works."]))
        chat.wait_answer("It ")
        chat.reload()
        stack.open_gate("sub")
        chat.wait_answer("It works.")
        chat.wait_finished()
        chat.send(script("stopped-below", ["say", "Stop "], ["wait", "never"]))
        chat.wait_answer("Stop ")
        chat.stop()
        stack.wait_journal("end stopped-below")
        proxy.shutdown()


def test_the_page_works_where_the_browser_trusts_the_host_less(
    browser: Browser, stack: Stack
) -> None:
    """A host on a local network, by plain http, is no secure context: `crypto.randomUUID` and others are missing."""
    page = browser.new_page(service_workers="block")
    page.add_init_script(
        "delete Crypto.prototype.randomUUID; delete Navigator.prototype.clipboard;"
    )
    chat = ChatPage(page, stack.url + "/").open()
    chat.send("plain http")
    chat.wait_answer("plain http ")
    assert chat.faults == []
    page.close()


def test_a_violation_of_the_policy_would_be_seen(browser: Browser, stack: Stack) -> None:
    page = browser.new_page(service_workers="block")
    chat = ChatPage(page, stack.url + "/").open()
    page.evaluate("document.body.setAttribute('style', 'color: red')")
    wait_for(lambda: page.evaluate("1") and chat.faults, "the browser's report")
    assert "Content Security Policy" in chat.faults[0]
    page.close()
