"""One simulated datamart of mediarithmics, and adapters connected to it whose clocks are the simulator's."""

import io
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import ParseDict

from adapters.base import Edit, ListQuery, Term
from adapters.mediarithmics.adapter import MediarithmicsAdapter, MediarithmicsSettings
from adapters.mediarithmics.sandbox import MediarithmicsSandbox
from adapters.secrets import Secret
from adapters.transport import Timeouts, Transport
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from audiencegateway.v1.members_pb2 import AudienceMember, AudienceMemberDefaults
from gateway import updates

FROZEN_AT_S = 1_767_225_600.0  # 2026-01-01T00:00:00Z
FROZEN_AT_MS = 1_767_225_600_000
IMPORTS = "/v1/datamarts/1509/document_imports"

NEWSLETTER, CLUB, LEAFLET, BENCH, QUEUE = "21501", "21504", "21507", "21511", "21512"
"""Imports of user segments: several executions, busy, CSV, thirty executions, busy in older words."""
NEVER_USED = "21517"
ACTIVITIES = "21502"
"""An import of another type."""
DESTINATIONS = [NEWSLETTER, CLUB, LEAFLET, BENCH, QUEUE, "21516", NEVER_USED, "21525", "21531", "21532"]


def named(destination_id: str) -> str:
    return f"connections/dmp/destinations/{destination_id}"


def job_named(job_id: str) -> str:
    return f"connections/dmp/exportJobs/{job_id}"


def jobs_of(destination_id: str, **query: Any) -> ListQuery:
    return ListQuery(terms=(Term("destination", "=", named(destination_id)),), **query)


def changing(*paths: str, validate_only: bool = False, **fields: Any) -> Edit[Destination]:
    """Return what the gateway makes of an update of a destination with *fields*, which are JSON."""
    mask, resource = FieldMask(paths=paths), ParseDict(fields, Destination(name=named(NEWSLETTER)))
    return updates.plan(resource, mask, validate_only=validate_only)


class Datamart:
    """The simulator, and what it takes to connect to it."""

    def __init__(self, sandbox: MediarithmicsSandbox, base_url: str, opened: AsyncExitStack) -> None:
        self.sandbox = sandbox
        self.base_url = base_url
        self.slept_s: list[float] = []
        self._opened = opened

    def connect(
        self, *, token: str = "sandbox-token", timeouts: Timeouts | None = None, **settings: Any
    ) -> MediarithmicsAdapter:
        async def sleep(seconds: float) -> None:
            self.slept_s.append(seconds)
            self.sandbox.clock.advance(seconds)

        now: Callable[[], float] = self.sandbox.clock.now
        transport = Transport(
            "mediarithmics", "dmp", timeouts=timeouts, now=now, clock=now, sleep=sleep, jitter=lambda: 0.0
        )
        self._opened.push_async_callback(transport.close)
        given = {"base_url": self.base_url, "token": Secret(token), "datamart_id": "1509", **settings}
        return MediarithmicsAdapter("dmp", MediarithmicsSettings(**given), transport)

    def requests(self, path: str = "") -> list[str]:
        """Return what the simulator received, as `METHOD path`, as far as *path* is in it."""
        lines = [f"{entry['method']} {entry['path']}" for entry in self.sandbox.journal]
        return [line for line in lines if path in line]


ADD: dict[str, Any] = {"operation": "ADD", "user_account_id": "a-1", "audience_id": "8003", "ttl": "86400s"}


async def upload(
    adapter: MediarithmicsAdapter,
    *members: dict[str, Any],
    destination_id: str = NEVER_USED,
    marker: str = "",
    **defaults: Any,
) -> ExportJob:
    """Send *members*, which are JSON, as one file."""
    file = await adapter.upload_audience_members(destination_id, ParseDict(defaults, AudienceMemberDefaults()))
    batch = [ParseDict(member, AudienceMember()) for member in members]
    content = file.head + file.rows(batch, 0)
    return await file.send(io.BytesIO(content), len(content), marker=marker)
