"""What an adapter does not implement is refused as such, whichever way it is asked, and its vendor hears nothing."""

import grpc

from .calls import RPCS, VALID, call, valid, verb_of
from .client import refused
from .conftest import Vendor

ANSWERED_HERE = {"GetConnection", "ListConnections"}
"""By the gateway itself, whatever the adapter has."""


def test_there_is_a_request_for_every_rpc() -> None:
    assert VALID.keys() == RPCS.keys()


async def test_what_a_vendor_does_not_have_is_refused_and_nothing_is_sent(vendor: Vendor) -> None:
    lacking = [rpc for rpc in sorted(RPCS.keys() - ANSWERED_HERE) if verb_of(rpc) not in vendor.adapter.verbs()]
    answers = {rpc: await refused(call(vendor, rpc, valid(vendor, rpc), timeout=10)) for rpc in lacking}

    for rpc, answer in answers.items():
        assert (answer.code, answer.reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_SUPPORTED_BY_VENDOR"), rpc
        assert (answer.metadata["vendor"], answer.metadata["connection"]) == (vendor.id, vendor.id), rpc
        assert answer.metadata["operation"], rpc
    assert not vendor.simulator.journal
