"""Every way in which a request can be refused or a generation can fail.

    BurbleError                  what a client may be told: a code, a sentence, a status
    ├── InvalidRequest      422  a field is missing, of the wrong type …
    │   ├── PromptTooLong   422  all messages together
    │   └── UnknownModel    422  no such model is served
    ├── MalformedRequest    400  what came is not HTTP
    │   ├── TargetTooLong        414  its address
    │   ├── HeadTooLarge         431  its headers
    │   ├── UnsupportedTransfer  501  a body in a coding that is not known
    │   └── UnsupportedVersion   505  another HTTP
    ├── MalformedBody       400  the body is not JSON
    ├── BodyTooLarge        413
    ├── UnsupportedMedia    415  the body does not claim to be JSON
    ├── Unauthorized        401  no key, or one that is not known (any more)
    │   └── KeyRevoked      401  while an answer was running: the event that ends it
    ├── CrossSite           403  a page of another site asks with this one's cookie
    ├── ForeignHost         403  a model for this machine alone is asked by another machine's name
    ├── RateLimited         429  too many questions a minute
    │   ├── TooManyGenerations   429  too many at once
    │   ├── TokensUsedUp         429  a day's tokens are spent
    │   └── TooManyTries         429  too many wrong keys from one address
    ├── CountsUnavailable   503  what limits are counted by cannot be read or written
    ├── NotFound            404  nothing is at this address
    ├── MethodNotAllowed    405  the address takes other methods
    ├── InvalidPosition     400  resume after an event that does not exist
    ├── UnknownGeneration   404  never there, expired, or somebody else's
    ├── QueueFull           503  no place to run and none to wait
    ├── ModelUnavailable    503  the model cannot be loaded, or no engine is there
    ├── Draining            503  this engine is leaving; another one may accept
    └── GenerationFailed         the end of a stream that had begun: an event, and a status for /chat/sync alone
        ├── EngineLost      503  the process that ran it is gone
        ├── ModelError      500  the model raised
        ├── ModelTimeout    504  the model yielded nothing for too long
        ├── Shutdown        503  the server stopped before it was finished
        └── UpstreamFailed  502  the server that has the model failed
            ├── UpstreamUnreachable   502  nobody answers there
            ├── UpstreamUnauthorized  502  it does not take the key, or wants one
            ├── UpstreamModelUnknown  502  it has no such model
            ├── UpstreamBusy          503  it takes no more now
            ├── UpstreamRefused       502  it does not take this request, and says why
            ├── UpstreamCutOff        502  the connection broke in the middle of the answer
            └── UpstreamMalformed     502  what it sent is not what its API promises

Before the first byte an error is a status and one JSON shape, RFC 9457's `application/problem+json` (below `/v1`
OpenAI's: `backend/openai_wire.py`); after it, it is an event. The engine raises the same classes in its own process:
`to_wire` and `from_wire` carry them over the link.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar, TypedDict

MAX_TEXT = 2000  # characters of what an error says


def text_of(error: BaseException) -> str:
    """Return what an error says, and not too much of it; nothing where it cannot even say that."""
    try:
        return str(error)[:MAX_TEXT]
    except Exception:  # somebody else's `__str__`
        return ""


class FieldError(TypedDict):
    """What is wrong with one field: its dotted name in the body, and a sentence."""

    field: str
    message: str


class BurbleError(Exception):
    """An error whose text a client may see.

    `code` is stable and for programs, `str(error)` is for people; `retry_after` is in seconds. `headers` are more of
    the answer's, where the error becomes one.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    default: ClassVar[str] = "Something went wrong."

    def __init__(
        self,
        detail: str = "",
        *,
        retry_after: int | None = None,
        errors: list[FieldError] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or self.default)
        self.retry_after = retry_after
        self.headers = headers or {}
        self.errors = errors or []

    def problem(self) -> dict[str, Any]:
        """Return the members of the problem document (RFC 9457, section 3); `code` and `errors` are extensions."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": str(self),
            "code": self.code,
        }
        if self.errors:
            body["errors"] = self.errors
        return body

    def to_wire(self) -> dict[str, Any]:
        """Return what `from_wire` needs to raise the same error in another process."""
        return {
            "code": self.code,
            "detail": str(self),
            "retry_after": self.retry_after,
            "errors": self.errors,
        }


class InvalidRequest(BurbleError):
    code, status, default = "invalid_request", 422, "The request is not valid."


class PromptTooLong(InvalidRequest):
    """Of its own, for a client can do something about it: leave out the beginning of a conversation."""

    code, default = "prompt_too_long", "The conversation is too long."


class UnknownModel(InvalidRequest):
    """Of its own, for OpenAI's clients know it by another status."""

    code, default = "unknown_model", "There is no such model here."


class Unauthorized(BurbleError):
    code, status, default = "unauthorized", 401, "An API key is needed here."


class KeyRevoked(Unauthorized):
    code, default = (
        "key_revoked",
        "The API key that this answer was asked with is not valid any more.",
    )


class CrossSite(BurbleError):
    code, status, default = "cross_site", 403, "A page of another site may not ask this."


class ForeignHost(BurbleError):
    code, status, default = (
        "foreign_host",
        403,
        "Without keys this model is for the machine that it runs on, at an address such as localhost. "
        "BURBLE_API_KEYS, or BURBLE_ALLOW_ANONYMOUS=1, serves it by other names.",
    )


class RateLimited(BurbleError):
    """`retry_after` says when to try again; the headers of the answer say what is allowed (`backend/rate_limit.py`)."""

    code, status, default = (
        "rate_limited",
        429,
        "Too many questions. Please try again in a moment.",
    )


class TooManyGenerations(RateLimited):
    code, default = "too_many_generations", "Too many answers at once. Please wait for one to end."


class TokensUsedUp(RateLimited):
    code, default = "tokens_used_up", "The tokens of a day are used up."


class TooManyTries(RateLimited):
    code, default = "too_many_tries", "Too many wrong keys. Please try again in a moment."


class MalformedRequest(BurbleError):
    """Refused before there is a request: by the connection itself (`backend/http_protocol.py`), which ends with it."""

    code, status, default = "malformed_request", 400, "This is not a valid HTTP request."


class TargetTooLong(MalformedRequest):
    code, status, default = "target_too_long", 414, "The address is too long."


class HeadTooLarge(MalformedRequest):
    code, status, default = "head_too_large", 431, "The headers are too many or too large."


class UnsupportedTransfer(MalformedRequest):
    code, status, default = (
        "unsupported_transfer",
        501,
        "Send the body as it is, or chunked, and in no other transfer coding.",
    )


class UnsupportedVersion(MalformedRequest):
    code, status, default = "unsupported_version", 505, "Ask by HTTP/1.1."


class MalformedBody(BurbleError):
    code, status, default = "malformed_body", 400, "The body is not valid JSON."


class BodyTooLarge(BurbleError):
    code, status, default = "body_too_large", 413, "The body is too large."


class UnsupportedMedia(BurbleError):
    code, status, default = (
        "unsupported_media",
        415,
        "Send JSON, with the header Content-Type: application/json.",
    )


class CountsUnavailable(BurbleError):
    """Nothing passes that cannot be counted. The log says what whoever runs the server has to repair."""

    code, status, default = (
        "counts_unavailable",
        503,
        "The server cannot check its limits at the moment. Please try again later.",
    )


class NotFound(BurbleError):
    code, status, default = "not_found", 404, "There is nothing at this address."


class MethodNotAllowed(BurbleError):
    code, status, default = "method_not_allowed", 405, "This address does not take this method."


class InvalidPosition(BurbleError):
    code, status, default = (
        "invalid_position",
        400,
        "Last-Event-ID must be the number of an event of this stream.",
    )


class UnknownGeneration(BurbleError):
    code, status, default = (
        "unknown_generation",
        404,
        "No such answer: its id is unknown, or it has expired.",
    )


class QueueFull(BurbleError):
    code, status, default = (
        "queue_full",
        503,
        "Too many people are waiting. Please try again in a moment.",
    )


class ModelUnavailable(BurbleError):
    code, status, default = "model_unavailable", 503, "The model is not available."


class Draining(BurbleError):
    code, status, default = (
        "draining",
        503,
        "The server is restarting. Please try again in a moment.",
    )


class GenerationFailed(BurbleError):
    """The end of a stream that had begun."""

    code = "generation_failed"
    default = "The answer could not be finished."


class EngineLost(GenerationFailed):
    code, status, default = "engine_lost", 503, "The process that was writing this answer is gone."


class ModelError(GenerationFailed):
    """Raise it in a model to tell the user what went wrong: unlike other exceptions', its text is shown."""

    code, status, default = "model_error", 500, "The model failed while it was answering."


class ModelTimeout(GenerationFailed):
    code, status, default = "timeout", 504, "The model was silent for too long."


class Shutdown(GenerationFailed):
    code, status, default = "shutdown", 503, "The server stopped before the answer was finished."


class UpstreamFailed(GenerationFailed):
    """The model is another server's. Whoever runs this one has to look there; its users can try again at best."""

    code, status, default = "upstream_failed", 502, "The model's server failed."


class UpstreamUnreachable(UpstreamFailed):
    code, default = "upstream_unreachable", "The model's server cannot be reached."


class UpstreamUnauthorized(UpstreamFailed):
    code = "upstream_unauthorized"
    default = "The model's server does not accept this server's API key."


class UpstreamModelUnknown(UpstreamFailed):
    code, default = "upstream_model_unknown", "The model's server has no such model."


class UpstreamBusy(UpstreamFailed):
    code, status = "upstream_busy", 503
    default = "The model's server takes no more requests at the moment."


class UpstreamRefused(UpstreamFailed):
    code, default = "upstream_refused", "The model's server does not accept this request."


class UpstreamCutOff(UpstreamFailed):
    code, default = "upstream_cut_off", "The model's server broke off in the middle of the answer."


class UpstreamMalformed(UpstreamFailed):
    code = "upstream_malformed"
    default = "The model's server sent something that is not an answer."


def _tree(root: type[BurbleError]) -> list[type[BurbleError]]:
    return [root, *(below for child in root.__subclasses__() for below in _tree(child))]


def from_wire(error: dict[str, Any]) -> BurbleError:
    """Rebuild the error that `to_wire` described."""
    return by_code(error["code"])(
        error["detail"], retry_after=error["retry_after"], errors=error["errors"]
    )


def from_event(error: dict[str, Any]) -> BurbleError:
    """Rebuild the error that an event of a stream tells (`sse.failure`)."""
    return by_code(error["code"])(error["message"], retry_after=error.get("retry_after"))


def by_code(code: str) -> type[BurbleError]:
    """Return the class with this code; the root for one that is not known."""
    return _kinds().get(code, BurbleError)


def codes(root: type[BurbleError] = BurbleError) -> list[str]:
    """Return every code that there is, or those of one branch of the tree."""
    return list(_kinds(root))


def _kinds(root: type[BurbleError] = BurbleError) -> dict[str, type[BurbleError]]:
    """Return the classes by their codes; a model may have others below them, which share theirs."""
    return {kind.code: kind for kind in _tree(root) if "code" in vars(kind)}
