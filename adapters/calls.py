"""What one call of ours carries down to the vendor: its deadline, and the count of what it cost there."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Call:
    """The call being served."""

    deadline: float | None = None
    """On the event loop's clock; None: no end but the operation's own timeout."""
    vendor_calls: int = 0
    """HTTP requests sent, retries and logins included."""
    vendor_s: float = 0.0
    """Seconds spent waiting for the vendor."""

    def remaining_s(self) -> float | None:
        """Return the seconds left, never below 0; None where there is no deadline."""
        if self.deadline is None:
            return None
        return max(0.0, self.deadline - asyncio.get_running_loop().time())


CURRENT: ContextVar[Call | None] = ContextVar("call", default=None)


def current() -> Call:
    """Return the call being served; work that no call asked for gets one without a deadline."""
    call = CURRENT.get()
    if call is None:
        call = Call()
        CURRENT.set(call)
    return call


@contextmanager
def serving(call: Call) -> Iterator[Call]:
    """Make *call* the current one."""
    token = CURRENT.set(call)
    try:
        yield call
    finally:
        CURRENT.reset(token)
