"""What Acme takes and sends: its operations, and the JSON of their answers.

https://docs.acme.example/rest/v2. Keys that it says are always there are required here; all others may be absent.
"""

from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Json = dict[str, Any]


class _Entity(msgspec.Struct, kw_only=True):
    extras: Json = msgspec.field(default_factory=dict, name="(extras)")
    """The keys that are not modelled; filled in the FULL view, never decoded."""


class Target(_Entity, kw_only=True):
    """Where Acme sends segments."""

    id: str
    label: str
    paused: bool
    channel: str
    note: str | None = None
    options: Json = msgspec.field(default_factory=dict)
    created_at: str | None = None
    changed_at: str | None = None


class Counts(msgspec.Struct):
    """What a run counted so far."""

    total: int | None = None
    sent: int | None = None
    failed: int | None = None


class Failure(msgspec.Struct):
    """Why a run failed."""

    code: str = ""
    message: str = ""


class Run(_Entity, kw_only=True):
    """One run of segments to a target."""

    id: str
    target_id: str
    segment_ids: list[str]
    status: str
    label: str | None = None
    reference: str | None = None
    """What the caller called it; runs can be found by it."""
    counts: Counts | None = None
    failure: Failure | None = None
    created_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None


class Page(msgspec.Struct, Generic[T]):
    """Some of a list."""

    items: list[T]
    next: str | None = None


class Token(msgspec.Struct):
    """What a log-in answers."""

    access_token: str
    expires_in: float
    """Seconds."""


class Problem(msgspec.Struct):
    """What went wrong."""

    code: str = ""
    message: str = ""
    field: str = ""


class Error(msgspec.Struct):
    """What every error answers."""

    error: Problem


class Operation(NamedTuple, Generic[T_co]):
    """One documented call, and the scope that it needs."""

    method: str
    path: str
    reply: type[T_co]
    scope: str


LOG_IN = Operation("POST", "oauth/token", Token, "")
LIST_TARGETS = Operation("GET", "targets", Page[Target], "targets:read")
GET_TARGET = Operation("GET", "targets/{}", Target, "targets:read")
CREATE_TARGET = Operation("POST", "targets", Target, "targets:write")
PATCH_TARGET = Operation("PATCH", "targets/{}", Target, "targets:write")
DELETE_TARGET = Operation("DELETE", "targets/{}", Target, "targets:write")
LIST_RUNS = Operation("GET", "runs", Page[Run], "runs:read")
GET_RUN = Operation("GET", "runs/{}", Run, "runs:read")
START_RUN = Operation("POST", "runs", Run, "runs:write")
STOP_RUN = Operation("POST", "runs/{}/stop", Run, "runs:write")
GET_FILE = Operation("GET", "runs/{}/file", bytes, "runs:read")
