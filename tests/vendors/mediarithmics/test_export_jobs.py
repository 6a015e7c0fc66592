"""Export jobs: one import's or all imports' merged, states, and cancels."""

import itertools
import logging
from typing import Any

import pytest

from adapters.base import Adapter, ListQuery, Term
from adapters.errors import Conflict, InvalidRequest, NotFound, Precondition, Rejected
from adapters.mediarithmics.adapter import MediarithmicsAdapter
from adapters.states import FINAL, UNRECOGNIZED
from adapters.wellknown import plain
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from tests.vendors.mediarithmics.datamart import (
    ACTIVITIES,
    ADD,
    BENCH,
    CLUB,
    DESTINATIONS,
    IMPORTS,
    LEAFLET,
    NEVER_USED,
    NEWSLETTER,
    QUEUE,
    Datamart,
    job_named,
    jobs_of,
    named,
    upload,
)


async def walk(adapter: MediarithmicsAdapter, query: ListQuery, size: int) -> list[ExportJob]:
    page = await adapter.list_export_jobs(query, "", size)
    found = page.items
    assert len(page.items) <= size
    while page.next_cursor:
        page = await adapter.list_export_jobs(query, page.next_cursor, size)
        assert len(page.items) <= size
        found += page.items
    return found


def ids(jobs: list[ExportJob]) -> list[str]:
    return [job.name.rpartition("/")[2] for job in jobs]


# Lists.


@pytest.mark.parametrize("switches", [{}, {"list_envelope": "bare"}, {"executions_order": "oldest"}], ids=str)
@pytest.mark.parametrize("max_page", [1, 4, 500])
@pytest.mark.parametrize("size", [1, 7, 29, 30, 31, 501])
async def test_jobs_of_one_import_come_newest_first_whatever_its_order(
    datamart: Datamart, adapter: MediarithmicsAdapter, size: int, max_page: int, switches: dict[str, Any]
) -> None:
    datamart.sandbox.set_switches(max_page=max_page, **switches)
    found = await walk(adapter, jobs_of(BENCH), size)
    assert ids(found) == [f"{BENCH}~{n}" for n in range(90530, 90500, -1)]
    assert {job.destination for job in found} == {named(BENCH)}


@pytest.mark.parametrize("size", [1, 3, 10, 50, 500])
async def test_jobs_of_all_imports_are_merged_newest_first(adapter: MediarithmicsAdapter, size: int) -> None:
    found = await walk(adapter, ListQuery(), size)
    created = [job.create_time.ToNanoseconds() for job in found]
    assert created == sorted(created, reverse=True)
    assert len(set(ids(found))) == len(found) == 45
    assert {job.destination for job in found} == {named(n) for n in (NEWSLETTER, CLUB, LEAFLET, BENCH, QUEUE)}


async def test_jobs_that_begin_meanwhile_move_nothing(datamart: Datamart, adapter: MediarithmicsAdapter) -> None:
    expected = ids(await walk(adapter, ListQuery(), 500))
    found: list[str] = []
    page = await adapter.list_export_jobs(ListQuery(), "", 4)
    for imports in itertools.cycle([(BENCH,), (NEWSLETTER, CLUB), (BENCH, LEAFLET, NEVER_USED)]):
        found += ids(page.items)
        if not page.next_cursor:
            break
        datamart.sandbox.clock.advance(1)
        for destination_id in imports:
            await upload(adapter, ADD, destination_id=destination_id)
        page = await adapter.list_export_jobs(ListQuery(), page.next_cursor, 4)
    assert found == expected


async def test_jobs_of_the_same_moment_are_each_given_once(datamart: Datamart, adapter: MediarithmicsAdapter) -> None:
    for n in range(12):
        await upload(adapter, ADD, destination_id=DESTINATIONS[n % 3])
    found = ids(await walk(adapter, ListQuery(), 5))
    assert len(set(found)) == len(found) == 45 + 12
    one = ids(await walk(adapter, jobs_of(NEWSLETTER), 3))
    assert len(set(one)) == len(one) == 9 + 4


async def test_an_import_that_goes_meanwhile_takes_only_its_own_jobs_along(
    datamart: Datamart, adapter: MediarithmicsAdapter
) -> None:
    page = await adapter.list_export_jobs(ListQuery(), "", 10)
    found = ids(page.items)
    row = datamart.sandbox.imports.pop(int(NEWSLETTER))
    assert row["name"] == "Example shop newsletter"
    while page.next_cursor:
        page = await adapter.list_export_jobs(ListQuery(), page.next_cursor, 10)
        found += ids(page.items)
    left = [f"{BENCH}~{n}" for n in range(90530, 90500, -1)]
    assert [job_id for job_id in found if job_id.startswith(BENCH)] == left
    assert f"{LEAFLET}~90201" in found


async def test_executions_of_other_things_are_no_jobs(datamart: Datamart, adapter: MediarithmicsAdapter) -> None:
    assert f"{ACTIVITIES}~90301" not in ids(await walk(adapter, ListQuery(), 500))
    assert await walk(adapter, jobs_of(ACTIVITIES), 50) == []
    with pytest.raises(NotFound) as missing:
        await adapter.get_export_job(f"{ACTIVITIES}~90301")
    assert missing.value.resource == job_named(f"{ACTIVITIES}~90301")


async def test_jobs_of_an_unknown_import_are_not_found(adapter: MediarithmicsAdapter) -> None:
    with pytest.raises(NotFound) as missing:
        await adapter.list_export_jobs(jobs_of("99999"), "", 50)
    assert (missing.value.reason, missing.value.resource) == ("DESTINATION_NOT_FOUND", named("99999"))


async def test_jobs_of_another_connection_are_none(datamart: Datamart, adapter: MediarithmicsAdapter) -> None:
    query = ListQuery(terms=(Term("destination", "=", f"connections/other/destinations/{BENCH}"),))
    assert await walk(adapter, query, 50) == []
    assert not datamart.requests()


@pytest.mark.parametrize("cursor", ["x", "1", "1AAAA"])
async def test_a_cursor_of_something_else_is_refused(adapter: MediarithmicsAdapter, cursor: str) -> None:
    for query in (ListQuery(), jobs_of(BENCH)):
        with pytest.raises(InvalidRequest) as refused:
            await adapter.list_export_jobs(query, cursor, 50)
        assert refused.value.reason == "INVALID_PAGE_TOKEN"


# One.


async def test_a_file_goes_its_way(datamart: Datamart, adapter: MediarithmicsAdapter) -> None:
    rows = [ADD, {**ADD, "audience_id": "8999"}, {**ADD, "operation": "REMOVE"}]
    started = await upload(adapter, *rows)
    job_id = started.name.rpartition("/")[2]
    assert await adapter.get_export_job(job_id) == started
    seen = []
    for wait_s in (0, 6, 20):
        datamart.sandbox.clock.advance(wait_s)
        job = await adapter.get_export_job(job_id)
        counted = (job.metrics.records_total_count, job.metrics.records_failed_count)
        seen.append((ExportJob.State.Name(job.state), job.HasField("end_time"), *counted))
    assert seen == [
        ("PENDING", False, 0, 0),
        ("RUNNING", False, 0, 0),
        ("PARTIALLY_SUCCEEDED", True, 3, 1),
    ]
    assert job.end_time.seconds - job.start_time.seconds == 20


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("status", [404, 405])
async def test_where_one_execution_can_not_be_read_it_is_found_in_the_list(
    datamart: Datamart, adapter: MediarithmicsAdapter, status: int, full: bool
) -> None:
    before = await adapter.get_export_job(f"{BENCH}~90503", full=full)
    datamart.sandbox.set_switches(get_execution_status=status, max_page=10)
    assert await adapter.get_export_job(f"{BENCH}~90503", full=full) == before
    assert datamart.requests(f"{BENCH}/executions")[-3:] == [f"GET {IMPORTS}/{BENCH}/executions"] * 3
    for job_id in (f"{BENCH}~99999", "99999~90503"):
        with pytest.raises(NotFound) as missing:
            await adapter.get_export_job(job_id)
        assert (missing.value.reason, missing.value.resource) == ("EXPORT_JOB_NOT_FOUND", job_named(job_id))


@pytest.mark.parametrize(("status", "kind"), [(400, Rejected), (422, Rejected), (409, Conflict)])
async def test_a_refusal_to_show_an_execution_is_not_taken_for_a_missing_operation(
    datamart: Datamart, adapter: MediarithmicsAdapter, status: int, kind: type[Exception]
) -> None:
    datamart.sandbox.fault(path="*/90001", status=status)
    with pytest.raises(kind):
        await adapter.get_export_job(f"{NEWSLETTER}~90001")
    assert len(datamart.requests()) == 1


@pytest.mark.parametrize(
    ("job_id", "state", "word"),
    [
        (f"{NEWSLETTER}~90001", "SUCCEEDED", "SUCCEEDED"),
        (f"{NEWSLETTER}~90002", "PARTIALLY_SUCCEEDED", "SUCCEEDED"),
        (f"{NEWSLETTER}~90003", "FAILED", "FAILED"),
        (f"{NEWSLETTER}~90004", "CANCELLED", "CANCELED"),
        (f"{NEWSLETTER}~90005", "FAILED", "SUCCEEDED"),
        (f"{NEWSLETTER}~90006", "SUCCEEDED", "SUCCESS"),
        (f"{NEWSLETTER}~90008", "FAILED", "LOST"),
        (f"{NEWSLETTER}~90009", "SUCCEEDED", "SUCCEEDED"),
        (f"{LEAFLET}~90201", "PARTIALLY_SUCCEEDED", "SUCCEEDED"),
        (f"{CLUB}~90101", "RUNNING", "RUNNING"),
        (f"{CLUB}~90102", "PENDING", "PENDING"),
        (f"{QUEUE}~90401", "PENDING", "SCHEDULED"),
        (f"{QUEUE}~90402", "PENDING", "WAITING_DEPENDENT_JOB"),
        (f"{QUEUE}~90403", "RUNNING", "EXECUTOR_NOT_RESPONDING"),
    ],
)
async def test_every_state_is_read(adapter: MediarithmicsAdapter, job_id: str, state: str, word: str) -> None:
    job = await adapter.get_export_job(job_id)
    assert (ExportJob.State.Name(job.state), job.vendor_state) == (state, word)
    assert job.HasField("end_time") <= (job.state in FINAL)
    assert job.HasField("error") == (state in {"FAILED", "PARTIALLY_SUCCEEDED"} or job_id.endswith("90009"))


@pytest.mark.parametrize(
    "switches", [{"empty_fields": "absent"}, {"task_counts": "string"}, {"ids": "numbers"}, {"ids": "strings"}], ids=str
)
async def test_the_form_of_an_execution_makes_no_difference(
    datamart: Datamart, adapter: MediarithmicsAdapter, switches: dict[str, str]
) -> None:
    async def read() -> list[ExportJob]:
        return [await adapter.get_export_job(f"{NEWSLETTER}~{n}") for n in range(90001, 90010)]

    before = await read()
    datamart.sandbox.set_switches(**switches)
    assert await read() == before


async def test_a_state_nobody_knows_survives_and_is_said_once(
    adapter: MediarithmicsAdapter, caplog: pytest.LogCaptureFixture
) -> None:
    UNRECOGNIZED.clear()
    with caplog.at_level(logging.WARNING):
        jobs = [await adapter.get_export_job(f"{NEWSLETTER}~90007") for _ in range(3)]
    assert {(job.state, job.vendor_state) for job in jobs} == {(ExportJob.UNRECOGNIZED_STATE, "RECONCILING")}
    assert caplog.text.count("RECONCILING") == 1


async def test_the_full_view_shows_what_is_not_modelled(adapter: MediarithmicsAdapter) -> None:
    shown = plain((await adapter.get_export_job(f"{NEWSLETTER}~90001", full=True)).vendor_extras)
    assert shown["external_model_name"] == "PUBLIC_DOCUMENT_IMPORT"
    listed = (await adapter.list_export_jobs(jobs_of(NEWSLETTER, full=True), "", 50)).items[-1]
    assert plain(listed.vendor_extras) == shown
    assert not (await adapter.get_export_job(f"{NEWSLETTER}~90001")).HasField("vendor_extras")


# Cancels.


async def test_what_waits_is_cancelled(adapter: MediarithmicsAdapter) -> None:
    assert (await adapter.cancel_export_job(f"{CLUB}~90102")).state == ExportJob.CANCELLED
    assert (await adapter.get_export_job(f"{CLUB}~90102")).state == ExportJob.CANCELLED


@pytest.mark.parametrize("status", [409, 400])
async def test_what_mediarithmics_will_not_stop_says_so_with_its_state(
    datamart: Datamart, adapter: MediarithmicsAdapter, status: int
) -> None:
    datamart.sandbox.set_switches(cancel_running_status=status)
    with pytest.raises(Precondition) as refused:
        await adapter.cancel_export_job(f"{CLUB}~90101")
    assert (refused.value.reason, refused.value.metadata) == ("EXPORT_JOB_NOT_CANCELLABLE", {"state": "RUNNING"})
    assert refused.value.__cause__ is not None


async def test_what_runs_is_stopped_where_mediarithmics_does_so(
    datamart: Datamart, adapter: MediarithmicsAdapter
) -> None:
    datamart.sandbox.set_switches(cancel_running_status=200)
    assert (await adapter.cancel_export_job(f"{CLUB}~90101")).state == ExportJob.CANCELLED


async def test_a_cancel_that_takes_its_time_is_under_way(datamart: Datamart, adapter: MediarithmicsAdapter) -> None:
    datamart.sandbox.set_switches(cancelling_s=10)
    assert (await adapter.cancel_export_job(f"{CLUB}~90102")).state == ExportJob.CANCELLING
    datamart.sandbox.clock.advance(10)
    assert (await adapter.get_export_job(f"{CLUB}~90102")).state == ExportJob.CANCELLED


@pytest.mark.parametrize("status", [409, 400, 200])
async def test_what_is_cancelled_may_be_cancelled_again(
    datamart: Datamart, adapter: MediarithmicsAdapter, status: int
) -> None:
    datamart.sandbox.set_switches(cancel_final_status=status)
    assert (await adapter.cancel_export_job(f"{NEWSLETTER}~90004")).state == ExportJob.CANCELLED


@pytest.mark.parametrize("status", [409, 400, 200])
@pytest.mark.parametrize(("job", "state"), [(90001, "SUCCEEDED"), (90002, "PARTIALLY_SUCCEEDED"), (90003, "FAILED")])
async def test_what_is_over_can_not_be_cancelled_and_is_asked_for_all_the_same(
    datamart: Datamart, adapter: MediarithmicsAdapter, status: int, job: int, state: str
) -> None:
    datamart.sandbox.set_switches(cancel_final_status=status)
    with pytest.raises(Precondition) as refused:
        await adapter.cancel_export_job(f"{NEWSLETTER}~{job}")
    assert (refused.value.reason, refused.value.metadata) == ("EXPORT_JOB_NOT_CANCELLABLE", {"state": state})
    assert refused.value.resource == job_named(f"{NEWSLETTER}~{job}")
    assert datamart.requests("/action")


async def test_a_cancel_whose_answer_is_lost_is_repeated(datamart: Datamart, adapter: MediarithmicsAdapter) -> None:
    datamart.sandbox.fault(path="*/action", drop="after")
    assert (await adapter.cancel_export_job(f"{CLUB}~90102")).state == ExportJob.CANCELLED
    assert len(datamart.requests("/action")) == 2


async def test_an_unknown_job_can_not_be_cancelled(adapter: MediarithmicsAdapter) -> None:
    with pytest.raises(NotFound) as missing:
        await adapter.cancel_export_job(f"{NEWSLETTER}~99999")
    assert missing.value.reason == "EXPORT_JOB_NOT_FOUND"


# What is offered.


def test_every_verb_that_mediarithmics_has_an_operation_for_is_offered() -> None:
    assert MediarithmicsAdapter.verbs() == {
        *("check_connection", "list_destinations", "get_destination", "create_destination", "update_destination"),
        *("delete_destination", "list_export_jobs", "get_export_job", "cancel_export_job", "download_export_job"),
        "upload_audience_members",
    }
    assert MediarithmicsAdapter.create_export_job is Adapter.create_export_job
