"""Who may come in, at the real stack: keys, sessions, and whose an answer is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from backend.app import create_api
from backend.keys import hash_of
from backend.settings import Settings
from e2e.client import Answer, Connection, asynchronous, chat, eventually, noted, script
from e2e.stack import ROOT, Stack, http_client

StartStack = Callable[..., Stack]

ANNA, BEN = "burble_anna", "burble_ben"
# All that anybody may have. A route that is added is closed, or stands here.
PUBLIC = {
    "GET /", "GET /favicon.svg", "GET /manifest.webmanifest", "GET /service_worker.js", "GET /files.json",
    "GET /offline/{version}/", "GET /js", "GET /styles", "GET /icons", "GET /health", "GET /health/ready",
    "DELETE /session",
}  # fmt: skip


def routes() -> list[tuple[str, str]]:
    """Every route of the application: its method, and its path with what stands for the parameters."""
    api = create_api(Settings(_env_file=None))
    return [
        (method, str(route.path))
        for route in iter_route_contexts(api.routes)
        for method in sorted((route.methods or {"GET"}) - {"HEAD"})  # files have no methods
    ]


def write_keys(stack: Stack, **names: str) -> None:
    lines = [f"{name}:{hash_of(key)}\n" for name, key in names.items()]
    # All at once: half of it would be read, too.
    (stack.folder / "new-keys").write_text("".join(lines))
    (stack.folder / "new-keys").replace(stack.folder / "keys")


def start_with_keys(start_stack: StartStack, **settings: Any) -> Stack:
    """Start a stack that Anna and Ben have a key of, in a file."""

    def before(stack: Stack) -> None:
        write_keys(stack, anna=ANNA, ben=BEN)

    return start_stack(before=before, api_keys_file="keys", **settings)


def headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def status(stack: Stack, key: str) -> int:
    return http_client.get(stack.url + "/models", headers=headers(key)).status_code


async def ask(stack: Stack, key: str, *steps: list[Any], name: str = "a") -> Answer:
    """Ask the scripted model with a key, on a connection of its own."""
    connection = await Connection.open(stack)
    body = {"prompt": script(name, *steps), "resumable": True}
    return await connection.ask("POST", "/chat", body, headers=headers(key))


@pytest.fixture(scope="module")
def closed_stack() -> Iterator[Stack]:
    stack = Stack(api_keys=f"anna:{hash_of(ANNA)},ben:{hash_of(BEN)}").start()
    yield stack
    stack.stop()


@pytest.fixture
def client(closed_stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=closed_stack.url, timeout=30) as client:
        yield client


# Every route


@pytest.mark.parametrize(("method", "path"), routes())
def test_a_route_is_closed_to_whoever_has_no_key_unless_it_is_everybodys(
    client: httpx.Client, method: str, path: str
) -> None:
    url = path.replace("{generation_id}", "0" * 40).replace("{", "").replace("}", "")
    if path in ("/js", "/styles", "/icons", "/swagger"):
        url += "/no_such_file"
    status = client.request(method, url).status_code
    if f"{method} {path}" in PUBLIC:
        assert status not in (401, 403)
    else:
        assert status == 401


def test_the_list_of_what_is_everybodys_names_only_what_there_is() -> None:
    assert {f"{method} {path}" for method, path in routes()} >= PUBLIC


@asynchronous
async def test_an_answer_is_its_askers_alone_on_every_route_that_takes_an_id(
    closed_stack: Stack,
) -> None:
    stack = closed_stack
    answer = await ask(stack, BEN, ["say", "secret "], ["wait", "end"], name="bens")
    await answer.until(lambda a: a.text == "secret ")
    with_id = [(method, path) for method, path in routes() if "{generation_id}" in path]
    assert len(with_id) >= 2
    for method, path in with_id:
        url = path.replace("{generation_id}", answer.id)
        refused = await (
            await (await Connection.open(stack)).ask(method, url, headers=headers(ANNA))
        ).rest()
        assert refused.status == 404, method
        assert refused.json()["code"] == "unknown_generation"
        assert b"secret" not in refused.raw
    assert "end bens" not in stack.journal()
    again = await (await Connection.open(stack)).ask(
        "GET", f"/chat/{answer.id}", headers=headers(BEN)
    )
    await again.until(lambda a: a.text == "secret ")
    mine = await (await Connection.open(stack)).ask(
        "DELETE", f"/chat/{answer.id}", headers=headers(BEN)
    )
    assert mine.status == 204
    await answer.rest()
    assert answer.finish_reason == again.finish_reason or answer.finish_reason == "cancelled"
    # What has ended is nobody else's either.
    refused = await (await Connection.open(stack)).ask(
        "GET", f"/chat/{answer.id}", headers=headers(ANNA)
    )
    assert refused.status == 404


def test_both_of_two_users_are_served_on_every_way_to_ask(client: httpx.Client) -> None:
    for key in (ANNA, BEN):
        body: dict[str, Any] = {"prompt": script("way", ["say", "yes"])}
        assert "yes" in client.post("/chat", json=body, headers=headers(key)).text
        assert client.post("/chat/sync", json=body, headers=headers(key)).json() == {
            "response": "yes"
        }
        body = {
            "model": "e2e.scripted_model:ScriptedModel",
            "messages": [{"role": "user", "content": script("way", ["say", "yes"])}],
        }
        answer = client.post("/v1/chat/completions", json=body, headers=headers(key)).json()
        assert answer["choices"][0]["message"]["content"] == "yes"


def test_the_page_is_used_with_a_session(client: httpx.Client) -> None:
    assert client.get("/models").status_code == 401
    assert client.post("/session", headers=headers(ANNA)).status_code == 204
    assert client.get("/models").status_code == 200  # by the cookie alone
    assert client.get("/docs").status_code == 200
    answer = client.post("/chat", json={"prompt": script("s", ["say", "yes"])})
    assert "yes" in answer.text
    evil = client.post("/chat", json={"prompt": "x"}, headers={"Origin": "https://evil.example"})
    assert evil.status_code == 403
    assert client.delete("/session").status_code == 204
    assert client.get("/models").status_code == 401


def test_everybody_may_ask_whether_it_is_ready_and_hears_no_more(client: httpx.Client) -> None:
    assert client.get("/health/ready").json() == {"status": "ready"}


def test_no_key_gets_into_the_log(closed_stack: Stack, client: httpx.Client) -> None:
    client.get("/models", headers=headers(ANNA))
    client.get("/models", headers=headers("burble_wrong"))  # once: others come from here as well
    assert "burble_" not in closed_stack.log()
    assert ANNA not in closed_stack.log()


# A key that is taken out


@pytest.mark.long
@asynchronous
async def test_a_key_that_is_taken_out_of_the_file_ends_what_runs_with_it(
    start_stack: StartStack,
) -> None:
    stack = start_with_keys(start_stack)
    bens = await ask(stack, BEN, ["say", "one "], ["wait", "end"], name="bens")
    annas = await ask(stack, ANNA, ["say", "one "], ["wait", "end"], name="annas")
    left = await ask(stack, BEN, ["say", "one "], ["wait", "end"], name="left")
    for answer in (bens, annas, left):
        await answer.until(lambda a: a.text == "one ")
    left.connection.close()  # nobody reads it, and it could be resumed
    async with httpx.AsyncClient(base_url=stack.url, timeout=30) as browser:
        await browser.post("/session", headers=headers(BEN))
        write_keys(stack, anna=ANNA)
        assert (await browser.get("/models")).status_code == 401
    await bens.rest()
    assert (bens.error, bens.done) == ("key_revoked", False)
    await noted(stack, "end bens")
    await noted(stack, "end left")
    assert annas.error is None
    stack.open_gate("end")
    await annas.rest()
    assert annas.done


@pytest.mark.long
@asynchronous
async def test_a_key_that_is_taken_out_of_the_environment_goes_with_the_next_reload(
    start_stack: StartStack,
) -> None:
    def write(stack: Stack, **names: str) -> None:
        pairs = ",".join(f"{name}:{hash_of(key)}" for name, key in names.items())
        (stack.folder / ".env").write_text(f"BURBLE_API_KEYS={pairs}\n")

    stack = start_stack(before=lambda stack: write(stack, anna=ANNA, ben=BEN))
    bens = await ask(stack, BEN, ["say", "one "], ["wait", "end"], name="bens")
    annas = await ask(stack, ANNA, ["say", "one "], ["wait", "end"], name="annas")
    for answer in (bens, annas):
        await answer.until(lambda a: a.text == "one ")
    write(stack, anna=ANNA)
    stack.hup()
    await bens.rest()
    assert bens.error == "key_revoked"
    stack.open_gate("end")
    await annas.rest()
    assert annas.done
    await eventually(lambda: status(stack, BEN) == 401, "the new workers")
    assert status(stack, ANNA) == 200


@pytest.mark.long
def test_a_session_outlives_a_restart(start_stack: StartStack, tmp_path: Path) -> None:
    pairs = f"anna:{hash_of(ANNA)}"
    first = start_stack(api_keys=pairs, state_dir=tmp_path / "state")
    with httpx.Client(timeout=30) as browser:
        browser.post(first.url + "/session", headers=headers(ANNA))
        first.stop()
        second = start_stack(api_keys=pairs, state_dir=tmp_path / "state")
        assert browser.get(second.url + "/models").status_code == 200
    assert not list((tmp_path / "state").glob("session-secret.*"))  # nothing half made is left
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


# Whose address it is


@pytest.mark.long
def test_a_client_behind_a_proxy_is_known_by_its_own_address(start_stack: StartStack) -> None:
    def wrong(stack: Stack, forwarded: str) -> int:
        asked = {**headers("wrong"), "X-Forwarded-For": forwarded, "X-Forwarded-Proto": "https"}
        return http_client.get(stack.url + "/models", headers=asked).status_code

    pairs = f"anna:{hash_of(ANNA)}"
    behind = start_stack(api_keys=pairs, trusted_proxies="127.0.0.0/8, 10.0.0.1")
    # What a client writes stands on the left of what the proxies have added.
    for n in range(5):
        assert wrong(behind, f"6.6.6.{n}, 192.0.2.1, 10.0.0.1") == 401
    assert wrong(behind, "6.6.6.6, 192.0.2.1, 10.0.0.1") == 429
    assert wrong(behind, "192.0.2.1, 192.0.2.2") == 401
    asked = {**headers(ANNA), "X-Forwarded-For": "192.0.2.3", "X-Forwarded-Proto": "https"}
    session = http_client.post(behind.url + "/session", headers=asked)
    assert "Secure" in session.headers["set-cookie"]

    exposed = start_stack(api_keys=pairs)  # where nobody is trusted, all of it is forged
    assert [wrong(exposed, f"192.0.2.{n}") for n in range(6)] == [401] * 5 + [429]
    session = http_client.post(
        start_stack(api_keys=pairs).url + "/session",
        headers={**headers(ANNA), "X-Forwarded-Proto": "https"},
    )
    assert "Secure" not in session.headers["set-cookie"]


# A start that is refused


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"BURBLE_BIND": "0.0.0.0:8000"}, "BURBLE_ALLOW_ANONYMOUS=1"),
        ({"BURBLE_API_KEYS": "anna"}, "BURBLE_API_KEYS: entry 1 is no NAME:HASH"),
        (
            {"BURBLE_API_KEYS": f"anna:{hash_of(ANNA)}", "BURBLE_STATE_DIR": "/usr"},
            "/usr must be a folder of this user with mode 0700; set BURBLE_STATE_DIR to another",
        ),
    ],
)
def test_a_stack_that_would_be_open_or_could_not_keep_its_door_does_not_start(
    tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    outcome = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn_conf.py")],
        cwd=tmp_path,
        env={
            **{name: value for name, value in os.environ.items() if "BURBLE" not in name},
            "PYTHONPATH": str(ROOT),
            "BURBLE_MODEL": "examples.echo:Echo",
            "BURBLE_BIND": "127.0.0.1:1",
            "BURBLE_RUNTIME_DIR": str(tmp_path / "run"),
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert outcome.returncode != 0
    assert "Burble cannot start:" in outcome.stderr
    assert said in outcome.stderr
    assert "Traceback" not in outcome.stderr


@asynchronous
async def test_without_keys_an_id_is_enough(stack: Stack) -> None:
    answer = await chat(stack, script("open", ["say", "x"], ["wait", "open"]), resumable=True)
    connection = await Connection.open(stack)
    assert (await connection.ask("DELETE", f"/chat/{answer.id}")).status == 204
