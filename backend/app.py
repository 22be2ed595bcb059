"""The HTTP side, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from backend import page, problem
from backend.engine_client import EngineClient
from backend.routes import chat, models, openai, ops
from backend.runtime import private_folder
from backend.security import BodyLimit, SecurityHeaders
from backend.settings import Settings

DESCRIPTION = (
    "Streaming chat: ask at `POST /chat`, and read the answer token by token as Server-Sent Events."
)


def create_app(settings: Settings | None = None) -> ASGIApp:
    """Return the application of one HTTP worker; without `settings` they are read from the environment."""
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.engines = EngineClient(
            private_folder(settings.runtime_path),
            settings.keep_alive,
            models=[model.id for model in settings.models],
        )
        await app.state.engines.open()
        yield
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
    problem.install(app)
    app.include_router(chat.router)
    app.include_router(models.router)
    app.include_router(openai.router)
    app.include_router(ops.router)
    page.install(app)
    return SecurityHeaders(app)  # outside of Starlette's own handler of what nobody foresaw
