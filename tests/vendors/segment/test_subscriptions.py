"""What the adapter makes of Segment's subscriptions: their models and schedules, and the pace of writing them."""

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict

from adapters.base import ListQuery
from adapters.errors import InvalidRequest, NotFound, RateLimited, Rejected
from adapters.rates import Rate
from adapters.segment.adapter import SegmentAdapter
from adapters.transport import Timeouts
from adapters.wellknown import plain
from audiencegateway.v1.destinations_pb2 import Subscription
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from gateway import etags
from tests.vendors.segment.workspace import (
    ADS,
    CARTS,
    CARTS_IN_ADS,
    CUSTOMERS_IN_ADS,
    LETTERS,
    ORDERS_IN_ADS,
    Segment,
    named,
    rechanging,
    wanted,
)

NEW = {"actionId": "ExampleAction000000301", "trigger": 'type = "identify"', "modelId": CARTS}


async def create(adapter: SegmentAdapter, *, validate_only: bool = False, **config: Any) -> Subscription:
    wanted = ParseDict({"displayName": "New", "segment": NEW | config}, Subscription())
    return await adapter.create_subscription(ADS, wanted, validate_only=validate_only)


def id_of(made: Subscription | ExportJob) -> str:
    return made.name.rpartition("/")[2]


@pytest.mark.parametrize("size", [1, 2, 3, 50])
async def test_pages_concatenate_to_the_whole(adapter: SegmentAdapter, size: int) -> None:
    page = await adapter.list_subscriptions(ADS, ListQuery(), "", size)
    found = page.items
    while page.next_cursor:
        page = await adapter.list_subscriptions(ADS, ListQuery(), page.next_cursor, size)
        found += page.items
    assert [one.name for one in found] == [named(ADS, id_) for id_ in (CUSTOMERS_IN_ADS, ORDERS_IN_ADS, CARTS_IN_ADS)]
    assert found[0] == await adapter.get_subscription(ADS, CUSTOMERS_IN_ADS)


async def test_a_subscription_shows_its_model_and_schedule_and_no_secret(adapter: SegmentAdapter) -> None:
    carts = await adapter.get_subscription(ADS, CARTS_IN_ADS)
    assert MessageToDict(carts.segment.schedule) == {"strategy": "PERIODIC", "config": {"interval": "1h"}}
    letters = await adapter.get_subscription(LETTERS, "ExampleSubscription104")
    assert plain(letters.segment.settings) == {"signingKey": "********"}


async def test_a_new_subscription_is_as_it_was_asked_for(adapter: SegmentAdapter) -> None:
    made = await create(adapter, settings={"email": {"@path": "$.email"}})
    assert made == await adapter.get_subscription(ADS, id_of(made))
    assert (made.display_name, made.disabled, made.segment.model_id) == ("New", False, CARTS)
    assert made.segment.action_slug == "upsert"


async def test_every_field_is_written_and_read_back(segment: Segment, adapter: SegmentAdapter) -> None:
    before = await adapter.get_subscription(ADS, CUSTOMERS_IN_ADS)
    edit = rechanging(
        displayName="People",
        disabled=True,
        segment={
            "trigger": 'type = "track"',
            "settings": {"batchSize": 7, "email": "$.email"},
            "modelId": CARTS,
            "schedule": {"strategy": "SPECIFIC_DAYS", "config": {"days": [1], "hours": [2], "timezone": "UTC"}},
        },
    )
    after = await adapter.update_subscription(ADS, CUSTOMERS_IN_ADS, edit)
    assert after == await adapter.get_subscription(ADS, CUSTOMERS_IN_ADS)
    assert (after.display_name, after.disabled, after.segment.model_id) == ("People", True, CARTS)
    assert plain(after.segment.settings) == {**plain(before.segment.settings), "batchSize": 7, "email": "$.email"}
    assert plain(after.segment.schedule.config) == {"days": [1], "hours": [2], "timezone": "UTC"}
    assert etags.of(after) != etags.of(before)


async def test_what_is_not_typed_is_in_the_extras_of_every_answer(segment: Segment, adapter: SegmentAdapter) -> None:
    segment.sandbox.subscriptions[CUSTOMERS_IN_ADS] |= {"labels": ["new"], "apiToken": "in clear"}
    page = await adapter.list_subscriptions(ADS, ListQuery(), "", 1)
    read = await adapter.get_subscription(ADS, CUSTOMERS_IN_ADS)
    updated = await adapter.update_subscription(ADS, CUSTOMERS_IN_ADS, rechanging(displayName="People"))
    for subscription in (*page.items, read, updated):
        assert MessageToDict(subscription.vendor_extras) == {"labels": ["new"], "apiToken": "********"}


async def test_a_secret_stays_when_others_change(segment: Segment, adapter: SegmentAdapter) -> None:
    id_ = "ExampleSubscription104"
    edit = rechanging(segment={"settings": {"signingKey": "********", "other": 1}})
    await adapter.update_subscription(LETTERS, id_, edit)
    assert segment.sandbox.subscriptions[id_]["settings"] == {"signingKey": "fake-signing-key-3333", "other": 1}


async def test_what_is_only_thought_through_changes_nothing(segment: Segment, adapter: SegmentAdapter) -> None:
    planned = await create(adapter, validate_only=True, settings={"accessToken": "in clear"})
    assert (planned.name, plain(planned.segment.settings)) == ("", {"accessToken": "********"})
    edit = rechanging(displayName="People", validate_only=True)
    assert (await adapter.update_subscription(ADS, CUSTOMERS_IN_ADS, edit)).display_name == "People"
    assert not segment.bodies()


async def test_a_schedule_can_only_be_set_by_an_update(segment: Segment, adapter: SegmentAdapter) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await create(adapter, schedule={"strategy": "MANUAL"})
    assert refused.value.violations[0].field == "subscription.segment.schedule"
    assert not segment.requests()


async def test_what_segment_finds_wrong_is_named_by_our_fields(adapter: SegmentAdapter) -> None:
    with pytest.raises(Rejected) as refused:
        await create(adapter, actionId="nothing")
    assert [violation.field for violation in refused.value.violations] == ["subscription.segment.action_id"]
    schedule = {"strategy": "PERIODIC", "config": {"interval": "1s"}}
    with pytest.raises(Rejected) as refused:
        await adapter.update_subscription(ADS, CUSTOMERS_IN_ADS, rechanging(segment={"schedule": schedule}))
    assert [violation.field for violation in refused.value.violations] == [
        "subscription.segment.schedule.config.interval"
    ]


async def test_a_model_that_is_not_there_is_the_requests_fault(adapter: SegmentAdapter) -> None:
    for write in (
        create(adapter, modelId="nothing"),
        adapter.update_subscription(ADS, CUSTOMERS_IN_ADS, rechanging(segment={"modelId": "nothing"})),
    ):
        with pytest.raises(Rejected) as refused:
            await write
        assert [violation.field for violation in refused.value.violations] == ["subscription.segment.model_id"]
    wanted = ParseDict({"displayName": "New", "segment": NEW}, Subscription())
    with pytest.raises(NotFound) as missing:
        await adapter.create_subscription("nothing", wanted, validate_only=False)
    assert (missing.value.reason, missing.value.resource) == ("DESTINATION_NOT_FOUND", named("nothing"))


@pytest.mark.parametrize(
    ("destination_id", "subscription_id", "reason", "resource"),
    [
        (ADS, "nothing", "SUBSCRIPTION_NOT_FOUND", named(ADS, "nothing")),
        (LETTERS, CUSTOMERS_IN_ADS, "SUBSCRIPTION_NOT_FOUND", named(LETTERS, CUSTOMERS_IN_ADS)),
        ("nothing", CUSTOMERS_IN_ADS, "DESTINATION_NOT_FOUND", named("nothing")),
    ],
)
async def test_what_is_not_there_is_named(
    adapter: SegmentAdapter, destination_id: str, subscription_id: str, reason: str, resource: str
) -> None:
    for call in (
        adapter.get_subscription(destination_id, subscription_id),
        adapter.update_subscription(destination_id, subscription_id, rechanging(displayName="x")),
    ):
        with pytest.raises(NotFound) as missing:
            await call
        assert (missing.value.reason, missing.value.resource) == (reason, resource)


async def test_a_list_of_an_unknown_destination_is_not_found(adapter: SegmentAdapter) -> None:
    with pytest.raises(NotFound) as missing:
        await adapter.list_subscriptions("nothing", ListQuery(), "", 50)
    assert (missing.value.reason, missing.value.resource) == ("DESTINATION_NOT_FOUND", named("nothing"))


async def test_a_deleted_subscription_is_gone_even_when_the_answer_was_lost(
    segment: Segment, adapter: SegmentAdapter
) -> None:
    segment.sandbox.fault(path="*", method="DELETE", drop="after")
    await adapter.delete_subscription(ADS, CUSTOMERS_IN_ADS)
    assert CUSTOMERS_IN_ADS not in segment.sandbox.subscriptions
    assert len(segment.requests()) == 2


# The pace.


async def change(adapter: SegmentAdapter, number: int) -> Subscription:
    return await adapter.update_subscription(ADS, CUSTOMERS_IN_ADS, rechanging(displayName=f"Name {number}"))


async def test_a_sixth_write_of_a_minute_is_not_sent(segment: Segment, adapter: SegmentAdapter) -> None:
    for number in range(5):
        await change(adapter, number)
    segment.sandbox.journal.clear()
    with pytest.raises(RateLimited) as limited:
        await change(adapter, 6)
    assert (limited.value.reason, limited.value.retry_after_s) == ("GATEWAY_RATE_LIMITED", 61.0)
    assert segment.requests() == [f"GET /destinations/{ADS}/subscriptions/{CUSTOMERS_IN_ADS}"]
    segment.sandbox.clock.advance(61)
    assert (await change(adapter, 7)).display_name == "Name 7"


async def test_the_kinds_of_writes_have_a_pace_each(segment: Segment, adapter: SegmentAdapter) -> None:
    made = [await create(adapter) for _ in range(5)]
    for number, subscription in enumerate(made):
        await change(adapter, number)
        await adapter.delete_subscription(ADS, id_of(subscription))
    for late in (create(adapter), change(adapter, 6), adapter.delete_subscription(ADS, CARTS_IN_ADS)):
        with pytest.raises(RateLimited):
            await late
    assert {entry["status"] for entry in segment.sandbox.journal} == {200}


async def test_a_wait_that_fits_is_waited(segment: Segment) -> None:
    adapter = segment.connect(timeouts=Timeouts(operation_s=100))
    for number in range(6):
        segment.sandbox.clock.advance(10)
        await change(adapter, number)
    assert segment.slept_s == [11.0]
    assert {entry["status"] for entry in segment.sandbox.journal} == {200}


async def test_the_vendor_never_has_to_say_it(segment: Segment) -> None:
    adapter = segment.connect(timeouts=Timeouts(operation_s=100))
    for number in range(23):
        await change(adapter, number)
    assert {entry["status"] for entry in segment.sandbox.journal} == {200}
    assert segment.slept_s == [61.0] * 4


async def test_other_calls_have_no_pace(segment: Segment, adapter: SegmentAdapter) -> None:
    for number in range(5):
        await change(adapter, number)
    for _ in range(20):
        await adapter.get_subscription(ADS, CUSTOMERS_IN_ADS)
        await adapter.list_subscriptions(ADS, ListQuery(), "", 50)
    assert not segment.slept_s


async def test_the_pace_is_the_operators_to_set(segment: Segment) -> None:
    slow = segment.connect(rates={"subscription_updates": Rate(1)})
    await change(slow, 1)
    with pytest.raises(RateLimited) as limited:
        await change(slow, 2)
    assert limited.value.reason == "GATEWAY_RATE_LIMITED"
    segment.sandbox.clock.advance(60)
    unlimited = segment.connect(rates={"subscription_updates": Rate(0)})
    for number in range(5):
        await change(unlimited, number)


async def test_an_answer_that_says_it_was_the_last_of_the_minute_spares_the_next_call(segment: Segment) -> None:
    adapter = segment.connect(rates={"subscription_updates": Rate(0)})
    for number in range(5):
        await change(adapter, number)
    with pytest.raises(RateLimited) as limited:
        await change(adapter, 6)
    assert limited.value.reason == "GATEWAY_RATE_LIMITED"
    assert 0 < (limited.value.retry_after_s or 0) <= 61
    assert {entry["status"] for entry in segment.sandbox.journal} == {200}


async def test_starts_and_looks_at_syncs_have_a_pace_each(segment: Segment, adapter: SegmentAdapter) -> None:
    assert adapter.transport.rates.limits == {
        "subscription_creates": Rate(5, 61),
        "subscription_updates": Rate(5, 61),
        "subscription_deletes": Rate(5, 61),
        "sync_starts": Rate(20, 61),
        "sync_reads": Rate(250, 61),
    }
    slow = segment.connect(rates={"sync_starts": Rate(1), "sync_reads": Rate(1)})
    started = id_of(await slow.create_export_job(wanted(), marker="", validate_only=False))
    await slow.get_export_job(started)
    for late in (slow.create_export_job(wanted(), marker="", validate_only=False), slow.get_export_job(started)):
        with pytest.raises(RateLimited) as limited:
            await late
        assert limited.value.reason == "GATEWAY_RATE_LIMITED"


async def test_what_another_client_used_up_is_heard_from_the_vendor(segment: Segment, adapter: SegmentAdapter) -> None:
    other = segment.connect(rates={"subscription_updates": Rate(0)})
    for number in range(5):
        await change(other, number)
    with pytest.raises(RateLimited) as limited:
        await change(adapter, 6)
    assert (limited.value.reason, limited.value.retry_after_s) == ("VENDOR_RATE_LIMITED", 60.0)
    assert (limited.value.fault.code, limited.value.fault.message) == ("RequestError", "Too many requests")
