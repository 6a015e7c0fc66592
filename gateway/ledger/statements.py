"""The statements of the store. Each of them is one step of a call's life, and finds nothing where it came too late."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Double,
    Executable,
    Integer,
    LargeBinary,
    Text,
    and_,
    bindparam,
    case,
    delete,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeEngine

from gateway.ledger import FILE_FACTOR
from gateway.ledger.schema import CALLS, LEASES, NO_JOB

JOBS = ("ExportJob", "UploadedFile")
"""Kinds of rows that are about an export job."""

RESERVED = "RESERVED"
"""Nothing was sent, or at `sent_at` what may be sent again."""
SENDING = "SENDING"
"""Something may have been sent, and whoever sends it lives as long as the lease."""
UNKNOWN = "UNKNOWN"
"""Something was sent, and what came of it is being looked for."""
ACCEPTED = "ACCEPTED"
"""Settled: it came to `result`."""
REJECTED = "REJECTED"
"""Settled: it came to nothing, as `status` says."""

DEAD_FOR_S = 60.0
"""After that, a row that was reserved by somebody who died is taken out."""

C = CALLS.c


def _given(name: str, kind: TypeEngine[Any]) -> BindParameter[Any]:
    return bindparam(f"b_{name}", type_=kind)


ID, OWNER, NOW, UNTIL = (
    _given("id", Text()),
    _given("owner", Text()),
    _given("now", Double()),
    _given("until", Double()),
)
SINCE, LIMIT = _given("since", Double()), _given("limit", Integer())

_MINE = and_(C.id == ID, C.owner == OWNER)
_OPEN = C.settled_at.is_(None)
_DEAD = or_(C.lease_until.is_(None), C.lease_until < NOW)
_A_JOB = C.kind.in_(JOBS)
_NO_LEASE: dict[str, Any] = {"owner": None, "lease_until": None}
_LOST: dict[str, Any] = {**_NO_LEASE, "phase": UNKNOWN, "unknown_at": NOW, "next_look_at": NOW}
_SETTLED: dict[str, Any] = {**_NO_LEASE, "next_look_at": None, "settled_at": NOW}


def entering(backend: str) -> tuple[Executable, Executable]:
    """Return the two statements that each database has its own words for: to reserve a row, and to take a lease."""
    insert = postgresql.insert if backend == "postgresql" else sqlite.insert
    row = insert(CALLS).values({column.name: bindparam(column.name, type_=column.type) for column in C})
    lease = insert(LEASES).values({column.name: bindparam(column.name, type_=column.type) for column in LEASES.c})
    taken = lease.on_conflict_do_update(
        index_elements=["name"],
        set_={"owner": lease.excluded.owner, "until": lease.excluded.until},
        where=or_(LEASES.c.until < NOW, LEASES.c.owner == lease.excluded.owner),
    )
    return row.on_conflict_do_nothing(), taken.returning(LEASES.c.owner)


TAKE_OVER = update(CALLS).where(C.id == ID, C.phase == RESERVED, _DEAD).values(owner=OWNER, lease_until=UNTIL)
ANNOUNCE = (
    update(CALLS)
    .where(_MINE, _OPEN, C.phase.in_([RESERVED, SENDING]))
    .values(phase=_given("phase", Text()), sent_at=NOW, lease_until=UNTIL)
)
RENEW = (
    update(CALLS).where(C.id.in_(bindparam("b_ids", expanding=True)), C.owner == OWNER, _OPEN).values(lease_until=UNTIL)
)
FREE = delete(CALLS).where(_MINE, _OPEN, C.unknown_at.is_(None))
LOSE = update(CALLS).where(C.id == ID, _OPEN, C.phase != UNKNOWN).values(_LOST)
ACCEPT = (
    update(CALLS)
    .where(C.id == ID, _OPEN)
    .values(
        {
            **_SETTLED,
            "phase": ACCEPTED,
            "result": _given("result", LargeBinary()),
            "resource": _given("resource", Text()),
            "resource_key": _given("resource_key", LargeBinary()),
        }
    )
)
REJECT = (
    update(CALLS)
    .where(C.id == ID, _OPEN)
    .values({**_SETTLED, "phase": REJECTED, "status": _given("status", LargeBinary())})
)
REJECT_AND_LET_GO = REJECT.values(scope=None)

BY_ID = select(CALLS).where(C.id == ID)
AT_PLACE = select(CALLS).where(C.scope == _given("scope", LargeBinary()), C.place == _given("place", BigInteger()))
PLACES = select(CALLS).where(C.scope == _given("scope", LargeBinary())).order_by(C.place)
ADOPTED = select(C.id, C.resource).where(C.resource_key.in_(bindparam("b_keys", expanding=True)))
STARTED = (
    select(CALLS)
    .where(
        C.connection == _given("connection", Text()),
        tuple_(C.created_at, C.id) < tuple_(_given("at", Double()), ID),
        _A_JOB,
        or_(C.resource.is_not(None), C.unknown_at.is_not(None)),
    )
    .order_by(C.created_at.desc(), C.id.desc())
    .limit(LIMIT)
)
NAMES = (
    select(C.id, C.resource, C.settled_at)
    .where(
        _A_JOB,
        C.settled_at >= SINCE,
        tuple_(C.settled_at, C.id) < tuple_(_given("at", Double()), ID),
        C.resource.is_not(None),
    )
    .order_by(C.settled_at.desc(), C.id.desc())
    .limit(LIMIT)
)
LOST_JOBS = (
    select(CALLS)
    .where(_A_JOB, C.unknown_at.is_not(None), or_(C.unknown_at >= SINCE, C.settled_at >= SINCE))
    .order_by(C.unknown_at.desc())
    .limit(LIMIT)
)

_WRITE_S = _given("write_s", Double())
_OVER_AT = C.sent_at + case((C.kind == "UploadedFile", FILE_FACTOR * _WRITE_S), else_=_WRITE_S)
BURY = (
    update(CALLS)
    .where(C.phase == SENDING, C.lease_until < NOW, _OPEN)
    # An owner that lacks nothing but the store may still be sending.
    .values({**_LOST, "unknown_at": case((_OVER_AT > NOW, _OVER_AT), else_=NOW)})
)
BURY_ONE = BURY.where(C.id == ID)
DUE = (
    select(C.id, C.connection)
    .where(C.phase == UNKNOWN, _OPEN, C.next_look_at <= NOW, _DEAD)
    .order_by(C.next_look_at)
    .limit(LIMIT)
)
CLAIM = (
    update(CALLS)
    .where(C.id == ID, C.phase == UNKNOWN, _OPEN, C.next_look_at <= NOW, _DEAD)
    .values(owner=OWNER, lease_until=UNTIL)
    .returning(*C)
)
LOOKED = (
    update(CALLS)
    .where(_MINE, _OPEN)
    .values(
        {
            **_NO_LEASE,
            "looks": _given("looks", Integer()),
            "next_look_at": _given("next", Double()),
        }
    )
)
TWINS = select(C.id).where(C.phase == SENDING, _OPEN, C.wanted == _given("wanted", LargeBinary()), C.id != ID).limit(1)

_IDS_BEFORE, _JOBS_BEFORE = _given("ids_before", Double()), _given("jobs_before", Double())
_SOME = select(C.id).limit(LIMIT)
FORGET = (
    delete(CALLS).where(
        C.id.in_(
            _SOME.where(
                C.phase == RESERVED,
                C.lease_until < NOW - DEAD_FOR_S,
                or_(C.sent_at.is_(None), C.sent_at < _IDS_BEFORE),
            )
        )
    ),
    delete(CALLS).where(C.id.in_(_SOME.where(text(NO_JOB), C.settled_at < _IDS_BEFORE))),
    delete(CALLS).where(C.id.in_(_SOME.where(~_A_JOB, _OPEN, C.unknown_at < _IDS_BEFORE))),
    update(CALLS)
    .where(C.id.in_(_SOME.where(_A_JOB, C.settled_at < _IDS_BEFORE, C.scope.is_not(None))))
    .values(scope=None, request_id=None),
    delete(CALLS).where(C.id.in_(_SOME.where(C.settled_at < _JOBS_BEFORE))),
)
"""What is too old: never sent, or sent and not asked for again; settled and no job; lost and no job; request ids of
jobs; jobs."""
