"""What was made at a vendor without an answer: every adapter finds it again, and takes nothing else for it."""

import io
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from adapters.base import Adapter
from adapters.errors import NotSupported, OutcomeUnknown
from audiencegateway.v1.destinations_pb2 import Destination, Subscription
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from audiencegateway.v1.members_pb2 import AudienceMember, AudienceMemberDefaults

from .conftest import Vendor

MARK, OTHER_MARK = "0a1b2c3d", "d3c2b1a0"
FINDERS = {
    "find_export_jobs": {"create_export_job", "upload_audience_members"},
    "find_destinations": {"create_destination"},
    "find_subscriptions": {"create_subscription"},
}
"""Each with the verbs whose answers it stands in for."""
ARRIVED = pytest.mark.parametrize("arrived", [True, False], ids=["arrived", "never_arrived"])


def _finds(vendor: Vendor, finder: str) -> None:
    if getattr(vendor.adapter, finder) is getattr(Adapter, finder):
        pytest.skip(f"{vendor.id} has no {finder}")


async def _lose(vendor: Vendor, write: Callable[[], Awaitable[object]], *, arrived: bool) -> float:
    """Make the answer to a write get lost that goes where the last one went; return when it was sent."""
    path, sent_at_s = vendor.requests("POST")[-1]["path"], vendor.simulator.clock.now()
    vendor.simulator.fault(method="POST", path=path, drop="after" if arrived else "before")
    with pytest.raises(OutcomeUnknown):
        await write()
    return sent_at_s


def _named(destination: Destination) -> Destination:
    """Return another destination than *destination*, that is the same but for its name."""
    other = Destination()
    other.CopyFrom(destination)
    other.display_name += ", another"
    return other


@ARRIVED
@pytest.mark.parametrize("apart_s", [0, 3600])
async def test_a_lost_start_is_found_if_it_arrived_beside_another_that_is_known(
    vendor: Vendor, apart_s: int, *, arrived: bool
) -> None:
    vendor.can("create_export_job", "get_export_job")
    _finds(vendor, "find_export_jobs")
    wanted = vendor.message("export_job", ExportJob())
    before = await vendor.opened.create_export_job(wanted, marker=OTHER_MARK, validate_only=False)
    vendor.simulator.clock.advance(apart_s)
    sent_at_s = await _lose(
        vendor,
        lambda: vendor.opened.create_export_job(wanted, marker=MARK, validate_only=False),
        arrived=arrived,
    )
    found = await vendor.opened.find_export_jobs(wanted, marker=MARK, sent_at_s=sent_at_s)
    # What is told by its time alone can't be told from what is started in the same minute: that one is known, though.
    own = [job for job in found if job.name != before.name]

    assert len(own) == arrived
    assert apart_s == 0 or own == found
    for job in own:
        assert job.destination == wanted.destination
        assert job.display_name == wanted.display_name
        assert job == await vendor.opened.get_export_job(job.name.rpartition("/")[2])


@ARRIVED
async def test_a_lost_file_is_found_if_it_arrived_or_nothing_tells_files_apart(
    vendor: Vendor, *, arrived: bool
) -> None:
    vendor.can("upload_audience_members")
    _finds(vendor, "find_export_jobs")
    name = vendor.destination("member_destination_id")
    file = await vendor.opened.upload_audience_members(vendor["member_destination_id"], AudienceMemberDefaults())
    rows = file.rows([ParseDict(member, AudienceMember()) for member in vendor["members"]], 0)
    content = file.head + rows

    async def send(marker: str) -> ExportJob:
        return await file.send(io.BytesIO(content), len(content), marker=marker)

    before = await send(OTHER_MARK)
    sent_at_s = await _lose(vendor, lambda: send(MARK), arrived=arrived)
    try:
        found = await vendor.opened.find_export_jobs(ExportJob(destination=name), marker=MARK, sent_at_s=sent_at_s)
    except NotSupported:
        pytest.skip(f"{vendor.id} has no find_export_jobs for files, as it is set up here")

    assert len(found) == arrived
    assert before.name not in [job.name for job in found]


@ARRIVED
async def test_a_destination_made_without_an_answer_is_found_if_it_was(vendor: Vendor, *, arrived: bool) -> None:
    vendor.can("create_destination", "get_destination")
    _finds(vendor, "find_destinations")
    wanted = vendor.message("destination", Destination())
    await vendor.opened.create_destination(_named(wanted), validate_only=False)
    sent_at_s = await _lose(
        vendor, lambda: vendor.opened.create_destination(wanted, validate_only=False), arrived=arrived
    )
    found = await vendor.opened.find_destinations(wanted, sent_at_s=sent_at_s)

    assert [destination.display_name for destination in found] == [wanted.display_name] * arrived
    for destination in found:
        assert destination == await vendor.opened.get_destination(destination.name.rpartition("/")[2])


@ARRIVED
async def test_a_subscription_made_without_an_answer_is_found_if_it_was(vendor: Vendor, *, arrived: bool) -> None:
    vendor.can("create_subscription", "get_subscription")
    _finds(vendor, "find_subscriptions")
    parent, wanted = vendor["destination_id"], vendor.message("subscription", Subscription())
    other = vendor.message("subscription", Subscription())
    other.display_name += ", another"
    await vendor.opened.create_subscription(parent, other, validate_only=False)
    sent_at_s = await _lose(
        vendor, lambda: vendor.opened.create_subscription(parent, wanted, validate_only=False), arrived=arrived
    )
    found = await vendor.opened.find_subscriptions(parent, wanted, sent_at_s=sent_at_s)

    assert [subscription.display_name for subscription in found] == [wanted.display_name] * arrived
    for subscription in found:
        assert subscription == await vendor.opened.get_subscription(parent, subscription.name.rpartition("/")[2])


@pytest.mark.parametrize("finder", FINDERS)
async def test_what_an_adapter_can_not_find_it_says_so(vendor: Vendor, finder: str) -> None:
    if getattr(vendor.adapter, finder) is not getattr(Adapter, finder):
        assert FINDERS[finder] & vendor.adapter.verbs(), "nothing is made that this could find"
        return
    parameters: dict[str, dict[str, Any]] = {
        "find_export_jobs": {"wanted": ExportJob(), "marker": MARK},
        "find_destinations": {"wanted": Destination()},
        "find_subscriptions": {"wanted": Subscription(), "destination_id": "1"},
    }
    with pytest.raises(NotSupported):
        await getattr(vendor.opened, finder)(sent_at_s=0.0, **parameters[finder])

    assert not vendor.requests()
