"""The OpenAPI document: what FastAPI knows of the routes, with examples, errors, links, and bodies read by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from candlecast import api
from candlecast.errors import CandlecastError, InvalidRequest, Unauthorized
from service.bodies import JSON, PARQUET
from service.examples import EVERYWHERE, EXAMPLES, LINKS, Example
from service.problems import ERROR_PAGE, MEDIA_TYPE, title

_DESCRIPTION = """Every forecast is written down before the future is known and scored after.

Times are UTC: RFC 3339 with a zone, or epoch milliseconds. An error is a problem (RFC 9457) whose `code` a program
can act on and whose `type` is explained below `/docs/errors`. Each answer carries its `X-Request-ID`; send one of your
own to find it in the service's log.

Lists come newest first and page by page: while `next_end` or `next_before` is not null, ask again with it as `end` or
`before`. HEAD is answered wherever GET is. BentoML's own clients ask at `POST /forecast` what others ask at
`POST /v1/forecasts`.
"""
_REFERENCE = "#/components/schemas/{model}"
_UNDOCUMENTED = {"accept", "accept-encoding"}  # OpenAPI says it with media types instead
_OWN_CANDLES = "forecast_own_candles"

Node = dict[str, Any]


def document(app: FastAPI, prefix: str) -> Node:
    """Return the document of `app`, whose paths are below `prefix`."""
    found: Node = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version="3.1.0",
        summary=app.summary,
        description=_DESCRIPTION,
        routes=app.routes,
        servers=[{"url": prefix or "/"}],
    )
    for operation in operations(found):
        _complete(operation, EXAMPLES[operation["operationId"]], prefix)
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    schemas |= _shapes([api.Problem, *(type(one.body) for one in EXAMPLES.values() if one.body)])
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return found


async def known_parameters(request: Request) -> None:
    """Raise InvalidRequest for a query parameter that is not in the document, or that is there more than once."""
    given = [name for name, _ in request.query_params.multi_items()]
    if not given:
        return
    known = _query_parameters(request.app)[request.scope["route"].name]
    for name in dict.fromkeys(given):
        if name not in known:
            takes = f"known are {', '.join(sorted(known))}" if known else "none is known here"
            raise InvalidRequest(f"query.{name}: there is no such parameter; {takes}")
        if given.count(name) > 1 and not known[name]:
            raise InvalidRequest(f"query.{name}: give it once")


@cache
def _query_parameters(app: FastAPI) -> dict[str, dict[str, bool]]:
    """Return for every operation its query parameters, and whether each may be repeated."""
    return {
        operation["operationId"]: {
            one["name"]: "array" in str(one["schema"]) for one in operation["parameters"] if one["in"] == "query"
        }
        for operation in operations(document(app, ""))
    }


def operations(found: Mapping[str, Any]) -> Iterator[Node]:
    """Yield the operations of a document."""
    for methods in found["paths"].values():
        yield from methods.values()


def _complete(operation: Node, example: Example, prefix: str) -> None:
    operation["summary"] = operation.get("description", "").split("\n")[0].rstrip(".")
    parameters = [one for one in operation.get("parameters", []) if one["name"].lower() not in _UNDOCUMENTED]
    for parameter in parameters:
        if parameter["name"] in example.values:
            parameter["example"] = example.values[parameter["name"]]
        parameter["schema"] = _without_null(parameter["schema"])
    operation["parameters"] = parameters
    if example.body is not None:
        operation["requestBody"] = {"required": True, "content": _bodies(operation["operationId"], example.body)}
    (success,) = (response for status, response in operation["responses"].items() if status.startswith("2"))
    _complete_success(operation["operationId"], success, example)
    success = {status: one for status, one in operation["responses"].items() if status.startswith("2")}
    operation["responses"] = success | _problems((*EVERYWHERE, *example.errors), prefix)


def _without_null(schema: Node) -> Node:
    """Return the schema of a parameter that may be left out, but is never null."""
    choices = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
    kept = {key: value for key, value in schema.items() if key not in ("anyOf", "title", "description")}
    if len(choices) == 1:
        return {**choices[0], **kept}
    return {**kept, "anyOf": choices} if choices else kept


def _complete_success(operation: str, success: Node, example: Example) -> None:
    success["description"] = "What was asked for"
    success["headers"] = {"X-Request-ID": {"description": "The request's id", "schema": {"type": "string"}}}
    for kind, content in success["content"].items():
        if kind == JSON:
            assert isinstance(example.answer, api.Shape)  # noqa: S101  # an example of a shape
            content["example"] = example.answer.model_dump(mode="json")
        elif not content.get("schema"):
            content["schema"] = {"type": "string"}
    if operation in LINKS:
        success["links"] = {
            name: {"operationId": target, "parameters": {parameter: expression}}
            for name, (target, parameter, expression) in LINKS[operation].items()
        }


def _bodies(operation: str, body: api.Shape) -> Node:
    reference = _REFERENCE.format(model=type(body).__name__)
    known = {JSON: {"schema": {"$ref": reference}, "example": body.model_dump(mode="json", exclude_unset=True)}}
    if operation == _OWN_CANDLES:
        known[PARQUET] = {"schema": {"type": "string", "format": "binary"}}
    return known


def _problems(errors: Iterable[type[CandlecastError]], prefix: str) -> Node:
    by_status: dict[int, list[type[CandlecastError]]] = {}
    for error in dict.fromkeys(errors):
        by_status.setdefault(error.http_status, []).append(error)
    return {str(status): _problem(status, by_status[status], prefix) for status in sorted(by_status)}


def _problem(status: int, errors: Iterable[type[CandlecastError]], prefix: str) -> Node:
    examples = {error.named(): {"value": problem_example(error, prefix)} for error in errors}
    schema = {"$ref": _REFERENCE.format(model=api.Problem.__name__)}
    found: Node = {
        "description": " or ".join(examples),
        "content": {MEDIA_TYPE: {"schema": schema, "examples": examples}},
    }
    if status == Unauthorized.http_status:
        found["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        found["headers"] = {"Retry-After": {"description": "Seconds", "schema": {"type": "string"}}}
    return found


def problem_example(error: type[CandlecastError], prefix: str = "") -> Node:
    """Return a problem as the service answers it for `error`, with what the error means in place of the sentence."""
    details: Node = {}
    if error is InvalidRequest:
        details["errors"] = [{"where": "query.horizon", "problem": "Input should be greater than or equal to 1"}]
    return api.Problem(
        type=f"{prefix}{ERROR_PAGE}#{error.named()}",
        title=title(error),
        status=error.http_status,
        detail=(error.__doc__ or "").strip(),
        code=error.named(),
        request_id="2f1c9d0e7b6a4c3f8e5d4b3a29180706",
        **details,
    ).model_dump(mode="json")


def _shapes(shapes: Iterable[type[api.Shape]]) -> Node:
    wanted = [(shape, "validation" if shape is not api.Problem else "serialization") for shape in dict.fromkeys(shapes)]
    _, found = models_json_schema(wanted, ref_template=_REFERENCE)  # type: ignore[arg-type]  # the modes are literals
    definitions: Node = found["$defs"]
    return definitions
