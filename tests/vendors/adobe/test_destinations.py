"""What the adapter makes of Catalog's behaviour: pages among other datasets, etags, dry runs, and what runs."""

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from adapters.adobe.adapter import AdobeAdapter
from adapters.base import Change, Edit, ListQuery, Term
from adapters.errors import (
    Aborted,
    Conflict,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    ProtocolViolation,
    Rejected,
    VendorEtagMismatch,
)
from adapters.wellknown import plain
from audiencegateway.v1.destinations_pb2 import Destination
from tests.vendors.adobe.instance import BUSY, DATASETS, FROZEN_AT_S, JOBS, NEWSLETTER, Adobe

NAMES = [f"connections/cdp/destinations/5ca1ab1e{n:016x}" for n in (2, 5, 9, 14, 23, 31, 57, 108)]
OTHER = "5ca1ab1e0000000000000001"
"""A dataset on another schema."""


async def all_destinations(adapter: AdobeAdapter, query: ListQuery, size: int = 50) -> list[Destination]:
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
        merged.MergeFrom(ParseDict(fields, Destination()))
        return Change(current=current, merged=merged, paths=frozenset(paths), settled=False)

    return change


RENAME = setting("display_name", display_name="Renamed")


async def create(adapter: AdobeAdapter, *, validate_only: bool = False, **fields: Any) -> Destination:
    wanted = ParseDict({"display_name": "Profile Data Export", **fields}, Destination())
    return await adapter.create_destination(wanted, validate_only=validate_only)


# Pages.


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 50, 500])
async def test_pages_are_of_destinations_alone_and_concatenate_to_the_whole(adapter: AdobeAdapter, size: int) -> None:
    found = await all_destinations(adapter, ListQuery(), size)
    assert [destination.name for destination in found] == NAMES
    assert {destination.adobe.schema_ref_id for destination in found} == {
        "https://ns.adobe.com/xdm/context/profile__union"
    }


@pytest.mark.parametrize("descending", [False, True])
async def test_destinations_can_be_ordered_by_name_and_by_time(adapter: AdobeAdapter, descending: bool) -> None:
    by_name = await all_destinations(adapter, ListQuery(order_by="display_name", descending=descending), 3)
    titles = [destination.display_name for destination in by_name]
    assert titles == sorted(titles, reverse=descending)
    by_time = await all_destinations(adapter, ListQuery(order_by="create_time", descending=descending), 3)
    assert [destination.name for destination in by_time] == sorted(NAMES, reverse=descending)


async def test_a_list_that_changes_gives_what_stays_exactly_once(adobe: Adobe, adapter: AdobeAdapter) -> None:
    query = ListQuery(order_by="create_time", descending=True)
    found: list[str] = []
    cursor = ""
    while cursor or not found:
        page = await adapter.list_destinations(query, cursor, 2)
        found += [destination.name for destination in page.items]
        # One comes before the place and one behind it goes: every offset is wrong by now.
        await create(adapter, display_name=f"New {len(found)}")
        adobe.sandbox.datasets.pop(OTHER, None)
        cursor = page.next_cursor
    assert found == NAMES[::-1]


async def test_a_name_is_left_to_catalog_where_it_reads_it_as_it_is(adobe: Adobe, adapter: AdobeAdapter) -> None:
    for odd in ("!a", "a*b", "a,b"):
        await create(adapter, display_name=odd)
        query = ListQuery(terms=(Term("display_name", "=", odd),))
        assert odd in [destination.display_name for destination in await all_destinations(adapter, query)]
    query = ListQuery(terms=(Term("display_name", "=", "Example shop archive"),))
    adobe.sandbox.journal.clear()
    assert [destination.name for destination in await all_destinations(adapter, query)] == [NAMES[6]]
    assert len(adobe.requests()) == 1


@pytest.mark.parametrize("full", [False, True])
async def test_a_dataset_on_another_schema_is_no_destination(adapter: AdobeAdapter, full: bool) -> None:
    with pytest.raises(NotFound) as missing:
        await adapter.get_destination(OTHER, full=full)
    assert (missing.value.reason, missing.value.resource) == (
        "DESTINATION_NOT_FOUND",
        f"connections/cdp/destinations/{OTHER}",
    )


async def test_a_dataset_on_another_schema_can_not_be_changed(adobe: Adobe, adapter: AdobeAdapter) -> None:
    with pytest.raises(NotFound):
        await adapter.update_destination(OTHER, RENAME)
    assert adobe.requests() == [f"GET {DATASETS}/{OTHER}"]


async def test_what_catalog_adds_is_shown_in_the_full_view_alone(adapter: AdobeAdapter) -> None:
    extras = plain((await adapter.get_destination(NEWSLETTER, full=True)).vendor_extras)
    assert extras["lastBatchStatus"] == "failed"
    assert extras["persistence"]["adls"]["credentials"] == "********"
    listed = await all_destinations(adapter, ListQuery(full=True))
    assert plain(listed[1].vendor_extras) == extras
    assert not (await adapter.get_destination(NEWSLETTER)).HasField("vendor_extras")
    assert not [one for one in await all_destinations(adapter, ListQuery()) if one.HasField("vendor_extras")]


# What runs.


async def test_the_newest_running_job_is_shown_in_the_full_view_alone(adapter: AdobeAdapter) -> None:
    running = {NAMES[2]: "connections/cdp/exportJobs/109", NAMES[3]: "connections/cdp/exportJobs/108"}
    assert (await adapter.get_destination(BUSY, full=True)).running_export_job == running[NAMES[2]]
    assert not (await adapter.get_destination(BUSY)).running_export_job
    listed = await all_destinations(adapter, ListQuery(full=True))
    assert {one.name: one.running_export_job for one in listed if one.running_export_job} == running


@pytest.mark.parametrize(("destination_id", "pages"), [(BUSY, 1), (NEWSLETTER, 5)])
async def test_running_jobs_are_looked_for_among_recent_ones_and_no_further_than_needed(
    adobe: Adobe, adapter: AdobeAdapter, destination_id: str, pages: int
) -> None:
    adobe.sandbox.set_switches(max_limit=3)
    await adapter.get_destination(destination_id, full=True)
    assert len(adobe.requests(JOBS)) == pages


# Creating.


@pytest.mark.parametrize("reference", ["@/dataSets/", "@/datasets/"])
async def test_a_new_destination_is_answered_as_catalog_has_it(
    adobe: Adobe, adapter: AdobeAdapter, reference: str
) -> None:
    adobe.sandbox.set_switches(reference=reference)
    made = await create(adapter, description="Made by a test", adobe={"tags": {"team": ["crm"]}})
    assert made.create_time.seconds == FROZEN_AT_S
    assert made.adobe.sandbox == "prod"
    assert await adapter.get_destination(made.name.rpartition("/")[2]) == made


async def test_a_new_destination_is_answered_though_it_can_not_be_read(adobe: Adobe, adapter: AdobeAdapter) -> None:
    adobe.sandbox.fault(path=f"{DATASETS}/*", method="GET", status=500, count=0)
    made = await create(adapter, adobe={"tags": {"team": ["crm"]}})
    (new,) = [name for name, row in adobe.sandbox.datasets.items() if row["name"] == "Profile Data Export"]
    assert made.name == f"connections/cdp/destinations/{new}"
    assert (made.display_name, made.state) == ("Profile Data Export", Destination.ACTIVE)
    assert made.adobe.tags["team"][0] == "crm"


@pytest.mark.parametrize("body", [[], ["@/dataSets/"]])
async def test_a_new_destination_without_an_id_is_an_error(adobe: Adobe, adapter: AdobeAdapter, body: object) -> None:
    adobe.sandbox.fault(path=DATASETS, method="POST", status=201, body=body)
    with pytest.raises(ProtocolViolation) as violation:
        await create(adapter)
    assert (violation.value.vendor, violation.value.connection) == ("adobe", "cdp")


@pytest.mark.parametrize("answer", ["reference", "empty"])
async def test_a_dry_run_makes_nothing(adobe: Adobe, adapter: AdobeAdapter, answer: str) -> None:
    adobe.sandbox.set_switches(validate_only=answer)
    before = dict(adobe.sandbox.datasets)
    planned = await create(adapter, validate_only=True, description="Planned")
    assert not planned.name
    assert (planned.display_name, planned.description) == ("Profile Data Export", "Planned")
    assert planned.adobe.schema_content_type == "application/vnd.adobe.xed+json;version=1"
    assert adobe.sandbox.datasets == before


async def test_a_dry_run_is_refused_as_the_real_one_would_be(adobe: Adobe, adapter: AdobeAdapter) -> None:
    adobe.sandbox.set_switches(duplicate_name_status=400)
    with pytest.raises(Rejected) as refused:
        await create(adapter, validate_only=True, display_name="Example shop archive")
    assert refused.value.fault.message == "A dataset of this name exists"


async def test_a_dry_run_may_be_sent_again_and_the_real_one_may_not(adobe: Adobe, adapter: AdobeAdapter) -> None:
    adobe.sandbox.fault(path=DATASETS, method="POST", status=503)
    await create(adapter, validate_only=True)
    assert adobe.requests() == [f"POST {DATASETS}"] * 2
    adobe.sandbox.journal.clear()
    adobe.sandbox.fault(path=DATASETS, method="POST", drop="after")
    with pytest.raises(OutcomeUnknown):
        await create(adapter)
    assert adobe.requests() == [f"POST {DATASETS}"]


@pytest.mark.parametrize(("status", "kind", "reason"), [(409, Conflict, "DESTINATION_ALREADY_EXISTS")])
async def test_a_name_that_is_taken_says_so_where_catalog_does(
    adobe: Adobe, adapter: AdobeAdapter, status: int, kind: type[Exception], reason: str
) -> None:
    adobe.sandbox.set_switches(duplicate_name_status=status)
    with pytest.raises(kind) as refused:
        await create(adapter, display_name="Example shop archive")
    assert getattr(refused.value, "reason", "") == reason


# Changing.


@pytest.mark.parametrize("etag_header", ["ETag", "E-Tag"])
@pytest.mark.parametrize("etag", ["version", "updated"])
async def test_a_change_names_the_version_that_was_read(
    adobe: Adobe, adapter: AdobeAdapter, etag_header: str, etag: str
) -> None:
    adobe.sandbox.set_switches(etag_header=etag_header, etag=etag)
    before = str(adobe.sandbox.datasets[NEWSLETTER][etag])
    await adapter.update_destination(NEWSLETTER, RENAME)
    (patch,) = [entry for entry in adobe.calls if entry["method"] == "PATCH"]
    assert patch["headers"]["If-Match"] == f'"{before}"'


async def test_without_a_version_a_change_is_made_all_the_same(adobe: Adobe, adapter: AdobeAdapter) -> None:
    row = adobe.sandbox.datasets[NEWSLETTER]
    adobe.sandbox.fault(path=f"{DATASETS}/*", method="GET", body={NEWSLETTER: row})
    assert (await adapter.update_destination(NEWSLETTER, RENAME)).display_name == "Renamed"
    (patch,) = [entry for entry in adobe.calls if entry["method"] == "PATCH"]
    assert "If-Match" not in patch["headers"]


async def test_a_change_writes_what_differs_and_keeps_the_rest(adobe: Adobe, adapter: AdobeAdapter) -> None:
    before = dict(adobe.sandbox.datasets[NEWSLETTER])
    edit = setting("description", "adobe.tags", description="New", adobe={"tags": {"team": ["crm", "web"]}})
    updated = await adapter.update_destination(NEWSLETTER, edit)
    after = dict(adobe.sandbox.datasets[NEWSLETTER])
    assert {key for key in after if after[key] != before[key]} == {"description", "tags", "version", "updated"}
    assert after["tags"] == {"adobe/pqs/table": ["example_table_5"], "team": ["crm", "web"]}
    assert updated == await adapter.get_destination(NEWSLETTER)


async def test_tags_can_be_taken_away(adobe: Adobe, adapter: AdobeAdapter) -> None:
    def untagged(current: Destination) -> Change[Destination]:
        merged = setting()(current).merged
        merged.adobe.ClearField("tags")
        return Change(current=current, merged=merged, paths=frozenset({"adobe.tags"}), settled=False)

    updated = await adapter.update_destination(NEWSLETTER, untagged)
    assert not updated.adobe.tags
    assert adobe.sandbox.datasets[NEWSLETTER]["tags"] == {}


async def test_a_change_in_between_is_a_mismatch(adobe: Adobe, adapter: AdobeAdapter) -> None:
    def rename_and_lose(current: Destination) -> Change[Destination]:
        adobe.sandbox.datasets[NEWSLETTER] |= {"name": "Somebody else's", "version": "1.0.7"}
        return RENAME(current)

    with pytest.raises(VendorEtagMismatch) as mismatch:
        await adapter.update_destination(NEWSLETTER, rename_and_lose)
    assert mismatch.value.reason == "ETAG_MISMATCH"
    assert adobe.sandbox.datasets[NEWSLETTER]["name"] == "Somebody else's"


@pytest.mark.parametrize("drop", ["before", "after", "truncate"])
async def test_a_change_whose_answer_was_lost_is_no_mismatch_with_itself(
    adobe: Adobe, adapter: AdobeAdapter, drop: str
) -> None:
    adobe.sandbox.fault(path=f"{DATASETS}/*", method="PATCH", drop=drop)
    updated = await adapter.update_destination(NEWSLETTER, RENAME)
    assert updated.display_name == "Renamed"
    assert [entry["status"] for entry in adobe.calls if entry["method"] == "PATCH"][-1] == (
        200 if drop == "before" else 412
    )


async def test_a_change_is_answered_though_it_can_not_be_read(adobe: Adobe, adapter: AdobeAdapter) -> None:
    def fail_from_now_on(current: Destination) -> Change[Destination]:
        adobe.sandbox.fault(path=f"{DATASETS}/*", method="GET", status=503, count=0)
        return RENAME(current)

    assert (await adapter.update_destination(NEWSLETTER, fail_from_now_on)).display_name == "Renamed"
    assert adobe.sandbox.datasets[NEWSLETTER]["name"] == "Renamed"


async def test_a_change_that_found_nothing_is_not_found(adobe: Adobe, adapter: AdobeAdapter) -> None:
    adobe.sandbox.fault(path=f"{DATASETS}/*", method="PATCH", body=[])
    with pytest.raises(NotFound) as missing:
        await adapter.update_destination(NEWSLETTER, RENAME)
    assert missing.value.reason == "DESTINATION_NOT_FOUND"


async def test_a_change_that_is_refused_here_sends_nothing(adobe: Adobe, adapter: AdobeAdapter) -> None:
    def nameless(current: Destination) -> Change[Destination]:
        return Change(current=current, merged=Destination(), paths=frozenset({"display_name"}), settled=True)

    def outdated(_: Destination) -> Change[Destination]:
        raise Aborted("changed")

    with pytest.raises(InvalidRequest):
        await adapter.update_destination(NEWSLETTER, nameless)
    with pytest.raises(Aborted):
        await adapter.update_destination(NEWSLETTER, outdated)
    assert adobe.requests() == [f"GET {DATASETS}/{NEWSLETTER}"] * 2


# Deleting.


@pytest.mark.parametrize("fault", [{}, {"drop": "before"}, {"drop": "after"}, {"status": 404}], ids=str)
@pytest.mark.parametrize("unknown", [200, 404])
async def test_a_deleted_destination_is_gone_however_often_it_took(
    adobe: Adobe, adapter: AdobeAdapter, fault: dict[str, Any], unknown: int
) -> None:
    adobe.sandbox.set_switches(delete_unknown_status=unknown)
    before = await adapter.get_destination(NEWSLETTER)
    if fault:
        adobe.sandbox.fault(path=f"{DATASETS}/*", method="DELETE", **fault)
    deleted = await adapter.delete_destination(before, force=False, validate_only=False)
    assert (deleted.name, deleted.display_name, deleted.state) == (
        before.name,
        before.display_name,
        Destination.DELETED,
    )
    if fault != {"status": 404}:
        with pytest.raises(NotFound):
            await adapter.get_destination(NEWSLETTER)


async def test_a_destination_in_use_stays(adobe: Adobe, adapter: AdobeAdapter) -> None:
    adobe.sandbox.fault(path=f"{DATASETS}/*", method="DELETE", status=409)
    with pytest.raises(Conflict) as refused:
        await adapter.delete_destination(await adapter.get_destination(BUSY), force=True, validate_only=False)
    assert refused.value.reason == "DESTINATION_IN_USE"


async def test_a_deletion_that_is_only_checked_deletes_nothing(adobe: Adobe, adapter: AdobeAdapter) -> None:
    before = await adapter.get_destination(NEWSLETTER)
    shown = await adapter.delete_destination(before, force=False, validate_only=True)
    assert shown.state == Destination.DELETED
    assert await adapter.get_destination(NEWSLETTER) == before
