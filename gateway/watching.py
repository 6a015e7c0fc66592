"""Following an export job by asking the vendor again and again, since no vendor tells by itself."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

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

Get = Callable[[], Awaitable[ExportJob]]
Sleep = Callable[[float], Awaitable[None]]
Clock = Callable[[], float]


class Watcher:
    """Reads one job over time: soon after a change, less and less often in quiet, and never backwards."""

    def __init__(
        self, get: Get, fastest_poll_s: float, *, sleep: Sleep = asyncio.sleep, clock: Clock = time.monotonic
    ) -> None:
        self._get = get
        self._fastest_poll_s = fastest_poll_s
        self._poll_s = fastest_poll_s
        self._sleep = sleep
        self._clock = clock
        self._job: ExportJob | None = None

    async def look(self) -> ExportJob:
        """Return the job as it is now, its etag set."""
        job = await self._get()
        etags.stamp(job)
        if self._job is not None and (self._job.state in FINAL_STATES or (self._job.state, job.state) in STEPS_BACK):
            return self._job
        changed = self._job is None or self._job.etag != job.etag
        self._poll_s = self._fastest_poll_s if changed else min(SLOWEST_POLL_S, self._poll_s * SLOWING)
        self._job = job
        return job

    async def wait(self, timeout_s: float, seen_etag: str) -> ExportJob:
        """Return the job once it is final, or differs from *seen_etag* (where given), or *timeout_s* has passed."""
        ends_at = self._clock() + timeout_s
        while True:
            job = await self.look()
            left_s = ends_at - self._clock()
            if job.state in FINAL_STATES or (seen_etag and job.etag != seen_etag) or left_s <= 0:
                return job
            await self._sleep(min(self._poll_s, left_s))

    async def watch(self, heartbeat_s: float) -> AsyncGenerator[WatchExportJobResponse]:
        """Yield the job as it is, then each change, and a heartbeat without a job in quiet; end after a final state."""
        told, told_at = "", self._clock()
        while True:
            job = await self.look()
            response = WatchExportJobResponse()
            response.observe_time.GetCurrentTime()
            if job.etag != told:
                told, told_at = job.etag, self._clock()
                response.export_job.CopyFrom(job)
                yield response
                if job.state in FINAL_STATES:
                    return
            elif self._clock() - told_at >= heartbeat_s:
                told_at = self._clock()
                yield response
            await self._sleep(min(self._poll_s, heartbeat_s))
