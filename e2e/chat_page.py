"""The chat page as its reader sees it.

Conditions are waited for with Playwright's `expect`. `wait_for_function` is of no use here: it evaluates text, which
the page's policy forbids.
"""

from __future__ import annotations

from playwright.sync_api import ConsoleMessage, Locator, Page, expect

TIMEOUT_MS = 30_000


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
        self.to_end = page.get_by_role("button", name="To the end")
        self.scroller = page.get_by_label("Conversation")
        self.status = page.get_by_role("status")
        self.questions = page.locator(".message.user p")
        self.answers = page.locator(".message.answer")
        self.thinking = page.locator("details.thinking")
        self.error = self.log.get_by_role("alert")

    def open(self) -> ChatPage:
        self.page.goto(self.url)
        return self

    def reload(self) -> None:
        self.page.reload(wait_until="domcontentloaded")

    def send(self, text: str) -> None:
        """Send with the Enter key; return when the question stands in the conversation."""
        count = self.questions.count()
        self.composer.fill(text)
        self.composer.press("Enter")
        expect(self.questions).to_have_count(count + 1)

    def stop(self) -> None:
        """Press Stop; return when the page says that it has stopped."""
        self.stop_button.click()
        self.wait_note("Stopped")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name)

    @property
    def answer(self) -> Locator:
        """The text of the last answer."""
        return self.answers.last.locator(".answer-text")

    def answer_text(self) -> str:
        """Return the last answer exactly as it stands there."""
        return self.answer.text_content() or ""

    def wait_answer(self, text: str) -> None:
        """Wait until the last answer is exactly this text, white space included."""
        self.page.evaluate(
            """async ([text, timeout]) => {
                const shown = () => [...document.querySelectorAll(".answer .answer-text")].at(-1)?.textContent;
                for (const end = Date.now() + timeout; shown() !== text;) {
                    if (Date.now() > end) throw new Error(`the answer is ${JSON.stringify(shown())}`);
                    await new Promise(requestAnimationFrame);
                }
            }""",
            [text, TIMEOUT_MS],
        )

    def wait_longer_than(self, length: int) -> str:
        """Wait until the last answer has more characters (UTF-16 code units) than this; return it."""
        text: str = self.page.evaluate(
            """async ([length, timeout]) => {
                const shown = () => [...document.querySelectorAll(".answer .answer-text")].at(-1)?.textContent ?? "";
                for (const end = Date.now() + timeout; shown().length <= length;) {
                    if (Date.now() > end) throw new Error(`the answer is ${JSON.stringify(shown())}`);
                    await new Promise(requestAnimationFrame);
                }
                return shown();
            }""",
            [length, TIMEOUT_MS],
        )
        return text

    def wait_waiting(self, text: str) -> None:
        """Wait until the last answer says what it waits for."""
        expect(self.answers.last.locator(".waiting")).to_have_text(text, timeout=TIMEOUT_MS)

    def wait_note(self, text: str) -> None:
        """Wait until a note under the last answer says this."""
        expect(self.answers.last.locator(".note p")).to_contain_text(text, timeout=TIMEOUT_MS)

    def wait_streaming(self) -> None:
        expect(self.log).to_have_attribute("aria-busy", "true")

    def wait_finished(self) -> None:
        """Wait until no answer runs, however the last one ended."""
        expect(self.log).to_have_attribute("aria-busy", "false", timeout=TIMEOUT_MS)
        expect(self.stop_button).to_have_count(0)

    def _heard(self, message: ConsoleMessage) -> None:
        # The browser reports every status from 400 on and every lost connection; tests cause those on purpose.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.faults.append(message.text)
