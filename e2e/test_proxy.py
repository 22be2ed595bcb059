"""nginx and Caddy themselves in front of the real stack, by the files in `ops/` that run it elsewhere."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser

from backend.keys import hash_of
from e2e.chat_page import ChatPage
from e2e.client import (
    Answer,
    Connection,
    asynchronous,
    chat,
    eventually,
    noted,
    resume,
    script,
    stop,
    words,
)
from e2e.proxy import Caddy, Nginx, Proxy
from e2e.stack import Stack, wait_for


def start(kind: type[Proxy], port: int) -> Iterator[Proxy]:
    if not kind.executable():
        pytest.skip(f"{kind.program} is not installed on this machine")
    proxy = kind(port)
    yield proxy
    proxy.stop()


@pytest.fixture(scope="module", params=[Nginx, Caddy])
def proxy(request: pytest.FixtureRequest, stack: Stack) -> Iterator[Proxy]:
    yield from start(request.param, stack.port)


@pytest.fixture(scope="module")
def nginx(stack: Stack) -> Iterator[Nginx]:
    yield from start(Nginx, stack.port)  # type: ignore[misc]


@pytest.fixture
def start_proxy(request: pytest.FixtureRequest) -> Iterator[Callable[..., Proxy]]:
    """Start a proxy of its own for a test, in front of any port."""
    started = []

    def start_one(kind: type[Proxy], port: int) -> Proxy:
        running = start(kind, port)
        started.append(running)
        return next(running)

    yield start_one
    for running in started:
        next(running, None)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Name a script and its gates, which no other test has."""
    return re.sub(r"\W", "-", request.node.name)


both = pytest.mark.parametrize("kind", [Nginx, Caddy])


async def begun(server: Proxy, name: str, *steps: list[object], **fields: Any) -> Answer:
    """Ask, and read the first word of an answer that then waits."""
    answer = await chat(server, script(name, ["say", "begun "], *steps), **fields)
    return await answer.until(lambda answer: answer.text == "begun ")


# Streams


@asynchronous
async def test_each_token_arrives_before_the_next_is_written(
    proxy: Proxy, stack: Stack, name: str
) -> None:
    pieces = [f"{number} " for number in range(8)]
    steps: list[list[object]] = []
    for piece in pieces:
        steps += [["say", piece], ["wait", f"{name}{piece.strip()}"]]
    connection = await Connection.open(proxy)
    answer = await connection.ask(
        "POST", "/chat", {"prompt": script(name, *steps)}, headers={"Accept-Encoding": "gzip"}
    )
    for number, piece in enumerate(pieces):
        await answer.until(lambda answer, end=piece: answer.text.endswith(end))  # type: ignore[misc]
        assert answer.text == "".join(pieces[: number + 1])
        stack.open_gate(f"{name}{number}")
    assert (await answer.rest()).done
    assert "content-encoding" not in answer.headers


@asynchronous
async def test_a_client_that_leaves_stops_the_model(proxy: Proxy, stack: Stack, name: str) -> None:
    for way in ("close", "abort"):
        answer = await begun(proxy, f"{name}-{way}", ["wait", "never"])
        getattr(answer.connection, way)()
        await noted(stack, f"end {name}-{way}")


@asynchronous
async def test_an_answer_is_stopped_from_another_connection(
    proxy: Proxy, stack: Stack, name: str
) -> None:
    answer = await begun(proxy, name, ["wait", "never"])
    assert await stop(proxy, answer.id) == 204
    assert (await answer.rest()).finish_reason == "cancelled"
    await noted(stack, f"end {name}")


@asynchronous
async def test_an_answer_is_resumed_after_the_last_event_seen(
    proxy: Proxy, stack: Stack, name: str
) -> None:
    first = await begun(proxy, name, ["wait", name], ["words", 5], resumable=True)
    first.connection.abort()
    rest = await resume(proxy, first.id, first.ids[-1])
    stack.open_gate(name)
    assert (await rest.rest()).text == words(name, 5)
    assert rest.ids == list(range(first.ids[-1] + 1, first.ids[-1] + 8))
    assert rest.done
    assert (await resume(proxy, first.id, rest.ids[-1])).status == 204


@asynchronous
async def test_a_body_that_is_too_large_is_refused_in_burbles_words(nginx: Nginx) -> None:
    limit = 1024 * 1024
    around = len(json.dumps({"prompt": ""}))
    for size, status, code in (
        (limit, 422, "prompt_too_long"),
        (limit + 1, 413, "body_too_large"),
    ):
        connection = await Connection.open(nginx)
        answer = await connection.ask("POST", "/chat", {"prompt": "x" * (size - around)})
        await answer.rest()
        assert (answer.status, answer.json()["code"]) == (status, code)


@both
@asynchronous
async def test_the_proxy_holds_nothing_back_by_itself(
    kind: type[Proxy], start_proxy: Callable[..., Proxy]
) -> None:
    arrived = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            # Without `X-Accel-Buffering`, by which Burble asks nginx for the same.
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            for _ in range(3):
                writer.write(b"data: {}\n\n")
                await arrived.wait()
                arrived.clear()
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        proxy = start_proxy(kind, server.sockets[0].getsockname()[1])
        answer = await (await Connection.open(proxy)).ask("GET", "/chat/a")
        for count in range(1, 4):
            await answer.until(lambda answer, count=count: len(answer.events) == count)  # type: ignore[misc]
            arrived.set()


@pytest.mark.long
@asynchronous
async def test_two_hundred_streams_at_once_each_get_their_own_text(
    proxy: Proxy, stack: Stack, name: str
) -> None:
    answers = [
        await chat(proxy, script(f"{name}{number}", ["wait", name], ["words", 30]))
        for number in range(200)
    ]
    stack.open_gate(name)
    await asyncio.gather(*(answer.rest() for answer in answers))
    for number, answer in enumerate(answers):
        assert answer.text == words(f"{name}{number}", 30)
        assert answer.done


@pytest.mark.long
@both
@asynchronous
async def test_the_signs_of_life_of_a_silent_stream_pass(
    kind: type[Proxy], start_stack: Callable[..., Stack], start_proxy: Callable[..., Proxy]
) -> None:
    stack = start_stack(keep_alive=0.2)
    answer = await begun(start_proxy(kind, stack.port), "silent", ["wait", "go"])
    await answer.until(lambda answer: answer.raw.count(b": keep-alive\n\n") >= 3)
    stack.open_gate("go")
    assert (await answer.rest()).done


# What is reloaded


@asynchronous
async def test_nginx_is_reloaded_under_a_stream_that_then_goes_on(
    nginx: Nginx, stack: Stack, name: str
) -> None:
    answer = await begun(nginx, name, ["wait", name], ["words", 5], resumable=True)
    nginx.reload()
    elsewhere = await resume(nginx, answer.id, answer.ids[-1])
    stack.open_gate(name)
    assert (await answer.rest()).text == "begun " + words(name, 5)
    assert (await elsewhere.rest()).text == words(name, 5)
    assert answer.done
    assert elsewhere.done


@pytest.mark.long
@both
@asynchronous
async def test_burble_is_reloaded_and_no_request_fails(
    kind: type[Proxy], start_stack: Callable[..., Stack], start_proxy: Callable[..., Proxy]
) -> None:
    stack = start_stack()
    proxy = start_proxy(kind, stack.port)
    asked = 0
    ending = asyncio.Event()

    async def keep_asking(client: httpx.AsyncClient, number: int) -> None:
        nonlocal asked
        while not ending.is_set():
            body = {"prompt": script(f"asks{number}", ["words", 3])}
            answer = await client.post("/chat", json=body)
            assert answer.status_code == 200, answer.text
            assert answer.text.endswith("data: [DONE]\n\n"), answer.text
            assert (await client.get("/health")).status_code == 200
            asked += 1

    async with (
        httpx.AsyncClient(base_url=proxy.url, verify=proxy.tls, timeout=30) as client,
        asyncio.TaskGroup() as asking,
    ):
        for number in range(3):
            asking.create_task(keep_asking(client, number))
        running = await begun(proxy, "running", ["wait", "running"], ["say", "ended"])
        before = {worker.pid for worker in stack.http_workers()}
        stack.hup()

        def new() -> int:
            return len({worker.pid for worker in stack.http_workers()} - before)

        await eventually(lambda: new() == 2, "new HTTP workers")
        await eventually(lambda goal=asked + 20: asked > goal, "more answers")  # type: ignore[misc]
        stack.open_gate("running")
        assert (await running.rest()).text == "begun ended"
        ending.set()


@asynccontextmanager
async def forgetful_server() -> AsyncIterator[int]:
    """Listen on a port; answer the first request of a connection, and close it when the second comes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            await reader.readexactly(int(length[1]) if length else 0)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await reader.read(1)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@both
@asynchronous
async def test_a_request_that_meets_a_closing_connection_takes_another_one(
    kind: type[Proxy], start_proxy: Callable[..., Proxy]
) -> None:
    async with forgetful_server() as port:
        connection = await Connection.open(start_proxy(kind, port))
        for _ in range(4):
            for method, path, body in (("GET", "/health", None), ("POST", "/chat", {"a": "b"})):
                answer = await (await connection.ask(method, path, body)).rest()
                assert (answer.status, bytes(answer.raw)) == (200, b"ok")


# Who asks


@pytest.mark.long
@both
def test_the_clients_address_is_the_one_that_the_proxy_saw_and_no_forged_one(
    kind: type[Proxy], start_stack: Callable[..., Stack], start_proxy: Callable[..., Proxy]
) -> None:
    stack = start_stack(api_keys=f"anna:{hash_of('right')}", trusted_proxies="127.0.0.1")
    proxy = start_proxy(kind, stack.port)

    def tries(url: str, client: str, said: str) -> int:
        """Show a wrong key, from this address and with such a header, and return the status."""
        transport = httpx.HTTPTransport(verify=proxy.tls, local_address=client)
        with httpx.Client(transport=transport, base_url=url, timeout=30) as sender:
            headers = {"Authorization": "Bearer wrong", "X-Forwarded-For": said}
            return sender.get("/models", headers=headers).status_code

    from_one = [tries(proxy.url, "127.0.0.2", f"203.0.113.{number}") for number in range(6)]
    assert from_one == [401] * 5 + [429]
    assert tries(proxy.url, "127.0.0.3", "127.0.0.2") == 401  # not the one that it names
    # What the proxy says is believed of the proxy alone.
    assert tries(stack.url, "127.0.0.4", "127.0.0.2") == 401
    assert tries(stack.url, "127.0.0.1", "127.0.0.2") == 429
    headers = {"Authorization": "Bearer right", "X-Forwarded-Proto": "http"}
    session = httpx.post(f"{proxy.url}/session", headers=headers, verify=proxy.tls, timeout=30)
    assert session.status_code == 204
    assert "secure" in session.headers["set-cookie"].lower()


# What browsers and operators see


def test_the_page_works_below_a_subpath_over_http_2(
    nginx: Nginx, stack: Stack, browser: Browser, name: str
) -> None:
    context = browser.new_context(ignore_https_errors=True, service_workers="block")
    chat_page = ChatPage(context.new_page(), f"{nginx.url}/chat/burble/").open()
    chat_page.send(script(name, ["say", "begun "], ["wait", name], ["say", "ended"]))
    chat_page.wait_answer("begun")
    stack.open_gate(name)
    chat_page.wait_answer("begun ended")
    chat_page.wait_finished()
    protocols = chat_page.page.evaluate(
        "[...new Set(performance.getEntriesByType('resource').map((e) => e.nextHopProtocol))]"
    )
    assert protocols == ["h2"]
    # One stream of the connection is given up, and not the connection.
    chat_page.page.evaluate(
        """async (prompt) => {
            const giving = new AbortController();
            const response = await fetch("chat", {
                method: "POST",
                headers: { "Content-Type": "application/json" },
                body: JSON.stringify({ prompt }),
                signal: giving.signal,
            });
            await response.body.getReader().read();
            giving.abort();
        }""",
        script(f"{name}-left", ["say", "begun "], ["wait", "never"]),
    )
    stack.wait_journal(f"end {name}-left")
    assert chat_page.faults == []
    context.close()


def test_http_leads_to_https(proxy: Proxy) -> None:
    answer = httpx.get(
        f"http://localhost:{proxy.http_port}/docs?x=1", follow_redirects=False, timeout=30
    )
    assert answer.status_code == 308
    assert answer.headers["location"].startswith("https://localhost")
    assert answer.headers["location"].endswith("/docs?x=1")


@asynchronous
async def test_the_access_log_has_neither_query_strings_nor_keys(nginx: Nginx, name: str) -> None:
    connection = await Connection.open(nginx)
    headers = {
        "Authorization": "Bearer burble_secret",
        "Cookie": "a=secret",
        "Referer": "https://example.org/?secret",
    }
    path = f"/chat/{name}"
    await (await connection.ask("GET", f"{path}?secret=1", headers=headers)).rest()
    wait_for(lambda: path in nginx.access_log(), "the line of the request")
    (line,) = (line for line in nginx.access_log().splitlines() if path in line)
    assert "secret" not in line
    assert f'"GET {path} HTTP/1.1" 404 ' in line
