"""One CheckConnection per connection, what came of it as a table, and as another how each is called."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from adapters.errors import ApiError, StoreUnavailable, VendorError
from gateway.connections import Connection
from gateway.settings import LedgerSettings

HEADINGS = ("CONNECTION", "VENDOR", "RESULT", "LATENCY", "CREDENTIAL ENDS", "DETAIL")
LEDGER = "[ledger]"
"""Stands where a connection does; none can be called so."""


class Check(NamedTuple):
    """What came of checking one connection."""

    connection: str
    vendor: str
    result: str
    """`ok`, or the reason of the error."""
    latency: str
    credential_ends: str
    detail: str

    @property
    def ok(self) -> bool:
        """Whether the vendor took the credentials."""
        return self.result == "ok"


async def check(connections: Iterable[Connection]) -> list[Check]:
    """Check all connections at once; an error of a vendor is a result."""
    return await asyncio.gather(*map(_check, connections))


def table(checks: Iterable[Check]) -> str:
    """Return the checks as aligned lines under headings."""
    return _aligned([HEADINGS, *checks])


def policies(connections: Iterable[Connection]) -> str:
    """Return the policy and the rates that hold, a row a number and a column a connection."""
    columns = list(connections)
    policies = [msgspec.structs.asdict(one.adapter.transport.policy) for one in columns]
    rates = [one.adapter.transport.rates.limits for one in columns]
    rows = [("POLICY", *(one.id for one in columns))]
    rows += [(name, *(f"{policy[name]:g}" for policy in policies)) for name in (policies[0] if policies else ())]
    for kind in sorted({kind for limits in rates for kind in limits}):
        shown = (limits.get(kind) for limits in rates)
        rows.append((f"rates.{kind}", *(f"{rate.calls} in {rate.period_s} s" if rate else "-" for rate in shown)))
    return _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


async def ledger(settings: LedgerSettings) -> Check:
    """Check that the ledger's store can be written; its schema is made where it is not there."""
    # Slow to load, and of no use where nothing is checked.
    from gateway.ledger.configured import open_store  # noqa: PLC0415 - as said above

    store = open_store(settings)
    begun = time.perf_counter()
    try:
        await store.lease("checking", "check", 0.0)
    except StoreUnavailable as error:
        return Check(LEDGER, settings.store, error.reason, "-", "-", error.message)
    finally:
        await store.close()
    latency = f"{round((time.perf_counter() - begun) * 1000)} ms"
    where = settings.directory if settings.store == "sqlite" else ""
    return Check(LEDGER, settings.store, "ok", latency, "-", where)


async def _check(connection: Connection) -> Check:
    try:
        answer = await connection.adapter.check_connection()
    except ApiError as error:
        said = error.fault.message if isinstance(error, VendorError) else ""
        detail = " ".join(f"{error.message}: {said}".split()) if said else error.message
        return Check(connection.id, connection.vendor, error.reason, "-", "-", detail)
    ends = answer.credential_expire_time.ToJsonString() if answer.HasField("credential_expire_time") else "-"
    latency = f"{answer.latency.ToMilliseconds()} ms"
    return Check(connection.id, connection.vendor, "ok", latency, ends, connection.adapter.account)
