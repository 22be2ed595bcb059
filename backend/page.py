"""The files that a browser loads: the page from `frontend/`, and the API's own page at `/docs`."""

from __future__ import annotations

import functools
import gzip
import re
from importlib.resources import files
from pathlib import Path

from anyio import to_thread
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FRONTEND = Path(__file__).parent.parent / "frontend"

SMALL_BYTES = 1000  # one packet takes that as it is
WORTHWHILE = 0.9  # of a file's size: images are compressed already
# Comments on lines of their own, of which our own scripts and styles have many.
COMMENT_LINES = re.compile(
    rb"^[ \t]*(?:/\*(?:(?!\*/).)*\*/|//[^\n]*)[ \t]*$", re.DOTALL | re.MULTILINE
)
CACHED_VERSIONS = 256  # of all files together, of which there are fewer than a hundred


class PageFiles(StaticFiles):
    """Static files, compressed for a client that takes gzip.

    A browser asks for them again each time, mostly to hear that nothing has changed: so an edit shows at once. Both
    forms of a file carry the same ETag, and therefore a weak one (RFC 9110, section 8.8.1).
    """

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return the file, or a 304. Raises `HTTPException` when there is no such file, or for another method."""
        response = await super().get_response(path, scope)
        headers = response.headers
        headers["Cache-Control"] = "no-cache"
        headers["Vary"] = "Accept-Encoding"
        headers["ETag"] = "W/" + headers["ETag"]
        if isinstance(response, FileResponse) and takes_gzip(Headers(scope=scope)):
            version = response.stat_result
            assert version  # `StaticFiles` has looked
            content = await to_thread.run_sync(
                gzipped, str(response.path), version.st_size, version.st_mtime_ns
            )
            if content is not None:
                for name in ("Content-Length", "Accept-Ranges", "Last-Modified"):
                    del headers[name]
                headers["Content-Encoding"] = "gzip"
                return Response(content, headers=headers)
        return response


@functools.lru_cache(CACHED_VERSIONS)
def gzipped(path: str, size: int, modified_ns: int) -> bytes | None:
    """Return the file compressed, or None where that does not pay.

    Our own files go without their comments, which are for those who read the code; its lines keep their numbers.

    Its size in bytes and its time of modification are not read, but tell one version from the next.
    """
    if size < SMALL_BYTES:
        return None
    content = Path(path).read_bytes()
    if Path(path).is_relative_to(FRONTEND) and path.endswith((".js", ".css")):
        content = COMMENT_LINES.sub(lambda comment: b"\n" * comment[0].count(b"\n"), content)
    compressed = gzip.compress(content, mtime=0)
    return compressed if len(compressed) < WORTHWHILE * size else None


def takes_gzip(request: Headers) -> bool:
    """Tell whether a client prefers gzip to no compression (RFC 9110, section 12.5.3)."""
    weights = {"identity": 0.0}
    for item in ",".join(request.getlist("accept-encoding")).split(","):
        coding, *parameters = item.replace(" ", "").replace("\t", "").lower().split(";")
        weight = re.fullmatch(r"q=([01](?:\.\d{0,3})?)", parameters[0]) if parameters else None
        weights[coding] = float(weight[1]) if weight else float(not parameters)
    gzip_weight = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip_weight > 0 and gzip_weight >= weights["identity"]


def install(app: FastAPI) -> None:
    """Serve the page at `/` and the API's page at `/docs`; their URLs are relative, so both work below a subpath."""
    page = PageFiles(directory=FRONTEND)

    async def index(request: Request) -> Response:
        return await page.get_response("index.html", request.scope)

    async def favicon(request: Request) -> Response:
        return await page.get_response("favicon.svg", request.scope)

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
