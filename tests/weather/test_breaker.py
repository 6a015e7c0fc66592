"""A vendor that is down for long: its connection is suspended, nothing is sent, and one call finds it well again."""

import grpc

from audiencegateway.v1.connections_pb2 import Connection
from tests.weather.asking import RPCS, Told, ask
from tests.weather.cells import Kind, cells
from tests.weather.storms import gateway
from tests.weather.weathers import NOT_OFFERED, OK, UNAVAILABLE, Outcome
from tests.weather.worlds import World, good, world

SUSPENDED = Outcome(grpc.StatusCode.UNAVAILABLE, "VENDOR_CIRCUIT_OPEN")


async def _state(channel: grpc.aio.Channel, one: World) -> str:
    told = await ask(channel, "GetConnection", one.suite, one.id)
    (connection,) = told.answers
    assert isinstance(connection, Connection)
    return Connection.State.Name(connection.state)


async def _until_suspended(channel: grpc.aio.Channel, one: World) -> Told:
    one.simulator.fault(path="*", status=503, count=0)
    for _ in range(5):
        told = await ask(channel, "ListDestinations", one.suite, one.id)
        if told.outcome != UNAVAILABLE:
            return told
    raise AssertionError("it is never suspended")


async def test_a_vendor_that_is_down_is_left_alone_and_found_well_again(vendor: str) -> None:
    one = world(vendor, "down")
    async with good(one) as (base_url, _), gateway([one.connection(base_url)]) as channel:
        told = await _until_suspended(channel, one)
        sent = len(one.requests())
        refused = {rpc: await ask(channel, rpc, one.suite, one.id) for rpc in RPCS}
        told_of = await _state(channel, one)

        assert told.outcome == SUSPENDED
        for cell in cells([vendor], ["503"]):
            outcome = refused[cell.rpc].outcome
            if cell.kind is Kind.STORM:
                assert outcome == SUSPENDED, cell.rpc
                assert (refused[cell.rpc].retry_after_s or 0.0) > 0, cell.rpc
            elif cell.kind is Kind.NOT_OFFERED:
                assert outcome == NOT_OFFERED, cell.rpc
            else:
                assert outcome != SUSPENDED, cell.rpc
        assert len(one.requests()) == sent, "nothing is sent meanwhile"
        assert told_of == "SUSPENDED"

        one.simulator.faults.clear()
        one.time.passed_s += told.retry_after_s or 0.0
        assert (await ask(channel, "ListDestinations", one.suite, one.id)).outcome == OK
        assert await _state(channel, one) == "ACTIVE"
