"""What the services share: from a name to its adapter, from a write to the ledger, and how much time is left."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from google.protobuf.message import Message

from adapters import calls, names
from adapters.base import Adapter
from adapters.errors import NotFound, NotSupported, Overloaded, RateLimited, TimedOut, Unavailable
from gateway import paging
from gateway.callers import Callers
from gateway.connections import Connection, Connections
from gateway.interceptors.access_log import RECORD
from gateway.ledger import Asked, Key, fingerprint
from gateway.ledger.ledger import Ledger
from gateway.watching import Sleep, Watching

T = TypeVar("T", bound=Message)
Request = Any
"""Any request of the contract that has the fields used here."""
VERBS = {
    "wait_export_job": "get_export_job",
    "watch_export_job": "get_export_job",
    "ingest_audience_members": "upload_audience_members",
    # Settled between the caller and the ledger.
    "resolve_export_job": "get_export_job",
}
"""The adapter's verb behind an RPC that has none of its own name."""
ANSWER_MARGIN_S = 0.25
"""What a long poll keeps back of its caller's deadline."""


class Desk:
    """Made once a server."""

    def __init__(
        self,
        connections: Connections,
        callers: Callers,
        ledger: Ledger,
        sealer: paging.TokenSealer,
        *,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.connections = connections
        self.callers = callers
        self.ledger = ledger
        self.sealer = sealer
        self.watching = Watching(sleep)

    def visible_connections(self) -> list[Connection]:
        """Return the connections that the caller may use."""
        caller = RECORD.get().caller
        return [connection for connection in self.connections if caller.may_use(connection.id)]

    def find(self, name: str, kind: str) -> tuple[Adapter[Any], tuple[str, ...]]:
        """Return the adapter that the call being served needs, and the ids in *name* below its connection.

        Raises:
            InvalidRequest: INVALID_RESOURCE_NAME.
            Missing: CONNECTION_NOT_FOUND.
            NotSupported: The vendor has no such operation.
        """
        connection_id, *ids = names.parse(name, kind)
        adapter = self.connections.get(connection_id).adapter
        verb = RECORD.get().method.verb
        verb = VERBS.get(verb, verb)
        if verb not in adapter.verbs():
            raise NotSupported(
                f"{adapter.vendor} has no {verb.replace('_', ' ')}",
                metadata={"operation": verb, "vendor": adapter.vendor, "connection": connection_id},
            )
        return adapter, tuple(ids)

    async def once(
        self,
        request: Request,
        parent: str,
        act: Callable[[str], Coroutine[Any, Any, T]],
        again: Callable[[T], Coroutine[Any, Any, T]] | None = None,
        *,
        kind: type[T],
        wanted: T | None = None,
    ) -> T:
        """Run a mutation of *parent* as the ledger sees fit; one that is only validated is none.

        *again* reads what it came to anew, for a caller that repeats it. What is gone since, or can't be read now, is
        answered as it was.
        *wanted* is what it asks for, where it must not be made twice (`kept.asked`).
        """
        if getattr(request, "validate_only", False):
            return await act("")
        record = RECORD.get()
        asked = Asked(
            key=Key(record.caller.id, record.method.name, parent, request.request_id.lower()),
            connection=record.connection,
            fingerprint=fingerprint(request),
            kind=kind,
            wanted=wanted,
        )
        result, earlier = await self.ledger.once(asked, act)
        if not earlier or again is None:
            return result
        with suppress(NotFound, Unavailable, TimedOut, RateLimited, Overloaded):
            return await again(result)
        return result

    @staticmethod
    def time_left_s() -> float:
        """Return how long the call being served may still take, with time left to answer."""
        ends_at = calls.current().ends_at()
        return (
            float("inf") if ends_at is None else max(0.0, ends_at - asyncio.get_running_loop().time() - ANSWER_MARGIN_S)
        )
