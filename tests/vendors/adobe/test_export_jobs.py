"""What the adapter makes of UPS's behaviour: pages, states, runs, and cancels that never delete."""

import logging
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from adapters.adobe.adapter import AdobeAdapter
from adapters.base import ListQuery, Page, Term
from adapters.errors import Conflict, InvalidRequest, NotFound, Precondition, ProtocolViolation, Rejected
from adapters.states import UNRECOGNIZED
from adapters.wellknown import plain
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from tests.vendors.adobe.instance import JOBS, NEWSLETTER, SEGMENT, Adobe
from tests.vendors.adobe.samples import FAILED, SUCCEEDED

IDS = ["109", "108", "107", *[str(n) for n in range(230, 200, -1)]]
"""The newest of the seed."""
LAPSED = "5ca1ab1e-0000-4000-8000-000000000002"


async def all_jobs(adapter: AdobeAdapter, query: ListQuery, size: int = 50) -> list[ExportJob]:
    page = await adapter.list_export_jobs(query, "", size)
    found = page.items
    while page.next_cursor:
        page = await adapter.list_export_jobs(query, page.next_cursor, size)
        found += page.items
    return found


def wanted(**changes: Any) -> ExportJob:
    fields = {
        "destination": f"connections/cdp/destinations/{NEWSLETTER}",
        "audiences": [{"audience_id": SEGMENT, "namespace": "ups", "membership_states": ["realized"]}],
    }
    return ParseDict({**fields, **changes}, ExportJob())


async def run(adapter: AdobeAdapter, **changes: Any) -> ExportJob:
    return await adapter.create_export_job(wanted(**changes), marker="0a1b2c3d", validate_only=False)


def state(name: str) -> ListQuery:
    return ListQuery(terms=(Term("state", "=", name),))


# Pages.


@pytest.mark.parametrize("look_ahead", [True, False])
@pytest.mark.parametrize("last_link", ["empty", "absent", "no_link"])
@pytest.mark.parametrize("size", [1, 2, 13, 39, 50, 500])
async def test_pages_concatenate_to_the_whole_newest_first_in_every_form_of_the_link(
    adobe: Adobe, adapter: AdobeAdapter, size: int, last_link: str, look_ahead: bool
) -> None:
    adobe.sandbox.set_switches(last_link=last_link, look_ahead=look_ahead)
    found = [job.vendor_job_id for job in await all_jobs(adapter, ListQuery(), size)]
    assert found[:33] == IDS
    assert len(found) == len(set(found)) == 39


async def test_a_limit_that_adobe_cuts_ends_nothing(adobe: Adobe, adapter: AdobeAdapter) -> None:
    adobe.sandbox.set_switches(max_limit=4)
    assert len(await all_jobs(adapter, ListQuery(), 50)) == 39


async def test_a_cursor_is_the_offset(adapter: AdobeAdapter) -> None:
    page = await adapter.list_export_jobs(ListQuery(), "", 2)
    last = page.items[-1]
    assert page.next_cursor == f"{last.create_time.ToMilliseconds()}_{last.vendor_job_id}"


async def test_a_list_that_changes_gives_what_stays_exactly_once(adobe: Adobe, adapter: AdobeAdapter) -> None:
    page = Page[ExportJob]([], "")
    found: list[str] = []
    while page.next_cursor or not found:
        page = await adapter.list_export_jobs(ListQuery(), page.next_cursor, 5)
        found += [job.vendor_job_id for job in page.items]
        await run(adapter)
        # The very job that the offset names goes, too.
        del adobe.sandbox.jobs[int(found[-1])]
    assert len(found) == len(set(found)) == 39


@pytest.mark.parametrize(("name", "ids"), [("SUCCEEDED", 34), ("FAILED", 2)])
async def test_what_adobe_filters_by_comes_filtered(adapter: AdobeAdapter, name: str, ids: int) -> None:
    found = await all_jobs(adapter, state(name), 10)
    assert len(found) == ids
    assert {ExportJob.State.Name(job.state) for job in found} == {name}


@pytest.mark.parametrize("waiting", ["NEW", "QUEUED"])
async def test_a_job_that_waits_is_found_whatever_adobe_calls_it(
    adobe: Adobe, adapter: AdobeAdapter, waiting: str
) -> None:
    adobe.sandbox.set_switches(waiting_status=waiting)
    found = await all_jobs(adapter, state("PENDING"))
    assert [(job.vendor_job_id, job.vendor_state) for job in found if job.state == ExportJob.PENDING] == [
        ("109", waiting)
    ]


async def test_a_page_that_goes_on_nowhere_is_an_error(adobe: Adobe, adapter: AdobeAdapter) -> None:
    adobe.sandbox.fault(path=JOBS, body={"records": [], "link": {"next": "string"}})
    with pytest.raises(ProtocolViolation) as violation:
        await adapter.list_export_jobs(ListQuery(), "", 50)
    assert (violation.value.vendor, violation.value.connection) == ("adobe", "cdp")


async def test_the_full_view_adds_what_is_not_modelled(adapter: AdobeAdapter) -> None:
    listed = (await adapter.list_export_jobs(ListQuery(full=True), "", 1)).items[0]
    assert plain(listed.vendor_extras)["requestId"] == "example-request-109"
    assert listed == await adapter.get_export_job("109", full=True)
    assert not (await adapter.list_export_jobs(ListQuery(), "", 1)).items[0].HasField("vendor_extras")
    assert not (await adapter.get_export_job("109")).HasField("vendor_extras")


# States and forms.


async def test_each_state_is_read(adobe: Adobe, adapter: AdobeAdapter) -> None:
    adobe.sandbox.set_switches(after_cancel="CANCELLED")
    states = {job_id: (await adapter.get_export_job(job_id)).state for job_id in map(str, (*range(101, 105), 107, 108))}
    assert [ExportJob.State.Name(found) for found in states.values()] == [
        *("SUCCEEDED", "FAILED", "CANCELLED", "SUCCEEDED", "RUNNING", "CANCELLING")
    ]


async def test_a_state_nobody_knows_survives_and_is_said_once(
    adobe: Adobe, adapter: AdobeAdapter, caplog: pytest.LogCaptureFixture
) -> None:
    UNRECOGNIZED.clear()
    adobe.sandbox.set_switches(odd_status=True)
    with caplog.at_level(logging.WARNING):
        jobs = [await adapter.get_export_job("105") for _ in range(3)]
    assert {(job.state, job.vendor_state) for job in jobs} == {(ExportJob.UNRECOGNIZED_STATE, "ARCHIVING")}
    assert caplog.text.count("ARCHIVING") == 1


@pytest.mark.parametrize(
    "switches",
    [{"dataset_key": "dataSetId"}, {"counter": "top"}, {"batch_status": "string"}, {"errors_on_success": True}],
    ids=str,
)
async def test_the_form_of_a_job_makes_no_difference(
    adobe: Adobe, adapter: AdobeAdapter, switches: dict[str, Any]
) -> None:
    adobe.sandbox.set_switches(batches="array")
    before = await all_jobs(adapter, ListQuery())
    adobe.sandbox.set_switches(**switches)
    assert await all_jobs(adapter, ListQuery()) == before


@pytest.mark.parametrize(("batches", "segments"), [("array", [SEGMENT, LAPSED]), ("object", [SEGMENT])])
async def test_batches_by_segment_are_artifacts(
    adobe: Adobe, adapter: AdobeAdapter, batches: str, segments: list[str]
) -> None:
    adobe.sandbox.set_switches(batches=batches)
    job = await adapter.get_export_job("104")
    assert [artifact.audience.audience_id for artifact in job.artifacts] == segments
    assert not any(artifact.downloadable for artifact in job.artifacts)
    assert job.metrics.records_succeeded_count == 1500


@pytest.mark.parametrize("size", [1, 2, 50])
async def test_the_errors_of_a_job_are_its_log_in_pages(adapter: AdobeAdapter, size: int) -> None:
    page = await adapter.list_export_job_log_entries("102", ListQuery(), "", size)
    found = page.items
    while page.next_cursor:
        page = await adapter.list_export_job_log_entries("102", ListQuery(), page.next_cursor, size)
        found += page.items
    assert [entry.entry_id for entry in found] == ["1", "2"]
    assert not (await adapter.list_export_job_log_entries("101", ListQuery(), "", size)).items


async def test_a_cursor_that_is_none_of_ours_is_refused(adapter: AdobeAdapter) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await adapter.list_export_job_log_entries("102", ListQuery(), "2", 5)
    assert refused.value.reason == "INVALID_PAGE_TOKEN"


# Runs.


async def test_a_run_goes_its_way(adobe: Adobe, adapter: AdobeAdapter) -> None:
    started = await run(adapter, adobe={"segment_per_batch": True, "evaluate_segments": True})
    seen = []
    for wait_s in (0, 6, 20):
        adobe.sandbox.clock.advance(wait_s)
        job = await adapter.get_export_job(started.vendor_job_id)
        seen.append((ExportJob.State.Name(job.state), job.HasField("start_time"), job.HasField("end_time")))
    assert seen == [("PENDING", False, False), ("RUNNING", True, False), ("SUCCEEDED", True, True)]
    assert job.metrics.run_duration.ToTimedelta().total_seconds() == 25
    assert started.adobe.evaluate_segments
    assert started.destination == f"connections/cdp/destinations/{NEWSLETTER}"


async def test_a_run_may_fail(adobe: Adobe, adapter: AdobeAdapter) -> None:
    adobe.sandbox.set_switches(jobs_end_in="FAILED")
    started = await run(adapter)
    adobe.sandbox.clock.advance(60)
    job = await adapter.get_export_job(started.vendor_job_id)
    assert (job.state, job.error.message) == (ExportJob.FAILED, "the export failed at Adobe")


@pytest.mark.parametrize("echo", ["own", "echoed"])
async def test_a_run_carries_its_mark(adobe: Adobe, adapter: AdobeAdapter, echo: str) -> None:
    adobe.sandbox.set_switches(request_id=echo)
    started = await run(adapter)
    extras = plain((await adapter.get_export_job(started.vendor_job_id, full=True)).vendor_extras)
    assert (extras["requestId"] == "0a1b2c3d") == (echo == "echoed")


@pytest.mark.parametrize("status", [400, 404])
@pytest.mark.parametrize("dataset_id", ["5ca1ab1e00000000000003e7", "5ca1ab1e0000000000000001"])
async def test_a_run_into_what_is_no_destination_says_so(
    adobe: Adobe, adapter: AdobeAdapter, dataset_id: str, status: int
) -> None:
    adobe.sandbox.set_switches(unknown_dataset_status=status)
    name = f"connections/cdp/destinations/{dataset_id}"
    with pytest.raises(NotFound) as missing:
        await run(adapter, destination=name)
    assert (missing.value.reason, missing.value.resource) == ("DESTINATION_NOT_FOUND", name)


async def test_a_run_of_an_unknown_audience_says_what_adobe_says(adobe: Adobe, adapter: AdobeAdapter) -> None:
    unknown = [{"audience_id": "5ca1ab1e-0000-4000-8000-999999999999"}]
    with pytest.raises(Rejected) as refused:
        await run(adapter, audiences=unknown)
    assert refused.value.fault.message == "A segment does not exist"
    adobe.sandbox.set_switches(unknown_segment_status=404)
    with pytest.raises(NotFound) as missing:
        await run(adapter, audiences=unknown)
    assert missing.value.reason == "AUDIENCE_NOT_FOUND"
    assert missing.value.fault.message == "A segment does not exist"


async def test_a_refusal_whose_reason_can_not_be_looked_up_stays_what_it_was(
    adobe: Adobe, adapter: AdobeAdapter
) -> None:
    adobe.sandbox.fault(path="*/dataSets/*", status=403)
    with pytest.raises(Rejected):
        await run(adapter, destination="connections/cdp/destinations/5ca1ab1e00000000000003e7")


async def test_everybody_is_never_exported_by_oversight(adobe: Adobe, adapter: AdobeAdapter) -> None:
    for validate_only in (False, True):
        with pytest.raises(InvalidRequest):
            await adapter.create_export_job(wanted(audiences=[]), marker="", validate_only=validate_only)
    assert not adobe.sandbox.journal
    job = await run(adapter, audiences=[], adobe={"all_profiles": True})
    assert job.adobe.all_profiles
    assert not job.audiences


async def test_a_run_that_is_only_checked_starts_nothing(adobe: Adobe, adapter: AdobeAdapter) -> None:
    job = wanted(adobe={"profile_fields": ["identityMap"]})
    planned = await adapter.create_export_job(job, marker="0a1b2c3d", validate_only=True)
    job.adobe.schema_name = "_xdm.context.profile"
    assert planned == job
    assert not adobe.sandbox.journal


# Cancels.


@pytest.mark.parametrize("status", [200, 204])
@pytest.mark.parametrize("job_id", ["107", "109"])
@pytest.mark.parametrize(
    ("after_cancel", "cancelling_s", "expected", "shown"),
    [
        # The mark shows in nothing, at first; then the job is over.
        ("FAILED", 5, "CANCELLING", {"107": "PROCESSING", "109": "NEW"}),
        ("FAILED", 0, "CANCELLED", {"107": "FAILED", "109": "FAILED"}),
        ("CANCELLED", 5, "CANCELLING", {"107": "CANCELLING", "109": "CANCELLING"}),
        ("CANCELLED", 0, "CANCELLED", {"107": "CANCELLED", "109": "CANCELLED"}),
        ("gone", 0, "CANCELLED", {"107": "", "109": ""}),
        ("ignored", 0, "CANCELLING", {"107": "PROCESSING", "109": "NEW"}),
    ],
)
async def test_a_job_that_is_not_over_is_cancelled_whatever_adobe_shows_then(
    adobe: Adobe,
    adapter: AdobeAdapter,
    *,
    job_id: str,
    status: int,
    after_cancel: str,
    cancelling_s: int,
    expected: str,
    shown: dict[str, str],
) -> None:
    adobe.sandbox.set_switches(after_cancel=after_cancel, cancelling_s=cancelling_s, delete_job_status=status)
    cancelled = await adapter.cancel_export_job(job_id)
    assert cancelled.name == f"connections/cdp/exportJobs/{job_id}"
    assert (ExportJob.State.Name(cancelled.state), cancelled.vendor_state) == (expected, shown[job_id])
    assert not cancelled.HasField("error")


@pytest.mark.parametrize(("job_id", "name"), [("103", "CANCELLED"), ("108", "CANCELLING")])
async def test_a_job_that_is_cancelled_already_stays_as_it_is(
    adobe: Adobe, adapter: AdobeAdapter, job_id: str, name: str
) -> None:
    adobe.sandbox.set_switches(after_cancel="CANCELLED")
    before = await adapter.get_export_job(job_id)
    adobe.sandbox.journal.clear()
    assert await adapter.cancel_export_job(job_id) == before
    assert ExportJob.State.Name(before.state) == name
    assert adobe.requests() == [f"GET {JOBS}/{job_id}"]


@pytest.mark.parametrize(
    ("job_id", "name"), [("101", "SUCCEEDED"), ("102", "FAILED"), ("103", "FAILED"), ("105", "UNRECOGNIZED_STATE")]
)
async def test_a_job_that_is_over_or_may_be_is_never_deleted(
    adobe: Adobe, adapter: AdobeAdapter, job_id: str, name: str
) -> None:
    adobe.sandbox.set_switches(odd_status=True)
    with pytest.raises(Precondition) as refused:
        await adapter.cancel_export_job(job_id)
    assert (refused.value.reason, refused.value.metadata) == ("EXPORT_JOB_NOT_CANCELLABLE", {"state": name})
    assert refused.value.resource == f"connections/cdp/exportJobs/{job_id}"
    assert adobe.requests() == [f"GET {JOBS}/{job_id}"]
    assert int(job_id) in adobe.sandbox.jobs


@pytest.mark.parametrize("fault", [{"drop": "after"}, {"drop": "truncate"}], ids=str)
@pytest.mark.parametrize("after_cancel", ["CANCELLED", "FAILED"])
async def test_a_cancel_whose_answer_is_lost_is_not_sent_to_a_job_that_is_over_by_now(
    adobe: Adobe, adapter: AdobeAdapter, fault: dict[str, Any], after_cancel: str
) -> None:
    # A second DELETE would find the job cancelled, and forget it.
    adobe.sandbox.set_switches(after_cancel=after_cancel, cancelling_s=0)
    adobe.sandbox.fault(path="*/107", method="DELETE", **fault)
    if after_cancel == "CANCELLED":
        assert (await adapter.cancel_export_job("107")).state == ExportJob.CANCELLED
    else:
        with pytest.raises(Precondition):
            await adapter.cancel_export_job("107")
    assert adobe.requests() == [f"GET {JOBS}/107", f"DELETE {JOBS}/107", f"GET {JOBS}/107"]
    assert 107 in adobe.sandbox.jobs


async def test_a_cancel_that_never_arrived_is_sent_again_after_a_look(adobe: Adobe, adapter: AdobeAdapter) -> None:
    adobe.sandbox.set_switches(after_cancel="CANCELLED")
    adobe.sandbox.fault(path="*/107", method="DELETE", drop="before")
    assert (await adapter.cancel_export_job("107")).state == ExportJob.CANCELLING
    assert [line.split()[0] for line in adobe.requests()] == ["GET", "DELETE", "GET", "DELETE", "GET"]


@pytest.mark.parametrize(("status", "kind"), [(409, Conflict), (400, Rejected)])
async def test_a_cancel_refused_while_the_job_runs_is_an_error(
    adobe: Adobe, adapter: AdobeAdapter, status: int, kind: type[Exception]
) -> None:
    adobe.sandbox.fault(path="*/107", method="DELETE", status=status, count=0)
    with pytest.raises(kind):
        await adapter.cancel_export_job("107")
    assert len([line for line in adobe.requests() if line.startswith("DELETE")]) == 2


@pytest.mark.parametrize("answer", [{"status": 409}, {"body": {"status": False, "message": "It is over"}}], ids=str)
async def test_a_cancel_refused_because_the_job_is_over_says_so(
    adobe: Adobe, adapter: AdobeAdapter, answer: dict[str, Any]
) -> None:
    adobe.sandbox.fault(path="*/107", method="GET", body={**SUCCEEDED, "id": 107, "status": "PROCESSING"})
    adobe.sandbox.fault(path="*/107", method="DELETE", **answer)
    adobe.sandbox.fault(path="*/107", method="GET", body={**FAILED, "id": 107})
    with pytest.raises(Precondition) as refused:
        await adapter.cancel_export_job("107")
    assert refused.value.metadata == {"state": "FAILED"}


async def test_a_job_that_was_faster_than_its_cancel_is_not_cancelled(adobe: Adobe, adapter: AdobeAdapter) -> None:
    adobe.sandbox.fault(path="*/107", method="GET", body={**SUCCEEDED, "id": 107, "status": "PROCESSING"})
    adobe.sandbox.fault(path="*/107", method="GET", body={**SUCCEEDED, "id": 107})
    with pytest.raises(Precondition) as refused:
        await adapter.cancel_export_job("107")
    assert refused.value.metadata == {"state": "SUCCEEDED"}


async def test_a_cancelled_job_that_can_not_be_read_is_cancelling(adobe: Adobe, adapter: AdobeAdapter) -> None:
    adobe.sandbox.fault(path="*/107", method="GET", body={**SUCCEEDED, "id": 107, "status": "PROCESSING"})
    adobe.sandbox.fault(path="*/107", method="GET", status=503, count=0)
    assert (await adapter.cancel_export_job("107")).state == ExportJob.CANCELLING


async def test_an_unknown_job_can_not_be_cancelled(adobe: Adobe, adapter: AdobeAdapter) -> None:
    with pytest.raises(NotFound) as missing:
        await adapter.cancel_export_job("999999")
    assert missing.value.reason == "EXPORT_JOB_NOT_FOUND"
    assert adobe.requests() == [f"GET {JOBS}/999999"]
