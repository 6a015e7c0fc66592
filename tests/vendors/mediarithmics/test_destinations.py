"""Destinations: those of user segments among other imports, updates that keep the rest, and what runs to them."""

import json
from typing import Any

import pytest

from adapters.base import ListQuery
from adapters.errors import Conflict, InvalidRequest, NotFound, Rejected
from adapters.mediarithmics.adapter import MediarithmicsAdapter
from adapters.wellknown import plain
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.vendor_config_pb2 import MediarithmicsDestinationConfig
from tests.vendors.mediarithmics.datamart import (
    ACTIVITIES,
    BENCH,
    CLUB,
    DESTINATIONS,
    IMPORTS,
    NEVER_USED,
    NEWSLETTER,
    QUEUE,
    Datamart,
    changing,
    job_named,
    named,
)

NAMES = [named(destination_id) for destination_id in DESTINATIONS]


async def walk(adapter: MediarithmicsAdapter, size: int, **query: Any) -> list[list[Destination]]:
    page = await adapter.list_destinations(ListQuery(**query), "", size)
    pages = [page.items]
    while page.next_cursor:
        page = await adapter.list_destinations(ListQuery(**query), page.next_cursor, size)
        pages.append(page.items)
    return pages


# Lists.


@pytest.mark.parametrize("switches", [{}, {"list_envelope": "bare"}, {"content_encoding": "absent"}], ids=str)
@pytest.mark.parametrize("max_page", [3, 7, 500])
@pytest.mark.parametrize("size", [1, 2, 3, 10, 50, 501])
async def test_pages_are_full_of_imports_of_user_segments(
    datamart: Datamart, adapter: MediarithmicsAdapter, size: int, max_page: int, switches: dict[str, Any]
) -> None:
    datamart.sandbox.set_switches(max_page=max_page, **switches)
    pages = await walk(adapter, size)
    assert [destination.name for page in pages for destination in page] == NAMES
    # The last page that is not empty holds what is left.
    assert {len(page) for page in pages[:-2]} <= {size}


async def test_a_list_that_changes_gives_what_stays_exactly_once(
    datamart: Datamart, adapter: MediarithmicsAdapter
) -> None:
    page = await adapter.list_destinations(ListQuery(), "", 3)
    found = [destination.name for destination in page.items]
    for gone in (ACTIVITIES, NEWSLETTER, "21503"):
        del datamart.sandbox.imports[int(gone)]
        page = await adapter.list_destinations(ListQuery(), page.next_cursor, 3)
        found += [destination.name for destination in page.items]
    assert not page.next_cursor
    assert found == NAMES


async def test_an_import_of_another_type_is_no_destination(adapter: MediarithmicsAdapter) -> None:
    with pytest.raises(NotFound) as missing:
        await adapter.get_destination(ACTIVITIES)
    assert (missing.value.reason, missing.value.resource) == ("DESTINATION_NOT_FOUND", named(ACTIVITIES))
    with pytest.raises(NotFound):
        await adapter.update_destination(ACTIVITIES, changing("display_name", display_name="x"))


# One.


@pytest.mark.parametrize(
    "switches",
    [{"ids": "numbers"}, {"ids": "strings"}, {"content_encoding": "everywhere"}, {"content_encoding": "absent"}],
    ids=str,
)
async def test_the_form_of_an_answer_makes_no_difference(
    datamart: Datamart, adapter: MediarithmicsAdapter, switches: dict[str, str]
) -> None:
    async def read() -> list[object]:
        return [await adapter.get_destination(NEWSLETTER, full=True), await adapter.get_export_job(f"{CLUB}~90101")]

    before = await read()
    datamart.sandbox.set_switches(**switches)
    assert await read() == before


@pytest.mark.parametrize("status", [200, 201])
async def test_an_import_is_made_for_user_segments(
    datamart: Datamart, adapter: MediarithmicsAdapter, status: int
) -> None:
    datamart.sandbox.set_switches(created_status=status)
    config = MediarithmicsDestinationConfig(mime_type="TEXT_CSV")
    wanted = Destination(display_name="Letters", mediarithmics=config)
    planned = await adapter.create_destination(wanted, validate_only=True)
    created = await adapter.create_destination(wanted, validate_only=False)
    assert created.mediarithmics == planned.mediarithmics
    assert created.mediarithmics.datamart_id == "1509"
    assert (created.display_name, created.state) == ("Letters", Destination.ACTIVE)
    assert await adapter.get_destination(created.name.rpartition("/")[2]) == created
    row = datamart.sandbox.imports[int(created.name.rpartition("/")[2])]
    assert (row["document_type"], row["priority"]) == ("USER_SEGMENT", "MEDIUM")


async def test_an_import_needs_a_name(datamart: Datamart, adapter: MediarithmicsAdapter) -> None:
    for validate_only in (True, False):
        with pytest.raises(InvalidRequest) as refused:
            await adapter.create_destination(Destination(), validate_only=validate_only)
        assert [violation.field for violation in refused.value.violations] == ["destination.display_name"]
    with pytest.raises(InvalidRequest):
        await adapter.update_destination(NEWSLETTER, changing("display_name"))
    assert datamart.requests() == [f"GET {IMPORTS}/{NEWSLETTER}"]


async def test_a_word_that_mediarithmics_refuses_is_refused_with_its_words(adapter: MediarithmicsAdapter) -> None:
    config = MediarithmicsDestinationConfig(priority="URGENT")
    with pytest.raises(Rejected) as refused:
        await adapter.create_destination(Destination(display_name="x", mediarithmics=config), validate_only=False)
    assert refused.value.fault.message == "priority must be one of LOW, MEDIUM, HIGH"
    assert refused.value.fault.code == "VALIDATION_ERROR"
    assert refused.value.fault.request_id


@pytest.mark.parametrize("put", ["merged", "replaced"])
async def test_an_update_writes_what_changed_and_keeps_the_rest(
    datamart: Datamart, adapter: MediarithmicsAdapter, put: str
) -> None:
    datamart.sandbox.set_switches(put=put)
    before = dict(datamart.sandbox.imports[int(CLUB)])
    updated = await adapter.update_destination(CLUB, changing("display_name", display_name="Members of the club"))
    assert datamart.sandbox.imports[int(CLUB)] == {**before, "name": "Members of the club"}
    sent = json.loads(datamart.sandbox.journal[-1]["body"])
    assert sent["callback_secret"] == "fake-secret-of-nothing-5555"
    assert updated.display_name == "Members of the club"
    assert updated.mediarithmics.priority == "HIGH"
    assert not updated.HasField("vendor_extras")
    assert "fake-secret" not in str(updated)


async def test_an_update_that_is_only_checked_sends_nothing(datamart: Datamart, adapter: MediarithmicsAdapter) -> None:
    edit = changing("display_name", display_name="Letters", validate_only=True)
    planned = await adapter.update_destination(NEWSLETTER, edit)
    assert planned.display_name == "Letters"
    assert not planned.HasField("vendor_extras")
    assert datamart.requests() == [f"GET {IMPORTS}/{NEWSLETTER}"]


@pytest.mark.parametrize("status", [200, 204])
async def test_a_deleted_import_is_gone_whatever_the_answer(
    datamart: Datamart, adapter: MediarithmicsAdapter, status: int
) -> None:
    datamart.sandbox.set_switches(delete_status=status)
    before = await adapter.get_destination(NEVER_USED)
    deleted = await adapter.delete_destination(before, force=False, validate_only=False)
    assert (deleted.state, deleted.display_name) == (Destination.DELETED, before.display_name)
    with pytest.raises(NotFound):
        await adapter.get_destination(NEVER_USED)
    # As a repeated DELETE would find it.
    again = await adapter.delete_destination(before, force=False, validate_only=False)
    assert again == deleted


async def test_a_delete_that_is_only_checked_deletes_nothing(adapter: MediarithmicsAdapter) -> None:
    before = await adapter.get_destination(NEVER_USED)
    assert (await adapter.delete_destination(before, force=False, validate_only=True)).state == Destination.DELETED
    assert await adapter.get_destination(NEVER_USED) == before


async def test_an_import_that_runs_stays(datamart: Datamart, adapter: MediarithmicsAdapter) -> None:
    club = await adapter.get_destination(CLUB)
    with pytest.raises(Conflict) as refused:
        await adapter.delete_destination(club, force=True, validate_only=False)
    assert refused.value.reason == "DESTINATION_IN_USE"
    datamart.sandbox.set_switches(used_import_status=400)
    with pytest.raises(Rejected):
        await adapter.delete_destination(club, force=True, validate_only=False)


# What runs.


async def test_the_newest_job_that_runs_is_shown_in_the_full_view_alone(
    datamart: Datamart, adapter: MediarithmicsAdapter
) -> None:
    for order in ("newest", "oldest"):
        datamart.sandbox.set_switches(executions_order=order)
        shown = {d.name: d.running_export_job for page in await walk(adapter, 50, full=True) for d in page}
        assert {name: job for name, job in shown.items() if job} == {
            # Of the seed's executions, one that is in a state nobody knows: it is not final.
            named(NEWSLETTER): job_named(f"{NEWSLETTER}~90007"),
            named(CLUB): job_named(f"{CLUB}~90102"),
            named(QUEUE): job_named(f"{QUEUE}~90403"),
        }
        assert (await adapter.get_destination(CLUB, full=True)).running_export_job == job_named(f"{CLUB}~90102")
    assert not (await adapter.get_destination(CLUB)).running_export_job
    assert not (await adapter.get_destination(BENCH, full=True)).running_export_job


async def test_the_full_view_shows_what_is_not_modelled(adapter: MediarithmicsAdapter) -> None:
    expected = {"datafarm_key": "DF_EU_2026_01", "callback_secret": "********"}
    assert plain((await adapter.get_destination(CLUB, full=True)).vendor_extras) == expected
    (found,) = [d for page in await walk(adapter, 50, full=True) for d in page if d.name == named(CLUB)]
    assert plain(found.vendor_extras) == expected
    assert not (await adapter.get_destination(CLUB)).HasField("vendor_extras")
