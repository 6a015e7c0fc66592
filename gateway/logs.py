"""Logging: one line a record on stderr, as JSON or as text for people, with the fields that `extra` brings.

`LOG.info("call", extra={"fields": {"caller": ...}})` puts the fields beside time, level, logger and message. Nothing
here hides a secret: records are never given one.
"""

import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

import msgspec

FORMATS = ("json", "text")
LEVELS = ("debug", "info", "warning", "error")
_ENCODER = msgspec.json.Encoder(enc_hook=str)


def configure(*, form: str, level: str, fields: Mapping[str, object] | None = None) -> None:
    """Send every record of at least *level* to stderr, and to nowhere else, with these *fields* in each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    if fields:
        handler.addFilter(partial(_add, fields))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(capture=True)


class JsonFormatter(logging.Formatter):
    """One JSON object a record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _ENCODER.encode(
            line | {key: value for key, value in _fields(record).items() if key not in line}
        ).decode()


class TextFormatter(logging.Formatter):
    """One line a record, but for tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as `time LEVEL logger: message key=value`; empty fields are left out."""
        fields = "".join(f" {key}={value}" for key, value in _fields(record).items() if value not in ("", None))
        # A line break in a message must not look like a record of its own.
        message = f"{record.getMessage()}{fields}".replace("\n", "\\n").replace("\r", "\\r")
        line = f"{_time(record)} {record.levelname:<7} {record.name}: {message}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _add(fields: Mapping[str, object], record: logging.LogRecord) -> bool:
    record.fields = {**fields, **_fields(record)}
    return True


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    fields: object = getattr(record, "fields", None)
    return fields if isinstance(fields, Mapping) else {}
