"""What comes of answers that are late, lost, wrong or none: each has its name, and no file is sent twice."""

from collections.abc import Awaitable, Callable

import pytest

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
from adapters.mediarithmics.adapter import MediarithmicsAdapter
from adapters.transport import Timeouts
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from tests.vendors.mediarithmics.datamart import (
    ADD,
    IMPORTS,
    NEVER_USED,
    NEWSLETTER,
    Datamart,
    changing,
    named,
    upload,
)

EXECUTIONS = f"{IMPORTS}/{NEVER_USED}/executions"
LOST = [
    {"drop": "after"},
    {"drop": "before"},
    {"drop": "truncate"},
    {"status": 500},
    {"status": 502},
    {"status": 503, "headers": {"Retry-After": "1"}},
    {"status": 504},
    {"status": 408},
]


async def test_a_read_is_sent_again_after_503(datamart: Datamart, adapter: MediarithmicsAdapter) -> None:
    datamart.sandbox.fault(path=f"*/{NEWSLETTER}", status=503, count=2)
    assert (await adapter.get_destination(NEWSLETTER)).state == Destination.ACTIVE
    assert len(datamart.requests()) == 3
    assert len(datamart.slept_s) == 2


@pytest.mark.parametrize("drop", ["before", "after"])
async def test_a_write_that_may_be_repeated_is_sent_again(
    datamart: Datamart, adapter: MediarithmicsAdapter, drop: str
) -> None:
    for method in ("PUT", "DELETE"):
        datamart.sandbox.fault(path=f"*/{NEWSLETTER}", method=method, drop=drop)
    await adapter.update_destination(NEWSLETTER, changing("display_name", display_name="Letters"))
    deleted = await adapter.delete_destination(Destination(name=named(NEWSLETTER)), force=False, validate_only=False)
    assert deleted.state == Destination.DELETED
    assert [line.partition(" ")[0] for line in datamart.requests()] == ["GET", "PUT", "PUT", "DELETE", "DELETE"]
    assert int(NEWSLETTER) not in datamart.sandbox.imports


@pytest.mark.parametrize("fault", LOST, ids=str)
async def test_a_file_whose_answer_is_lost_is_not_sent_again(
    datamart: Datamart, adapter: MediarithmicsAdapter, fault: dict[str, object]
) -> None:
    datamart.sandbox.fault(path=EXECUTIONS, method="POST", **fault)
    with pytest.raises(OutcomeUnknown) as lost:
        await upload(adapter, ADD)
    assert lost.value.reason == "OUTCOME_UNKNOWN"
    assert datamart.requests("executions") == [f"POST {EXECUTIONS}"]


@pytest.mark.parametrize("fault", LOST, ids=str)
async def test_an_import_whose_answer_is_lost_is_not_made_again(
    datamart: Datamart, adapter: MediarithmicsAdapter, fault: dict[str, object]
) -> None:
    datamart.sandbox.fault(path=IMPORTS, method="POST", **fault)
    with pytest.raises(OutcomeUnknown):
        await adapter.create_destination(Destination(display_name="x"), validate_only=False)
    assert datamart.requests() == [f"POST {IMPORTS}"]


async def test_a_file_that_is_not_answered_in_time_is_not_sent_again(datamart: Datamart) -> None:
    datamart.sandbox.fault(path=EXECUTIONS, method="POST", delay_s=60)
    with pytest.raises(OutcomeUnknown):
        await upload(datamart.connect(timeouts=Timeouts(operation_s=0.1)), ADD)
    assert datamart.requests("executions") == [f"POST {EXECUTIONS}"]


async def test_a_file_that_mediarithmics_is_too_busy_for_is_sent_when_it_asked(
    datamart: Datamart, adapter: MediarithmicsAdapter
) -> None:
    datamart.sandbox.fault(path=EXECUTIONS, method="POST", status=429, headers={"Retry-After": "7"})
    assert (await upload(adapter, ADD)).state == ExportJob.PENDING
    bodies = [entry["body"] for entry in datamart.sandbox.journal if entry["method"] == "POST"]
    assert len(bodies) == 2
    assert bodies[0] == bodies[1] != ""
    assert datamart.slept_s == [7.0]


async def test_a_wait_beyond_the_deadline_is_the_callers(datamart: Datamart, adapter: MediarithmicsAdapter) -> None:
    datamart.sandbox.fault(path="*", status=429, headers={"Retry-After": "3600"}, count=0)
    with pytest.raises(RateLimited) as limited:
        await adapter.get_destination(NEWSLETTER)
    assert limited.value.retry_after_s == 3600
    assert len(datamart.requests()) == 1


async def test_a_file_that_is_too_large_is_refused_as_such(datamart: Datamart, adapter: MediarithmicsAdapter) -> None:
    datamart.sandbox.set_switches(max_file_bytes=10)
    with pytest.raises(TooLarge) as refused:
        await upload(adapter, ADD)
    assert refused.value.reason == "LIMIT_EXCEEDED"


async def test_a_file_to_an_import_that_is_gone_is_refused(datamart: Datamart, adapter: MediarithmicsAdapter) -> None:
    datamart.sandbox.fault(path=EXECUTIONS, method="POST", status=404)
    with pytest.raises(NotFound) as missing:
        await upload(adapter, ADD)
    assert (missing.value.reason, missing.value.resource) == ("DESTINATION_NOT_FOUND", named(NEVER_USED))


@pytest.mark.parametrize(
    "answer",
    [
        {"headers": {"Content-Type": "text/html"}, "body": "<html>maintenance</html>", "status": 200},
        {"body": '{"status": "ok", "data": {"id": "1"'},
        {"body": {"status": "ok", "data": {"name": "no id"}}},
        {"body": {"status": "ok", "data": [1]}},
        {"body": {"status": "ok", "data": None}},
        {"body": {"status": "error", "error": "in an answer that says it is fine"}},
        {"body": {}},
        {"body": "", "status": 204},
        {"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}},
    ],
    ids=str,
)
async def test_an_answer_that_is_not_what_is_documented_is_named_so(
    datamart: Datamart, adapter: MediarithmicsAdapter, answer: dict[str, object]
) -> None:
    datamart.sandbox.fault(path=f"*/{NEWSLETTER}", **answer)
    with pytest.raises(ProtocolViolation) as violation:
        await adapter.get_destination(NEWSLETTER)
    assert (violation.value.reason, violation.value.connection) == ("VENDOR_PROTOCOL", "dmp")
    assert len(datamart.requests()) == 1


@pytest.mark.parametrize("page", ["<html>", '{"half": ['])
async def test_a_page_of_a_proxy_is_no_word_that_something_was_deleted_or_cancelled(
    datamart: Datamart, adapter: MediarithmicsAdapter, page: str
) -> None:
    for method in ("DELETE", "POST"):
        datamart.sandbox.fault(path="*", method=method, body=page)
    with pytest.raises(ProtocolViolation):
        await adapter.delete_destination(Destination(name=named(NEWSLETTER)), force=False, validate_only=False)
    with pytest.raises(ProtocolViolation):
        await adapter.cancel_export_job(datamart.sandbox.suite["jobs"]["PENDING"])
    assert not any(entry["accepted"] for entry in datamart.sandbox.journal if entry["method"] != "GET")


async def test_a_wrong_type_is_reported_with_its_place(datamart: Datamart, adapter: MediarithmicsAdapter) -> None:
    datamart.sandbox.fault(path="*/90001", body={"data": {"id": "1", "result": {"total_failure": []}}})
    with pytest.raises(ProtocolViolation, match=r"data\.result\.total_failure"):
        await adapter.get_export_job(f"{NEWSLETTER}~90001")


async def walk(adapter: MediarithmicsAdapter, size: int) -> None:
    page = await adapter.list_destinations(ListQuery(), "", size)
    while page.next_cursor:
        page = await adapter.list_destinations(ListQuery(), page.next_cursor, size)


async def test_a_list_that_ignores_the_offset_is_told_from_one_that_ends(
    datamart: Datamart, adapter: MediarithmicsAdapter
) -> None:
    rows = [{"id": n, "document_type": "USER_SEGMENT"} for n in range(3)]
    datamart.sandbox.fault(path="*/document_imports", body={"data": rows, "max_results": 3}, count=0)
    with pytest.raises(ProtocolViolation, match="does not move on"):
        await walk(adapter, 3)


async def test_a_list_that_gives_more_than_was_asked_for_is_cut(
    datamart: Datamart, adapter: MediarithmicsAdapter
) -> None:
    rows = [{"id": n, "document_type": "USER_SEGMENT"} for n in range(9)]
    datamart.sandbox.fault(path="*/document_imports", body={"data": rows, "total": 9})
    page = await adapter.list_destinations(ListQuery(), "", 4)
    assert [destination.name for destination in page.items] == [named(str(n)) for n in range(4)]
    assert page.next_cursor


@pytest.mark.parametrize("body", [{"data": [], "total": 7}, {"data": []}, {"data": [], "max_results": 0}], ids=str)
async def test_an_empty_page_is_the_end_whatever_the_total_says(
    datamart: Datamart, adapter: MediarithmicsAdapter, body: dict[str, object]
) -> None:
    datamart.sandbox.fault(path="*/document_imports", body=body)
    assert await adapter.list_destinations(ListQuery(), "", 4) == ([], "")
    assert len(datamart.requests()) == 1


async def test_an_import_that_takes_no_known_form_is_not_written_to(
    datamart: Datamart, adapter: MediarithmicsAdapter
) -> None:
    for mime_type in ("APPLICATION_PDF", None):
        data = {"id": NEVER_USED, "document_type": "USER_SEGMENT", "mime_type": mime_type}
        datamart.sandbox.fault(path=f"*/{NEVER_USED}", body={"data": data})
        with pytest.raises(ProtocolViolation) as violation:
            await upload(adapter, ADD)
        assert violation.value.connection == "dmp"
    assert not datamart.requests("executions")


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (400, Rejected, "REJECTED_BY_VENDOR"),
        (415, Rejected, "REJECTED_BY_VENDOR"),
        (422, Rejected, "REJECTED_BY_VENDOR"),
        (401, CredentialsRejected, "VENDOR_CREDENTIALS_REJECTED"),
        (403, PermissionMissing, "VENDOR_PERMISSION_MISSING"),
        (404, NotFound, "DESTINATION_NOT_FOUND"),
        (409, Conflict, "VENDOR_CONFLICT"),
        (500, Unavailable, "VENDOR_UNAVAILABLE"),
    ],
)
async def test_each_status_has_its_error_with_what_mediarithmics_says(
    datamart: Datamart, adapter: MediarithmicsAdapter, status: int, kind: type[VendorError], reason: str
) -> None:
    body = {"status": "error", "error": "Not so", "error_code": "EXAMPLE_ERROR", "error_id": "e-1"}
    datamart.sandbox.fault(path=f"*/{NEWSLETTER}", status=status, body=body, count=0)
    with pytest.raises(kind) as refused:
        await adapter.get_destination(NEWSLETTER)
    assert refused.value.reason == reason
    fault = refused.value.fault
    assert (fault.http_status, fault.code, fault.message, fault.request_id) == (
        status,
        "EXAMPLE_ERROR",
        "Not so",
        "e-1",
    )
    assert (refused.value.vendor, refused.value.connection) == ("mediarithmics", "dmp")


async def test_an_error_page_of_a_proxy_is_named_by_its_status(
    datamart: Datamart, adapter: MediarithmicsAdapter
) -> None:
    datamart.sandbox.fault(path="*", status=403, body="<html>", headers={"Content-Type": "text/html"})
    with pytest.raises(PermissionMissing):
        await adapter.get_destination(NEWSLETTER)


async def test_a_token_that_is_not_good_is_refused_and_not_shown(datamart: Datamart) -> None:
    with pytest.raises(CredentialsRejected) as refused:
        await datamart.connect(token="sandbox-token-of-nobody").check_connection()
    assert "of-nobody" not in f"{refused.value}{vars(refused.value)}"
    assert len(datamart.requests()) == 1


BELOW_THE_DATAMART: dict[str, Callable[[MediarithmicsAdapter], Awaitable[object]]] = {
    "check": lambda a: a.check_connection(),
    "list": lambda a: a.list_destinations(ListQuery(), "", 5),
    "jobs": lambda a: a.list_export_jobs(ListQuery(), "", 5),
    "create": lambda a: a.create_destination(Destination(display_name="x"), validate_only=False),
}


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("operation", BELOW_THE_DATAMART)
async def test_a_datamart_that_is_not_the_tokens_is_a_missing_permission(
    datamart: Datamart, operation: str, status: int
) -> None:
    datamart.sandbox.set_switches(unknown_datamart_status=status)
    with pytest.raises(PermissionMissing) as missing:
        await BELOW_THE_DATAMART[operation](datamart.connect(datamart_id="1510"))
    assert missing.value.fault.http_status == status


async def test_a_user_that_may_only_read_is_told_so(datamart: Datamart) -> None:
    adapter = datamart.connect(token="sandbox-token-read-only")
    await adapter.check_connection()
    with pytest.raises(PermissionMissing):
        await upload(adapter, ADD)
