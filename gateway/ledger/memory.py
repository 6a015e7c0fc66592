"""A ledger that forgets with the process, and the oldest calls before that."""

import asyncio
import contextvars
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple, TypeVar

from google.protobuf.message import Message

from adapters import calls
from adapters.errors import (
    Aborted,
    CredentialsRejected,
    InvalidRequest,
    PermissionMissing,
    RateLimited,
    TimedOut,
    Unavailable,
    Violation,
)
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from audiencegateway.v1.members_pb2 import UploadedFile
from gateway.ledger import MAX_WRITE_S, Key

LOG = logging.getLogger(__name__)
T = TypeVar("T", bound=Message)

MAX_ROWS = 10_000
FREEING = (Unavailable, RateLimited, TimedOut, CredentialsRejected, PermissionMissing)
"""After these nothing has happened at the vendor, or only what may happen twice: the id is free for another try."""


class Row(NamedTuple):
    """One mutating call that carried a request_id."""

    fingerprint: bytes
    task: "asyncio.Task[Any]"


class MemoryLedger:
    """Rows in memory."""

    def __init__(self, max_rows: int = MAX_ROWS) -> None:
        self._max_rows = max_rows
        self._rows: OrderedDict[Key, Row] = OrderedDict()
        self._started: OrderedDict[str, None] = OrderedDict()
        self._under_way: set[asyncio.Task[Any]] = set()

    async def once(
        self, key: Key, wanted: bytes, act: Callable[[str], Coroutine[Any, Any, T]], *, max_write_s: float = MAX_WRITE_S
    ) -> T:
        """Run *act*, or answer as it did before."""
        row = self._rows.get(key) if key.request_id else None
        if row is not None:
            if row.fingerprint != wanted:
                raise _reused()
            if not row.task.done():
                raise Aborted("the same request is still under way", reason="REQUEST_IN_PROGRESS")
            replayed: T = row.task.result()
            return replayed
        outer = calls.current()
        inner = calls.Call(outer.deadline, write_deadline=asyncio.get_running_loop().time() + max_write_s)
        context = contextvars.copy_context()
        context.run(calls.CURRENT.set, inner)
        task = asyncio.get_running_loop().create_task(act(secrets.token_hex(4)), context=context)
        self._under_way.add(task)
        task.add_done_callback(partial(self._settle, key, inner))
        if key.request_id:
            self._rows[key] = Row(wanted, task)
            self._forget()
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if inner.written:
                task.add_done_callback(lambda done: _log_alone(key, done))
            else:
                task.cancel()
            raise
        finally:
            outer.vendor_calls += inner.vendor_calls
            outer.vendor_s += inner.vendor_s

    def results(self, key: Key, kind: type[T]) -> list[T]:
        """Return what calls came to whose request_id begins with that of *key*."""
        done = [row.task.result() for known, row in self._rows.items() if _begins(known, key) and _succeeded(row.task)]
        return [result for result in done if isinstance(result, kind)]

    def started(self, export_job: str) -> bool:
        """Tell whether this process started the job."""
        return export_job in self._started

    async def close(self) -> None:
        """Wait for the writes under way; each is bounded."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _settle(self, key: Key, call: calls.Call, task: "asyncio.Task[Any]") -> None:
        """Keep what came of a call, or free its id."""
        self._under_way.discard(task)
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or (error is not None and (not call.written or isinstance(error, FREEING))):
            # Unless the id has been given to another try since.
            if (row := self._rows.get(key)) is not None and row.task is task:
                del self._rows[key]
        elif error is None and (job := _started(task.result())):
            self._started[job] = None
            if len(self._started) > self._max_rows:
                self._started.popitem(last=False)

    def _forget(self) -> None:
        """Drop the oldest rows that are too many; never one under way, whose id would be free for a second run."""
        surplus = len(self._rows) - self._max_rows
        ended = [key for key, row in self._rows.items() if row.task.done()] if surplus > 0 else []
        for key in ended[:surplus]:
            del self._rows[key]


def _reused() -> InvalidRequest:
    message, reason = "this request_id came with another request before", "REQUEST_ID_REUSED"
    return InvalidRequest(message, reason=reason, violations=[Violation("request_id", message, reason)])


def _begins(known: Key, key: Key) -> bool:
    same = (known.caller, known.method, known.parent) == (key.caller, key.method, key.parent)
    return same and known.request_id.startswith(key.request_id)


def _succeeded(task: "asyncio.Task[Any]") -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _started(result: Message) -> str:
    """Return the name of the job that a call started, if it started one."""
    match result:
        case ExportJob(started_by_gateway=True):
            return result.name
        case UploadedFile():
            return result.export_job.name
    return ""


def _log_alone(key: Key, task: "asyncio.Task[Any]") -> None:
    error = task.exception()
    outcome = "done" if error is None else getattr(error, "reason", type(error).__name__)
    LOG.info("%s of %s ended after its caller had left: %s", key.method, key.parent, outcome)
