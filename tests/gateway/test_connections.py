"""Connections: opened and closed together, found by id, and what their state learns from calls."""

import itertools
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from adapters.errors import (
    ApiError,
    CircuitOpen,
    Conflict,
    CredentialsRejected,
    Fault,
    Missing,
    NotFound,
    Overloaded,
    PermissionMissing,
    ProtocolViolation,
    RateLimited,
    Rejected,
    TooLarge,
    Unavailable,
    VendorError,
    VendorEtagMismatch,
)
from adapters.policy import Policy
from adapters.rates import READS, Rate
from adapters.secrets import Secret
from adapters.transport import Transport
from audiencegateway.v1 import connections_pb2 as pb
from gateway.connections import Connection, Connections
from gateway.settings import ConfiguredConnection, RedisSettings, TimeoutSettings, connection_in_plain_text
from tests.gateway.acme import ADAPTERS, AcmeAdapter, AcmeSettings

REDIS = os.environ.get("TEST_REDIS_URL", "")
State = pb.Connection.State


def configured(connection_id: str) -> ConfiguredConnection:
    keys: dict[str, Any] = {"id": connection_id, "vendor": "acme", "base_url": "https://acme.example", "token": "fake"}
    policy = {"timeouts": {"attempt_s": 2}, "policy": {"attempts": 5}, "rates": {"reads": {"calls": 7}}}
    return connection_in_plain_text({**keys, **policy, "display_name": "Acme"}, ADAPTERS)


async def test_connections_come_in_the_order_of_their_ids() -> None:
    connections = await Connections.open(map(configured, ["b", "c", "a"]), ADAPTERS)
    try:
        assert [connection.id for connection in connections] == ["a", "b", "c"]
        assert len(connections) == 3
    finally:
        await connections.close()


async def test_each_connection_has_an_adapter_over_a_transport_of_its_own() -> None:
    connections = await Connections.open(map(configured, ["a", "b"]), ADAPTERS, now=lambda: 5.0)
    try:
        one, other = connections
        assert (one.id, one.vendor, one.display_name, one.state, one.state_time_s) == (
            "a",
            "acme",
            "Acme",
            State.ACTIVE,
            5.0,
        )
        assert isinstance(one.adapter, AcmeAdapter)
        assert one.adapter.connection == "a"
        assert isinstance(one.adapter.settings, AcmeSettings)
        assert one.adapter.transport is not other.adapter.transport
        assert one.adapter.transport.policy == Policy(attempts=5)
        assert one.adapter.transport.rates.limits == {"reads": Rate(7, 60), "starts": Rate(5, 61)}
        assert one.adapter.transport.timeouts.attempt_s == 2.0
        assert one.adapter.transport.timeouts.operation_s == TimeoutSettings().operation_s == 30.0
    finally:
        await connections.close()


@pytest.mark.skipif(not REDIS, reason="TEST_REDIS_URL is not set")
async def test_gateways_with_one_redis_count_calls_together() -> None:
    redis = RedisSettings(url=Secret(REDIS), timeout_s=30.0, prefix=f"test-{secrets.token_hex(8)}")
    gateways = [await Connections.open([configured("a")], ADAPTERS, redis=redis) for _ in range(2)]
    turns = 0
    for i in range(10):
        with suppress(RateLimited):
            await gateways[i % 2].get("a").adapter.transport.rates.elsewhere_s(READS, 0.0)
            turns += 1
    for gateway in gateways:
        await gateway.close()
    assert turns == 7


async def test_close_closes_every_session() -> None:
    connections = await Connections.open(map(configured, ["a", "b"]), ADAPTERS)
    transports = [connection.adapter.transport for connection in connections]
    assert not any(transport.pooled.closed or transport.fresh.closed for transport in transports)
    await connections.close()
    assert all(transport.pooled.closed and transport.fresh.closed for transport in transports)


async def test_an_adapter_that_can_not_be_made_leaves_no_session_open() -> None:
    transports: list[Transport] = []

    class Failing(AcmeAdapter):
        """Fails for the second connection."""

        def __init__(self, connection: str, settings: AcmeSettings, transport: Transport) -> None:
            super().__init__(connection, settings, transport)
            transports.append(transport)
            if connection == "b":
                raise ValueError("no such host")

    with pytest.raises(ValueError, match="no such host"):
        await Connections.open(map(configured, ["a", "b"]), {"acme": Failing})
    assert len(transports) == 2
    assert all(transport.pooled.closed and transport.fresh.closed for transport in transports)


@pytest.mark.parametrize("connection_id", ["other", "", "-", "*"])
def test_a_connection_that_is_not_configured_is_missing(connection_id: str) -> None:
    with pytest.raises(Missing) as raised:
        Connections([]).get(connection_id)
    assert raised.value.reason == "CONNECTION_NOT_FOUND"
    assert raised.value.resource == f"connections/{connection_id}"


@pytest.fixture
async def connection() -> AsyncIterator[Connection]:
    clock = itertools.count(100.0)
    connections = await Connections.open([configured("a")], ADAPTERS, now=lambda: 1.0)
    connection = connections.get("a")
    connection.now = lambda: next(clock)
    yield connection
    await connections.close()


def fail(connection: Connection) -> None:
    """Let the vendor fail until it is left alone."""
    breaker = connection.adapter.transport.breaker
    for _ in range(connection.adapter.transport.policy.breaker_failures):
        breaker.note(succeeded=False, probe=False)
    assert breaker.open


async def test_state_follows_the_calls(connection: Connection) -> None:
    steps: list[tuple[VendorError | None, int, float]] = [
        (None, State.ACTIVE, 1.0),
        (CredentialsRejected("401"), State.CREDENTIALS_REJECTED, 100.0),
        # The time is that of the change, not of the last call.
        (CredentialsRejected("401"), State.CREDENTIALS_REJECTED, 100.0),
        (Unavailable("down"), State.CREDENTIALS_REJECTED, 100.0),
        (None, State.ACTIVE, 101.0),
        (NotFound("404"), State.ACTIVE, 101.0),
        (RateLimited("429"), State.ACTIVE, 101.0),
    ]
    for error, state, since_s in steps:
        connection.note(error)
        assert (connection.state, connection.state_time_s) == (state, since_s), error


async def test_a_connection_is_suspended_while_its_breaker_is_open_whatever_calls_come_to(
    connection: Connection,
) -> None:
    seen: list[tuple[int, float]] = []
    connection.changed = lambda changed: seen.append((changed.state, changed.state_time_s))
    fail(connection)
    assert (connection.state, connection.state_time_s) == (State.SUSPENDED, 100.0)
    for error in (CircuitOpen("stopped calling"), None, CredentialsRejected("401")):
        connection.note(error)
        assert (connection.state, connection.state_time_s) == (State.SUSPENDED, 100.0), error
    connection.adapter.transport.breaker.reset()
    assert (connection.state, connection.state_time_s) == (State.CREDENTIALS_REJECTED, 101.0)
    connection.note(None)
    assert seen == [(State.SUSPENDED, 100.0), (State.CREDENTIALS_REJECTED, 101.0), (State.ACTIVE, 102.0)]


@pytest.mark.parametrize(
    "error",
    [
        NotFound("404", fault=Fault(http_status=404)),
        Conflict("409", fault=Fault(http_status=409)),
        Rejected("400", fault=Fault(http_status=400)),
        VendorEtagMismatch("412", fault=Fault(http_status=412)),
        TooLarge("413", fault=Fault(http_status=413)),
    ],
)
async def test_a_refusal_by_a_vendor_that_took_the_credentials_says_that_it_does(
    connection: Connection, error: VendorError
) -> None:
    connection.note(CredentialsRejected("401"))
    connection.note(error)
    assert connection.state == State.ACTIVE


@pytest.mark.parametrize(
    "error",
    [
        NotFound("said without asking"),
        Rejected("a proxy", fault=Fault(http_status=407)),
        Rejected("501", fault=Fault(http_status=501)),
        PermissionMissing("403", fault=Fault(http_status=403)),
        RateLimited("429", fault=Fault(http_status=429)),
        Unavailable("503", fault=Fault(http_status=503)),
        ProtocolViolation("a page to sign in", fault=Fault(http_status=200)),
        Rejected("400", fault=Fault(http_status=400), reason="VENDOR_CREDENTIALS_REJECTED"),
        # Of an earlier call, out of the ledger.
        VendorError("404", fault=Fault(http_status=404), reason="DESTINATION_NOT_FOUND"),
        Overloaded("nothing was sent"),
    ],
)
async def test_what_tells_nothing_of_the_credentials_changes_nothing(connection: Connection, error: ApiError) -> None:
    connection.note(CredentialsRejected("401"))
    connection.note(error)
    assert connection.state == State.CREDENTIALS_REJECTED


async def test_a_change_of_state_is_logged_once(connection: Connection, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        connection.note(CredentialsRejected("401"))
    for _ in range(3):
        connection.note(None)
    assert [record.getMessage() for record in caplog.records] == [
        "connection a: the vendor rejects the credentials",
        "connection a: the vendor takes the credentials",
    ]
