"""The page without its server: a copy shows what is kept, and never is an old page beside a new API, or a mixture."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from e2e.chat_page import ChatPage
from e2e.conftest import OpenChat
from e2e.gateway import Gateway
from e2e.stack import ROOT, Stack, http_client, wait_for
from e2e.test_access import AXE, violations

pytestmark = [pytest.mark.long, pytest.mark.browser_context_args(service_workers="allow")]

OFFLINE = re.compile(r"/offline/[0-9a-f]{40}/(#.*)?$")
NOTICE = "The server cannot be reached"

# The copies that are whole, by the names of their caches.
COPIES = """async (list) => {
    const names = [];
    for (const name of await caches.keys()) {
        if (await caches.match(list, { cacheName: name, ignoreVary: true })) names.push(name);
    }
    return names;
}"""

# Of every file that the page has loaded, the version that `deploy` has written into it.
VERSIONS = """() => {
    const root = getComputedStyle(document.documentElement);
    const styles = ["theme", "layout", "conversation", "composer", "markdown", "dialog"];
    const page = document.querySelector("meta[name=version]").content;
    return [page, ...globalThis.versions, ...styles.map((name) => root.getPropertyValue(`--version-${name}`).trim())];
}"""


@pytest.fixture
def gateway(request: pytest.FixtureRequest, stack: Stack) -> Iterator[Gateway]:
    with closing(Gateway(stack.url, getattr(request, "param", ""))) as gateway:
        yield gateway


def version_at(url: str) -> str:
    """Return the version of the page's files, as a browser is told."""
    return str(http_client.get(url + "/files.json").json()["version"])


def copies(chat: ChatPage) -> list[str]:
    """Return the versions that the browser has a whole copy of."""
    names: list[str] = chat.page.evaluate(COPIES, chat.url + "files.json")
    return [name.rpartition(" ")[2] for name in names]


def wait_copied(chat: ChatPage) -> None:
    """Wait until the browser has a copy of what is served now, and nothing else."""
    version = version_at(chat.url.removesuffix("/"))
    wait_for(lambda: copies(chat) == [version], "the copy", 90)


def visit(open_chat: OpenChat, url: str) -> ChatPage:
    """Open the page, have a conversation, and return when there is a copy."""
    chat = open_chat(url)
    chat.send("hello there")
    chat.wait_answer("hello there ")
    chat.wait_finished()
    wait_copied(chat)
    return chat


def test_a_gateway_that_is_down_answers_nobody_who_has_connected_before(gateway: Gateway) -> None:
    """Else a page is loaded, now and then, whose modules are not, and the tests below fail."""
    with closing(socket.create_connection(("127.0.0.1", urlsplit(gateway.url).port), 30)) as early:
        http_client.get(gateway.url + "/health")  # connections are accepted in turn
        gateway.down()
        early.sendall(b"GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n")
        assert early.recv(100) == b""
    assert gateway.asked == ["GET /health"]


def test_a_first_visit_leaves_nothing(open_chat: OpenChat, stack: Stack) -> None:
    chat = open_chat(stack.url)
    chat.page.wait_for_load_state("networkidle")
    registrations = "navigator.serviceWorker.getRegistrations().then((found) => found.length)"
    assert chat.page.evaluate(registrations) == 0
    assert chat.page.evaluate("caches.keys()") == []
    chat.send("hello")
    wait_copied(chat)
    assert chat.page.evaluate(registrations) == 1


@pytest.mark.parametrize("gateway", ["", "/below/here"], indirect=True)
def test_without_the_server_one_can_read_and_write_and_what_is_sent_goes_when_it_is_back(
    open_chat: OpenChat, gateway: Gateway
) -> None:
    chat = visit(open_chat, gateway.url)
    address = chat.page.url
    assert "#/c/" in address
    gateway.down()
    chat.reload()
    assert OFFLINE.search(chat.page.url)
    assert chat.page.url.partition("#")[2] == address.partition("#")[2]
    expect(chat.page.locator("#offline")).to_contain_text(NOTICE)
    expect(chat.status).to_contain_text(NOTICE)
    expect(chat.questions).to_have_text(["hello there"])
    chat.wait_answer("hello there ")
    chat.send("sent without a server")
    chat.wait_waiting("Connection lost. Reconnecting…")
    chat.composer.fill("a draft")
    chat.reload()
    expect(chat.composer).to_have_value("a draft")
    gateway.up()
    chat.page.wait_for_url(address)
    chat.wait_answer("sent without a server ")
    expect(chat.composer).to_have_value("a draft")
    expect(chat.page.locator("#offline")).to_have_count(0)
    assert gateway.asked.count("POST /chat") == 2
    assert [request for request in gateway.asked if "/offline/" in request] == []


def test_another_tab_need_not_wait_for_a_copy_that_is_still_open(
    open_chat: OpenChat, gateway: Gateway
) -> None:
    chat = visit(open_chat, gateway.url)
    gateway.down()
    chat.reload()
    expect(chat.questions).to_have_count(1)
    chat.send("sent without a server")
    # The copy does not hear that the server is back.
    chat.page.route("**/files.json", lambda route: route.abort())
    gateway.up()
    other = open_chat(gateway.url)
    other.page.goto(f"{other.url}#{chat.page.url.partition('#')[2]}")
    other.wait_answer("sent without a server ")
    assert OFFLINE.search(chat.page.url)
    chat.wait_answer("sent without a server ")


def test_a_proxy_that_cannot_reach_the_server_is_no_network_and_other_errors_are_shown(
    open_chat: OpenChat, gateway: Gateway
) -> None:
    chat = visit(open_chat, gateway.url)
    for status in (502, 503, 504):
        gateway.fails = lambda path, status=status: (status, b"")  # type: ignore[misc]
        chat.page.goto(chat.url)
        assert OFFLINE.search(chat.page.url), status
        gateway.fails = lambda path: None
        chat.page.wait_for_url(re.compile(re.escape(chat.url) + "(#.*)?$"))
    for status in (404, 500):
        gateway.fails = lambda path, status=status: (status, b"What it says.")  # type: ignore[misc]
        response = chat.page.goto(chat.url)
        assert response
        assert (response.status, response.url) == (status, chat.url)
        assert "What it says." in chat.page.content()


def test_a_copy_reaches_nothing_of_the_api(
    open_chat: OpenChat, gateway: Gateway, stack: Stack
) -> None:
    chat = visit(open_chat, gateway.url)
    gateway.fails = lambda path: (502, b"") if path in ("/", "/files.json") else None
    chat.page.goto(chat.url)
    assert OFFLINE.search(chat.page.url)
    assert http_client.get(gateway.url + "/health").status_code == 200  # all else is there
    gateway.asked.clear()
    asked = chat.page.evaluate(
        """async (home) => {
            const below = ["chat", "models", "health", "files.json", "js/none.js"];
            const addresses = [...below, "../chat", "../../chat", `${home}chat`];
            const asked = addresses.flatMap((address) => [
                fetch(address).then(({ url }) => url, ({ name }) => name),
                fetch(address, { method: "POST", body: "{}" }).then(({ url }) => url, ({ name }) => name),
            ]);
            return Promise.all(asked);
        }""",
        chat.url,
    )
    assert asked == ["TypeError"] * 16
    # The browser itself looks now and then whether the service worker is still the same.
    assert set(gateway.asked) <= {"GET /files.json", "GET /service_worker.js"}
    chat.faults.clear()  # the page's policy has told of what it stopped


def test_who_asks_for_a_copy_while_the_server_is_there_comes_home(
    open_chat: OpenChat, gateway: Gateway, context: BrowserContext, browser: Browser
) -> None:
    chat = visit(open_chat, gateway.url)
    gateway.down()
    chat.reload()
    copy = chat.page.url
    gateway.up()
    chat.page.wait_for_url(gateway.url + "/#**")
    gateway.asked.clear()
    tab = context.new_page()
    tab.goto(copy)
    assert tab.url == chat.page.url
    # Also where there are no copies: the address may have been sent to somebody else.
    guest = browser.new_page(service_workers="block")
    guest.goto(copy.partition("#")[0])
    assert guest.url == gateway.url + "/"
    guest.close()


def test_a_copy_that_is_gone_is_replaced_by_the_one_there_is(
    open_chat: OpenChat, gateway: Gateway
) -> None:
    chat = visit(open_chat, gateway.url)
    gateway.down()
    chat.page.goto(f"{chat.url}offline/{'0' * 40}/")
    assert OFFLINE.search(chat.page.url)
    assert "0" * 40 not in chat.page.url
    expect(chat.page.locator("#offline")).to_contain_text(NOTICE)


@pytest.mark.browser_context_args(service_workers="allow", bypass_csp=True)
def test_the_checker_of_accessibility_finds_nothing_in_a_copy(
    open_chat: OpenChat, gateway: Gateway
) -> None:
    chat = visit(open_chat, gateway.url)
    gateway.down()
    chat.reload()
    expect(chat.page.locator("#offline")).to_contain_text(NOTICE)
    chat.page.evaluate(AXE)
    assert violations(chat) == []


# Deployments


class Project:
    """A copy of the project, whose page is deployed again and again, at a stack that goes on running."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("backend", "frontend"):
            ignored = shutil.ignore_patterns("__pycache__", "tests")
            shutil.copytree(ROOT / name, root / name, ignore=ignored)
        shutil.copy(ROOT / "gunicorn_conf.py", root)
        self.deploy("first")

    def deploy(self, version: str) -> None:
        """Write a version into each file of the page."""
        source, target = ROOT / "frontend", self.root / "frontend"
        for path in source.glob("js/**/*.js"):
            mark = f'\n(globalThis.versions ??= []).push("{version}");\n'
            (target / path.relative_to(source)).write_text(path.read_text() + mark)
        for path in source.glob("styles/*.css"):
            mark = f"\n:root {{ --version-{path.stem}: {version}; }}\n"
            (target / path.relative_to(source)).write_text(path.read_text() + mark)
        page = (source / "index.html").read_text()
        mark = f'<meta name="version" content="{version}" /><title>'
        (target / "index.html").write_text(page.replace("<title>", mark))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def deployed(project: Project, start_stack: Callable[..., Stack]) -> Iterator[Gateway]:
    stack = start_stack(root=project.root)
    with closing(Gateway(stack.url)) as gateway:
        yield gateway


def versions(page: Page) -> set[str]:
    """Return what versions the files have that the page consists of, once all are there."""

    def whole() -> list[str]:
        found: list[str] = page.evaluate(VERSIONS)
        # The renderer and the list are part of it, too; a style sheet that is not there yet has no version.
        return found if len(found) > 40 and all(found) else []

    return set(wait_for(whole, "all files of the page"))


def test_a_deployment_shows_at_once_and_a_copy_is_of_one_version(
    open_chat: OpenChat, project: Project, deployed: Gateway
) -> None:
    chat = visit(open_chat, deployed.url)
    assert versions(chat.page) == {"first"}
    project.deploy("second")
    chat.reload()
    chat.wait_answer("hello there ")
    assert versions(chat.page) == {"second"}
    wait_copied(chat)
    deployed.down()
    chat.reload()
    chat.wait_answer("hello there ")
    assert OFFLINE.search(chat.page.url)
    assert versions(chat.page) == {"second"}


@pytest.mark.parametrize("failure", ["an error", "a file of another version", "nothing more"])
def test_a_copy_that_was_not_finished_is_not_used(
    open_chat: OpenChat, project: Project, deployed: Gateway, failure: str
) -> None:
    chat = visit(open_chat, deployed.url)
    project.deploy("second")
    path = "/js/words/ar.js"  # one that this page does not need
    another = (404, b"") if failure == "an error" else (200, b"globalThis.versions.push('third');")
    if failure == "nothing more":
        deployed.hangs = path
    else:
        deployed.fails = lambda asked: another if asked == path else None
    deployed.asked.clear()
    chat.reload()
    chat.wait_answer("hello there ")
    assert versions(chat.page) == {"second"}
    wait_for(lambda: f"GET {path}" in deployed.asked, "the copy to be made")
    if failure != "nothing more":
        wait_for(lambda: len(chat.page.evaluate("caches.keys()")) == 1, "it to be given up")
    deployed.down()
    chat.reload()
    chat.wait_answer("hello there ")
    assert OFFLINE.search(chat.page.url)
    assert versions(chat.page) == {"first"}
    chat.faults.clear()  # of a file that is not what it should be, the browser tells


def test_a_tab_that_shows_a_copy_never_gets_a_file_of_another_version(
    open_chat: OpenChat, project: Project, deployed: Gateway
) -> None:
    chat = visit(open_chat, deployed.url)
    deployed.down()
    chat.page.goto(chat.url)  # a new conversation: the renderer is not loaded yet
    expect(chat.page.locator("#offline")).to_contain_text(NOTICE)
    chat.page.route("**/files.json", lambda route: route.abort())  # it does not go home
    project.deploy("second")
    deployed.up()
    other = open_chat(deployed.url)
    assert other.page.evaluate("globalThis.versions.every((version) => version === 'second')")
    wait_copied(other)
    assert (
        chat.page.evaluate(
            "import(new URL('js/markdown/index.js', document.baseURI)).catch(({ name }) => name)"
        )
        == "TypeError"
    )
    assert set(chat.page.evaluate("globalThis.versions")) == {"first"}


# What it is to its reader


def test_the_page_can_be_installed(open_chat: OpenChat, stack: Stack) -> None:
    chat = open_chat(stack.url)
    devtools = chat.page.context.new_cdp_session(chat.page)
    manifest = devtools.send("Page.getAppManifest")
    assert manifest["errors"] == []
    assert manifest["url"] == stack.url + "/manifest.webmanifest"
    errors = devtools.send("Page.getInstallabilityErrors")["installabilityErrors"]
    assert [error["errorId"] for error in errors if error["errorId"] != "in-incognito"] == []
