"""How the page looks to those who asked their browser for something: a theme, contrast, colours, size, paper."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from e2e.chat_page import MODULES, ChatPage
from e2e.scripted_model import script
from e2e.stack import Stack, wait_for
from e2e.test_first_load import FIRST_PAINT
from e2e.test_reading import frames

LONG_ANSWER = Path(__file__).parent.parent / "frontend" / "tests" / "long_answer.md"
PAPER = "getComputedStyle(document.documentElement).backgroundColor"
LIGHT, DARK = "rgb(248, 247, 243)", "rgb(18, 24, 25)"
# How far an element is from each side of the window.
ROOM = """(e) => {
    const { top, right, bottom, left } = e.getBoundingClientRect();
    return { top, right: innerWidth - right, bottom: innerHeight - bottom, left };
}"""

OpenAs = Callable[..., ChatPage]


@pytest.fixture
def open_as(browser: Browser, stack: Stack) -> Iterator[OpenAs]:
    """Open the page in a browser that has these wishes; the options are those of `new_context`."""
    chats: list[ChatPage] = []

    def open_tab(**wishes: Any) -> ChatPage:
        page = browser.new_context(service_workers="block", **wishes).new_page()
        chats.append(ChatPage(page, stack.url + "/"))
        return chats[-1].open()

    yield open_tab
    for chat in chats:
        chat.page.context.close()
    assert [chat.faults for chat in chats] == [[] for _ in chats]


def style(element: Locator, name: str, pseudo: str | None = None) -> str:
    value: str = element.evaluate(
        "(e, [name, pseudo]) => getComputedStyle(e, pseudo).getPropertyValue(name)", [name, pseudo]
    )
    return value


# Themes


def test_the_theme_is_the_systems_until_the_reader_chooses(open_as: OpenAs) -> None:
    chat = open_as(color_scheme="dark")
    assert chat.page.evaluate(PAPER) == DARK
    chat.button("Theme: like the system").click()
    assert chat.page.evaluate(PAPER) == LIGHT
    expect(chat.status).to_have_text("Theme: light")
    chat.reload()
    expect(chat.button("Theme: light")).to_be_visible()
    assert chat.page.evaluate(PAPER) == LIGHT
    chat.button("Theme: light").click()
    chat.page.emulate_media(color_scheme="light")
    assert chat.page.evaluate(PAPER) == DARK
    chat.button("Theme: dark").click()
    assert chat.page.evaluate(PAPER) == LIGHT
    chat.page.emulate_media(color_scheme="dark")
    assert chat.page.evaluate(PAPER) == DARK


def test_the_chosen_theme_is_there_before_the_modules(open_as: OpenAs) -> None:
    chat = open_as(color_scheme="light")
    chat.page.evaluate("localStorage['burble theme /'] = 'dark'")
    chat.page.route(MODULES, lambda route: None)
    chat.page.goto(chat.url, wait_until="commit")
    assert chat.page.evaluate(FIRST_PAINT) > 0  # it is not without its style sheets
    expect(chat.composer).to_be_visible()
    assert chat.page.evaluate(PAPER) == DARK


def test_the_browsers_own_bar_takes_the_theme(open_as: OpenAs) -> None:
    chat = open_as(color_scheme="light")
    bar = """[...document.querySelectorAll("meta[name=theme-color]")]
        .find(({ media }) => matchMedia(media).matches).content"""
    assert chat.page.evaluate(bar) == "#f8f7f3"
    chat.button("Theme").click()
    chat.button("Theme: light").click()
    assert chat.page.evaluate(bar) == "#121819"


def test_a_browser_that_keeps_nothing_has_themes_all_the_same(open_as: OpenAs) -> None:
    chat = open_as(color_scheme="dark")
    chat.page.add_init_script(
        """Object.defineProperty(window, "localStorage", {
            get() { throw new DOMException("no", "SecurityError"); },
        });"""
    )
    chat.reload()
    chat.button("Theme: like the system").click()
    assert chat.page.evaluate(PAPER) == LIGHT


# Wishes


def test_more_contrast(open_as: OpenAs) -> None:
    chat = open_as(contrast="more", color_scheme="light")
    hint = chat.page.locator(".suggestions span").first
    assert style(hint, "color") == style(chat.page.locator("html"), "color")
    assert style(chat.send_button, "opacity") == "1"


def test_forced_colours_show_what_backgrounds_said(open_as: OpenAs) -> None:
    chat = open_as(forced_colors="active")
    toggle = chat.page.locator(".toggle span")
    before = style(toggle, "background-color")
    chat.think.check()
    wait_for(lambda: style(toggle, "background-color") != before, "another colour")
    chat.send(script("forced", ["say", "text"], ["wait", "never"]))
    chat.wait_answer("text")
    caret = chat.answer.locator("p")
    assert style(caret, "background-color", "::after") == style(caret, "color")
    assert style(chat.questions.last, "border-top-style") == "solid"
    assert style(chat.stop_button, "border-top-style") == "solid"
    chat.stop()


def test_the_welcome_is_read_from_its_beginning(open_as: OpenAs) -> None:
    chat = open_as(viewport={"width": 320, "height": 400})
    expect(chat.composer).to_be_focused()
    expect(chat.page.get_by_role("heading", level=2)).to_be_in_viewport(ratio=1)
    expect(chat.to_end).to_be_hidden()


@pytest.mark.parametrize("size", [(640, 400), (320, 256)])
def test_zoomed_in_all_can_be_reached(size: tuple[int, int], open_as: OpenAs) -> None:
    """A window of 1280 × 800 at 200 %, and of 1280 × 1024 at 400 % (WCAG 1.4.10)."""
    width, height = size
    chat = open_as(viewport={"width": width, "height": height}, device_scale_factor=2)
    chat.send(script(f"zoomed-{width}", ["say", LONG_ANSWER.read_text()]))
    expect(chat.answer.locator(".md-footnotes")).to_be_visible()
    chat.wait_finished()
    for selector in ("html", "#scroller"):
        wider = chat.page.locator(selector).evaluate("e => e.scrollWidth - e.clientWidth")
        assert wider == 0, selector
    for control in (chat.composer, chat.send_button, chat.button("Keys"), chat.button("New chat")):
        expect(control).to_be_in_viewport(ratio=1)
    assert chat.scroller.evaluate("e => e.clientHeight") >= 40
    assert chat.page.locator(".top").evaluate("e => e.clientHeight") <= 62  # in one line


def test_on_a_phone_nothing_is_zoomed_in_on(open_as: OpenAs) -> None:
    """Safari zooms in on a field whose text is smaller than 16 pixels."""
    chat = open_as(viewport={"width": 390, "height": 844})
    assert float(style(chat.composer, "font-size").removesuffix("px")) >= 16


@pytest.mark.parametrize(
    ("size", "insets"),
    [
        ((390, 844), {"top": 59, "right": 0, "bottom": 34, "left": 0}),
        ((844, 390), {"top": 0, "right": 59, "bottom": 21, "left": 59}),
    ],
    ids=["upright", "on its side"],
)
def test_nothing_lies_under_what_a_phone_has_in_its_screen(
    size: tuple[int, int], insets: dict[str, int], open_as: OpenAs
) -> None:
    """The notch, the round corners and the bar at the bottom."""
    chat = open_as(viewport={"width": size[0], "height": size[1]})
    chat.send("hello")
    chat.wait_finished()
    screen = chat.page.context.new_cdp_session(chat.page)
    screen.send("Emulation.setSafeAreaInsetsOverride", {"insets": insets})
    bars = chat.page.locator(
        ".top h1, .top button:visible, #composer, #composer button:visible"
    ).all()
    assert len(bars) >= 7
    for element in bars:
        room = element.evaluate(ROOM)
        assert all(room[side] >= inset for side, inset in insets.items()), (element, room)
    for text in (chat.questions, chat.answer):
        room = text.evaluate(ROOM)
        assert room["left"] >= insets["left"]
        assert room["right"] >= insets["right"]


def test_the_page_is_as_high_as_what_is_seen_of_it(open_as: OpenAs) -> None:
    """Pain: the composer is covered by a phone's keyboard, or by the browser's own bars."""
    chat = open_as(viewport={"width": 390, "height": 844})
    # As `js/views/keyboard.js` tells where the keyboard lies over the page.
    covered = "document.documentElement.style.setProperty('--covered', '200px')"
    chat.page.evaluate(covered)
    assert 200 <= chat.page.locator("#composer").evaluate(ROOM)["bottom"] < 220
    chat.page.evaluate(covered.replace("200px", "0px"))
    for height in (844, 500):
        chat.page.set_viewport_size({"width": 390, "height": height})
        expect(chat.page.locator("body")).to_have_js_property("offsetHeight", height)
        assert 0 <= chat.page.locator("#composer").evaluate(ROOM)["bottom"] < 20
    # No browser on a desk has bars that come and go, to which alone `dvh` differs from `vh`.
    heights = chat.page.evaluate(
        """() => {
            const within = ({ cssRules = [] }) => [...cssRules].flatMap((rule) => [rule, ...within(rule)]);
            const rules = [...document.styleSheets].flatMap(within);
            return rules.flatMap(({ selectorText, style }) => (selectorText === "body" && style.blockSize) || []);
        }"""
    )
    assert len(heights) == 1
    assert "100dvh" in heights[0]


def test_the_keys_are_read_from_the_beginning(open_as: OpenAs) -> None:
    chat = open_as(viewport={"width": 320, "height": 400})
    chat.button("Keys").click()
    expect(chat.help.get_by_role("heading")).to_be_in_viewport(ratio=1)
    chat.page.keyboard.press("Tab")
    expect(chat.help.get_by_role("button")).to_be_focused()


# Whether a picture has pixels of another hue than grey.
IS_COLOURED = """async (png) => {
    const bytes = Uint8Array.from(atob(png), (character) => character.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
    canvas.drawImage(image, 0, 0);
    const { data } = canvas.getImageData(0, 0, image.width, image.height);
    for (let at = 0; at < data.length; at += 4) {
        const pixel = data.subarray(at, at + 3);
        if (Math.max(...pixel) - Math.min(...pixel) > 40) return true;
    }
    return false;
}"""


@pytest.mark.parametrize("forced", [True, False])
def test_code_is_plain_where_colours_are_forced(forced: bool, open_as: OpenAs) -> None:
    chat = open_as(forced_colors="active" if forced else "none", color_scheme="light")
    chat.send(script(f"forced-{forced}", ["say", '```python\ndef name():\n    return "text"\n```']))
    chat.wait_finished()
    code = chat.answer.locator("code")
    chat.page.mouse.move(0, 0)

    def is_coloured() -> bool:
        picture = base64.b64encode(code.screenshot()).decode()
        return bool(chat.page.evaluate(IS_COLOURED, picture))

    if forced:
        expect(code).to_be_visible()
        frames(chat)
        assert not is_coloured()
    else:
        wait_for(is_coloured, "colours")


# The caret


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("A *paragraph*", "p"),
        ("- an\n- item", "li:last-child"),
        ("1. an\n   - item\n   - inside", "li li:last-child"),
        ("- loose\n\n- item\n\n  more", "li:last-child > p:last-child"),
        ("> quoted\n>\n> text", "blockquote > p:last-child"),
        ("First\n\n```python\nx = 1\ny", ".md-lines"),
        ("## heading", "h2"),
    ],
)
def test_the_caret_is_at_the_end_of_the_text(text: str, place: str, open_as: OpenAs) -> None:
    chat = open_as()
    chat.send(script("caret", ["say", text], ["wait", "never"]))
    expect(chat.answer.locator(place)).to_be_visible()
    carets = """root => [...root.querySelectorAll("*")].filter((e) => getComputedStyle(e, "::after").content !== "none")
        .map((e) => e.matches(WHERE))"""
    where = f'".answer-text {place}"'
    assert chat.answer.evaluate(carets.replace("WHERE", where)) == [True]
    chat.stop()
    assert chat.answer.evaluate(carets.replace("WHERE", where)) == []


# Paper


def test_all_of_the_conversation_is_printed_and_nothing_to_press(open_as: OpenAs) -> None:
    chat = open_as(color_scheme="dark", viewport={"width": 800, "height": 600})
    chat.send(script("printed", ["say", LONG_ANSWER.read_text()]))
    expect(chat.answer.locator(".md-footnotes")).to_be_visible()
    chat.page.emulate_media(media="print")
    for selector in ("body", "#scroller"):
        assert style(chat.page.locator(selector), "overflow") == "visible"
    end = chat.answer.evaluate("e => e.getBoundingClientRect().bottom + scrollY")
    assert 2000 < end <= chat.page.evaluate("document.documentElement.scrollHeight")
    expect(chat.page.get_by_role("button")).to_have_count(0)
    expect(chat.composer).to_be_hidden()
    assert chat.page.evaluate("getComputedStyle(document.body).color") == "rgb(29, 39, 38)"


# Lists


def test_a_mark_has_its_room_on_the_side_where_its_item_begins(open_as: OpenAs) -> None:
    chat = open_as()
    chat.send(script("marks", ["say", "- an item\n- عنصر"]))
    items = chat.answer.locator("li")
    expect(items).to_have_count(2)
    room = "e => { const { marginLeft, marginRight } = getComputedStyle(e); return [marginLeft, marginRight]; }"
    left, right = (items.nth(index).evaluate(room) for index in (0, 1))
    assert left == right[::-1]
    assert left[1] == "0px" != left[0]
