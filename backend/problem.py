"""Errors as HTTP answers, whatever refused and wherever, in one of two shapes.

`application/problem+json` (RFC 9457); below `/v1`, whose clients know no other, OpenAI's own.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from backend import metrics, openai_wire
from backend.errors import (
    BurbleError,
    FieldError,
    InvalidRequest,
    MalformedBody,
    MethodNotAllowed,
    NotFound,
    UnsupportedMedia,
)

# What those mean who are nearly right.
HINTS = {
    "/chat/completions": f"OpenAI's API is below {openai_wire.PREFIX}: ask {openai_wire.PREFIX}/chat/completions, "
    f"or give your client a base address that ends in {openai_wire.PREFIX}."
}
MAX_ERRORS = 20  # that one answer tells: a body may hold as many as it has fields


def error_response(
    error: BurbleError, path: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the answer that says what `error` says, in the shape that clients of this path read; and count it."""
    metrics.REFUSALS.labels(error.code).inc()
    return uncounted_response(error, path, headers)


def uncounted_response(
    error: BurbleError, path: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the answer that `error_response` would, for whoever counts how often it is given."""
    headers = {**error.headers, **(headers or {})}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if path == openai_wire.PREFIX or path.startswith(openai_wire.PREFIX + "/"):
        status, body = openai_wire.refusal(error)
        return JSONResponse(body, status, headers)
    return JSONResponse(
        error.problem(), error.status, headers, media_type="application/problem+json"
    )


def install(app: FastAPI) -> None:
    """Give every error that reaches the application its shape."""
    app.add_exception_handler(BurbleError, _burble_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _unexpected)


async def _burble_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, BurbleError)
    return error_response(error, request.scope["path"])


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        return await _burble_error(request, UnsupportedMedia())
    return await _burble_error(request, _of_body(error))


def _of_body(error: RequestValidationError) -> BurbleError:
    """Say what is wrong with a body, field by field."""
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        at = found[0]["loc"][-1]
        return MalformedBody(f"The body is not valid JSON (at character {at}).")
    errors: list[FieldError] = [
        {"field": ".".join(str(part) for part in item["loc"][1:]) or "body", "message": item["msg"]}
        for item in found[:MAX_ERRORS]
    ]
    detail = "; ".join(f"{item['field']}: {item['message']}" for item in errors)
    return InvalidRequest(detail, errors=errors)


async def _http_exception(request: Request, error: Exception) -> Response:
    """Give Starlette's own errors the shape: unknown paths, wrong methods, bodies that are not text."""
    assert isinstance(error, HTTPException)
    known = {
        # FastAPI's word for a body that is not UTF-8, is nested too deeply, or has numbers of too many digits.
        400: MalformedBody,
        401: NotFound,  # Starlette's word for a file that may not be read
        404: NotFound,
        405: MethodNotAllowed,
    }
    kind = known.get(error.status_code, BurbleError)
    path = request.scope["path"]
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = _methods(request) or headers.get("Allow", "GET, HEAD")  # those of a file
    return error_response(kind(HINTS.get(path, "")), path, headers)


def _methods(request: Request) -> str:
    """List the documented methods of an address: Starlette's answer knows those of one route (RFC 9110, 10.2.1)."""
    path = getattr(request.scope.get("route"), "path", None)
    return ", ".join(map(str.upper, request.app.openapi()["paths"].get(path, {})))


async def _unexpected(request: Request, _error: Exception) -> Response:
    """Say nothing of what happened: Starlette raises the error again after this, and the server logs it."""
    return error_response(BurbleError(), request.scope["path"])
