"""The list of conversations: beside the chat or in a drawer, what can be done in it, and how it looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, ViewportSize, expect

from e2e.chat_page import ChatPage
from e2e.conftest import OpenChat
from e2e.scripted_model import script
from e2e.stack import Stack, wait_for
from e2e.test_access import AXE, violations

WIDE: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}

# Puts conversations into the browser's database, as an import does: the newest first, each an hour older than the one
# before it. They are told from those that a test makes by their ids.
SEED = """async (titles) => {
    const at = (path) => new URL(path, document.baseURI);
    const { Store, defaultSettings } = await import(at("js/store.js"));
    const store = new Store(`burble ${new URL(".", document.baseURI).pathname}`);
    await store.open();
    const now = Date.now();
    await store.take(titles.map((title, index) => {
        const id = `seeded-${index}`;
        const time = now - index * 3_600_000;
        const content = title;
        return {
            conversation: {
                id, title, pinned: false, createdAt: time, updatedAt: time, head: `${id}-1`, outbox: [],
                deletedAt: null, settings: defaultSettings(),
            },
            messages: [{ id: `${id}-1`, conversation: id, parent: null, createdAt: time, role: "user", content }],
        };
    }));
    store.close();
}"""

KEPT = """async () => {
    const { Store } = await import(new URL("js/store.js", document.baseURI));
    const store = new Store(`burble ${new URL(".", document.baseURI).pathname}`);
    await store.open();
    const kept = await store.conversations();
    let messages = 0;
    for await (const some of store.allMessages()) messages += some.length;
    store.close();
    return [kept.filter(({ deletedAt }) => deletedAt === null).map(({ title }) => title).sort(), messages];
}"""

OpenAs = Callable[..., ChatPage]


class ListPage:
    """The list in a tab."""

    def __init__(self, chat: ChatPage) -> None:
        self.chat = chat
        self.page = chat.page
        self.root = chat.page.locator("#list")
        self.button = chat.page.locator("#show-list")
        self.drawer = chat.page.get_by_role("dialog", name="Conversations")
        self.items = self.root.get_by_role("listitem")
        self.links = self.items.get_by_role("link")
        self.menu = chat.page.get_by_role("menu")
        self.undo = self.root.get_by_role("button", name="Undo")
        self.shown = self.root.locator("a[aria-current=page]")

    def item(self, title: str) -> Locator:
        return self.items.filter(has_text=title)

    def seed(self, *titles: str) -> None:
        """Have these conversations, the newest first, beside those that are there."""
        before = self.items.count()
        self.page.evaluate(SEED, list(titles))
        expect(self.items).to_have_count(before + min(len(titles), 100))

    def choose(self, title: str, entry: str) -> None:
        """Choose from the menu of a conversation."""
        self.item(title).hover()
        self.item(title).get_by_role("button", name="More").click()
        self.menu.get_by_role("menuitem", name=entry, exact=True).click()

    def wait_kept(self, *titles: str) -> None:
        """Wait until these titles alone are in the database: what is shown is written a moment later."""
        wait_for(lambda: self.kept()[0] == sorted(titles), f"{titles} in the database")

    def kept(self) -> tuple[list[str], int]:
        """Return the titles of what is in the database and not deleted, and the number of all messages."""
        titles, messages = self.page.evaluate(KEPT)
        return titles, messages


@pytest.fixture
def open_as(browser: Browser, stack: Stack) -> Iterator[OpenAs]:
    """Open the page in a browser that has these wishes; the options are those of `new_context`."""
    chats: list[ChatPage] = []

    def open_tab(**wishes: Any) -> ChatPage:
        page = browser.new_context(
            service_workers="block", **{"viewport": WIDE, **wishes}
        ).new_page()
        chats.append(ChatPage(page, stack.url + "/"))
        return chats[-1].open()

    yield open_tab
    for chat in chats:
        chat.page.context.close()
    assert [chat.faults for chat in chats] == [[] for _ in chats]


@pytest.fixture
def wide(open_as: OpenAs) -> ListPage:
    return ListPage(open_as())


@pytest.fixture
def phone(open_as: OpenAs) -> ListPage:
    return ListPage(open_as(viewport=PHONE, has_touch=True, is_mobile=True))


def open_drawer(listed: ListPage) -> None:
    listed.button.click()
    expect(listed.drawer).to_be_visible()


def seed_phone(phone: ListPage, *titles: str) -> None:
    """Have these conversations in the list, and the drawer open."""
    phone.page.evaluate(SEED, list(titles))
    open_drawer(phone)
    expect(phone.items).to_have_count(len(titles))


# Where it stands


def test_a_conversation_is_listed_when_it_begins_and_is_gone_back_to(wide: ListPage) -> None:
    wide.page.clock.install(time=datetime.now().replace(hour=12))  # no day ends meanwhile
    expect(wide.root.get_by_text("What you write is kept in this browser")).to_be_visible()
    expect(wide.root.get_by_role("button", name="Delete all")).to_be_hidden()
    wide.chat.send("First of all")
    expect(wide.shown).to_have_text("First of all")
    expect(wide.root.get_by_text("What you write is kept in this browser")).to_be_hidden()
    wide.chat.wait_finished()
    wide.chat.button("New chat").click()
    expect(wide.shown).to_have_count(0)
    wide.chat.send("And then")
    expect(wide.links).to_have_text(["And then", "First of all"])
    expect(wide.root.get_by_role("heading")).to_have_text(["Today"])
    wide.item("First of all").get_by_role("link").click()
    expect(wide.chat.questions).to_have_text("First of all")
    expect(wide.shown).to_have_text("First of all")
    wide.page.go_back()
    expect(wide.shown).to_have_text("And then")


def test_it_is_hidden_and_shown_and_that_is_kept(wide: ListPage) -> None:
    wide.button.click()
    expect(wide.root).to_be_hidden()
    expect(wide.button).to_have_attribute("aria-expanded", "false")
    expect(wide.button).to_be_focused()
    wide.page.route("**/js/main.js", lambda route: None)
    wide.page.reload(wait_until="commit")
    expect(wide.chat.composer).to_be_visible()
    expect(wide.root).to_be_hidden()  # from the first paint on
    wide.page.unroute("**/js/main.js")
    wide.chat.reload()
    wide.page.evaluate(SEED, ["One"])
    expect(wide.button).to_have_attribute("aria-expanded", "false")
    wide.button.click()
    expect(wide.root).to_be_visible()
    expect(wide.button).to_have_attribute("aria-expanded", "true")
    wide.chat.reload()
    expect(wide.root).to_be_visible()


def test_on_a_phone_it_is_a_drawer(phone: ListPage) -> None:
    expect(phone.root).to_be_hidden()
    seed_phone(phone, "One", "Two")
    assert phone.drawer.evaluate("e => e.contains(document.activeElement)")
    # What lies behind is out of reach.
    phone.chat.composer.evaluate("e => e.focus()")
    assert phone.drawer.evaluate("e => e.contains(document.activeElement)")
    phone.page.keyboard.press("Escape")
    expect(phone.drawer).to_be_hidden()
    expect(phone.button).to_be_focused()
    expect(phone.button).to_have_attribute("aria-expanded", "false")
    open_drawer(phone)
    phone.page.touchscreen.tap(380, 400)  # beside it
    expect(phone.drawer).to_be_hidden()
    open_drawer(phone)
    phone.root.get_by_role("button", name="Close").click()
    expect(phone.drawer).to_be_hidden()
    open_drawer(phone)
    phone.item("Two").get_by_role("link").click()
    expect(phone.drawer).to_be_hidden()
    expect(phone.chat.questions).to_have_text("Two")
    expect(phone.chat.scroller).to_be_focused()  # in the composer, it would bring up the keyboard
    open_drawer(phone)
    expect(phone.shown).to_have_text("Two")
    phone.shown.click()
    expect(phone.drawer).to_be_hidden()
    open_drawer(phone)
    phone.root.get_by_role("link", name="New chat").click()
    expect(phone.drawer).to_be_hidden()
    expect(phone.chat.questions).to_have_count(0)
    expect(phone.chat.composer).to_be_focused()


def test_escape_closes_the_drawer_and_stops_no_answer(phone: ListPage) -> None:
    phone.chat.composer.fill(script("drawer", ["say", "Well. "], ["wait", "never"]))
    phone.chat.send_button.click()
    phone.chat.wait_answer("Well. ")
    open_drawer(phone)
    phone.items.get_by_role("button", name="More").click()
    expect(phone.menu).to_be_visible()
    for closed in (phone.menu, phone.drawer):
        phone.page.keyboard.press("Escape")
        expect(closed).to_be_hidden()
        expect(phone.drawer).to_have_count(1 if closed is phone.menu else 0)
    expect(phone.chat.stop_button).to_be_visible()
    phone.chat.stop()


def test_a_window_that_becomes_wide_has_it_beside_the_chat(phone: ListPage) -> None:
    seed_phone(phone, "One")
    phone.page.set_viewport_size(WIDE)
    expect(phone.drawer).to_be_hidden()
    expect(phone.item("One")).to_be_visible()
    phone.chat.composer.click()
    expect(phone.button).to_have_attribute("aria-expanded", "true")
    phone.page.set_viewport_size(PHONE)
    expect(phone.root).to_be_hidden()
    expect(phone.button).to_have_attribute("aria-expanded", "false")


def test_an_empty_page_loads_nothing_of_what_it_shows(open_chat: OpenChat, stack: Stack) -> None:
    chat = open_chat(stack.url)
    chat.page.wait_for_load_state("networkidle")
    loaded: list[str] = chat.page.evaluate(
        "performance.getEntriesByType('resource').map(({ name }) => name)"
    )
    assert not [name for name in loaded if "/list" in name or "list.css" in name]


@pytest.mark.parametrize("lost", ["js/views/list.js", "styles/list.css"])
def test_what_does_not_arrive_is_asked_for_again(lost: str, wide: ListPage) -> None:
    failures = []

    def fail_once(route: Any) -> None:
        failures.append(route)
        route.abort() if len(failures) == 1 else route.continue_()

    wide.page.route(f"**/{lost}", fail_once)
    wide.chat.send("hello")
    expect(wide.links).to_have_text("hello")
    assert len(failures) == 2
    assert wide.items.evaluate("e => getComputedStyle(e).listStyleType") == "none"


# What can be done


def test_a_conversation_that_runs_in_the_background_is_marked(wide: ListPage, stack: Stack) -> None:
    wide.chat.send(script("background", ["say", "Well. "], ["wait", "list"], ["say", "So."]))
    wide.chat.wait_answer("Well. ")
    wide.chat.button("New chat").click()
    running = wide.links.get_by_text("An answer is being written")
    expect(running).to_have_count(1)
    expect(wide.items.locator(".running")).to_be_visible()
    stack.open_gate("list")
    expect(wide.items.locator(".running")).to_have_count(0)


def test_a_menu_stays_open_while_an_answer_scrolls_and_goes_when_the_list_does(
    wide: ListPage, stack: Stack
) -> None:
    wide.seed(*(f"Title {index}" for index in range(60)))
    wide.chat.send(
        script("grows", ["say", "Well.\n\n"], ["wait", "grows"], ["say", "So.\n\n" * 99])
    )
    wide.chat.wait_answer("Well.")
    wide.items.first.hover()
    wide.items.first.get_by_role("button", name="More").click()
    expect(wide.menu).to_be_visible()
    stack.open_gate("grows")
    wide.chat.wait_finished()
    scrolled = (
        "async (e) => { while (e.scrollTop === 0) await new Promise(requestAnimationFrame); }"
    )
    wide.chat.scroller.evaluate(scrolled)
    # The event comes with the next frame.
    wide.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    expect(wide.menu).to_be_visible()
    wide.root.locator(".items").evaluate("e => e.scrollBy(0, 50)")
    expect(wide.menu).to_be_hidden()


def test_a_title_is_changed_in_its_place(wide: ListPage, stack: Stack) -> None:
    wide.seed("One", "Two")
    wide.choose("Two", "Rename")
    title = wide.root.get_by_role("textbox", name="Title")
    expect(title).to_be_focused()
    wide.page.keyboard.type("Zwei")
    wide.page.keyboard.press("Enter")
    expect(wide.links).to_have_text(["One", "Zwei"])
    expect(wide.item("Zwei").get_by_role("button")).to_be_focused()
    expect(wide.chat.status).to_have_text("Renamed: Zwei")
    wide.choose("One", "Rename")
    title.fill("Uno")
    wide.page.keyboard.press("Escape")
    expect(wide.links).to_have_text(["One", "Zwei"])
    wide.choose("One", "Rename")
    title.fill("Eins")
    wide.chat.composer.click()
    expect(wide.links).to_have_text(["Eins", "Zwei"])
    expect(wide.chat.composer).to_be_focused()
    wide.wait_kept("Eins", "Zwei")
    wide.chat.reload()
    expect(wide.links).to_have_text(["Eins", "Zwei"])


def test_a_pinned_conversation_stands_first_in_every_tab(
    wide: ListPage, open_chat: OpenChat, stack: Stack
) -> None:
    wide.seed("One", "Two", "Three")
    other = ListPage(open_chat(stack.url, in_context=wide.page.context))
    expect(other.items).to_have_count(3)
    wide.choose("Three", "Pin")
    for listed in (wide, other):
        expect(listed.root.get_by_role("heading").first).to_have_text("Pinned")
        expect(listed.links).to_have_text(["Three", "One", "Two"])
    other.choose("Three", "Unpin")
    for listed in (wide, other):
        expect(listed.links).to_have_text(["One", "Two", "Three"])


def test_a_conversation_is_deleted_and_brought_back(wide: ListPage) -> None:
    wide.seed("One", "Two", "Three")
    wide.item("Two").get_by_role("link").click()
    expect(wide.chat.questions).to_have_text("Two")
    wide.choose("Two", "Delete")
    expect(wide.undo).to_be_focused()
    wide.undo.hover()  # so that it stays
    expect(wide.items).to_have_count(2)
    expect(wide.chat.status).to_have_text("Deleted: Two")
    expect(wide.chat.questions).to_have_count(0)
    assert wide.page.url.endswith("#/")
    wide.page.keyboard.press("Enter")
    expect(wide.links).to_have_text(["One", "Two", "Three"])
    expect(wide.chat.questions).to_have_text("Two")
    expect(wide.undo).to_be_hidden()
    wide.choose("One", "Delete")
    expect(wide.items).to_have_count(2)
    expect(wide.chat.questions).to_have_text("Two")
    wide.wait_kept("Two", "Three")
    wide.chat.reload()
    expect(wide.links).to_have_text(["Two", "Three"])


def test_several_that_are_deleted_in_a_row_are_brought_back_together(wide: ListPage) -> None:
    wide.seed("One", "Two", "Three")
    wide.choose("One", "Delete")
    wide.choose("Three", "Delete")
    expect(wide.items).to_have_count(1)
    expect(wide.chat.status).to_have_text("Deleted: 2 conversations")
    wide.undo.click()
    expect(wide.links).to_have_text(["One", "Two", "Three"])


def test_undo_is_offered_for_some_seconds_and_longer_to_who_is_there(wide: ListPage) -> None:
    wide.page.clock.install()
    wide.seed("One", "Two", "Three")
    # The clock stands still meanwhile, however long all that takes.
    wide.page.clock.pause_at(wide.page.evaluate("Date.now()") / 1000 + 60)
    wide.choose("One", "Delete")
    expect(wide.undo).to_be_visible()
    wide.page.mouse.move(900, 400)
    wide.page.clock.run_for(11_000)
    expect(wide.undo).to_be_visible()
    wide.page.clock.run_for(2000)
    expect(wide.undo).to_be_hidden()
    wide.page.clock.resume()
    wide.item("Two").get_by_role("button").focus()
    for key in ("Enter", "End", "Enter"):
        wide.page.keyboard.press(key)
    expect(wide.undo).to_be_focused()
    wide.page.clock.run_for(60_000)
    expect(wide.undo).to_be_visible()


def test_all_are_deleted_after_a_question(wide: ListPage) -> None:
    wide.seed(*(f"Title {index}" for index in range(127)))
    wide.root.get_by_role("button", name="Delete all").click()
    question = wide.page.get_by_role("alertdialog", name="Delete all conversations?")
    expect(question).to_contain_text(
        "127 conversations with all their messages, in this browser. This cannot be undone."
    )
    expect(question.get_by_role("button", name="Cancel")).to_be_focused()
    wide.page.keyboard.press("Escape")
    expect(question).to_have_count(0)
    expect(wide.root.get_by_role("button", name="Delete all")).to_be_focused()
    assert len(wide.kept()[0]) == 127
    wide.page.keyboard.press("Enter")
    question.get_by_role("button", name="Delete all").click()
    expect(wide.items).to_have_count(0)
    expect(wide.chat.status).to_have_text("Deleted: 127 conversations")
    expect(wide.root.get_by_text("What you write is kept in this browser")).to_be_visible()
    assert wide.kept() == ([], 0)
    assert wide.page.evaluate("document.activeElement !== document.body")


def test_what_is_said_is_heard_in_the_drawer_too(phone: ListPage) -> None:
    seed_phone(phone, "One", "Two")
    phone.choose("One", "Delete")
    expect(phone.drawer.get_by_role("status")).to_have_text("Deleted: One")
    phone.page.keyboard.press("Escape")
    expect(phone.drawer).to_be_hidden()
    expect(phone.page.locator("footer [role=status]")).to_have_count(1)


def test_what_had_the_focus_is_not_lost_when_another_tab_deletes_it(
    wide: ListPage, open_chat: OpenChat, stack: Stack
) -> None:
    wide.seed("One", "Two")
    other = ListPage(open_chat(stack.url, in_context=wide.page.context))
    other.item("Two").get_by_role("link").focus()
    wide.choose("Two", "Delete")
    expect(other.links).to_have_text(["One"])
    expect(other.links).to_be_focused()


# Five thousand


@pytest.mark.long
def test_five_thousand_are_shown_at_once(wide: ListPage) -> None:
    wide.seed(*(f"Title {index}" for index in range(5000)))
    # A script may hold back the page for no longer than what is felt (RAIL): 100 ms; this machine may be slow, and what
    # else it does makes some tries longer, and none shorter.
    assert any(longest_of_drawing_more(wide) < 400 for _ in range(5))


def longest_of_drawing_more(wide: ListPage) -> float:
    """Load the page, and scroll until 600 are drawn; return for how long the page was busy at most, in ms."""
    wide.chat.reload()
    expect(wide.items).to_have_count(100)
    longest: float = wide.page.evaluate(
        """async () => {
            const scroller = document.querySelector(".items");
            let longest = 0;
            new PerformanceObserver((list) => {
                for (const { duration } of list.getEntries()) longest = Math.max(longest, duration);
            }).observe({ type: "longtask" });
            while (scroller.querySelectorAll("li").length < 600) {
                scroller.scrollTop = scroller.scrollHeight;
                await new Promise(requestAnimationFrame);
            }
            await new Promise((resolve) => setTimeout(resolve, 100));
            return longest;
        }"""
    )
    return longest


# How it looks


@pytest.mark.parametrize(("width", "height"), [(320, 480), (640, 400), (390, 844)])
@pytest.mark.parametrize("locale", ["en", "ar"])
def test_the_drawer_fits(width: int, height: int, locale: str, open_as: OpenAs) -> None:
    listed = ListPage(open_as(viewport={"width": width, "height": height}, locale=locale))
    listed.page.evaluate(SEED, ["word " * 60, "مرحبًا " * 60])
    listed.button.click()
    expect(listed.items).to_have_count(2)
    listed.chat.wait_still()  # it slides in
    left, right = listed.root.evaluate(
        "e => [e.getBoundingClientRect().left, innerWidth - e.getBoundingClientRect().right]"
    )
    assert (right if locale == "ar" else left) == 0
    assert (left if locale == "ar" else right) >= 48
    for selector in ("html", "#list", "#list .items"):
        wider = listed.page.locator(selector).evaluate("e => e.scrollWidth - e.clientWidth")
        assert wider == 0, selector
    for button in listed.root.locator("footer button").all():
        expect(button).to_be_in_viewport(ratio=1)
    listed.items.first.hover()
    listed.items.first.locator(".more").click()
    expect(listed.menu).to_be_visible()
    for entry in listed.menu.get_by_role("menuitem").all():
        expect(entry).to_be_in_viewport(ratio=1)


def test_on_touch_everything_is_large_enough(phone: ListPage) -> None:
    seed_phone(phone, "One", "Two")
    phone.items.first.get_by_role("button").click()
    expect(phone.menu).to_be_visible()
    controls = phone.page.locator("#list a:visible, #list button:visible, #show-list")
    assert controls.count() >= 12
    for control in controls.all():
        box = control.bounding_box()
        assert box
        assert min(box["width"], box["height"]) >= 44, control.evaluate("e => e.outerHTML")


def test_nothing_of_the_drawer_lies_under_what_a_phone_has_in_its_screen(phone: ListPage) -> None:
    insets = {"top": 59, "right": 30, "bottom": 34, "left": 30}
    screen = phone.page.context.new_cdp_session(phone.page)
    screen.send("Emulation.setSafeAreaInsetsOverride", {"insets": insets})
    seed_phone(phone, "One")
    phone.chat.wait_still()  # it slides in
    for control in phone.root.locator("a:visible, button:visible").all():
        box = control.bounding_box()
        assert box
        assert box["x"] >= insets["left"]
        assert box["y"] >= insets["top"]
        assert box["y"] + box["height"] <= PHONE["height"] - insets["bottom"]


def test_it_is_not_printed(wide: ListPage) -> None:
    wide.seed("One")
    wide.page.emulate_media(media="print")
    expect(wide.root).to_be_hidden()
    expect(wide.button).to_be_hidden()


def test_forced_colours_show_which_conversation_is_shown(open_as: OpenAs) -> None:
    listed = ListPage(open_as(forced_colors="active"))
    listed.seed("One", "Two")
    listed.item("One").get_by_role("link").click()
    expect(listed.shown).to_have_text("One")
    style = "e => getComputedStyle(e).outlineStyle"
    assert listed.shown.evaluate(style) == "solid"
    assert listed.item("Two").get_by_role("link").evaluate(style) == "none"


@pytest.mark.parametrize(
    ("seen", "locale"),
    [
        ("light 1280", "en"),
        ("dark 390", "ar"),
        pytest.param("light 1280", "ar", marks=pytest.mark.long),
        pytest.param("dark 390", "en", marks=pytest.mark.long),
    ],
)
def test_the_checker_of_accessibility_finds_nothing(
    seen: str, locale: str, browser: Browser, stack: Stack
) -> None:
    scheme, width = seen.split()
    wishes: dict[str, Any] = {
        "color_scheme": scheme,
        "viewport": {"width": int(width), "height": 800},
        "locale": locale,
    }
    # Without the policy: the checker itself is a foreign script.
    context = browser.new_context(bypass_csp=True, **wishes)
    listed = ListPage(ChatPage(context.new_page(), stack.url + "/").open())
    listed.page.evaluate(AXE)

    def check() -> None:
        assert violations(listed.chat) == []

    if width == "390":
        listed.button.click()
        expect(listed.root).to_be_visible()
    check()  # empty
    listed.page.evaluate(SEED, ["One", "Two " * 30, "ثلاثة"])
    expect(listed.items).to_have_count(3)
    check()
    listed.items.first.hover()
    listed.items.first.locator(".more").click()
    expect(listed.menu).to_be_visible()
    check()  # the menu
    listed.menu.get_by_role("menuitem").first.click()
    expect(listed.root.get_by_role("textbox")).to_be_focused()
    check()
    listed.page.keyboard.press("Escape")
    listed.page.keyboard.press("Enter")
    listed.menu.get_by_role("menuitem").last.click()
    expect(listed.items).to_have_count(2)
    check()  # undo
    listed.root.locator(".delete-all").click()
    expect(listed.page.get_by_role("alertdialog")).to_be_visible()
    check()
    context.close()
