"""Reading an answer while it arrives: nothing moves that the reader did not move, and all that happens is said."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserType, Locator, Page, Route, expect

from e2e.chat_page import ChatPage, records
from e2e.client import words
from e2e.relay import Relay, shut
from e2e.scripted_model import script
from e2e.stack import Stack, wait_for

StartStack = Callable[..., Stack]
OpenChat = Callable[..., ChatPage]

PARAGRAPH = "A paragraph of some length that is there to be scrolled away. " * 3 + "\n\n"
TO_GO = "e => Math.round(e.scrollHeight - e.clientHeight - e.scrollTop)"
TOP = "e => e.scrollTop"
PLACE = "e => Math.round(e.getBoundingClientRect().top)"

# So long after a connection was lost, the next one counts as there: `BACK_AFTER_MS` in `js/reading.js`.
BACK_AFTER_MS = 1000
SAID_MS = 2500  # so long does a button say what it did: `js/views/copy_buttons.js`


def frames(chat: ChatPage) -> None:
    """Let the page draw what it has: once for the state, once for the text, once for what follows from its size."""
    chat.page.evaluate(
        """async () => {
            for (let frame = 0; frame < 4; frame += 1) await new Promise(requestAnimationFrame);
        }"""
    )


def watch_status(chat: ChatPage) -> Callable[[], list[str]]:
    """Return what gives all that the polite status has said from now on."""
    chat.page.evaluate(
        """() => {
            const status = document.querySelector("[role=status]");
            window.said = [];
            new MutationObserver(() => said.push(status.textContent)).observe(
                status, { childList: true, characterData: true, subtree: true });
        }"""
    )
    return lambda: [text for text in chat.page.evaluate("said") if text]


# Following the end


def wheel(chat: ChatPage) -> None:
    chat.scroller.hover()
    chat.page.mouse.wheel(0, -300)
    expect(chat.to_end).to_be_visible()  # it may be heard after the call


def touch(chat: ChatPage) -> None:
    finger = chat.page.context.new_cdp_session(chat.page)
    finger.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
    finger.send(
        "Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": 300, "y": 200}]}
    )
    for y in range(220, 420, 20):
        finger.send(
            "Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": 300, "y": y}]}
        )
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(chat.to_end).to_be_visible()


def key(chat: ChatPage) -> None:
    chat.scroller.focus()
    chat.page.keyboard.press("PageUp")
    expect(chat.to_end).to_be_visible()


def select(chat: ChatPage) -> None:
    box = chat.scroller.bounding_box()
    assert box
    chat.page.mouse.move(box["x"] + box["width"] / 2 - 100, box["y"] + 150)
    chat.page.mouse.down()
    chat.page.mouse.move(box["x"] + box["width"] / 2 + 100, box["y"] + 200, steps=5)
    chat.page.mouse.up()


@pytest.mark.parametrize("let_go", [wheel, touch, key, select])
def test_the_end_is_followed_until_the_reader_lets_go(
    let_go: Callable[[ChatPage], None], chat: ChatPage, stack: Stack
) -> None:
    """Pain: the scroll position is yanked away."""
    name = f"follow-{let_go.__name__}"
    steps = [["say", PARAGRAPH * 30], ["wait", f"{name}-1"], ["say", PARAGRAPH * 5]]
    chat.send(
        script(name, *steps, ["wait", f"{name}-2"], ["say", PARAGRAPH * 5], ["wait", "never"])
    )
    chat.wait_answer(PARAGRAPH * 30)
    frames(chat)
    assert chat.scroller.evaluate(TO_GO) == 0
    expect(chat.to_end).to_be_hidden()
    let_go(chat)
    frames(chat)
    top = settled(chat.scroller, TOP)
    stack.open_gate(f"{name}-1")
    chat.wait_answer(PARAGRAPH * 35)
    frames(chat)
    assert chat.scroller.evaluate(TOP) == top
    expect(chat.to_end).to_have_text("New text")
    expect(chat.to_end).to_be_visible()
    chat.to_end.click()
    expect(chat.to_end).to_be_hidden()
    expect(chat.scroller).to_be_focused()
    frames(chat)
    assert chat.scroller.evaluate(TO_GO) == 0
    stack.open_gate(f"{name}-2")
    chat.wait_answer(PARAGRAPH * 40)
    frames(chat)
    assert chat.scroller.evaluate(TO_GO) == 0
    chat.stop()


@pytest.mark.long
@pytest.mark.usefixtures("browser")  # by which the tests in a browser are known
def test_the_scroll_bar_lets_go_while_it_is_dragged_and_not_for_ever(
    browser_type: BrowserType, browser_type_launch_args: dict[str, Any], stack: Stack
) -> None:
    with_bars = browser_type.launch(
        **browser_type_launch_args, ignore_default_args=["--hide-scrollbars"]
    )
    chat = ChatPage(with_bars.new_page(), stack.url + "/").open()
    steps = [["say", PARAGRAPH * 30], ["wait", "bar-1"], ["say", PARAGRAPH * 5], ["wait", "bar-2"]]
    chat.send(script("bar", *steps, ["say", PARAGRAPH * 5], ["wait", "never"]))
    chat.wait_answer(PARAGRAPH * 30)
    frames(chat)
    assert chat.scroller.evaluate(TO_GO) == 0
    box = chat.scroller.bounding_box()
    assert box
    bar = box["x"] + box["width"] - 5
    assert chat.scroller.evaluate("e => e.offsetWidth - e.clientWidth") > 5
    chat.page.mouse.move(bar, box["y"] + box["height"] - 30)
    chat.page.mouse.down()
    chat.page.mouse.move(bar, box["y"] + box["height"] - 130, steps=4)
    expect(chat.to_end).to_be_visible()
    top = settled(chat.scroller, TOP)
    stack.open_gate("bar-1")
    chat.wait_answer(PARAGRAPH * 35)
    frames(chat)
    assert chat.scroller.evaluate(TOP) == top

    def drag_down() -> bool:
        # More than once: the bar may be drawn later than the text that has made it smaller.
        for beyond in (50, 60):
            chat.page.mouse.move(bar, box["y"] + box["height"] + beyond, steps=4)
        return chat.to_end.is_hidden()

    wait_for(drag_down, "the end")
    stack.open_gate("bar-2")
    chat.wait_answer(PARAGRAPH * 40)
    frames(chat)
    assert chat.scroller.evaluate(TO_GO) == 0
    chat.page.mouse.up()
    chat.stop()
    with_bars.close()


def settled(element: Locator, measure: str) -> Any:
    """Return a measure of an element once it is the same in three looks, as after a smooth scroll."""
    looks: list[Any] = []

    def same() -> bool:
        # Nothing moves while nothing is drawn, on a machine that is busy.
        element.evaluate(
            "async () => { for (let n = 0; n < 4; n += 1) await new Promise(requestAnimationFrame); }"
        )
        time.sleep(0.05)
        looks.append(element.evaluate(measure))
        return len(looks) >= 3 and looks[-1] == looks[-2] == looks[-3]

    wait_for(same, "rest")
    return looks[-1]


def test_a_reader_who_comes_back_to_the_end_is_followed_again(chat: ChatPage, stack: Stack) -> None:
    steps = [["say", PARAGRAPH * 30], ["wait", "back"], ["say", PARAGRAPH * 5], ["wait", "never"]]
    chat.send(script("back", *steps))
    chat.wait_answer(PARAGRAPH * 30)
    wheel(chat)
    expect(chat.to_end).to_have_text("To the end")  # there is nothing new yet
    chat.page.mouse.wheel(0, 3000)
    expect(chat.to_end).to_be_hidden()
    stack.open_gate("back")
    chat.wait_answer(PARAGRAPH * 35)
    frames(chat)
    assert chat.scroller.evaluate(TO_GO) == 0
    chat.stop()


def test_a_click_into_the_text_does_not_let_go(chat: ChatPage, stack: Stack) -> None:
    steps = [["say", PARAGRAPH * 30], ["wait", "click"], ["say", PARAGRAPH * 5], ["wait", "never"]]
    chat.send(script("click", *steps))
    chat.wait_answer(PARAGRAPH * 30)
    select(chat)
    chat.scroller.click()
    assert chat.page.evaluate("getSelection().isCollapsed")
    stack.open_gate("click")
    chat.wait_answer(PARAGRAPH * 35)
    frames(chat)
    assert chat.scroller.evaluate(TO_GO) == 0
    chat.stop()


@pytest.mark.parametrize(("following", "width"), [(True, 1280), (False, 1280), (True, 320)])
def test_nothing_moves_when_the_text_ends(
    following: bool, width: int, chat: ChatPage, stack: Stack
) -> None:
    chat.page.set_viewport_size({"width": width, "height": 800})
    name = f"ends-{following}-{width}"
    chat.send(script(name, ["say", PARAGRAPH * 30], ["wait", name], ["say", "The end."]))
    chat.wait_answer(PARAGRAPH * 30)
    if not following:
        wheel(chat)
    frames(chat)
    settled(chat.scroller, TOP)
    height = chat.scroller.evaluate("e => e.scrollHeight")
    place = chat.answer.evaluate(PLACE)
    text_height = chat.answer.evaluate("e => e.offsetHeight")
    stack.open_gate(name)
    chat.wait_finished()
    expect(chat.answers.last.get_by_role("button", name="Copy", exact=True)).to_be_visible()
    frames(chat)
    text_grew = chat.answer.evaluate("e => e.offsetHeight") - text_height
    moved = place - chat.answer.evaluate(PLACE)
    assert abs(moved - text_grew) <= 1 if following else moved == 0
    # The buttons stand where the mark of the arriving text stood: only the text has grown.
    assert abs(chat.scroller.evaluate("e => e.scrollHeight") - height - text_grew) <= 1


def test_nothing_moves_when_a_keyboard_opens(chat: ChatPage, stack: Stack) -> None:
    chat.page.set_viewport_size({"width": 390, "height": 800})
    chat.send(script("phone", ["say", PARAGRAPH * 30], ["wait", "never"]))
    chat.wait_answer(PARAGRAPH * 30)
    frames(chat)
    chat.page.set_viewport_size({"width": 390, "height": 450})
    frames(chat)
    assert chat.scroller.evaluate(TO_GO) == 0
    chat.page.set_viewport_size({"width": 390, "height": 800})
    frames(chat)
    assert chat.scroller.evaluate(TO_GO) == 0
    wheel(chat)
    place = settled(chat.answer, PLACE)
    chat.page.set_viewport_size({"width": 390, "height": 450})
    frames(chat)
    assert chat.answer.evaluate(PLACE) == place
    chat.stop()


def test_what_the_reader_opens_at_the_end_stays_where_it_is(chat: ChatPage, stack: Stack) -> None:
    chat.think.check()
    steps = [["think", PARAGRAPH * 30], ["say", "Short. "], ["wait", "short"], ["say", "More."]]
    chat.send(script("short", *steps, ["wait", "never"]))
    chat.wait_answer("Short.")
    summary = chat.thinking.locator("summary")
    place = settled(summary, PLACE)
    summary.click()
    expect(chat.to_end).to_be_visible()
    stack.open_gate("short")
    chat.wait_answer("Short. More.")
    frames(chat)
    assert summary.evaluate(PLACE) == place
    summary.click()
    expect(chat.to_end).to_be_hidden()
    assert settled(summary, PLACE) == place
    chat.stop()


def test_what_the_reader_opens_far_above_stays_where_it_is(chat: ChatPage, stack: Stack) -> None:
    chat.think.check()
    steps = [["think", PARAGRAPH * 30], ["say", PARAGRAPH * 30], ["wait", "open"]]
    chat.send(script("open", *steps, ["say", PARAGRAPH * 5], ["wait", "never"]))
    chat.wait_answer(PARAGRAPH * 30)
    chat.scroller.hover()
    chat.page.mouse.wheel(0, -100_000)
    expect(chat.to_end).to_be_visible()
    summary = chat.thinking.locator("summary")
    summary.scroll_into_view_if_needed()
    place = settled(summary, PLACE)
    summary.click()
    expect(chat.thinking).to_have_attribute("open", "")
    stack.open_gate("open")
    chat.wait_answer(PARAGRAPH * 35)
    frames(chat)
    assert summary.evaluate(PLACE) == place
    chat.stop()


# Until the renderer is there


def test_text_is_shown_as_it_is_written_until_the_renderer_is_there(
    chat: ChatPage, stack: Stack
) -> None:
    held = chat.hold("**/js/markdown/index.js")
    chat.think.check()
    steps = [["think", "*Hm.*"], ["say", "Some *te"], ["wait", "early"], ["say", "xt*\n\nEnd"]]
    chat.send(script("early", *steps))
    expect(chat.answer).to_have_text("Some *te")
    stack.open_gate("early")
    expect(chat.answer).to_have_text("Some *text*\n\nEnd", use_inner_text=True)
    chat.wait_finished()
    [route] = held.wait()
    route.continue_()
    chat.wait_answer("Some text End")
    expect(chat.answer.locator("em")).to_have_text("text")
    expect(chat.answer.locator("p")).to_have_count(2)
    expect(chat.thinking.locator("em")).to_have_text("Hm.")


def test_a_renderer_that_did_not_arrive_is_asked_for_again(chat: ChatPage) -> None:
    lost: list[Route] = []

    def lose_the_first(route: Route) -> None:
        if lost:
            route.continue_()
        else:
            lost.append(route)
            route.abort()

    chat.page.route("**/js/markdown/index.js", lose_the_first)
    chat.send(script("lost", ["say", "Some *text*"]))
    chat.wait_answer("Some text")
    assert lost


# Selecting and finding


def test_a_selection_survives_the_text_that_follows(chat: ChatPage, stack: Stack) -> None:
    """Pain: a selection lost while the text arrives."""
    said = [
        "Select me, ",
        "and *go*",
        "* on\n\n1. and",
        " on\n2. and on\n\n",
        "```js\nlet a",
        "\n```\n\nEnd",
    ]
    steps = [
        step for index, text in enumerate(said) for step in (["say", text], ["wait", f"s{index}"])
    ]
    chat.send(script("selection", *steps))
    chat.wait_answer("Select me,")
    chat.answer.evaluate(
        """answer => {
            const text = document.createTreeWalker(answer, NodeFilter.SHOW_TEXT).nextNode();
            getSelection().setBaseAndExtent(text, 0, text, 9);
        }"""
    )
    for index in range(len(said)):
        assert chat.page.evaluate("getSelection().toString()") == "Select me"
        shown = chat.answer_text()
        stack.open_gate(f"s{index}")
        if index + 1 < len(said):
            chat.wait_other_than(shown)
    chat.wait_finished()
    assert chat.page.evaluate("getSelection().toString()") == "Select me"


def test_text_off_the_screen_is_found_by_the_browser(chat: ChatPage, stack: Stack) -> None:
    """Pain: find-in-page fails where a list is virtual."""
    text = PARAGRAPH * 40 + "A needle is here.\n\n" + PARAGRAPH * 80
    chat.send(script("find", ["say", text]))
    chat.wait_answer(text)
    chat.wait_finished()
    # Backwards, from the composer: the question has it, too.
    assert chat.page.evaluate("window.find('A needle is here', false, true, true)")
    # The search of a browser's own window scrolls by itself; this one does not in a scrolled element.
    chat.page.evaluate(
        "getSelection().anchorNode.parentElement.scrollIntoView({ block: 'center' })"
    )
    place = settled(chat.answer.get_by_text("A needle is here"), PLACE)
    box = chat.scroller.bounding_box()
    assert box
    assert box["y"] <= place <= box["y"] + box["height"]


# Thinking


def test_thinking_is_opened_and_closed_by_the_reader_alone(chat: ChatPage, stack: Stack) -> None:
    chat.think.check()
    steps = [["think", "First **this**, "], ["wait", "t1"], ["think", "then that."], ["wait", "t2"]]
    chat.send(script("thinking", *steps, ["say", "So "], ["wait", "t3"], ["say", "it is."]))
    text = chat.thinking.locator(".thinking-text")
    expect(text).to_contain_text("First")
    expect(chat.thinking).not_to_have_attribute("open", "")
    expect(text.locator("strong")).to_have_text("this")  # thinking is Markdown, too
    chat.thinking.evaluate("element => element.mark = 'the same'")
    chat.thinking.locator("summary").click()
    place = chat.thinking.evaluate(PLACE)
    stack.open_gate("t1")
    expect(text).to_have_text("First this, then that.")
    stack.open_gate("t2")
    chat.wait_answer("So")
    expect(chat.thinking.locator("summary")).to_have_text(re.compile(r"Thought for \d+ s"))
    expect(chat.thinking).to_have_attribute("open", "")
    assert chat.thinking.evaluate(PLACE) == place
    stack.open_gate("t3")
    chat.wait_answer("So it is.")
    chat.wait_finished()
    expect(chat.thinking).to_have_attribute("open", "")
    assert chat.thinking.evaluate("element => element.mark") == "the same"


def test_the_time_of_thinking_runs_while_nothing_arrives(chat: ChatPage, stack: Stack) -> None:
    chat.think.check()
    chat.send(script("clock", ["think", "Hm. "], ["wait", "clock"], ["say", "Yes."]))
    summary = chat.thinking.locator("summary")
    counted = re.compile(r"^Thinking… [1-9]\d* s$")
    expect(summary).to_have_text(counted)
    expect(summary).not_to_have_text(summary.inner_text())
    expect(summary).to_have_text(counted)
    stack.open_gate("clock")
    expect(summary).to_have_text(re.compile(r"Thought for \d+ s"))


# Waiting


def test_waiting_is_visible_within_a_tenth_of_a_second(chat: ChatPage) -> None:
    """Pain: "frozen" before the first token. Measured in the page, from the key to the frame that shows it."""
    chat.page.route("**/chat", lambda route: None)  # the server never answers
    chat.page.evaluate(
        """() => {
            window.delays = [];
            document.addEventListener("keydown", async ({ key }) => {
                if (key !== "Enter") return;
                const from = performance.now();
                const said = () => [...document.querySelectorAll(".waiting")].at(-1)?.checkVisibility();
                while (!said()) await new Promise(requestAnimationFrame);
                delays.push(performance.now() - from);
            }, { capture: true });
        }"""
    )
    delays: list[float] = []
    # A machine may be busy with something else for a while: the quickest tells of the page.
    while len(delays) < 30 and min(delays, default=100) >= 100:
        chat.send("are you there")
        chat.wait_waiting("Sending…")
        expect(chat.answers.last.locator(".waiting")).to_be_visible()
        delays = chat.page.evaluate(
            """async (known) => {
                while (delays.length === known) await new Promise(requestAnimationFrame);
                return delays;
            }""",
            len(delays),
        )
        chat.new_chat()
    assert min(delays) < 100


@pytest.mark.long
def test_a_connection_that_comes_and_goes_is_told_once(
    open_chat: OpenChat, stack: Stack, relay: Relay
) -> None:
    chat = open_chat(relay.url)
    chat.send(script("flap", ["say", "Before "], ["wait", "flap"], ["say", "and after."]))
    chat.wait_answer("Before")
    expect(chat.status).to_have_text("Answering…")
    said = watch_status(chat)
    # Else one that is lost late, for this process was held up, was there.
    chat.never_after(BACK_AFTER_MS)
    seen = chat.page.evaluate_handle(
        """() => {
            const seen = [];
            const waiting = document.querySelector(".waiting");
            new MutationObserver(() => seen.push(waiting.textContent)).observe(waiting, { childList: true });
            return seen;
        }"""
    )
    relay.flap(3)
    wait_for(lambda: relay.flaps == 0, "three times that it was there and was lost again")
    chat.wait_waiting("Connection lost. Reconnecting…")
    expect(chat.status).to_have_text("Connection lost. Reconnecting…")
    relay.plug_in()
    stack.open_gate("flap")
    chat.wait_answer("Before and after.")
    expect(chat.status).to_have_text("The answer is complete.")
    assert [text for text in said() if text != "Answering…"] == [
        "Connection lost. Reconnecting…",
        "The answer is complete.",
    ]
    assert [text for text in seen.json_value() if text] == ["Connection lost. Reconnecting…"]


# Speed and length


def test_speed_and_length_are_told_to_those_who_ask(chat: ChatPage, stack: Stack) -> None:
    # In two parts, that some time passes from the first to the last.
    chat.send(script("figures", ["words", 20], ["wait", "figures"], ["words", 20]))
    chat.wait_answer(words("figures", 20))
    stack.open_gate("figures")
    chat.wait_answer(words("figures", 20) * 2)
    chat.wait_finished()
    chat.wait_kept("'kind': 'stop'")
    details = chat.button("Details")
    expect(details).to_have_attribute("aria-expanded", "false")
    figures = chat.answers.last.locator(".figures")
    expect(figures).to_be_hidden()
    details.click()
    expect(figures).to_be_visible()
    expect(details).to_have_attribute("aria-expanded", "true")
    names = figures.locator("dt").all_text_contents()
    told = dict(zip(names, figures.locator("dd").all_text_contents(), strict=True))
    assert re.fullmatch(r"\d+(\.\d+)? s", told["First token after"])
    [kept] = [message["figures"] for message in records(chat, "messages") if "figures" in message]
    speed = float(told["Speed"].removesuffix(" tokens/s").replace(",", ""))
    assert speed == pytest.approx(39_000 / kept["writingMs"], abs=0.06)
    assert told["Length"] == "40 tokens"


def test_what_is_open_under_an_answer_stays_open_when_another_follows(chat: ChatPage) -> None:
    chat.send(script("ended", ["say", "Half"], ["fail", "no"]))
    expect(chat.error).to_be_visible()
    chat.button("Details").click()
    figures = chat.answers.first.locator(".figures")
    expect(figures).to_be_visible()
    chat.send("and then")
    chat.wait_answer("and then ")
    chat.wait_finished()
    expect(chat.answers.first.get_by_role("button", name="Continue")).to_be_hidden()
    expect(figures).to_be_visible()


# Cut off, and going on


@pytest.mark.long
def test_a_cut_off_answer_looks_cut_off_and_goes_on(
    open_chat: OpenChat, start_stack: StartStack
) -> None:
    """Pain: a failure in the middle looks like a finished answer, and its text cannot be gone on with."""
    stack = start_stack()
    chat = open_chat(stack.url)
    question = script("cut", ["think", "Hm. "], ["say", "Half"], ["wait", "never"])
    chat.think.check()
    chat.send(question)
    chat.wait_answer("Half")
    [lost] = stack.engines()
    lost.kill()
    expect(chat.error).to_contain_text("This answer was cut off here.")
    chat.wait_finished()
    border = "e => getComputedStyle(e).borderBlockEndStyle"
    assert chat.answer.evaluate(border) == "dashed"
    expect(chat.button("Retry")).to_be_visible()
    wait_for(lambda: lost not in stack.engines() and stack.answers(), "a new engine")
    chat.answer.evaluate("element => element.firstElementChild.mark = 'the same'")
    with chat.page.expect_request("**/chat") as sent:
        chat.button("Continue").press("Enter")
    expect(chat.composer).to_be_focused()
    request: Any = sent.value.post_data_json
    assert request["messages"][:2] == [
        {"role": "user", "content": question},
        {"role": "assistant", "content": "Half"},
    ]
    [going_on] = request["messages"][2:]
    assert going_on["role"] == "user"
    chat.wait_answer("Half" + going_on["content"])  # the scripted model says it back
    chat.wait_finished()
    assert chat.answer.evaluate(border) == "none"
    assert chat.answer.evaluate("element => element.firstElementChild.mark") == "the same"
    expect(chat.error).to_have_count(0)
    expect(chat.questions).to_have_text(question)
    expect(chat.answers).to_have_count(1)
    expect(chat.thinking.locator(".thinking-text")).to_have_text("Hm.")
    # What asks to go on is nowhere in the conversation that is sent next.
    with chat.page.expect_request("**/chat") as sent:
        chat.send("and now")
    request = sent.value.post_data_json
    contents = [message["content"] for message in request["messages"]]
    assert contents == [question, "Half" + going_on["content"] + " ", "and now"]


def test_an_answer_goes_on_where_the_server_still_has_it(
    open_chat: OpenChat, stack: Stack, relay: Relay
) -> None:
    chat = open_chat(relay.url)
    chat.send(script("log", ["say", "Half "], ["wait", "log"], ["say", "and half."]))
    chat.wait_answer("Half")
    refuse = json.dumps({"title": "Who are you?", "status": 403, "code": "proxy"})
    chat.page.route(
        "**/chat/*",
        lambda route: route.fulfill(
            status=403, content_type="application/problem+json", body=refuse
        ),
    )
    relay.cut()
    expect(chat.error).to_contain_text("Who are you?")
    chat.page.unroute("**/chat/*")
    stack.open_gate("log")
    with chat.page.expect_request("**/chat/*") as sent:
        chat.button("Continue").click()
    assert sent.value.method == "GET"
    assert sent.value.headers["last-event-id"] == "1"
    chat.wait_answer("Half and half.")
    chat.wait_finished()
    assert stack.journal().count("start log") == 1


@pytest.mark.long
def test_going_on_survives_a_reload_and_a_server_that_is_away(
    open_chat: OpenChat, relay: Relay
) -> None:
    chat = open_chat(relay.url)
    chat.send(script("away", ["say", "Half "], ["wait", "never"]))
    chat.wait_answer("Half")
    chat.stop()
    relay.unplug()
    chat.button("Continue").click()
    expect(chat.error).to_contain_text("The server cannot be reached.")
    chat.wait_answer("Half")
    relay.plug_in()
    held = chat.hold("**/chat")
    chat.button("Continue").click()
    held.wait()
    chat.reload()
    held.wait(2)
    held.let_go()
    expect(chat.answer).to_contain_text("Half Your last answer was cut off.")
    chat.wait_finished()
    assert chat.answer_text().count("Half") == 1


def test_an_answer_that_was_stopped_twice_goes_on_once(chat: ChatPage, stack: Stack) -> None:
    """The first request to go on is still on its way when the second is made."""
    chat.send(script("twice", ["say", "Half "], ["wait", "never"]))
    chat.wait_answer("Half")
    chat.stop()
    held = chat.hold("**/chat")
    chat.button("Continue").click()
    chat.wait_waiting("Sending…")
    chat.stop()
    chat.button("Continue").click()
    chat.wait_waiting("Sending…")
    first, second = held.wait(2)
    # What nobody reads any more is stopped.
    with chat.page.expect_request(lambda request: request.method == "DELETE"):
        first.continue_()
    second.continue_()
    expect(chat.answer).to_contain_text("interruption.")
    chat.wait_finished()
    assert chat.answer_text().count("Your last answer was cut off.") == 1


@pytest.mark.long
def test_an_answer_at_its_limit_goes_on(open_chat: OpenChat, start_stack: StartStack) -> None:
    chat = open_chat(start_stack(max_generation_seconds=0.5).url)
    chat.send(script("limit", ["say", "Up to here"], ["wait", "never"]))
    chat.wait_note("length limit")
    chat.button("Continue").click()
    expect(chat.answer).to_contain_text("Up to hereYour last answer was cut off.")


# Copying

MARKDOWN = "# Title\n\nSome **bold** text and `code`.\n\n- one\n- two\n"


def pasted(page: Page) -> dict[str, str]:
    """Paste into the composer, and return what other programs would get."""
    page.evaluate(
        """() => document.addEventListener("paste", (event) => {
            event.preventDefault();
            const types = ["text/plain", "text/html"];
            window.pasted = Object.fromEntries(types.map((type) => [type, event.clipboardData.getData(type)]));
        }, { once: true, capture: true })"""
    )
    page.get_by_role("textbox", name="Your message").focus()
    page.keyboard.press("ControlOrMeta+v")
    contents: dict[str, str] = wait_for(lambda: page.evaluate("window.pasted"), "what is pasted")
    page.evaluate("delete window.pasted")
    return contents


def check_copying(chat: ChatPage, question: str) -> None:
    chat.wait_answer("Title Some bold text and code. one two")
    chat.never_after(SAID_MS)
    said = watch_status(chat)
    copy, copy_markdown = chat.answers.last.locator(".copy-buttons button").all()
    expect(copy).to_have_text("Copy")
    copy.click()
    expect(copy).to_have_text("Copied")
    rich = pasted(chat.page)
    assert rich["text/plain"] == MARKDOWN
    for part in ("<h1", "<strong>bold</strong>", "<code>code</code>", ">one</li>"):
        assert part in rich["text/html"]
    assert "button" not in rich["text/html"]
    assert "class" not in rich["text/html"]
    expect(copy_markdown).to_have_text("Copy as Markdown")
    copy_markdown.click()
    expect(copy_markdown).to_have_text("Copied")
    assert pasted(chat.page) == {"text/plain": MARKDOWN, "text/html": ""}
    chat.page.locator(".message.user").get_by_role("button", name="Copy").click()
    wait_for(lambda: said().count("Copied") == 3, "Copied, three times")
    assert pasted(chat.page) == {"text/plain": question, "text/html": ""}
    expect(chat.composer).to_have_value("")


def test_answers_are_copied_as_rich_text_and_as_markdown(chat: ChatPage) -> None:
    question = script("copy", ["say", MARKDOWN])
    chat.send(question)
    chat.wait_finished()
    assert chat.page.evaluate("isSecureContext")
    check_copying(chat, question)


@pytest.mark.long
@pytest.mark.usefixtures("browser")  # by which the tests in a browser are known
def test_copying_works_on_plain_http_in_a_local_network(
    browser_type: BrowserType,
    browser_type_launch_args: dict[str, Any],
    start_stack: Callable[..., Stack],
) -> None:
    """Pain: copying is dead where the clipboard API is absent: on a host that is not localhost, without TLS."""
    arguments = {
        **browser_type_launch_args,
        "args": [
            *browser_type_launch_args["args"],
            "--host-resolver-rules=MAP burble.test 127.0.0.1",
        ],
    }
    in_the_network = browser_type.launch(**arguments)
    stack = start_stack(allow_anonymous=True)
    chat = ChatPage(in_the_network.new_page(), f"http://burble.test:{stack.port}/").open()
    question = script("copy", ["say", MARKDOWN])
    chat.send(question)
    chat.wait_finished()
    assert chat.page.evaluate("[isSecureContext, 'clipboard' in navigator]") == [False, False]
    check_copying(chat, question)
    # Browsers report that they ignore this header there.
    assert [fault for fault in chat.faults if "Cross-Origin-Opener-Policy" not in fault] == []
    in_the_network.close()


def test_copying_that_is_not_possible_says_so_and_selects_the_text(
    browser: Browser, open_chat: OpenChat, stack: Stack
) -> None:
    context = browser.new_context(service_workers="block")
    context.add_init_script(
        "delete Navigator.prototype.clipboard; Document.prototype.execCommand = () => false;"
    )
    chat = open_chat(stack.url, in_context=context)
    chat.send("one two three")
    chat.wait_answer("one two three ")
    chat.wait_finished()
    said = watch_status(chat)
    chat.answers.last.get_by_role("button", name="Copy", exact=True).click()
    expect(chat.answers.last.locator(".copy-failure")).to_contain_text("did not allow copying")
    wait_for(lambda: any("did not allow copying" in text for text in said()), "what is said of it")
    assert chat.page.evaluate("getSelection().toString()").strip() == "one two three"
    context.close()


# Clumps


class BufferingRelay(Relay):
    """A proxy that holds back what a stream says for a while, and then passes it on at once."""

    HOLD_S = 0.7
    ENOUGH = 40  # events at once: twice as many as are a clump

    def _pump(
        self, source: socket.socket, sink: socket.socket, flowing: Event | None = None
    ) -> None:
        if flowing is None:
            super()._pump(source, sink)
            return
        is_stream = False
        with source:
            try:
                while data := source.recv(65536):
                    is_stream = is_stream or b"text/event-stream" in data
                    if is_stream:
                        data = self._gather(source, data)
                    sink.sendall(data)
            except OSError:
                pass  # cut
            shut(sink)

    def _gather(self, source: socket.socket, data: bytes) -> bytes:
        """Wait for more, and where the model is slow, for as long as it takes; return all of it."""
        while True:
            time.sleep(self.HOLD_S)
            try:
                more = source.recv(2**20, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue  # nothing more has come
            data += more
            if not more or data.count(b"data:") >= self.ENOUGH or b"[DONE]" in data:
                return data


@pytest.fixture
def buffering(stack: Stack) -> Iterator[Relay]:
    relay = BufferingRelay(stack.port)
    yield relay
    relay.close()


@pytest.mark.long
def test_a_proxy_that_buffers_is_named_once(
    open_chat: OpenChat, stack: Stack, buffering: Relay
) -> None:
    steady = script("steady", ["type", "word " * 3000, 0.01])
    chat, plain = open_chat(buffering.url), open_chat(stack.url)
    chat.send(steady)
    notice = chat.page.locator("#notice")
    expect(notice).to_be_visible()
    expect(notice).to_contain_text("X-Accel-Buffering: no")
    expect(notice).to_contain_text("proxy_buffering off")
    notice.get_by_role("button", name="Dismiss").click()
    expect(chat.composer).to_be_focused()
    enough = len(chat.answer_text())
    chat.stop()
    for other in (chat, plain):
        other.send(steady)
    for other in (chat, plain):
        other.wait_longer_than(enough)
        expect(other.page.locator("#notice")).to_be_hidden()
        other.stop()
    # It would go on for longer than the tests that follow.
    stack.wait_journal("end steady", 3)


# For those who listen


def test_an_answer_is_announced_once_when_it_is_whole(chat: ChatPage, stack: Stack) -> None:
    """Pain: screen readers hear every token, or nothing."""
    said = watch_status(chat)
    chat.page.evaluate(
        """() => {
            const log = document.querySelector("[role=log]");
            window.heard = [];
            new MutationObserver((changes) => {
                const isText = changes.some(({ type }) => type !== "attributes");
                if (isText && log.ariaBusy !== "true" && log.textContent.includes("Half")) heard.push(log.textContent);
            }).observe(log, { childList: true, characterData: true, subtree: true });
        }"""
    )
    chat.send(script("heard", ["say", "Half "], ["wait", "heard"], ["say", "and half."]))
    chat.wait_answer("Half")
    chat.wait_streaming()
    expect(chat.status).to_have_text("Answering…")
    assert chat.page.evaluate("heard") == []
    stack.open_gate("heard")
    chat.wait_answer("Half and half.")
    expect(chat.status).to_have_text("The answer is complete.")
    waits = ("Sending…", "Waiting for the first word…")  # said as far as they last
    assert [text for text in said() if text not in waits] == [
        "Answering…",
        "The answer is complete.",
    ]
    assert chat.page.get_by_role("status").count() == 1
    chat.reload()
    chat.wait_answer("Half and half.")
    frames(chat)
    expect(chat.status).to_have_text("")


def test_what_a_button_did_and_the_end_of_an_answer_are_both_announced(
    chat: ChatPage, stack: Stack
) -> None:
    chat.send(script("both", ["say", "Half "], ["wait", "both"], ["say", "and half."]))
    chat.wait_answer("Half")
    expect(chat.status).to_have_text("Answering…")
    said = watch_status(chat)
    stack.open_gate("both")
    chat.page.evaluate(
        """async () => {
            while (document.querySelector("[role=log]").ariaBusy === "true") await new Promise(requestAnimationFrame);
            document.querySelector(".message.user .copy-buttons button").click();
        }"""
    )
    wait_for(lambda: len(said()) >= 2, "both")
    assert sorted(said()) == ["Copied", "The answer is complete."]


def test_an_error_is_an_alert_when_it_happens_and_not_again(chat: ChatPage) -> None:
    chat.send(script("alert", ["say", "Half "], ["tell", "The oven is cold."]))
    expect(chat.error).to_contain_text("The oven is cold.")
    expect(chat.status).to_have_text("")  # it would be said twice
    chat.wait_kept("model_error")
    chat.reload()
    chat.wait_note("The oven is cold.")
    expect(chat.error).to_have_count(0)


def test_an_error_is_an_alert_also_where_nothing_was_drawn_before_it(chat: ChatPage) -> None:
    chat.page.evaluate(
        """() => {
            const held = [];
            const after = window.setTimeout;
            window.setTimeout = (callback, ms, ...rest) =>
                ms === undefined ? held.push(callback) : after(callback, ms, ...rest);
            window.drawAgain = () => {
                window.setTimeout = after;
                held.forEach((callback) => callback());
            };
        }"""
    )
    chat.composer.fill(script("soon", ["say", "Half "], ["tell", "The oven is cold."]))
    chat.composer.press("Enter")
    wait_for(lambda: "model_error" in str(records(chat, "messages")), "the error")
    assert chat.answers.count() == 0
    chat.page.evaluate("drawAgain()")
    expect(chat.error).to_contain_text("The oven is cold.")


# Memory


def test_a_new_chat_gives_back_what_the_old_one_took(chat: ChatPage) -> None:
    """Pain: the tab is killed on a phone."""
    metrics = chat.page.context.new_cdp_session(chat.page)
    metrics.send("Performance.enable")

    def nodes() -> int:
        metrics.send("HeapProfiler.collectGarbage")
        values = metrics.send("Performance.getMetrics")["metrics"]
        return next(int(value["value"]) for value in values if value["name"] == "Nodes")

    def converse() -> int:
        chat.send(script("memory", ["think", PARAGRAPH * 50], ["say", PARAGRAPH * 200]))
        chat.wait_answer(PARAGRAPH * 200)
        chat.wait_finished()
        grown = nodes()
        chat.button("New chat").click()
        expect(chat.answers).to_have_count(0)
        frames(chat)
        return grown

    grown = converse()
    first = wait_for(lambda: (now := nodes()) < grown - 200 and now, "fewer nodes")
    assert converse() > first + 200
    wait_for(lambda: nodes() < first + 50, f"hardly more than {first} nodes")
