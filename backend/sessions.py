"""Sessions: the page shows its API key once, and a cookie from then on.

The cookie says which key it was had for, by the key's hash, and until when; it is signed, so nothing has to be kept
here but the sessions that were left before their time. A session is worth what its key is worth: once that is taken
out, the cookie opens nothing.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from pathlib import Path
from typing import Any

from itsdangerous import BadSignature, URLSafeSerializer
from limits.storage import Storage
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import Response

from backend.runtime import private_folder
from backend.settings import Settings
from backend.shared_counts import FIXED


class Sessions:
    """Hands out, reads and takes back the cookies of one stack. `storage` is shared by its processes."""

    def __init__(self, settings: Settings, storage: Storage) -> None:
        self._storage = storage
        self._life_s = int(settings.session_hours * 3600)
        secret = read_secret(
            private_folder(settings.state_path, variable="BURBLE_STATE_DIR") / "session-secret"
        )
        self._serializer = URLSafeSerializer(
            secret, "burble session", signer_kwargs={"digest_method": hashlib.sha256}
        )
        # Cookies are a host's, whatever the port: two stacks on one must not take each other's.
        self._name = "burble-" + hashlib.sha256(b"name" + secret).hexdigest()[:8]

    def begin(self, response: Response, hashed: str, *, secure: bool) -> None:
        """Give a client a session for the key with this hash."""
        content = {
            "key": hashed,
            "id": secrets.token_hex(16),
            "until": int(time.time()) + self._life_s,
        }
        self._set(response, self._serializer.dumps(content), self._life_s, secure=secure)

    def read(self, headers: Headers) -> str:
        """Return the hash of the key that a request's session was begun with; "" where there is none, or it is over."""
        content = self._content(headers)
        if content is None or self._storage.get(left(content["id"])):
            return ""
        return str(content["key"])

    def end(self, headers: Headers, response: Response, *, secure: bool) -> None:
        """Make a request's cookie worthless, wherever it is, and have the browser forget it."""
        if content := self._content(headers):
            rest_s = content["until"] - int(time.time())
            self._storage.incr(left(content["id"]), rest_s + 1)
        self._set(response, "", 0, secure=secure)

    def _content(self, headers: Headers) -> dict[str, Any] | None:
        cookie = cookie_parser(headers.get("cookie", "")).get(self._name)
        try:
            content: dict[str, Any] = self._serializer.loads(cookie or "")
        except BadSignature:
            return None
        return content if time.time() < content["until"] else None

    def _set(self, response: Response, value: str, max_age_s: int, *, secure: bool) -> None:
        # Without a path it is for the folder that the page lies in, which a proxy may have put below another one.
        response.set_cookie(
            self._name, value, max_age_s, path=None, secure=secure, httponly=True, samesite="strict"
        )


def left(session_id: str) -> str:
    """Return the name under which it is counted that a session was left: for as long as its cookie is good."""
    return f"{FIXED}left/{session_id}"


def read_secret(file: Path) -> bytes:
    """Return what the cookies of this stack are signed with; whichever process comes first makes it."""
    if not file.exists():
        unfinished = file.with_suffix(f".{os.getpid()}")
        unfinished.touch(0o600)
        try:
            with unfinished.open("wb") as secret:
                secret.write(secrets.token_bytes(32))
                secret.flush()
                os.fsync(secret.fileno())  # a power failure must not leave an empty one
            file.hardlink_to(unfinished)
        except FileExistsError:
            pass  # another one was first
        finally:
            unfinished.unlink()
    return file.read_bytes()
