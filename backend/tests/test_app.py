from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from backend import problem
from backend.app import create_api, create_app
from backend.errors import QueueFull
from backend.settings import Settings

pytestmark = pytest.mark.anyio


async def ask(app: Any, path: str, base_url: str = "http://test") -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=base_url) as client:
        return await client.get(path)


async def test_an_error_that_nobody_foresaw_tells_nothing_and_is_as_safe_as_any_other(
    make_settings: Callable[..., Settings],
) -> None:
    # Without its lifespan the application has no engine client: a defect like any other.
    app = create_app(make_settings())
    response = await ask(app, "/health/ready")
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "error"
    assert "engines" not in response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/js/main.js", "/favicon.svg", "/health", "/nothing"])
async def test_what_comes_by_https_is_to_come_by_nothing_else_from_then_on(
    path: str, make_settings: Callable[..., Settings]
) -> None:
    app = create_app(make_settings())
    name = "strict-transport-security"
    by_https = await ask(app, path, "https://test")
    assert by_https.headers[name] == "max-age=31536000"
    assert name not in (await ask(app, path)).headers


async def test_a_refusal_says_when_to_come_back() -> None:
    app = FastAPI()
    problem.install(app)

    @app.get("/full")
    async def full() -> None:
        raise QueueFull(retry_after=7)

    response = await ask(app, "/full")
    assert (response.status_code, response.headers["retry-after"]) == (503, "7")
    assert response.json()["code"] == "queue_full"


@pytest.mark.parametrize("keys", [None, f"anna:{'a' * 64}"])
async def test_why_a_model_cannot_be_loaded_is_told_only_where_everybody_may_come_in(
    make_settings: Callable[..., Settings], keys: str | None
) -> None:
    class Engines:
        def states(self) -> list[dict[str, Any]]:
            return [{"state": "failed", "reason": "OSError: /srv/secret is not there"}]

    app = create_api(make_settings(api_keys=keys))
    app.state.engines = Engines()
    response = await ask(app, "/health/ready")
    assert response.status_code == 503
    assert "failed" in response.text
    assert ("/srv/secret" in response.text) == (keys is None)
