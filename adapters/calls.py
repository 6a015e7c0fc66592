"""What one call of ours carries down to the vendor: its deadline, and the count of what it cost there."""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Call:
    """The call being served."""

    deadline: float | None = None
    """On the event loop's clock; None: no end but the operation's own timeout."""
    write_deadline: float | None = None
    """From the first write on, which is not to be cut off by a caller that leaves; None: the same as `deadline`."""
    written: bool = False
    """True once a write has been handed to the vendor, whatever came of it."""
    before_write: Callable[[], Awaitable[None]] | None = None
    """Awaited before the first byte of the first write; nothing is sent where it raises."""
    polling: bool = False
    """True where it only looks how a followed job is: such calls have places of their own."""
    accepted: bool = False
    """True once the vendor has taken a write that must not be sent twice, whatever follows."""
    repeated: bool = False
    """True where the same write was sent before and its answer lost: what it asks for may be so by its own doing."""
    ask_again_s: float = 0.0
    """When it is worth to look again, where it only looks and a good answer of the vendor's said so by Retry-After."""
    vendor_calls: int = 0
    """HTTP requests sent, retries included; a login serves many calls and counts for none."""
    vendor_s: float = 0.0
    """Seconds spent waiting for the vendor."""
    wait_s: float = 0.0
    """Seconds spent waiting for a turn, for a place, or until another attempt."""
    outer: "Call | None" = None
    """The call that this one is a part of."""
    _away_s: float = 0.0
    _away: int = 0
    _left_at: float = 0.0

    def leave(self) -> None:
        """Begin to wait for somebody else: the vendor, other calls, the caller. Each `leave` needs a `back`."""
        if not self._away:
            self._left_at = time.perf_counter()
        self._away += 1
        if self.outer is not None:
            self.outer.leave()

    def back(self) -> None:
        """Go on after a wait."""
        self._away -= 1
        if not self._away:
            self._away_s += time.perf_counter() - self._left_at
        if self.outer is not None:
            self.outer.back()

    @property
    def away_s(self) -> float:
        """Return the seconds in which somebody else was waited for; waits at the same time count once."""
        return self._away_s + (time.perf_counter() - self._left_at if self._away else 0.0)

    def ends_at(self, *, write: bool = False) -> float | None:
        """Return the deadline that counts now, or once a *write* is handed over."""
        late = (write or self.written) and self.write_deadline is not None
        return self.write_deadline if late else self.deadline


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
