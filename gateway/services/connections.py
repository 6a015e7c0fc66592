"""ConnectionService: what the operator configured, what each vendor can do, and whether it answers."""

import asyncio
from typing import Any

import grpc

from adapters import names
from audiencegateway.v1.connections_pb2 import (
    Capability,
    CheckConnectionRequest,
    CheckConnectionResponse,
    Connection,
    GetConnectionRequest,
    ListConnectionsRequest,
    ListConnectionsResponse,
    VendorLimits,
)
from audiencegateway.v1.connections_pb2_grpc import ConnectionServiceServicer
from gateway import connections, filtering, paging
from gateway.desk import Desk
from gateway.filtering import CONNECTION_FIELDS

Context = grpc.aio.ServicerContext[Any, Any]


class ConnectionService(ConnectionServiceServicer):
    """Answers from the configuration, but for CheckConnection."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def GetConnection(self, request: GetConnectionRequest, context: Context) -> Connection:
        (connection_id,) = names.parse(request.name, "Connection")
        return connection_message(self._desk.connections.get(connection_id))

    async def ListConnections(self, request: ListConnectionsRequest, context: Context) -> ListConnectionsResponse:
        visible = [connection_message(connection) for connection in self._desk.visible_connections()]
        matches = filtering.matcher(filtering.parse(request.filter, CONNECTION_FIELDS), CONNECTION_FIELDS)
        page = await paging.walk(self._desk.sealer, request, "", paging.fetch_from(visible), matches=matches)
        return ListConnectionsResponse(connections=page.items, next_page_token=page.next_page_token)

    async def CheckConnection(self, request: CheckConnectionRequest, context: Context) -> CheckConnectionResponse:
        adapter, _ = self._desk.find(request.name, "Connection")
        clock = asyncio.get_running_loop().time
        started = clock()
        response = await adapter.check_connection()
        response.latency.FromMicroseconds(round((clock() - started) * 1e6))
        response.check_time.GetCurrentTime()
        return response


def connection_message(connection: connections.Connection) -> Connection:
    """Return a configured connection as callers see it; its capabilities are the verbs that its adapter has."""
    adapter = connection.adapter
    limits = VendorLimits(
        max_page_size=adapter.limits.max_page_size,
        max_upload_bytes=adapter.limits.max_upload_bytes,
        max_members_per_request=adapter.limits.max_members_per_request,
        max_audiences_per_export=adapter.limits.max_audiences_per_export,
    )
    limits.min_poll_interval.FromMilliseconds(round(adapter.limits.min_poll_interval_s * 1000))
    message = Connection(
        name=names.connection(connection.id),
        display_name=connection.display_name,
        vendor=connection.vendor,
        state=connection.state,
        capabilities=sorted(CAPABILITIES[verb] for verb in adapter.verbs() if verb in CAPABILITIES),
        limits=limits,
        destination_fields=sorted(adapter.destination_fields),
        export_job_fields=sorted(adapter.export_job_fields),
        subscription_fields=sorted(adapter.subscription_fields),
        vendor_account=adapter.account,
    )
    message.state_time.FromNanoseconds(round(connection.state_time_s * 1e9))
    return message


CAPABILITIES = {name.removeprefix("CAPABILITY_").lower(): number for name, number in Capability.items() if number}
"""The contract's number for each verb; CheckConnection is no capability, every adapter has it."""
