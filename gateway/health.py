"""grpc.health.v1: of the gateway and its services, which no vendor's outage flips, and of each connection by itself."""

import asyncio
from collections.abc import Iterable

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio

from adapters import names
from audiencegateway.v1 import connections_pb2
from gateway.connections import Connection, Connections

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Health(aio.HealthServicer):
    """Tells of a connection, under its name, whether calls go to the vendor and the credentials are taken."""

    def __init__(self, connections: Connections) -> None:
        super().__init__()
        self._connections = connections
        self._reports: set[asyncio.Task[None]] = set()

    async def start(self, services: Iterable[str]) -> None:
        """Say that the gateway and *services* serve, and follow the connections from now on."""
        # The empty name is what a mesh asks for: without it all vendors would go with one.
        for service in ("", *services):
            await self.set(service, SERVING)
        for connection in self._connections:
            connection.changed = self._follow
            await self._report(connection)

    def _follow(self, connection: Connection) -> None:
        task = asyncio.get_running_loop().create_task(self._report(connection))
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)

    async def _report(self, connection: Connection) -> None:
        well = connection.state == connections_pb2.Connection.ACTIVE
        await self.set(names.connection(connection.id), SERVING if well else NOT_SERVING)
