"""What the API answers without asking an engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from backend.app import create_api
from backend.link import Abilities
from backend.settings import Settings

pytestmark = pytest.mark.anyio

SERVED = ("openai/llama3.2:3b", "openai/org/name", "my.models:Mine")


class ModelsThatAreLoaded:
    """In the place of the engine client: what the engines have told, and nobody to ask."""

    def __init__(self, **can_think: bool) -> None:
        self._can_think = can_think

    def states(self) -> list[dict[str, Any]]:
        return [
            {"model": SERVED[int(number[1:])], "abilities": abilities(can_think)}
            for number, can_think in self._can_think.items()
        ]


def abilities(can_think: bool) -> Abilities:
    return {
        "name": None,
        "sampling": [],
        "thinking": can_think,
        "messages": True,
        "context_tokens": None,
    }


@pytest.fixture
def ask(make_settings: Callable[..., Settings]) -> Callable[..., Any]:
    """Send one request to the application, which has no engine to start anything on."""

    async def ask(method: str, path: str, engines: Any = None, **options: Any) -> httpx.Response:
        app = create_api(make_settings(model=",".join(SERVED)))
        if engines:
            app.state.engines = engines
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **options)

    return ask


async def test_a_model_is_found_by_its_name_with_slashes_and_colons(
    ask: Callable[..., Any],
) -> None:
    listed = (await ask("GET", "/v1/models")).json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == list(SERVED)
    for model in listed["data"]:
        for path in (model["id"], model["id"].replace("/", "%2F").replace(":", "%3A")):
            assert (await ask("GET", f"/v1/models/{path}")).json() == model
    unknown = await ask("GET", "/v1/models/openai/llama3.2")
    assert unknown.status_code == 404
    assert unknown.json()["error"]["code"] == "model_not_found"


async def test_an_error_that_nobody_foresaw_has_the_shape_too_and_tells_nothing(
    ask: Callable[..., Any],
) -> None:
    # Without its lifespan the application has no engine client: a defect like any other.
    body = {"model": SERVED[0], "messages": [{"role": "user", "content": "a"}]}
    response = await ask("POST", "/v1/chat/completions", json=body)
    assert response.status_code == 500
    assert response.json() == {
        "error": {
            "message": "Something went wrong.",
            "type": "server_error",
            "param": None,
            "code": "error",
        }
    }


@pytest.mark.parametrize("path", ["/chat", "/v1/chat/completions"])
@pytest.mark.parametrize(
    "wrong", [{"messages": [{}] * 10_000}, {"messages": [], **{str(n): 1 for n in range(10_000)}}]
)
async def test_of_a_body_that_is_wrong_throughout_not_everything_is_told(
    ask: Callable[..., Any], path: str, wrong: dict[str, Any]
) -> None:
    body = {"model": SERVED[0], **wrong}
    response = await ask("POST", path, ModelsThatAreLoaded(n0=True), json=body)
    assert response.status_code in (400, 422)
    assert len(response.content) < 5000


async def test_a_model_that_cannot_think_is_not_asked_to(ask: Callable[..., Any]) -> None:
    body = {
        "model": SERVED[1],
        "messages": [{"role": "user", "content": "a"}],
        "reasoning_effort": "high",
    }
    refused = await ask("POST", "/v1/chat/completions", ModelsThatAreLoaded(n1=False), json=body)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "reasoning_effort"
    # One that can, and one of which nothing is known yet, are asked: nobody is there to be.
    for engines in (ModelsThatAreLoaded(n1=True), ModelsThatAreLoaded(n0=False)):
        assert (await ask("POST", "/v1/chat/completions", engines, json=body)).status_code == 500
