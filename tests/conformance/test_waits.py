"""How long a vendor's wish to be left alone is respected, and how often a token is fetched."""

import asyncio
import time
from email.utils import formatdate
from typing import Any

import grpc
import pytest

from audiencegateway.v1 import destinations_pb2 as pb

from .calls import READS, call
from .client import refused
from .conftest import Vendor

C = grpc.StatusCode
FOR_EVER = 0
ASKED_S = 90


def _forms() -> dict[str, str]:
    date = formatdate(time.time() + ASKED_S, usegmt=True)
    return {"seconds": str(ASKED_S), "a date": date, "a date without a zone": date.removesuffix(" GMT")}


async def _limited(vendor: Vendor, **fault: Any) -> Any:
    vendor.can("get_destination")
    vendor.simulator.fault(method="GET", path="*", status=429, **fault)
    return call(vendor, "GetDestination", READS["GetDestination"](vendor), timeout=20)


@pytest.mark.parametrize("form", _forms())
async def test_a_wait_that_there_is_no_time_for_is_told_in_whatever_form_it_was_asked(
    vendor: Vendor, form: str
) -> None:
    answer = await refused(await _limited(vendor, headers={"Retry-After": _forms()[form]}, count=FOR_EVER))

    assert (answer.code, answer.reason) == (C.RESOURCE_EXHAUSTED, "VENDOR_RATE_LIMITED")
    assert answer.retry_after_s is not None
    assert ASKED_S / 2 < answer.retry_after_s < ASKED_S * 1.5
    assert len(vendor.requests("GET")) == 1


@pytest.mark.parametrize("form", ["7", "7.0"])
async def test_a_wait_that_there_is_time_for_is_waited_for(vendor: Vendor, form: str) -> None:
    got = await (await _limited(vendor, headers={"Retry-After": form}))

    assert got.name == vendor.destination()
    assert 7 <= sum(vendor.waits_s) < 20
    assert len(vendor.requests("GET")) == 2


@pytest.mark.parametrize("text", ["", "soon", "-5", "9" * 400, "nan", "Fri, 31 Feb 2026 00:00:00 GMT"])
async def test_a_wish_that_nobody_understands_is_as_good_as_none(vendor: Vendor, text: str) -> None:
    # The body is no error of the vendor's either: some say there how long to wait.
    got = await (await _limited(vendor, headers={"Retry-After": text}, body="slow down"))

    assert got.name == vendor.destination()
    assert 0 <= sum(vendor.waits_s) < 7


def _logins(vendor: Vendor) -> int:
    if "logins" not in vendor.simulator.suite:
        pytest.skip(f"{vendor.id} has no logins: its token is fixed")
    paths = vendor.simulator.suite["logins"]
    return sum(entry["path"] in paths for entry in vendor.simulator.journal)


async def _names(vendor: Vendor, count: int) -> list[str]:
    vendor.can("list_destinations", "get_destination")
    request = pb.ListDestinationsRequest(parent=vendor.connection)
    page = await vendor.stubs.destinations.ListDestinations(request)
    return [destination.name for destination in page.destinations][:count]


async def test_a_token_is_fetched_once_however_many_calls_begin_with_none(vendor: Vendor) -> None:
    _logins(vendor)
    vendor.can("list_destinations")
    sizes = range(1, 21)
    lists = [pb.ListDestinationsRequest(parent=vendor.connection, page_size=size) for size in sizes]
    await asyncio.gather(*map(vendor.stubs.destinations.ListDestinations, lists))

    assert _logins(vendor) == 1


async def test_a_token_is_renewed_once_however_many_calls_it_was_refused_to(vendor: Vendor) -> None:
    _logins(vendor)
    names = await _names(vendor, 4)
    before = _logins(vendor)
    # All of them are under way with the same token before the first is refused.
    vendor.simulator.fault(method="GET", path="*", status=401, count=len(names), delay_s=0.3)
    got = await asyncio.gather(
        *(vendor.stubs.destinations.GetDestination(pb.GetDestinationRequest(name=name)) for name in names)
    )

    assert [destination.name for destination in got] == names
    assert _logins(vendor) - before == 1


async def test_a_token_that_is_refused_again_is_told_and_not_fetched_for_ever(vendor: Vendor) -> None:
    _logins(vendor)
    vendor.can("get_destination")
    vendor.simulator.fault(method="GET", path="*", status=401, count=FOR_EVER)
    answer = await refused(call(vendor, "GetDestination", READS["GetDestination"](vendor), timeout=10))

    assert (answer.code, answer.reason) == (C.FAILED_PRECONDITION, "VENDOR_CREDENTIALS_REJECTED")
    assert _logins(vendor) == 2
    assert len(vendor.requests("GET")) == 2
