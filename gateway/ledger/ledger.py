"""Mutating calls, each made once: recorded before the first byte of it leaves, and settled by what came of it."""

import asyncio
import contextvars
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from google.protobuf.message import Message

from adapters import calls
from adapters.errors import (
    Aborted,
    ApiError,
    CredentialsRejected,
    InvalidRequest,
    OutcomeUnknown,
    Overloaded,
    PermissionMissing,
    ProtocolViolation,
    RateLimited,
    StoreUnavailable,
    TimedOut,
    Unavailable,
    Violation,
)
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from audiencegateway.v1.members_pb2 import UploadedFile
from gateway.ledger import FILE_FACTOR, Asked, Key, Outcome, kept, lost
from gateway.ledger.known import Known
from gateway.ledger.statements import ACCEPTED, REJECTED, RESERVED, SENDING, UNKNOWN
from gateway.ledger.store import AlreadyAdopted, Row, Store

LOG = logging.getLogger(__name__)
T = TypeVar("T", bound=Message)
Act = Callable[[str], Coroutine[Any, Any, T]]
Sleep = Callable[[float], Awaitable[None]]

LEASE_S = 30.0
"""Without a sign of life for so long, whoever made a call is dead."""
BEATS = 3
"""Signs of life a lease."""
FIRST_WAIT_S = 1.0
MAX_WAIT_S = 30.0
CLOSING_S = 5.0
"""How long what is still to be recorded may take at the end."""
FREEING = (Unavailable, RateLimited, TimedOut, Overloaded, CredentialsRejected, PermissionMissing, StoreUnavailable)
"""After these nothing has happened at the vendor, or only what may happen twice: the id is free for another try."""


class Ledger:
    """Runs mutating calls over one store; any number of ledgers, of any process, may share it."""

    def __init__(self, store: Store, *, lease_s: float = LEASE_S, sleep: Sleep = asyncio.sleep) -> None:
        self.store = store
        self.owner = secrets.token_hex(8)
        self.known = Known()
        self._lease_s = lease_s
        self._sleep = sleep
        self._under_way: set[asyncio.Task[Any]] = set()
        self._recording: set[asyncio.Task[None]] = set()
        self._live: set[str] = set()
        """Ids of the rows that this ledger lives for."""
        self._beating: asyncio.Task[None] | None = None

    async def once(self, asked: Asked[T], act: Act[T]) -> Outcome[T]:
        """Return what *act* returns, or what it returned when the same call came before.

        *act* gets a marker for the vendor to keep, unique to this call. Once it has handed a write to the vendor it is
        not cut off when the caller goes away: it ends by itself, the store's `max_write_s` later at most, and its
        result waits for the caller's next try.

        Raises:
            InvalidRequest: REQUEST_ID_REUSED, where the id came with another request before.
            Aborted: REQUEST_IN_PROGRESS, where the same call is still under way.
            StoreUnavailable: The call can't be recorded; nothing was sent.
            OutcomeUnknown: The answer was lost of a call that is not about a job.
            ApiError: As *act* does; what the vendor certainly refused is raised again for the same id.
        """
        outer = calls.current()
        write_s = self.store.max_write_s * (FILE_FACTOR if asked.kind is UploadedFile else 1.0)
        ends_at = asyncio.get_running_loop().time() + write_s
        inner = calls.Call(outer.deadline, write_deadline=ends_at, outer=outer)
        context = contextvars.copy_context()
        context.run(calls.CURRENT.set, inner)
        task = asyncio.get_running_loop().create_task(self._make(asked, act, inner), context=context)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if inner.written:
                task.add_done_callback(partial(_log_alone, asked.key))
            else:
                task.cancel()
            raise
        finally:
            outer.vendor_calls += inner.vendor_calls
            outer.vendor_s += inner.vendor_s
            outer.wait_s += inner.wait_s

    async def results(self, key: Key, kind: type[T]) -> list[T]:
        """Return what calls under one request id came to, in the order of their places, as far as they did.

        Raises:
            Aborted: REQUEST_IN_PROGRESS: one of them is still under way.
            StoreUnavailable: It is not known.
        """
        rows = await self.store.places(key.scope) if key.scope else []
        ended = [await self._ended(row) for row in rows]
        return [self._outcome(row, kind) for row in ended if row.phase not in {RESERVED, REJECTED}]

    async def close(self) -> None:
        """Wait for the writes under way, each of which is bounded, and for what is to be recorded."""
        while self._under_way:
            await asyncio.wait(self._under_way)
        if self._recording:
            await asyncio.wait(self._recording, timeout=CLOSING_S)
        for task in (*self._recording, *filter(None, [self._beating])):
            task.cancel()
        await self.store.close()

    async def _make(self, asked: Asked[T], act: Act[T], call: calls.Call) -> Outcome[T]:
        row = self._row(asked)
        try:
            before = await self.store.reserve(row)
            if before is not None:
                found = await self._before(asked, before)
                if found is not None:
                    return found
                row = before
                call.repeated = before.sent_at is not None
        except asyncio.CancelledError:
            # It may have been entered all the same.
            self._record(row, self.store.free, row.id, self.owner)
            raise
        self._live_for(row)
        if row.scope is not None or asked.wanted is not None:
            call.before_write = partial(self._announce, row, SENDING if asked.wanted is not None else RESERVED)
        result, error = None, None
        try:
            result = await act(row.marker)
        except ApiError as raised:
            error = raised
        finally:
            if result is None and error is None:  # cut off, or a mistake of ours
                self._abandon(asked, row, call)
        if result is not None:
            await self._accept(asked, row, result)
            return Outcome(result, earlier=False)
        return await self._failed(asked, row, call, error or ApiError(""))

    async def _before(self, asked: Asked[T], row: Row) -> Outcome[T] | None:
        """Return what the call came to that has the request id already; None where it died and left nothing."""
        if row.fingerprint != asked.sealed:
            raise reused()
        row = await self._ended(row)
        if row.phase == RESERVED:
            if not await self.store.take_over(row, self.owner, self.store.now() + self._lease_s):
                raise _in_progress()
            return None
        if row.phase == REJECTED and not lost.never_arrived(row):
            raise kept.refused(row.status or b"")
        return Outcome(self._outcome(row, asked.kind), earlier=row.phase == ACCEPTED)

    async def _ended(self, row: Row) -> Row:
        """Return a row that nobody lives for any more: settled, lost, or reserved by somebody who died.

        Raises:
            Aborted: REQUEST_IN_PROGRESS: somebody does.
        """
        if row.phase in {RESERVED, SENDING}:
            if not row.id or (row.lease_until or 0.0) >= self.store.now():
                raise _in_progress()
            if row.phase == SENDING:
                await self.store.bury(row.id)
                return await self.store.find(row.id) or row
        return row

    def _outcome(self, row: Row, kind: type[T]) -> T:
        if row.phase == ACCEPTED:
            return kind.FromString(row.result or b"")
        return lost.outcome(row, kind)

    async def _announce(self, row: Row, phase: str) -> None:
        if not await self.store.announce(row.id, self.owner, self.store.now() + self._lease_s, phase):
            raise _in_progress()

    async def _accept(self, asked: Asked[T], row: Row, result: T) -> None:
        """Record what a call came to; where the store fails, later."""
        if asked.wanted is None and not asked.key.request_id:
            await self._recorded(row, self.store.free, row.id, self.owner)
            return
        job, resource = _job_of(result), ""
        if asked.wanted is not None:  # what a call came to that made it; one that changes it has no claim to it
            resource = job.name if job else getattr(result, "name", "")
        if job and resource:
            self.known.started(resource)
        await self._recorded(row, self._settle, row.id, kept.result(result), resource)

    async def _settle(self, row_id: str, result: bytes, resource: str) -> None:
        try:
            settled = await self.store.accept(row_id, result, resource or None)
        except AlreadyAdopted:
            LOG.warning("call %s came to %s, as another call did before", row_id, resource)
            settled = await self.store.accept(row_id, result, None)
        if not settled:
            LOG.warning("call %s came to %s, and was settled before", row_id, resource)

    async def _failed(self, asked: Asked[T], row: Row, call: calls.Call, error: ApiError) -> Outcome[T]:
        """Record why a call came to nothing, or that nobody knows.

        Raises:
            ApiError: *error*, unless there is a job to follow.
        """
        left_nothing = not call.written or (isinstance(error, FREEING) and not call.accepted)
        # A redirect, too: "done, look there" is one.
        lost_here = isinstance(error, OutcomeUnknown | ProtocolViolation) or error.reason == ApiError.reason
        if asked.wanted is not None and not left_nothing and (lost_here or call.accepted):
            await self._recorded(row, self.store.lose, row.id)
            row = row._replace(phase=UNKNOWN, unknown_at=self.store.now())
            LOG.warning("%s of %s: its outcome is unknown (%s)", row.method, row.parent, error.reason)
            if _is_about_a_job(asked.kind):
                self.known.lost(row)
                return Outcome(lost.outcome(row, asked.kind), earlier=False)
            raise OutcomeUnknown(error.message, metadata=error.metadata) from error
        if left_nothing or lost_here or isinstance(error, FREEING) or row.scope is None:
            await self._recorded(row, *self._release(asked, row, call))
        else:
            await self._recorded(row, self.store.reject, row.id, kept.refusal(error))
        raise error

    def _abandon(self, asked: Asked[T], row: Row, call: calls.Call) -> None:
        if call.written and asked.wanted is not None:
            self._record(row, self.store.lose, row.id)
        else:
            self._record(row, *self._release(asked, row, call))

    def _release(self, asked: Asked[T], row: Row, call: calls.Call) -> tuple[Any, ...]:
        """Return the step after which a call may be made again; one that may be done already, knowing that."""
        if asked.wanted is None and row.scope is not None and (call.written or call.repeated):
            return self.store.renew, [row.id], self.owner, 0.0
        return self.store.free, row.id, self.owner

    def _row(self, asked: Asked[T]) -> Row:
        now = self.store.now()
        return Row(
            id=secrets.token_hex(8),
            caller=asked.key.caller,
            method=asked.key.method,
            parent=asked.key.parent,
            request_id=None,
            scope=asked.key.scope,
            place=asked.place,
            fingerprint=asked.sealed,
            connection=asked.connection,
            kind=asked.kind.DESCRIPTOR.name if asked.wanted is not None else "",
            phase=RESERVED,
            wanted=asked.wanted.SerializeToString(deterministic=True) if asked.wanted is not None else None,
            owner=self.owner,
            lease_until=now + self._lease_s,
            created_at=now,
        )

    # Recording, now or later.

    async def _recorded(self, row: Row, step: Callable[..., Awaitable[object]], *values: object) -> None:
        """Take a step of a row's life; where the store fails it is taken later, or the row's lease ends by itself."""
        try:
            await step(*values)
            self._live.discard(row.id)
        except StoreUnavailable as error:
            LOG.warning("not recorded yet: %s", error.message)
            self._record(row, step, *values)
        except asyncio.CancelledError:
            self._record(row, step, *values)
            raise

    def _record(self, row: Row, step: Callable[..., Awaitable[object]], *values: object) -> None:
        task = asyncio.get_running_loop().create_task(self._persist(row, step, *values))
        self._recording.add(task)
        task.add_done_callback(self._recording.discard)

    async def _persist(self, row: Row, step: Callable[..., Awaitable[object]], *values: object) -> None:
        wait_s = FIRST_WAIT_S
        while True:
            try:
                await step(*values)
            except StoreUnavailable:
                if row.id not in self._live:  # its lease ends by itself
                    return
                await self._sleep(wait_s)
                wait_s = min(2 * wait_s, MAX_WAIT_S)
            else:
                self._live.discard(row.id)
                return

    def _live_for(self, row: Row) -> None:
        self._live.add(row.id)
        if self._beating is None or self._beating.done():
            self._beating = asyncio.get_running_loop().create_task(self._beat(), context=contextvars.Context())

    async def _beat(self) -> None:
        """Give signs of life while there is something to live for."""
        await self._sleep(self._lease_s / BEATS)
        while self._live:
            try:
                await self.store.renew(self._live, self.owner, self.store.now() + self._lease_s)
            except StoreUnavailable as error:
                LOG.warning("no sign of life given: %s", error.message)
            await self._sleep(self._lease_s / BEATS)


def reused() -> InvalidRequest:
    """Return what answers a request id that came with another request before."""
    message, reason = "this request_id came with another request before", "REQUEST_ID_REUSED"
    return InvalidRequest(message, reason=reason, violations=[Violation("request_id", message, reason)])


def _in_progress() -> Aborted:
    return Aborted("the same request is still under way", reason="REQUEST_IN_PROGRESS")


def _is_about_a_job(kind: type[Message]) -> bool:
    return kind in {ExportJob, UploadedFile}


def _job_of(result: Message) -> ExportJob | None:
    match result:
        case ExportJob():
            return result
        case UploadedFile():
            return result.export_job
    return None


def _log_alone(key: Key, task: "asyncio.Task[Any]") -> None:
    error = None if task.cancelled() else task.exception()
    outcome = "done" if error is None else getattr(error, "reason", type(error).__name__)
    LOG.info("%s of %s ended after its caller had left: %s", key.method, key.parent, outcome)
