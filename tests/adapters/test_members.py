"""Members into rows: every rule of the contract, whatever came before, and no value of a member in any error."""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import members
from adapters.errors import InvalidRequest
from audiencegateway.v1.members_pb2 import AudienceMember, AudienceMemberDefaults

NOW_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
NOW_S = NOW_MS // 1000
MINUTES = members.Dialect(words={AudienceMember.ADD: "in", AudienceMember.REMOVE: "out"}, unit_ms=60_000)
ADD, REMOVE = AudienceMember.ADD, AudienceMember.REMOVE
OF_ONE: dict[str, Any] = {"operation": ADD, "user_account_id": "a", "audience_id": "7", "never_expires": True}
Row = tuple[Any, ...]
MANY = "has to have one of user_account_id, email_hash, user_agent_id, and no more than one"


def row(*values: Any) -> Row:
    return values


def rows(*batch: AudienceMember, first_index: int = 0, **defaults: Any) -> list[Row]:
    return members.rows(row, batch, first_index, AudienceMemberDefaults(**defaults), MINUTES, now_ms=NOW_MS)


def one(**fields: Any) -> Row:
    (made,) = rows(AudienceMember(**{**OF_ONE, **fields}))
    return made


def refused(*batch: AudienceMember, first_index: int = 0, **defaults: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequest) as caught:
        rows(*batch, first_index=first_index, **defaults)
    assert caught.value.reason == "INVALID_FIELD"
    assert {violation.reason for violation in caught.value.violations} == {"INVALID_FIELD"}
    return [(violation.field, violation.description) for violation in caught.value.violations]


def refusal(**fields: Any) -> dict[str, str]:
    """Return what is wrong with one member, by field, below its path."""
    found = refused(AudienceMember(**{**OF_ONE, **fields}))
    assert all(path.startswith("audience_members[0]") for path, _ in found)
    return {path.removeprefix("audience_members[0]").removeprefix("."): text for path, text in found}


def in_seconds(seconds: int, nanos: int = 0) -> Timestamp:
    return Timestamp(seconds=NOW_S + seconds, nanos=nanos)


# What comes out.


def test_a_row_has_what_the_member_says() -> None:
    fields: dict[str, Any] = {"compartment_id": "12", "attributes_json": '{"score": 3}', "ttl": Duration(seconds=90)}
    assert one(**fields) == ("in", "12", "a", "", "", "7", "", 2, None, '{"score": 3}')
    assert one(operation=REMOVE) == ("out", "", "a", "", "", "7", "", 0, None, "")
    assert one(user_account_id="", email_hash="e3")[2:5] == ("", "e3", "")
    assert one(user_account_id="", user_agent_id="vec:1")[2:5] == ("", "", "vec:1")
    assert one(audience_key="letters")[5:7] == ("", "letters")


@pytest.mark.parametrize(
    ("seconds", "nanos", "minutes"),
    [(0, 1, 1), (1, 0, 1), (59, 999_999_999, 1), (60, 0, 1), (60, 1, 2), (61, 0, 2), (86_400, 0, 1440), (60, -1, 1)],
)
def test_a_ttl_is_rounded_up(seconds: int, nanos: int, minutes: int) -> None:
    assert one(ttl=Duration(seconds=seconds, nanos=nanos))[7:9] == (minutes, None)


@pytest.mark.parametrize(
    ("time", "minutes", "until_ms"),
    [
        (in_seconds(60), 1, NOW_MS + 60_000),
        (in_seconds(60, 1), 2, NOW_MS + 60_001),
        (in_seconds(60, 1_000_000), 2, NOW_MS + 60_001),
        (in_seconds(0, 1), 1, NOW_MS + 1),
        (in_seconds(3600), 60, NOW_MS + 3_600_000),
    ],
    ids=str,
)
def test_an_end_is_given_as_such_and_as_the_time_until_then_rounded_up(
    time: Timestamp, minutes: int, until_ms: int
) -> None:
    assert one(expire_time=time)[7:9] == (minutes, until_ms)


def test_defaults_are_for_what_is_unset() -> None:
    usual: dict[str, Any] = {
        "operation": ADD,
        "compartment_id": "12",
        "audience_key": "letters",
        "ttl": Duration(seconds=3600),
    }
    made = rows(
        AudienceMember(user_account_id="a"),
        AudienceMember(email_hash="e3"),
        AudienceMember(user_account_id="b", compartment_id="13"),
        AudienceMember(user_account_id="a", audience_id="7"),
        AudienceMember(user_account_id="a", never_expires=True),
        AudienceMember(user_account_id="a", operation=REMOVE),
        **usual,
    )
    assert made == [
        ("in", "12", "a", "", "", "", "letters", 60, None, ""),
        ("in", "", "", "e3", "", "", "letters", 60, None, ""),
        ("in", "13", "b", "", "", "", "letters", 60, None, ""),
        ("in", "12", "a", "", "", "7", "", 60, None, ""),
        ("in", "12", "a", "", "", "", "letters", 0, None, ""),
        ("out", "12", "a", "", "", "", "letters", 0, None, ""),
    ]


def test_an_expiration_is_ignored_with_remove_even_a_wrong_one() -> None:
    wrong: list[dict[str, Any]] = [{"ttl": Duration()}, {"expire_time": in_seconds(-1)}, {"never_expires": False}]
    for expiration in wrong:
        assert one(operation=REMOVE, **expiration)[7:9] == (0, None)
    (made,) = rows(AudienceMember(user_account_id="a", operation=REMOVE, audience_id="7"), ttl=Duration(seconds=60))
    assert made[7:9] == (0, None)


def test_unusual_texts_pass() -> None:
    for text in ("ünï", "a b", "\u00a0", "\u200b", "😀", "=1+1", '"', ",", "x" * 1024):
        assert one(user_account_id=text)[2] == text


# What is refused.


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"user_account_id": ""}, {""}),
        ({"email_hash": "e3"}, {""}),
        ({"user_agent_id": "vec:1"}, {""}),
        ({"user_account_id": "", "email_hash": "e3", "user_agent_id": "vec:1"}, {""}),
        ({"user_account_id": "", "email_hash": "e3", "compartment_id": "12"}, {"compartment_id"}),
        ({"user_account_id": "", "compartment_id": "12"}, {"", "compartment_id"}),
        ({"audience_id": ""}, {"audience_id"}),
        ({"audience_key": ""}, {"audience_key"}),
        ({"operation": 0}, {"operation"}),
        ({"operation": 7}, {"operation"}),
        ({"never_expires": False}, {"never_expires"}),
        ({"ttl": Duration()}, {"ttl"}),
        ({"ttl": Duration(seconds=-60)}, {"ttl"}),
        ({"ttl": Duration(nanos=-1)}, {"ttl"}),
        ({"ttl": Duration(seconds=60 * 2**31)}, {"ttl"}),
        ({"expire_time": in_seconds(0)}, {"expire_time"}),
        ({"expire_time": in_seconds(-1, 999_999_999)}, {"expire_time"}),
        ({"expire_time": Timestamp()}, {"expire_time"}),
        ({"expire_time": Timestamp(seconds=253_402_300_799)}, {"expire_time"}),
        ({"user_account_id": "x" * 1025}, {"user_account_id"}),
        ({"compartment_id": "x" * 1025}, {"compartment_id"}),
        ({"audience_id": "x" * 1025}, {"audience_id"}),
        ({"audience_key": "x" * 1025}, {"audience_key"}),
        ({"user_account_id": "x" * 600, "audience_id": "x\n" * 300}, {"audience_id"}),
        ({"attributes_json": "[]"}, {"attributes_json"}),
        ({"attributes_json": "null"}, {"attributes_json"}),
        ({"attributes_json": "{"}, {"attributes_json"}),
        ({"attributes_json": '{"a": NaN}'}, {"attributes_json"}),
        ({"attributes_json": '{"a": 1} {}'}, {"attributes_json"}),
        ({"attributes_json": '{"a": "\n"}'}, {"attributes_json"}),
        ({"attributes_json": '{"a": ' + "[" * 8000 + "]" * 8000 + "}"}, {"attributes_json"}),
        ({"attributes_json": f'{{"a": "{"x" * 16_376}"}}'}, {"attributes_json"}),
        ({"attributes_json": f'{{"a": "{"ü" * 8_188}"}}'}, {"attributes_json"}),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_member_that_breaks_a_rule_is_refused_by_field(fields: dict[str, Any], at: set[str]) -> None:
    assert refusal(**fields).keys() == at


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "\t", "\0", "\x1f", "\x7f", "\x85", "\u2028", "\u2029"], ids=ascii)
@pytest.mark.parametrize(
    "field", ["user_account_id", "email_hash", "user_agent_id", "compartment_id", "audience_id", "audience_key"]
)
def test_what_could_end_a_line_is_refused_in_any_text(field: str, text: str) -> None:
    others = {"user_account_id": ""} if field in {"email_hash", "user_agent_id"} else {}
    assert refusal(**{**others, field: text}).keys() == {field}


def test_attributes_up_to_the_limit_pass() -> None:
    for text in (f'{{"a": "{"x" * 16_375}"}}', f'{{"a": "{"ü" * 8_187}"}}', '{\n "a": 9007199254740993\r\n}', "{}"):
        assert one(attributes_json=text)[9] == text


def test_everything_that_is_wrong_with_a_member_is_told_at_once() -> None:
    worst = AudienceMember(operation=ADD, compartment_id="\n", ttl=Duration(), attributes_json="[]")
    assert {path for path, _ in refused(worst)} == {
        "audience_members[0]",
        "audience_members[0].compartment_id",
        "audience_members[0].target",
        "audience_members[0].ttl",
        "audience_members[0].attributes_json",
    }
    assert refused(AudienceMember(user_account_id="a", audience_id="7", operation=ADD)) == [
        ("audience_members[0].expiration", "is required with ADD, here or in the defaults")
    ]


def test_a_member_is_told_by_its_place_in_the_whole_upload() -> None:
    fine, wrong = AudienceMember(**OF_ONE), AudienceMember(**{**OF_ONE, "ttl": Duration()})
    assert [path for path, _ in refused(fine, wrong, fine, wrong, first_index=5000)] == [
        "audience_members[5001].ttl",
        "audience_members[5003].ttl",
    ]


def test_the_first_twenty_violations_are_told() -> None:
    wrong = AudienceMember(operation=ADD, user_account_id="a")
    found = refused(*[AudienceMember(**OF_ONE), *[wrong] * 50])
    assert len(found) == 20
    assert [path.partition("]")[0] for path, _ in found[::2]] == [f"audience_members[{n}" for n in range(1, 11)]


@pytest.mark.parametrize(
    ("defaults", "at"),
    [
        ({"operation": 9}, "operation"),
        ({"compartment_id": "a\nb"}, "compartment_id"),
        ({"audience_id": ""}, "audience_id"),
        ({"audience_key": "x" * 1025}, "audience_key"),
        ({"ttl": Duration()}, "ttl"),
        ({"expire_time": in_seconds(0)}, "expire_time"),
        ({"never_expires": False}, "never_expires"),
    ],
    ids=str,
)
def test_defaults_that_break_a_rule_are_refused_before_any_member(defaults: dict[str, Any], at: str) -> None:
    given = AudienceMemberDefaults(**defaults)
    with pytest.raises(InvalidRequest) as caught:
        members.check(given, MINUTES, now_ms=NOW_MS)
    assert [violation.field for violation in caught.value.violations] == [f"defaults.{at}"]
    assert [path for path, _ in refused(AudienceMember(**OF_ONE), **defaults)] == [f"defaults.{at}"]


def test_a_default_end_that_has_passed_meanwhile_is_refused() -> None:
    defaults, member = AudienceMemberDefaults(expire_time=in_seconds(60)), AudienceMember(**OF_ONE)
    members.check(defaults, MINUTES, now_ms=NOW_MS)
    assert members.rows(row, [member], 0, defaults, MINUTES, now_ms=NOW_MS + 59_999)
    with pytest.raises(InvalidRequest):
        members.rows(row, [member], 0, defaults, MINUTES, now_ms=NOW_MS + 60_000)


SECRET = "canary-5555"


@pytest.mark.parametrize(
    "fields",
    [
        {"user_account_id": f"{SECRET}\n"},
        {"user_account_id": SECRET, "email_hash": SECRET},
        {"user_account_id": SECRET * 100},
        {"user_account_id": "", "user_agent_id": f"{SECRET}\0"},
        {"user_account_id": SECRET, "ttl": Duration()},
        {"attributes_json": f'{{"a": "{SECRET}'},
        {"attributes_json": f'["{SECRET}"]'},
        {"attributes_json": SECRET},
        {"compartment_id": f"{SECRET}\n"},
        {"audience_key": f"{SECRET}\n"},
    ],
    ids=str,
)
def test_no_value_of_a_member_is_in_any_error(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        rows(AudienceMember(**{**OF_ONE, **fields}))
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in f"{error}{vars(error)}"
        error = None if error.__suppress_context__ else error.__context__


# Whatever came before.


Source = AudienceMember | AudienceMemberDefaults


def lasting(source: Source) -> tuple[int, int | None, set[str]]:
    """Return the minutes, the end, and the fields that break a rule."""
    arm = source.WhichOneof("expiration")
    if arm is None:
        return 0, None, {"expiration"}
    if arm == "never_expires":
        return 0, None, set() if source.never_expires else {arm}
    until_s = source.expire_time.seconds if arm == "expire_time" else None
    seconds = source.ttl.seconds if until_s is None else until_s - NOW_S
    return -(-seconds // 60), until_s and until_s * 1000, set() if seconds > 0 else {arm}


def look(member: AudienceMember, usual: AudienceMemberDefaults) -> tuple[Row, set[str]]:
    """Return the row of one member and the fields that break a rule, judged slowly and alone."""
    identifiers = {name: getattr(member, name) for name in ("user_account_id", "email_hash", "user_agent_id")}
    wrong = set() if sum(map(bool, identifiers.values())) == 1 else {""}
    if member.compartment_id and not member.user_account_id:
        wrong.add("compartment_id")
    compartment = member.compartment_id or (usual.compartment_id if member.user_account_id else "")
    target = member.WhichOneof("target")
    source: Source = member if target else usual
    if not source.WhichOneof("target"):
        wrong.add("target")
    texts: dict[str, str] = {**identifiers, "compartment_id": member.compartment_id}
    if target:
        texts[target] = getattr(member, target)
    wrong |= {name for name, text in texts.items() if "\n" in text or (name == target and not text)}
    if member.attributes_json and not isinstance(json.loads(member.attributes_json), dict):
        wrong.add("attributes_json")
    operation, minutes, until_ms = member.operation or usual.operation, 0, None
    if operation not in {ADD, REMOVE}:
        wrong.add("operation")
    if operation == ADD:
        minutes, until_ms, late = lasting(member if member.WhichOneof("expiration") else usual)
        wrong |= late
    word = {ADD: "in", REMOVE: "out"}.get(operation, "")
    said = (word, compartment, *identifiers.values(), source.audience_id, source.audience_key, minutes, until_ms)
    return (*said, member.attributes_json), wrong


def sometimes(*choices: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from([None, *choices])


def built(kind: type[Any], fields: dict[str, Any]) -> Any:
    return kind(**{name: value for name, value in fields.items() if value is not None})


EXPIRATIONS = {
    "ttl": sometimes(Duration(seconds=60), Duration(seconds=61), Duration()),
    "expire_time": sometimes(in_seconds(90), in_seconds(-1)),
    "never_expires": sometimes(True, False),
}
TARGETS = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"audience_id": sometimes("7", "8")}),
    st.fixed_dictionaries({"audience_key": sometimes("k", "")}),
)
TIMES = st.one_of(st.just({}), *(st.fixed_dictionaries({name: values}) for name, values in EXPIRATIONS.items()))
# Mostly right, or hardly a batch would be.
COMMON = st.tuples(
    st.fixed_dictionaries({"operation": sometimes(ADD, ADD, ADD, REMOVE, REMOVE, 7)}),
    st.fixed_dictionaries({"compartment_id": sometimes(None, None, "12", "13")}),
    st.one_of(st.just({"audience_id": "7"}), st.just({"audience_id": "8"}), TARGETS),
    st.one_of(st.just({"never_expires": True}), TIMES),
)
WHO = st.sampled_from(
    [
        *({"user_account_id": "a"}, {"user_account_id": "b"}, {"email_hash": "e"}, {"user_agent_id": "g"}),
        *({}, {"user_account_id": "b\n"}, {"user_account_id": "a", "email_hash": "e"}),
        {"email_hash": "e", "user_agent_id": "g"},
    ]
)
ATTRIBUTES = st.fixed_dictionaries({"attributes_json": sometimes(None, None, '{"a":1}', "{}", "[]")})


@st.composite
def batches(draw: st.DrawFn) -> list[AudienceMember]:
    """Return members of few kinds that take turns."""
    kinds = draw(st.lists(COMMON, min_size=1, max_size=3))
    turns = draw(st.lists(st.tuples(st.sampled_from(kinds), WHO, ATTRIBUTES), min_size=1, max_size=12))
    return [
        built(AudienceMember, {name: value for part in (*kind, *rest) for name, value in part.items()})
        for kind, *rest in turns
    ]


USUAL = st.fixed_dictionaries(
    {
        "operation": sometimes(ADD, REMOVE),
        "compartment_id": sometimes("14"),
        "audience_id": sometimes("9"),
        "ttl": sometimes(Duration(seconds=3600)),
    }
).map(lambda fields: built(AudienceMemberDefaults, fields))


@pytest.mark.parametrize("between", [[], [{"audience_id": "8"}], [{"operation": REMOVE}]], ids=str)
@pytest.mark.parametrize(
    "before",
    [
        {"user_account_id": "a"},
        {"email_hash": "e", "user_account_id": ""},
        {"user_agent_id": "g", "user_account_id": ""},
    ],
    ids=str,
)
@pytest.mark.parametrize("number", [0, 2])
def test_a_wrong_number_of_identifiers_is_seen_after_members_of_the_same_kind(
    before: dict[str, Any], between: list[dict[str, Any]], number: int
) -> None:
    last = {"user_account_id": "a", "email_hash": "e"} if number else {"user_account_id": ""}
    batch = [AudienceMember(**{**OF_ONE, **fields}) for fields in (before, *({**before, **b} for b in between), last)]
    assert refused(*batch) == [(f"audience_members[{len(batch) - 1}]", MANY)]


@given(st.permutations([{"user_account_id": "a"}, {"email_hash": "e"}, {"user_agent_id": "g"}] * 2))
def test_the_default_compartment_is_for_accounts_whoever_comes_before(order: Sequence[dict[str, Any]]) -> None:
    made = rows(*(AudienceMember(**who) for who in order), compartment_id="14", audience_id="7", operation=REMOVE)
    assert [one[1] for one in made] == ["14" if "user_account_id" in who else "" for who in order]


@settings(max_examples=300)
@given(batches(), USUAL)
def test_each_member_is_judged_as_if_it_came_alone(
    batch: Sequence[AudienceMember], usual: AudienceMemberDefaults
) -> None:
    judged = [look(member, usual) for member in batch]
    wrong = {(index, field) for index, (_, fields) in enumerate(judged) for field in fields}
    try:
        made = members.rows(row, batch, 0, usual, MINUTES, now_ms=NOW_MS)
    except InvalidRequest as error:
        paths = [violation.field for violation in error.violations]
        all_paths = {f"audience_members[{index}]" + (f".{field}" if field else "") for index, field in wrong}
        assert set(paths) <= all_paths
        assert len(paths) == len(set(paths)) == min(20, len(all_paths))
    else:
        assert not wrong
        assert made == [said for said, _ in judged]


@given(batches())
def test_members_are_left_as_they_were(batch: Sequence[AudienceMember]) -> None:
    before = [member.SerializeToString() for member in batch]
    with suppress(InvalidRequest):
        rows(*batch, operation=ADD, never_expires=True)
    assert [member.SerializeToString() for member in batch] == before
