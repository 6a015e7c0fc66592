"""What was made at Segment without an answer: a sync of a manual subscription by its time, the rest by name."""

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from adapters.errors import NotSupported, OutcomeUnknown
from adapters.segment.adapter import SegmentAdapter
from adapters.segment.sandbox import Sync
from audiencegateway.v1.destinations_pb2 import Destination, Subscription
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from tests.vendors.segment.workspace import ADS, CARTS, CARTS_IN_ADS, CUSTOMERS_IN_ADS, WAREHOUSE, Segment, wanted

START = "/reverse-etl-syncs"


async def lose(segment: Segment, adapter: SegmentAdapter, subscription_id: str, drop: str = "after") -> None:
    segment.sandbox.fault(method="POST", path=START, drop=drop)
    with pytest.raises(OutcomeUnknown):
        await adapter.create_export_job(wanted(subscription_id), marker="0a1b2c3d", validate_only=False)


async def found(segment: Segment, adapter: SegmentAdapter, job: ExportJob, later_s: float = 0.0) -> list[ExportJob]:
    sent_at_s = segment.sandbox.clock.now() + later_s
    return await adapter.find_export_jobs(job, marker="0a1b2c3d", sent_at_s=sent_at_s)


def newest(segment: Segment) -> Sync:
    return list(segment.sandbox.syncs.values())[-1]


@pytest.mark.parametrize("order", ["newest", "oldest"])
async def test_a_sync_of_a_manual_subscription_is_found_by_its_time(
    segment: Segment, adapter: SegmentAdapter, order: str
) -> None:
    segment.sandbox.set_switches(syncs_order=order)
    await adapter.create_export_job(wanted(), marker="", validate_only=False)
    segment.sandbox.clock.advance(301)
    await lose(segment, adapter, CUSTOMERS_IN_ADS)
    lost = newest(segment)
    await adapter.create_export_job(wanted(CARTS_IN_ADS), marker="", validate_only=False)
    jobs = await found(segment, adapter, wanted())

    assert [job.vendor_job_id for job in jobs] == [lost.id]
    assert jobs == [await adapter.get_export_job(jobs[0].name.rpartition("/")[2])]


async def test_a_sync_that_never_started_is_not_found(segment: Segment, adapter: SegmentAdapter) -> None:
    await lose(segment, adapter, CUSTOMERS_IN_ADS, "before")
    await lose(segment, adapter, CARTS_IN_ADS, "before")

    assert await found(segment, adapter, wanted()) == []
    assert await found(segment, adapter, wanted(CARTS_IN_ADS), 100 * 86400) == []


async def test_every_sync_since_is_found(segment: Segment, adapter: SegmentAdapter) -> None:
    await lose(segment, adapter, CUSTOMERS_IN_ADS)
    segment.sandbox.clock.advance(60)
    await adapter.create_export_job(wanted(), marker="", validate_only=False)

    assert len(await found(segment, adapter, wanted(), -60)) == 2


async def test_a_sync_of_a_schedule_can_not_be_told_from_the_lost_one(
    segment: Segment, adapter: SegmentAdapter
) -> None:
    await lose(segment, adapter, CARTS_IN_ADS)
    with pytest.raises(NotSupported):
        await found(segment, adapter, wanted(CARTS_IN_ADS))


@pytest.mark.parametrize("gone", ["subscription", "model", "its model"])
async def test_of_what_is_gone_nobody_can_tell(segment: Segment, adapter: SegmentAdapter, gone: str) -> None:
    await lose(segment, adapter, CUSTOMERS_IN_ADS)
    job = wanted("ExampleSubscription999" if gone == "subscription" else CUSTOMERS_IN_ADS)
    if gone == "model":
        job.segment.model_id = "ExampleModel999"
    if gone == "its model":
        del segment.sandbox.subscriptions[CUSTOMERS_IN_ADS]["modelId"]
    with pytest.raises(NotSupported):
        await found(segment, adapter, job)


# What is made by name.


DESTINATION = {
    "displayName": "Lost",
    "segment": {
        "sourceId": WAREHOUSE,
        "metadataId": "00000000000000000000ca02",
        "settings": {"accountId": "a", "authToken": "fake-token"},
    },
}
SUBSCRIPTION = {
    "displayName": "Lost",
    "segment": {
        "actionId": "ExampleAction000000301",
        "trigger": 'type = "identify"',
        "modelId": CARTS,
    },
}


async def make(adapter: SegmentAdapter, kind: str, **changes: Any) -> None:
    if kind == "destination":
        wanted = ParseDict({**DESTINATION, **changes}, Destination())
        await adapter.create_destination(wanted, validate_only=False)
    else:
        await adapter.create_subscription(
            ADS, ParseDict({**SUBSCRIPTION, **changes}, Subscription()), validate_only=False
        )


async def looked_for(adapter: SegmentAdapter, kind: str, **changes: Any) -> list[Destination] | list[Subscription]:
    if kind == "destination":
        return await adapter.find_destinations(ParseDict({**DESTINATION, **changes}, Destination()), sent_at_s=0.0)
    wanted = ParseDict({**SUBSCRIPTION, **changes}, Subscription())
    return await adapter.find_subscriptions(ADS, wanted, sent_at_s=0.0)


@pytest.mark.parametrize("kind", ["destination", "subscription"])
async def test_what_was_made_unanswered_is_found_by_its_name_and_what_it_is(
    segment: Segment, adapter: SegmentAdapter, kind: str
) -> None:
    await make(adapter, kind, displayName="Other")
    assert await looked_for(adapter, kind) == []
    segment.sandbox.fault(method="POST", path="/destinations*", drop="after")
    with pytest.raises(OutcomeUnknown):
        await make(adapter, kind)
    (found,) = await looked_for(adapter, kind)

    assert found.display_name == "Lost"


@pytest.mark.parametrize("kind", ["destination", "subscription"])
async def test_what_has_no_name_can_not_be_found(adapter: SegmentAdapter, kind: str) -> None:
    with pytest.raises(NotSupported):
        await looked_for(adapter, kind, displayName="")


async def test_of_a_destination_that_is_not_there_nothing_is_found(adapter: SegmentAdapter) -> None:
    wanted = Subscription(display_name="Lost")

    assert await adapter.find_subscriptions("00000000000000000000d999", wanted, sent_at_s=0.0) == []
