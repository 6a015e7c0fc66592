"""What an adapter does not implement is refused as such, whichever way it is asked, and its vendor hears nothing."""

import grpc
import pytest

from .calls import RPCS, VALID, call, valid, verb_of
from .client import refused
from .conftest import Vendor

ANSWERED_HERE = {"GetConnection", "ListConnections"}
"""By the gateway itself, whatever the adapter has."""


def test_there_is_a_request_for_every_rpc() -> None:
    assert VALID.keys() == RPCS.keys()


@pytest.mark.parametrize("rpc", sorted(RPCS.keys() - ANSWERED_HERE))
async def test_what_a_vendor_does_not_have_is_refused_and_nothing_is_sent(vendor: Vendor, rpc: str) -> None:
    if verb_of(rpc) in vendor.adapter.verbs():
        pytest.skip(f"{vendor.id} has {verb_of(rpc)}")
    answer = await refused(call(vendor, rpc, valid(vendor, rpc), timeout=10))

    assert (answer.code, answer.reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_SUPPORTED_BY_VENDOR")
    assert (answer.metadata["vendor"], answer.metadata["connection"]) == (vendor.id, vendor.id)
    assert answer.metadata["operation"]
    assert not vendor.simulator.journal
