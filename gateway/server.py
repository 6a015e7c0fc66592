"""The gRPC server: the one place where services are registered, and where their lifetime begins and ends."""

import asyncio
import logging
import secrets
from collections.abc import Mapping
from typing import Any, cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from audiencegateway.v1 import connections_pb2_grpc, destinations_pb2_grpc, export_jobs_pb2_grpc, members_pb2_grpc
from gateway.callers import Callers, server_credentials
from gateway.connections import Connections
from gateway.desk import Desk
from gateway.health import Health
from gateway.interceptors import Pipeline
from gateway.ledger.opening import open_ledger
from gateway.methods import SERVICES
from gateway.paging import TokenSealer
from gateway.services.connections import ConnectionService
from gateway.services.destinations import DestinationService
from gateway.services.export_jobs import ExportJobService
from gateway.services.members import AudienceMemberService
from gateway.settings import Settings
from gateway.watching import Sleep

LOG = logging.getLogger(__name__)

KEEPALIVE_MS = 60_000
MIN_PING_INTERVAL_MS = 20_000
MAX_CONNECTION_AGE_MS = 30 * 60 * 1000
MAX_CONNECTION_AGE_GRACE_MS = 310 * 1000
"""Long enough for the longest Wait."""
PENDING = 20_000
"""Calls that Core queues before it refuses bare; ours are refused with a reason."""
METADATA_BYTES = 16 * 1024
HEALTH: str = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name


class _ByPath:
    """What services are added to, so that their methods are found by path and not each by a task of its own.

    For every method that generated code registers with it, grpc.aio (1.85) keeps a task that waits for its next call,
    and goes through all of them twice a call: with all of ours, that was a twenty-fifth of what a call costs.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(
        self, service: str, handlers: "Mapping[str, grpc.RpcMethodHandler[Any, Any]]"
    ) -> None:
        """Do nothing: they were added by path just before."""


class Server:
    """A gateway over some connections, which it neither opens nor closes."""

    def __init__(
        self, settings: Settings, connections: Connections, *, sleep: Sleep = asyncio.sleep, reuse_port: bool = False
    ) -> None:
        self._settings = settings
        self._reuse_port = reuse_port
        self._opened = open_ledger(settings.ledger, connections)
        callers = Callers(settings.callers)
        self._health = Health(connections, callers)
        keys = [key.reveal().encode() for key in settings.server.page_token_keys] or [secrets.token_bytes(32)]
        pipeline = Pipeline(
            callers,
            connections,
            default_deadline_s=settings.server.default_deadline_s,
            max_concurrent_calls=settings.server.max_concurrent_calls,
        )
        self._server = grpc.aio.server(interceptors=[pipeline], options=self._options())
        desk = Desk(connections, callers, self._opened.ledger, TokenSealer(*keys), sleep=sleep)
        by_path = cast(grpc.aio.Server, _ByPath(self._server))
        connections_pb2_grpc.add_ConnectionServiceServicer_to_server(ConnectionService(desk), by_path)
        destinations_pb2_grpc.add_DestinationServiceServicer_to_server(DestinationService(desk), by_path)
        export_jobs_pb2_grpc.add_ExportJobServiceServicer_to_server(ExportJobService(desk), by_path)
        members_pb2_grpc.add_AudienceMemberServiceServicer_to_server(AudienceMemberService(desk), by_path)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, by_path)
        if settings.server.reflection:
            names = (*SERVICES, HEALTH, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, by_path)

    async def start(self) -> str:
        """Bind and serve; return the address as HOST:PORT, with the port that was picked where 0 was asked for.

        Raises:
            RuntimeError: The address can't be bound.
        """
        listen = self._settings.listen
        if self._settings.tls is None:
            port = self._server.add_insecure_port(listen)
        else:
            port = self._server.add_secure_port(listen, server_credentials(self._settings.tls))
        await self._opened.start()
        await self._server.start()
        await self._health.start(SERVICES)
        return listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"

    async def stop(self) -> None:
        """Say so in health, drain, let calls under way end within the grace, then writes that callers left behind."""
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(self._settings.server.shutdown_drain_s)
        await self._server.stop(self._settings.server.shutdown_grace_s)
        await self._opened.stop()

    def _options(self) -> list[tuple[str, int]]:
        return [
            # A second server on the same port would get half of the calls, without a word: only where that is meant.
            ("grpc.so_reuseport", int(self._reuse_port)),
            ("grpc.max_receive_message_length", self._settings.server.max_message_bytes),
            ("grpc.max_metadata_size", METADATA_BYTES),
            ("grpc.keepalive_time_ms", KEEPALIVE_MS),
            ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.max_connection_age_ms", MAX_CONNECTION_AGE_MS),
            ("grpc.max_connection_age_grace_ms", MAX_CONNECTION_AGE_GRACE_MS),
            ("grpc.server.max_pending_requests", PENDING),
            ("grpc.server.max_pending_requests_hard_limit", 2 * PENDING),
        ]


def build(
    settings: Settings, connections: Connections, *, sleep: Sleep = asyncio.sleep, reuse_port: bool = False
) -> Server:
    """Return a server that is not started yet. Call it inside a running loop.

    *sleep* is how it waits between polls; with *reuse_port* other processes may serve the same address.
    """
    return Server(settings, connections, sleep=sleep, reuse_port=reuse_port)
