"""Checks of single values in requests: names, texts, numbers, times, and the data inside of Structs.

A check is given a value, the path where it stands, and what was found so far, to which it adds.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from adapters import names
from adapters.errors import InvalidRequest
from gateway import rules
from gateway.findings import Finding, finding, keyed, too_much
from gateway.updates import MASK

Check = Callable[[Any, str, list[Finding]], None]

ALL_CONNECTIONS = "connections/-"
TIMESTAMP_S = range(-62_135_596_800, 253_402_300_800)
DURATION_S = range(-315_576_000_000, 315_576_000_001)
SECOND_NS = 10**9
_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


def name(expected: str, *, or_all: bool = False) -> Check:
    """Return the check of a resource name of the *expected* kind; *or_all* takes the wildcard too."""

    def check(value: str, at: str, found: list[Finding]) -> None:
        try:
            names.parse(value, expected, at)
        except InvalidRequest as error:
            if not (or_all and value == ALL_CONNECTIONS):
                found += [Finding(violation, error.metadata) for violation in error.violations]

    return check


def text(limit: int) -> Check:
    """Return the check of a text of at most *limit* characters."""

    def check(value: str, at: str, found: list[Finding]) -> None:
        if len(value) > limit:
            found.append(too_much(at, len(value), limit, "characters"))

    return check


def enum(known: frozenset[int]) -> Check:
    """Return the check of an enum with these numbers."""

    def check(value: int, at: str, found: list[Finding]) -> None:
        if value not in known:
            found.append(finding(at, f"{value} is no value of this enum"))

    return check


def number(least: int) -> Check:
    """Return the check of a number that is not below *least*."""

    def check(value: int, at: str, found: list[Finding]) -> None:
        if value < least:
            found.append(finding(at, f"must be at least {least}"))

    return check


def uuid4(value: str, at: str, found: list[Finding]) -> None:
    """Check a UUID of version 4 in its usual form, in lower or upper case."""
    if not _UUID4.fullmatch(value):
        found.append(finding(at, "must be a UUID of version 4, for example 8f0e7c0a-3f0b-4c39-9f6b-6a0c0f6d2b11"))


def timestamp(value: Timestamp, at: str, found: list[Finding]) -> None:
    """Check that a time is one of the years 1 to 9999."""
    if value.seconds not in TIMESTAMP_S or not 0 <= value.nanos < SECOND_NS:
        found.append(finding(at, "must be a time of the years 0001 to 9999, its nanos from 0 to 999,999,999"))


def duration(least_s: int | None) -> Check:
    """Return the check of a duration, which is not below *least_s* where that is given."""

    def check(value: Any, at: str, found: list[Finding]) -> None:  # noqa: ANN401 - two classes are called Duration
        mixed = value.seconds * value.nanos < 0
        if mixed or value.seconds not in DURATION_S or not -SECOND_NS < value.nanos < SECOND_NS:
            found.append(finding(at, "must be within 10,000 years, its seconds and nanos of one sign"))
        elif least_s is not None and value.seconds + value.nanos / SECOND_NS < least_s:
            found.append(finding(at, f"must be at least {least_s} s"))

    return check


def data(*, masks: bool) -> Check:
    """Return the check of a Struct, ListValue or Value; *masks*: a `MASK` in it has something to keep."""

    def check(value: Any, at: str, found: list[Finding]) -> None:  # noqa: ANN401 - one of three
        size = value.ByteSize()
        if size > rules.MAX_DATA_BYTES:
            found.append(too_much(at, size, rules.MAX_DATA_BYTES, "bytes"))
        else:
            _INSIDE[type(value)](value, at, found, 1, masks)

    return check


def _struct(value: Struct, at: str, found: list[Finding], depth: int, masks: bool) -> None:  # noqa: FBT001 - hot
    for key in sorted(value.fields):
        _value(value.fields[key], keyed(at, key), found, depth, masks)


def _list(value: ListValue, at: str, found: list[Finding], depth: int, masks: bool) -> None:  # noqa: FBT001 - hot
    for index, item in enumerate(value.values):
        _value(item, f"{at}[{index}]", found, depth, masks)


def _value(value: Value, at: str, found: list[Finding], depth: int, masks: bool) -> None:  # noqa: FBT001 - hot
    kind = value.WhichOneof("kind")
    if kind is None:
        found.append(finding(at, "must have a value; null_value is one"))
    elif kind == "number_value" and not math.isfinite(value.number_value):
        found.append(finding(at, "must be a finite number"))
    elif kind == "string_value" and value.string_value == MASK and not masks:
        found.append(finding(at, f"{MASK} keeps what is there, and here is nothing to keep"))
    elif kind in {"struct_value", "list_value"}:
        if depth == rules.MAX_DATA_DEPTH:
            found.append(too_much(at, depth + 1, rules.MAX_DATA_DEPTH, "levels"))
        else:
            inside = getattr(value, kind)
            _INSIDE[type(inside)](inside, at, found, depth + 1, masks)


_INSIDE: Mapping[type, Callable[[Any, str, list[Finding], int, bool], None]] = {
    Struct: _struct,
    ListValue: _list,
    Value: _value,
}
