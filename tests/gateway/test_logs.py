"""Log lines: one a record, whatever is in it."""

import asyncio
import io
import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.logs import JsonFormatter, LineHandler, TextFormatter, _buffered

characters = st.characters(exclude_categories=["Cs"])
values = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(characters)


def record(message: str, /, *args: object, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("gateway.access", logging.INFO, __file__, 1, message, args, None)
    made.created = 1_700_000_000.1236
    made.fields = fields
    return made


def test_a_json_line_has_the_fields_beside_the_message() -> None:
    line = JsonFormatter().format(record("%s calls", 3, caller="reports", duration_ms=1.5, vendor_calls=0))
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.123Z",
        "level": "info",
        "logger": "gateway.access",
        "message": "3 calls",
        "caller": "reports",
        "duration_ms": 1.5,
        "vendor_calls": 0,
    }


def test_a_field_can_not_pass_for_the_message() -> None:
    line = json.loads(JsonFormatter().format(record("call", message="other", level="error", logger="root")))
    assert (line["message"], line["level"], line["logger"]) == ("call", "info", "gateway.access")


def test_a_text_line_leaves_empty_fields_out() -> None:
    line = TextFormatter().format(record("call", caller="reports", reason="", connection=None, vendor_calls=0))
    assert line == "2023-11-14T22:13:20.123Z INFO    gateway.access: call caller=reports vendor_calls=0"


def test_a_record_without_fields_is_one_too() -> None:
    bare = record("ready")
    del bare.__dict__["fields"]
    assert json.loads(JsonFormatter().format(bare)).keys() == {"time", "level", "logger", "message"}
    assert TextFormatter().format(bare).endswith("gateway.access: ready")


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_a_traceback_is_there(formatter: logging.Formatter) -> None:
    failed = record("internal error")
    try:
        raise RuntimeError("a defect")
    except RuntimeError:
        failed.exc_info = sys.exc_info()
    line = formatter.format(failed)
    text = json.loads(line)["traceback"] if isinstance(formatter, JsonFormatter) else line
    assert text.startswith("Traceback") or "\nTraceback" in text
    assert text.endswith("RuntimeError: a defect")
    assert isinstance(formatter, TextFormatter) or "\n" not in line


@given(st.text(characters), st.dictionaries(st.text(characters), values, max_size=3))
def test_a_record_is_one_line(message: str, fields: dict[str, object]) -> None:
    made = record("%s", message)
    made.fields = fields
    line = JsonFormatter().format(made)
    assert "\n" not in line
    assert json.loads(line)["message"] == message
    assert "\n" not in TextFormatter().format(made)
    assert "\r" not in TextFormatter().format(made)


def other(message: str) -> logging.LogRecord:
    return logging.LogRecord("gateway.audit", logging.INFO, __file__, 1, message, (), None)


class Noticed(io.BytesIO):
    """What tells when something reaches it."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = asyncio.Event()
        self.broken = False

    def write(self, data: Any) -> int:
        if self.broken:
            raise BrokenPipeError
        self.reached.set()
        return super().write(data)


@pytest.fixture
def raw() -> Noticed:
    return Noticed()


@pytest.fixture
def handler(raw: Noticed) -> LineHandler:
    return LineHandler(io.TextIOWrapper(raw))


async def test_access_lines_wait_for_each_other_and_any_other_line_takes_them_along(
    raw: Noticed, handler: LineHandler
) -> None:
    handler.handle(record("one"))
    handler.handle(record("two"))
    assert not raw.getvalue()
    handler.handle(other("three"))
    assert raw.getvalue() == b"one\ntwo\nthree\n"


async def test_access_lines_do_not_wait_for_ever(
    raw: Noticed, handler: LineHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.logs.DEFERRED_S", 0.0)
    for message in ("one", "two"):
        handler.handle(record(message))
        assert message not in raw.getvalue().decode()
        await raw.reached.wait()
        raw.reached.clear()
    assert raw.getvalue() == b"one\ntwo\n"


def test_where_nothing_could_write_it_later_a_line_is_written_at_once(raw: Noticed, handler: LineHandler) -> None:
    handler.handle(record("one"))
    assert raw.getvalue() == b"one\n"


async def test_lines_that_nobody_reads_any_more_end_no_call(
    raw: Noticed, handler: LineHandler, capsys: pytest.CaptureFixture[str]
) -> None:
    raw.broken = True
    handler.handle(other("one"))
    raw.broken = False
    handler.handle(other("two"))
    assert raw.getvalue().endswith(b"two\n")
    assert capsys.readouterr() == ("", "")


def test_the_log_is_buffered_even_where_the_interpreter_is_not(tmp_path: Path) -> None:
    with io.TextIOWrapper(io.FileIO(tmp_path / "log", "w"), write_through=True) as stream:
        buffered = _buffered(stream)
        buffered.write("one\n")
        assert not (tmp_path / "log").read_text()
        buffered.flush()
    assert (tmp_path / "log").read_text() == "one\n"


def test_a_stream_that_is_no_file_is_taken_as_it_is() -> None:
    stream = io.StringIO()
    assert _buffered(stream) is stream
