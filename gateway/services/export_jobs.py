"""ExportJobService: runs that a vendor does, started once, followed until they end."""

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractContextManager
from functools import partial
from operator import attrgetter
from typing import Any

import grpc

from adapters import calls, names
from adapters.base import Adapter
from adapters.errors import Missing, Precondition, invalid_field
from audiencegateway.v1.export_jobs_pb2 import (
    CancelExportJobRequest,
    CreateExportJobRequest,
    DownloadExportJobRequest,
    DownloadExportJobResponse,
    ExportJob,
    ExportJobRevision,
    ExportJobView,
    GetExportJobRequest,
    GetExportJobRevisionRequest,
    ListExportJobLogEntriesRequest,
    ListExportJobLogEntriesResponse,
    ListExportJobRevisionsRequest,
    ListExportJobRevisionsResponse,
    ListExportJobsRequest,
    ListExportJobsResponse,
    ResolveExportJobRequest,
    WaitExportJobRequest,
    WatchExportJobRequest,
    WatchExportJobResponse,
)
from audiencegateway.v1.export_jobs_pb2_grpc import ExportJobServiceServicer
from gateway import etags, job_lists, lists, validation, watching
from gateway.desk import Desk
from gateway.filtering import EXPORT_JOB_FIELDS
from gateway.ledger import kept, lost, settling
from gateway.ledger.lost import ALIAS
from gateway.ledger.statements import UNKNOWN
from gateway.ledger.store import AlreadyAdopted
from gateway.lists import Collection

Context = grpc.aio.ServicerContext[Any, Any]

DEFAULT_WAIT_S = 30.0
MAX_WAIT_S = 300.0
MAX_REFRESH_S = 5.0
"""After that, a slow vendor's job is told as it was last seen."""
DEFAULT_HEARTBEAT_S = 15.0
MAX_CHUNK_BYTES = 256 * 1024


class ExportJobService(ExportJobServiceServicer):
    """Answers from the vendor, each time anew."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def GetExportJob(self, request: GetExportJobRequest, context: Context) -> ExportJob:
        adapter, (export_job_id,) = self._desk.find(request.name, "ExportJob")
        return await self._read(adapter, export_job_id, full=request.view != ExportJobView.EXPORT_JOB_VIEW_BASIC)

    async def ListExportJobs(self, request: ListExportJobsRequest, context: Context) -> ListExportJobsResponse:
        page: Collection[ExportJob] = await lists.collect(
            self._desk,
            request,
            "export_jobs",
            EXPORT_JOB_FIELDS,
            self._finish,
            way_of=partial(job_lists.way, self._desk.ledger),
        )
        return ListExportJobsResponse(
            export_jobs=page.items,
            next_page_token=page.next_page_token,
            unreachable=page.unreachable,
            skipped=page.skipped,
        )

    async def CreateExportJob(self, request: CreateExportJobRequest, context: Context) -> ExportJob:
        adapter, _ = self._desk.find(request.parent, "Connection")
        wanted = request.export_job
        validation.supported(wanted, adapter.vendor, adapter.export_job_fields)

        async def start(marker: str) -> ExportJob:
            job = await adapter.create_export_job(wanted, marker=marker, validate_only=request.validate_only)
            job.started_by_gateway = not request.validate_only
            return self._finished(job)

        again, asked = self._as_it_is(adapter), kept.asked(wanted)
        return await self._desk.once(request, request.parent, start, again, kind=ExportJob, wanted=asked)

    async def CancelExportJob(self, request: CancelExportJobRequest, context: Context) -> ExportJob:
        adapter, export_job_id = self._job(request.name, "EXPORT_JOB_NOT_CANCELLABLE")

        async def cancel(_: str) -> ExportJob:
            return self._finished(await adapter.cancel_export_job(export_job_id))

        return await self._desk.once(request, request.name, cancel, self._as_it_is(adapter), kind=ExportJob)

    async def WaitExportJob(self, request: WaitExportJobRequest, context: Context) -> ExportJob:
        timeout_s = request.timeout.ToMilliseconds() / 1000 if request.HasField("timeout") else DEFAULT_WAIT_S
        with self._followed(request.name) as poller:
            await poller.refresh(min(MAX_REFRESH_S, self._desk.time_left_s()))
            timeout_s = min(timeout_s, MAX_WAIT_S, self._desk.time_left_s())
            return await watching.wait(poller, timeout_s, request.seen_etag)

    async def WatchExportJob(
        self, request: WatchExportJobRequest, context: Context
    ) -> AsyncGenerator[WatchExportJobResponse]:
        heartbeat_s = request.heartbeat_interval.ToMilliseconds() / 1000 or DEFAULT_HEARTBEAT_S
        with self._followed(request.name) as poller:
            await poller.refresh(min(MAX_REFRESH_S, self._desk.time_left_s()))
            async for response in watching.watch(poller, heartbeat_s):
                yield response

    async def ResolveExportJob(self, request: ResolveExportJobRequest, context: Context) -> ExportJob:
        adapter, (export_job_id,) = self._desk.find(request.name, "ExportJob")

        async def resolve(_: str) -> ExportJob:
            if not export_job_id.startswith(ALIAS):
                raise _not_unresolved(request.name)
            store, known = self._desk.ledger.store, self._desk.ledger.known
            row = await settling.job(store, known, request.name)
            if row.phase != UNKNOWN:
                # As it is asked for, by this call the last time that it was made.
                if row.resource != (request.export_job or None):
                    raise _not_unresolved(request.name)
            elif request.WhichOneof("resolution") == "never_submitted":
                if not await settling.give_up(store, known, row):
                    raise _not_unresolved(request.name)
            else:
                found = await self._said(request, adapter)
                try:
                    if not await settling.adopt(store, known, row, found):
                        raise _not_unresolved(request.name)
                except AlreadyAdopted:
                    message, reason = f"{found.name} is what another call came to", "VENDOR_JOB_ALREADY_ADOPTED"
                    raise Precondition(message, reason=reason, resource=found.name) from None
            return await self._read(adapter, export_job_id)

        return await self._desk.once(request, request.name, resolve, self._as_it_is(adapter), kind=ExportJob)

    async def _said(self, request: ResolveExportJobRequest, adapter: Adapter[Any]) -> ExportJob:
        """Return the vendor's job that a resolution names."""
        connection, export_job_id = names.parse(request.export_job, "ExportJob", "export_job")
        if connection != adapter.connection or export_job_id.startswith(ALIAS):
            raise invalid_field(
                "export_job", f"must be a job of the vendor's, of {names.connection(adapter.connection)}"
            )
        return await adapter.get_export_job(export_job_id, full=True)

    async def ListExportJobLogEntries(
        self, request: ListExportJobLogEntriesRequest, context: Context
    ) -> ListExportJobLogEntriesResponse:
        adapter, export_job_id = self._job(request.parent)
        fetch = partial(adapter.list_export_job_log_entries, export_job_id)
        page = await lists.page(self._desk, request, fetch, adapter.log_entries, key=attrgetter("entry_id"))
        return ListExportJobLogEntriesResponse(log_entries=page.items, next_page_token=page.next_page_token)

    async def ListExportJobRevisions(
        self, request: ListExportJobRevisionsRequest, context: Context
    ) -> ListExportJobRevisionsResponse:
        adapter, export_job_id = self._job(request.parent)
        fetch = partial(adapter.list_export_job_revisions, export_job_id)
        page = await lists.page(self._desk, request, fetch, adapter.revisions)
        return ListExportJobRevisionsResponse(export_job_revisions=page.items, next_page_token=page.next_page_token)

    async def GetExportJobRevision(self, request: GetExportJobRevisionRequest, context: Context) -> ExportJobRevision:
        adapter, (export_job_id, revision_id) = self._desk.find(request.name, "ExportJobRevision")
        return await adapter.get_export_job_revision(export_job_id, revision_id)

    async def DownloadExportJob(
        self, request: DownloadExportJobRequest, context: Context
    ) -> AsyncGenerator[DownloadExportJobResponse]:
        adapter, export_job_id = self._job(request.name, "EXPORT_JOB_NOT_DOWNLOADABLE")
        opened = adapter.download_export_job(export_job_id, artifact_id=request.artifact_id, offset=request.read_offset)
        async with opened as download:
            yield DownloadExportJobResponse(header=download.header)
            async for chunk in download.chunks:
                for start in range(0, len(chunk), MAX_CHUNK_BYTES):
                    yield DownloadExportJobResponse(data=chunk[start : start + MAX_CHUNK_BYTES])

    async def _read(self, adapter: Adapter[Any], export_job_id: str, *, full: bool = True) -> ExportJob:
        """Return a job as the vendor has it; one without a vendor's id, as the ledger has it."""
        if export_job_id.startswith(ALIAS):
            name = names.export_job(adapter.connection, export_job_id)
            row = await settling.job(self._desk.ledger.store, self._desk.ledger.known, name)
            if row.resource is None:
                return lost.job(row)
            _, export_job_id = names.parse(row.resource, "ExportJob")
        return self._finished(await adapter.get_export_job(export_job_id, full=full))

    async def _look(self, adapter: Adapter[Any], export_job_id: str) -> ExportJob:
        """Return a job as a poller sees it: whoever follows it makes no call to the vendor by himself."""
        job = await self._read(adapter, export_job_id)
        if calls.current().vendor_calls:
            self._desk.connections.get(adapter.connection).note(None)
        return job

    def _job(self, name: str, refusal: str = "") -> tuple[Adapter[Any], str]:
        """Return the adapter of a job of the vendor's, and its id.

        Raises:
            ApiError: As `Desk.find` does; and for a `g~…` name, which is none that the vendor knows: the *refusal* that
                a method has for all of them, else EXPORT_JOB_NOT_FOUND.
        """
        adapter, (export_job_id,) = self._desk.find(name, "ExportJob")
        if not export_job_id.startswith(ALIAS):
            return adapter, export_job_id
        message = f"{name} is no job of the vendor's: ask for it, and use the name that it has in the answer"
        if refusal:
            raise Precondition(message, reason=refusal, resource=name)
        raise Missing(message, reason="EXPORT_JOB_NOT_FOUND", resource=name)

    def _followed(self, name: str) -> AbstractContextManager[watching.Poller]:
        adapter, (export_job_id,) = self._desk.find(name, "ExportJob")
        get = partial(self._look, adapter, export_job_id)
        fastest_s = max(adapter.limits.min_poll_interval_s, adapter.transport.policy.polling_interval_s)
        return self._desk.watching.follow(name, get, fastest_s)

    def _as_it_is(self, adapter: Adapter[Any]) -> Callable[[ExportJob], Coroutine[Any, Any, ExportJob]]:
        """Return what reads a job anew."""

        async def read(job: ExportJob) -> ExportJob:
            _, export_job_id = names.parse(job.name, "ExportJob")
            return await self._read(adapter, export_job_id)

        return read

    def _finished(self, job: ExportJob) -> ExportJob:
        self._finish(job)
        return job

    def _finish(self, job: ExportJob) -> None:
        """Put on what the gateway alone knows."""
        self._desk.ledger.known.put_on(job)
        etags.stamp(job)


def _not_unresolved(name: str) -> Precondition:
    message = f"nothing about {name} is unknown, or not any more"
    return Precondition(message, reason="EXPORT_JOB_NOT_UNRESOLVED", resource=name)
