"""Export jobs: pages that change, runs, cancels, states, history and logs."""

import logging
from typing import Any

import pytest
from google.rpc.error_details_pb2 import ErrorInfo

from adapters.base import Adapter, ListQuery, Page, Term
from adapters.errors import Conflict, InvalidRequest, NotFound, PermissionMissing, Precondition, Rejected
from adapters.meiro.adapter import MeiroAdapter
from adapters.secrets import Secret
from adapters.states import UNRECOGNIZED
from audiencegateway.v1.export_jobs_pb2 import ExportAudience, ExportJob, LogEntry
from tests.vendors.meiro.instance import Meiro


def of(audience_id: str, **query: Any) -> ListQuery:
    return ListQuery(terms=(Term("audiences.audience_id", ":", audience_id),), **query)


def wanted(destination_id: str = "101", audience_id: str = "301", display_name: str = "Spring letter") -> ExportJob:
    return ExportJob(
        display_name=display_name,
        destination=f"connections/crm/destinations/{destination_id}",
        audiences=[ExportAudience(audience_id=audience_id)],
    )


async def run(adapter: MeiroAdapter, job: ExportJob) -> ExportJob:
    return await adapter.create_export_job(job, marker="0a1b2c3d", validate_only=False)


# Pages.


@pytest.mark.parametrize("limit", [1, 4, 7, 20])
async def test_a_limit_that_meiro_cuts_is_not_taken_for_the_end(
    meiro: Meiro, adapter: MeiroAdapter, limit: int
) -> None:
    meiro.sandbox.set_switches(max_limit=limit)
    page = await adapter.list_export_jobs(of("302"), "", 50)
    assert [job.vendor_job_id for job in page.items] == [str(n) for n in range(2030, 2000, -1)]
    assert not page.next_cursor


async def test_jobs_come_newest_first_and_the_other_way_when_asked(adapter: MeiroAdapter) -> None:
    newest = await adapter.list_export_jobs(of("300"), "", 50)
    oldest = await adapter.list_export_jobs(of("300", order_by="create_time"), "", 50)
    assert [job.vendor_job_id for job in newest.items] == ["1007", "1006", "1005", "1004", "1003", "1002", "1001"]
    times = [job.create_time.seconds for job in oldest.items]
    assert times == sorted(times)


async def test_a_list_that_changes_gives_what_stays_exactly_once(meiro: Meiro, adapter: MeiroAdapter) -> None:
    page = await adapter.list_export_jobs(of("302"), "", 10)
    found: list[str] = []
    while True:
        found += [job.vendor_job_id for job in page.items]
        if not page.next_cursor:
            break
        # Two begin before the place and one behind it ends: every offset is wrong by now.
        await run(adapter, wanted(audience_id="302"))
        await run(adapter, wanted(audience_id="302"))
        del meiro.sandbox.exports[int(found[-4])]
        page = await adapter.list_export_jobs(of("302"), page.next_cursor, 10)
    assert found == [str(n) for n in range(2030, 2000, -1)]


async def test_jobs_need_an_audience(meiro: Meiro, adapter: MeiroAdapter) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await adapter.list_export_jobs(ListQuery(terms=(Term("state", "=", "RUNNING"),)), "", 50)
    assert (refused.value.reason, refused.value.metadata) == ("FILTER_REQUIRED", {"field": "audiences.audience_id"})
    assert not meiro.requests()


# Runs.


async def test_a_run_is_marked_for_meiro_and_not_for_the_caller(meiro: Meiro, adapter: MeiroAdapter) -> None:
    started = await run(adapter, wanted())
    assert meiro.sandbox.exports[int(started.vendor_job_id)].name == "Spring letter [gw:0a1b2c3d]"
    assert started.state == ExportJob.PENDING
    assert started.display_name == "Spring letter"
    _, _, job_id = started.name.rpartition("/")
    assert await adapter.get_export_job(job_id) == started
    assert (await adapter.list_export_jobs(of("301"), "", 1)).items == [started]


async def test_a_run_goes_its_way(meiro: Meiro, adapter: MeiroAdapter) -> None:
    job_id = (await run(adapter, wanted())).name.rpartition("/")[2]
    seen = []
    for wait_s in (0, 6, 20):
        meiro.sandbox.clock.advance(wait_s)
        job = await adapter.get_export_job(job_id)
        seen.append((ExportJob.State.Name(job.state), job.HasField("end_time"), len(job.artifacts)))
    assert seen == [("PENDING", False, 0), ("RUNNING", False, 0), ("SUCCEEDED", True, 1)]


async def test_a_run_of_an_unknown_audience_says_so(adapter: MeiroAdapter) -> None:
    with pytest.raises(NotFound) as missing:
        await run(adapter, wanted(audience_id="999999"))
    assert missing.value.reason == "AUDIENCE_NOT_FOUND"


@pytest.mark.parametrize("destination_id", ["999999", "191"])
async def test_a_run_to_an_unknown_or_deleted_destination_says_so(adapter: MeiroAdapter, destination_id: str) -> None:
    with pytest.raises(NotFound) as missing:
        await run(adapter, wanted(destination_id))
    assert missing.value.reason == "DESTINATION_NOT_FOUND"
    assert missing.value.resource == f"connections/crm/destinations/{destination_id}"


async def test_a_run_refused_as_not_found_may_be_about_its_destination(meiro: Meiro, adapter: MeiroAdapter) -> None:
    meiro.sandbox.fault(path="*/exports", method="POST", status=404)
    with pytest.raises(NotFound) as missing:
        await run(adapter, wanted("999999"))
    assert missing.value.reason == "DESTINATION_NOT_FOUND"


@pytest.mark.parametrize("status", [400, 409])
async def test_a_run_to_a_disabled_destination_says_so(meiro: Meiro, adapter: MeiroAdapter, status: int) -> None:
    meiro.sandbox.set_switches(disabled_destination_status=status)
    with pytest.raises(Precondition) as refused:
        await run(adapter, wanted("104"))
    assert refused.value.reason == "DESTINATION_DISABLED"
    assert isinstance(refused.value.__cause__, Rejected | Conflict)


@pytest.mark.parametrize(("status", "kind"), [(400, Rejected), (422, Rejected), (409, Conflict)])
async def test_a_run_refused_for_another_reason_stays_refused(
    meiro: Meiro, adapter: MeiroAdapter, status: int, kind: type[Exception]
) -> None:
    meiro.sandbox.fault(path="*/exports", method="POST", status=status, body={"message": "Name is too long"})
    with pytest.raises(kind) as refused:
        await run(adapter, wanted())
    assert "Name is too long" in str(vars(refused.value))


async def test_a_refusal_whose_reason_can_not_be_looked_up_stays_what_it_was(meiro: Meiro) -> None:
    adapter = meiro.connect(token=Secret("sandbox-token-one-destination"))
    meiro.sandbox.fault(path="*/exports", method="POST", status=400, body={"message": "Name is too long"})
    meiro.sandbox.fault(path="*/destinations/101", status=403)
    with pytest.raises(Rejected):
        await run(adapter, wanted())
    with pytest.raises(PermissionMissing):
        await run(adapter, wanted("105"))


async def test_a_run_that_is_only_checked_starts_nothing(meiro: Meiro, adapter: MeiroAdapter) -> None:
    job = wanted()
    planned = await adapter.create_export_job(job, marker="0a1b2c3d", validate_only=True)
    assert planned == job
    assert not meiro.requests()


# Cancels.


@pytest.mark.parametrize("job_id", ["300~1005", "300~1006"])
async def test_a_job_that_is_not_over_is_cancelled(adapter: MeiroAdapter, job_id: str) -> None:
    cancelled = await adapter.cancel_export_job(job_id)
    assert cancelled.state == ExportJob.CANCELLED
    assert (await adapter.get_export_job(job_id)).state == ExportJob.CANCELLED


@pytest.mark.parametrize("status", [409, 400, 404, 422, 200])
async def test_a_cancelled_job_may_be_cancelled_again(meiro: Meiro, adapter: MeiroAdapter, status: int) -> None:
    meiro.sandbox.set_switches(cancel_final_status=status)
    before = await adapter.get_export_job("300~1003")
    assert (await adapter.cancel_export_job("300~1003")).state == ExportJob.CANCELLED
    assert await adapter.get_export_job("300~1003") == before


@pytest.mark.parametrize("status", [409, 400, 404, 422, 200])
@pytest.mark.parametrize(("job_id", "state"), [("300~1001", "SUCCEEDED"), ("300~1002", "FAILED")])
async def test_a_job_that_is_over_can_not_be_cancelled(
    meiro: Meiro, adapter: MeiroAdapter, status: int, job_id: str, state: str
) -> None:
    meiro.sandbox.set_switches(cancel_final_status=status)
    with pytest.raises(Precondition) as refused:
        await adapter.cancel_export_job(job_id)
    assert (refused.value.reason, refused.value.metadata) == ("EXPORT_JOB_NOT_CANCELLABLE", {"state": state})
    assert refused.value.resource == f"connections/crm/exportJobs/{job_id}"


async def test_a_cancel_whose_answer_is_lost_is_repeated(meiro: Meiro, adapter: MeiroAdapter) -> None:
    meiro.sandbox.fault(path="*/exports/1005", method="DELETE", drop="after")
    assert (await adapter.cancel_export_job("300~1005")).state == ExportJob.CANCELLED
    assert meiro.requests("1005") == [
        "DELETE /api/segments/300/exports/1005",
        "DELETE /api/segments/300/exports/1005",
        "GET /api/segments/300/exports/1005",
    ]


async def test_a_cancel_refused_while_the_job_runs_is_an_error(meiro: Meiro, adapter: MeiroAdapter) -> None:
    meiro.sandbox.fault(path="*/exports/1005", method="DELETE", status=409)
    with pytest.raises(Conflict) as refused:
        await adapter.cancel_export_job("300~1005")
    assert refused.value.reason == "VENDOR_CONFLICT"


async def test_an_unknown_job_can_not_be_cancelled(adapter: MeiroAdapter) -> None:
    with pytest.raises(NotFound) as missing:
        await adapter.cancel_export_job("300~999999")
    assert missing.value.reason == "EXPORT_JOB_NOT_FOUND"


# States, history, logs.


async def test_a_state_nobody_knows_survives_and_is_said_once(
    adapter: MeiroAdapter, caplog: pytest.LogCaptureFixture
) -> None:
    UNRECOGNIZED.clear()
    with caplog.at_level(logging.WARNING):
        jobs = [await adapter.get_export_job("300~1004") for _ in range(3)]
    assert {(job.state, job.vendor_state) for job in jobs} == {(ExportJob.UNRECOGNIZED_STATE, "archiving")}
    assert UNRECOGNIZED["meiro", "archiving"] == 3
    assert caplog.text.count("archiving") == 1


async def test_why_a_job_failed_is_read_from_its_log_by_a_full_get_alone(meiro: Meiro, adapter: MeiroAdapter) -> None:
    info = ErrorInfo()
    full = await adapter.get_export_job("300~1002", full=True)
    assert full.error.details[0].Unpack(info)
    assert info.metadata["vendorMessage"] == "Connection to sftp.shop.example was refused"
    meiro.sandbox.journal.clear()
    listed = await adapter.list_export_jobs(of("300"), "", 50)
    for job in (await adapter.get_export_job("300~1002"), *listed.items):
        if job.state == ExportJob.FAILED:
            assert job.error.details[0].Unpack(info)
            assert "vendorMessage" not in info.metadata
    assert not meiro.requests("logs")


async def test_a_failed_job_is_shown_though_its_log_is_not(meiro: Meiro, adapter: MeiroAdapter) -> None:
    meiro.sandbox.fault(path="*/logs", status=403, count=0)
    job = await adapter.get_export_job("300~1002", full=True)
    assert job.state == ExportJob.FAILED
    assert job.error.message


async def test_log_entries_come_oldest_first_and_the_other_way_when_asked(adapter: MeiroAdapter) -> None:
    async def read(query: ListQuery, size: int) -> Page[LogEntry]:
        return await adapter.list_export_job_log_entries("300~1002", query, "", size)

    oldest = (await read(ListQuery(), 50)).items
    assert oldest[-1].severity == LogEntry.ERROR
    assert oldest[-1].text == "Connection to sftp.shop.example was refused"
    for order_by in ("entry_id", "log_time"):
        first = await read(ListQuery(order_by=order_by, descending=True), 1)
        assert first.items[0].log_time == oldest[-1].log_time


@pytest.mark.parametrize("history_ids", ["present", "absent"])
async def test_revisions_show_how_a_job_came_to_its_state(
    meiro: Meiro, adapter: MeiroAdapter, history_ids: str
) -> None:
    meiro.sandbox.set_switches(history_ids=history_ids)
    page = await adapter.list_export_job_revisions("300~1001", ListQuery(), "", 50)
    assert page.items[0].name == "connections/crm/exportJobs/300~1001/revisions/current"
    assert [revision.snapshot.vendor_state for revision in page.items] == ["finished", "waiting", "running", "finished"]
    assert {revision.snapshot.name for revision in page.items} == {"connections/crm/exportJobs/300~1001"}


async def test_a_revision_says_what_changed(adapter: MeiroAdapter) -> None:
    revision = await adapter.get_export_job_revision("300~1001", "100102")
    change = revision.changes["status"]
    assert (change.old_value.string_value, change.new_value.string_value) == ("waiting", "running")


async def test_a_revision_has_the_name_that_was_asked_for(meiro: Meiro, adapter: MeiroAdapter) -> None:
    item = {"id": None, "segment_export": {"id": 1001}, "diff": None}
    meiro.sandbox.fault(path="*/history/*", body={"history": item})
    revision = await adapter.get_export_job_revision("300~1001", "100102")
    assert revision.name == "connections/crm/exportJobs/300~1001/revisions/100102"


async def test_the_current_revision_is_the_job_itself(adapter: MeiroAdapter) -> None:
    revision = await adapter.get_export_job_revision("300~1001", "current")
    assert revision.snapshot == await adapter.get_export_job("300~1001")
    assert revision.name.endswith("/revisions/current")


# What is offered.


def test_every_verb_that_meiro_has_an_operation_for_is_offered() -> None:
    assert MeiroAdapter.verbs() == {
        *("check_connection", "list_destinations", "get_destination", "update_destination", "delete_destination"),
        *("undelete_destination", "list_export_jobs", "get_export_job", "create_export_job", "cancel_export_job"),
        *("list_export_job_log_entries", "list_export_job_revisions", "get_export_job_revision"),
        "download_export_job",
    }
    assert MeiroAdapter.create_destination is Adapter.create_destination
