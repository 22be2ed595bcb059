"""One contender shows one text in the page's own layout and styles, four tokens in each frame."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Route

from bench.page import marked
from bench.page.tab import open_tab

ROOT = Path(__file__).resolve().parents[2]
ORIGIN = "http://page.test"
TOKENS_PER_FRAME = 4
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
# A renderer may leave out marks, and a floor blank lines, but neither may leave out text.
LEAST_SHOWN = 0.7


class NothingShown(Exception):
    """A contender did not show the text; what it cost would mean nothing."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What an answer has cost after each of some numbers of tokens: ms of processor time of the page's main thread."""

    ms: dict[int, float]  # tokens → ms since the first
    removed: int  # nodes that were taken out of the document; 0 where that was not counted


def perform(
    executable: str | None,
    contender: str,
    tokens: Sequence[str],
    marks: Sequence[int],
    *,
    counting: bool = False,
) -> Cost:
    """Let a contender of `contenders.js` show all tokens; note the cost at each of `marks`, the last being the end.

    `counting` also counts nodes, which costs time itself.
    """
    size = TOKENS_PER_FRAME
    pieces = ["".join(tokens[start : start + size]) for start in range(0, len(tokens), size)]
    with open_tab(executable) as tab:
        tab.page.route(f"{ORIGIN}/**", _serve)
        tab.page.goto(f"{ORIGIN}/")
        script = tab.page.evaluate_handle("import('/bench/page/run.js')")
        play = {"contender": contender, "pieces": pieces, "counting": counting}
        script.evaluate("(script, play) => script.prepare(play)", play)
        ms = {}
        started = tab.main_thread_ms()
        for mark in marks:
            script.evaluate("(script, end) => script.showUpTo(end)", -(-mark // size))
            if mark == marks[-1]:
                shown = script.evaluate("(script) => script.finish()")
            ms[mark] = tab.main_thread_ms() - started
    if shown["characters"] < LEAST_SHOWN * sum(map(len, tokens)):
        raise NothingShown(f"{contender} shows only {shown['characters']:,} characters")
    return Cost(ms, shown["removed"])


def _serve(route: Route) -> None:
    path = route.request.url.removeprefix(ORIGIN)
    if path == "/":
        route.fulfill(body=_empty_page(), content_type="text/html")
    else:
        file = marked.module() if path == "/marked.js" else ROOT / path.removeprefix("/")
        route.fulfill(path=file, content_type=TYPES[file.suffix])


def _empty_page() -> str:
    """Return the page without its scripts."""
    html = (ROOT / "frontend" / "index.html").read_text()
    html = re.sub(r'<script.*?</script>|<link rel="modulepreload"[^>]*>', "", html, flags=re.DOTALL)
    return html.replace("<head>", '<head><base href="/frontend/" />')
