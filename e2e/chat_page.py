"""The chat page as its reader sees it.

Conditions are waited for with Playwright's `expect`. `wait_for_function` is of no use here: it evaluates text, which
the page's policy forbids.
"""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import ConsoleMessage, Locator, Page, Route, expect

from e2e.stack import MODEL, wait_for

TIMEOUT_MS = 30_000
expect.set_options(timeout=TIMEOUT_MS)

# The URLs of the modules: all scripts but the one that runs before the first paint.
MODULES = re.compile(r"/js/(?!chosen_theme\.js$)")

# The text of an element as a reader takes it: whatever separates blocks, and every run of white space, is one space.
# `innerText` would not do: it skips what is off the screen (`content-visibility`).
READ = """(root) => {
    const INLINE = "a, abbr, b, code, del, em, i, s, small, span, strong, sub, sup, u";
    const walk = document.createTreeWalker(root);
    let [text, last] = ["", null];
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
        if (node.nodeName === "BR") text += " ";
        if (!(node instanceof Text)) continue;
        let block = node.parentElement;
        if (block.closest("button, figcaption")) continue;
        while (block !== root && block.matches(INLINE)) block = block.parentElement;
        text += (block === last ? "" : " ") + node.data;
        last = block;
    }
    return text.replace(/\\s+/g, " ").trim();
}"""

# The records of an object store, as they are kept.
RECORDS = """(store) => new Promise((resolve, reject) => {
    const opening = indexedDB.open("burble /");
    opening.onerror = reject;
    opening.onsuccess = () => {
        const reading = opening.result.transaction(store).objectStore(store).getAll();
        reading.onsuccess = () => { opening.result.close(); resolve(reading.result); };
    };
})"""


def as_read(text: str) -> str:
    """Return the text with each run of white space as one space, and none around it."""
    return " ".join(text.split())


class Held:
    """Requests of a tab that are kept back until the test lets them go."""

    def __init__(self, page: Page, url: str | re.Pattern[str]) -> None:
        self._page = page
        self._routes: list[Route] = []
        self._let_go = False
        page.route(url, self._meet)

    def _meet(self, route: Route) -> None:
        if self._let_go:
            route.continue_()
        else:
            self._routes.append(route)

    def wait(self, count: int = 1) -> list[Route]:
        """Wait until the page has made so many; what it says of them may come before. Return all there are."""
        # Playwright hears of requests only while it is asked for something.
        wait_for(lambda: self._page.evaluate("1") and len(self._routes) >= count, "the requests")
        return self._routes

    def let_go(self) -> None:
        """Let all pass, also those that come later."""
        self._let_go = True
        for route in self._routes:
            route.continue_()


class ChatPage:
    """Drives one tab. `faults` collects what no run may show: uncaught errors and violations of the page's policy."""

    def __init__(self, page: Page, url: str) -> None:
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page = page
        self.url = url
        self.faults: list[str] = []
        self.log = page.get_by_role("log")
        self.composer = page.get_by_role("textbox", name="Your message")
        self.think = page.get_by_role("checkbox", name="Think first")
        self.send_button = page.get_by_role("button", name="Send", exact=True)
        self.stop_button = page.get_by_role("button", name="Stop", exact=True)
        self.trouble = page.locator("#trouble")
        self.branches = self.log.get_by_role("group", name="Other versions")
        self.to_end = page.locator("#to-end")
        self.scroller = page.get_by_label("Conversation", exact=True)
        self.status = page.get_by_role("status")
        self.questions = page.locator(".message.user p")
        self.answers = page.locator(".message.answer")
        self.thinking = page.locator("details.thinking")
        self.error = self.log.get_by_role("alert")
        self.outbox = page.get_by_role("region", name="Waiting messages")
        self.waiting = self.outbox.get_by_role("listitem")
        self.refusal = page.locator(".refusal").get_by_role("alert")
        self.editing = page.locator(".editing-note")
        self.help = page.get_by_role("dialog", name="Keys")
        self.key_dialog = page.get_by_role("dialog", name="This server asks for a key")
        self.key = self.key_dialog.get_by_label("Key", exact=True)
        self.key_refused = self.key_dialog.get_by_role("alert")

    def open(self) -> ChatPage:
        """Open the page; return when it has all that it would load once somebody writes."""
        self.page.goto(self.url)
        for module in ("sse.js", "views/conversation.js"):
            self.page.evaluate("(url) => import(url)", f"{self.url}js/{module}")
        self.wait_listening()
        return self

    def reload(self) -> None:
        """Load the page anew; return when it listens."""
        self.page.reload(wait_until="domcontentloaded")
        self.wait_listening()

    def wait_listening(self) -> None:
        """Wait for the last thing that a page does which is loaded: what is pressed before may not be heard."""
        expect(self.page.locator("#message")).to_be_focused()

    def wait_still(self) -> None:
        """Let all that slides or fades come to its end at once; what turns for ever goes on."""
        self.page.evaluate(
            """async () => {
                const moving = () => document.getAnimations().filter(({ effect, playState }) =>
                    playState === "running" && effect.getComputedTiming().endTime < Infinity);
                for (let animations = moving(); animations.length > 0; animations = moving()) {
                    for (const animation of animations) animation.finish();
                    await new Promise(requestAnimationFrame);
                }
            }"""
        )

    def send(self, text: str) -> None:
        """Send with the Enter key; return when the question stands in the conversation."""
        count = self.questions.count()
        self.composer.fill(text)
        self.composer.press("Enter")
        expect(self.questions).to_have_count(count + 1)

    def new_chat(self) -> None:
        """Begin another conversation; return when it is shown."""
        self.button("New chat").click()
        expect(self.questions).to_have_count(0)

    @property
    def address(self) -> str:
        """What the address says of the conversation that is shown: `#/c/<id>`."""
        return "#" + self.page.url.partition("#")[2]

    def log_in(self, key: str) -> None:
        """Give the key that is asked for; return when the page is let in."""
        expect(self.key).to_be_focused()
        self.page.keyboard.type(key)
        self.page.keyboard.press("Enter")
        expect(self.key_dialog).to_have_count(0)

    def go(self, address: str) -> None:
        """Follow a link to a conversation."""
        self.page.evaluate("(address) => { location.hash = address; }", address)

    def stop(self) -> None:
        """Press Stop; return when the page says that it has stopped."""
        self.stop_button.click()
        self.wait_note("Stopped")

    def never_after(self, ms: int) -> None:
        """Let nothing happen that the page does after just so many ms, so that a test may take any time before it."""
        self.page.evaluate(
            """(never) => {
                const after = window.setTimeout;
                window.setTimeout = (callback, ms, ...rest) => (ms === never ? 0 : after(callback, ms, ...rest));
            }""",
            ms,
        )

    def wait_kept(self, text: str) -> None:
        """Wait until this is in what the browser keeps of the messages: it may be on the screen before."""
        wait_for(lambda: text in str(records(self, "messages")), f"{text!r} to be kept")

    def hold(self, url: str | re.Pattern[str]) -> Held:
        """Keep back what the page asks for from now on at this address."""
        return Held(self.page, url)

    def serve_models(self, *models: dict[str, Any]) -> None:
        """Let the page hear of these models, now and later, each as far as it differs from the scripted one."""
        usual = {
            "id": MODEL,
            "name": "Scripted",
            "takes": ["temperature", "top_p", "max_tokens"],
            "thinking": True,
            "system": True,
            "max_prompt_chars": 100_000,
            "context_tokens": None,
        }
        listed = {"models": [usual | model for model in models]}
        self.page.unroute("**/models")
        self.page.route("**/models", lambda route: route.fulfill(json=listed))
        self.page.evaluate(
            "async (url) => (await import(url)).models.reload()", self.url + "js/models.js"
        )

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name)

    @property
    def answer(self) -> Locator:
        """The text of the last answer."""
        return self.answers.last.locator(".answer-text")

    def answer_text(self) -> str:
        """Return the last answer as a reader takes it now, rendered or not; see `as_read`."""
        text: str = self.answer.evaluate(READ)
        return text

    def wait_answer(self, text: str) -> None:
        """Wait until the last answer is exactly this text, once rendered; see `as_read`."""
        self._wait_shown("shown === wanted", as_read(text))

    def wait_longer_than(self, length: int) -> str:
        """Wait until the last answer has more characters (UTF-16 code units) than this; return it as read."""
        return self._wait_shown("shown.length > wanted", length)

    def wait_other_than(self, text: str) -> str:
        """Wait until the last answer is anything but this, as read; return it."""
        return self._wait_shown("shown !== wanted", text)

    def _wait_shown(self, condition: str, wanted: str | int) -> str:
        text: str = self.page.evaluate(
            f"""async ([wanted, timeout]) => {{
                const read = {READ};
                for (const end = Date.now() + timeout;;) {{
                    const root = [...document.querySelectorAll(".answer .answer-text")].at(-1);
                    const shown = root?.matches(":not(.unrendered)") ? read(root) : "";
                    if ({condition}) return shown;
                    if (Date.now() > end) throw new Error(`the answer is ${{JSON.stringify(shown)}}`);
                    await new Promise(requestAnimationFrame);
                }}
            }}""",
            [wanted, TIMEOUT_MS],
        )
        return text

    def wait_waiting(self, text: str) -> None:
        """Wait until the last answer says what it waits for."""
        expect(self.answers.last.locator(".waiting")).to_have_text(text)

    def wait_note(self, text: str) -> None:
        """Wait until a note under the last answer says this."""
        expect(self.answers.last.locator(".note p")).to_contain_text(text)

    def wait_streaming(self) -> None:
        expect(self.log).to_have_attribute("aria-busy", "true")

    def wait_finished(self) -> None:
        """Wait until no answer runs, however the last one ended."""
        expect(self.log).to_have_attribute("aria-busy", "false")
        expect(self.stop_button).to_have_count(0)

    def _heard(self, message: ConsoleMessage) -> None:
        # The browser reports every status from 400 on and every lost connection; tests cause those on purpose.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.faults.append(message.text)


def records(chat: ChatPage, store: str) -> list[dict[str, Any]]:
    """Return what the browser keeps in an object store."""
    kept: list[dict[str, Any]] = chat.page.evaluate(RECORDS, store)
    return kept
