"""The HTTP side, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from backend import observation, page, problem
from backend.access import Access
from backend.addresses import in_both_forms
from backend.engine_client import EngineClient
from backend.observation import Observation
from backend.rate_limit import RateLimits
from backend.refusals import REFUSALS, Refusals
from backend.routes import CLOSED, chat, models, openai, ops, session
from backend.runtime import private_folder
from backend.security import BodyLimit, SecurityHeaders
from backend.settings import Settings
from backend.shared_counts import open_storage

DESCRIPTION = (
    "Streaming chat: ask at `POST /chat`, and read the answer token by token as Server-Sent Events."
)


def create_app(settings: Settings | None = None) -> ASGIApp:
    """Return the application of one HTTP worker; without `settings` they are read from the environment."""
    settings = settings or Settings()
    api = create_api(settings)
    app: Any = Access(api, settings)
    app = SecurityHeaders(app)  # outside of Starlette's own handler of what nobody foresaw
    app = Observation(app, settings, api.routes)
    app = ProxyHeadersMiddleware(app, in_both_forms(settings.trusted_proxies))
    return cast(ASGIApp, app)


def create_api(settings: Settings) -> FastAPI:
    """Return what is behind the door: the API and the page."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Refusals]]:
        app.state.engines = EngineClient(
            private_folder(settings.runtime_path),
            settings.keep_alive,
            models=[model.id for model in settings.models],
        )
        await app.state.engines.open()
        refusals = Refusals(app.state.engines, observation.count_refused)
        await refusals.prepare()
        # Where the server finds it: uvicorn gives this to each connection.
        yield {REFUSALS: refusals}
        await app.state.limits.close()
        await app.state.engines.close()

    app = FastAPI(
        title="Burble",
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would name an address that is wrong below a subpath
        middleware=[Middleware(BodyLimit)],
    )
    app.state.settings = settings
    app.state.limits = RateLimits(settings, open_storage(settings))
    problem.install(app)
    app.include_router(chat.router, **CLOSED)
    app.include_router(models.router, **CLOSED)
    app.include_router(openai.router, dependencies=CLOSED["dependencies"])
    app.include_router(session.router)
    app.include_router(ops.router)
    page.install(app)
    return app
