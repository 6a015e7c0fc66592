"""Calls that may be made again, repeated after an answer that was lost: what their first run did is no refusal."""

from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from adapters import calls, errors
from adapters.base import Edit
from audiencegateway.v1 import destinations_pb2 as pb
from audiencegateway.v1.destinations_pb2 import Destination, Subscription
from gateway.ledger.ledger import Ledger
from gateway.ledger.store import Store
from tests.gateway.scripted import Stubs, refused, scripted, serving
from tests.gateway.test_ledger import JOB, T0, Clock, acting, asked, write

NAME = "connections/scripted/destinations/1"
BELOW = f"{NAME}/subscriptions/2"
ID = "0b8a3f57-2f5e-4e8d-9f0a-6f2d3c1b4a59"


class Vendor:
    """Has one destination with one subscription, and loses the answers to writes while it is told to."""

    def __init__(self) -> None:
        self.destination: Destination | None = Destination(name=NAME, display_name="old")
        self.subscription: Subscription | None = Subscription(name=BELOW)
        self.losing = True
        self.writes = 0

    async def _write(self) -> None:
        await write(calls.current())
        self.writes += 1

    def _answered(self) -> None:
        if self.losing:
            raise errors.TimedOut("lost")

    def adapter(self) -> Any:
        vendor = self

        async def get_destination(_: object, destination_id: str, *, full: bool = False) -> Destination:
            if vendor.destination is None:
                raise errors.NotFound("gone", resource=NAME)
            found = Destination()
            found.CopyFrom(vendor.destination)
            return found

        async def delete_destination(_: object, found: Destination, *, force: bool, validate_only: bool) -> Destination:
            await vendor._write()
            vendor.destination = None
            vendor._answered()
            return found

        async def undelete_destination(_: object, destination_id: str, *, validate_only: bool) -> Destination:
            if vendor.destination is not None:
                raise errors.AlreadyExists("not deleted", reason="DESTINATION_NOT_DELETED", resource=NAME)
            await vendor._write()
            vendor.destination = Destination(name=NAME)
            vendor._answered()
            return vendor.destination

        async def update_destination(_: object, destination_id: str, edit: Edit[Destination]) -> Destination:
            change = edit(await get_destination(None, destination_id))
            if not change.settled:
                await vendor._write()
                vendor.destination = change.merged
                vendor._answered()
            return change.merged

        return scripted(
            get_destination=get_destination,
            delete_destination=delete_destination,
            undelete_destination=undelete_destination,
            update_destination=update_destination,
            **self._below(),
        )

    def _below(self) -> dict[str, Any]:
        vendor = self

        async def get_subscription(_: object, destination_id: str, subscription_id: str) -> Subscription:
            if vendor.subscription is None:
                raise errors.NotFound("gone", reason="SUBSCRIPTION_NOT_FOUND", resource=BELOW)
            return vendor.subscription

        async def delete_subscription(_: object, destination_id: str, subscription_id: str) -> None:
            await vendor._write()
            vendor.subscription = None
            vendor._answered()

        return {"get_subscription": get_subscription, "delete_subscription": delete_subscription}


class Served(NamedTuple):
    """A gateway over the vendor."""

    vendor: Vendor
    stubs: Stubs


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    vendor = Vendor()
    async with serving(vendor.adapter()) as stubs:
        yield Served(vendor, stubs)


async def _etag(served: Served) -> str:
    found: Destination = await served.stubs.destinations.GetDestination(pb.GetDestinationRequest(name=NAME))
    return found.etag


async def delete(served: Served, etag: str, request_id: str = ID) -> Any:
    request = pb.DeleteDestinationRequest(name=NAME, etag=etag, request_id=request_id)
    return await served.stubs.destinations.DeleteDestination(request)


async def delete_below(served: Served, _: str, request_id: str = ID) -> Any:
    request = pb.DeleteSubscriptionRequest(name=BELOW, request_id=request_id)
    return await served.stubs.destinations.DeleteSubscription(request)


async def undelete(served: Served, _: str, request_id: str = ID) -> Any:
    request = pb.UndeleteDestinationRequest(name=NAME, request_id=request_id)
    return await served.stubs.destinations.UndeleteDestination(request)


async def update(served: Served, etag: str, request_id: str = ID) -> Any:
    request = pb.UpdateDestinationRequest(
        destination=Destination(name=NAME, display_name="new", etag=etag),
        update_mask=FieldMask(paths=["display_name"]),
        request_id=request_id,
    )
    return await served.stubs.destinations.UpdateDestination(request)


SECOND_TIME = {
    delete: "DESTINATION_NOT_FOUND",
    delete_below: "SUBSCRIPTION_NOT_FOUND",
    undelete: "DESTINATION_NOT_DELETED",
    update: "ETAG_MISMATCH",
}
"""What each is refused with where it is done already."""


@pytest.mark.parametrize("call", SECOND_TIME)
async def test_what_a_lost_call_did_is_done_when_it_is_repeated(served: Served, call: Callable[..., Any]) -> None:
    etag = await _etag(served)
    if call is undelete:
        served.vendor.destination = None
    lost = await refused(call(served, etag))
    served.vendor.losing = False
    again = await call(served, etag)
    other = await refused(call(served, etag, "5f0c7f0e-3a52-4d6a-8a2f-2f8f5f9f1a01"))

    assert lost.reason == "VENDOR_TIMEOUT"
    assert again.name == (BELOW if call is delete_below else NAME)
    assert again.display_name == ("new" if call is update else "")
    assert other.reason == SECOND_TIME[call]
    assert served.vendor.writes == 1


async def test_a_lost_update_is_not_made_over_a_change_of_somebody_else(served: Served) -> None:
    etag = await _etag(served)
    await refused(update(served, etag))
    served.vendor.losing = False
    served.vendor.destination = Destination(name=NAME, display_name="theirs")
    answer = await refused(update(served, etag))

    assert answer.reason == "ETAG_MISMATCH"
    assert served.vendor.writes == 1


async def test_a_call_that_may_be_made_again_knows_that_it_was_sent_by_one_that_died() -> None:
    clock = Clock()
    store = Store(now=clock)
    dead, ledger = Ledger(store), Ledger(store)
    row = dead._row(asked(wanted=None))
    await store.reserve(row)
    await dead._announce(row, row.phase)
    clock.now_s += 31
    told: list[bool] = []

    async def act(_: str) -> Any:
        told.append(calls.current().repeated)
        if len(told) == 1:
            raise errors.Unavailable("down")
        return JOB

    with pytest.raises(errors.Unavailable):
        await ledger.once(asked(wanted=None), act)
    await ledger.once(asked(wanted=None), act)
    await ledger.close()

    assert told == [True, True]


async def test_a_call_that_may_be_made_again_is_remembered_as_long_as_its_id() -> None:
    clock = Clock()
    ledger = Ledger(Store(now=clock))
    act, _ = acting(errors.TimedOut("lost"))
    with pytest.raises(errors.TimedOut):
        await ledger.once(asked(wanted=None), act)
    week_s = 7 * 24 * 3600.0
    gone = []
    for later_s in (week_s - 1, week_s + 1):
        clock.now_s = T0 + later_s
        gone.append(await ledger.store.forget(ids_before=clock.now_s - week_s, jobs_before=0.0, limit=9))
    await ledger.close()

    assert gone == [0, 1]
