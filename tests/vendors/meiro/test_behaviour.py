"""What the adapter makes of Meiro's behaviour: pages that change, the trash, runs, cancels, history and logs."""

import json
import logging
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from google.rpc.error_details_pb2 import ErrorInfo

from adapters.base import Adapter, Change, Edit, ListQuery, Page, Term
from adapters.errors import AlreadyExists, Conflict, InvalidRequest, NotFound, PermissionMissing, Precondition, Rejected
from adapters.meiro.adapter import MeiroAdapter
from adapters.secrets import Secret
from adapters.states import UNRECOGNIZED
from adapters.wellknown import plain
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import ExportAudience, ExportJob, LogEntry
from tests.vendors.meiro.instance import Meiro

DESTINATIONS = "/api/segments/export/destinations"
LIVE = [f"connections/crm/destinations/{n}" for n in (101, 102, 103, 104, 105, 106)]
TRASHED = [f"connections/crm/destinations/{n}" for n in (191, 192)]


def terms(*given: tuple[str, str, str], **query: Any) -> ListQuery:
    return ListQuery(terms=tuple(Term(*term) for term in given), **query)


def of(audience_id: str, **query: Any) -> ListQuery:
    return terms(("audiences.audience_id", ":", audience_id), **query)


async def all_destinations(adapter: MeiroAdapter, query: ListQuery, size: int = 50) -> list[Destination]:
    page = await adapter.list_destinations(query, "", size)
    found = page.items
    while page.next_cursor:
        page = await adapter.list_destinations(query, page.next_cursor, size)
        found += page.items
    return found


def setting(*paths: str, **fields: Any) -> Edit[Destination]:
    """Return what merges *fields* in and says that *paths* differ."""

    def change(current: Destination) -> Change[Destination]:
        merged = Destination()
        merged.CopyFrom(current)
        merged.MergeFrom(Destination(**fields))
        return Change(current=current, merged=merged, paths=frozenset(paths), settled=False)

    return change


def wanted(destination_id: str = "101", audience_id: str = "301", display_name: str = "Spring letter") -> ExportJob:
    return ExportJob(
        display_name=display_name,
        destination=f"connections/crm/destinations/{destination_id}",
        audiences=[ExportAudience(audience_id=audience_id)],
    )


async def run(adapter: MeiroAdapter, job: ExportJob) -> ExportJob:
    return await adapter.create_export_job(job, marker="0a1b2c3d", validate_only=False)


# Pages.


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7, 50, 500])
async def test_pages_of_destinations_concatenate_to_the_whole_live_ones_first(adapter: MeiroAdapter, size: int) -> None:
    found = await all_destinations(adapter, ListQuery(show_deleted=True), size)
    assert [destination.name for destination in found] == LIVE + TRASHED
    assert {destination.state for destination in found[6:]} == {Destination.DELETED}


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
        await adapter.list_export_jobs(terms(("state", "=", "RUNNING")), "", 50)
    assert (refused.value.reason, refused.value.metadata) == ("FILTER_REQUIRED", {"field": "audiences.audience_id"})
    assert not meiro.requests()


# The trash.


@pytest.mark.parametrize(
    ("query", "names"),
    [
        (ListQuery(), LIVE),
        (terms(("state", "=", "DELETED")), TRASHED),
        (terms(("state", "=", "DELETED"), show_deleted=True), TRASHED),
        (terms(("state", "=", "DELETED"), ("display_name", ":", "leaflet")), TRASHED[1:]),
        (terms(("state", "=", "ACTIVE"), show_deleted=True), LIVE),
        (terms(("state", "!=", "ACTIVE"), show_deleted=True), LIVE + TRASHED),
    ],
)
async def test_the_trash_is_listed_where_it_is_meant(adapter: MeiroAdapter, query: ListQuery, names: list[str]) -> None:
    assert [destination.name for destination in await all_destinations(adapter, query)] == names


@pytest.mark.parametrize("query", [{"show_deleted": True}, {"terms": (Term("state", "=", "DELETED"),)}], ids=str)
async def test_the_trash_has_no_order(meiro: Meiro, adapter: MeiroAdapter, query: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await adapter.list_destinations(ListQuery(order_by="display_name", **query), "", 50)
    assert refused.value.reason == "INVALID_ORDER_BY"
    assert not meiro.requests()


async def test_a_deleted_destination_is_not_found_however_meiro_says_so(meiro: Meiro, adapter: MeiroAdapter) -> None:
    with pytest.raises(NotFound):
        await adapter.get_destination("191")
    meiro.sandbox.fault(path="*/191", body={"segment_export_destination": {"id": 191, "deleted": 1}})
    with pytest.raises(NotFound) as missing:
        await adapter.get_destination("191")
    assert (missing.value.reason, missing.value.resource) == ("DESTINATION_NOT_FOUND", TRASHED[0])


async def test_a_deleted_destination_among_live_ones_is_left_out(meiro: Meiro, adapter: MeiroAdapter) -> None:
    rows = [{"id": 1}, {"id": 2, "deleted": 1}, {"id": 3}]
    meiro.sandbox.fault(path="*/destinations", body={"segment_export_destinations": rows})
    page = await adapter.list_destinations(ListQuery(), "", 50)
    assert [destination.name[-1] for destination in page.items] == ["1", "3"]


async def test_what_lies_in_the_trash_is_deleted_whether_it_says_so_or_not(meiro: Meiro, adapter: MeiroAdapter) -> None:
    meiro.sandbox.fault(path="*/trash", body={"trashed_segments_export_destinations": [{"id": 191}]})
    (found,) = await all_destinations(adapter, terms(("state", "=", "DELETED")))
    assert found.state == Destination.DELETED


async def test_a_used_destination_stays(adapter: MeiroAdapter) -> None:
    used = await adapter.get_destination("105")
    with pytest.raises(Conflict) as refused:
        await adapter.delete_destination(used, force=True, validate_only=False)
    assert refused.value.reason == "DESTINATION_IN_USE"
    assert (await adapter.get_destination("105")).state == Destination.ACTIVE


@pytest.mark.parametrize("settings", ["kept", "empty"])
async def test_a_destination_comes_back_as_it_was(meiro: Meiro, adapter: MeiroAdapter, settings: str) -> None:
    meiro.sandbox.set_switches(trash_settings=settings)
    before = await adapter.get_destination("102")
    deleted = await adapter.delete_destination(before, force=False, validate_only=False)
    assert deleted.state == Destination.DELETED
    assert deleted.display_name == before.display_name
    assert await adapter.undelete_destination("102", validate_only=False) == before


async def test_a_live_destination_can_not_come_back(meiro: Meiro, adapter: MeiroAdapter) -> None:
    for validate_only in (False, True):
        with pytest.raises(AlreadyExists) as live:
            await adapter.undelete_destination("101", validate_only=validate_only)
        assert (live.value.reason, live.value.resource) == ("DESTINATION_NOT_DELETED", LIVE[0])
    assert not [line for line in meiro.requests() if line.startswith("PATCH")]


@pytest.mark.parametrize("validate_only", [False, True])
async def test_what_was_never_there_can_not_come_back(adapter: MeiroAdapter, validate_only: bool) -> None:
    with pytest.raises(NotFound) as missing:
        await adapter.undelete_destination("999999", validate_only=validate_only)
    assert missing.value.reason == "DESTINATION_NOT_FOUND"


async def test_an_undelete_that_is_only_checked_shows_what_would_be(meiro: Meiro, adapter: MeiroAdapter) -> None:
    planned = [await adapter.undelete_destination(n, validate_only=True) for n in ("191", "192")]
    assert [destination.state for destination in planned] == [Destination.ACTIVE, Destination.SUSPENDED]
    assert meiro.sandbox.destinations[191]["deleted"] == 1


# Destinations.


@pytest.mark.parametrize("idle", ["404", "null", "null_field"])
async def test_a_destination_that_nothing_runs_to_has_no_running_job(
    meiro: Meiro, adapter: MeiroAdapter, idle: str
) -> None:
    meiro.sandbox.set_switches(idle_last_running_export=idle)
    assert not (await adapter.get_destination("101", full=True)).running_export_job


async def test_the_running_job_is_shown_in_the_full_view_alone(adapter: MeiroAdapter) -> None:
    running = "connections/crm/exportJobs/300~1006"
    assert (await adapter.get_destination("105", full=True)).running_export_job == running
    assert not (await adapter.get_destination("105")).running_export_job
    listed = await all_destinations(adapter, ListQuery(full=True))
    assert [destination.running_export_job for destination in listed] == ["", "", "", "", running, ""]


@pytest.mark.parametrize("export", [{"segment_id": 300, "status": "finished"}, {"status": "running"}], ids=str)
async def test_an_export_that_has_ended_or_has_no_segment_is_not_shown_as_running(
    meiro: Meiro, adapter: MeiroAdapter, export: dict[str, Any]
) -> None:
    meiro.sandbox.fault(path="*/last_running_export", body={"segment_export": {"id": 1, **export}})
    assert not (await adapter.get_destination("101", full=True)).running_export_job


@pytest.mark.parametrize(
    "switches", [{"ids": "string"}, {"dates": "zulu"}, {"dates": "micros"}, {"ids": "string", "dates": "zulu"}], ids=str
)
async def test_the_form_of_ids_and_dates_makes_no_difference(
    meiro: Meiro, adapter: MeiroAdapter, switches: dict[str, str]
) -> None:
    before = await adapter.get_destination("102"), await adapter.get_export_job("300~1001")
    meiro.sandbox.set_switches(**switches)
    assert (await adapter.get_destination("102"), await adapter.get_export_job("300~1001")) == before


async def test_an_update_writes_what_changed_and_keeps_the_rest(meiro: Meiro, adapter: MeiroAdapter) -> None:
    before = dict(meiro.sandbox.destinations[102])
    settings = Struct()
    settings.update({"note": "by a test"})
    edit = setting("meiro.settings", "disabled", disabled=True, meiro={"settings": settings})
    updated = await adapter.update_destination("102", edit)
    after = meiro.sandbox.destinations[102]
    assert after == {**before, "disabled": 1, "settings": {**before["settings"], "note": "by a test"}}
    assert "fake-password-of-nothing" in json.dumps(after["settings"])
    assert "fake-password-of-nothing" not in str(updated)
    assert updated.state == Destination.SUSPENDED
    assert updated.meiro.customer_entities_count == 1200
    assert plain(updated.meiro.settings)["note"] == "by a test"


async def test_an_update_that_is_refused_here_sends_nothing(meiro: Meiro, adapter: MeiroAdapter) -> None:
    with pytest.raises(InvalidRequest):
        await adapter.update_destination("102", setting("meiro.workspace_id", meiro={"workspace_id": "main"}))
    assert meiro.requests() == [f"GET {DESTINATIONS}/102"]


async def test_a_name_that_meiro_refuses_is_refused_with_its_words(adapter: MeiroAdapter) -> None:
    with pytest.raises(Rejected) as refused:
        await adapter.update_destination("102", setting("display_name", display_name=" "))
    assert refused.value.reason == "REJECTED_BY_VENDOR"
    assert refused.value.fault.message == "name must be a text that is not empty"


async def test_the_full_view_shows_what_meiro_embeds_and_the_basic_one_does_not(adapter: MeiroAdapter) -> None:
    destination = await adapter.get_destination("101", full=True)
    job = await adapter.get_export_job("300~1001", full=True)
    listed = (await adapter.list_destinations(ListQuery(full=True), "", 1)).items[0]
    jobs = (await adapter.list_export_jobs(of("300", full=True), "", 1)).items[0]
    assert plain(destination.vendor_extras) == {"user": {"id": 7, "email": "operator@shop.example"}}
    assert listed.vendor_extras == destination.vendor_extras
    assert (
        set(plain(job.vendor_extras))
        == set(plain(jobs.vendor_extras))
        == {*("user", "segment", "segment_export_destination")}
    )
    assert "fake-password-of-nothing" not in str(await adapter.get_export_job("300~1002", full=True))
    assert not (await adapter.get_destination("101")).HasField("vendor_extras")
    assert not (await adapter.get_export_job("300~1001")).HasField("vendor_extras")


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
