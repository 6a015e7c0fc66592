r"""Filters and orders of List requests, parsed and evaluated: a subset of AIP-160, and one field of AIP-132.

    filter = [ term { "AND" term } ]
    term   = field operator value            which operators, and which values, the tables below say
    value  = word | '"' text '"'             in the text, `\"` is a quote and `\\` a backslash; there are no wildcards

Whatever else AIP-160 knows is refused with its position. An absent value equals nothing: `!=` holds for it, and no
other operator does, so that `=` and `!=` always split a list in two.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from adapters import names
from adapters.base import Term
from adapters.errors import InvalidRequest, invalid_field
from audiencegateway.v1.connections_pb2 import Connection
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import ExportJob

MAX_FILTER_CHARS = 8192
"""Room for a few of the longest names, and little enough to evaluate on every item of a page."""
MAX_TERMS = 32

Compare = Callable[[Any, Any], bool]


class Kind(NamedTuple):
    """What a value may be."""

    value: Callable[[str], Any]
    """From the filter's text to the value. Raises ValueError."""
    expected: str
    """What the text has to be, for error messages."""


@dataclass(frozen=True, slots=True)
class Field:
    """What may be said about one field, and how it is judged."""

    read: Callable[[Any], Any]
    """From the message to the value, None where it is absent."""
    kind: Kind
    operators: Mapping[str, Compare]


FieldTable = Mapping[str, Field]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _one_of(words: Mapping[str, object]) -> Kind:
    expected = " or ".join(words)

    def value(text: str) -> object:
        if text not in words:
            raise ValueError(expected)
        return words[text]

    return Kind(value, expected)


def _state(message: Descriptor) -> Field:
    """Return the field of a resource's state; the word that says nothing is none of its words."""
    words = message.enum_types_by_name["State"].values
    return Field(attrgetter("state"), _one_of({word.name: word.number for word in words if word.number}), EQUALITY)


def _instant_ns(text: str) -> int:
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(text)
    date, time, fraction, zone = match.groups()
    whole = datetime.fromisoformat(f"{date}T{time}{zone.upper()}") - _EPOCH
    return whole // timedelta(seconds=1) * 10**9 + int((fraction or "").ljust(9, "0"))


def _destination_name(text: str) -> str:
    try:
        names.parse(text, "Destination")
    except InvalidRequest as error:
        raise ValueError(text) from error
    return text


def _some(text: str) -> str:
    if not text:
        raise ValueError(text)
    return text


def _create_time_ns(job: ExportJob) -> int | None:
    return job.create_time.ToNanoseconds() if job.HasField("create_time") else None


def _contains(have: str, want: str) -> bool:
    return want.casefold() in have.casefold()


def _present(compare: Compare) -> Compare:
    return lambda have, want: have is not None and compare(have, want)


EQUALS: dict[str, Compare] = {"=": operator.eq}
EQUALITY: dict[str, Compare] = {"=": operator.eq, "!=": operator.ne}
SEARCH: dict[str, Compare] = {**EQUALITY, ":": _contains}
HAS: dict[str, Compare] = {":": operator.contains}
ORDER: dict[str, Compare] = {
    **EQUALITY,
    "<": _present(operator.lt),
    "<=": _present(operator.le),
    ">": _present(operator.gt),
    ">=": _present(operator.ge),
}

TEXT = Kind(str, "a word, or text in double quotes")
TRUTH = _one_of({"true": True, "false": False})
INSTANT = Kind(_instant_ns, "a time of RFC 3339, for example 2026-01-31T08:00:00Z")
DESTINATION = Kind(_destination_name, "a name of the form connections/{connection}/destinations/{destination}")
AUDIENCE_ID = Kind(_some, "the vendor's id of an audience")

DESTINATION_FIELDS: FieldTable = {
    "state": _state(Destination.DESCRIPTOR),
    "disabled": Field(attrgetter("disabled"), TRUTH, EQUALITY),
    "display_name": Field(attrgetter("display_name"), TEXT, SEARCH),
}
EXPORT_JOB_FIELDS: FieldTable = {
    "state": _state(ExportJob.DESCRIPTOR),
    "destination": Field(attrgetter("destination"), DESTINATION, EQUALITY),
    "audiences.audience_id": Field(lambda job: [audience.audience_id for audience in job.audiences], AUDIENCE_ID, HAS),
    "create_time": Field(_create_time_ns, INSTANT, ORDER),
    # No `!=`: that the ledger answers is decided by `ListQuery.fixed`, which knows what a field is, not what it isn't.
    "started_by_gateway": Field(attrgetter("started_by_gateway"), TRUTH, EQUALS),
}
CONNECTION_FIELDS: FieldTable = {
    "vendor": Field(attrgetter("vendor"), TEXT, EQUALITY),
    "state": _state(Connection.DESCRIPTOR),
}

_SPACE = re.compile(r"[ \t\r\n]*")
_AND = re.compile(r"AND\b")
_FIELD = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*", re.ASCII)
_OPERATOR = re.compile(r"[!<>]=|[=<>:]")
_QUOTED = re.compile(r'"(?:[^"\\]|\\["\\])*')
_ESCAPED = re.compile(r'\\(["\\])')
_WORD = re.compile(r"(?!(?:AND|OR|NOT)\b)[\w./~@][\w./~@+:-]*")
_BEYOND = re.compile(r"(?:OR|NOT)\b|-|[\w.]*\(|\)|\*")
_PIECE = re.compile(r"[\w.]{1,32}|.", re.DOTALL)


def parse(text: str, fields: FieldTable) -> tuple[Term, ...]:
    """Return the terms of a filter, all of which hold together; an empty filter has none.

    Raises:
        InvalidRequest: INVALID_FILTER, with the position in its metadata: characters from 0.
    """
    if len(text) > MAX_FILTER_CHARS:
        raise _wrong(MAX_FILTER_CHARS, f"expected the end: a filter has at most {MAX_FILTER_CHARS} characters")
    terms: list[Term] = []
    at = _after(_SPACE, text, 0)
    while at < len(text):
        if terms:
            if not _AND.match(text, at):
                raise _unexpected(text, at, "AND or the end")
            if len(terms) == MAX_TERMS:
                raise _wrong(at, f"expected the end: a filter has at most {MAX_TERMS} terms")
            at = _after(_SPACE, text, _after(_AND, text, at))
        term, at = _term(text, at, fields)
        terms.append(term)
        at = _after(_SPACE, text, at)
    return tuple(terms)


def _term(text: str, at: int, fields: FieldTable) -> tuple[Term, int]:
    name = _FIELD.match(text, at)
    if name is None or name[0] not in fields:
        raise _unexpected(text, at, f"one of the fields {', '.join(fields)}")
    field = fields[name[0]]
    at = _after(_SPACE, text, name.end())
    sign = _OPERATOR.match(text, at)
    if sign is None or sign[0] not in field.operators:
        raise _unexpected(text, at, f"{' or '.join(field.operators)} after {name[0]}", found=sign and sign[0])
    at = _after(_SPACE, text, sign.end())
    value, end = _value(text, at, field)
    try:
        field.kind.value(value)
    except ValueError:
        raise _unexpected(text, at, field.kind.expected, found=value) from None
    return Term(name[0], sign[0], value), end


def _value(text: str, at: int, field: Field) -> tuple[str, int]:
    if quoted := _QUOTED.match(text, at):
        if text[quoted.end() : quoted.end() + 1] != '"':
            raise _unexpected(text, quoted.end(), r"a closing double quote, or one of the escapes \" and \\")
        return _ESCAPED.sub(r"\1", quoted[0][1:]), quoted.end() + 1
    if word := _WORD.match(text, at):
        return word[0], word.end()
    raise _unexpected(text, at, field.kind.expected)


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _unexpected(text: str, at: int, expected: str, *, found: str | None = None) -> InvalidRequest:
    piece = _PIECE.match(text, at)
    shown = ascii(found[:64]) if found is not None else ascii(piece[0]) if piece else "the end"
    beyond = found is None and _BEYOND.match(text, at)
    hint = "; OR, NOT, parentheses, functions and wildcards are not supported" if beyond else ""
    return _wrong(at, f"expected {expected}, found {shown}{hint}")


def _wrong(at: int, message: str) -> InvalidRequest:
    return invalid_field("filter", f"position {at}: {message}", reason="INVALID_FILTER", position=str(at))


def matcher(terms: Iterable[Term], fields: FieldTable) -> Callable[[Message], bool]:
    """Return the judge of terms that `parse` made with the same table: does a message satisfy them all?"""
    tests = [_test(fields[term.field], term) for term in terms]
    return (lambda message: all(test(message) for test in tests)) if tests else (lambda _: True)


def _test(field: Field, term: Term) -> Callable[[Message], bool]:
    read, compare, want = field.read, field.operators[term.op], field.kind.value(term.value)
    return lambda message: compare(read(message), want)


def parse_order(text: str, allowed: frozenset[str]) -> tuple[str, bool]:
    """Return the field to sort by and whether from the greatest down; an empty field is the list's own order.

    Raises:
        InvalidRequest: INVALID_ORDER_BY, for anything but one of the *allowed* fields and an optional `desc`.
    """
    match text.split():
        case []:
            return "", False
        case [field, *direction] if field in allowed and direction in ([], ["desc"]):
            return field, bool(direction)
    choices = " or ".join(sorted(allowed))
    expected = f"expected {choices}, optionally followed by desc" if choices else "this list has one order only"
    raise invalid_field("order_by", expected, reason="INVALID_ORDER_BY")
