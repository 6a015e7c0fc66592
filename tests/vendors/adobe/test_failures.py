"""What comes of answers that are late, lost, wrong or none: each has its name, and no job is started twice."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from adapters.adobe.adapter import AdobeAdapter
from adapters.base import ListQuery
from adapters.errors import (
    Conflict,
    NotFound,
    OutcomeUnknown,
    PermissionMissing,
    ProtocolViolation,
    RateLimited,
    Rejected,
    Unavailable,
    VendorError,
)
from adapters.transport import Timeouts
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from tests.vendors.adobe.instance import DATASETS, JOBS, NEWSLETTER, SEGMENT, Adobe

ONE_JOB = f"{JOBS}/101"
ONE_DATASET = f"{DATASETS}/{NEWSLETTER}"


async def run(adapter: AdobeAdapter) -> ExportJob:
    job = {
        "destination": f"connections/cdp/destinations/{NEWSLETTER}",
        "audiences": [{"audience_id": SEGMENT}],
    }
    return await adapter.create_export_job(ParseDict(job, ExportJob()), marker="0a1b2c3d", validate_only=False)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_read_is_sent_again_after_a_failure(adobe: Adobe, adapter: AdobeAdapter, status: int) -> None:
    adobe.sandbox.fault(path=ONE_JOB, status=status, count=2)
    assert (await adapter.get_export_job("101")).state == ExportJob.SUCCEEDED
    assert len(adobe.requests()) == 3
    assert len(adobe.slept_s) == 2


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
async def test_a_start_whose_answer_is_lost_is_not_sent_again(
    adobe: Adobe, adapter: AdobeAdapter, fault: dict[str, Any]
) -> None:
    adobe.sandbox.fault(path=JOBS, method="POST", **fault)
    with pytest.raises(OutcomeUnknown) as lost:
        await run(adapter)
    assert lost.value.reason == "OUTCOME_UNKNOWN"
    assert adobe.requests() == [f"POST {JOBS}"]


async def test_a_start_that_is_not_answered_in_time_is_not_sent_again(adobe: Adobe) -> None:
    adapter = adobe.connect(timeouts=Timeouts(operation_s=0.2))
    await adapter.check_connection()
    adobe.sandbox.journal.clear()
    adobe.sandbox.fault(path=JOBS, method="POST", delay_s=60)
    with pytest.raises(OutcomeUnknown):
        await run(adapter)
    assert adobe.requests() == [f"POST {JOBS}"]


@pytest.mark.parametrize(
    ("switches", "waits_s"),
    [
        ({}, 1.0),
        ({"too_many": "profile"}, 1.0),
        ({"too_many": "profile", "retry_after": "absent"}, 0.5),
        # Nothing is asked for: the usual wait, whose jitter is 0 here.
        ({"retry_after": "absent"}, 0.0),
    ],
    ids=str,
)
async def test_too_many_calls_wait_as_long_as_adobe_says_a_start_too(
    adobe: Adobe, adapter: AdobeAdapter, switches: dict[str, str], waits_s: float
) -> None:
    adobe.sandbox.set_switches(**switches)
    headers = {} if switches.get("retry_after") else {"Retry-After": "1"}
    body = {
        "gateway": {"error_code": "429050", "message": "Too many requests"},
        "profile": {"message": "Too many requests", "cause": "x", "retryAfterMs": "500", "statusCode": "429"},
    }[switches.get("too_many", "gateway")]
    adobe.sandbox.fault(path=JOBS, method="POST", status=429, body=body, headers=headers)
    assert (await run(adapter)).state == ExportJob.PENDING
    assert adobe.slept_s == [waits_s]


async def test_a_429_of_the_gateway_counts_by_its_code(adobe: Adobe, adapter: AdobeAdapter) -> None:
    adobe.sandbox.fault(path=JOBS, status=403, body={"error_code": "429050", "message": "Too many requests"}, count=0)
    with pytest.raises(RateLimited):
        await adapter.check_connection()


async def test_a_wait_beyond_the_deadline_is_the_callers(adobe: Adobe, adapter: AdobeAdapter) -> None:
    adobe.sandbox.fault(path=ONE_JOB, status=429, headers={"Retry-After": "3600"}, count=0)
    with pytest.raises(RateLimited) as limited:
        await adapter.get_export_job("101")
    assert limited.value.retry_after_s == 3600
    assert len(adobe.requests()) == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"headers": {"Content-Type": "text/html"}, "body": "<html>maintenance</html>", "status": 200},
        {"body": '{"id": 1'},
        {"body": {"status": "NEW"}},
        {"body": {"id": 1, "filter": []}},
        {"body": []},
        {"body": "null"},
        {"body": "", "status": 204},
        {"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}},
    ],
    ids=str,
)
async def test_an_answer_that_is_not_what_is_documented_is_named_so(
    adobe: Adobe, adapter: AdobeAdapter, answer: dict[str, Any]
) -> None:
    adobe.sandbox.fault(path=ONE_JOB, **answer)
    with pytest.raises(ProtocolViolation) as violation:
        await adapter.get_export_job("101")
    assert (violation.value.reason, violation.value.connection) == ("VENDOR_PROTOCOL", "cdp")
    assert len(adobe.requests()) == 1


@pytest.mark.parametrize("body", [[], {NEWSLETTER: []}, {NEWSLETTER: {"name": []}}, "null"], ids=str)
async def test_a_dataset_that_is_not_what_is_documented_is_named_so(
    adobe: Adobe, adapter: AdobeAdapter, body: object
) -> None:
    adobe.sandbox.fault(path=ONE_DATASET, body=body)
    with pytest.raises(ProtocolViolation):
        await adapter.get_destination(NEWSLETTER)


async def test_a_wrong_type_is_reported_with_its_place(adobe: Adobe, adapter: AdobeAdapter) -> None:
    adobe.sandbox.fault(path=JOBS, body={"records": [{"id": 1, "errors": [{"msg": {}}]}]})
    with pytest.raises(ProtocolViolation, match=r"records\[\.*0*\.*\]\.errors\[\.*0*\.*\]\.msg"):
        await adapter.list_export_jobs(ListQuery(), "", 5)


@pytest.mark.parametrize("body", [{}, {"5ca1ab1e0000000000000001": {"name": "Another"}}], ids=str)
async def test_a_dataset_that_is_not_in_the_answer_is_not_there(
    adobe: Adobe, adapter: AdobeAdapter, body: object
) -> None:
    adobe.sandbox.fault(path=ONE_DATASET, body=body)
    with pytest.raises(NotFound) as missing:
        await adapter.get_destination(NEWSLETTER)
    assert (missing.value.reason, missing.value.fault.http_status) == ("DESTINATION_NOT_FOUND", 200)


READS: dict[str, tuple[Callable[[AdobeAdapter], Awaitable[object]], str, str]] = {
    "destination": (
        lambda a: a.get_destination("5ca1ab1e00000000000003e7"),
        "DESTINATION_NOT_FOUND",
        "connections/cdp/destinations/5ca1ab1e00000000000003e7",
    ),
    "job": (lambda a: a.get_export_job("999999"), "EXPORT_JOB_NOT_FOUND", "connections/cdp/exportJobs/999999"),
    "log": (
        lambda a: a.list_export_job_log_entries("999999", ListQuery(), "", 50),
        "EXPORT_JOB_NOT_FOUND",
        "connections/cdp/exportJobs/999999",
    ),
}


@pytest.mark.parametrize("envelopes", ["own", "generic"])
@pytest.mark.parametrize("read", READS)
async def test_what_is_not_there_is_not_found_by_name(
    adobe: Adobe, adapter: AdobeAdapter, read: str, envelopes: str
) -> None:
    adobe.sandbox.set_switches(error_envelopes=envelopes)
    call, reason, resource = READS[read]
    with pytest.raises(NotFound) as missing:
        await call(adapter)
    assert (missing.value.reason, missing.value.resource) == (reason, resource)
    assert missing.value.fault.message in {"The export job was not found", "DataSet not found."}


@pytest.mark.parametrize(
    ("switches", "codes"),
    [
        ({}, ["UPAPI-113430-400", "BadRequestError"]),
        ({"ups_error_codes": "number"}, ["UPAPI-113430-400", "BadRequestError"]),
        ({"error_envelopes": "generic"}, ["EXAMPLE-1000-400", "EXAMPLE-1000-400"]),
    ],
    ids=str,
)
async def test_each_service_says_what_is_wrong_in_its_own_envelope(
    adobe: Adobe, adapter: AdobeAdapter, switches: dict[str, str], codes: list[str]
) -> None:
    adobe.sandbox.set_switches(**switches)
    adobe.sandbox.fault(path="/data/*", status=400, count=0)
    seen = []
    for call in (adapter.get_export_job("101"), adapter.get_destination(NEWSLETTER)):
        with pytest.raises(Rejected) as refused:
            await call
        assert refused.value.fault.message == "Bad Request"
        seen.append(refused.value.fault.code)
    assert seen == codes


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (400, Rejected, "REJECTED_BY_VENDOR"),
        (422, Rejected, "REJECTED_BY_VENDOR"),
        (403, PermissionMissing, "VENDOR_PERMISSION_MISSING"),
        (409, Conflict, "VENDOR_CONFLICT"),
        (500, Unavailable, "VENDOR_UNAVAILABLE"),
    ],
)
async def test_each_status_has_its_error_with_who_and_where(
    adobe: Adobe, adapter: AdobeAdapter, status: int, kind: type[VendorError], reason: str
) -> None:
    adobe.sandbox.fault(path=ONE_JOB, status=status, count=0)
    with pytest.raises(kind) as refused:
        await adapter.get_export_job("101")
    assert refused.value.reason == reason
    assert refused.value.fault.request_id
    assert (refused.value.vendor, refused.value.connection) == ("adobe", "cdp")


@pytest.mark.parametrize(
    ("call", "permission"),
    [
        (run, "Export Audience for Segment"),
        (lambda a: a.cancel_export_job("107"), "Export Audience for Segment"),
        (lambda a: a.list_destinations(ListQuery(), "", 9), "View Datasets or Manage Datasets"),
        (
            lambda a: a.create_destination(Destination(display_name="New"), validate_only=True),
            "Manage Datasets",
        ),
    ],
    ids=["run", "cancel", "list", "create"],
)
async def test_a_missing_permission_is_named(
    adobe: Adobe, adapter: AdobeAdapter, call: Callable[[AdobeAdapter], Awaitable[object]], permission: str
) -> None:
    for path, method in ((JOBS, "POST"), (f"{JOBS}/*", "DELETE"), (f"{DATASETS}*", None)):
        adobe.sandbox.fault(path=path, method=method, status=403, count=0)
    with pytest.raises(PermissionMissing) as missing:
        await call(adapter)
    assert missing.value.metadata == {"permission": permission}
