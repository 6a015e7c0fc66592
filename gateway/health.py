"""grpc.health.v1: of the gateway and its services, which no vendor's outage flips, and of each connection by itself.

Probes have no key, so anybody is told of the gateway; of a connection, who may use it. To others it is not there.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio

from adapters import names
from adapters.errors import CallerRefused
from audiencegateway.v1 import connections_pb2
from gateway.callers import Callers
from gateway.connections import Connection, Connections
from gateway.methods import connection_id_of

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
NOBODY = names.connection("-")
"""A service that there never is."""
Request = health_pb2.HealthCheckRequest
Context = grpc.aio.ServicerContext[Any, Any]


class Health(aio.HealthServicer):
    """Tells of a connection, under its name, whether calls go to the vendor and the credentials are taken."""

    def __init__(self, connections: Connections, callers: Callers) -> None:
        super().__init__()
        self._connections = connections
        self._callers = callers
        self._reports: set[asyncio.Task[None]] = set()

    async def start(self, services: Iterable[str]) -> None:
        """Say that the gateway and *services* serve, and follow the connections from now on."""
        # The empty name is what a mesh asks for: without it all vendors would go with one.
        for service in ("", *services):
            await self.set(service, SERVING)
        for connection in self._connections:
            connection.changed = self._follow
            await self._report(connection)

    async def Check(self, request: Request, context: Context) -> health_pb2.HealthCheckResponse:  # noqa: N802 - gRPC's
        """Answer how a service is."""
        return await super().Check(self._allowed(request, context), context)

    async def Watch(self, request: Request, context: Context) -> None:  # noqa: N802 - the same
        """Tell how a service is, and whenever that changes."""
        await super().Watch(self._allowed(request, context), context)

    def _allowed(self, request: Request, context: Context) -> Request:
        """Return the request, or one for what is not there: an answer of its own would tell which connections are."""
        connection_id = connection_id_of(request.service)
        if connection_id is None:
            return request
        with suppress(CallerRefused):
            caller = self._callers.identify(context.invocation_metadata() or (), context.auth_context)
            if caller.may_use(connection_id):
                return request
        return Request(service=NOBODY)

    def _follow(self, connection: Connection) -> None:
        task = asyncio.get_running_loop().create_task(self._report(connection))
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)

    async def _report(self, connection: Connection) -> None:
        well = connection.state == connections_pb2.Connection.ACTIVE
        await self.set(names.connection(connection.id), SERVING if well else NOT_SERVING)
