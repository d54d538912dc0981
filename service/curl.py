"""Lines for a shell: how to ask for each operation with curl."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from service.bodies import JSON, PARQUET
from service.examples import EXAMPLES

_SAFE = ":/,"


def curl_line(method: str, path: str, operation: Mapping[str, Any]) -> str:
    """Return the line for an operation of the OpenAPI document; `$URL` is the service's address, `$TOKEN` a token."""
    example = EXAMPLES[operation["operationId"]]
    asked = _with_query(_with_values(path, operation), operation)
    if PARQUET in operation.get("requestBody", {}).get("content", {}):
        series = quote(example.values["series"], safe=_SAFE)
        fetch = f'curl -fsS "$URL/v1/candles?series={series}&format=parquet" -o candles.parquet'
        return f"{fetch} &&\ncurl -fsS -H 'Content-Type: {PARQUET}' --data-binary @candles.parquet \"$URL{asked}\""
    words = ["curl -fsS"]
    if method == "post":
        words.append('-X POST -H "Authorization: Bearer $TOKEN"')
    if example.body is not None:
        body = json.dumps(example.body.model_dump(mode="json", exclude_unset=True))
        words.append(f"-H 'Content-Type: {JSON}' -d '{body}'")
    return f'{" ".join(words)} "$URL{asked}"'


def _with_values(path: str, operation: Mapping[str, Any]) -> str:
    for parameter in operation["parameters"]:
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", quote(str(parameter["example"]), safe=_SAFE))
    return path


def _with_query(path: str, operation: Mapping[str, Any]) -> str:
    wanted = [one for one in operation["parameters"] if one["in"] == "query" and "example" in one]
    pairs = [f"{one['name']}={_text(one['example'])}" for one in wanted]
    return f"{path}?{'&'.join(pairs)}" if pairs else path


def _text(value: object) -> str:
    value = value[0] if isinstance(value, list) else value
    return quote(str(value), safe=_SAFE)
