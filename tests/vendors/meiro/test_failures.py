"""What comes of answers that are late, lost, wrong or none: each has its name, and no run is started twice."""

from collections.abc import Awaitable, Callable

import pytest

from adapters.base import Change, ListQuery, Term
from adapters.errors import (
    Conflict,
    CredentialsRejected,
    NotFound,
    OutcomeUnknown,
    PermissionMissing,
    ProtocolViolation,
    RateLimited,
    Rejected,
    Unavailable,
    VendorError,
)
from adapters.meiro.adapter import MeiroAdapter
from adapters.secrets import Secret
from adapters.transport import Timeouts
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import ExportAudience, ExportJob
from tests.vendors.meiro.instance import Meiro

DESTINATION = "/segments/export/destinations/101"
EXPORTS = "/segments/301/exports"
OF_300 = ListQuery(terms=(Term("audiences.audience_id", ":", "300"),))
OF_UNKNOWN = ListQuery(terms=(Term("audiences.audience_id", ":", "999999"),))


async def run(adapter: MeiroAdapter) -> ExportJob:
    audiences = [ExportAudience(audience_id="301")]
    job = ExportJob(destination="connections/crm/destinations/101", audiences=audiences)
    return await adapter.create_export_job(job, marker="0a1b2c3d", validate_only=False)


async def test_a_read_is_sent_again_after_503(meiro: Meiro, adapter: MeiroAdapter) -> None:
    meiro.sandbox.fault(path=DESTINATION, status=503, count=2)
    assert (await adapter.get_destination("101")).state == Destination.ACTIVE
    assert len(meiro.requests()) == 3
    assert len(meiro.slept_s) == 2


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize("drop", ["before", "after"])
async def test_a_write_that_may_be_repeated_is_sent_again(
    meiro: Meiro, adapter: MeiroAdapter, method: str, drop: str
) -> None:
    meiro.sandbox.fault(path="/segments/*", method=method, drop=drop)
    if method == "PATCH":
        restored = await adapter.undelete_destination("191", validate_only=False)
        assert restored.state == Destination.ACTIVE
    else:
        name = "connections/crm/destinations/106"
        deleted = await adapter.delete_destination(Destination(name=name), force=False, validate_only=False)
        assert deleted.state == Destination.DELETED
        assert meiro.sandbox.destinations[106]["deleted"] == 1
    assert len([line for line in meiro.requests() if line.startswith(method)]) == 2


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
async def test_a_run_whose_answer_is_lost_is_not_started_again(
    meiro: Meiro, adapter: MeiroAdapter, fault: dict[str, object]
) -> None:
    meiro.sandbox.fault(path=EXPORTS, method="POST", **fault)
    with pytest.raises(OutcomeUnknown) as lost:
        await run(adapter)
    assert lost.value.reason == "OUTCOME_UNKNOWN"
    assert meiro.requests() == [f"POST /api{EXPORTS}"]


async def test_a_run_that_is_not_answered_in_time_is_not_started_again(meiro: Meiro) -> None:
    meiro.sandbox.fault(path=EXPORTS, method="POST", delay_s=60)
    with pytest.raises(OutcomeUnknown):
        await run(meiro.connect(timeouts=Timeouts(operation_s=0.1)))
    assert meiro.requests() == [f"POST /api{EXPORTS}"]


async def test_a_run_that_meiro_is_too_busy_for_is_started_when_it_asked(meiro: Meiro, adapter: MeiroAdapter) -> None:
    meiro.sandbox.fault(path=EXPORTS, method="POST", status=429, headers={"Retry-After": "7"})
    assert (await run(adapter)).state == ExportJob.PENDING
    assert meiro.requests() == [f"POST /api{EXPORTS}"] * 2
    assert meiro.slept_s == [7.0]


async def test_a_wait_beyond_the_deadline_is_the_callers(meiro: Meiro, adapter: MeiroAdapter) -> None:
    meiro.sandbox.fault(path=DESTINATION, status=429, headers={"Retry-After": "3600"}, count=0)
    with pytest.raises(RateLimited) as limited:
        await adapter.get_destination("101")
    assert limited.value.retry_after_s == 3600
    assert len(meiro.requests()) == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"headers": {"Content-Type": "text/html"}, "body": "<html>maintenance</html>", "status": 200},
        {"body": '{"segment_export_destination": {"id": 1'},
        {"body": {"segment_export_destination": {"name": "no id"}}},
        {"body": {"segment_export_destination": [1]}},
        {"body": {}},
        {"body": []},
        {"body": "", "status": 204},
        {"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}},
        {"status": 301, "headers": {"Location": "/api/segments/export/destinations/102"}},
    ],
    ids=str,
)
async def test_an_answer_that_is_not_what_is_documented_is_named_so(
    meiro: Meiro, adapter: MeiroAdapter, answer: dict[str, object]
) -> None:
    meiro.sandbox.fault(path=DESTINATION, **answer)
    with pytest.raises(ProtocolViolation) as violation:
        await adapter.get_destination("101")
    assert (violation.value.reason, violation.value.connection) == ("VENDOR_PROTOCOL", "crm")
    assert len(meiro.requests()) == 1


async def test_a_wrong_type_is_reported_with_its_place(meiro: Meiro, adapter: MeiroAdapter) -> None:
    meiro.sandbox.fault(path=DESTINATION, body={"segment_export_destination": {"id": 1, "attribute_ids": [{}]}})
    with pytest.raises(ProtocolViolation, match=r"segment_export_destination\.attribute_ids\[0\]"):
        await adapter.get_destination("101")


async def test_a_read_that_breaks_off_is_read_again(meiro: Meiro, adapter: MeiroAdapter) -> None:
    meiro.sandbox.fault(path=DESTINATION, drop="truncate")
    assert (await adapter.get_destination("101")).display_name == "Example shop newsletter"
    meiro.sandbox.fault(path=DESTINATION, drop="truncate", count=0)
    with pytest.raises(Unavailable):
        await adapter.get_destination("101")


@pytest.mark.parametrize("answer", [None, {"segment_export": None}], ids=str)
async def test_a_run_that_is_answered_with_null_is_not_taken_for_refused(
    meiro: Meiro, adapter: MeiroAdapter, answer: object
) -> None:
    body = "null" if answer is None else answer
    meiro.sandbox.fault(path=EXPORTS, method="POST", status=201, body=body)
    with pytest.raises(ProtocolViolation):
        await run(adapter)
    assert len(meiro.requests()) == 1


READS: dict[str, tuple[Callable[[MeiroAdapter], Awaitable[object]], str, str]] = {
    "destination": (
        lambda a: a.get_destination("999999"),
        "DESTINATION_NOT_FOUND",
        "connections/crm/destinations/999999",
    ),
    "job": (
        lambda a: a.get_export_job("300~999999"),
        "EXPORT_JOB_NOT_FOUND",
        "connections/crm/exportJobs/300~999999",
    ),
    "jobs": (lambda a: a.list_export_jobs(OF_UNKNOWN, "", 50), "AUDIENCE_NOT_FOUND", ""),
    "log": (
        lambda a: a.list_export_job_log_entries("300~999999", ListQuery(), "", 50),
        "EXPORT_JOB_NOT_FOUND",
        "connections/crm/exportJobs/300~999999",
    ),
    "revisions": (
        lambda a: a.list_export_job_revisions("300~999999", ListQuery(), "", 50),
        "EXPORT_JOB_NOT_FOUND",
        "connections/crm/exportJobs/300~999999",
    ),
    "revision": (
        lambda a: a.get_export_job_revision("300~1001", "999999"),
        "REVISION_NOT_FOUND",
        "connections/crm/exportJobs/300~1001/revisions/999999",
    ),
}


@pytest.mark.parametrize("null_body", [False, True])
@pytest.mark.parametrize("read", READS)
async def test_what_is_not_there_is_not_found_whether_meiro_says_404_or_null(
    meiro: Meiro, adapter: MeiroAdapter, read: str, null_body: bool
) -> None:
    call, reason, resource = READS[read]
    meiro.sandbox.set_switches(null_body_for_missing=null_body)
    with pytest.raises(NotFound) as missing:
        await call(adapter)
    assert (missing.value.reason, missing.value.resource) == (reason, resource)
    assert missing.value.fault.http_status == (200 if null_body else 404)


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (400, Rejected, "REJECTED_BY_VENDOR"),
        (422, Rejected, "REJECTED_BY_VENDOR"),
        (401, CredentialsRejected, "VENDOR_CREDENTIALS_REJECTED"),
        (403, PermissionMissing, "VENDOR_PERMISSION_MISSING"),
        (409, Conflict, "VENDOR_CONFLICT"),
        (500, Unavailable, "VENDOR_UNAVAILABLE"),
    ],
)
async def test_each_status_has_its_error_with_what_meiro_says(
    meiro: Meiro, adapter: MeiroAdapter, status: int, kind: type[VendorError], reason: str
) -> None:
    meiro.sandbox.fault(path=DESTINATION, status=status, body={"message": "Name is too long"}, count=0)
    with pytest.raises(kind) as refused:
        await adapter.get_destination("101")
    assert refused.value.reason == reason
    assert refused.value.fault.message == "Name is too long"
    assert (refused.value.vendor, refused.value.connection) == ("meiro", "crm")


ONE_DESTINATION = Destination(name="connections/crm/destinations/106")
READ = "data/sources_and_destinations or settings/sources_and_destinations or segments/export"
WRITE = "settings/sources_and_destinations"
RUN = "segments/export or segments/export/EXPORT_DESTINATION_ID"
CANCEL = f"Segment ACL authorization or foreign_segments/edit or {RUN}"
SEE = f"foreign_segments/view or {CANCEL}"
FEATURES: dict[str, tuple[Callable[[MeiroAdapter], Awaitable[object]], str]] = {
    "check": (lambda a: a.check_connection(), READ),
    "list destinations": (lambda a: a.list_destinations(ListQuery(), "", 9), READ),
    "get destination": (lambda a: a.get_destination("101"), READ),
    "list trash": (lambda a: a.list_destinations(ListQuery(terms=(Term("state", "=", "DELETED"),)), "", 9), WRITE),
    "delete destination": (lambda a: a.delete_destination(ONE_DESTINATION, force=False, validate_only=False), WRITE),
    "list exports": (lambda a: a.list_export_jobs(OF_300, "", 9), SEE),
    "get export": (lambda a: a.get_export_job("300~1001"), SEE),
    "run export": (run, RUN),
    "cancel export": (lambda a: a.cancel_export_job("300~1001"), CANCEL),
    "list logs": (lambda a: a.list_export_job_log_entries("300~1001", ListQuery(), "", 9), SEE),
    "list history": (lambda a: a.list_export_job_revisions("300~1001", ListQuery(), "", 9), SEE),
    "get history item": (lambda a: a.get_export_job_revision("300~1001", "100102"), SEE),
    "download": (lambda a: a.download_export_job("300~1001", artifact_id="", offset=0).__aenter__(), RUN),
}


@pytest.mark.parametrize("operation", FEATURES)
async def test_a_missing_feature_is_named_as_the_documentation_does(
    meiro: Meiro, adapter: MeiroAdapter, operation: str
) -> None:
    call, permission = FEATURES[operation]
    meiro.sandbox.fault(path="*", status=403)
    with pytest.raises(PermissionMissing) as missing:
        await call(adapter)
    assert missing.value.metadata == {"permission": permission}


async def test_a_token_without_a_feature_is_refused_by_name(meiro: Meiro, adapter: MeiroAdapter) -> None:
    with pytest.raises(PermissionMissing) as missing:
        await meiro.connect(token=Secret("sandbox-token-read-only")).update_destination(
            "101", lambda current: renamed(current, "CRM drop")
        )
    assert missing.value.metadata == {"permission": WRITE}
    meiro.sandbox.fault(path="*/last_running_export", status=403)
    with pytest.raises(PermissionMissing) as missing:
        await adapter.get_destination("101", full=True)
    assert missing.value.metadata == {"permission": "data/sources_and_destinations"}


def renamed(current: Destination, display_name: str) -> Change[Destination]:
    merged = Destination()
    merged.CopyFrom(current)
    merged.display_name = display_name
    return Change(current=current, merged=merged, paths=frozenset({"display_name"}), settled=False)
