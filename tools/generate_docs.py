"""Write the documents that are made from code: `docs/configuration.md` from the settings class."""

from __future__ import annotations

from pathlib import Path

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from candlecast.settings import Settings

ROOT = Path(__file__).parent.parent
CONFIGURATION = ROOT / "docs" / "configuration.md"

_HEAD = """# Configuration

Every setting is an environment variable. The same names are used by all apps, which read only what concerns them.
Generated from `candlecast/settings.py` by `make generate`; edit the text there.

| variable | default | what it does |
|---|---|---|
"""


def configuration() -> str:
    """Return the table of all settings as Markdown."""
    return _HEAD + "".join(_row(name, field) for name, field in Settings.model_fields.items())


def _row(name: str, field: FieldInfo) -> str:
    description = " ".join((field.description or "").split()).replace("|", "\\|")
    return f"| `CANDLECAST_{name.upper()}` | {_default(field)} | {description} |\n"


def _default(field: FieldInfo) -> str:
    default = {} if field.default is PydanticUndefined else field.default
    return "none" if default in (None, {}, (), "") else f"`{default}`"


if __name__ == "__main__":
    CONFIGURATION.write_text(configuration())
