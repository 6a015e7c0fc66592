"""What comes of answers that are late, lost, wrong or none: each has its name, and nothing is made twice."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from adapters.base import ListQuery
from adapters.errors import (
    Conflict,
    CredentialsRejected,
    NotFound,
    OutcomeUnknown,
    PermissionMissing,
    ProtocolViolation,
    RateLimited,
    Rejected,
    TooLarge,
    Unavailable,
    VendorError,
)
from adapters.segment.adapter import SegmentAdapter
from adapters.transport import Timeouts
from audiencegateway.v1.destinations_pb2 import Destination, Subscription
from tests.vendors.segment.workspace import (
    ADS,
    CUSTOMERS,
    CUSTOMERS_IN_ADS,
    EMPTY,
    FROZEN_AT_S,
    WAREHOUSE,
    Segment,
    changing,
    job_id,
    jobs_of,
    named,
    wanted,
)

ONE = f"/destinations/{ADS}"
LETTER = {"sourceId": WAREHOUSE, "metadataId": "00000000000000000000ca02", "settings": {"accountId": "a"}}
Call = Callable[[SegmentAdapter], Awaitable[object]]


async def make_destination(adapter: SegmentAdapter) -> object:
    return await adapter.create_destination(ParseDict({"segment": LETTER}, Destination()), validate_only=False)


async def make_subscription(adapter: SegmentAdapter) -> object:
    config = {"actionId": "ExampleAction000000302", "trigger": "x"}
    fields = {"displayName": "New", "segment": config}
    return await adapter.create_subscription(ADS, ParseDict(fields, Subscription()), validate_only=False)


async def start_sync(adapter: SegmentAdapter) -> object:
    job = wanted(model_id=CUSTOMERS, source_id=WAREHOUSE)
    return await adapter.create_export_job(job, marker="", validate_only=False)


STARTS: dict[str, tuple[Call, str]] = {
    "destination": (make_destination, "/destinations"),
    "subscription": (make_subscription, f"{ONE}/subscriptions"),
    "sync": (start_sync, "/reverse-etl-syncs"),
}


async def test_a_read_is_sent_again_after_503(segment: Segment, adapter: SegmentAdapter) -> None:
    segment.sandbox.fault(path=ONE, status=503, count=2)
    assert (await adapter.get_destination(ADS)).display_name == "Example shop ads"
    assert segment.requests() == [f"GET {ONE}"] * 3


@pytest.mark.parametrize("drop", ["before", "after"])
async def test_an_update_is_sent_again(segment: Segment, adapter: SegmentAdapter, drop: str) -> None:
    segment.sandbox.fault(path=ONE, method="PATCH", drop=drop)
    updated = await adapter.update_destination(ADS, changing(displayName="New"))
    assert updated.display_name == "New"
    assert segment.requests("/destinations") == [f"GET {ONE}", f"PATCH {ONE}", f"PATCH {ONE}"]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize(
    "fault",
    [
        {"drop": "after"},
        {"drop": "before"},
        {"drop": "truncate"},
        {"status": 500},
        {"status": 502},
        {"status": 503, "headers": {"Retry-After": "1"}},
        {"status": 504},
        {"status": 408},
    ],
    ids=str,
)
async def test_what_was_made_without_an_answer_is_not_made_again(
    segment: Segment, adapter: SegmentAdapter, start: str, fault: dict[str, Any]
) -> None:
    call, path = STARTS[start]
    segment.sandbox.fault(path=path, method="POST", **fault)
    with pytest.raises(OutcomeUnknown) as lost:
        await call(adapter)
    assert lost.value.reason == "OUTCOME_UNKNOWN"
    assert [line for line in segment.requests() if line.startswith("POST")] == [f"POST {path}"]


@pytest.mark.parametrize("start", STARTS)
async def test_what_is_not_answered_in_time_is_not_made_again(segment: Segment, start: str) -> None:
    call, path = STARTS[start]
    segment.sandbox.fault(path=path, method="POST", delay_s=60)
    with pytest.raises(OutcomeUnknown):
        await call(segment.connect(timeouts=Timeouts(operation_s=0.2)))
    assert [line for line in segment.requests() if line.startswith("POST")] == [f"POST {path}"]


@pytest.mark.parametrize("start", STARTS)
async def test_what_segment_has_no_time_for_is_made_when_it_has(
    segment: Segment, adapter: SegmentAdapter, start: str
) -> None:
    call, path = STARTS[start]
    segment.sandbox.fault(path=path, method="POST", status=429, headers={"Retry-After": "7"})
    await call(adapter)
    assert [line for line in segment.requests() if line.startswith("POST")] == [f"POST {path}"] * 2
    assert segment.slept_s == [7.0]


# How long to wait.

IN_25_S = format_datetime(datetime.fromtimestamp(FROZEN_AT_S, UTC) + timedelta(seconds=25))


def too_many(data: object) -> str:
    problem = {"type": "RequestError", "message": "Too many requests", "data": data}
    return json.dumps({"errors": [problem]})


@pytest.mark.parametrize(
    ("headers", "data", "wait_s"),
    [
        ({"Retry-After": "9", "X-RateLimit-Reset": IN_25_S}, {"msBeforeNext": 16_500}, 9.0),
        ({"Retry-After": "0"}, {"msBeforeNext": 16_500}, 0.0),
        ({"X-RateLimit-Reset": IN_25_S}, {"remainingPoints": 0, "msBeforeNext": 16_500, "consumedPoints": 21}, 16.5),
        ({"Retry-After": "soon", "X-RateLimit-Reset": IN_25_S}, {"msBeforeNext": 16_500}, 16.5),
        ({"X-RateLimit-Reset": IN_25_S}, None, 25.0),
        # Epoch seconds are no date: as a wait they would be half a century.
        ({"X-RateLimit-Reset": "1767225625"}, None, None),
        ({}, {"msBeforeNext": "soon"}, None),
        ({}, None, None),
    ],
)
async def test_the_wait_of_a_429_is_the_best_that_segment_says(
    segment: Segment, adapter: SegmentAdapter, headers: dict[str, str], data: object, wait_s: float | None
) -> None:
    segment.sandbox.fault(path=ONE, status=429, headers=headers, body=too_many(data))
    await adapter.get_destination(ADS)
    assert segment.slept_s == [wait_s or 0.0]


@pytest.mark.parametrize("body", ["", "<html>", "[]"])
async def test_a_429_of_a_proxy_waits_until_the_reset_too(segment: Segment, adapter: SegmentAdapter, body: str) -> None:
    segment.sandbox.fault(path=ONE, status=429, headers={"X-RateLimit-Reset": IN_25_S}, body=body)
    await adapter.get_destination(ADS)
    assert segment.slept_s == [25.0]


@pytest.mark.parametrize("retry_after", ["sent", "absent"])
async def test_a_limit_that_is_reached_is_told_with_its_wait(
    segment: Segment, adapter: SegmentAdapter, retry_after: str
) -> None:
    segment.sandbox.set_switches(default_limit=3, retry_after=retry_after)
    other = segment.connect()
    for _ in range(3):
        await other.get_destination(ADS)
    segment.sandbox.clock.advance(10)
    with pytest.raises(RateLimited) as limited:
        await adapter.get_destination(ADS)
    assert (limited.value.reason, limited.value.retry_after_s) == ("VENDOR_RATE_LIMITED", 50.0)
    segment.sandbox.clock.advance(35)
    # Now the wait fits.
    assert (await adapter.get_destination(ADS)).display_name == "Example shop ads"
    assert segment.slept_s == [15.0]


async def test_other_failures_do_not_wait_for_the_reset_of_the_limit(segment: Segment, adapter: SegmentAdapter) -> None:
    segment.sandbox.fault(
        path=ONE, status=503, headers={"X-RateLimit-Reset": IN_25_S}, body=too_many({"msBeforeNext": 9})
    )
    segment.sandbox.fault(path=ONE, status=503, headers={"Retry-After": "4"})
    await adapter.get_destination(ADS)
    assert segment.slept_s == [0.0, 4.0]


# Answers that are not what is documented.


@pytest.mark.parametrize(
    "answer",
    [
        {"headers": {"Content-Type": "text/html"}, "body": "<html>maintenance</html>", "status": 200},
        {"body": '{"data": {"destination": {"id"'},
        {"body": {"data": {"destination": {"name": "no id"}}}},
        {"body": {"data": {"destination": None}}},
        {"body": {"data": None}},
        {"body": {"destination": {}}},
        {"body": {"errors": []}},
        {"body": []},
        {"body": "null"},
        {"body": "", "status": 204},
        {"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}},
    ],
    ids=str,
)
async def test_an_answer_that_is_not_what_is_documented_is_named_so(
    segment: Segment, adapter: SegmentAdapter, answer: dict[str, Any]
) -> None:
    segment.sandbox.fault(path=ONE, **answer)
    with pytest.raises(ProtocolViolation) as violation:
        await adapter.get_destination(ADS)
    assert (violation.value.reason, violation.value.connection) == ("VENDOR_PROTOCOL", "cdp")
    assert len(segment.requests()) == 1


async def test_a_wrong_type_is_reported_with_its_place(segment: Segment, adapter: SegmentAdapter) -> None:
    row = segment.sandbox._destination(segment.sandbox.destinations[ADS]) | {"enabled": "yes"}
    segment.sandbox.fault(path=ONE, body={"data": {"destination": row}})
    with pytest.raises(ProtocolViolation, match=r"data\.destination\.enabled"):
        await adapter.get_destination(ADS)


@pytest.mark.parametrize("json_content_type", ["json", "versioned"])
async def test_an_answer_is_read_whatever_its_type_is_called(
    segment: Segment, adapter: SegmentAdapter, json_content_type: str
) -> None:
    segment.sandbox.set_switches(json_content_type=json_content_type)
    assert (await adapter.get_subscription(ADS, CUSTOMERS_IN_ADS)).display_name == "Example customers"


# Refusals.


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (400, Rejected, "REJECTED_BY_VENDOR"),
        (401, CredentialsRejected, "VENDOR_CREDENTIALS_REJECTED"),
        (403, PermissionMissing, "VENDOR_PERMISSION_MISSING"),
        (404, NotFound, "DESTINATION_NOT_FOUND"),
        (409, Conflict, "VENDOR_CONFLICT"),
        (413, TooLarge, "LIMIT_EXCEEDED"),
        (422, Rejected, "REJECTED_BY_VENDOR"),
        (500, Unavailable, "VENDOR_UNAVAILABLE"),
    ],
)
async def test_each_status_has_its_error_with_what_segment_says(
    segment: Segment, adapter: SegmentAdapter, status: int, kind: type[VendorError], reason: str
) -> None:
    body = {"errors": [{"type": "some-type", "message": "no to jane@shop.example"}, {"message": "second"}]}
    segment.sandbox.fault(path=ONE, status=status, body=body, count=0)
    with pytest.raises(kind) as refused:
        await adapter.get_destination(ADS)
    assert refused.value.reason == reason
    assert (refused.value.fault.code, refused.value.fault.message) == ("some-type", "no to ********; second")
    assert (refused.value.vendor, refused.value.connection) == ("segment", "cdp")


@pytest.mark.parametrize("token", ["wrong-token", ""])
async def test_a_token_that_is_not_good_is_rejected_credentials(segment: Segment, token: str) -> None:
    with pytest.raises(CredentialsRejected) as rejected:
        await segment.connect(token=token).check_connection()
    assert rejected.value.fault.message == "The token is missing or not valid"
    assert len(segment.requests()) == 1


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (401, CredentialsRejected, "VENDOR_CREDENTIALS_REJECTED"),
        (403, PermissionMissing, "VENDOR_PERMISSION_MISSING"),
    ],
)
async def test_a_token_without_the_permission_may_read_and_is_refused_the_rest(
    segment: Segment, status: int, kind: type[VendorError], reason: str
) -> None:
    segment.sandbox.set_switches(forbidden_status=status)
    adapter = segment.connect(token="sandbox-token-read-only")
    await adapter.check_connection()
    with pytest.raises(kind) as refused:
        await make_destination(adapter)
    assert (refused.value.reason, refused.value.fault.message) == (reason, "The token does not have the permission")


async def test_the_token_is_in_no_error(segment: Segment, adapter: SegmentAdapter) -> None:
    body = {"errors": [{"type": "x", "message": "sandbox-token is bad", "field": "sandbox"}]}
    segment.sandbox.fault(path=ONE, status=422, body=body)
    with pytest.raises(Rejected) as refused:
        await adapter.get_destination(ADS)
    assert refused.value.fault.message == "******** is bad"
    assert "sandbox-token" not in repr(adapter.settings)


SHORTEST: dict[str, Call] = {
    "list destinations": lambda a: a.list_destinations(ListQuery(), "", 1),
    "delete destination": lambda a: a.delete_destination(
        Destination(name=named(EMPTY)), force=True, validate_only=False
    ),
    "list jobs": lambda a: a.list_export_jobs(jobs_of(ADS), "", 1),
    "cancel": lambda a: a.cancel_export_job(job_id(1001)),
}


@pytest.mark.parametrize("call", SHORTEST)
async def test_a_vendor_that_is_down_is_unavailable(segment: Segment, adapter: SegmentAdapter, call: str) -> None:
    segment.sandbox.fault(path="*", status=503, count=0)
    with pytest.raises(Unavailable):
        await SHORTEST[call](adapter)
    assert len(segment.requests()) == 3
