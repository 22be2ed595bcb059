"""What stands between the network and the application: security headers, and a limit on bodies.

Pure ASGI: Starlette's `BaseHTTPMiddleware` would hide from the streams behind it that their client has left.
"""

from __future__ import annotations

from mimetypes import guess_type

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.errors import BodyTooLarge
from backend.problem import error_response

MAX_BODY_BYTES = 1024 * 1024

# The page loads its own files and talks to its own server; nothing else, and no script in text (Trusted Types): all
# that it may make trusted is the address of its service worker (`scriptAddress` in js/offline.js).
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types service-worker"
)
# A stream, some JSON or a picture needs nothing; opened by itself, as an SVG can be, it gets nothing.
BARE_POLICY = "default-src 'none'; frame-ancestors 'none'"
# What a document is made of, and browsers never show as one: it opens nothing, and with the headers of documents would
# weigh half as much again.
PARTS = ("text/javascript", "text/css", "application/manifest+json")

# Of an answer that came by https: ask by nothing else for a year (RFC 6797).
STRICT_TRANSPORT = "max-age=31536000"


class SecurityHeaders:
    """Adds the headers of each answer. A document that needs another policy than the page's brings its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Cross-Origin-Resource-Policy"] = "same-origin"
                if scope["scheme"] == "https":
                    headers["Strict-Transport-Security"] = STRICT_TRANSPORT
                headers.setdefault("Cache-Control", "no-store")
                # A 304 does not tell the type.
                media_type = headers.get("Content-Type") or guess_type(scope["path"])[0] or ""
                if not media_type.startswith(PARTS):
                    _add_headers_of_documents(headers, scope["path"], media_type)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _add_headers_of_documents(headers: MutableHeaders, path: str, media_type: str) -> None:
    is_page = media_type.startswith("text/html") or (not media_type and path.endswith("/"))
    headers.setdefault("Content-Security-Policy", PAGE_POLICY if is_page else BARE_POLICY)
    if not media_type.startswith("image/"):
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
    if is_page:
        # Else a browser may ask for a link's host before anybody follows it.
        headers["X-DNS-Prefetch-Control"] = "off"


class BodyLimit:
    """Reads a body before the application does, and refuses one that is too large, whether it says so or not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT", "PATCH"):
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        too_large = declared.isdigit() and int(declared) > MAX_BODY_BYTES
        body = bytearray()  # which may come byte by byte
        more = not too_large
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            too_large = len(body) > MAX_BODY_BYTES
            more = message.get("more_body", False) and not too_large
        if too_large:
            error = BodyTooLarge(
                f"The body is too large: at most {MAX_BODY_BYTES} bytes are allowed."
            )
            await error_response(error, scope["path"])(scope, receive, send)
            return
        replayed = False

        async def receive_again() -> Message:
            nonlocal replayed
            if replayed:
                return await receive()
            replayed = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self._app(scope, receive_again, send)
