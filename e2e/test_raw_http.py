"""What no well-behaved client sends: requests that are no HTTP, that never end, that hide another one.

Each is answered as RFC 9112 asks, or its connection is closed; nobody gets two answers to what somebody else would take
for one request, nothing runs that was refused, and what follows a fault in the framing is not read as a request.
"""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterator

import httptools
import pytest

from e2e.stack import Stack

BODY = b'{"prompt": "a"}'
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
HOST = b"Host: localhost"
JSON = b"Content-Type: application/json"
LENGTH = b"Content-Length: %d" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked"


def request(line: bytes, *fields: bytes, body: bytes = b"", eol: bytes = b"\r\n") -> bytes:
    return eol.join([line, *fields, b"", body])


def get(*fields: bytes, target: bytes = b"/health", version: bytes = b"1.1") -> bytes:
    return request(b"GET %b HTTP/%b" % (target, version), *fields)


def post(*fields: bytes, body: bytes = BODY) -> bytes:
    return request(b"POST /chat HTTP/1.1", HOST, JSON, *fields, body=body)


def chunked(body: bytes) -> bytes:
    return post(CHUNKED, body=body)


LAST = get(
    HOST, b"Connection: close"
)  # follows each case; it is answered only where all before it could be read

H2C = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQ")
WEBSOCKET = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Version: 13",
)

# What is sent, and the statuses of the answers to it, without that to `LAST`.
TAKEN: dict[str, tuple[bytes, list[int]]] = {
    "a length": (post(LENGTH), [200]),
    "chunks": (chunked(CHUNKS), [200]),
    "a coding in capitals": (post(b"TRANSFER-ENCODING: CHUNKED", body=CHUNKS), [200]),
    "extensions of chunks": (
        chunked(CHUNKS.replace(b"f\r\n", b'f;a=b;c="d"\r\n').replace(b"0\r\n", b"0;e\r\n")),
        [200],
    ),
    "a trailer": (chunked(CHUNKS[:-2] + b"X-Checksum: 1\r\n\r\n"), [200]),
    "a trailer that would be a header": (
        request(b"POST /chat HTTP/1.1", HOST, CHUNKED, body=CHUNKS[:-2] + JSON + b"\r\n\r\n"),
        [415],
    ),
    "a body that nobody asked for": (get(HOST, LENGTH) + BODY, [200]),
    "empty lines before": (b"\r\n\r\n" + get(HOST), [200]),
    "an expectation": (post(LENGTH, b"Expect: 100-continue"), [100, 200]),
    "an expectation that is not known": (post(LENGTH, b"Expect: miracles"), [200]),
    "an upgrade to HTTP/2": (get(HOST, *H2C), [200]),
    "an upgrade to HTTP/2, and a body": (post(LENGTH, *H2C), [200]),
    "an upgrade to HTTP/2, and chunks": (post(CHUNKED, *H2C, body=CHUNKS), [200]),
    "an upgrade to WebSocket": (get(HOST, *WEBSOCKET), [200]),
    "an absolute target": (get(HOST, target=b"http://other.example:81/health"), [200]),
    "an absolute target without a path": (get(HOST, target=b"http://other.example"), [200]),
    "an absolute target with a query alone": (get(HOST, target=b"http://other.example?a"), [200]),
    "all that there is": (request(b"OPTIONS * HTTP/1.1", HOST), [404]),
    "an empty host": (get(b"Host:"), [200]),
    "a path that is no text": (get(HOST, target=b"/chat/%ff%00%zz"), [404]),
    "a method that nobody takes": (request(b"TRACE /health HTTP/1.1", HOST), [405]),
}

# What is sent, and the status of the one answer.
REFUSED: dict[str, tuple[bytes, int]] = {
    # Where a request ends is said twice
    "a length and chunks": (post(LENGTH, CHUNKED, body=CHUNKS), 400),
    "two lengths": (post(LENGTH, b"Content-Length: 3"), 400),
    "a length twice": (post(LENGTH, LENGTH), 400),
    "a list of lengths": (post(b"Content-Length: 15, 15"), 400),
    "chunked twice": (post(CHUNKED, CHUNKED, body=CHUNKS), 400),
    "chunked and chunked": (post(b"Transfer-Encoding: chunked, chunked", body=CHUNKS), 400),
    # A length that is none
    **{
        f"length {length!r}": (post(b"Content-Length:" + length), 400)
        for length in (b" +15", b" -15", b" 0xf", b" 1 5", b"", b" 15.0", b" " + b"9" * 30)
    },
    # A coding that is not known, or hardly
    "xchunked": (post(b"Transfer-Encoding: xchunked", body=CHUNKS), 501),
    "identity": (post(b"Transfer-Encoding: identity", body=CHUNKS), 501),
    "gzip, chunked": (post(b"Transfer-Encoding: gzip, chunked", body=CHUNKS), 501),
    "chunked in quotes": (post(b'Transfer-Encoding: "chunked"', body=CHUNKS), 501),
    "chunked, identity": (post(b"Transfer-Encoding: chunked, identity", body=CHUNKS), 400),
    "identity below": (post(CHUNKED, b"Transfer-Encoding: identity", body=CHUNKS), 400),
    "no coding": (post(b"Transfer-Encoding:", body=CHUNKS), 400),
    "no coding, and a length": (post(b"Transfer-Encoding:", LENGTH), 400),
    "a coding behind a tabulator": (post(b"Transfer-Encoding: \x0bchunked", body=CHUNKS), 400),
    "a coding in HTTP/1.0": (
        request(b"POST /chat HTTP/1.0", HOST, JSON, CHUNKED, body=CHUNKS),
        400,
    ),
    # Lines that others may read otherwise
    "a folded line": (post(b"X-A: b\r\n c", LENGTH), 400),
    "a folded coding": (post(b"Transfer-Encoding:\r\n chunked", body=CHUNKS), 400),
    "LF alone": (request(b"POST /chat HTTP/1.1", HOST, JSON, LENGTH, body=BODY, eol=b"\n"), 400),
    "CR alone": (post(b"X-A: b\rX-C: d", LENGTH), 400),
    "NUL in a value": (post(b"X-A: b\0c", LENGTH), 400),
    "NUL in a name": (post(b"X\0A: b", LENGTH), 400),
    "NUL in the target": (get(HOST, target=b"/health\0"), 400),
    "a space before the colon": (post(b"Content-Length : 15"), 400),
    "a space before the first name": (get(b" X-A: b", HOST), 400),
    "no colon": (post(b"X-A", LENGTH), 400),
    "no name": (post(b": b", LENGTH), 400),
    # Who is asked
    "no host": (get(), 400),
    "two hosts": (get(HOST, b"Host: other"), 400),
    "a host that is none": (get(b"Host: a b/c"), 400),
    "what only a proxy does": (request(b"CONNECT other:80 HTTP/1.1", HOST), 400),
    "a tunnel to a path": (request(b"CONNECT /health HTTP/1.1", HOST), 400),
    "a target without a scheme": (get(HOST, target=b"other:80"), 400),
    "everything, but no OPTIONS": (get(HOST, target=b"*"), 400),
    "a target with a space": (get(HOST, target=b"/hea lth"), 400),
    "a target that is no ASCII": (get(HOST, target="/é".encode()), 400),
    # Chunks
    "no chunk size": (chunked(b"zz\r\n" + CHUNKS), 400),
    "a negative chunk size": (chunked(b"-" + CHUNKS), 400),
    "a chunk size with a prefix": (chunked(b"0x" + CHUNKS), 400),
    "a chunk size beyond all": (chunked(b"f" * 18 + CHUNKS[1:]), 400),
    "a chunk that is longer than it says": (chunked(b"e" + CHUNKS[1:]), 400),
    "a chunk size before LF": (chunked(CHUNKS.replace(b"\r\n", b"\n")), 400),
    "an extension before LF": (chunked(CHUNKS.replace(b"f\r\n", b"f;a\n")), 400),
    "a chunk size and a space": (chunked(CHUNKS.replace(b"f\r\n", b"f \r\n")), 400),
    "a bad chunk that nobody waits for": (get(HOST, CHUNKED) + b"zz\r\n" + CHUNKS, 400),
    # Other protocols, and other versions of this
    "HTTP/0.9": (get(HOST, version=b"0.9"), 505),
    "HTTP/2.0": (get(HOST, version=b"2.0"), 505),
    "HTTP/1.2": (get(HOST, version=b"1.2"), 400),
    "HTTP/11": (get(HOST, version=b"11"), 400),
    "HTTP/2, as by prior knowledge": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 400),
    "TLS": (bytes.fromhex("16030100c8010000c40303") + b"\1" * 200, 400),
    "noise": (b"\0\1\2\3 noise\r\n\r\n", 400),
    "a small method": (request(b"get /health HTTP/1.1", HOST), 400),
    "a method that is not known": (request(b"FETCH /health HTTP/1.1", HOST), 400),
    # Too much
    "10,000 headers": (get(HOST, *[b"X: y"] * 10_000), 431),
    "101 headers": (get(HOST, *[b"X: y"] * 100), 431),
    "a large header": (get(HOST, b"X: " + b"y" * 32_768), 431),
    "a large name": (get(HOST, b"x" * 32_768 + b": y"), 431),
    "a megabyte of target": (get(HOST, target=b"/health?" + b"a" * 1_000_000), 414),
}


def statuses(received: bytes) -> list[int]:
    """Return the status of each answer. Raises `HttpParserError` where anything else was received."""
    found: list[int] = []

    class Answers:
        def on_headers_complete(self) -> None:
            found.append(parser.get_status_code())

    parser = httptools.HttpResponseParser(Answers())
    parser.feed_data(received)
    return found


def receive_all(connection: socket.socket) -> bytes:
    """Return what is received until the other side ends, as it may after a fault by resetting the connection."""
    received = b""
    try:
        while data := connection.recv(65536):
            received += data
    except ConnectionResetError:
        pass
    return received


def exchange(stack: Stack, *pieces: bytes) -> bytes:
    """Send, and return all that comes back until the server ends the connection."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=20) as connection:
        for piece in pieces:
            connection.sendall(piece)
        return receive_all(connection)


@pytest.fixture(autouse=True, scope="module")
def _no_traceback(stack: Stack) -> Iterator[None]:
    before = len(stack.log())
    yield
    assert "Traceback" not in stack.log()[before:]


@pytest.mark.parametrize("name", TAKEN)
def test_what_can_be_read_is_answered_and_so_is_the_next_request(stack: Stack, name: str) -> None:
    sent, expected = TAKEN[name]
    assert statuses(exchange(stack, sent + LAST)) == [*expected, 200]


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_and_nothing_after_it_is_read(
    stack: Stack, name: str
) -> None:
    sent, status = REFUSED[name]
    before = stack.journal()
    received = exchange(stack, sent + LAST)
    assert statuses(received) == [status]
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"\r\nconnection: close" in head
    assert b"\r\ncontent-type: application/problem+json" in head
    assert json.loads(body)["status"] == status
    assert stack.journal() == before


def test_an_old_client_is_not_told_to_continue(stack: Stack) -> None:
    old = request(b"POST /chat HTTP/1.0", HOST, JSON, LENGTH, b"Expect: 100-continue", body=BODY)
    assert statuses(exchange(stack, old)) == [200]


def test_a_head_may_come_byte_by_byte(stack: Stack) -> None:
    with socket.create_connection(("127.0.0.1", stack.port), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(post(CHUNKED, *H2C, body=CHUNKS) + LAST)):
            connection.send((post(CHUNKED, *H2C, body=CHUNKS) + LAST)[at : at + 1])
        assert statuses(receive_all(connection)) == [200, 200]


@pytest.mark.parametrize("declared", [True, False])
def test_who_sends_far_too_much_still_reads_why_it_is_refused(stack: Stack, declared: bool) -> None:
    mebibyte = b"x" * 2**20
    if declared:
        sent = [post(b"Content-Length: %d" % 2**33, body=b""), *[mebibyte] * 8]
    else:
        sent = [chunked(b""), *[b"%x\r\n%b\r\n" % (len(mebibyte), mebibyte)] * 8]
    assert statuses(exchange(stack, *sent)) == [413]


# What never ends


def endless(piece: bytes) -> Iterator[bytes]:
    for _ in range(100_000):
        yield piece * 100


@pytest.mark.parametrize(
    ("begin", "piece", "status"),
    [
        (b"GET /", b"a" * 10, 414),
        (b"GET / HTTP/1.1\r\n", b"X: y\r\n", 431),
        (b"GET / HTTP/1.1\r\nX: ", b"y" * 10, 431),
        (b"", b"\r\n" * 5, 431),
        (chunked(b"0\r\n"), b"X: y\r\n", 431),
        (chunked(b"0\r\nX: "), b"y" * 10, 431),
        (chunked(b"1;"), b"e" * 10, 431),
    ],
    ids=["target", "headers", "header", "empty lines", "trailers", "trailer", "extension"],
)
def test_what_never_ends_is_refused_before_it_costs_memory(
    stack: Stack, begin: bytes, piece: bytes, status: int
) -> None:
    with socket.create_connection(("127.0.0.1", stack.port), timeout=20) as connection:
        connection.sendall(begin)
        sent = 0
        try:
            for some in endless(piece):
                connection.sendall(some)
                sent += len(some)
        except OSError:
            pass  # the server has had enough, also of throwing it away
        assert statuses(receive_all(connection)) in ([status], [])
    assert sent < 40_000_000, "it was taken, all of it"


# Anything


def damaged(seed: int) -> bytes:
    """Return a request with a few of its bytes lost, doubled, changed or moved."""
    rng = random.Random(seed)
    sent = bytearray(rng.choice([sent for sent, _ in TAKEN.values()]))
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(sent))
        some = sent[at : at + rng.randint(1, 12)]
        match rng.randrange(5):
            case 0:
                del sent[at : at + len(some)]
            case 1:
                sent[at:at] = some
            case 2:
                sent[at] = rng.randrange(256)
            case 3:
                sent[at:at] = rng.choice([b"\r", b"\n", b"\r\n", b"\0", b" ", b":", b"0", b"\xff"])
            case 4:
                del sent[at : at + len(some)]
                there = rng.randrange(len(sent) + 1)
                sent[there:there] = some
    return bytes(sent)


@pytest.mark.long
def test_a_damaged_request_is_answered_or_waited_for_and_nothing_fails(stack: Stack) -> None:
    known = {100, 200, 204, 307, 400, 403, 404, 405, 413, 414, 415, 422, 431, 501, 505}
    for seed in range(1000):
        with socket.create_connection(("127.0.0.1", stack.port), timeout=0.2) as connection:
            connection.sendall(damaged(seed) + LAST)
            received = b""
            try:
                while data := connection.recv(65536):
                    received += data
            except ConnectionResetError:
                pass
            except TimeoutError:
                pass  # the server waits for the rest of something
        assert set(statuses(received)) <= known, f"seed {seed}"
