"""The files that a browser loads: the page from `frontend/`, and the API's own page at `/docs`."""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import os
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path

from anyio import to_thread
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import NotModifiedResponse, PathLike, StaticFiles
from starlette.types import Scope

FRONTEND = Path(__file__).parent.parent / "frontend"
SINGLE_FILES = {
    "/": "index.html",
    "/favicon.svg": "favicon.svg",
    "/manifest.webmanifest": "manifest.webmanifest",
    "/service_worker.js": "service_worker.js",
}

SMALL_BYTES = 200  # less than that does not shrink by more than it takes to say so
WORTHWHILE = 0.9  # of a file's size: images are compressed already
# Comments on lines of their own, of which our own scripts and styles have many.
COMMENT_LINES = re.compile(
    rb"^[ \t]*(?:/\*(?:(?!\*/).)*\*/|//[^\n]*)[ \t]*$", re.DOTALL | re.MULTILINE
)
# Swagger UI: as tight as the page's own, but for Trusted Types, of which it knows nothing.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
CACHED_VERSIONS = 256  # of all files together, of which there are fewer than a hundred


class PageFiles(StaticFiles):
    """Static files, compressed for a client that takes gzip.

    A browser asks for them again each time, mostly to hear that nothing has changed: so an edit shows at once. Both
    forms of a file carry the same ETag, and therefore a weak one (RFC 9110, section 8.8.1).
    """

    def file_response(
        self,
        full_path: PathLike,
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """Do what `StaticFiles` does, with a shorter ETag: it has to differ from those of other versions, no more."""
        version = f"{stat_result.st_mtime_ns}-{stat_result.st_size}"
        etag = f'"{hashlib.blake2s(version.encode(), digest_size=5).hexdigest()}"'
        response = FileResponse(full_path, status_code, {"ETag": etag}, stat_result=stat_result)
        if self.is_not_modified(response.headers, Headers(scope=scope)):
            return NotModifiedResponse(response.headers)
        return response

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return the file, or a 304. Raises `HTTPException` when there is no such file, or for another method."""
        response = await super().get_response(path, scope)
        headers = response.headers
        headers["Cache-Control"] = "no-cache"
        headers["Vary"] = "Accept-Encoding"
        headers["ETag"] = "W/" + headers["ETag"]
        # Modules are UTF-8, and the rest is what the document is, without that it is said (HTML, section 8.1.4.2).
        media_type, _, charset = headers.get("Content-Type", "").partition(";")
        if charset and media_type in ("text/javascript", "text/css"):
            headers["Content-Type"] = media_type
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


def listing(*, compressed: bool) -> bytes:
    """List the files that the page may ever load, for a browser that keeps a copy of it, as JSON.

    `files` has their URLs, relative to the page, and the hashes of what such a client is sent (Subresource Integrity,
    section 3.1); `version` is a hash over all of that.
    """
    parts = [FRONTEND / "favicon.svg", *FRONTEND.glob("js/**/*.js"), *FRONTEND.glob("styles/*.css")]
    urls = {part.relative_to(FRONTEND).as_posix(): part for part in sorted(parts)}
    files = {
        url: integrity(str(path), path.stat().st_size, path.stat().st_mtime_ns, compressed)
        for url, path in {"./": FRONTEND / "index.html", **urls}.items()
    }
    version = hashlib.sha256(json.dumps(files).encode()).hexdigest()[:40]
    return json.dumps({"version": version, "files": files}).encode()


@functools.lru_cache(CACHED_VERSIONS)
def integrity(path: str, size: int, modified_ns: int, compressed: bool) -> str:
    """Return the hash of what a client is sent, which is without comments where it is compressed."""
    sent = gzipped(path, size, modified_ns) if compressed else None
    content = Path(path).read_bytes() if sent is None else gzip.decompress(sent)
    return "sha256-" + b64encode(hashlib.sha256(content).digest()).decode()


def docs_policy(html: bytes) -> str:
    """Return the policy of the API's page, which starts itself from an inline script: from that one, and no other."""
    scripts = re.findall(rb"<script>(.*?)</script>", html, re.DOTALL)
    hashes = "".join(
        f" 'sha256-{b64encode(hashlib.sha256(script).digest()).decode()}'" for script in scripts
    )
    return DOCS_POLICY.replace("script-src 'self'", f"script-src 'self'{hashes}")


def install(app: FastAPI) -> None:
    """Serve the page at `/` and the API's page at `/docs`; their URLs are relative, so both work below a subpath."""
    page = PageFiles(directory=FRONTEND)

    def single(name: str) -> Callable[[Request], Awaitable[Response]]:
        async def file(request: Request) -> Response:
            return await page.get_response(name, request.scope)

        return file

    async def files_json(request: Request) -> Response:
        content = await to_thread.run_sync(
            functools.partial(listing, compressed=takes_gzip(request.headers))
        )
        etag = f'W/"{hashlib.sha256(content).hexdigest()[:10]}"'
        headers = {"ETag": etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if etag in request.headers.get("If-None-Match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type="application/json")

    async def from_copy() -> Response:
        """Lead home who asks here for a copy of the page, which only the browser that has it can show."""
        return RedirectResponse("../../")

    async def docs() -> HTMLResponse:
        page = get_swagger_ui_html(
            openapi_url="openapi.json",
            title=app.title,
            swagger_js_url="swagger/swagger-ui-bundle.js",
            swagger_css_url="swagger/swagger-ui.css",
            swagger_favicon_url="favicon.svg",
        )
        page.headers["Content-Security-Policy"] = docs_policy(bytes(page.body))
        return page

    for path, name in SINGLE_FILES.items():
        app.add_api_route(path, single(name), methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/files.json", files_json, include_in_schema=False)
    app.add_api_route("/offline/{version}/", from_copy, include_in_schema=False)
    app.add_api_route("/docs", docs, include_in_schema=False)
    app.mount("/icons", PageFiles(directory=FRONTEND / "icons"))
    app.mount("/js", PageFiles(directory=FRONTEND / "js"))
    app.mount("/styles", PageFiles(directory=FRONTEND / "styles"))
    app.mount("/swagger", PageFiles(directory=str(files("fastapi_swagger.resources"))))
