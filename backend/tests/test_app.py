from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from backend import problem
from backend.app import create_app
from backend.errors import QueueFull
from backend.settings import Settings

pytestmark = pytest.mark.anyio


async def ask(app: Any, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
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


async def test_a_refusal_says_when_to_come_back() -> None:
    app = FastAPI()
    problem.install(app)

    @app.get("/full")
    async def full() -> None:
        raise QueueFull(retry_after=7)

    response = await ask(app, "/full")
    assert (response.status_code, response.headers["retry-after"]) == (503, "7")
    assert response.json()["code"] == "queue_full"
