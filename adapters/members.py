"""Audience members into a vendor's rows, checked as the contract asks; what is wrong is told by index, never by value.

Of a file of millions most members differ in their identifier and their attributes alone. So each is compared with the
one before, and only one of another kind is looked into: protobuf compares whole messages faster than Python reads one.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar
from unicodedata import category

import msgspec
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from adapters.errors import InvalidRequest, Violation
from audiencegateway.v1.members_pb2 import AudienceMember, AudienceMemberDefaults

R = TypeVar("R")
Source = AudienceMember | AudienceMemberDefaults
Problem = tuple[str, str]
"""A field (empty: all of the message) and what is wrong with it."""
Make = Callable[[str, str, str, str, str, str, str, int, int | None, str], R]
"""From the vendor's word for the operation, compartment_id, user_account_id, email_hash, user_agent_id, audience_id,
audience_key, units of time (0: for ever), the end in epoch milliseconds where it is said, and attributes_json to a row.
A text is empty where there is none."""

MAX_CHARS = 1024
"""Of an identifier, a compartment, a target."""
MAX_ATTRIBUTES_BYTES = 16 * 1024
MAX_VIOLATIONS = 20
MAX_UNITS = 2**31 - 1
"""For how long at most: more may be too much for a vendor's numbers, and come out as anything, also as for ever."""
LINE_BREAKING = frozenset({"Cc", "Zl", "Zp"})
"""Unicode's categories of control characters and of separators of lines."""
IDENTIFIERS = ("user_account_id", "email_hash", "user_agent_id")
NONE, ADD, REMOVE = AudienceMember.OPERATION_UNSPECIFIED, AudienceMember.ADD, AudienceMember.REMOVE
SOMEWHERE = "here or in the defaults"
Expiration = tuple[int, int | None]
"""Units of time, 0 for ever; and the end in epoch milliseconds, where that is said."""
FOR_EVER: Expiration = (0, None)


class Dialect(NamedTuple):
    """How a vendor says what the contract says."""

    words: Mapping[int, str]
    """Its words for ADD and REMOVE."""
    unit_ms: int
    """What it counts time in."""


class _Usual(NamedTuple):
    """What a member gets that leaves something unset."""

    operation: int
    compartment_id: str
    audience_id: str
    audience_key: str
    expiration: Expiration | None


class _Kind(NamedTuple):
    """What members have in common that differ in their identifier and their attributes alone."""

    pattern: AudienceMember | None
    """One of them."""
    word: str
    compartment_id: str
    audience_id: str
    audience_key: str
    units: int
    until_ms: int | None


NO_KIND = _Kind(None, "", "", "", "", 0, None)


def rows(
    make: Make[R],
    members: Iterable[AudienceMember],
    first_index: int,
    defaults: AudienceMemberDefaults,
    dialect: Dialect,
    *,
    now_ms: int,
) -> list[R]:
    """Return the rows of *members*; the first of them has *first_index* in the whole upload.

    Raises:
        InvalidRequest: INVALID_FIELD, with the first 20 violations by index; or with those of the defaults.
    """
    made, found = list[R](), _Violations()
    kinds = _Kinds(defaults, dialect, now_ms, found)
    latest: dict[tuple[int, bool], _Kind] = {}  # by what changes more often than the rest
    operation, is_account, (pattern, word, compartment, audience, key, units, until_ms) = NONE, False, NO_KIND
    for index, member in enumerate(members, first_index):
        account, email, agent = member.user_account_id, "", ""
        if not account:
            email = member.email_hash
            agent = "" if email else member.user_agent_id
        identifier, attributes = account or email or agent, member.attributes_json
        if len(identifier) > MAX_CHARS or not identifier.isprintable():
            found.extend(index, _text_problems(member, _given(member, IDENTIFIERS)))
        if attributes and (problem := attributes_problem(attributes)):
            found.extend(index, [("attributes_json", problem)])
        if member.operation != operation or (account != "") != is_account:
            operation, is_account = turn = member.operation, account != ""
            pattern, word, compartment, audience, key, units, until_ms = latest.get(turn, NO_KIND)
        if pattern:
            pattern.attributes_json = attributes
            if account:
                pattern.user_account_id = account
            else:
                pattern.email_hash, pattern.user_agent_id = email, agent
        if pattern != member or not identifier:
            kind = kinds.find(member, index, (account, email, agent), attributes)
            if kind is None:
                continue
            latest[operation, is_account] = kind
            pattern, word, compartment, audience, key, units, until_ms = kind
        made.append(make(word, compartment, account, email, agent, audience, key, units, until_ms, attributes))
    found.refuse()
    return made


def check(defaults: AudienceMemberDefaults, dialect: Dialect, *, now_ms: int) -> None:
    """Refuse defaults that break a rule.

    Raises:
        InvalidRequest: INVALID_FIELD.
    """
    _usual(defaults, dialect, now_ms)


class _Violations:
    """What is wrong with members: the first 20, by index and field."""

    def __init__(self) -> None:
        self._found: list[Violation] = []

    def extend(self, index: int, problems: Iterable[Problem]) -> None:
        """Note what is wrong with the member at *index* of the whole upload; with enough, refuse at once."""
        at = f"audience_members[{index}]"
        self._found += [Violation(f"{at}.{field}" if field else at, text) for field, text in problems]
        if len(self._found) >= MAX_VIOLATIONS:
            self.refuse()

    def refuse(self) -> None:
        if self._found:
            raise InvalidRequest("members break the rules that are named", violations=self._found[:MAX_VIOLATIONS])


class _Kinds:
    """The kinds of the members of one batch."""

    def __init__(self, defaults: AudienceMemberDefaults, dialect: Dialect, now_ms: int, found: _Violations) -> None:
        self._usual = _usual(defaults, dialect, now_ms)
        self._dialect = dialect
        self._now_ms = now_ms
        self._found = found
        self._kinds: dict[tuple[int, str, bool], _Kind] = {}

    def find(
        self, member: AudienceMember, index: int, identifiers: tuple[str, str, str], attributes: str
    ) -> _Kind | None:
        """Return the kind of *member*; None where something is wrong with what it has in common with others."""
        at = member.operation, member.audience_id, identifiers[0] != ""
        kind = self._kinds.get(at, NO_KIND)
        like = kind.pattern
        if like and any(identifiers):
            like.user_account_id, like.email_hash, like.user_agent_id = identifiers
            like.attributes_json = attributes
            if like == member:
                return kind

        problems = [*_identifier_problems(member), *self._target_problems(member)]
        expiration = self._expiration(member, problems)
        if problems:
            self._found.extend(index, problems)
            return None
        usual, pattern = self._usual, AudienceMember()
        pattern.CopyFrom(member)
        compartment = member.compartment_id or (usual.compartment_id if member.user_account_id else "")
        target = member.audience_id, member.audience_key
        if target == ("", ""):
            target = usual.audience_id, usual.audience_key
        word = self._dialect.words[member.operation or usual.operation]
        self._kinds[at] = kind = _Kind(pattern, word, compartment, *target, *expiration)
        return kind

    def _target_problems(self, member: AudienceMember) -> list[Problem]:
        if target := member.WhichOneof("target"):
            return _text_problems(member, [target])
        if self._usual.audience_id or self._usual.audience_key:
            return []
        return [("target", f"is required, {SOMEWHERE}")]

    def _expiration(self, member: AudienceMember, problems: list[Problem]) -> Expiration:
        operation, arm = member.operation or self._usual.operation, member.WhichOneof("expiration")
        if operation == REMOVE:
            return FOR_EVER
        if operation != ADD:
            problems.append(("operation", f"has to be ADD or REMOVE, {SOMEWHERE}"))
        elif arm:
            return _lasting(member, arm, self._dialect.unit_ms, self._now_ms, problems)
        elif self._usual.expiration:
            return self._usual.expiration
        else:
            problems.append(("expiration", f"is required with ADD, {SOMEWHERE}"))
        return FOR_EVER


def _identifier_problems(member: AudienceMember) -> list[Problem]:
    problems: list[Problem] = []
    if len(_given(member, IDENTIFIERS)) != 1:
        problems.append(("", f"has to have one of {', '.join(IDENTIFIERS)}, and no more than one"))
    if member.compartment_id:
        problems += _text_problems(member, ["compartment_id"])
        if not member.user_account_id:
            problems.append(("compartment_id", "is for a user_account_id alone"))
    return problems


def _usual(defaults: AudienceMemberDefaults, dialect: Dialect, now_ms: int) -> _Usual:
    target, arm, expiration = defaults.WhichOneof("target"), defaults.WhichOneof("expiration"), None
    problems = _text_problems(defaults, [*_given(defaults, ["compartment_id"]), *([target] if target else [])])
    if defaults.operation not in {NONE, ADD, REMOVE}:
        problems.append(("operation", "has to be ADD or REMOVE"))
    if arm:
        expiration = _lasting(defaults, arm, dialect.unit_ms, now_ms, problems)
    if problems:
        violations = [Violation(f"defaults.{field}", text) for field, text in problems]
        raise InvalidRequest("the defaults break the rules that are named", violations=violations)
    return _Usual(defaults.operation, defaults.compartment_id, defaults.audience_id, defaults.audience_key, expiration)


def _lasting(source: Source, arm: str, unit_ms: int, now_ms: int, problems: list[Problem]) -> Expiration:
    """Return for how many units, rounded up, a member is in, and until when where *source* says so."""
    units, until_ms = 0, None
    if arm == "never_expires":
        if not source.never_expires:
            problems.append((arm, "has to be true"))
        return FOR_EVER
    if arm == "ttl":
        units = _round_up(source.ttl, unit_ms)
        if units <= 0:
            problems.append((arm, "has to be above zero"))
    else:
        until_ms = _round_up(source.expire_time, 1)
        units = -((now_ms - until_ms) // unit_ms)
        if until_ms <= now_ms:
            problems.append((arm, "has to be in the future"))
    if units > MAX_UNITS:
        problems.append((arm, "is too far away"))
    return units, until_ms


def _round_up(span: Duration | Timestamp, unit_ms: int) -> int:
    return -(-(span.seconds * 1_000_000_000 + span.nanos) // (unit_ms * 1_000_000))


def _given(source: Source, fields: Iterable[str]) -> list[str]:
    return [name for name in fields if getattr(source, name)]


def _text_problems(source: Source, fields: Iterable[str]) -> list[Problem]:
    return [(name, problem) for name in fields if (problem := text_problem(getattr(source, name)))]


def text_problem(text: str) -> str:
    """Return what is wrong with an identifier, a compartment or a target; empty: nothing."""
    if not text:
        return "is empty"
    if len(text) > MAX_CHARS:
        return f"has more than {MAX_CHARS} characters"
    if not text.isprintable() and any(category(character) in LINE_BREAKING for character in text):
        return "has a control character, or one that ends a line"
    return ""


def attributes_problem(text: str) -> str:
    """Return what is wrong with `attributes_json`; empty: nothing."""
    if len(text) > MAX_ATTRIBUTES_BYTES // 4 and len(text.encode()) > MAX_ATTRIBUTES_BYTES:
        return f"has more than {MAX_ATTRIBUTES_BYTES} bytes"
    try:
        _decode_object(text)
    except (msgspec.DecodeError, RecursionError):
        return "is not a JSON object"
    return ""


class _Object(msgspec.Struct):
    """Any JSON object: what is not modelled is only skipped, which is the fastest way to see that it is well formed."""


_decode_object = msgspec.json.Decoder(_Object).decode
