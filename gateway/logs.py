"""Logging: one line a record on stderr, as JSON or as text for people, with the fields that `extra` brings.

Access lines are written together, a tenth of a second's worth at a time: a system call for each was a tenth of what a
short call costs. Whatever else is logged takes those before it along, at once.

`LOG.info("call", extra={"fields": {"caller": ...}})` puts the fields beside time, level, logger and message. Nothing
here hides a secret: records are never given one.
"""

import asyncio
import logging
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TextIO

import msgspec

FORMATS = ("json", "text")
LEVELS = ("debug", "info", "warning", "error")
DEFERRED = "gateway.access"
"""The logger whose lines may wait, for `DEFERRED_S` at most, for others."""
DEFERRED_S = 0.1
_ENCODER = msgspec.json.Encoder(enc_hook=str)


def configure(*, form: str, level: str, fields: Mapping[str, object] | None = None) -> None:
    """Send every record of at least *level* to stderr, and to nowhere else, with these *fields* in each."""
    # https://docs.python.org/3/howto/logging.html#optimization: what no line shows need not be found out.
    logging._srcfile = None  # noqa: SLF001 - the documented switch
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = LineHandler(_buffered(sys.stderr))
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    if fields:
        handler.addFilter(partial(_add, fields))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(capture=True)


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines to a buffered stream, and sees to it that they get out of it: those of the access log together."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._waits = False
        self._timer: asyncio.TimerHandle | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; of the access log, into the buffer."""
        self._waits = record.name == DEFERRED and self._later()
        super().emit(record)
        self._waits = False

    def flush(self) -> None:
        """Write what is in the buffer, unless it may wait."""
        if self._waits:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # If nobody reads the log any more, there is nobody to tell either.
        with suppress(OSError, ValueError):
            super().flush()

    def _later(self) -> bool:
        """Plan a flush; without a running loop there is nothing to do it."""
        if self._timer is None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                return False
            self._timer = loop.call_later(DEFERRED_S, self.flush)
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        # A field must not pass for what every line has.
        return _ENCODER.encode({**line, **_fields(record), **line}).decode()


class TextFormatter(logging.Formatter):
    """One line a record, but for tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as `time LEVEL logger: message key=value`; empty fields are left out."""
        fields = "".join(f" {key}={value}" for key, value in _fields(record).items() if value not in ("", None))
        # A line break in a message must not look like a record of its own.
        message = f"{record.getMessage()}{fields}".replace("\n", "\\n").replace("\r", "\\r")
        line = f"{_time(record)} {record.levelname:<7} {record.name}: {message}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _buffered(stream: TextIO) -> TextIO:
    """Return a stream to the same file that buffers, whatever PYTHONUNBUFFERED says; *stream* itself if it has none."""
    try:
        return open(stream.fileno(), "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    except OSError:
        return stream


def _add(fields: Mapping[str, object], record: logging.LogRecord) -> bool:
    record.fields = {**fields, **_fields(record)}
    return True


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    fields: object = getattr(record, "fields", None)
    return fields if isinstance(fields, Mapping) else {}
