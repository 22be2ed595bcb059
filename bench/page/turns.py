"""The real page at the real stack: how long after an answer's last token its last section is on the screen."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from backend.models import simulated
from bench.contenders import BURBLE, serve
from bench.page import answer
from bench.page.tab import Tab, open_tab
from e2e.chat_page import ChatPage

TOKENS = 2681
TOKENS_PER_S = 100
TIMEOUT_S = 120
LAST = "This is the last section."

# The browser's network service notes when the response ended, whatever the page is busy with, and tells the page; both
# times are of one clock. What a frame has drawn is on the screen once the next one begins. Before the end nothing is
# looked at, which would cost time itself.
WATCH = """async (last) => {
    const end = await new Promise((resolve) => {
        new PerformanceObserver((list, observer) => {
            const request = list.getEntries().find(({ name }) => name.endsWith("/chat"));
            if (!request) return;
            observer.disconnect();
            resolve(request.responseEnd);
        }).observe({ type: "resource" });
    });
    const scroller = document.getElementById("scroller").getBoundingClientRect();
    const answer = [...document.querySelectorAll(".answer .answer-text")].at(-1);
    const isShown = () => {
        const { top, bottom } = answer.lastElementChild.getBoundingClientRect();
        return answer.textContent.trimEnd().endsWith(last) && bottom > top && bottom <= scroller.bottom + 1;
    };
    const nextFrame = () => new Promise(requestAnimationFrame);
    while (!isShown()) await nextFrame();
    await nextFrame();
    return performance.now() - end;
}"""


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and its answer."""

    shown_after_ms: float  # from the end of the response until its last section is on the screen
    main_thread_ms: float  # processor time


def run(executable: str | None, tokens: int, count: int) -> list[Turn]:
    """Ask so many questions in one conversation, each answered by so many tokens at 100 tokens/s."""
    with tempfile.TemporaryDirectory(prefix="burble-bench-") as folder:
        reply = Path(folder) / "reply.md"
        reply.write_text(_reply(tokens))
        with (
            serve(BURBLE, reply, 1000 / TOKENS_PER_S, max_running=8) as server,
            open_tab(executable) as tab,
        ):
            chat = ChatPage(tab.page, f"http://127.0.0.1:{server.port}/").open()
            tab.page.set_default_timeout(TIMEOUT_S * 1000)
            return [_turn(tab, chat) for _ in range(count)]


def _turn(tab: Tab, chat: ChatPage) -> Turn:
    before = tab.main_thread_ms()
    chat.send("Tell me more.")
    after_ms = tab.page.evaluate(WATCH, LAST)
    used = tab.main_thread_ms() - before
    chat.wait_finished()
    return Turn(after_ms, used)


def _reply(tokens: int) -> str:
    """Return an answer that the simulated model, which goes by words, sends in so many tokens."""
    words = simulated.TOKEN.findall("".join(answer.answer(2 * tokens)))
    last = f"\n\n## The end\n\n{LAST}\n"
    ending = len(simulated.TOKEN.findall(last)) - 1  # its blank lines belong to the word before
    return "".join(words[: tokens - ending]).rstrip() + last
