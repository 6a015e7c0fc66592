"""The configured connections: one transport and one adapter each, and how the last calls to the vendor went."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from adapters import names, registry
from adapters.base import Adapter
from adapters.errors import ApiError, Conflict, Missing, NotFound, Rejected, TooLarge, VendorEtagMismatch
from adapters.transport import Timeouts, Transport
from audiencegateway.v1 import connections_pb2 as pb
from gateway.settings import Adapters, ConfiguredConnection, RedisSettings

if TYPE_CHECKING:
    from adapters.shared_rates import SharedRates  # takes long to load, and few need it

LOG = logging.getLogger(__name__)

KNOWN_TO = (Rejected, NotFound, Conflict, VendorEtagMismatch, TooLarge)
"""What a vendor finds wrong with a request only once it has taken the credentials."""
UNKNOWN_TO = (0, 407, 501)
"""Statuses of these that are not the vendor's own word, 0 among them: nothing was answered."""


@dataclass(slots=True, kw_only=True)
class Connection:
    """One account at one vendor."""

    id: str
    vendor: str
    display_name: str
    adapter: Adapter[Any]
    state: "pb.Connection.State.ValueType" = pb.Connection.ACTIVE
    state_time_s: float
    """When `state` last changed, in epoch seconds."""
    changed: Callable[["Connection"], None] | None = field(default=None, repr=False)
    """Called whenever `state` has changed."""
    now: Callable[[], float] = field(default=time.time, repr=False)
    _rejected: bool = False

    def __post_init__(self) -> None:
        """Follow the circuit breaker, whoever's calls move it."""
        self.adapter.transport.breaker.changed = self._settle

    def note(self, error: ApiError | None) -> None:
        """Learn how the vendor takes the credentials: from a call's error, or with None from its success."""
        taken = error is None or (isinstance(error, KNOWN_TO) and error.fault.http_status not in UNKNOWN_TO)
        refused = error is not None and error.reason == "VENDOR_CREDENTIALS_REJECTED"
        rejected = refused or (self._rejected and not taken)
        if rejected != self._rejected:
            self._rejected = rejected
            LOG.warning("connection %s: the vendor %s the credentials", self.id, "rejects" if rejected else "takes")
            self._settle()

    def _settle(self) -> None:
        state = pb.Connection.CREDENTIALS_REJECTED if self._rejected else pb.Connection.ACTIVE
        if self.adapter.transport.breaker.open:
            state = pb.Connection.SUSPENDED
        if state != self.state:
            self.state = state
            self.state_time_s = self.now()
            if self.changed is not None:
                self.changed(self)


class Connections:
    """The connections, by id."""

    def __init__(self, connections: Iterable[Connection], closing: AsyncExitStack | None = None) -> None:
        self._by_id = {one.id: one for one in sorted(connections, key=lambda one: one.id)}
        self._closing = closing or AsyncExitStack()

    @classmethod
    async def open(
        cls,
        configured: Iterable[ConfiguredConnection],
        adapters: Adapters | None = None,
        *,
        redis: RedisSettings | None = None,
        now: Callable[[], float] = time.time,
    ) -> "Connections":
        """Make a transport and an adapter for each; neither a vendor nor *redis* is called."""
        kinds = registry.adapters() if adapters is None else adapters
        async with AsyncExitStack() as closing:
            opened = []
            shared = _shared_rates(redis) if redis else None
            if shared is not None:
                closing.push_async_callback(shared.close)
            for entry in configured:
                transport = Transport(
                    entry.vendor,
                    entry.id,
                    timeouts=Timeouts(**msgspec.structs.asdict(entry.timeouts)),
                    policy=entry.policy,
                    rates=entry.rates,
                    shared_rates=partial(shared.take, entry.id) if shared else None,
                    now=now,
                )
                closing.push_async_callback(transport.close)
                opened.append(
                    Connection(
                        id=entry.id,
                        vendor=entry.vendor,
                        display_name=entry.display_name,
                        adapter=kinds[entry.vendor](entry.id, entry.settings, transport),
                        state_time_s=now(),
                        now=now,
                    )
                )
            kept = closing.pop_all()
        return cls(opened, kept)

    async def close(self) -> None:
        """Close every transport; calls under way fail."""
        await self._closing.aclose()

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, connection_id: str) -> Connection:
        """Return a connection.

        Raises:
            Missing: CONNECTION_NOT_FOUND.
        """
        connection = self._by_id.get(connection_id)
        if connection is None:
            name = names.connection(connection_id)
            raise Missing(f"{name} is not configured", reason="CONNECTION_NOT_FOUND", resource=name)
        return connection


def _shared_rates(redis: RedisSettings) -> "SharedRates":
    from adapters.shared_rates import SharedRates  # noqa: PLC0415 - as said above

    return SharedRates(redis.url.reveal(), prefix=redis.prefix, patience_s=redis.timeout_s)
