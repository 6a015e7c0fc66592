"""Filters and orders: what is understood, what is refused and where, and what matches."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import ListQuery, Term
from adapters.errors import InvalidRequest
from audiencegateway.v1.connections_pb2 import Connection
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import ExportAudience, ExportJob
from gateway.filtering import (
    CONNECTION_FIELDS,
    DESTINATION_FIELDS,
    EXPORT_JOB_FIELDS,
    MAX_FILTER_CHARS,
    MAX_TERMS,
    FieldTable,
    matcher,
    parse,
    parse_order,
)

EPOCH_S = 1_769_846_400  # 2026-01-31T08:00:00Z


def job(**fields: object) -> ExportJob:
    return ExportJob(**fields)  # type: ignore[arg-type]  # fields of any kind


def matches(text: str, message: Destination | ExportJob | Connection) -> bool:
    tables: dict[type, FieldTable] = {
        Destination: DESTINATION_FIELDS,
        ExportJob: EXPORT_JOB_FIELDS,
        Connection: CONNECTION_FIELDS,
    }
    table = tables[type(message)]
    return matcher(parse(text, table), table)(message)


def refusal(text: str, table: FieldTable) -> tuple[int, str]:
    with pytest.raises(InvalidRequest) as caught:
        parse(text, table)
    error = caught.value
    assert error.reason == "INVALID_FILTER"
    assert [violation.field for violation in error.violations] == ["filter"]
    position = error.metadata["position"]
    assert f"position {position}: " in error.message
    return int(position), error.message


@pytest.mark.parametrize("text", ["", " ", "\t\n"])
def test_an_empty_filter_has_no_terms_and_matches_everything(text: str) -> None:
    assert parse(text, DESTINATION_FIELDS) == ()
    assert matches(text, Destination())


def test_terms_come_in_order_with_their_operators_and_unquoted_values() -> None:
    text = (
        'state=RUNNING AND destination != "connections/acme/destinations/1~2" AND\naudiences.audience_id:42 '
        r'AND create_time >= 2026-01-31T08:00:00.5+01:00 AND audiences.audience_id : "a \"b\" \\c"'
    )
    assert parse(text, EXPORT_JOB_FIELDS) == (
        Term("state", "=", "RUNNING"),
        Term("destination", "!=", "connections/acme/destinations/1~2"),
        Term("audiences.audience_id", ":", "42"),
        Term("create_time", ">=", "2026-01-31T08:00:00.5+01:00"),
        Term("audiences.audience_id", ":", r'a "b" \c'),
    )


def test_an_adapter_finds_what_a_filter_fixes() -> None:
    query = ListQuery(terms=parse("audiences.audience_id:42 AND started_by_gateway = true", EXPORT_JOB_FIELDS))
    assert query.fixed("audiences.audience_id") == "42"
    assert query.fixed("started_by_gateway") == "true"
    assert query.fixed("destination") is None


@pytest.mark.parametrize(
    ("text", "position", "said"),
    [
        ("AND", 0, "one of the fields state, disabled, display_name, found 'AND'"),
        ("status = ACTIVE", 0, "found 'status'"),
        ("State = ACTIVE", 0, "found 'State'"),
        ("state", 5, "= or != after state, found the end"),
        ("state =", 7, "ACTIVE or SUSPENDED or DELETED, found the end"),
        ("state = active", 8, "found 'active'"),
        ("state = STATE_UNSPECIFIED", 8, "found 'STATE_UNSPECIFIED'"),
        ("  state = 'ACTIVE'", 10, 'found "\'"'),
        ("state > ACTIVE", 6, "= or != after state, found '>'"),
        ("state == ACTIVE", 7, "found '='"),
        ("disabled < true", 9, "= or != after disabled, found '<'"),
        ("disabled = TRUE", 11, "true or false, found 'TRUE'"),
        ("disabled : true", 9, "found ':'"),
        ("disabled", 8, "found the end"),
        ("display_name > a", 13, "= or != or : after display_name"),
        ("display_name = ", 15, "a word, or text in double quotes, found the end"),
        ("display_name = AND", 15, "found 'AND'"),
        ('display_name = "a', 17, "a closing double quote"),
        (r'display_name = "a\n"', 17, "one of the escapes"),
        ('display_name = "a" "b"', 19, "AND or the end"),
        ("display_name = a b", 17, "AND or the end, found 'b'"),
        ("display_name = a AND", 20, "one of the fields"),
        ("display_name = a ANDdisabled = true", 17, "AND or the end, found 'ANDdisabled'"),
        ("display_name = a AND AND disabled = true", 21, "found 'AND'"),
        ("display_name = a and disabled = true", 17, "AND or the end, found 'and'"),
        ("display_name = a\x00", 16, r"found '\x00'"),
        ("connections/-", 0, "one of the fields"),
    ],
)
def test_what_is_wrong_is_shown_where_it_stands(text: str, position: int, said: str) -> None:
    found, message = refusal(text, DESTINATION_FIELDS)
    assert found == position
    assert said in message


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("state = ACTIVE OR state = DELETED", 15),
        ("NOT disabled = true", 0),
        ("-disabled = true", 0),
        ("(state = ACTIVE)", 0),
        ("state = ACTIVE AND (disabled = true)", 19),
        ("state = (ACTIVE)", 8),
        ("startsWith(display_name, a)", 0),
        ("display_name = a*", 16),
        ("display_name:*", 13),
    ],
)
def test_what_else_the_grammar_knows_is_refused_by_name(text: str, position: int) -> None:
    found, message = refusal(text, DESTINATION_FIELDS)
    assert found == position
    assert message.endswith("; OR, NOT, parentheses, functions and wildcards are not supported")


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-31",
        "2026-01-31T08:00:00",
        "2026-1-31T08:00:00Z",
        "2026-02-30T08:00:00Z",
        "2026-01-31T25:00:00Z",
        "2026-01-31T08:00:00.0123456789Z",
        "2026-01-31T08:00:00+99:00",
        "0000-01-01T00:00:00Z",
        "1769846400",
        '"yesterday"',
        '""',
    ],
)
def test_a_time_that_is_none_is_refused_at_its_position(value: str) -> None:
    assert refusal(f"create_time > {value}", EXPORT_JOB_FIELDS)[0] == 14


@pytest.mark.parametrize(
    "text",
    [
        "destination = 42",
        "destination = connections/acme",
        "destination = connections/-/destinations/1",
        "destination : connections/acme/destinations/1",
        "audiences.audience_id = 42",
        'audiences.audience_id : ""',
        "started_by_gateway != true",
        "audiences = 42",
    ],
)
def test_what_no_adapter_could_use_is_refused(text: str) -> None:
    position, _ = refusal(text, EXPORT_JOB_FIELDS)
    assert 0 <= position < len(text)


def test_long_filters_are_refused() -> None:
    fits = 'display_name = "' + "x" * (MAX_FILTER_CHARS - 17) + '"'
    assert parse(fits, DESTINATION_FIELDS)
    assert refusal(f"{fits} ", DESTINATION_FIELDS)[0] == MAX_FILTER_CHARS
    many = " AND ".join(["disabled = true"] * MAX_TERMS)
    assert len(parse(many, DESTINATION_FIELDS)) == MAX_TERMS
    assert refusal(f"{many} AND disabled = true", DESTINATION_FIELDS)[0] == len(many) + 1


def test_a_message_stays_short_whatever_it_found() -> None:
    assert len(refusal(f"state = {'x' * 8000}", DESTINATION_FIELDS)[1]) < 300
    assert len(refusal("y" * 8000, DESTINATION_FIELDS)[1]) < 300


def test_all_terms_hold_together() -> None:
    shop = Destination(display_name="Shop", state=Destination.ACTIVE)
    assert matches("state = ACTIVE AND disabled = false AND display_name = Shop", shop)
    assert not matches("state = ACTIVE AND disabled = true AND display_name = Shop", shop)
    assert not matches("state = ACTIVE AND state = SUSPENDED", shop)


def test_a_display_name_is_searched_without_regard_to_case_and_compared_with_it() -> None:
    street = Destination(display_name="Große STRASSE 5")
    assert matches("display_name:strasse", street)
    assert matches('display_name:"GROSSE str"', street)
    assert not matches("display_name:gasse", street)
    assert not matches('display_name = "große strasse 5"', street)
    assert matches('display_name != "große strasse 5"', street)


def test_a_star_in_quotes_is_a_star() -> None:
    assert matches('display_name = "a*"', Destination(display_name="a*"))
    assert not matches('display_name = "a*"', Destination(display_name="abc"))


def test_an_audience_is_had_or_not() -> None:
    two = job(audiences=[ExportAudience(audience_id="42"), ExportAudience(audience_id="7")])
    assert matches("audiences.audience_id:7", two)
    assert matches("audiences.audience_id:7 AND audiences.audience_id:42", two)
    assert not matches("audiences.audience_id:4", two)
    assert not matches("audiences.audience_id:4", job())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("create_time = 2026-01-31T08:00:00.000000001Z", True),
        ("create_time = 2026-01-31T09:00:00.000000001+01:00", True),
        ('create_time = "2026-01-31t08:00:00.000000001z"', True),
        ("create_time = 2026-01-31T08:00:00Z", False),
        ("create_time > 2026-01-31T08:00:00Z", True),
        ("create_time > 2026-01-31T08:00:00.000000001Z", False),
        ("create_time >= 2026-01-31T08:00:00.000000001Z", True),
        ("create_time < 2026-01-31T09:00:00.000000001+01:00", False),
        ("create_time < 2026-01-31T08:00:00.000000002Z", True),
        ("create_time <= 2026-01-31T08:00:00.000000001Z", True),
        ("create_time <= 2026-01-31T07:59:59.999999999Z", False),
        ("create_time >= 0001-01-01T00:00:00+23:59", True),
        ("create_time <= 9999-12-31T23:59:59-23:59", True),
    ],
)
def test_times_are_compared_as_instants_to_the_nanosecond(text: str, expected: bool) -> None:
    assert matches(text, job(create_time=Timestamp(seconds=EPOCH_S, nanos=1))) is expected


def test_times_before_1970_are_compared_too() -> None:
    old = job(create_time=Timestamp(seconds=-1, nanos=500_000_000))
    assert matches("create_time = 1969-12-31T23:59:59.5Z", old)
    assert matches("create_time < 1970-01-01T00:00:00Z", old)


@pytest.mark.parametrize("sign", ["=", "<", "<=", ">", ">="])
def test_an_absent_time_matches_only_unequal(sign: str) -> None:
    assert not matches(f"create_time {sign} 1970-01-01T00:00:00Z", job())
    assert matches("create_time != 1970-01-01T00:00:00Z", job())


def test_connections_are_filtered_by_vendor_and_state() -> None:
    acme = Connection(vendor="acme", state=Connection.CREDENTIALS_REJECTED)
    assert matches("vendor = acme AND state = CREDENTIALS_REJECTED", acme)
    assert matches("vendor != other", acme)
    assert not matches("vendor = other", acme)
    refusal("vendor : acme", CONNECTION_FIELDS)


def test_every_state_of_the_contract_can_be_asked_for() -> None:
    for word, number in ExportJob.State.items():
        if number:
            assert matches(f"state = {word}", job(state=number))
            assert not matches(f"state != {word}", job(state=number))


@given(st.text(max_size=60))
def test_any_text_survives_quoting(text: str) -> None:
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    filter_text = f"disabled = false AND display_name = {quoted}AND state != DELETED"
    assert parse(filter_text, DESTINATION_FIELDS)[1] == Term("display_name", "=", text)
    assert matches(filter_text, Destination(display_name=text))


PIECES = st.sampled_from(
    [
        *EXPORT_JOB_FIELDS,
        *"=!<>:()\\\"-* ,'",
        "AND",
        "OR",
        "NOT",
        " AND ",
        "true",
        "RUNNING",
        "42",
        "é",
        "\x00",
        "2026-01-31T08:00:00Z",
    ]
)


@given(st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=12).map("".join)))
def test_every_text_is_either_understood_or_refused_with_a_position_in_it(text: str) -> None:
    try:
        matcher(parse(text, EXPORT_JOB_FIELDS), EXPORT_JOB_FIELDS)(job())
    except InvalidRequest:
        position, message = refusal(text, EXPORT_JOB_FIELDS)
        assert 0 <= position <= len(text)
        assert len(message) < 1024


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("state", "RUNNING"),
        ("destination", "connections/acme/destinations/1"),
        ("create_time", "2026-01-31T08:00:00Z"),
    ],
)
@given(
    message=st.builds(
        ExportJob,
        state=st.integers(0, 11),
        destination=st.sampled_from(["", "connections/acme/destinations/1", "connections/acme/destinations/2"]),
        create_time=st.none() | st.builds(Timestamp, seconds=st.integers(EPOCH_S - 1, EPOCH_S + 1)),
    )
)
def test_equal_and_unequal_split_every_list_in_two(field: str, value: str, message: ExportJob) -> None:
    assert matches(f"{field} = {value}", message) != matches(f"{field} != {value}", message)


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("", ("", False)),
        ("  ", ("", False)),
        ("create_time", ("create_time", False)),
        ("  display_name   desc ", ("display_name", True)),
    ],
)
def test_an_order_is_one_field_and_perhaps_desc(text: str, order: tuple[str, bool]) -> None:
    assert parse_order(text, frozenset({"create_time", "display_name"})) == order


@pytest.mark.parametrize(
    "text",
    [
        "state",
        "create_time asc",
        "create_time DESC",
        "create_time desc desc",
        "create_time,display_name",
        "desc",
        ",",
        "-create_time",
    ],
)
def test_any_other_order_is_refused_with_what_would_be_right(text: str) -> None:
    with pytest.raises(
        InvalidRequest, match="expected create_time or display_name, optionally followed by desc"
    ) as caught:
        parse_order(text, frozenset({"display_name", "create_time"}))
    assert caught.value.reason == "INVALID_ORDER_BY"


def test_a_list_without_orders_says_so() -> None:
    with pytest.raises(InvalidRequest, match="this list has one order only"):
        parse_order("create_time", frozenset())
