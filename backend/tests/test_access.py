"""The door, before the smallest application that says who has come in."""

from __future__ import annotations

import time
from collections.abc import Callable
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request

from backend import problem
from backend.access import Access
from backend.keys import hash_of
from backend.routes import TheCaller, session
from backend.settings import Settings
from backend.shared_counts import SharedCounts

pytestmark = pytest.mark.anyio

ANNA, BEN = "burble_anna", "burble_ben"
PAIRS = f"anna:{hash_of(ANNA)},ben:{hash_of(BEN)}"
ORIGIN = "http://test"


class Door:
    """One HTTP worker's, asked by a client at some address."""

    def __init__(self, settings: Settings) -> None:
        api = FastAPI()
        api.include_router(session.router)
        problem.install(api)

        @api.api_route("/{path:path}", methods=["GET", "HEAD", "POST", "DELETE"])
        async def inside(path: str, request: Request, caller: TheCaller) -> dict[str, Any]:
            return dict(caller)

        self._app: Any = Access(api, settings)

    async def ask(
        self,
        method: str = "GET",
        path: str = "/inside",
        *,
        key: str | None = None,
        cookie: str | None = None,
        address: str = "192.0.2.1",
        base: str = ORIGIN,
        **headers: str,
    ) -> httpx.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            given["authorization"] = f"Bearer {key}"
        if cookie is not None:
            given["cookie"] = cookie
        transport = httpx.ASGITransport(self._app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            return await client.request(method, path, headers=given)

    async def log_in(self, key: str = ANNA) -> str:
        """Begin a session; return the cookie as a request carries it."""
        response = await self.ask("POST", "/session", key=key)
        assert response.status_code == 204
        return response.headers["set-cookie"].partition(";")[0]


@pytest.fixture
def door(make_settings: Callable[..., Settings], tmp_path: Path) -> Callable[..., Door]:
    def make(**changed: Any) -> Door:
        return Door(
            make_settings(**{"api_keys": PAIRS, "state_dir": tmp_path / "state", **changed})
        )

    return make


# Without keys

OPEN = {"api_keys": None, "model": "my.models:Mine", "bind": "127.0.0.1:8000"}


@pytest.mark.parametrize(
    "host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "LocalHost", "a.localhost:1"]
)
async def test_without_a_key_this_machine_is_served_by_its_own_names(
    door: Callable[..., Door], host: str
) -> None:
    assert (await door(**OPEN).ask(host=host)).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1@evil.example",
     "192.0.2.7:8000", "[", ""],
)  # fmt: skip
async def test_and_by_no_other_to_which_a_page_or_a_tunnel_can_lead(
    door: Callable[..., Door], host: str
) -> None:
    response = await door(**OPEN).ask("POST", host=host)
    assert (response.status_code, response.json()["code"]) == (403, "foreign_host")
    assert (await door(**OPEN).ask(path="/health", host=host)).status_code == 200


async def test_nor_where_there_is_a_socket_of_the_file_system_beside(
    door: Callable[..., Door],
) -> None:
    both = door(**OPEN | {"bind": "unix:/run/burble,127.0.0.1:8000"})
    assert (await both.ask(host="evil.example")).status_code == 403


@pytest.mark.parametrize(
    "changed",
    [{"api_keys": PAIRS}, {"allow_anonymous": True}, {"model": "simulated"}, {"bind": "unix:/run/burble"}],
)  # fmt: skip
async def test_what_is_for_others_is_served_by_any_name(
    door: Callable[..., Door], changed: dict[str, Any]
) -> None:
    key = ANNA if "api_keys" in changed else None
    response = await door(**OPEN | changed).ask(key=key, host="chat.example")
    assert response.status_code == 200


# Keys


async def test_a_key_opens_and_says_whose_the_request_is(door: Callable[..., Door]) -> None:
    caller = (await door().ask(key=BEN)).json()
    assert (caller["owner"], caller["key"], caller["account"]) == ("ben", hash_of(BEN), "key:ben")


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "bearer x", "Bearer burble_anna2", f"Basic {ANNA}", ANNA, "Bearer anna"],
)  # fmt: skip
async def test_without_a_valid_key_nothing_opens(
    door: Callable[..., Door], authorization: str
) -> None:
    response = await door().ask(authorization=authorization)
    assert (response.status_code, response.json()["code"]) == (401, "unauthorized")
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["content-type"] == "application/problem+json"


async def test_openais_clients_are_told_in_their_shape(door: Callable[..., Door]) -> None:
    response = await door().ask("POST", "/v1/chat/completions")
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"


async def test_the_page_and_the_signs_of_life_are_everybodys(door: Callable[..., Door]) -> None:
    closed = door()
    for path in ("/", "/js/a/b.js", "/styles/x.css", "/icons/192.png", "/favicon.svg"):
        assert (await closed.ask(path=path)).status_code == 200
    for path in ("/health", "/health/ready", "/files.json", "/manifest.webmanifest"):
        assert (await closed.ask(path=path, key="wrong")).status_code == 200
    for path in ("/healthy", "/js", "/health/", "/jsx/a", "/docs", "/metrics", "/%0a"):
        assert (await closed.ask(path=path)).status_code == 401, path


async def test_where_no_keys_are_set_everybody_comes_in_and_is_known_by_the_address(
    door: Callable[..., Door],
) -> None:
    opened = door(api_keys=None)
    for address, account in (
        ("192.0.2.1", "address:192.0.2.1"),
        ("::ffff:192.0.2.1", "address:192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "address:2001:db8:1:2::/64"),
    ):
        caller = (await opened.ask(key="any", address=address)).json()
        assert (caller["owner"], caller["account"]) == ("", account)
    assert (await opened.ask("POST", "/session", key="any")).status_code == 404


async def test_after_five_wrong_keys_a_minute_none_from_that_address_is_looked_at(
    door: Callable[..., Door],
) -> None:
    workers = [door(), door()]  # they count together
    statuses = [
        (await workers[i % 2].ask("POST", "/session", key=f"wrong{i}")).status_code
        for i in range(7)
    ]
    assert statuses == [401] * 5 + [429] * 2
    refused = await workers[0].ask(key=ANNA)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_tries")
    assert 50 < int(refused.headers["retry-after"]) <= 60
    assert (await workers[0].ask(key=ANNA, address="192.0.2.2")).status_code == 200


async def test_no_key_is_no_wrong_key_and_a_session_goes_on_where_keys_are_not_looked_at(
    door: Callable[..., Door],
) -> None:
    closed = door()
    cookie = await closed.log_in()
    for i in range(10):
        assert (await closed.ask()).status_code == 401
        assert (await closed.ask(cookie=cookie)).status_code == 200
        await closed.ask(key=f"wrong{i}")
    assert (await closed.ask(key=ANNA)).status_code == 429
    assert (await closed.ask(cookie=cookie)).status_code == 200


# Sessions


async def test_a_session_stands_for_its_key(door: Callable[..., Door]) -> None:
    closed = door()
    caller = (await closed.ask(cookie=await closed.log_in(BEN))).json()
    assert (caller["owner"], caller["account"]) == ("ben", "key:ben")


async def test_the_cookie_is_out_of_reach_for_scripts_other_sites_and_other_folders(
    door: Callable[..., Door],
) -> None:
    closed = door(session_hours=2)
    for origin, secure in ((ORIGIN, ""), ("https://test", True)):
        response = await closed.ask("POST", "/session", key=ANNA, base=origin)
        (cookie,) = SimpleCookie(response.headers["set-cookie"]).values()
        assert cookie["httponly"] is True
        assert cookie["samesite"] == "strict"
        assert cookie["secure"] == secure
        assert cookie["max-age"] == "7200"
        assert (cookie["path"], cookie["domain"]) == ("", "")
        assert ANNA not in cookie.value


async def test_a_cookie_that_was_changed_or_made_elsewhere_opens_nothing(
    door: Callable[..., Door], tmp_path: Path
) -> None:
    closed = door()
    cookie = await closed.log_in()
    name, _, value = cookie.partition("=")
    for other in (
        # Not its last letter, some bits of which mean nothing (RFC 4648, section 3.5).
        value[:-2] + ("A" if value[-2] != "A" else "B") + value[-1],
        "A" + value,
        value + ".x",
        "",
    ):
        assert (await closed.ask(cookie=f"{name}={other}")).status_code == 401
    elsewhere = await door(state_dir=tmp_path / "other").log_in()
    assert elsewhere.partition("=")[0] != name
    assert (await closed.ask(cookie=elsewhere)).status_code == 401
    assert (await closed.ask(cookie=f"{name}={elsewhere.partition('=')[2]}")).status_code == 401


async def test_a_session_is_good_at_every_worker_until_it_is_left(
    door: Callable[..., Door],
) -> None:
    workers = [door(), door()]
    cookie, other = await workers[0].log_in(), await workers[1].log_in()
    assert (await workers[1].ask(cookie=cookie)).status_code == 200
    left = await workers[1].ask("DELETE", "/session", cookie=cookie)
    assert left.status_code == 204
    assert "Max-Age=0" in left.headers["set-cookie"]
    for worker in workers:
        assert (await worker.ask(cookie=cookie)).status_code == 401
        assert (await worker.ask(cookie=other)).status_code == 200
    assert (await workers[0].ask("DELETE", "/session", cookie=cookie)).status_code == 204
    assert (await workers[0].ask("DELETE", "/session")).status_code == 204


async def test_a_session_begins_no_other_one(door: Callable[..., Door]) -> None:
    closed = door()
    response = await closed.ask("POST", "/session", cookie=await closed.log_in())
    assert response.status_code == 401
    assert "set-cookie" not in response.headers


async def test_a_session_ends_after_its_time(
    door: Callable[..., Door], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = door(session_hours=1)
    cookie = await closed.log_in()
    now = time.time()
    monkeypatch.setattr("backend.sessions.time.time", lambda: now + 3590)
    assert (await closed.ask(cookie=cookie)).status_code == 200
    monkeypatch.setattr("backend.sessions.time.time", lambda: now + 3610)
    assert (await closed.ask(cookie=cookie)).status_code == 401


async def test_a_session_that_was_left_stays_so_when_the_clock_was_wrong_for_a_while(
    door: Callable[..., Door], tmp_path: Path
) -> None:
    closed = door()
    cookie = await closed.log_in()
    await closed.ask("DELETE", "/session", cookie=cookie)
    # A machine without a clock of its own begins in 1970, and hears later how late it is.
    for clock in (lambda: 1000.0, time.time):
        counts = SharedCounts(tmp_path / "state", clock)
        counts.incr("anything", 1)
        counts.close()
    assert (await closed.ask(cookie=cookie)).status_code == 401


async def test_a_session_ends_with_its_key(door: Callable[..., Door], tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(PAIRS)
    closed = door(api_keys=None, api_keys_file=file)
    cookie, other = await closed.log_in(ANNA), await closed.log_in(BEN)
    # The same name with another key is not the same key.
    file.write_text(f"anna:{hash_of('burble_new')},ben:{hash_of(BEN)}\n")
    assert (await closed.ask(cookie=cookie)).status_code == 401
    assert (await closed.ask(key=ANNA)).status_code == 401
    assert (await closed.ask(cookie=other)).status_code == 200


# Other sites


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://test.evil.example"},
        {"origin": "http://test:8080"},
        {"origin": "null"},
        {"origin": "http://["},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site", "origin": ORIGIN},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/inside"), ("DELETE", "/inside"), ("DELETE", "/session")]
)
async def test_a_page_of_another_site_cannot_use_a_session(
    door: Callable[..., Door], headers: dict[str, Any], method: str, path: str
) -> None:
    closed = door()
    cookie = await closed.log_in()
    response = await closed.ask(method, path, cookie=cookie, **headers)
    assert (response.status_code, response.json()["code"]) == (403, "cross_site")
    assert (await closed.ask(cookie=cookie)).status_code == 200  # and it goes on


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": ORIGIN},
        {"sec_fetch_site": "same-origin", "origin": ORIGIN},
        # Behind a proxy that gives the application another host.
        {"sec_fetch_site": "same-origin", "origin": "https://chat.example"},
        {"sec_fetch_site": "none"},
    ],
)
async def test_its_own_page_and_programs_can(
    door: Callable[..., Door], headers: dict[str, Any]
) -> None:
    closed = door()
    response = await closed.ask("POST", cookie=await closed.log_in(), **headers)
    assert response.status_code == 200


async def test_a_key_is_never_sent_by_accident_and_works_from_anywhere(
    door: Callable[..., Door],
) -> None:
    response = await door().ask("POST", key=ANNA, origin="https://elsewhere.example")
    assert response.status_code == 200
