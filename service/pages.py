"""Pages for people: an index, the documentation of the routes and of the errors. Nothing comes from another host."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from html import escape
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from candlecast.errors import CandlecastError, error_tree
from service.asking import asking
from service.curl import curl_line
from service.document import document
from service.problems import ERROR_PAGE

router = APIRouter(include_in_schema=False)

STYLE_PATH = "/docs/style.css"
_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; --accent: light-dark(#0b5cad, #7cb7ff);
  --paper: light-dark(#fff, #15171c); --ink: light-dark(#1b1d22, #e6e8ec) }
html { background: var(--paper); color: var(--ink); scroll-padding-top: 1rem }
body { font: 1rem/1.6 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem 1.25rem 4rem }
a { color: var(--accent) }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
main:focus-visible { outline: none }
.skip { position: absolute; left: -100vw }
.skip:focus { position: static }
h2 { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line); overflow-wrap: anywhere }
h3 { font-size: 1rem; margin-bottom: .25rem }
code, pre { font: .9em/1.5 ui-monospace, monospace }
pre { background: var(--soft); padding: .75rem 1rem; overflow-x: auto; border-radius: .4rem }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--line) }
nav ul { columns: 18rem; padding-left: 1.2rem }
summary { cursor: pointer }
"""
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept",
}
_LINKS = {
    "/docs": "every route, with an example",
    "/docs/errors": "every error, and what to do",
    "/openapi.json": "the same for programs",
    "/v1/forecasts/latest": "the newest forecasts",
    "/v1/series": "what is configured, and how fresh it is",
    "/v1/models": "the registry",
    "/v1/runs": "what runs, ran and waits",
    "/v1/drift": "how far the market has moved since training",
    "/v1/status": "the state of everything",
    "/metrics": "numbers for Prometheus",
}


@router.get("/")
def index(request: Request) -> Response:
    """Answer programs with one line, browsers with a small page of links."""
    about = {"ok": True, "service": "candlecast", "version": version("candlecast")}
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse(about, headers={"Vary": "Accept"})
    prefix = asking(request.scope).prefix
    links = "".join(
        f'<li><a href="{prefix}{path}"><code>{path}</code></a>: {text}</li>' for path, text in _LINKS.items()
    )
    intro = "<p>Forecasts of crypto candles. This is the API; the screen has an address of its own.</p>"
    return _page(f"candlecast {about['version']}", f"{intro}<ul>{links}</ul>", prefix)


@router.get("/openapi.json")
def openapi(request: Request) -> Response:
    """Return the OpenAPI document."""
    return Response(_document(request.app, asking(request.scope).prefix), media_type="application/json")


@router.get("/docs")
def docs(request: Request) -> Response:
    """Return the documentation of every route."""
    prefix = asking(request.scope).prefix
    return _page("The API of candlecast", _routes_body(request.app, prefix), prefix)


@router.get(ERROR_PAGE)
def error_docs(request: Request) -> Response:
    """Return what every error means, and what to do."""
    prefix = asking(request.scope).prefix
    intro = "<p>Each problem's <code>type</code> leads to its entry here; its <code>code</code> is for programs.</p>"
    return _page("Errors", intro + "".join(map(_error, error_tree())), prefix)


@router.get(STYLE_PATH)
def style() -> Response:
    """Return the pages' style."""
    headers = {"Cache-Control": "max-age=3600", "X-Content-Type-Options": "nosniff"}
    return Response(_STYLE, media_type="text/css", headers=headers)


@cache
def _document(app: FastAPI, prefix: str) -> bytes:
    return json.dumps(document(app, prefix)).encode()


@cache
def _routes_body(app: FastAPI, prefix: str) -> str:
    known = json.loads(_document(app, prefix))
    found = [(method, path, one) for path, methods in known["paths"].items() for method, one in methods.items()]
    links = (
        f'<li><a href="#{one["operationId"]}"><code>{_title(method, path)}</code></a></li>'
        for method, path, one in found
    )
    intro = "".join(f"<p>{_inline(part)}</p>" for part in known["info"]["description"].strip().split("\n\n"))
    sections = (_operation(method, path, one, prefix) for method, path, one in found)
    shapes = (_shape(name, shape) for name, shape in sorted(known["components"]["schemas"].items()))
    nav = f'<nav aria-label="Routes"><ul>{"".join(links)}</ul></nav>'
    return f'{intro}{nav}{"".join(sections)}<h2 id="shapes">Shapes</h2>{"".join(shapes)}'


def _operation(method: str, path: str, operation: Mapping[str, Any], prefix: str) -> str:
    parts = [f'<section id="{operation["operationId"]}"><h2><code>{_title(method, path)}</code></h2>']
    parts += [f"<p>{_inline(part)}</p>" for part in operation["description"].split("\n\n")]
    if "security" in operation:
        parts.append("<p>Needs a token.</p>")
    parts.append(_code(curl_line(method, path, operation)))
    if operation["parameters"]:
        rows = ((one["name"], _type(one["schema"]), _about(one), one["required"]) for one in operation["parameters"])
        parts.append(f"<h3>Parameters</h3>{_fields(rows)}")
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<h3>Body: <code>{kind}</code></h3>{_content(content)}")
    for status, response in operation["responses"].items():
        for kind, content in response.get("content", {}).items():
            if status.startswith("2"):
                parts.append(f"<h3>Answer: {status}, <code>{escape(kind)}</code></h3>{_content(content)}")
    codes = [
        code
        for response in operation["responses"].values()
        for content in response.get("content", {}).values()
        for code in content.get("examples", {})
    ]
    errors = ", ".join(f'<a href="{prefix}{ERROR_PAGE}#{code}"><code>{code}</code></a>' for code in codes)
    return f"{''.join(parts)}<h3>Errors</h3><p>{errors}</p></section>"


def _content(content: Mapping[str, Any]) -> str:
    found = f"<p>{_type(content.get('schema', {}))}</p>"
    if "example" in content:
        found += f"<details><summary>Example</summary>{_code(json.dumps(content['example'], indent=2))}</details>"
    return found


def _code(text: str) -> str:
    """Return lines that the keyboard can scroll where they are wider than the window."""
    return f'<pre tabindex="0">{escape(text)}</pre>'


def _shape(name: str, shape: Mapping[str, Any]) -> str:
    required = shape.get("required", [])
    rows = ((key, _type(one), one.get("description", ""), key in required) for key, one in shape["properties"].items())
    about = _inline(shape.get("description", ""))
    return f'<section id="shape-{name}"><h3>{name}</h3><p>{about}</p>{_fields(rows)}</section>'


def _fields(rows: Iterable[tuple[str, str, str, bool]]) -> str:
    body = "".join(
        f"<tr><th scope='row'><code>{name}</code></th><td>{kind}</td><td>{'yes' if needed else ''}</td>"
        f"<td>{_inline(text)}</td></tr>"
        for name, kind, text, needed in rows
    )
    head = "".join(f"<th scope='col'>{name}</th>" for name in ("name", "type", "needed", "meaning"))
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" tabindex="0" role="group" aria-label="Fields">{table}</div>'


def _error(error: type[CandlecastError]) -> str:
    name = error.named()
    facts = f"HTTP {error.http_status}, exit code {error.exit_code}"
    cause = _inline(" ".join((error.__doc__ or "").split()))
    return (
        f'<section id="{name}"><h2><code>{name}</code></h2><p>{cause}</p>'
        f"<p><strong>What to do:</strong> {_inline(error.remedy)}</p><p>{facts}</p></section>"
    )


def _type(schema: Mapping[str, Any]) -> str:
    """Return a schema in a few words, with links to the shapes that it names."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f'<a href="#shape-{name}">{name}</a>'
    if choices := schema.get("anyOf"):
        return " or ".join(dict.fromkeys(_type(one) for one in choices))
    if "enum" in schema:
        return " or ".join(f"<code>{escape(str(one))}</code>" for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    bounds = " ".join(f"{word} {schema[key]}" for key, word in _BOUNDS.items() if key in schema)
    kind = schema.get("format") or schema.get("type") or "anything"
    return f"{escape(str(kind))} {bounds}".strip()


_BOUNDS = {"minimum": "from", "maximum": "to", "default": "otherwise"}


def _about(parameter: Mapping[str, Any]) -> str:
    return str(parameter.get("description") or parameter["schema"].get("description") or "")


def _title(method: str, path: str) -> str:
    return f"{method.upper()} {escape(path)}"


def _inline(text: str) -> str:
    """Return plain text as HTML; what stands in backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(" ".join(text.split()), quote=False))


def _page(title: str, body: str, prefix: str) -> HTMLResponse:
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f'<link rel="stylesheet" href="{prefix}{STYLE_PATH}"></head>'
        '<body><a class="skip" href="#content">Skip to the content</a>'
        f'<header><p><a href="{prefix}/">candlecast</a></p></header>'
        f'<main id="content" tabindex="-1"><h1>{escape(title)}</h1>{body}</main>'
        "</body></html>",
        headers=_HEADERS,
    )
