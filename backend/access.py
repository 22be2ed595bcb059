"""The door: who is asking, and may they?

A client shows its API key with each request (`Authorization: Bearer`, RFC 6750), or the cookie of a session, which the
page gets for a key once. Behind the door a request has a `link.Caller`, in `scope["state"]["caller"]`.

Pure ASGI, and in front of the application: of a request that may not come in nothing more is read, and a route that
somebody adds is closed unless it is named here.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from anyio import to_thread
from limits import RateLimitItemPerMinute
from limits.strategies import MovingWindowRateLimiter
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.addresses import address_of
from backend.errors import BurbleError, CrossSite, ForeignHost, TooManyTries, Unauthorized
from backend.keys import Keys, for_this_machine, is_loopback
from backend.link import NOBODY, Caller
from backend.problem import error_response
from backend.sessions import Sessions
from backend.settings import Settings
from backend.shared_counts import open_storage

# What anybody may have: the page, and whether the server lives.
PUBLIC = re.compile(
    r"/|/favicon\.svg|/manifest\.webmanifest|/service_worker\.js|/files\.json|/health|/health/ready"
    r"|/(?:js|styles|icons|offline)/.*"
)
TRIES = RateLimitItemPerMinute(5)  # wrong keys from one address
SAFE = ("GET", "HEAD")
# With a key alone: a session that could begin another one would never be over.
BEGINNING = ("POST", "/session")
LEAVING = ("DELETE", "/session")  # anybody may, who has a session no more as well


class Access:
    """Lets in whoever has a key; where there are none everybody, or this machine alone."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._keys = Keys(settings)
        # At a socket of the file system nobody comes but by a proxy, which may call it what it likes.
        is_for_proxy = all(bind.startswith("unix:") for bind in settings.bind.split(","))
        self._for_this_machine = for_this_machine(settings) and not is_for_proxy
        self._sessions: Sessions | None = None
        if settings.closed:
            storage = open_storage(settings)
            self._tries = MovingWindowRateLimiter(storage)
            self._sessions = Sessions(settings, storage)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        caller: Caller = state.setdefault("caller", {**NOBODY})
        state["sessions"] = self._sessions
        client = scope.get("client")
        address = address_of(client[0] if client else "")
        caller["account"] = f"address:{address}"
        try:
            if not PUBLIC.fullmatch(scope["path"]):
                if self._for_this_machine:
                    check_host(Headers(scope=scope))
                if self._sessions:
                    await self._let_in(scope, caller, address, self._sessions)
        except BurbleError as error:
            await error_response(error, scope["path"])(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _let_in(self, scope: Scope, caller: Caller, address: str, sessions: Sessions) -> None:
        """Say who it is. Raises `Unauthorized`, `TooManyTries` or `CrossSite`."""
        headers = Headers(scope=scope)
        asked = (scope["method"], scope["path"])
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            hashed: str = await self._check_key(key.strip(), address)
        elif asked == BEGINNING:
            hashed = ""
        else:
            hashed = await to_thread.run_sync(sessions.read, headers)
            if hashed and scope["method"] not in SAFE:
                check_origin(headers)
        if name := self._keys.name_of(hashed):
            caller["owner"], caller["key"], caller["account"] = name, hashed, f"key:{name}"
        elif asked != LEAVING:
            raise unauthorized("An API key is needed here.")

    async def _check_key(self, key: str, address: str) -> str:
        """Return the hash of a key. After five wrong ones a minute none from this address is looked at."""
        await to_thread.run_sync(self._heed, self._tries.test, address)
        hashed = self._keys.hash_of(key)
        if hashed is None:
            await to_thread.run_sync(self._heed, self._tries.hit, address)
            raise unauthorized("This API key is not valid.")
        return hashed

    def _heed(self, ask: Callable[..., bool], address: str) -> None:
        """Raise `TooManyTries` where the limit says so. Reads a file."""
        if not ask(TRIES, address):
            reset = self._tries.get_window_stats(TRIES, address).reset_time
            raise TooManyTries(retry_after=max(1, math.ceil(reset - time.time())))


def unauthorized(detail: str) -> Unauthorized:
    return Unauthorized(detail, headers={"WWW-Authenticate": "Bearer"})


def check_host(headers: Headers) -> None:
    """Raise `ForeignHost` unless this machine is asked by a name of its own.

    A page anywhere can have its own name resolved to 127.0.0.1 once it is loaded (DNS rebinding), and then is of the
    same origin for its visitor's browser; a tunnel to a local port lets in everybody as well.
    """
    try:
        name = urlsplit(f"//{headers.get('host', 'localhost')}").hostname
    except ValueError:
        name = None
    if not name or not is_loopback(name):
        raise ForeignHost


def check_origin(headers: Headers) -> None:
    """Raise `CrossSite` for what a page of another origin has its visitor's browser send.

    Browsers say so in `Sec-Fetch-Site` (W3C Fetch Metadata), where the page is secure; everywhere in `Origin`. Who
    sends neither is no browser, and nobody's cookie is with it by accident.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        foreign = site not in ("same-origin", "none")
    else:
        origin = headers.get("origin")
        foreign = origin is not None and origin.partition("://")[2] != headers.get("host")
    if foreign:
        raise CrossSite
