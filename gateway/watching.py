"""Following export jobs by asking the vendors again and again, since no vendor tells by itself.

A job has one poller, however many callers watch it or wait for it; the last one who leaves takes it along.
"""

import asyncio
import contextvars
import copy
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from adapters import calls
from adapters.errors import ApiError, Overloaded, RateLimited, StoreUnavailable, TimedOut, Unavailable
from audiencegateway.v1.export_jobs_pb2 import ExportJob, WatchExportJobResponse
from gateway import etags

FINAL_STATES = frozenset({ExportJob.SUCCEEDED, ExportJob.PARTIALLY_SUCCEEDED, ExportJob.FAILED, ExportJob.CANCELLED})
STEPS_BACK = frozenset(
    {
        (ExportJob.RUNNING, ExportJob.PENDING),
        (ExportJob.CANCELLING, ExportJob.PENDING),
        (ExportJob.CANCELLING, ExportJob.RUNNING),
    }
)
"""What a vendor's replica may say for a moment, and no watcher wants to see."""
SLOWEST_POLL_S = 15.0
SLOWING = 1.5
"""How much longer a quiet interval is than the one before it."""
SPREAD = 0.1
"""By how much of itself an interval varies, so that many jobs are not asked for at once."""
PASSING = (Unavailable, TimedOut, RateLimited, Overloaded, StoreUnavailable)
"""Failures that a watcher is not told of for a while."""
TOLERANCE_S = 60.0
"""For so long; a wait that the vendor asks for counts as soon as it is asked for. With a good answer it gets this."""
FIRST_TOLERANCE_S = 10.0
"""The same where the job was never read, and only our own line is full."""

Get = Callable[[], Awaitable[ExportJob]]
Sleep = Callable[[float], Awaitable[None]]


class Poller:
    """Looks at one job: soon after a change, less and less often in quiet, and never backwards."""

    def __init__(self, get: Get, fastest_s: float, sleep: Sleep, clock: Callable[[], float]) -> None:
        self.job = ExportJob()
        """As last seen; empty before the first look."""
        self.changes = 0
        """How often it was seen to differ, the first look included."""
        self.observe_time = Timestamp()
        self.failure: BaseException | None = None
        """Why there will be no more news."""
        self.users = 0
        self._get = get
        self._fastest_s = fastest_s
        self._interval_s = fastest_s
        self._sleep = sleep
        self._clock = clock
        self._looked_at = 0.0
        self._quiet_until = 0.0
        self._failing_since: float | None = None
        self._nap: asyncio.Future[None] | None = None
        # One future a waiter: a single one for all would make a mass cancellation quadratic.
        self._waiting: set[asyncio.Future[bool]] = set()
        """For a change."""
        self._looking: set[asyncio.Future[bool]] = set()
        """For a look, whatever it shows."""
        # A context of its own: it serves whoever comes, so no single caller's deadline may end it.
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._run(), context=contextvars.Context())
        self._task.add_done_callback(self._ended)

    @property
    def final(self) -> bool:
        """Whether the job has ended."""
        return self.job.state in FINAL_STATES

    async def refresh(self, timeout_s: float) -> None:
        """Look again, for somebody new: what was seen may be old.

        Not where it was seen just now, nor while the vendor wants to be left alone.

        Raises:
            ApiError: The job can't be read any more.
        """
        now = self._clock()
        if self.final or not self.changes or now < max(self._looked_at + self._fastest_s, self._quiet_until):
            return
        if self._nap is not None:
            self._nap.cancel()
        await self._told(self._looking, timeout_s)

    async def changed(self, known: int, timeout_s: float | None) -> bool:
        """Wait until the job has changed more than *known* times; tell whether it has, once *timeout_s* is over.

        Raises:
            ApiError: The job can't be read any more.
        """
        return self.changes > known or await self._told(self._waiting, timeout_s)

    def stop(self) -> None:
        """Look no more."""
        self._task.cancel()

    async def _told(self, waiters: set[asyncio.Future[bool]], timeout_s: float | None) -> bool:
        """Wait among *waiters*; tell whether there was what they wait for, once *timeout_s* is over."""
        loop = asyncio.get_running_loop()
        if self.failure is not None:
            raise _own(self.failure)
        waiter: asyncio.Future[bool] = loop.create_future()
        waiters.add(waiter)
        call = calls.current()
        call.leave()
        timer = None if timeout_s is None else loop.call_later(timeout_s, partial(_answer, waiter, news=False))
        try:
            return await waiter
        finally:
            call.back()
            waiters.discard(waiter)
            if timer is not None:
                timer.cancel()

    async def _run(self) -> None:
        while not self.final:
            await self._look()
            for waiter in self._looking:
                _answer(waiter, news=True)
            if not self.final:
                await self._rest()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Tell those who wait why there will be no more news, whatever it is: they would wait for ever."""
        self.failure = asyncio.CancelledError() if task.cancelled() else task.exception()
        for waiter in self._waiting | self._looking:
            if self.failure is not None and not waiter.done():
                waiter.set_exception(_own(self.failure))

    async def _look(self) -> None:
        try:
            with calls.serving(calls.Call(polling=True)) as call:
                job = await self._get()
        except PASSING as error:
            now = self._clock()
            if self._failing_since is None:
                self._failing_since = now
            self._quiet_until = now + (error.retry_after_s or 0.0)
            if self._quiet_until - self._failing_since >= self._tolerance_s(error):
                raise
            self._slow_down()
            return
        finally:
            self._looked_at = self._clock()
        self._failing_since = None
        self._quiet_until = self._clock() + min(call.ask_again_s, TOLERANCE_S)
        etags.stamp(job)
        self.observe_time.GetCurrentTime()
        if job.etag == self.job.etag or (self.job.state, job.state) in STEPS_BACK:
            self._slow_down()
            return
        self.job = job
        self.changes += 1
        self._interval_s = self._fastest_s
        for waiter in self._waiting:
            _answer(waiter, news=True)

    def _tolerance_s(self, error: ApiError) -> float:
        if self.changes:
            return TOLERANCE_S
        return FIRST_TOLERANCE_S if isinstance(error, Overloaded) else 0.0

    def _slow_down(self) -> None:
        self._interval_s = max(self._fastest_s, min(SLOWEST_POLL_S, self._interval_s * SLOWING))

    async def _rest(self) -> None:
        jitter = 1 + SPREAD * random.random()  # noqa: S311 - no secret
        wait_s = max(self._interval_s, self._quiet_until - self._clock())
        self._nap = asyncio.ensure_future(self._sleep(wait_s * jitter))
        try:
            await self._nap
        except asyncio.CancelledError:
            if not self._nap.cancelled() or self._task.cancelling():
                self._nap.cancel()
                raise
        finally:
            self._nap = None


def _own(failure: BaseException) -> BaseException:
    """Return one for one waiter alone: a traceback grows by every place where its exception is raised."""
    return copy.copy(failure) if isinstance(failure, ApiError) else failure


def _answer(waiter: asyncio.Future[bool], *, news: bool) -> None:
    if not waiter.done():
        waiter.set_result(news)


class Watching:
    """The pollers of all jobs that somebody follows."""

    def __init__(self, sleep: Sleep = asyncio.sleep, clock: Callable[[], float] = time.monotonic) -> None:
        self._sleep = sleep
        self._clock = clock
        self._pollers: dict[str, Poller] = {}

    @contextmanager
    def follow(self, name: str, get: Get, fastest_s: float) -> Iterator[Poller]:
        """Share the poller of the job *name*; *get* reads it, at most every *fastest_s* seconds."""
        poller = self._pollers.get(name)
        if poller is None or poller.failure is not None:
            poller = self._pollers[name] = Poller(get, fastest_s, self._sleep, self._clock)
        poller.users += 1
        try:
            yield poller
        finally:
            poller.users -= 1
            if not poller.users:
                poller.stop()
                if self._pollers.get(name) is poller:
                    del self._pollers[name]

    @property
    def jobs(self) -> int:
        """How many jobs are followed."""
        return len(self._pollers)


async def wait(poller: Poller, timeout_s: float, seen_etag: str) -> ExportJob:
    """Return the job once it is final, or differs from *seen_etag* (where given), or *timeout_s* has passed.

    The first look has no timeout of its own: a job that was never read can't be answered with.
    """
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + timeout_s
    await poller.changed(0, None)
    while True:
        known, job = poller.changes, poller.job
        if job.state in FINAL_STATES or (seen_etag and job.etag != seen_etag):
            return job
        if not await poller.changed(known, max(0.0, ends_at - loop.time())):
            return poller.job


async def watch(poller: Poller, heartbeat_s: float) -> AsyncGenerator[WatchExportJobResponse, Any]:
    """Yield the job as it is, then each change, and a heartbeat without a job in quiet; end after a final state."""
    known = 0
    while True:
        news = await poller.changed(known, heartbeat_s if known else None)
        known = poller.changes
        yield WatchExportJobResponse(export_job=poller.job if news else None, observe_time=poller.observe_time)
        if news and poller.final:
            return
