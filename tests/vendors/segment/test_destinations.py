"""What the adapter makes of Segment's destinations: pages that change, secrets, dropped settings, deletes, metrics."""

from base64 import b64encode
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict

from adapters.base import Adapter, ListQuery
from adapters.errors import Conflict, InvalidRequest, NotFound, Precondition, ProtocolViolation, Rejected
from adapters.secrets import MASK
from adapters.segment.adapter import SegmentAdapter
from adapters.wellknown import plain
from audiencegateway.v1.destinations_pb2 import Destination, QueryDeliveryMetricsRequest
from gateway import etags
from tests.vendors.segment.workspace import (
    ADS,
    BENCH,
    CLUB,
    EMPTY,
    LETTERS,
    OLD,
    STREAM,
    WAREHOUSE,
    Segment,
    changing,
    job_id,
    named,
)

ALL = [named(id_) for id_ in (ADS, LETTERS, OLD, STREAM, BENCH, EMPTY, CLUB)]
NEW = {"sourceId": WAREHOUSE, "metadataId": "00000000000000000000ca02", "settings": {"accountId": "a"}}


async def all_destinations(adapter: SegmentAdapter, size: int = 50, **query: Any) -> list[Destination]:
    page = await adapter.list_destinations(ListQuery(**query), "", size)
    found = page.items
    while page.next_cursor:
        page = await adapter.list_destinations(ListQuery(**query), page.next_cursor, size)
        found += page.items
    return found


def settings_of(destination: Destination) -> dict[str, Any]:
    return plain(destination.segment.settings)


async def delete(
    adapter: SegmentAdapter, destination_id: str, *, force: bool = False, validate_only: bool = False
) -> Destination:
    present = Destination(name=named(destination_id), display_name="as it was")
    return await adapter.delete_destination(present, force=force, validate_only=validate_only)


async def metrics(adapter: SegmentAdapter, destination_id: str = ADS, **fields: Any) -> Any:
    request = ParseDict(fields, QueryDeliveryMetricsRequest())
    return await adapter.query_delivery_metrics(destination_id, request)


# Pages.


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 50, 500])
@pytest.mark.parametrize("edge_cursors", ["absent", "null"])
async def test_pages_concatenate_to_the_whole(
    segment: Segment, adapter: SegmentAdapter, size: int, edge_cursors: str
) -> None:
    segment.sandbox.set_switches(edge_cursors=edge_cursors, total_entries=False)
    assert [destination.name for destination in await all_destinations(adapter, size)] == ALL


async def test_a_list_that_changes_gives_what_stays_exactly_once(segment: Segment, adapter: SegmentAdapter) -> None:
    page = await adapter.list_destinations(ListQuery(), "", 3)
    found = [destination.name for destination in page.items]
    # One that was given goes, and one after the place comes: every position is wrong by now.
    del segment.sandbox.destinations[LETTERS]
    made = await adapter.create_destination(ParseDict({"segment": NEW}, Destination()), validate_only=False)
    while page.next_cursor:
        page = await adapter.list_destinations(ListQuery(), page.next_cursor, 3)
        found += [destination.name for destination in page.items]
    assert found == [*ALL, made.name]


async def test_a_caller_that_deletes_every_page_sees_every_destination_once(
    segment: Segment, adapter: SegmentAdapter
) -> None:
    page = await adapter.list_destinations(ListQuery(), "", 2)
    found: list[str] = []
    while True:
        found += [destination.name for destination in page.items]
        for destination in page.items:
            await adapter.delete_destination(destination, force=True, validate_only=False)
        if not page.next_cursor:
            break
        page = await adapter.list_destinations(ListQuery(), page.next_cursor, 2)
    assert found == ALL
    assert not segment.sandbox.destinations


async def test_cursors_that_are_no_positions_are_passed_on_as_they_are(
    segment: Segment, adapter: SegmentAdapter
) -> None:
    rows = [segment.sandbox._destination(row) for row in segment.sandbox.destinations.values()]
    for part, after in ((rows[:3], "after-3"), (rows[3:5], "after-5"), (rows[5:], None)):
        segment.sandbox.fault(path="/destinations", body=_page(part, after))
    assert [destination.name for destination in await all_destinations(adapter, 3)] == ALL
    cursors = [dict(entry["query"]).get("pagination[cursor]") for entry in segment.sandbox.journal]
    assert cursors == [None, "after-3", "after-5"]


async def test_a_page_that_is_short_ends_no_list(segment: Segment, adapter: SegmentAdapter) -> None:
    rows = [segment.sandbox._destination(row) for row in segment.sandbox.destinations.values()]
    segment.sandbox.fault(path="/destinations", body=_page(rows[:2], _position(2)))
    page = await adapter.list_destinations(ListQuery(), "", 50)
    assert [destination.name for destination in page.items] == ALL
    assert not page.next_cursor


async def test_a_page_that_names_itself_as_the_next_is_told(segment: Segment, adapter: SegmentAdapter) -> None:
    segment.sandbox.fault(path="/destinations", body=_page([], "x"), count=0)
    with pytest.raises(ProtocolViolation, match="same page") as caught:
        await adapter.list_destinations(ListQuery(), "", 50)
    assert caught.value.connection == "cdp"


async def test_a_cursor_of_something_else_is_refused(adapter: SegmentAdapter) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await adapter.list_destinations(ListQuery(), "AAAA", 50)
    assert refused.value.reason == "INVALID_PAGE_TOKEN"


def _position(number: int) -> str:
    return b64encode(str(number).encode()).decode()


def _page(rows: list[dict[str, Any]], after: str | None) -> dict[str, Any]:
    return {"data": {"destinations": rows, "pagination": {"current": "", "next": after}}}


# Views.


async def test_the_basic_view_has_neither_extras_nor_the_running_job(adapter: SegmentAdapter) -> None:
    for destination in (await adapter.get_destination(LETTERS), *await all_destinations(adapter)):
        assert not destination.HasField("vendor_extras")
        assert not destination.running_export_job


async def test_the_full_view_has_the_catalog_entry_and_the_newest_job_that_runs(adapter: SegmentAdapter) -> None:
    running = f"connections/cdp/exportJobs/{job_id(1203, 104, LETTERS)}"
    destination = await adapter.get_destination(LETTERS, full=True)
    assert destination.running_export_job == running
    metadata = MessageToDict(destination.vendor_extras)["metadata"]
    assert (metadata["id"], metadata["name"]) == ("00000000000000000000ca02", "Example Letters")
    listed = await all_destinations(adapter, full=True)
    # The club's sync is in a state that nobody knows, and so not known to be over.
    assert [bool(one.running_export_job) for one in listed] == [False, True, False, False, False, False, True]
    assert all(MessageToDict(one.vendor_extras)["metadata"] for one in listed)


async def test_get_list_and_update_agree_on_the_etag(adapter: SegmentAdapter) -> None:
    etag = etags.of(await adapter.get_destination(ADS))
    assert etags.of(await adapter.get_destination(ADS, full=True)) == etag
    assert etags.of((await all_destinations(adapter))[0]) == etag
    updated = await adapter.update_destination(ADS, changing(displayName="New"))
    assert etags.of(updated) == etags.of(await adapter.get_destination(ADS)) != etag


# Secrets.


@pytest.mark.parametrize("masking", ["secrets", "strings"])
async def test_no_view_shows_a_secret_or_its_end(segment: Segment, adapter: SegmentAdapter, masking: str) -> None:
    segment.sandbox.set_switches(masking=masking)
    shown = [*await all_destinations(adapter, full=True), await adapter.get_destination(ADS, full=True)]
    assert settings_of(shown[0])["apiKey"] == MASK
    assert not any(secret in str(shown) for secret in ("•", "1111", "2222", "fake-"))


@pytest.mark.parametrize("masked_writes", ["stored", "refused"])
async def test_a_secret_stays_when_others_change_and_when_its_mask_is_given(
    segment: Segment, adapter: SegmentAdapter, masked_writes: str
) -> None:
    segment.sandbox.set_switches(masked_writes=masked_writes)
    shown = settings_of(await adapter.get_destination(ADS))
    updated = await adapter.update_destination(ADS, changing(segment={"settings": {**shown, "endpoint": "https://x"}}))
    assert segment.bodies() == [{"settings": {"endpoint": "https://x"}}]
    assert segment.sandbox.destinations[ADS]["settings"]["apiKey"] == "fake-key-of-nothing-1111"
    assert settings_of(updated) == {**shown, "endpoint": "https://x"}


async def test_a_new_secret_is_written_and_comes_back_masked(segment: Segment, adapter: SegmentAdapter) -> None:
    updated = await adapter.update_destination(ADS, changing(segment={"settings": {"apiKey": "fake-new-9999"}}))
    assert segment.sandbox.destinations[ADS]["settings"]["apiKey"] == "fake-new-9999"
    assert settings_of(updated)["apiKey"] == MASK
    assert not updated.unapplied_fields


@pytest.mark.parametrize("key", ["fake-x", "abc"])
async def test_a_new_secret_that_was_dropped_is_told_by_its_end_alone(
    segment: Segment, adapter: SegmentAdapter, key: str
) -> None:
    segment.sandbox.set_switches(masked_writes="kept")
    present = {"data": {"destination": segment.sandbox._destination(segment.sandbox.destinations[ADS])}}
    segment.sandbox.fault(path="*", method="PATCH", body=present)
    updated = await adapter.update_destination(ADS, changing(segment={"settings": {"apiKey": key}}))
    assert list(updated.unapplied_fields) == ['segment.settings["apiKey"]']


async def test_a_dropped_secret_without_an_end_can_not_be_told(segment: Segment, adapter: SegmentAdapter) -> None:
    present = {"data": {"destination": segment.sandbox._destination(segment.sandbox.destinations[BENCH])}}
    segment.sandbox.fault(path="*", method="PATCH", body=present)
    updated = await adapter.update_destination(BENCH, changing(segment={"settings": {"apiKey": "fake-x"}}))
    assert not updated.unapplied_fields


async def test_what_is_only_thought_through_shows_no_secret_either(segment: Segment, adapter: SegmentAdapter) -> None:
    edit = changing(segment={"settings": {"accessToken": "in clear"}}, validate_only=True)
    assert settings_of(await adapter.update_destination(ADS, edit))["accessToken"] == MASK
    assert not segment.bodies()


# Updates.


async def test_a_setting_that_is_taken_away_goes_back_to_its_default(segment: Segment, adapter: SegmentAdapter) -> None:
    updated = await adapter.update_destination(ADS, changing(segment={"settings": {"retarget": None}}))
    assert segment.bodies() == [{"settings": {"retarget": None}}]
    assert settings_of(updated)["retarget"] is False
    assert not updated.unapplied_fields


async def test_read_only_settings_alone_are_refused_by_the_vendor(segment: Segment, adapter: SegmentAdapter) -> None:
    with pytest.raises(Rejected) as refused:
        await adapter.update_destination(STREAM, changing(segment={"settings": {"externalId": "mine"}}))
    assert (refused.value.reason, refused.value.fault.http_status) == ("REJECTED_BY_VENDOR", 400)
    assert refused.value.fault.message == "externalId can't be updated"


async def test_read_only_settings_among_others_are_dropped_and_named(segment: Segment, adapter: SegmentAdapter) -> None:
    edit = changing(displayName="Stream", segment={"settings": {"externalId": "mine", "useMessageId": True}})
    updated = await adapter.update_destination(STREAM, edit)
    assert list(updated.unapplied_fields) == ['segment.settings["externalId"]']
    assert settings_of(updated)["useMessageId"] is True
    assert settings_of(updated)["externalId"] == "ExampleWorkspace000001"
    assert not (await adapter.get_destination(STREAM)).unapplied_fields


async def test_a_name_can_be_taken_away(adapter: SegmentAdapter) -> None:
    updated = await adapter.update_destination(ADS, changing("display_name"))
    assert not updated.display_name


async def test_a_destination_is_disabled_and_enabled_again(segment: Segment, adapter: SegmentAdapter) -> None:
    off = await adapter.update_destination(ADS, changing("disabled", disabled=True))
    on = await adapter.update_destination(ADS, changing("disabled"))
    assert [(one.disabled, one.state) for one in (off, on)] == [
        (True, Destination.SUSPENDED),
        (False, Destination.ACTIVE),
    ]
    assert segment.bodies() == [{"enabled": False}, {"enabled": True}]


# New ones.


@pytest.mark.parametrize("disabled", [False, True])
async def test_a_new_destination_is_as_it_was_asked_for(adapter: SegmentAdapter, disabled: bool) -> None:
    wanted = ParseDict({"displayName": "New", "disabled": disabled, "segment": NEW}, Destination())
    made = await adapter.create_destination(wanted, validate_only=False)
    assert made == await adapter.get_destination(made.name.rpartition("/")[2])
    assert (made.display_name, made.disabled, made.segment.source_id) == ("New", disabled, WAREHOUSE)
    # The vendor's defaults are there, too.
    assert settings_of(made) == {"accountId": "a", "authToken": "", "paper": "A4", "duplex": True}


@pytest.mark.parametrize("change", [{"sourceId": "nowhere"}, {"metadataId": "nothing"}])
async def test_a_source_or_catalog_entry_that_is_not_there_is_the_requests_fault(
    adapter: SegmentAdapter, change: dict[str, str]
) -> None:
    with pytest.raises(Rejected) as refused:
        await adapter.create_destination(ParseDict({"segment": NEW | change}, Destination()), validate_only=False)
    assert (refused.value.reason, refused.value.violations[0].field) == ("REJECTED_BY_VENDOR", "destination.segment")
    assert refused.value.fault.http_status == 404


async def test_a_second_one_where_there_can_be_one_is_there_already(adapter: SegmentAdapter) -> None:
    single = {
        "sourceId": "ExampleSourceWeb000001",
        "metadataId": "00000000000000000000ca03",
        "settings": {"stream": "x"},
    }
    with pytest.raises(Conflict) as refused:
        await adapter.create_destination(ParseDict({"segment": single}, Destination()), validate_only=False)
    assert refused.value.reason == "DESTINATION_ALREADY_EXISTS"


async def test_what_segment_finds_wrong_is_named_by_our_fields(adapter: SegmentAdapter) -> None:
    wrong = {**NEW, "settings": {"paper": 4}}
    with pytest.raises(Rejected) as refused:
        await adapter.create_destination(ParseDict({"segment": wrong}, Destination()), validate_only=False)
    assert sorted(violation.field for violation in refused.value.violations) == [
        'destination.segment.settings["accountId"]',
        'destination.segment.settings["paper"]',
    ]
    with pytest.raises(Rejected) as refused:
        await adapter.update_destination(ADS, changing(segment={"settings": {"retarget": "yes"}}))
    assert [(violation.field, violation.reason) for violation in refused.value.violations] == [
        ('destination.segment.settings["retarget"]', "REJECTED_BY_VENDOR")
    ]


# Deletes.


async def test_a_destination_with_subscriptions_is_not_deleted(segment: Segment, adapter: SegmentAdapter) -> None:
    with pytest.raises(Precondition) as refused:
        await delete(adapter, ADS)
    assert (refused.value.reason, refused.value.resource) == ("DESTINATION_HAS_SUBSCRIPTIONS", named(ADS))
    assert ADS in segment.sandbox.destinations


@pytest.mark.parametrize(("destination_id", "force"), [(ADS, True), (EMPTY, False), (EMPTY, True)])
async def test_a_deleted_destination_is_answered_as_it_was_and_gone(
    segment: Segment, adapter: SegmentAdapter, destination_id: str, force: bool
) -> None:
    deleted = await delete(adapter, destination_id, force=force)
    assert deleted == Destination(name=named(destination_id), display_name="as it was", state=Destination.DELETED)
    assert destination_id not in segment.sandbox.destinations
    with pytest.raises(NotFound):
        await adapter.get_destination(destination_id)


async def test_a_delete_that_is_only_thought_through_sends_nothing(segment: Segment, adapter: SegmentAdapter) -> None:
    assert (await delete(adapter, ADS, validate_only=True)).state == Destination.DELETED
    assert not segment.requests()


async def test_a_delete_whose_answer_was_lost_is_repeated_and_done(segment: Segment, adapter: SegmentAdapter) -> None:
    segment.sandbox.fault(path=f"/destinations/{EMPTY}", method="DELETE", drop="after")
    assert (await delete(adapter, EMPTY)).state == Destination.DELETED
    assert segment.requests()[1:] == [f"DELETE /destinations/{EMPTY}"] * 2


async def test_a_vendor_that_does_not_cascade_says_that_the_destination_is_in_use(
    segment: Segment, adapter: SegmentAdapter
) -> None:
    segment.sandbox.set_switches(delete_in_use="refused")
    with pytest.raises(Conflict) as refused:
        await delete(adapter, ADS, force=True)
    assert refused.value.reason == "DESTINATION_IN_USE"


# Metrics.


@pytest.mark.parametrize("granularity", ["MINUTE", "HOUR", "DAY"])
async def test_the_default_window_is_one_that_segment_takes(adapter: SegmentAdapter, granularity: str) -> None:
    response = await metrics(adapter, granularity=granularity)
    window_s = response.interval.end_time.seconds - response.interval.start_time.seconds
    assert window_s == {"MINUTE": 3600, "HOUR": 7 * 86400 - 60, "DAY": 14 * 86400 - 60}[granularity]
    assert QueryDeliveryMetricsRequest.Granularity.Name(response.granularity) == granularity
    assert response.metrics[0].total == 4 * window_s // 60
    assert response.metrics[0].breakdown == {
        "successes_on_first_attempt": 3 * window_s // 60,
        "successes_after_retry": window_s // 60,
    }


async def test_a_window_beyond_the_limits_is_named_by_our_field(adapter: SegmentAdapter) -> None:
    with pytest.raises(Rejected) as refused:
        await metrics(adapter, granularity="DAY", interval={"startTime": "2025-12-01T00:00:00Z"})
    assert {violation.field for violation in refused.value.violations} == {"interval.start_time"}


async def test_a_source_that_is_not_the_destinations_is_the_requests_fault(adapter: SegmentAdapter) -> None:
    with pytest.raises(Rejected) as refused:
        await metrics(adapter, sourceId="ExampleSourceWeb000001")
    assert refused.value.violations[0].field == "source_id"


@pytest.mark.parametrize("source_id", ["", WAREHOUSE])
async def test_metrics_of_an_unknown_destination_are_not_found(adapter: SegmentAdapter, source_id: str) -> None:
    with pytest.raises(NotFound) as missing:
        await metrics(adapter, "nothing", sourceId=source_id)
    assert (missing.value.reason, missing.value.resource) == ("DESTINATION_NOT_FOUND", named("nothing"))


# What is offered.


def test_every_verb_that_segment_has_an_operation_for_is_offered() -> None:
    assert SegmentAdapter.verbs() == {
        *("check_connection", "list_destinations", "get_destination", "create_destination", "update_destination"),
        *("delete_destination", "query_delivery_metrics"),
        *("list_subscriptions", "get_subscription", "create_subscription", "update_subscription"),
        *("delete_subscription", "list_export_jobs", "get_export_job", "create_export_job", "cancel_export_job"),
    }
    assert SegmentAdapter.undelete_destination is Adapter.undelete_destination


async def test_a_check_learns_the_name_of_the_workspace(adapter: SegmentAdapter) -> None:
    accounts = [adapter.account]
    await adapter.check_connection()
    assert [*accounts, adapter.account] == ["", "example-shop"]
