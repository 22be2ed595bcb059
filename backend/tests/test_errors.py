from __future__ import annotations

import inspect
import json
import re
from http import HTTPStatus

import pytest

from backend import errors
from backend.errors import BurbleError, by_code, from_wire

ALL = [
    value
    for _, value in inspect.getmembers(errors, inspect.isclass)
    if issubclass(value, BurbleError)
]
DRAWN = re.compile(r"^(?P<before>[ │├└─]+)(?P<name>[A-Z]\w+) +(?P<status>\d{3})? *(?P<meaning>.*)$")


def drawn_tree() -> dict[str, tuple[str | None, int | None]]:
    """The tree in the module's docstring: name → (name of the parent, status)."""
    found: dict[str, tuple[str | None, int | None]] = {}
    above: list[tuple[int, str]] = []
    for match in filter(None, map(DRAWN.match, (errors.__doc__ or "").splitlines())):
        depth, name = len(match["before"]), match["name"]
        while above and above[-1][0] >= depth:
            above.pop()
        status = int(match["status"]) if match["status"] else None
        found[name] = above[-1][1] if above else None, status
        above.append((depth, name))
    return found


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = drawn_tree()
    assert {name: parent for name, (parent, _) in drawn.items()} == {
        kind.__name__: kind.__base__.__name__ if kind is not BurbleError else None  # type: ignore[union-attr]
        for kind in ALL
    }


def test_the_statuses_in_the_docstring_are_the_statuses() -> None:
    kinds = {kind.__name__: kind for kind in ALL}
    for name, (_, status) in drawn_tree().items():
        # The two that are only there to be caught by have none of their own.
        assert status == (
            None if name in ("BurbleError", "GenerationFailed") else kinds[name].status
        )


def test_every_code_names_one_class() -> None:
    codes = [kind.code for kind in ALL]
    assert len(set(codes)) == len(codes)
    for kind in ALL:
        assert re.fullmatch("[a-z_]+", kind.code)
        assert by_code(kind.code) is kind


def test_a_code_that_is_not_known_is_still_an_error() -> None:
    assert by_code("from a newer version") is BurbleError


@pytest.mark.parametrize("kind", ALL)
def test_an_error_crosses_the_link_unchanged(kind: type[BurbleError]) -> None:
    sent = kind(
        "What happened: “ü”.", retry_after=7, errors=[{"field": "seed", "message": "No seed."}]
    )
    received = from_wire(json.loads(json.dumps(sent.to_wire())))
    assert type(received) is kind
    assert str(received) == "What happened: “ü”."
    assert received.retry_after == 7
    assert received.errors == [{"field": "seed", "message": "No seed."}]


@pytest.mark.parametrize("kind", ALL)
def test_an_error_has_a_sentence_of_its_own(kind: type[BurbleError]) -> None:
    assert re.fullmatch(r"[A-Z].*\.", str(kind()))
    assert str(from_wire(kind().to_wire())) == str(kind())


@pytest.mark.parametrize("kind", ALL)
def test_a_problem_has_the_members_of_rfc_9457_and_the_code(kind: type[BurbleError]) -> None:
    assert kind("Why.").problem() == {
        "type": "about:blank",
        "title": HTTPStatus(kind.status).phrase,
        "status": kind.status,
        "detail": "Why.",
        "code": kind.code,
    }


def test_a_problem_names_the_fields_that_are_wrong() -> None:
    wrong: errors.FieldError = {"field": "messages.0.role", "message": "No such role."}
    assert errors.InvalidRequest(errors=[wrong]).problem()["errors"] == [wrong]
