"""Leaving a vendor alone that fails again and again: it gets time, and callers their answer at once."""

import logging
from collections import deque
from collections.abc import Callable

from adapters.errors import CircuitOpen
from adapters.policy import Policy

LOG = logging.getLogger(__name__)

SLICES = 10
"""The window moves by one of so many parts of it at a time."""
PROBE_S = 1.0
"""When to ask again while the one call that was let through is under way."""


class Breaker:
    """Counts how attempts end; once too many fail, none is made for a while, then one at a time, until one succeeds."""

    def __init__(
        self,
        connection: str,
        policy: Policy,
        *,
        attempt_s: float,
        clock: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self.open = False
        """True from the failure that was too many until a call succeeds that was let through."""
        self.since_s = 0.0
        """When `open` last changed, in epoch seconds; 0: never."""
        self.changed: Callable[[], None] | None = None
        """Called whenever `open` has changed."""
        self._connection = connection
        self._policy = policy
        self._attempt_s = attempt_s
        self._clock = clock
        self._now = now
        self._open_s = policy.breaker_open_s
        self._probe_at = 0.0
        self._probe_ends_at = 0.0
        """Until then the one call that was let through is waited for; an upload may take hours."""
        self._in_a_row = 0
        self._calls = 0
        self._failures = 0
        self._slice_ends = 0.0
        self._slices: deque[tuple[float, int, int]] = deque(maxlen=SLICES)
        """End, attempts and failures of those parts of the window that are over."""

    def refuse(self) -> None:
        """Refuse a call while open, unless it may be the one that is let through.

        Raises:
            CircuitOpen: With the time until one is.
        """
        if not self.open:
            return
        now = self._clock()
        wait_s = PROBE_S if now < self._probe_ends_at else self._probe_at - now
        if wait_s > 0:
            message = f"the vendor failed too often: no call of connection {self._connection} is sent for a while"
            raise CircuitOpen(message, retry_after_s=wait_s)

    def probe(self) -> bool:
        """Let one call through while open; say whether this is the one.

        Raises:
            CircuitOpen: It is not.
        """
        self.refuse()
        if self.open:
            self._probe_ends_at = self._clock() + self._attempt_s
        return self.open

    def note(self, *, succeeded: bool | None, probe: bool) -> None:
        """Learn how an attempt ended; None: nobody can tell."""
        if probe and self.open:
            self._probed(succeeded=succeeded)
        elif succeeded is not None and not self.open:
            self._count(succeeded=succeeded)

    def reset(self) -> None:
        """Close, and forget what was."""
        was_open, self.open = self.open, False
        self._probe_ends_at = 0.0
        self._open_s = self._policy.breaker_open_s
        self._in_a_row = self._calls = self._failures = 0
        self._slices.clear()
        if was_open:
            self._tell()

    def _tell(self) -> None:
        self.since_s = self._now()
        if self.changed is not None:
            self.changed()

    def _count(self, *, succeeded: bool) -> None:
        now = self._clock()
        if now >= self._slice_ends:
            self._slices.append((self._slice_ends, self._calls, self._failures))
            self._calls = self._failures = 0
            self._slice_ends = now + self._policy.breaker_window_s / SLICES
        self._calls += 1
        if succeeded:
            self._in_a_row = 0
            return
        self._failures += 1
        self._in_a_row += 1
        begun = now - self._policy.breaker_window_s
        counted = [(calls, failures) for ended, calls, failures in self._slices if ended > begun]
        calls = self._calls + sum(calls for calls, _ in counted)
        failures = self._failures + sum(failures for _, failures in counted)
        policy = self._policy
        if self._in_a_row >= policy.breaker_failures or (
            calls >= policy.breaker_calls and failures >= policy.breaker_share * calls
        ):
            self.open = True
            self._probe_at = now + self._open_s
            self._tell()
            LOG.warning("connection %s is suspended: %d of %d attempts failed", self._connection, failures, calls)

    def _probed(self, *, succeeded: bool | None) -> None:
        self._probe_ends_at = 0.0
        if succeeded:
            self.reset()
            LOG.warning("connection %s is no longer suspended", self._connection)
        elif succeeded is not None:
            self._open_s = min(2 * self._open_s, self._policy.breaker_open_max_s)
            self._probe_at = self._clock() + self._open_s
