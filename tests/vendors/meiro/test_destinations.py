"""Destinations: pages, the trash after what is live, and updates that keep the rest."""

import json
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct

from adapters.base import Change, Edit, ListQuery, Term
from adapters.errors import AlreadyExists, Conflict, InvalidRequest, NotFound, Rejected
from adapters.meiro.adapter import MeiroAdapter
from adapters.wellknown import plain
from audiencegateway.v1.destinations_pb2 import Destination
from tests.vendors.meiro.instance import Meiro

DESTINATIONS = "/api/segments/export/destinations"
LIVE = [f"connections/crm/destinations/{n}" for n in (101, 102, 103, 104, 105, 106)]
TRASHED = [f"connections/crm/destinations/{n}" for n in (191, 192)]


def terms(*given: tuple[str, str, str], **query: Any) -> ListQuery:
    return ListQuery(terms=tuple(Term(*term) for term in given), **query)


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


# Pages.


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7, 50, 500])
async def test_pages_of_destinations_concatenate_to_the_whole_live_ones_first(adapter: MeiroAdapter, size: int) -> None:
    found = await all_destinations(adapter, ListQuery(show_deleted=True), size)
    assert [destination.name for destination in found] == LIVE + TRASHED
    assert {destination.state for destination in found[6:]} == {Destination.DELETED}


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
    jobs = (await adapter.list_export_jobs(terms(("audiences.audience_id", ":", "300"), full=True), "", 1)).items[0]
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
