"""Write the documents that are made from code: settings, errors, the API and the data dictionary."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from candlecast.errors import CandlecastError, error_tree
from candlecast.settings import Settings
from tools.dictionary import data_dictionary

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"

_CONFIGURATION = """# Configuration

Every setting is an environment variable. The same names are used by all apps, which read only what concerns them.
Generated from `candlecast/settings.py` by `make generate`; edit the text there.

| variable | default | what it does |
|---|---|---|
"""
_ERRORS = """# Errors

One tree, three readers: the exit code of a job's process, the HTTP status of the service's answer, and a sentence for
people. `code` is the machine's word, in a problem's body, a run's `error_code` and the log. The service shows the same
at `/docs/errors`. Generated from `candlecast/errors.py` by `make generate`; edit the text there.
"""
_API = """# The API

The service tells the same at `/docs` for people and at `/openapi.json` for programs. Generated from the routes by
`make generate`; a test runs every line below.

`URL` is the service's address, `TOKEN` a token of `CANDLECAST_API_TOKENS`:

```
export URL=http://127.0.0.1:3000 TOKEN=...
```
"""


def configuration() -> str:
    """Return the table of all settings as Markdown."""
    return _CONFIGURATION + "".join(_row(name, field) for name, field in Settings.model_fields.items())


def errors() -> str:
    """Return every error, its cause and what to do, as Markdown."""
    return _ERRORS + "".join(map(_error, error_tree()))


def api() -> str:
    """Return every route with a line for a shell, as Markdown."""
    # Seconds of imports, which the other documents do not need.
    from service.document import document
    from service.routes import create_api

    found = document(create_api(), "")
    return _API + "".join(
        part
        for path, methods in found["paths"].items()
        for method, operation in methods.items()
        for part in _operation(method, path, operation)
    )


DOCUMENTS: Mapping[Path, Callable[[], str]] = {
    DOCS / "configuration.md": configuration,
    DOCS / "errors.md": errors,
    DOCS / "api.md": api,
    DOCS / "data-dictionary.md": data_dictionary,
}


def _row(name: str, field: FieldInfo) -> str:
    description = " ".join((field.description or "").split()).replace("|", "\\|")
    return f"| `CANDLECAST_{name.upper()}` | {_default(field)} | {description} |\n"


def _default(field: FieldInfo) -> str:
    default = {} if field.default is PydanticUndefined else field.default
    return "none" if default in (None, {}, (), "") else f"`{default}`"


def _error(error: type[CandlecastError]) -> str:
    cause = " ".join((error.__doc__ or "").split())
    numbers = f"HTTP {error.http_status}, exit code {error.exit_code}"
    return f"\n## {error.named()}\n\n{cause}\n\n- {numbers}\n- {error.remedy}\n"


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    from service.curl import curl_line

    yield f"\n## {method.upper()} {path}\n\n{operation['description']}\n"
    yield f"\n```sh\n{curl_line(method, path, operation)}\n```\n"
    for status, response in operation["responses"].items():
        content = response["content"]
        if status.startswith("2"):
            kinds = ", ".join(f"`{kind}`" for kind in content)
            yield f"\nAnswers {status} as {kinds}"
        if "application/json" in content:
            yield f":\n\n```json\n{json.dumps(content['application/json']['example'], indent=2)}\n```\n"
        elif status.startswith("2"):
            yield ".\n"
    codes = (
        f"[{code}](errors.md#{code})"
        for response in operation["responses"].values()
        for code in response["content"].get("application/problem+json", {}).get("examples", {})
    )
    yield f"\nErrors: {', '.join(codes)}\n"


def main() -> int:
    """Write every document."""
    for path, make in DOCUMENTS.items():
        path.write_text(make())
    return 0


if __name__ == "__main__":
    sys.exit(main())
