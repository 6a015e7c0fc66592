"""Protobuf's well-known types, from and to what vendors write: JSON objects, times, failures."""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.code_pb2 import UNKNOWN
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from adapters.errors import InvalidRequest
from adapters.secrets import NAMED, is_secret_key, mask

DOMAIN = "audiencegateway.internal"
MAX_WHOLE = 2**53
"""Up to here a double holds every whole number."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_WITHOUT_ZONE = _EPOCH.replace(tzinfo=None)
_FIRST_S = -62_135_596_800
_LAST_S = 253_402_300_799
"""What a Timestamp may hold: the years 1 to 9999."""


def struct(json: Mapping[str, Any]) -> Struct:
    """Return a JSON object as a Struct."""
    message = Struct()
    fill(message, json)
    return message


def fill(message: Struct, json: Mapping[str, Any]) -> None:
    """Put a JSON object into an empty Struct that is part of a message.

    In place: what is handed to a constructor is copied, once for each message around it. And by hand: `Struct.update`
    takes twice as long.
    """
    message.SetInParent()
    fields = message.fields
    for key, item in json.items():
        _fill(fields[key], item, fill)


def show(message: Struct, json: Mapping[str, Any]) -> None:
    """Do the same with what `adapters.secrets.redact` leaves of a JSON object, in one walk."""
    message.SetInParent()
    fields = message.fields
    named = is_secret_key(str(json.get("name", "")))
    for key, item in json.items():
        hidden = is_secret_key(key) or (named and key in NAMED)
        _fill(fields[key], mask(item) if hidden else item, show)


def value(json: Any) -> Value:  # noqa: ANN401 - JSON is Any
    """Return any JSON as a Value."""
    message = Value()
    _fill(message, json, fill)
    return message


def plain(message: Struct) -> dict[str, Any]:
    """Return a Struct as JSON, with its whole numbers as whole numbers.

    Raises:
        InvalidRequest: for a number that JSON has no way to write.
    """
    return {key: _plain(item) for key, item in message.fields.items()}


def timestamp(text: str | None) -> Timestamp | None:
    """Return a time in any form of ISO 8601, taken as UTC where it names no zone; None for what is none."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    # Neither `astimezone` nor `FromDatetime`: they take three times as long.
    since = moment - (_EPOCH if moment.tzinfo else _EPOCH_WITHOUT_ZONE)
    seconds = since.days * 86_400 + since.seconds
    if not _FIRST_S <= seconds <= _LAST_S:  # a zone that leaves the calendar
        return None
    return Timestamp(seconds=seconds, nanos=since.microseconds * 1000)


def instant(epoch_ms: float | None) -> Timestamp | None:
    """Return a time in milliseconds since 1970; None for what is none, or beyond the calendar."""
    if epoch_ms is None:
        return None
    message = Timestamp()
    try:
        message.FromMilliseconds(int(epoch_ms))
    except ValueError:
        return None
    return message


def failure(message: str, **metadata: str) -> Status:
    """Return why a job failed at its vendor, as the contract words it; empty *metadata* is left out."""
    info = ErrorInfo(
        reason="EXPORT_JOB_FAILED", domain=DOMAIN, metadata={key: text for key, text in metadata.items() if text}
    )
    status = Status(code=UNKNOWN, message=message)
    status.details.add().Pack(info)
    return status


def _fill(message: Value, json: Any, fill_struct: Callable[[Struct, Mapping[str, Any]], None]) -> None:  # noqa: ANN401 - JSON is Any
    if isinstance(json, str):
        message.string_value = json
    elif json is None:
        message.null_value = NULL_VALUE
    elif isinstance(json, bool):
        message.bool_value = json
    elif isinstance(json, int | float):
        message.number_value = json
    elif isinstance(json, dict | Mapping):  # a dict is told at once
        fill_struct(message.struct_value, json)
    else:
        message.list_value.SetInParent()
        add = message.list_value.values.add
        for item in json:
            _fill(add(), item, fill_struct)


def _plain(message: Value) -> Any:  # noqa: ANN401 - JSON is Any
    match message.WhichOneof("kind"):
        case "struct_value":
            return plain(message.struct_value)
        case "list_value":
            return [_plain(item) for item in message.list_value.values]
        case "number_value":
            return _number(message.number_value)
        case "string_value":
            return message.string_value
        case "bool_value":
            return message.bool_value
    return None


def _number(number: float) -> int | float:
    if not math.isfinite(number):
        raise InvalidRequest(f"{number} is no number in JSON")
    return int(number) if number.is_integer() and abs(number) <= MAX_WHOLE else number
