"""One structured line a call: who called what, about which connection, how it ended, and what it cost."""

import logging
import time
from contextvars import ContextVar
from dataclasses import dataclass, field

from adapters import calls
from gateway.callers import UNKNOWN, Caller
from gateway.methods import Method

OVERHEAD = "x-gateway-overhead-ms"
VENDOR_CALLS = "x-gateway-vendor-calls"
WAIT = "x-gateway-wait-ms"
ACCESS = logging.getLogger("gateway.access")
AUDIT = logging.getLogger("gateway.audit")


@dataclass(slots=True)
class Record:
    """What is known of the call being served. Never a body, never a credential."""

    method: Method
    call: calls.Call
    started: float = field(default_factory=time.perf_counter)
    caller: Caller = UNKNOWN
    about: str = ""
    connection: str = ""
    request_id: str = ""
    code: str = "OK"
    reason: str = ""

    @property
    def overhead_s(self) -> float:
        """Return what the call took in the gateway itself; of a stream, until its first message."""
        return max(0.0, time.perf_counter() - self.started - self.call.away_s)

    def trailers(self) -> tuple[tuple[str, str], ...]:
        """Return what every answer says of itself, as trailing metadata."""
        said = ((OVERHEAD, f"{self.overhead_s * 1000:.3f}"), (VENDOR_CALLS, str(self.call.vendor_calls)))
        wait_ms = f"{self.call.wait_s * 1000:.3f}"
        return said if wait_ms == "0.000" else (*said, (WAIT, wait_ms))

    def write(self) -> None:
        """Write the access line, and for a mutation the audit line."""
        overhead_ms = round(self.overhead_s * 1000, 3)
        fields = {
            "caller": self.caller.id,
            "method": self.method.name,
            "connection": self.connection,
            "code": self.code,
            "reason": self.reason,
            "duration_ms": round((time.perf_counter() - self.started) * 1000, 3),
            "vendor_calls": self.call.vendor_calls,
            "vendor_ms": round(self.call.vendor_s * 1000, 3),
            "wait_ms": round(self.call.wait_s * 1000, 3),
            "overhead_ms": overhead_ms,
        }
        ACCESS.info("call", extra={"fields": fields})
        if self.method.writes:
            audit = {
                "caller": self.caller.id,
                "method": self.method.name,
                "resource": self.about[:256],
                "request_id": self.request_id[:36],
                "code": self.code,
                "reason": self.reason,
            }
            AUDIT.info("mutation", extra={"fields": audit})


RECORD: ContextVar[Record] = ContextVar("record")
"""The call being served."""
