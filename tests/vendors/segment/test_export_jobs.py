"""What the adapter makes of Reverse ETL syncs: lists of several subscriptions, starts, states, cancels."""

import logging
from typing import Any

import msgspec
import pytest
from google.protobuf.json_format import MessageToDict

from adapters.base import ListQuery, Term
from adapters.errors import Conflict, InvalidRequest, NotFound, Precondition, ProtocolViolation, Rejected
from adapters.retry import Retry
from adapters.sandbox import Run
from adapters.segment.adapter import SegmentAdapter
from adapters.segment.sandbox import Sync
from adapters.states import UNRECOGNIZED
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from tests.vendors.segment import models
from tests.vendors.segment.workspace import (
    ADS,
    BENCH,
    CARTS,
    CARTS_IN_ADS,
    CLUB,
    CUSTOMERS,
    CUSTOMERS_IN_ADS,
    EMPTY,
    LETTERS,
    OLD,
    ORDERS_IN_ADS,
    WAREHOUSE,
    Segment,
    changing,
    job_id,
    jobs_of,
    named,
    rechanging,
    wanted,
)

IN_ADS = [1004, 1102, 1003, 1002, 1101, 1001]
"""Syncs of two subscriptions, newest first: 60, 65, 70, 80, 85 and 90 days ago."""


def numbers(jobs: list[ExportJob]) -> list[int]:
    return [int(job.vendor_job_id.rpartition("_")[2]) for job in jobs]


async def walk(adapter: SegmentAdapter, destination_id: str, size: int) -> list[ExportJob]:
    page = await adapter.list_export_jobs(jobs_of(destination_id), "", size)
    found = page.items
    while page.next_cursor:
        assert len(page.items) <= size
        page = await adapter.list_export_jobs(jobs_of(destination_id), page.next_cursor, size)
        found += page.items
    return found


async def run(adapter: SegmentAdapter, job: ExportJob | None = None) -> ExportJob:
    return await adapter.create_export_job(job or wanted(), marker="0a1b2c3d", validate_only=False)


def add_sync(segment: Segment, number: int, subscription_id: str, model_id: str) -> None:
    now = segment.sandbox.clock.now()
    id_ = f"example_sync_{number}"
    segment.sandbox.syncs[id_] = Sync(id_, model_id, WAREHOUSE, subscription_id, Run(now))


# Lists.


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7, 50, 500])
@pytest.mark.parametrize("order", ["newest", "oldest"])
async def test_the_jobs_of_all_subscriptions_come_newest_first(
    segment: Segment, adapter: SegmentAdapter, size: int, order: str
) -> None:
    segment.sandbox.set_switches(syncs_order=order)
    found = await walk(adapter, ADS, size)
    assert numbers(found) == IN_ADS
    through = {1101: CARTS_IN_ADS, 1102: CARTS_IN_ADS}
    assert [job.segment.subscription for job in found] == [
        named(ADS, through.get(number, CUSTOMERS_IN_ADS)) for number in IN_ADS
    ]
    assert {job.destination for job in found} == {named(ADS)}


@pytest.mark.parametrize("size", [1, 4, 10, 29, 30, 31])
async def test_page_sizes_are_honoured(adapter: SegmentAdapter, size: int) -> None:
    page = await adapter.list_export_jobs(jobs_of(BENCH), "", size)
    assert numbers(page.items) == list(range(2030, max(2030 - size, 2000), -1))
    assert numbers(await walk(adapter, BENCH, size)) == list(range(2030, 2000, -1))


@pytest.mark.parametrize("size", [1, 3, 10])
@pytest.mark.parametrize("order", ["newest", "oldest"])
async def test_a_list_that_changes_gives_what_stays_exactly_once(
    segment: Segment, adapter: SegmentAdapter, size: int, order: str
) -> None:
    segment.sandbox.set_switches(syncs_order=order)
    page = await adapter.list_export_jobs(jobs_of(ADS), "", size)
    found = numbers(page.items)
    for number in range(3000, 3100):
        if not page.next_cursor:
            break
        # Schedules begin two syncs, and every position is wrong by now.
        segment.sandbox.clock.advance(60)
        add_sync(segment, number, CUSTOMERS_IN_ADS, CUSTOMERS)
        add_sync(segment, number + 100, CARTS_IN_ADS, CARTS)
        page = await adapter.list_export_jobs(jobs_of(ADS), page.next_cursor, size)
        found += numbers(page.items)
    assert found == IN_ADS


async def test_a_subscription_that_goes_during_a_walk_ends_its_own_jobs_alone(
    segment: Segment, adapter: SegmentAdapter
) -> None:
    page = await adapter.list_export_jobs(jobs_of(ADS), "", 2)
    del segment.sandbox.subscriptions[CARTS_IN_ADS]
    rest = await adapter.list_export_jobs(jobs_of(ADS), page.next_cursor, 50)
    assert numbers(page.items) == [1004, 1102]
    assert numbers(rest.items) == [1003, 1002, 1001]


async def test_subscriptions_beyond_the_first_page_are_not_forgotten(segment: Segment, adapter: SegmentAdapter) -> None:
    like = segment.sandbox.subscriptions[CARTS_IN_ADS]
    for n in range(110):
        segment.sandbox.subscriptions[f"more{n}"] = like | {"id": f"more{n}", "modelId": ""}
    segment.sandbox.subscriptions["last"] = like | {"id": "last"}
    add_sync(segment, 5000, "last", CARTS)
    assert numbers(await walk(adapter, ADS, 50)) == [5000, *IN_ADS]


async def test_a_destination_without_models_has_no_jobs(segment: Segment, adapter: SegmentAdapter) -> None:
    assert not (await adapter.list_export_jobs(jobs_of(EMPTY), "", 50)).items
    assert segment.requests() == [f"GET /destinations/{EMPTY}/subscriptions"]


async def test_jobs_need_a_destination(segment: Segment, adapter: SegmentAdapter) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await adapter.list_export_jobs(ListQuery(terms=(Term("state", "=", "RUNNING"),)), "", 50)
    assert (refused.value.reason, refused.value.metadata) == ("FILTER_REQUIRED", {"field": "destination"})
    assert not segment.requests()


async def test_another_connections_destination_has_no_jobs_here(segment: Segment, adapter: SegmentAdapter) -> None:
    terms = (Term("destination", "=", f"connections/other/destinations/{ADS}"),)
    assert not (await adapter.list_export_jobs(ListQuery(terms=terms), "", 50)).items
    assert not segment.requests()


async def test_jobs_of_an_unknown_destination_are_not_found(adapter: SegmentAdapter) -> None:
    with pytest.raises(NotFound) as missing:
        await adapter.list_export_jobs(jobs_of("nothing"), "", 50)
    assert (missing.value.reason, missing.value.resource) == ("DESTINATION_NOT_FOUND", named("nothing"))


async def test_syncs_that_are_known_by_another_id_are_an_error_and_no_empty_list(
    segment: Segment, adapter: SegmentAdapter
) -> None:
    segment.sandbox.set_switches(sync_subscription_id="mapping")
    with pytest.raises(NotFound) as missing:
        await adapter.list_export_jobs(jobs_of(BENCH), "", 50)
    assert missing.value.reason == "SUBSCRIPTION_NOT_FOUND"


async def test_a_list_that_goes_in_a_circle_is_told(segment: Segment, adapter: SegmentAdapter) -> None:
    body = {"data": {"syncStatuses": [], "pagination": {"current": "a", "next": "a"}}}
    segment.sandbox.fault(path="*/syncs", body=body, count=0)
    with pytest.raises(ProtocolViolation, match="circle"):
        await adapter.list_export_jobs(jobs_of(BENCH), "", 50)


async def test_the_full_view_of_a_list_has_what_is_not_typed(adapter: SegmentAdapter) -> None:
    basic = await adapter.list_export_jobs(jobs_of(ADS), "", 1)
    full = await adapter.list_export_jobs(jobs_of(ADS, full=True), "", 1)
    assert not basic.items[0].HasField("vendor_extras")
    assert MessageToDict(full.items[0].vendor_extras)["duration"] == "0m8s"


# Starts.


async def test_a_started_sync_runs_to_its_end(segment: Segment, adapter: SegmentAdapter) -> None:
    job = await run(adapter)
    assert job.name == f"connections/cdp/exportJobs/{job_id(int(job.vendor_job_id.rpartition('_')[2]))}"
    assert (job.state, job.vendor_state) == (ExportJob.RUNNING, "")
    assert job.segment == wanted(model_id=CUSTOMERS, source_id=WAREHOUSE).segment
    id_ = job.name.rpartition("/")[2]
    read = await adapter.get_export_job(id_)
    assert (read.state, read.create_time, read.segment) == (ExportJob.RUNNING, job.create_time, job.segment)
    segment.sandbox.clock.advance(3600)
    ended = await adapter.get_export_job(id_)
    assert (ended.state, ended.metrics.records_total_count) == (ExportJob.SUCCEEDED, 1200)
    assert numbers((await adapter.list_export_jobs(jobs_of(ADS), "", 1)).items) == numbers([job])


async def test_a_start_that_is_only_thought_through_says_what_it_would_be(
    segment: Segment, adapter: SegmentAdapter
) -> None:
    planned = await adapter.create_export_job(wanted(), marker="", validate_only=True)
    assert planned == wanted(model_id=CUSTOMERS, source_id=WAREHOUSE)
    assert not segment.bodies()


async def test_a_subscription_without_a_model_can_not_be_run(segment: Segment, adapter: SegmentAdapter) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await run(adapter, wanted(ORDERS_IN_ADS))
    assert refused.value.violations[0].field == "export_job.segment.subscription"
    assert not segment.bodies()


@pytest.mark.parametrize(
    ("job", "reason", "resource"),
    [
        (wanted("nothing"), "SUBSCRIPTION_NOT_FOUND", named(ADS, "nothing")),
        (wanted(CUSTOMERS_IN_ADS, "nothing"), "DESTINATION_NOT_FOUND", named("nothing")),
        (wanted(model_id="nothing"), "AUDIENCE_NOT_FOUND", ""),
        (wanted(source_id="nothing"), "AUDIENCE_NOT_FOUND", ""),
    ],
    ids=["subscription", "destination", "model", "source"],
)
async def test_what_a_start_does_not_find_is_named(
    adapter: SegmentAdapter, job: ExportJob, reason: str, resource: str
) -> None:
    with pytest.raises(NotFound) as missing:
        await run(adapter, job)
    assert (missing.value.reason, missing.value.resource) == (reason, resource)


async def test_what_segment_finds_wrong_with_a_start_is_named_by_our_fields(adapter: SegmentAdapter) -> None:
    with pytest.raises(Rejected) as refused:
        await run(adapter, wanted(model_id=CARTS))
    assert [violation.field for violation in refused.value.violations] == ["export_job.segment.subscription"]


@pytest.mark.parametrize("status", [409, 422])
async def test_a_disabled_destination_or_subscription_is_named(
    segment: Segment, adapter: SegmentAdapter, status: int
) -> None:
    segment.sandbox.set_switches(disabled_sync_status=status)
    with pytest.raises(Precondition) as refused:
        await run(adapter, wanted("ExampleSubscription105", OLD))
    assert (refused.value.reason, refused.value.resource) == ("DESTINATION_DISABLED", named(OLD))
    with pytest.raises(Precondition) as refused:
        await run(adapter, wanted("ExampleSubscription108", CLUB))
    assert (refused.value.reason, refused.value.resource) == (
        "DESTINATION_DISABLED",
        named(CLUB, "ExampleSubscription108"),
    )


async def test_a_sync_that_runs_already_is_named(segment: Segment, adapter: SegmentAdapter) -> None:
    segment.sandbox.set_switches(concurrent_sync_status=409)
    # Of another subscription, and newer.
    running = await run(adapter)
    segment.sandbox.clock.advance(1)
    add_sync(segment, 4000, CARTS_IN_ADS, CARTS)
    with pytest.raises(Precondition) as refused:
        await run(adapter)
    assert (refused.value.reason, refused.value.metadata) == ("EXPORT_ALREADY_RUNNING", {"exportJob": running.name})


async def test_a_conflict_that_nothing_explains_stays_one(segment: Segment, adapter: SegmentAdapter) -> None:
    segment.sandbox.fault(path="/reverse-etl-syncs", method="POST", status=409)
    with pytest.raises(Conflict) as refused:
        await run(adapter)
    assert refused.value.reason == "VENDOR_CONFLICT"


async def test_a_refusal_is_told_even_when_why_can_not_be_read(segment: Segment, adapter: SegmentAdapter) -> None:
    segment.sandbox.fault(path="/reverse-etl-syncs", method="POST", status=422)
    job = wanted(model_id=CUSTOMERS, source_id=WAREHOUSE)
    segment.sandbox.fault(path=f"/destinations/{ADS}", status=403, count=0)
    with pytest.raises(Rejected):
        await run(adapter, job)


async def test_a_destination_that_goes_during_a_start_is_named(segment: Segment, adapter: SegmentAdapter) -> None:
    segment.sandbox.fault(path="/reverse-etl-syncs", method="POST", status=404)
    segment.sandbox.fault(path=f"/destinations/{ADS}", status=404)
    with pytest.raises(NotFound) as missing:
        await run(adapter, wanted(model_id=CUSTOMERS, source_id=WAREHOUSE))
    assert (missing.value.reason, missing.value.resource) == ("DESTINATION_NOT_FOUND", named(ADS))


async def test_the_changed_model_of_a_subscription_is_the_one_that_is_run(
    segment: Segment, adapter: SegmentAdapter
) -> None:
    await adapter.update_subscription(ADS, CUSTOMERS_IN_ADS, rechanging(segment={"modelId": CARTS}))
    assert (await run(adapter)).segment.model_id == CARTS


async def test_a_destination_that_is_enabled_again_can_be_run(segment: Segment, adapter: SegmentAdapter) -> None:
    await adapter.update_destination(OLD, changing("disabled"))
    assert (await run(adapter, wanted("ExampleSubscription105", OLD))).state == ExportJob.RUNNING


# States.


@pytest.mark.parametrize(
    ("id_", "state", "vendor_state"),
    [
        (job_id(1001), ExportJob.SUCCEEDED, "SUCCESS"),
        (job_id(1002), ExportJob.FAILED, "FAIL"),
        (job_id(1003), ExportJob.PARTIALLY_SUCCEEDED, "PARTIAL_SUCCESS"),
        (job_id(1004), ExportJob.CANCELLED, "FAIL"),
        (job_id(1203, 104, LETTERS), ExportJob.RUNNING, "IN_PROGRESS"),
        (job_id(1202, 104, LETTERS), ExportJob.CANCELLING, "CANCELLING"),
    ],
)
async def test_a_job_is_read_in_every_state(
    adapter: SegmentAdapter, id_: str, state: ExportJob.State.ValueType, vendor_state: str
) -> None:
    job = await adapter.get_export_job(id_)
    assert job.name == f"connections/cdp/exportJobs/{id_}"
    assert (job.state, job.vendor_state) == (state, vendor_state)
    assert job.HasField("error") == (state == ExportJob.FAILED)


@pytest.mark.parametrize(
    ("canceled_syncs", "state"),
    [
        ("fail_with_code", ExportJob.CANCELLED),
        ("canceled", ExportJob.CANCELLED),
        # Nothing tells it from a failure.
        ("fail", ExportJob.FAILED),
    ],
)
async def test_a_cancelled_sync_is_told_by_its_code_or_word(
    segment: Segment, adapter: SegmentAdapter, canceled_syncs: str, state: ExportJob.State.ValueType
) -> None:
    segment.sandbox.set_switches(canceled_syncs=canceled_syncs)
    assert (await adapter.get_export_job(job_id(1004))).state == state


async def test_counts_arrive_as_texts_and_are_numbers(adapter: SegmentAdapter) -> None:
    metrics = (await adapter.get_export_job(job_id(1003))).metrics
    assert (metrics.records_total_count, metrics.records_succeeded_count, metrics.records_failed_count) == (
        1200,
        1175,
        25,
    )
    assert metrics.vendor_metrics == {"addedCount": 600, "updatedCount": 500, "deletedCount": 100}


async def test_a_phase_that_has_not_begun_counts_nothing(segment: Segment, adapter: SegmentAdapter) -> None:
    job = await run(adapter)
    read = await adapter.get_export_job(job.name.rpartition("/")[2])
    assert not read.HasField("metrics")
    segment.sandbox.clock.advance(6)
    read = await adapter.get_export_job(job.name.rpartition("/")[2])
    assert read.metrics.HasField("records_total_count")
    assert not read.metrics.HasField("records_succeeded_count")


async def test_a_state_nobody_knows_survives_and_is_said_once(
    adapter: SegmentAdapter, caplog: pytest.LogCaptureFixture
) -> None:
    UNRECOGNIZED.clear()
    with caplog.at_level(logging.WARNING):
        jobs = [await adapter.get_export_job(job_id(1301, 108, CLUB, CARTS)) for _ in range(3)]
    assert {(job.state, job.vendor_state) for job in jobs} == {(ExportJob.UNRECOGNIZED_STATE, "REPLAYING")}
    assert UNRECOGNIZED["segment", "REPLAYING"] == 3
    assert caplog.text.count("REPLAYING") == 1


async def test_an_unknown_sync_is_not_found_by_name(adapter: SegmentAdapter) -> None:
    for id_ in (job_id(9999), job_id(1001, model_id=CARTS)):
        with pytest.raises(NotFound) as missing:
            await adapter.get_export_job(id_)
        assert (missing.value.reason, missing.value.resource) == (
            "EXPORT_JOB_NOT_FOUND",
            f"connections/cdp/exportJobs/{id_}",
        )


@pytest.mark.parametrize("id_", ["1", "a~b~c", "a~b~c~d~e", "a~b~c~example_sync_1"])
async def test_what_is_no_id_of_a_job_is_refused(segment: Segment, adapter: SegmentAdapter, id_: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await adapter.get_export_job(id_)
    assert refused.value.reason == "INVALID_RESOURCE_NAME"
    assert not segment.requests()


# Cancels.


@pytest.mark.parametrize("cancelling_status", ["CANCELLING", "IN_PROGRESS"])
@pytest.mark.parametrize("canceled_syncs", ["fail_with_code", "canceled", "fail"])
@pytest.mark.parametrize("refusal", [200, 409])
async def test_a_running_sync_is_cancelled_and_cancelling_it_again_changes_nothing(
    segment: Segment, adapter: SegmentAdapter, cancelling_status: str, canceled_syncs: str, refusal: int
) -> None:
    segment.sandbox.set_switches(
        cancelling_status=cancelling_status, canceled_syncs=canceled_syncs, cancel_refusal_status=refusal
    )
    id_ = (await run(adapter)).name.rpartition("/")[2]
    assert (await adapter.cancel_export_job(id_)).state == ExportJob.CANCELLING
    if refusal == 200 or cancelling_status == "CANCELLING":
        assert (await adapter.cancel_export_job(id_)).state == ExportJob.CANCELLING
    segment.sandbox.clock.advance(60)
    final = (await adapter.get_export_job(id_)).state
    assert final == (ExportJob.FAILED if canceled_syncs == "fail" else ExportJob.CANCELLED)
    if refusal == 200 or canceled_syncs != "fail":
        assert (await adapter.cancel_export_job(id_)).state == final


@pytest.mark.parametrize("refusal", [200, 409])
@pytest.mark.parametrize(("number", "state"), [(1001, "SUCCEEDED"), (1002, "FAILED"), (1003, "PARTIALLY_SUCCEEDED")])
async def test_a_final_sync_is_not_cancellable(
    segment: Segment, adapter: SegmentAdapter, refusal: int, number: int, state: str
) -> None:
    segment.sandbox.set_switches(cancel_refusal_status=refusal)
    with pytest.raises(Precondition) as refused:
        await adapter.cancel_export_job(job_id(number))
    assert (refused.value.reason, refused.value.metadata) == ("EXPORT_JOB_NOT_CANCELLABLE", {"state": state})
    assert refused.value.resource == f"connections/cdp/exportJobs/{job_id(number)}"


async def test_a_sync_that_lands_before_its_cancel_is_not_called_cancelled(
    segment: Segment, adapter: SegmentAdapter
) -> None:
    accepted = {"data": {"modelId": CUSTOMERS, "syncId": "example_sync_1001", "status": "CANCELLING"}}
    segment.sandbox.fault(path="*/cancel", body=accepted)
    with pytest.raises(Precondition) as refused:
        await adapter.cancel_export_job(job_id(1001))
    assert refused.value.metadata == {"state": "SUCCEEDED"}


async def test_a_sync_that_segment_will_not_stop_is_not_cancellable(segment: Segment, adapter: SegmentAdapter) -> None:
    id_ = job_id(1203, 104, LETTERS)
    segment.sandbox.fault(path="*/cancel", body={"data": {"modelId": "m", "syncId": "s", "errorCode": "NotNow"}})
    with pytest.raises(Precondition) as refused:
        await adapter.cancel_export_job(id_)
    assert refused.value.metadata == {"state": "RUNNING"}
    segment.sandbox.fault(path="*/cancel", status=409)
    with pytest.raises(Conflict):
        await adapter.cancel_export_job(id_)


async def test_a_cancel_whose_answer_was_lost_is_repeated(segment: Segment, adapter: SegmentAdapter) -> None:
    segment.sandbox.fault(path="*/cancel", drop="after")
    job = await adapter.cancel_export_job(job_id(1203, 104, LETTERS))
    assert job.state == ExportJob.CANCELLING
    assert len(segment.requests("/cancel")) == 2


async def test_an_unknown_sync_can_not_be_cancelled(adapter: SegmentAdapter) -> None:
    with pytest.raises(NotFound) as missing:
        await adapter.cancel_export_job(job_id(9999))
    assert missing.value.reason == "EXPORT_JOB_NOT_FOUND"


# What the simulator answers is what the vendor's clients read.

ANSWERS: dict[str, tuple[str, str, Any, type[msgspec.Struct]]] = {
    "start": (
        "POST",
        "/reverse-etl-syncs",
        {"sourceId": WAREHOUSE, "modelId": CUSTOMERS, "subscriptionId": CUSTOMERS_IN_ADS},
        models.ReverseETLManualSyncJobOutput,
    ),
    "status": (
        "GET",
        f"/reverse-etl-models/{CUSTOMERS}/syncs/example_sync_1003",
        msgspec.UNSET,
        models.ReverseETLSyncStatus,
    ),
    "list": (
        "GET",
        f"/reverse-etl-models/{CUSTOMERS}/subscriptionId/{CUSTOMERS_IN_ADS}/syncs",
        msgspec.UNSET,
        models.ListReverseETLSyncStatusesOutput,
    ),
    "cancel": (
        "POST",
        f"/reverse-etl-models/{CUSTOMERS}/syncs/example_sync_1203/cancel",
        {},
        models.CancelReverseETLSyncForModelOutput,
    ),
    "cancel of a final one": (
        "POST",
        f"/reverse-etl-models/{CUSTOMERS}/syncs/example_sync_1001/cancel",
        {},
        models.CancelReverseETLSyncForModelOutput,
    ),
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_the_answers_that_these_tests_rest_on_are_those_of_the_vendors_models(
    adapter: SegmentAdapter, answer: str
) -> None:
    method, path, body, model = ANSWERS[answer]
    got = await adapter.http.send(method, path, retry=Retry.ONCE, json=body)
    data = msgspec.json.decode(got.body)["data"]
    inner = data.get("reverseETLManualSync") or data.get("reverseETLSyncStatus") or data
    assert isinstance(msgspec.convert(inner, model), model)
