"""What health says: of a connection whether its vendor answers, of the gateway that it serves all the same."""

import hashlib
from contextlib import suppress
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from adapters import calls
from adapters.errors import CredentialsRejected
from audiencegateway.v1 import connections_pb2
from audiencegateway.v1.connections_pb2 import GetConnectionRequest, ListConnectionsRequest
from audiencegateway.v1.destinations_pb2 import Destination, GetDestinationRequest
from audiencegateway.v1.export_jobs_pb2 import ExportJob, WaitExportJobRequest
from gateway.methods import SERVICES
from gateway.settings import ConfiguredCaller
from tests.gateway.scripted import refused, scripted, serving

Health: Any = health_pb2_grpc.HealthStub
Status = health_pb2.HealthCheckResponse
KEY = "k" * 32
State = connections_pb2.Connection.State
FAILING, WELL, REFUSED = (GetDestinationRequest(name=f"connections/acme/destinations/{id_}") for id_ in "fwr")


class Told:
    """A vendor's adapter that does as the id of the destination says."""

    async def get_destination(self: Any, destination_id: str, *, full: bool) -> Destination:
        if destination_id == "f":
            for _ in range(self.transport.policy.breaker_failures):
                self.transport.breaker.note(succeeded=False, probe=False)
        elif destination_id == "r":
            raise self.transport.named(CredentialsRejected("401"))
        else:
            self.transport.breaker.reset()
        return Destination(name=f"connections/acme/destinations/{destination_id}")


ACME = scripted("acme", get_destination=Told.get_destination)
OTHER = scripted("other")


async def test_who_watches_a_connection_sees_it_go_and_come_back_and_the_gateway_serves() -> None:
    async with serving(ACME, OTHER) as stubs:
        watch = Health(stubs.channel).Watch(health_pb2.HealthCheckRequest(service="connections/acme"), timeout=30)
        check = Health(stubs.channel).Check
        seen = [(await watch.read()).status]
        for asked in (FAILING, WELL, REFUSED):
            with suppress(grpc.aio.AioRpcError):
                await stubs.destinations.GetDestination(asked)
            seen.append((await watch.read()).status)
            for service in ("", *SERVICES, "connections/other"):
                assert (await check(health_pb2.HealthCheckRequest(service=service))).status == Status.SERVING, service
        watch.cancel()
    assert seen == [Status.SERVING, Status.NOT_SERVING, Status.SERVING, Status.NOT_SERVING]


async def test_a_connection_that_is_not_configured_is_unknown_to_health() -> None:
    async with serving(ACME) as stubs:
        answer = await refused(Health(stubs.channel).Check(health_pb2.HealthCheckRequest(service="connections/none")))
    assert answer.code.name == "NOT_FOUND"


@pytest.mark.parametrize(
    ("service", "key", "told"),
    [
        ("", None, True),
        (SERVICES[0], None, True),
        ("connections/acme", None, False),
        ("connections/acme", "wrong", False),
        ("connections/acme", KEY, True),
        ("connections/other", KEY, False),
        ("connections/none", KEY, False),
    ],
)
async def test_only_who_may_use_a_connection_is_told_of_it(service: str, key: str | None, told: bool) -> None:
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    callers = [ConfiguredCaller(id="reader", key_sha256=digest, connections=("acme",))]
    metadata = None if key is None else (("authorization", f"Bearer {key}"),)
    asked = health_pb2.HealthCheckRequest(service=service)
    async with serving(ACME, OTHER, callers=callers) as stubs:
        watch = Health(stubs.channel).Watch(asked, timeout=30, metadata=metadata)
        first = (await watch.read()).status
        watch.cancel()
        check = Health(stubs.channel).Check(asked, metadata=metadata)
        answer = (await check).status if told else (await refused(check)).code

    assert first == (Status.SERVING if told else Status.SERVICE_UNKNOWN)
    assert answer == (Status.SERVING if told else grpc.StatusCode.NOT_FOUND)


async def test_a_suspended_connection_says_so_and_since_when_and_is_found_by_it() -> None:
    async with serving(ACME, OTHER) as stubs:
        await stubs.destinations.GetDestination(FAILING)
        shown = await stubs.connections.GetConnection(GetConnectionRequest(name="connections/acme"))
        found = await stubs.connections.ListConnections(ListConnectionsRequest(filter="state = SUSPENDED"))
        await stubs.destinations.GetDestination(WELL)
        after = await stubs.connections.GetConnection(GetConnectionRequest(name="connections/acme"))
    assert shown.state == State.SUSPENDED
    # It began at second 1.
    assert shown.state_time.seconds > 1
    assert [one.name for one in found.connections] == ["connections/acme"]
    assert after.state == State.ACTIVE
    assert after.state_time.ToNanoseconds() > shown.state_time.ToNanoseconds()


async def test_a_job_that_is_followed_shows_that_the_credentials_are_taken_again() -> None:
    async def get_export_job(self: Any, export_job_id: str, *, full: bool) -> ExportJob:
        calls.current().vendor_calls += 1
        return ExportJob(name=f"connections/acme/exportJobs/{export_job_id}", state=ExportJob.SUCCEEDED)

    acme = scripted("acme", get_destination=Told.get_destination, get_export_job=get_export_job)
    async with serving(acme) as stubs:
        await refused(stubs.destinations.GetDestination(REFUSED))
        before = await stubs.connections.GetConnection(GetConnectionRequest(name="connections/acme"))
        await stubs.export_jobs.WaitExportJob(WaitExportJobRequest(name="connections/acme/exportJobs/1"))
        after = await stubs.connections.GetConnection(GetConnectionRequest(name="connections/acme"))
    assert (before.state, after.state) == (State.CREDENTIALS_REJECTED, State.ACTIVE)
