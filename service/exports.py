"""Rows as files: which format a request wants, and the answer that streams it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from fastapi import Depends, Header, Query
from fastapi.responses import StreamingResponse

from candlecast.candles import Series
from candlecast.store.export import Batch
from candlecast.store.files import MEDIA_TYPES, Format, encode

FILES: dict[int | str, dict[str, Any]] = {200: {"content": {kind: {} for kind in MEDIA_TYPES.values()}}}
"""What a route that also gives files adds to its documentation."""


def _wanted(
    format: Annotated[  # noqa: A002  # the API's word
        Literal["json", "csv", "parquet"] | None,
        Query(description="JSON when left out, unless `Accept` names another; files hold all rows, not a page"),
    ] = None,
    accept: Annotated[str, Header()] = "",
) -> Format | None:
    if format is not None:
        return None if format == "json" else format
    accepted = [name for name, kind in MEDIA_TYPES.items() if kind.partition(";")[0] in accept]
    return accepted[0] if accepted else None


FileFormat = Annotated[Format | None, Depends(_wanted)]
"""The file that the request wants; None for JSON."""


def file_response(
    batches: Iterable[Batch], kinds: Mapping[str, str], wanted: Format, what: str, series: Series
) -> StreamingResponse:
    """Return an answer that sends the batches as one file while they are read."""
    name = f"{what}-{series.venue}-{series.symbol}-{series.interval}.{wanted}"
    return StreamingResponse(
        encode(batches, kinds, wanted),
        media_type=MEDIA_TYPES[wanted],
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Vary": "Accept"},
    )
