"""The files that a browser loads: the page from `frontend/`, and the API's own page at `/docs`."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.staticfiles import StaticFiles

FRONTEND = Path(__file__).parent.parent / "frontend"
# Ask again each time: an edit shows at once, and what has not changed costs a 304 by its ETag.
REVALIDATE = {"Cache-Control": "no-cache"}


class PageFiles(StaticFiles):
    """Static files that a browser asks for again each time, mostly to hear that nothing has changed."""

    def file_response(
        self, full_path: str | os.PathLike[str], *args: Any, **kwargs: Any
    ) -> Response:
        response = super().file_response(full_path, *args, **kwargs)
        response.headers.update(REVALIDATE)
        return response


def install(app: FastAPI) -> None:
    """Serve the page at `/` and the API's page at `/docs`; their URLs are relative, so both work below a subpath."""

    async def index() -> Response:
        return FileResponse(FRONTEND / "index.html", headers=REVALIDATE)

    async def favicon() -> Response:
        return FileResponse(FRONTEND / "favicon.svg", headers=REVALIDATE)

    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title=app.title,
            swagger_js_url="swagger/swagger-ui-bundle.js",
            swagger_css_url="swagger/swagger-ui.css",
            swagger_favicon_url="favicon.svg",
        )

    app.add_api_route("/", index, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/favicon.svg", favicon, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/docs", docs, include_in_schema=False)
    app.mount("/js", PageFiles(directory=FRONTEND / "js"))
    app.mount("/styles", PageFiles(directory=FRONTEND / "styles"))
    app.mount("/swagger", PageFiles(directory=str(files("fastapi_swagger.resources"))))
