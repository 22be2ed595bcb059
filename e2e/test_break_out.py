"""Somebody's code has come into the page, or stands beside it: what the headers of each answer keep it from.

The page itself puts no such code anywhere (`test_hostile.py`); this is what would hold if it did.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from e2e.chat_page import ChatPage
from e2e.stack import Stack, wait_for
from e2e.test_hostile import FORBIDDEN, TEXTS

pytestmark = pytest.mark.long


class Foreign:
    """Another site: it serves what a test wrote down, and notes what it is asked for."""

    def __init__(self) -> None:
        self.html = ""
        self.asked: list[str] = []
        foreign = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                foreign.asked.append(self.path)
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Access-Control-Allow-Origin", "*")
                self.end_headers()
                self.wfile.write(foreign.html.encode())

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def foreign() -> Iterator[Foreign]:
    foreign = Foreign()
    yield foreign
    foreign.close()


# What code in the page tries, and the directive that refuses it. `pwn()` says that it has run; FOREIGN is another site.
SINK = "require-trusted-types-for"
ATTEMPTS = {
    "an inline script": ("add('script', {}, 'pwn()')", "script-src-elem|" + SINK),
    "a script's text": ("add('script', { text: 'pwn()' })", SINK),
    "a script from elsewhere": ("add('script', { src: `${FOREIGN}/x.js` })", SINK),
    "a script of a data: address": ("add('script', { src: 'data:text/javascript,pwn()' })", SINK),
    "a module from elsewhere": ("import(`${FOREIGN}/x.js`)", "script-src-elem"),
    "an event handler": (
        "add('button').setAttribute('onclick', 'pwn()'); body.lastChild.click()",
        "script-src-attr|" + SINK,
    ),
    "a javascript: link": (
        "add('a', { href: 'javascript:pwn()' }).click()",
        "script-src-elem|" + SINK,
    ),
    "a javascript: frame": (
        "add('iframe', { src: 'javascript:parent.pwn()' })",
        "script-src-elem|frame-src|" + SINK,
    ),
    "a data: frame": (
        "add('iframe', { src: 'data:text/html,<script>parent.pwn()</script>' })",
        "frame-src",
    ),
    "a frame's own document": (
        "add('iframe', { srcdoc: '<script>parent.pwn()</script>' })",
        SINK,
    ),
    "another site's frame": ("add('iframe', { src: FOREIGN })", "frame-src"),
    "eval": ("eval('pwn()')", "script-src|" + SINK),
    "a function of text": ("new Function('pwn()')()", "script-src|" + SINK),
    "a timer of text": ("setTimeout('pwn()')", "script-src|" + SINK),
    "HTML of text": ("body.innerHTML = '<img src=x onerror=pwn()>'", SINK),
    "HTML beside an element": (
        "body.insertAdjacentHTML('beforeend', '<img src=x onerror=pwn()>')",
        SINK,
    ),
    "a document that is written": ("document.write('<script>pwn()</script>')", SINK),
    "HTML of a fragment": (
        "document.createRange().createContextualFragment('<b onclick=pwn()>')",
        SINK,
    ),
    "a policy of its own": (
        "trustedTypes.createPolicy('own', { createHTML: (text) => text })",
        "trusted-types",
    ),
    "a worker from a blob": (
        "new Worker(URL.createObjectURL(new Blob(['fetch(`' + FOREIGN + '`)'])))",
        SINK,
    ),
    "a request": ("fetch(`${FOREIGN}/fetch`, { mode: 'no-cors' })", "connect-src"),
    "a beacon": ("navigator.sendBeacon(`${FOREIGN}/beacon`, 'x')", "connect-src"),
    "a socket": ("new WebSocket(FOREIGN.replace('http', 'ws'))", "connect-src"),
    "a stream": ("new EventSource(`${FOREIGN}/events`)", "connect-src"),
    "a form": (
        "const form = add('form', { action: `${FOREIGN}/form`, method: 'post' }); form.submit()",
        "form-action",
    ),
    "a picture": ("add('img', { src: `${FOREIGN}/img` })", "img-src"),
    "a video": ("add('video', { src: `${FOREIGN}/video` })", "media-src"),
    "an object": ("add('object', { data: `${FOREIGN}/object` })", "object-src|" + SINK),
    "a style sheet from elsewhere": (
        "add('link', { rel: 'stylesheet', href: `${FOREIGN}/x.css` })",
        "style-src-elem",
    ),
    "an inline style sheet": ("add('style', {}, 'body { color: red }')", "style-src-elem"),
    "an inline style": ("body.setAttribute('style', 'color: red')", "style-src-attr"),
    "a font": ("new FontFace('x', `url(${FOREIGN}/x.woff)`).load()", "font-src"),
    "another base": ("add('base', { href: FOREIGN })", "base-uri"),
}

ATTEMPT = """async ([code, foreign]) => {
    const { body } = document;
    const told = [];
    globalThis.FOREIGN = foreign;
    globalThis.pwn = () => { globalThis.pwned = true; };
    globalThis.add = (tag, properties = {}, ...children) => {
        const element = document.createElement(tag);
        Object.assign(element, properties);
        element.append(...children);
        body.append(element);
        return element;
    };
    const heard = new Promise((resolve) => {
        document.addEventListener("securitypolicyviolation", (event) => {
            told.push(event.effectiveDirective);
            resolve();
        });
    });
    ATTEMPT_HERE
    await Promise.race([heard, new Promise((resolve) => setTimeout(resolve, 10_000))]);
    return told;
}"""


@pytest.fixture(scope="module")
def page_inside(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(service_workers="block")
    page = context.new_page()
    page.set_default_timeout(30_000)
    yield page
    context.close()


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_code_in_the_page_gets_nowhere(
    attempt: str, page_inside: Page, stack: Stack, foreign: Foreign
) -> None:
    page = page_inside
    page.goto(stack.url + "/")
    code, directives = ATTEMPTS[attempt]
    # In a task of its own: what a test evaluates may evaluate text.
    tried = f"setTimeout(async () => {{ try {{ {code} }} catch {{}} }});"
    told = page.evaluate(ATTEMPT.replace("ATTEMPT_HERE", tried), [code, foreign.url])
    assert told, "nothing was refused"
    assert set(told) <= set(directives.split("|")), told
    assert page.evaluate("globalThis.pwned") is None
    assert page.url == stack.url + "/"
    assert [path for path in foreign.asked if path != "/favicon.ico"] == []


def test_an_answer_and_an_import_full_of_hostile_text_try_none_of_it(
    chat: ChatPage, stack: Stack
) -> None:
    everything = "\n\n".join(TEXTS)
    chat.send("hello")
    chat.wait_answer("hello ")
    chat.wait_finished()
    chat.button("Import and export").click()
    dialog = chat.page.get_by_role("dialog")
    with chat.page.expect_download() as saving:
        dialog.get_by_role("button", name="As JSON").click()
    exported = json.loads(saving.value.path().read_text())
    [whole] = exported["conversations"]
    whole["id"] = "0" * 32
    whole["title"] = "<img src=x onerror=__pwned=1>"
    for message in whole["messages"]:
        message["content"] = everything
        if message["role"] == "assistant":
            message["model"] = "<b onclick=__pwned=1>"
            message["thinking"] = everything
    chooser = dialog.locator("input[type=file]")
    content = json.dumps(exported).encode()
    chooser.set_input_files({"name": "a.json", "mimeType": "application/json", "buffer": content})
    expect(dialog.locator(".said")).not_to_be_empty()
    chat.page.keyboard.press("Escape")
    chat.page.get_by_role("link", name="<img src=x onerror=__pwned=1>").click()
    expect(chat.questions).to_have_text([everything], use_inner_text=False)
    chat.wait_finished()
    expect(chat.log.locator(".answer-text:not(.unrendered)")).to_have_count(1)
    shown = chat.log.locator(".answer-text, .user p").locator(FORBIDDEN)
    assert shown.count() == 0
    assert chat.page.evaluate("window.__pwned") is None
    assert stack.url in chat.page.url
    assert chat.faults == []  # not even tried: the policy has refused nothing


def test_another_site_cannot_show_it_in_a_frame(page: Page, stack: Stack, foreign: Foreign) -> None:
    foreign.html = f"<iframe src='{stack.url}/'></iframe>"
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(foreign.url)
    wait_for(lambda: page.evaluate("1") and complaints, "the browser's report")
    assert "frame-ancestors 'none'" in complaints[0]
    wait_for(
        lambda: (
            page.evaluate("1")
            and [frame.url for frame in page.frames[1:]] == ["chrome-error://chromewebdata/"]
        ),
        "an error in the frame",
    )


def test_another_site_that_opens_it_holds_nothing_of_it(
    context: BrowserContext, page: Page, stack: Stack, foreign: Foreign
) -> None:
    foreign.html = "<title>foreign</title>"
    page.goto(foreign.url)
    with context.expect_page() as opening:
        page.evaluate("(url) => { globalThis.opened = window.open(url); }", stack.url + "/")
    opened = opening.value
    opened.wait_for_url(stack.url + "/")
    assert opened.evaluate("window.opener") is None
    # It hears of it from another process.
    wait_for(lambda: page.evaluate("opened.closed"), "what was opened to be out of reach")


@pytest.mark.parametrize(
    "element",
    [
        "<img src='{url}/favicon.svg' onload=loaded() onerror=refused()>",
        "<script src='{url}/js/chosen_theme.js' onload=loaded() onerror=refused()></script>",
        "<link rel=stylesheet href='{url}/styles/theme.css' onload=loaded() onerror=refused()>",
        "<script src='{url}/models' onload=loaded() onerror=refused()></script>",
        "<script>fetch('{url}/models').then(loaded, refused)</script>",
        "<script>fetch('{url}/models', {{ mode: 'no-cors' }}).then(loaded, refused)</script>",
    ],
)
def test_another_site_can_load_nothing_of_it(
    element: str, page: Page, stack: Stack, foreign: Foreign
) -> None:
    script = "const said = []; const loaded = () => said.push('loaded'), refused = () => said.push('refused');"
    foreign.html = f"<script>{script}</script>{element.format(url=stack.url)}"
    page.goto(foreign.url)
    assert wait_for(lambda: page.evaluate("said"), "what came of it") == ["refused"]


def test_another_site_learns_of_no_address_that_its_links_are_followed_from(
    chat: ChatPage, foreign: Foreign
) -> None:
    foreign.html = "<script>document.title = `from ${document.referrer}.`</script>"
    chat.send(f"[a link]({foreign.url}/)")
    chat.wait_finished()
    with chat.page.context.expect_page() as opening:
        chat.log.get_by_role("link", name="a link").click()
    expect(opening.value).to_have_title("from .")
    assert opening.value.evaluate("window.opener") is None
