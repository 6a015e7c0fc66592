"""Files that mediarithmics' simulator is sent: their types, sizes and lines, each command, and who is in afterwards."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.mediarithmics.sandbox import Csv, Ndjson, Row
from adapters.sandbox import Invalid
from tests.sandbox.datamart import (
    ACTIVITIES,
    COMMAND,
    CSV_TYPE,
    ERROR,
    LEAFLET,
    NDJSON_TYPE,
    NEWSLETTER,
    NOW_MS,
    Client,
    command,
    ndjson,
    running,
)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with running() as one:
        yield one


# Files: types, forms, sizes.


@pytest.mark.parametrize(
    ("path", "type_"),
    [
        (NEWSLETTER, CSV_TYPE),
        (NEWSLETTER, "application/json"),
        (NEWSLETTER, "application/x-www-form-urlencoded"),
        (NEWSLETTER, ""),
        (LEAFLET, NDJSON_TYPE),
        (LEAFLET, "text/plain"),
    ],
)
async def test_a_file_of_another_type_is_refused(client: Client, path: str, type_: str) -> None:
    for status in (400, 415):
        client.switch(mismatch_status=status)
        found = await client.send(path, ndjson(COMMAND), type_)
        assert (found[0], found[1].keys()) == (status, ERROR)
    assert "91001" not in {row["id"] for row in await client.get(f"{path}/executions")}


async def test_a_type_may_have_parameters(client: Client) -> None:
    assert (await client.send(NEWSLETTER, ndjson(COMMAND), "Application/X-NDJSON; charset=utf-8"))[0] == 200


def form(
    data: bytes, type_: str = NDJSON_TYPE, said: str | None = NDJSON_TYPE, name: str | None = "gw-1.ndjson"
) -> Any:
    """Return a form as the vendor's own interface sends it."""
    fields = aiohttp.FormData(quote_fields=False)
    if name is None:
        fields.add_field("file", data.decode(), content_type=type_)
    else:
        fields.add_field("file", data, filename=name, content_type=type_)
    if said is not None:
        fields.add_field("type", said)
    return fields


async def test_a_form_is_taken_and_names_its_file(client: Client) -> None:
    started = await client.run(form(ndjson(COMMAND, {}), name="gw-ü 1.ndjson"), content_type=None)
    client.simulator.clock.advance(25)
    result = (await client.get(started))["result"]
    assert (result["total_success"], result["total_failure"]) == (1, 1)
    assert result["input_file_name"] == "gw-ü 1.ndjson"
    assert result["input_file_uri"].endswith("/91001/gw-%C3%BC%201.ndjson")
    assert (await client.file(result["input_file_uri"]))[1] == ndjson(COMMAND, {})


@pytest.mark.parametrize(("when", "before"), [("early", True), ("late", False)])
async def test_where_a_file_is_may_be_said_at_the_end_alone(client: Client, when: str, before: bool) -> None:
    client.simulator.set_switches(file_uri=when)
    started = await client.run(form(ndjson(COMMAND), name="gw-1.ndjson"), content_type=None)
    said = []
    for advance_s in (0, 10, 15):
        client.simulator.clock.advance(advance_s)
        said.append("file_uri" in (await client.get(started))["parameters"])
    assert said == [before, before, True]


async def test_a_form_may_carry_csv(client: Client) -> None:
    data = b"operation,expiration_duration,user_agent_id,segment_id\nUPDATE,0,vec:1,8003\n"
    await client.run(form(data, CSV_TYPE, CSV_TYPE, "gw-1.csv"), LEAFLET, None)
    client.simulator.clock.advance(25)
    assert [member["user_agent_id"] for member in await client.members()] == ["vec:1"]


@pytest.mark.parametrize(
    "keys",
    [{"type_": CSV_TYPE}, {"said": CSV_TYPE}, {"said": None}, {"name": None}, {"said": ""}, {"name": ""}],
    ids=str,
)
async def test_a_form_whose_parts_do_not_agree_is_400(client: Client, keys: dict[str, Any]) -> None:
    status, answer = await client.send(NEWSLETTER, form(ndjson(COMMAND), **keys), None)
    assert (status, answer.keys()) == (400, ERROR)
    assert len(await client.get(f"{NEWSLETTER}/executions")) == 9


async def test_a_form_with_other_parts_is_400(client: Client) -> None:
    for extra in ("type", "file", "more"):
        fields = form(ndjson(COMMAND))
        fields.add_field(extra, ndjson(COMMAND), filename="gw-2.ndjson", content_type=NDJSON_TYPE)
        assert (await client.send(NEWSLETTER, fields, None))[0] == 400
    assert (await client.send(NEWSLETTER, ndjson(COMMAND), "multipart/form-data"))[0] == 400


async def test_a_file_over_the_limit_is_413_however_it_is_sent(client: Client) -> None:
    row = ndjson(COMMAND)
    client.switch(max_file_bytes=1000 * len(row))

    async def in_chunks(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield row

    assert (await client.send(NEWSLETTER, in_chunks(1000)))[0] == 200
    for data, type_ in (
        (row * 1000 + b"\n", NDJSON_TYPE),
        (in_chunks(1001), NDJSON_TYPE),
        (form(row * 1000 + b"\n"), None),
    ):
        status, answer = await client.send(NEWSLETTER, data, type_)
        assert (status, answer.keys()) == (413, ERROR)
    assert (await client.send(NEWSLETTER, form(row * 1000), None))[0] == 200
    assert len(await client.get(f"{NEWSLETTER}/executions")) == 11


async def test_100_mib_is_the_limit_and_one_byte_more_is_413(client: Client) -> None:
    client.switch(check_rows=False, keep_bodies=False)
    limit, line = 104_857_600, b"x" * 1023 + b"\n"
    started = await client.run(io.BytesIO(line * (limit // 1024)))
    assert (await client.send(NEWSLETTER, io.BytesIO(line * (limit // 1024) + b"x")))[0] == 413
    file = (await client.state())["files"][started.rpartition("/")[2]]
    assert (file["bytes"], file["succeeded"]) == (limit, 102_400)


async def test_an_upload_that_breaks_off_makes_no_execution(client: Client) -> None:
    host, port = client.base_url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /v1/{NEWSLETTER}/executions HTTP/1.1\r\nHost: x\r\nAuthorization: sandbox-token\r\n"
    writer.write(f"{head}Content-Type: {NDJSON_TYPE}\r\nContent-Length: 100000\r\n\r\n".encode() + ndjson(COMMAND))
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    for _ in range(100_000):
        if client.simulator.journal and client.simulator.journal[0]["body_bytes"]:
            break
        await asyncio.sleep(0)
    assert (client.simulator.journal[0]["status"], client.simulator.journal[0]["body_bytes"]) == (None, 100_000)
    assert len(await client.get(f"{NEWSLETTER}/executions")) == 9


async def test_of_a_file_that_is_not_kept_counts_and_a_hash_remain(client: Client) -> None:
    client.switch(keep_bodies=False)
    data = ndjson(COMMAND, {}, command(user_account_id="2"))
    result = (await client.ended(data))["result"]
    assert (result["total_success"], result["total_failure"], result["error_file_uri"]) == (2, 1, None)
    assert (await client.file(result["input_file_uri"]))[0] == 404
    assert (await client.state())["files"]["91001"] == {
        "name": "document_import_21501_91001.ndjson",
        "bytes": len(data),
        "sha256": sha256(data).hexdigest(),
        "succeeded": 2,
        "failed": 1,
    }
    assert await client.members() == []


@pytest.mark.parametrize(
    ("path", "data", "type_", "count"),
    [
        (NEWSLETTER, b"a\nb\nc\n", NDJSON_TYPE, 3),
        (NEWSLETTER, b"a\nb\nc", NDJSON_TYPE, 3),
        (LEAFLET, b"names\na\nb\n", CSV_TYPE, 2),
    ],
)
async def test_rows_that_are_not_checked_are_counted(
    client: Client, path: str, data: bytes, type_: str, count: int
) -> None:
    client.switch(check_rows=False)
    result = (await client.ended(data, path, type_))["result"]
    assert (result["total_success"], result["total_failure"]) == (count, 0)


# Lines.


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n \n",
        json.dumps([COMMAND]).encode(),
        json.dumps([COMMAND, COMMAND], indent=2).encode(),
        json.dumps(COMMAND, indent=2).encode(),
        ndjson(COMMAND).strip() + b"," + ndjson(COMMAND),
        ndjson(COMMAND).strip() + ndjson(COMMAND),
        b"\xef\xbb\xbf" + ndjson(COMMAND),
        json.dumps(COMMAND).encode("utf-16"),
        b'"text"\n',
        b"[" * 100_000,
    ],
)
async def test_a_file_that_is_no_ndjson_is_refused_at_once(client: Client, data: bytes) -> None:
    status, answer = await client.send(NEWSLETTER, data)
    assert (status, answer.keys()) == (400, ERROR)
    assert len(await client.get(f"{NEWSLETTER}/executions")) == 9


@pytest.mark.parametrize(
    "line", [b"{", b"[]", b"1", b'{"a": NaN}', b"\xff", b'{"a":1}{"a":2}', b'{"a":1},', b"nothing", b"9" * 10_000]
)
async def test_a_later_line_that_is_no_object_fails_alone(client: Client, line: bytes) -> None:
    execution = await client.ended(ndjson(COMMAND) + line + b"\r\n\n" + ndjson(command(user_account_id="2")).strip())
    assert (execution["result"]["total_success"], execution["result"]["total_failure"]) == (2, 1)
    assert await client.errors(execution) == [
        {"row": 2, "line": line.decode(errors="replace"), "error": "The line is not one JSON object"}
    ]


async def test_other_imports_take_any_objects(client: Client) -> None:
    execution = await client.ended(b'{"$ts": 1}\n{"$ts": 2}\nx\n', ACTIVITIES)
    assert (execution["result"]["total_success"], execution["result"]["total_failure"]) == (2, 1)
    assert execution["parameters"]["document_type"] == "USER_ACTIVITY"


async def test_lines_may_be_as_in_the_documentation(client: Client) -> None:
    client.switch(lines="multiline")
    rows = [command(user_account_id=f"\u00a0{n}") for n in range(3)]
    pretty = "\n".join(json.dumps(row, indent=2, ensure_ascii=False) for row in rows)
    # `curl -d @file` takes the line feeds out.
    for data in (pretty, pretty.replace("\n", ""), "".join(f" \r\n{json.dumps(row)}\n\n" for row in rows)):
        assert (await client.ended(data.encode()))["result"]["total_success"] == 3
    for data in ("", " ", json.dumps(rows), pretty + ",", pretty + "x", "1 2", "\x00"):
        assert (await client.send(NEWSLETTER, data.encode()))[0] == 400
    execution = await client.ended(b'{\n"operation":\n"MOVE"}')
    assert [error["line"] for error in await client.errors(execution)] == ['{\n"operation":\n"MOVE"}']


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


def read(reader: Ndjson, data: bytes, sizes: st.DataObject) -> list[Row]:
    """Return the rows of a file that comes in pieces of any size."""
    rows: list[Row] = []
    while data:
        size = sizes.draw(st.integers(1, 30))
        rows += reader.feed(data[:size])
        data = data[size:]
    return rows + list(reader.close())


@given(st.lists(st.dictionaries(texts, texts, max_size=3), min_size=1, max_size=5), st.booleans(), st.data())
def test_ndjson_is_the_same_however_it_is_cut(rows: list[dict[str, str]], ends: bool, sizes: st.DataObject) -> None:
    data = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n" * ends
    assert [row.fields for row in read(Ndjson(), data.encode(), sizes)] == rows


@given(
    st.lists(st.lists(texts, min_size=3, max_size=3), max_size=5),
    # Python's writer leaves a lone CR unquoted where lines end in LF.
    st.sampled_from([("\r\n", csv.QUOTE_MINIMAL), ("\r\n", csv.QUOTE_ALL), ("\n", csv.QUOTE_ALL)]),
    st.data(),
)
def test_csv_is_what_an_ordinary_writer_wrote(
    rows: list[list[str]], style: tuple[str, Any], sizes: st.DataObject
) -> None:
    names, file = ["operation", "expiration_duration", "user_account_id"], io.StringIO()
    writer = csv.writer(file, lineterminator=style[0], quoting=style[1])
    writer.writerows([names, *([operation, "7", account] for operation, _, account in rows)])
    expected = [
        {"operation": operation, "expiration_duration": 7, "user_account_id": account} for operation, _, account in rows
    ]
    found = read(Csv(), file.getvalue().encode(), sizes)
    assert [row.problem for row in found] == [""] * len(rows)
    assert [row.fields for row in found] == [{k: v for k, v in row.items() if v != ""} for row in expected]


# CSV.

HEADER = "operation,user_account_id,segment_id,expiration_duration,expiration_ts,data_bag"


async def test_csv_has_a_header_and_cells_as_in_rfc_4180(client: Client) -> None:
    rows = [
        'UPDATE,a 1,8003,60,,"{""score"":3,""note"":""x,y""}"',
        '"UPDATE","b\r\n""2""",8003,0,,',
        f"UPDATE,c,8003,60,{NOW_MS + 90_000}.0,",
        "DELETE,d,8003,0,,",
    ]
    execution = await client.ended("\r\n".join([HEADER, *rows, ""]).encode(), LEAFLET, CSV_TYPE)
    assert (execution["result"]["total_success"], execution["result"]["total_failure"]) == (4, 0)
    assert await client.members() == [
        {
            "user_account_id": "a 1",
            "data_bag": '{"score":3,"note":"x,y"}',
            "expires_ms": NOW_MS + 25_000 + 3_600_000,
            "compartment_id": "1000",
        },
        {"user_account_id": 'b\r\n"2"', "data_bag": "", "expires_ms": 0, "compartment_id": "1000"},
        {"user_account_id": "c", "data_bag": "", "expires_ms": NOW_MS + 90_000, "compartment_id": "1000"},
    ]


@pytest.mark.parametrize(
    "data",
    [
        "",
        "\r\n",
        "operation,segment_id",
        "operation,operation,expiration_duration",
        "\ufeff" + HEADER,
        HEADER.replace(",", ";"),
        'operation,"expiration_duration',
        'operation,expiration_duration,a"b"',
        "UPDATE,a,8003,0,,",
        json.dumps(COMMAND),
    ],
)
async def test_a_csv_file_without_a_header_is_refused_at_once(client: Client, data: str) -> None:
    status, answer = await client.send(LEAFLET, f"{data}\r\n".encode(), CSV_TYPE)
    assert (status, answer.keys()) == (400, ERROR)


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (b"UPDATE,a,8003,60,", "There are 5 cells below 6 names"),
        (b"UPDATE,a,8003,60,,,", "There are 7 cells below 6 names"),
        (b'UPDATE,a"b"c,8003,60,,', "The line is not CSV as in RFC 4180"),
        (b'UPDATE,"a"b,8003,60,,', None),
        (b"UPDATE,\xff,8003,60,,", "The line is not in UTF-8"),
        (b"UPDATE,a,8003,1.5,,", "expiration_duration is mandatory, a whole number of minutes from 0"),
        (b"UPDATE,a,8003, 60,,", "expiration_duration is mandatory, a whole number of minutes from 0"),
        (b"UPDATE,a,8003,,,", "expiration_duration is mandatory, a whole number of minutes from 0"),
        (b"UPDATE,a,8003,60,soon,", "expiration_ts must be a number from 0"),
        (b"UPDATE,a,8003,60,,{}x", "data_bag must be a JSON object in a string"),
    ],
)
async def test_a_wrong_csv_row_fails_alone(client: Client, row: bytes, error: str | None) -> None:
    data = b"\n".join([HEADER.encode(), b"UPDATE,1,8003,60,,", row, b"UPDATE,2,8003,60,,"])
    execution = await client.ended(data, LEAFLET, CSV_TYPE)
    errors = await client.errors(execution)
    assert [failed["row"] for failed in errors] == [2]
    assert errors[0]["line"].encode() == row.replace(b"\xff", "\ufffd".encode())
    assert errors[0]["error"] == (error or "The line is not CSV as in RFC 4180")
    assert execution["result"]["total_success"] == 2


async def test_a_quote_that_is_not_closed_fails_to_the_end(client: Client) -> None:
    data = f'{HEADER}\nUPDATE,1,8003,60,,\nUPDATE,"2,8003,60,,\nUPDATE,3,8003,60,,'
    execution = await client.ended(data.encode(), LEAFLET, CSV_TYPE)
    assert [(failed["row"], failed["error"]) for failed in await client.errors(execution)] == [
        (2, "A quote is not closed")
    ]


async def test_a_header_alone_is_a_file_of_nothing(client: Client) -> None:
    result = (await client.ended(HEADER.encode(), LEAFLET, CSV_TYPE))["result"]
    assert (result["total_success"], result["total_failure"]) == (0, 0)


# Commands.


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"operation": "DELETE"},
        {"operation": "DELETE", "expiration_duration": 0},
        {"compartment_id": "1001"},
        {"user_account_id": None, "email_hash": "00000000000000000000000000e3a3b1"},
        {"user_account_id": None, "user_agent_id": "vec:123"},
        {"segment_id": None, "segment_technical_name": "example_nobody"},
        {"segment_id": "8006"},
        {"expiration_duration": 2**31 - 1},
        {"expiration_ts": 0},
        {"expiration_ts": NOW_MS + 0.5},
        {"data_bag": '{"score":3}'},
        {"data_bag": "{}"},
        {"something": "else"},
    ],
    ids=str,
)
async def test_a_command_as_documented_succeeds(client: Client, changes: dict[str, Any]) -> None:
    result = (await client.ended(ndjson(command(**changes))))["result"]
    assert (result["total_success"], result["total_failure"]) == (1, 0)


async def test_null_is_as_good_as_absent(client: Client) -> None:
    nulls = dict.fromkeys(("compartment_id", "email_hash", "segment_technical_name", "expiration_ts", "data_bag"))
    assert (await client.ended(ndjson(COMMAND | nulls)))["result"]["total_success"] == 1


MANDATORY = "is mandatory, a whole number of minutes from 0"
WRONG_OPERATIONS: list[Any] = [None, "UPSERT", "update", 1, []]
WRONG_DURATIONS: list[Any] = [None, -1, 1.0, "60", True, 2**31]
WRONG_TIMES: list[Any] = [-1, "0", True, [], 2**64]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        *(({"operation": value}, "operation must be UPDATE or DELETE") for value in WRONG_OPERATIONS),
        *(({"expiration_duration": value}, f"expiration_duration {MANDATORY}") for value in WRONG_DURATIONS),
        ({"operation": "DELETE", "expiration_duration": None}, "expiration_duration is mandatory"),
        *(({"expiration_ts": value}, "expiration_ts must be a number from 0") for value in WRONG_TIMES),
        (
            {"user_account_id": None},
            "One of user_account_id, email_hash, user_agent_id is needed, and no more than one",
        ),
        ({"email_hash": "x"}, "no more than one"),
        ({"user_agent_id": "vec:1"}, "no more than one"),
        ({"user_account_id": ""}, "user_account_id must be a text that is not empty"),
        ({"user_account_id": 12}, "user_account_id must be a text that is not empty"),
        ({"compartment_id": 1001}, "compartment_id must be a text that is not empty"),
        ({"user_account_id": None, "email_hash": "x", "compartment_id": "1"}, "compartment_id is for user_account_id"),
        ({"segment_id": None}, "One of segment_id and segment_technical_name is needed, and no more than one"),
        ({"segment_technical_name": "example_nobody"}, "no more than one"),
        ({"segment_id": 8003}, "segment_id must be a text that is not empty"),
        ({"segment_id": "8999"}, "There is no segment of this segment_id"),
        ({"segment_id": None, "segment_technical_name": "8003"}, "There is no segment of this segment_technical_name"),
        ({"segment_id": "8004"}, "The segment is not one that files are imported into"),
        ({"segment_id": "8005"}, "The segment is not one that files are imported into"),
        ({"data_bag": {"score": 3}}, "data_bag must be a text"),
        *(
            ({"data_bag": value}, "data_bag must be a JSON object in a string")
            for value in ("{", "3", "[]", "[" * 9999)
        ),
    ],
    ids=str,
)
async def test_a_command_that_breaks_a_rule_fails(client: Client, changes: dict[str, Any], error: str) -> None:
    execution = await client.ended(ndjson(command(**changes)))
    assert (execution["result"]["total_success"], execution["result"]["total_failure"]) == (0, 1)
    assert error in (await client.errors(execution))[0]["error"]


async def test_a_command_may_name_its_segment_twice_where_allowed(client: Client) -> None:
    client.switch(both_targets="allowed")
    rows = [command(segment_technical_name=name) for name in ("example_nobody", "example_club", "nothing")]
    assert (await client.ended(ndjson(*rows)))["result"]["total_failure"] == 2


async def test_a_field_that_is_not_documented_may_be_refused(client: Client) -> None:
    client.switch(unknown_fields="refused")
    execution = await client.ended(ndjson(COMMAND, command(segmentId="8003")))
    assert [error["error"] for error in await client.errors(execution)] == ["segmentId is not a known field"]


# Who is in.


async def test_update_and_delete_mix_and_apply_in_order_when_the_job_ends(client: Client) -> None:
    rows = [
        COMMAND,
        command(user_account_id=None, email_hash="e1", expiration_duration=0, data_bag='{"score":3}'),
        command(user_account_id=None, user_agent_id="vec:1"),
        command(operation="DELETE"),
        command(operation="DELETE", user_account_id="never in"),
        command(compartment_id="1001"),
    ]
    path = await client.run(ndjson(*rows))
    client.simulator.clock.advance(24.9)
    assert await client.members() == []
    client.simulator.clock.advance(0.1)
    expires_ms = NOW_MS + 25_000 + 3_600_000
    assert await client.members() == [
        {"email_hash": "e1", "data_bag": '{"score":3}', "expires_ms": 0},
        {"user_agent_id": "vec:1", "data_bag": "", "expires_ms": expires_ms},
        {"user_account_id": "account-1", "data_bag": "", "expires_ms": expires_ms, "compartment_id": "1001"},
    ]
    segment = await client.get("audience_segments/8003")
    assert (segment["user_points_count"], segment["user_accounts_count"], segment["emails_count"]) == (3, 1, 1)
    assert (await client.get(path))["result"]["total_success"] == 6
    client.simulator.clock.advance(3600)
    assert [member.get("email_hash") for member in await client.members()] == ["e1"]
    assert (await client.get("audience_segments/8003"))["user_points_count"] == 1


async def test_a_later_file_wins_and_renews(client: Client) -> None:
    await client.run(ndjson(COMMAND))
    client.simulator.clock.advance(1)
    await client.run(ndjson(command(expiration_duration=0)))
    client.simulator.clock.advance(60)
    assert [member["expires_ms"] for member in await client.members()] == [0]


@pytest.mark.parametrize(
    ("unit", "factor", "value"), [("milliseconds", 1000, NOW_MS + 60_000), ("seconds", 1, NOW_MS // 1000 + 60)]
)
async def test_a_time_comes_before_a_duration_in_the_unit_of_the_switch(
    client: Client, unit: str, factor: int, value: int
) -> None:
    client.switch(expiration_ts=unit)
    rows = [command(user_account_id=str(n), expiration_ts=ts) for n, ts in enumerate((value, value - 40 * factor, 0))]
    await client.ended(ndjson(*rows))
    assert {member["user_account_id"]: member["expires_ms"] for member in await client.members()} == {
        "0": NOW_MS + 60_000,
        "2": 0,
    }


async def test_segments_are_listed_and_filtered(client: Client) -> None:
    rows = await client.get("audience_segments", organisation_id=1426, datamart_id=1509)
    assert [row["id"] for row in rows] == ["8001", "8002", "8003", "8004", "8005", "8006"]
    assert [row["id"] for row in await client.get("audience_segments", type="USER_QUERY")] == ["8004"]
    assert [row["id"] for row in await client.get("audience_segments", feed_type="TAG")] == ["8005"]
    assert [row["id"] for row in await client.get("audience_segments", technical_name="example_club")] == ["8002"]
    assert [row["id"] for row in await client.get("audience_segments", keywords="NOBODY")] == ["8003"]
    assert await client.refused("GET", "audience_segments/8999") == 404


def test_a_first_line_refuses_a_file_before_its_end() -> None:
    with pytest.raises(Invalid):
        list(Ndjson().feed(b"[\n"))
    with pytest.raises(Invalid):
        list(Csv().feed(b"nothing\n"))
