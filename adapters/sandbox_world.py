"""What a simulator's world is made of: time, jobs that follow it, ids, tokens and switches. No HTTP here."""

import hashlib
import math
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple


class Clock:
    """Epoch seconds: the wall's plus an offset, or a given instant that only `advance` moves."""

    def __init__(self, frozen_at: float | None = None) -> None:
        self.frozen_at = frozen_at
        self.offset_s = 0.0

    def now(self) -> float:
        """Return the present time, epoch seconds."""
        return (time.time() if self.frozen_at is None else self.frozen_at) + self.offset_s

    def advance(self, seconds: float) -> None:
        """Move the time forward."""
        self.offset_s += seconds


Stage = Literal["waiting", "running", "ended", "cancelling", "cancelled"]


@dataclass
class Run:
    """How far a job is: a pure function of the time, so that nothing has to run in the background. Epoch seconds."""

    created_s: float
    waiting_s: float = 5.0
    running_s: float = 20.0
    cancelled_s: float | None = None
    """When the cancel was accepted; the caller checks that the run had not ended."""
    cancelling_s: float = 0.0
    """How long a cancel takes."""

    @property
    def started_s(self) -> float:
        """When it leaves, or would leave, the queue."""
        return self.created_s + self.waiting_s

    @property
    def ended_s(self) -> float:
        """When it ends, or would end without a cancel."""
        return self.started_s + self.running_s

    def stage(self, now_s: float) -> Stage:
        """Say where the run is at *now_s*."""
        if self.cancelled_s is not None:
            return "cancelling" if now_s < self.cancelled_s + self.cancelling_s else "cancelled"
        if now_s < self.started_s:
            return "waiting"
        return "running" if now_s < self.ended_s else "ended"

    def progress(self, now_s: float) -> float:
        """Return the part that is done at *now_s*, 0 to 1; a cancel stops it where it was."""
        at_s = now_s if self.cancelled_s is None else min(now_s, self.cancelled_s)
        if at_s >= self.ended_s:
            return 1.0
        return min(1.0, (at_s - self.started_s) / self.running_s) if at_s > self.started_s else 0.0


class Ids:
    """Ids that are the same after every reset."""

    def __init__(self, first: int = 1) -> None:
        self._next = first

    def number(self) -> int:
        """Return the next whole number."""
        self._next += 1
        return self._next - 1

    def hex(self, length: int = 24) -> str:
        """Return hex digits that look random, at most 64."""
        return hashlib.sha256(f"sandbox {self.number()}".encode()).hexdigest()[:length]

    def uuid(self) -> str:
        """Return a UUID."""
        return str(uuid.UUID(self.hex(32), version=4))


@dataclass(frozen=True)
class Token:
    """A credential that was handed out."""

    value: str
    grants: frozenset[str] = frozenset()
    expires_s: float = math.inf
    """Epoch seconds."""


class TokenBook:
    """The tokens of a simulator, live by its clock. Expired ones stay, for refresh graces."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tokens: dict[str, Token] = {}
        self._ids = Ids()

    def add(self, value: str, grants: Iterable[str] = (), lifetime_s: float = math.inf) -> Token:
        """Register a token of a known value."""
        token = self._tokens[value] = Token(value, frozenset(grants), self._clock.now() + lifetime_s)
        return token

    def issue(self, grants: Iterable[str] = (), lifetime_s: float = math.inf) -> Token:
        """Register a token of a value nobody has yet."""
        return self.add(f"sandbox-{self._ids.hex(32)}", grants, lifetime_s)

    def find(self, value: str | None) -> Token | None:
        """Return the token if it was ever handed out and not revoked, live or expired."""
        return self._tokens.get(value or "")

    def live(self, value: str | None) -> Token | None:
        """Return the token if it is good now."""
        token = self.find(value)
        return token if token and self._clock.now() < token.expires_s else None

    def revoke(self, value: str) -> None:
        """Forget the token; an unknown one is fine."""
        self._tokens.pop(value, None)


class Switch(NamedTuple):
    """A choice that the vendor's documentation leaves open or contradicts itself in."""

    default: Any
    choices: tuple[Any, ...] | type[int] | type[float]
    """The values, or `int` or `float` for any number from 0."""
    doc: str

    def admits(self, value: object) -> bool:
        """Say whether *value* may be set; True is not 1 here."""
        if isinstance(self.choices, tuple):
            return any(type(value) is type(choice) and value == choice for choice in self.choices)
        kinds = (int,) if self.choices is int else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and 0 <= value < math.inf
