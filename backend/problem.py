"""Errors as HTTP answers: one shape, `application/problem+json` (RFC 9457), whatever refused and wherever."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from backend.errors import BurbleError, FieldError, InvalidRequest, MalformedBody, UnsupportedMedia


def problem_response(error: BurbleError) -> Response:
    """Return the answer that says what `error` says."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return JSONResponse(
        error.problem(), error.status, headers, media_type="application/problem+json"
    )


def install(app: FastAPI) -> None:
    """Give every error that reaches the application this shape."""
    app.add_exception_handler(BurbleError, _burble_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _unexpected)


async def _burble_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, BurbleError)
    return problem_response(error)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        return problem_response(UnsupportedMedia())
    if any(item["type"] == "json_invalid" for item in found):
        at = found[0]["loc"][-1]
        return problem_response(MalformedBody(f"The body is not valid JSON (at character {at})."))
    errors: list[FieldError] = [
        {"field": ".".join(str(part) for part in item["loc"][1:]) or "body", "message": item["msg"]}
        for item in found
    ]
    detail = "; ".join(f"{item['field']}: {item['message']}" for item in errors)
    return problem_response(InvalidRequest(detail, errors=errors))


async def _http_exception(_request: Request, error: Exception) -> Response:
    """Give Starlette's own errors the shape: unknown paths, wrong methods, bodies that are not text."""
    assert isinstance(error, HTTPException)
    if error.status_code == 400:
        # FastAPI's word for a body that is not UTF-8, is nested too deeply, or has numbers of too many digits.
        return problem_response(MalformedBody())
    title = HTTPStatus(error.status_code).phrase
    code = title.lower().replace(" ", "_")
    body = {
        "type": "about:blank",
        "title": title,
        "status": error.status_code,
        "detail": error.detail,
        "code": code,
    }
    return JSONResponse(
        body, error.status_code, error.headers, media_type="application/problem+json"
    )


async def _unexpected(_request: Request, _error: Exception) -> Response:
    """Say nothing of what happened: Starlette raises the error again after this, and the server logs it."""
    return problem_response(BurbleError())
