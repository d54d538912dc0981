"""Bodies of requests, read strictly: of a known kind, in UTF-8, each field once, each of its own type."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from fastapi import Request
from pydantic import ValidationError

from candlecast.api import Shape
from candlecast.errors import NotJson, TooLarge, UnsupportedMediaType
from service.problems import invalid_request

JSON = "application/json"
PARQUET = "application/vnd.apache.parquet"

_SMALL = 100_000
_MOST_FIELDS = 100
_MOST_PARTS = 600

Body = TypeVar("Body", bound=Shape)


async def read_body(request: Request, *kinds: str) -> tuple[str, bytes]:
    """Return the body and its kind, one of `kinds`; raise UnsupportedMediaType for any other."""
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    kind = kind.strip().lower()
    charset = parameters.strip().lower().replace('"', "")
    if kind not in kinds or (charset and charset not in ("charset=utf-8", "charset=utf8")):
        raise UnsupportedMediaType(f"send the body with content-type {' or '.join(kinds)}")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMediaType("send the body as it is, without content-encoding")
    return kind, await request.body()


def parse_json(shape: type[Body], content: bytes) -> Body:
    """Return a body of JSON as its shape; raise NotJson or InvalidRequest, which name what is wrong."""
    if (parts := content.count(b"[") + content.count(b"{")) > _MOST_PARTS:
        raise NotJson(f"the body is not JSON that can be read: it holds {parts} lists and objects")
    found = _plain(shape, content)
    if found is not None:
        return found
    try:
        value = json.loads(content.decode(), object_pairs_hook=_each_once)
    except ValueError as error:
        raise NotJson(f"the body is not JSON: {error}") from None
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        raise invalid_request(error.errors(include_url=False, include_input=False), within=("body",)) from None


def _plain(shape: type[Body], content: bytes) -> Body | None:
    """Return a body that is right and plain, read in one pass; None where a closer look must tell what is wrong.

    Of a field that is named twice this pass would take the second: then there are more quotation marks than the
    fields and texts that were found account for.
    """
    try:
        found = shape.model_validate_json(content)
    except ValidationError:
        return None
    return found if content.count(b'"') == _quotation_marks(found) else None


def _quotation_marks(value: object) -> int:
    """Return how many of them a value has in JSON that escapes nothing, keys included."""
    if isinstance(value, Shape):
        return sum(2 + _quotation_marks(getattr(value, name)) for name in value.model_fields_set)
    if isinstance(value, list) and value and isinstance(value[0], str | Shape):
        return sum(map(_quotation_marks, value))
    return 2 if isinstance(value, str) else 0


def json_body(shape: type[Body]) -> Callable[[Request], Awaitable[Body]]:
    """Return the dependency that reads a small body of JSON as `shape`."""

    async def read(request: Request) -> Body:
        _, content = await read_body(request, JSON)
        if len(content) > _SMALL:
            raise TooLarge(f"the body is larger than the {_SMALL} bytes that are read here", most=_SMALL)
        return parse_json(shape, content)

    return read


def _each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > _MOST_FIELDS:
        raise NotJson(f"the body names {len(pairs)} fields in one place; at most {_MOST_FIELDS} are read")
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise NotJson(f"the body names the field {twice!r} more than once")
    return found
