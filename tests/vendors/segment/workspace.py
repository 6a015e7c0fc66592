"""One simulated workspace of Segment, and adapters connected to it whose clocks are the simulator's."""

import json
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import ParseDict

from adapters.base import Edit, ListQuery, Term
from adapters.rates import Rate
from adapters.secrets import Secret
from adapters.segment.adapter import SegmentAdapter, SegmentSettings
from adapters.segment.sandbox import SegmentSandbox
from adapters.transport import Timeouts, Transport
from audiencegateway.v1.destinations_pb2 import Destination, Subscription
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from audiencegateway.v1.vendor_config_pb2 import SegmentExportSpec
from gateway import updates

FROZEN_AT_S = 1_767_225_600.0  # 2026-01-01T00:00:00Z

ADS, LETTERS, OLD, STREAM, BENCH, EMPTY, CLUB = (f"00000000000000000000d{n}" for n in range(101, 108))
"""Ids of the destinations."""
CUSTOMERS_IN_ADS, ORDERS_IN_ADS, CARTS_IN_ADS = (f"ExampleSubscription{n}" for n in (101, 102, 103))
WAREHOUSE, CUSTOMERS, CARTS = "ExampleSourceDwh000002", "ExampleModel0000000201", "ExampleModel0000000202"


def named(destination_id: str, subscription_id: str = "") -> str:
    """Return the name of a destination, or of a subscription of it."""
    name = f"connections/cdp/destinations/{destination_id}"
    return f"{name}/subscriptions/{subscription_id}" if subscription_id else name


def job_id(sync: int, subscription: int = 101, destination_id: str = ADS, model_id: str = CUSTOMERS) -> str:
    """Return the id of a seeded job; an underscore is doubled in it."""
    return f"{destination_id}~ExampleSubscription{subscription}~{model_id}~example__sync__{sync}"


def jobs_of(destination_id: str, **query: Any) -> ListQuery:
    return ListQuery(terms=(Term("destination", "=", named(destination_id)),), **query)


def wanted(subscription_id: str = CUSTOMERS_IN_ADS, destination_id: str = ADS, **spec: str) -> ExportJob:
    through = SegmentExportSpec(subscription=named(destination_id, subscription_id), **spec)
    return ExportJob(destination=named(destination_id), segment=through)


def changing(*paths: str, validate_only: bool = False, **fields: Any) -> Edit[Destination]:
    """Return what the gateway makes of an update of a destination with *fields*, which are JSON."""
    mask, resource = FieldMask(paths=paths), ParseDict(fields, Destination(name=named(ADS)))
    return updates.plan(resource, mask, validate_only=validate_only)


def rechanging(*paths: str, validate_only: bool = False, **fields: Any) -> Edit[Subscription]:
    """Return the same for a subscription."""
    mask, resource = FieldMask(paths=paths), ParseDict(fields, Subscription(name=named(ADS, CUSTOMERS_IN_ADS)))
    return updates.plan(resource, mask, validate_only=validate_only)


class Segment:
    """The simulator, and what it takes to connect to it."""

    def __init__(self, sandbox: SegmentSandbox, base_url: str, opened: AsyncExitStack) -> None:
        self.sandbox = sandbox
        self.base_url = base_url
        self.slept_s: list[float] = []
        self._opened = opened

    def connect(
        self,
        *,
        token: str = "sandbox-token",
        timeouts: Timeouts | None = None,
        rates: Mapping[str, Rate] | None = None,
        **settings: Any,
    ) -> SegmentAdapter:
        """Return an adapter that waits in the simulator's time."""

        async def sleep(seconds: float) -> None:
            self.slept_s.append(seconds)
            self.sandbox.clock.advance(seconds)

        now: Callable[[], float] = self.sandbox.clock.now
        transport = Transport(
            "segment", "cdp", timeouts=timeouts, rates=rates, now=now, clock=now, sleep=sleep, jitter=lambda: 0.0
        )
        self._opened.push_async_callback(transport.close)
        given = SegmentSettings(base_url=self.base_url, token=Secret(token), **settings)
        return SegmentAdapter("cdp", given, transport)

    def requests(self, path: str = "") -> list[str]:
        """Return what the simulator received, as `METHOD path`, as far as *path* is in it."""
        lines = [f"{entry['method']} {entry['path']}" for entry in self.sandbox.journal]
        return [line for line in lines if path in line]

    def bodies(self) -> list[Any]:
        """Return the bodies that the simulator received."""
        return [json.loads(entry["body"]) for entry in self.sandbox.journal if entry["body"]]
