"""A job whose start was not answered: found by its mark where Adobe shows that, else by what it exports, and when."""

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from adapters.adobe.adapter import AdobeAdapter
from adapters.errors import OutcomeUnknown
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from tests.vendors.adobe.instance import BUSY, DATASETS, JOBS, NEWSLETTER, SEGMENT, Adobe

MARKER, OTHER = "0a1b2c3d", "d3c2b1a0"
HOUR_S = 3600.0
PER_BATCH: dict[str, Any] = {"adobe": {"merge_policy_id": "its-own", "segment_per_batch": True}}
EVERYBODY: dict[str, Any] = {"adobe": {"all_profiles": True}, "audiences": []}


def wanted(dataset_id: str = NEWSLETTER, **changes: Any) -> ExportJob:
    audience = {"audience_id": SEGMENT, "membership_states": ["realized"]}
    destination = f"connections/cdp/destinations/{dataset_id}"
    asked = {"destination": destination, "audiences": [audience], "adobe": {"merge_policy_id": "its-own"}}
    return ParseDict({**asked, **changes}, ExportJob())


async def run(adapter: AdobeAdapter, marker: str, job: ExportJob | None = None) -> ExportJob:
    return await adapter.create_export_job(job or wanted(), marker=marker, validate_only=False)


async def lose(adobe: Adobe, adapter: AdobeAdapter, job: ExportJob | None = None, drop: str = "after") -> None:
    adobe.sandbox.fault(method="POST", path=JOBS, drop=drop)
    with pytest.raises(OutcomeUnknown):
        await run(adapter, MARKER, job)


async def found(adobe: Adobe, adapter: AdobeAdapter, job: ExportJob | None = None) -> list[ExportJob]:
    sent_at_s = adobe.sandbox.clock.now()
    return await adapter.find_export_jobs(job or wanted(), marker=MARKER, sent_at_s=sent_at_s)


def newest(adobe: Adobe) -> str:
    return str(max(adobe.sandbox.jobs))


async def test_it_is_found_by_its_mark_among_others_like_it(adobe: Adobe, adapter: AdobeAdapter) -> None:
    adobe.sandbox.set_switches(request_id="echoed")
    await run(adapter, OTHER)
    await lose(adobe, adapter)
    lost = newest(adobe)
    await run(adobe.connect(mark_exports=False), "")
    jobs = await found(adobe, adapter)

    assert [job.vendor_job_id for job in jobs] == [lost]
    assert jobs == [await adapter.get_export_job(lost)]


async def test_where_marks_are_shown_a_job_without_it_is_another(adobe: Adobe, adapter: AdobeAdapter) -> None:
    adobe.sandbox.set_switches(request_id="echoed")
    await run(adapter, OTHER)
    await run(adobe.connect(mark_exports=False), "")
    await lose(adobe, adapter, drop="before")

    assert await found(adobe, adapter) == []


@pytest.mark.parametrize("marked", [True, False])
async def test_it_is_found_by_what_it_exports_where_no_mark_is_shown(adobe: Adobe, *, marked: bool) -> None:
    adapter = adobe.connect(mark_exports=marked)
    await lose(adobe, adapter)
    lost = newest(adobe)
    others = [{"audiences": [{"audience_id": SEGMENT, "membership_states": ["exited"]}]}, EVERYBODY]
    for changes in (*others, {"adobe": {"merge_policy_id": "another"}}, PER_BATCH):
        await run(adapter, OTHER, wanted(**changes))
    await run(adapter, OTHER, wanted(BUSY))

    assert [job.vendor_job_id for job in await found(adobe, adapter)] == [lost]


@pytest.mark.parametrize(
    "changes",
    [
        {"audiences": [{"audience_id": SEGMENT, "namespace": "ups"}], "adobe": {"evaluate_segments": True}},
        {**EVERYBODY, "adobe": {"all_profiles": True, "profile_fields": ["identities.id", "person.name"]}},
        {"adobe": {"merge_policy_id": "example-merge-policy", "merge_policy_version": 1}},
        {"adobe": {"qualification_interval": {"start_time": "2025-12-01T00:00:00.5Z"}, "events": {"fields": ["a.b"]}}},
    ],
)
async def test_it_is_found_whatever_it_exports(adobe: Adobe, adapter: AdobeAdapter, changes: dict[str, Any]) -> None:
    job = wanted(**changes)
    await lose(adobe, adapter, job)

    assert [each.vendor_job_id for each in await found(adobe, adapter, job)] == [newest(adobe)]


async def test_two_alike_are_both_found_where_no_mark_is_shown(adobe: Adobe, adapter: AdobeAdapter) -> None:
    await lose(adobe, adapter)
    await run(adapter, OTHER)

    assert len(await found(adobe, adapter)) == 2


async def test_one_like_it_that_was_started_before_is_another(adobe: Adobe, adapter: AdobeAdapter) -> None:
    await run(adapter, OTHER)
    adobe.sandbox.clock.advance(301)
    await lose(adobe, adapter, drop="before")

    assert await found(adobe, adapter) == []


async def test_it_is_found_by_its_mark_behind_others_though_the_clocks_differ(
    adobe: Adobe, adapter: AdobeAdapter
) -> None:
    adobe.sandbox.set_switches(request_id="echoed")
    await lose(adobe, adapter)
    lost = newest(adobe)
    for _ in range(101):  # More than a page.
        await run(adapter, OTHER)
    sent_at_s = adobe.sandbox.clock.now() + 25 * HOUR_S
    jobs = await adapter.find_export_jobs(wanted(), marker=MARKER, sent_at_s=sent_at_s)

    assert [job.vendor_job_id for job in jobs] == [lost]


# Destinations.


async def test_a_destination_that_was_made_unanswered_is_found_by_name_and_time(
    adobe: Adobe, adapter: AdobeAdapter
) -> None:
    lost, other = (ParseDict({"display_name": name, "description": "x"}, Destination()) for name in ("Lost", "Other"))
    before = await adapter.create_destination(lost, validate_only=False)
    adobe.sandbox.clock.advance(301)
    await adapter.create_destination(other, validate_only=False)
    adobe.sandbox.fault(method="POST", path=DATASETS, drop="after")
    with pytest.raises(OutcomeUnknown):
        await adapter.create_destination(lost, validate_only=False)
    (found,) = await adapter.find_destinations(lost, sent_at_s=adobe.sandbox.clock.now())

    assert found.name != before.name
    assert (found.display_name, found.description) == ("Lost", "x")


async def test_a_destination_that_was_never_made_is_not_found(adobe: Adobe, adapter: AdobeAdapter) -> None:
    lost = Destination(display_name="Lost, with !")
    await adapter.create_destination(Destination(display_name="Other"), validate_only=False)

    assert await adapter.find_destinations(lost, sent_at_s=adobe.sandbox.clock.now()) == []
