"""What calls come to where no connection to the vendor is made: certainly nothing, so that any may be repeated."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import NoReturn

import grpc
import pytest
from aiohttp.abc import AbstractResolver

from . import calls
from .client import refused
from .conftest import Vendor, reached

WRITES = ("CreateDestination", "CreateSubscription", "CreateExportJob")
"""What must not be sent twice: it makes a difference that it was not sent once."""
REQUESTS = {rpc: make for rpc, make in {**calls.READS, **calls.WRITES}.items() if rpc in (*WRITES, "GetDestination")}


class Nameless(AbstractResolver):
    """Knows no host."""

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> NoReturn:
        raise OSError(f"no such host: {host}")

    async def close(self) -> None:
        """Do nothing."""


class Silent(Nameless):
    """Never says whether it knows a host."""

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> NoReturn:
        await asyncio.Event().wait()
        raise AssertionError


WAYS = ("nobody listens", "the host has no address", "nobody answers in time", "no TLS")


@pytest.fixture(params=WAYS)
async def cut_off(request: pytest.FixtureRequest, vendor: Vendor) -> AsyncIterator[Vendor]:
    """The vendor, behind a gateway that can't get to it."""
    with socket.socket() as held:
        # Bound, so that nobody else gets the port, and nobody listens.
        held.bind(("127.0.0.1", 0))
        by_name = vendor.base_url.replace("127.0.0.1", "localhost")
        base_url, resolver = {
            "nobody listens": (f"http://127.0.0.1:{held.getsockname()[1]}", None),
            "the host has no address": (by_name, Nameless()),
            "nobody answers in time": (by_name, Silent()),
            "no TLS": (vendor.base_url.replace("http://", "https://"), None),
        }[request.param]
        async with reached(vendor.id, vendor.simulator, base_url, resolver=resolver) as tested:
            with tested.impatience():
                yield tested


@pytest.mark.parametrize("rpc", REQUESTS)
async def test_nothing_was_done_and_the_caller_may_try_again(cut_off: Vendor, rpc: str) -> None:
    cut_off.can(calls.verb_of(rpc))
    answer = await refused(calls.call(cut_off, rpc, REQUESTS[rpc](cut_off), timeout=10))

    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, "VENDOR_UNAVAILABLE")
    assert answer.retry_after_s is not None
    assert answer.metadata["vendor"] == cut_off.id
    assert not cut_off.simulator.journal
