"""Files of members: read back by other parsers they say what was sent, and each reaches its segment."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import given
from hypothesis import strategies as st

from adapters import members
from adapters.errors import InvalidRequest, NotFound
from adapters.mediarithmics import translate, wire
from adapters.mediarithmics.adapter import MAX_FILE_BYTES, MediarithmicsAdapter
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from audiencegateway.v1.members_pb2 import AudienceMember, AudienceMemberDefaults
from tests.vendors.mediarithmics.datamart import (
    ACTIVITIES,
    ADD,
    FROZEN_AT_MS,
    IMPORTS,
    LEAFLET,
    NEVER_USED,
    Datamart,
    named,
    upload,
)

FIELDS = [
    *("operation", "compartment_id", "user_account_id", "email_hash", "user_agent_id", "segment_id"),
    *("segment_technical_name", "expiration_duration", "expiration_ts", "data_bag"),
]
"""The columns of the documentation's table, in its order."""


def file_of(mime_type: str, batch: Sequence[AudienceMember], now_ms: int = FROZEN_AT_MS) -> bytes:
    form = translate.FORMS[mime_type]
    rows = members.rows(wire.Command, batch, 0, AudienceMemberDefaults(), translate.DIALECT, now_ms=now_ms)
    return form.head + form.write(rows)


def parsed(*given: dict[str, Any]) -> list[AudienceMember]:
    return [ParseDict(member, AudienceMember()) for member in given]


# Texts that files are made of: everything but what could end a line.
TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=20) | st.sampled_from(
    ['"', '""', ",", "'", "\\", "\\n", " ", "a,b", '="x"', "null", "0", "\u00a0", "😀"]
)
WHO = st.one_of(
    st.fixed_dictionaries({"user_account_id": TEXT}, optional={"compartment_id": TEXT}),
    st.fixed_dictionaries({"email_hash": TEXT}),
    st.fixed_dictionaries({"user_agent_id": TEXT}),
)
WHERE = st.one_of(st.fixed_dictionaries({"audience_id": TEXT}), st.fixed_dictionaries({"audience_key": TEXT}))
WHAT = st.one_of(
    st.just({"operation": "ADD", "never_expires": True}),
    st.fixed_dictionaries({"operation": st.just("ADD"), "ttl": st.integers(1, 10**9).map("{}s".format)}),
    st.just({"operation": "ADD", "expire_time": "2027-01-01T00:00:00Z"}),
    st.just({"operation": "REMOVE"}),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=5), st.lists, max_leaves=5
)
BAG = st.fixed_dictionaries(
    {},
    optional={
        "attributes_json": st.builds(
            json.dumps,
            st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=3),
            ensure_ascii=st.booleans(),
            indent=st.sampled_from([None, 1]),
        )
    },
)
MEMBERS = st.lists(
    st.tuples(WHO, WHERE, WHAT, BAG).map(lambda parts: {key: value for part in parts for key, value in part.items()}),
    min_size=1,
    max_size=5,
)


def command(member: dict[str, Any]) -> dict[str, Any]:
    """Return the command that a member is, by the documentation's table."""
    minutes, until_ms = 0, None
    if "ttl" in member:
        minutes = -(-int(member["ttl"].removesuffix("s")) // 60)
    elif "expire_time" in member:
        minutes, until_ms = 365 * 24 * 60, FROZEN_AT_MS + 365 * 24 * 3600 * 1000
    named_here = {
        "compartment_id": "compartment_id",
        "user_account_id": "user_account_id",
        "email_hash": "email_hash",
        "user_agent_id": "user_agent_id",
        "audience_id": "segment_id",
        "audience_key": "segment_technical_name",
        "attributes_json": "data_bag",
    }
    said: dict[str, Any] = {there: member[here] for here, there in named_here.items() if here in member}
    said |= {"operation": {"ADD": "UPDATE", "REMOVE": "DELETE"}[member["operation"]], "expiration_duration": minutes}
    return said if until_ms is None else {**said, "expiration_ts": until_ms}


@given(MEMBERS)
def test_a_file_of_ndjson_is_one_object_a_line_that_says_what_was_sent(given: list[dict[str, Any]]) -> None:
    *lines, after = file_of("APPLICATION_X_NDJSON", parsed(*given)).split(b"\n")
    assert after == b""
    assert [json.loads(line) for line in lines] == [command(member) for member in given]


@given(MEMBERS)
def test_a_file_of_csv_is_one_record_a_line_that_says_what_was_sent(given: list[dict[str, Any]]) -> None:
    text = file_of("TEXT_CSV", parsed(*given)).decode()
    head, *records, after = text.split("\r\n")
    assert after == ""
    assert head.split(",") == FIELDS
    assert "\n" not in text.replace("\r\n", "")
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert len(rows) == len(records) == len(given)
    for row, member in zip(rows, given, strict=True):
        expected = command(member)
        bag = expected.pop("data_bag", "")
        assert json.loads(row.pop("data_bag") or "null") == json.loads(bag or "null")
        assert row == {name: str(expected.get(name, "")) for name in FIELDS[:-1]}


def test_an_empty_batch_is_no_rows() -> None:
    assert file_of("APPLICATION_X_NDJSON", []) == b""
    assert file_of("TEXT_CSV", []).decode() == ",".join(FIELDS) + "\r\n"


def test_a_bag_is_an_escaped_string_as_in_the_documentation() -> None:
    line = file_of("APPLICATION_X_NDJSON", parsed({**ADD, "attributes_json": '{"score":3}'}))
    assert b'"data_bag":"{\\"score\\":3}"' in line
    record = file_of("TEXT_CSV", parsed({**ADD, "attributes_json": '{"score":3,\n"a":1}'}))
    assert record.endswith(b',"{""score"":3, ""a"":1}"\r\n')


# To the vendor.


@pytest.mark.parametrize("destination_id", [NEVER_USED, LEAFLET])
@pytest.mark.parametrize("marked", [False, True])
async def test_members_get_into_their_segments_and_out(datamart: Datamart, destination_id: str, marked: bool) -> None:
    adapter = datamart.connect(mark_files=marked)
    rows = [
        {**ADD, "user_account_id": "example-1", "compartment_id": "1001", "attributes_json": '{"a": "x, \\"y\\""}'},
        {"operation": "ADD", "email_hash": "e3", "audience_key": "example_nobody", "never_expires": True},
        {"operation": "ADD", "user_agent_id": "vec:1", "audience_id": "8003", "expire_time": "2026-02-01T00:00:00Z"},
        {**ADD, "user_account_id": "example-2"},
        {**ADD, "user_account_id": "example-2", "operation": "REMOVE"},
    ]
    job = await upload(adapter, *rows, destination_id=destination_id, marker="0a1b2c3d")
    assert job.state == ExportJob.PENDING
    assert job.destination == named(destination_id)
    datamart.sandbox.clock.advance(60)
    done = await adapter.get_export_job(job.name.rpartition("/")[2])
    assert (done.state, done.metrics.records_succeeded_count) == (ExportJob.SUCCEEDED, 5)
    ended_ms = FROZEN_AT_MS + 25_000
    assert datamart.sandbox.state()["segments"]["8003"] == [
        {
            "user_account_id": "example-1",
            "compartment_id": "1001",
            "data_bag": '{"a": "x, \\"y\\""}',
            "expires_ms": ended_ms + 86_400_000,
        },
        {"email_hash": "e3", "data_bag": "", "expires_ms": 0},
        {"user_agent_id": "vec:1", "data_bag": "", "expires_ms": FROZEN_AT_MS + 31 * 86_400_000},
    ]


async def test_the_defaults_are_for_members_that_leave_a_field_unset(
    datamart: Datamart, adapter: MediarithmicsAdapter
) -> None:
    await upload(
        adapter,
        {"user_account_id": "a"},
        {"email_hash": "e3"},
        {"user_account_id": "b", "operation": "REMOVE", "audience_id": "8001"},
        operation="ADD",
        compartment_id="1001",
        audience_key="example_nobody",
        ttl="3600s",
    )
    usual = {"operation": "UPDATE", "segment_technical_name": "example_nobody", "expiration_duration": 60}
    out = {"operation": "DELETE", "segment_id": "8001", "expiration_duration": 0}
    assert [json.loads(line) for line in datamart.sandbox.journal[-1]["body"].splitlines()] == [
        {**usual, "user_account_id": "a", "compartment_id": "1001"},
        {**usual, "email_hash": "e3"},
        {**out, "user_account_id": "b", "compartment_id": "1001"},
    ]


async def test_time_goes_on_during_an_upload(datamart: Datamart, adapter: MediarithmicsAdapter) -> None:
    defaults = ParseDict(
        {"operation": "ADD", "audience_id": "8003", "expire_time": "2026-01-01T01:00:00Z"}, AudienceMemberDefaults()
    )
    file = await adapter.upload_audience_members(NEVER_USED, defaults)
    batch = [AudienceMember(user_account_id="a")]
    assert json.loads(file.rows(batch, 0))["expiration_duration"] == 60
    datamart.sandbox.clock.advance(1800)
    assert json.loads(file.rows(batch, 1))["expiration_duration"] == 30
    datamart.sandbox.clock.advance(1800)
    with pytest.raises(InvalidRequest) as late:
        file.rows(batch, 2)
    assert [violation.field for violation in late.value.violations] == ["defaults.expire_time"]


async def test_defaults_that_break_a_rule_are_refused_before_anything_is_asked(
    datamart: Datamart, adapter: MediarithmicsAdapter
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await adapter.upload_audience_members(NEVER_USED, ParseDict({"ttl": "0s"}, AudienceMemberDefaults()))
    assert [violation.field for violation in refused.value.violations] == ["defaults.ttl"]
    assert not datamart.requests()


async def test_a_member_that_breaks_a_rule_is_told_by_index_and_nothing_is_sent(
    datamart: Datamart, adapter: MediarithmicsAdapter
) -> None:
    file = await adapter.upload_audience_members(NEVER_USED, AudienceMemberDefaults())
    with pytest.raises(InvalidRequest) as refused:
        file.rows(parsed(ADD, {**ADD, "ttl": "0s", "user_account_id": "canary-5555"}), 16)
    assert [violation.field for violation in refused.value.violations] == ["audience_members[17].ttl"]
    assert "canary" not in f"{refused.value}{vars(refused.value)}"
    assert datamart.requests() == [f"GET {IMPORTS}/{NEVER_USED}"]


@pytest.mark.parametrize("destination_id", ["99999", ACTIVITIES])
async def test_members_go_to_imports_of_user_segments_alone(adapter: MediarithmicsAdapter, destination_id: str) -> None:
    with pytest.raises(NotFound) as missing:
        await adapter.upload_audience_members(destination_id, AudienceMemberDefaults())
    assert (missing.value.reason, missing.value.resource) == ("DESTINATION_NOT_FOUND", named(destination_id))


async def test_a_file_begins_as_its_form_does_and_ends_below_the_documented_limit(
    adapter: MediarithmicsAdapter,
) -> None:
    ndjson = await adapter.upload_audience_members(NEVER_USED, AudienceMemberDefaults())
    csv_file = await adapter.upload_audience_members(LEAFLET, AudienceMemberDefaults())
    assert ndjson.head == b""
    assert csv_file.head.decode() == ",".join(FIELDS) + "\r\n"
    assert ndjson.max_bytes == csv_file.max_bytes == MAX_FILE_BYTES
    assert MAX_FILE_BYTES + 1024 < 100_000_000
