"""What all shapes are made of."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, Strict, WithJsonSchema

_DATE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _moment(value: object) -> object:
    """Read epoch milliseconds; pydantic reads the rest, but would take small numbers for seconds."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int | datetime):
        raise ValueError("write a time like 2025-09-01T00:00:00Z, or epoch milliseconds")
    if isinstance(value, str) and not _DATE.match(value):
        raise ValueError("write a time like 2025-09-01T00:00:00Z, or epoch milliseconds")
    if not isinstance(value, int):
        return value
    try:
        return _EPOCH + timedelta(milliseconds=value)
    except OverflowError:
        raise ValueError("this time is after 9999; give epoch milliseconds") from None


Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "integer", "minimum": 0}]}),
]
"""A time with its zone in RFC 3339, or epoch milliseconds."""
WholeNumber = Annotated[int, Strict()]
Number = Annotated[float, Strict()]
Numbers = Annotated[list[Number], FailFast()]
SeriesName = Annotated[str, Field(max_length=100)]


class Shape(BaseModel):
    """Base of all shapes: unknown fields in a request are refused, docstrings become the API's documentation."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="null")


class Problem(Shape):
    """An error, as RFC 9457 problem details."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    """Where the service explains this error, below its own address."""
    title: str
    status: int
    detail: str
    """A sentence that names the thing and the way out."""
    code: str
    """The machine's word for the error, such as `unknown_series`."""
    request_id: str | None = None
    """The request's id, which is also in the service's log."""
