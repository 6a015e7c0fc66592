"""mediarithmics over REST v1: document imports of user segments, and their executions.

Docs:   https://developer.mediarithmics.io/data-ingestion/bulk-processing (read 2026-11-22)
Auth:   `Authorization`: an API token, bare.
Paging: first_result and max_results, a total in some lists; executions come newest first.
Limits: 100 MB a file; no size above 500 is asked for. One identifier a row.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from secrets import token_hex
from typing import IO, TypeVar

import msgspec

from adapters import lost, members, names, newest, offsets
from adapters.auth import FixedAuth
from adapters.base import Adapter, ConnectionSettings, Download, Edit, Limits, Listing, ListQuery, Page, Term
from adapters.body import File
from adapters.errors import (
    Conflict,
    Missing,
    NotFound,
    PermissionMissing,
    Precondition,
    ProtocolViolation,
    Rejected,
    Unavailable,
)
from adapters.extras import keep
from adapters.http import Answer, Http, Query, route
from adapters.keys import Address, Digits
from adapters.mediarithmics import translate, wire
from adapters.retry import Retry
from adapters.secrets import Secret
from adapters.states import FINAL
from adapters.together import together
from adapters.transport import Transport
from audiencegateway.v1.connections_pb2 import CheckConnectionResponse
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import DownloadHeader, ExportJob
from audiencegateway.v1.members_pb2 import AudienceMember, AudienceMemberDefaults

T = TypeVar("T")
R = TypeVar("R", wire.Import, wire.Execution)

RETRIES = {"GET": Retry.READ, "PUT": Retry.IDEMPOTENT, "DELETE": Retry.IDEMPOTENT, "POST": Retry.ONCE}
DESTINATION = "destination"
MAX_RESULTS = 500
FEW_RESULTS = 25
"""Of each import, where there are several to merge; and at least, since one alone would not show an order."""
NEWEST_RESULTS = 100
"""How many executions of an import are looked through for one that runs."""
MAX_FILE_BYTES = 95 * 1024 * 1024
"""Below the documented 100M, whatever that M is, with room for a frame."""
NO_SUCH_OPERATION = 405


class MediarithmicsSettings(ConnectionSettings, kw_only=True, frozen=True):
    """A connection to one datamart."""

    base_url: Address = "https://api.mediarithmics.com/v1"
    """The API with its version. mediarithmics says that the host may change."""
    token: Secret
    """An API token, which belongs to a user; what that one may do is what the gateway can do."""
    datamart_id: Digits
    """The datamart that document imports and segments are of."""
    mark_files: bool = False
    """Whether files are sent in a form, under a name `gw-<mark>`, to be found again where mediarithmics' answer was
    lost. Otherwise they are sent as documented, bare."""


class MediarithmicsAdapter(Adapter[MediarithmicsSettings]):
    """One datamart."""

    vendor = "mediarithmics"
    Settings = MediarithmicsSettings
    sandbox = "adapters.mediarithmics.sandbox:MediarithmicsSandbox"
    destination_fields = frozenset({*translate.WRITES, "mediarithmics.mime_type"})
    limits = Limits(max_page_size=MAX_RESULTS, max_upload_bytes=MAX_FILE_BYTES, max_members_per_request=10_000)
    export_jobs = Listing(native_filters=frozenset({DESTINATION}))

    def __init__(self, connection: str, settings: MediarithmicsSettings, transport: Transport) -> None:
        super().__init__(connection, settings, transport)
        auth = FixedAuth({"Authorization": settings.token.reveal()}, settings.token)
        self.http = Http(transport, settings.base_url, auth=auth, read_fault=translate.fault)

    @property
    def account(self) -> str:
        return f"datamart {self.settings.datamart_id}"

    async def check_connection(self) -> CheckConnectionResponse:
        await self._call(wire.LIST_IMPORTS, query=_part(0, 1))
        return CheckConnectionResponse()

    # Destinations, which are document imports.

    async def list_destinations(self, query: ListQuery, cursor: str, size: int) -> Page[Destination]:
        rows = await self._imports(cursor, size, full=query.full)
        found = [translate.destination(self.connection, row) for row in rows.items]
        if query.full:
            await together(self._add_running_job, found)
        return Page(found, rows.next_cursor)

    async def get_destination(self, destination_id: str, *, full: bool = False) -> Destination:
        destination = translate.destination(self.connection, await self._import(destination_id, full=full))
        if full:
            await self._add_running_job(destination)
        return destination

    async def create_destination(self, destination: Destination, *, validate_only: bool) -> Destination:
        body = translate.new_import(destination)
        if validate_only:
            return translate.planned(self.settings.datamart_id, body)
        return translate.destination(self.connection, (await self._call(wire.CREATE_IMPORT, json=body)).data)

    async def find_destinations(self, wanted: Destination, *, sent_at_s: float) -> list[Destination]:
        async def read(cursor: str) -> Page[wire.Import]:
            return await self._imports(cursor, MAX_RESULTS)

        body, found = translate.new_import(wanted), await lost.everything(read)
        same = [row for row in found if (row.name, row.mime_type) == (body["name"], body["mime_type"])]
        return [translate.destination(self.connection, row) for row in same]

    async def update_destination(self, destination_id: str, edit: Edit[Destination]) -> Destination:
        # With what is not modelled, since PUT may take what is not there for what is to go.
        present = await self._import(destination_id, full=True)
        shown = translate.destination(self.connection, present)
        shown.ClearField("vendor_extras")
        change = edit(shown)
        changes = translate.changes(change.merged, change.paths)
        if change.settled:
            return change.merged
        body = {**translate.whole(present), **changes}
        answer = await self._call(wire.UPDATE_IMPORT, *_ids(destination_id), json=body, resource=shown.name)
        return translate.destination(self.connection, answer.data)

    async def delete_destination(self, destination: Destination, *, force: bool, validate_only: bool) -> Destination:
        if not validate_only:
            _, destination_id = names.parse(destination.name, "Destination")
            with suppress(NotFound):  # It was just read, so that this is what a repeated DELETE finds.
                answer = await self._send(
                    wire.DELETE_IMPORT, *_ids(destination_id), resource=destination.name, conflict="DESTINATION_IN_USE"
                )
                self._refuse_a_page(answer)
        deleted = Destination()
        deleted.CopyFrom(destination)
        deleted.state = Destination.DELETED
        return deleted

    async def _import(self, destination_id: str, *, full: bool = False) -> wire.Import:
        name = names.destination(self.connection, destination_id)
        source = (await self._call(wire.GET_IMPORT, *_ids(destination_id), resource=name, full=full)).data
        if not translate.is_destination(source):
            raise self.http.missing(name)
        return source

    async def _imports(self, cursor: str, size: int, *, full: bool = False) -> Page[wire.Import]:
        async def fetch(offset: int, limit: int) -> Sequence[wire.Import]:
            return (await self._stretch(wire.LIST_IMPORTS, offset, limit, full=full)).items

        return await offsets.read(
            fetch, lambda row: str(row.id), cursor, size, MAX_RESULTS, keep=translate.is_destination
        )

    async def _add_running_job(self, destination: Destination) -> None:
        _, destination_id = names.parse(destination.name, "Destination")
        (import_id,) = ids = _ids(destination_id)
        page = await self._stretch(wire.LIST_EXECUTIONS, 0, NEWEST_RESULTS, *ids, resource=destination.name)
        running = [row for row in page.items if translate.is_export_job(row) and translate.state(row) not in FINAL]
        if running:
            latest = max(running, key=translate.created_ms)
            destination.running_export_job = translate.export_job(self.connection, import_id, latest).name

    # Export jobs, which are executions.

    async def list_export_jobs(self, query: ListQuery, cursor: str, size: int) -> Page[ExportJob]:
        name = query.fixed(DESTINATION)
        if name is None:
            return await self._executions(None, cursor, size, full=query.full)
        owner, destination_id = names.parse(name, "Destination", "filter")
        if owner != self.connection:
            return Page([])
        ids = names.split_id(destination_id, 1, "Destination", "filter")
        return await self._executions([ids], cursor, size, full=query.full)

    async def _executions(
        self, lists: Sequence[newest.Ids] | None, cursor: str, size: int, *, full: bool = False
    ) -> Page[ExportJob]:
        """Return the executions of some imports, newest first; None: of all that are destinations."""
        count = min(max(size, FEW_RESULTS), MAX_RESULTS) if lists else FEW_RESULTS

        async def every() -> Sequence[newest.Ids]:
            page = await self._imports("", MAX_RESULTS)
            found = page.items
            while page.next_cursor:
                page = await self._imports(page.next_cursor, MAX_RESULTS)
                found += page.items
            return [(str(row.id),) for row in found]

        async def given() -> Sequence[newest.Ids]:
            return lists or ()

        async def fetch(ids: newest.Ids, at: str) -> Page[tuple[str, wire.Execution]]:
            (import_id,) = ids
            name = names.destination(self.connection, names.join_id(import_id))
            try:
                page = await self._stretch(wire.LIST_EXECUTIONS, int(at or 0), count, *ids, resource=name, full=full)
            except NotFound:
                if lists and not cursor:
                    raise
                return Page([])  # The import was there when the walk began.
            rows = [(import_id, row) for row in page.items if translate.is_export_job(row)]
            return Page(rows, page.next_cursor)

        page = await newest.read(
            fetch,
            given if lists else every,
            cursor,
            size,
            when=lambda row: translate.created_ms(row[1]),
            key=lambda row: names.join_id(row[0], str(row[1].id)),
        )
        return Page([translate.export_job(self.connection, *row) for row in page.items], page.next_cursor)

    async def get_export_job(self, export_job_id: str, *, full: bool = False) -> ExportJob:
        import_id, _ = _job_ids(export_job_id)
        return translate.export_job(self.connection, import_id, await self._execution(export_job_id, full=full))

    async def _execution(self, export_job_id: str, *, full: bool = False) -> wire.Execution:
        ids, name = _job_ids(export_job_id), names.export_job(self.connection, export_job_id)
        try:
            source = (await self._call(wire.GET_EXECUTION, *ids, resource=name, full=full)).data
        except (NotFound, Rejected) as error:
            # Nothing documents this GET. The list is.
            if isinstance(error, Rejected) and error.fault.http_status != NO_SUCH_OPERATION:
                raise
            source = await self._listed(*ids, resource=name, full=full)
        if not translate.is_export_job(source):
            raise self.http.missing(name)
        return source

    async def _listed(self, import_id: str, execution_id: str, *, resource: str, full: bool) -> wire.Execution:
        offset = 0
        while True:
            page = await self._stretch(
                wire.LIST_EXECUTIONS, offset, MAX_RESULTS, import_id, resource=resource, full=full
            )
            for row in page.items:
                if str(row.id) == execution_id:
                    return row
            if not page.next_cursor:
                raise self.http.missing(resource)
            offset = int(page.next_cursor)

    async def find_export_jobs(self, wanted: ExportJob, *, marker: str, sent_at_s: float) -> list[ExportJob]:
        if not self.settings.mark_files or not marker:
            raise self._no("find_export_jobs")
        query = ListQuery(terms=(Term(DESTINATION, "=", wanted.destination),))

        async def read(cursor: str) -> Page[ExportJob]:
            return await self.list_export_jobs(query, cursor, MAX_RESULTS)

        try:
            jobs = await lost.newest(read, lost.created, sent_at_s)
        except NotFound:
            # An import that is gone has taken its executions along: one may have run before.
            raise self._no("find_export_jobs") from None
        found = [job for job in jobs if translate.is_marked(job, marker)]
        unnamed = [job for job in jobs if not translate.is_named(job) and job.state not in FINAL]
        if not found and any(lost.is_since(lost.created(job), sent_at_s) for job in unnamed):
            raise self.http.named(
                Unavailable("mediarithmics does not say yet how the files of its executions are called")
            )
        return found

    async def cancel_export_job(self, export_job_id: str) -> ExportJob:
        ids, name = _job_ids(export_job_id), names.export_job(self.connection, export_job_id)
        refusal = None
        try:
            # It may be sent again: what is cancelled stays so.
            answer = await self._send(wire.ACT, *ids, json={"action": "CANCEL"}, resource=name, retry=Retry.IDEMPOTENT)
            self._refuse_a_page(answer)
        except (Rejected, NotFound, Conflict) as error:
            refusal = error
        job = await self.get_export_job(export_job_id)
        if refusal is None and job.state not in FINAL:
            job.state = ExportJob.CANCELLING  # It was taken, and there is no word for what comes then.
        if job.state not in {ExportJob.CANCELLED, ExportJob.CANCELLING}:
            raise _wrong_state(job, "EXPORT_JOB_NOT_CANCELLABLE") from refusal
        return job

    @asynccontextmanager
    async def download_export_job(
        self, export_job_id: str, *, artifact_id: str, offset: int
    ) -> AsyncIterator[Download]:
        name = names.export_job(self.connection, export_job_id)
        artifact_id = artifact_id or translate.INPUT
        if artifact_id not in {translate.INPUT, translate.ERROR}:
            raise _no_artifact(name, artifact_id)
        import_id, _ = _job_ids(export_job_id)
        source = await self._execution(export_job_id)
        job = translate.export_job(self.connection, import_id, source)
        uri = translate.uris(source).get(artifact_id)
        if uri is None:
            if job.state not in FINAL:
                raise _wrong_state(job, "EXPORT_JOB_NOT_DOWNLOADABLE")
            raise _no_artifact(name, artifact_id)
        async with AsyncExitStack() as opened:
            try:
                streaming = self.http.stream(wire.GET_FILE.path, offset=offset, query=[("uri", uri)])
                stream = await opened.enter_async_context(streaming)
            except NotFound as error:
                raise _no_artifact(name, artifact_id) from error
            filename = stream.filename or next(a.filename for a in job.artifacts if a.artifact_id == artifact_id)
            content_type = stream.headers.get("Content-Type", "application/octet-stream")
            header = DownloadHeader(content_type=content_type, filename=filename, size_bytes=stream.size_bytes)
            yield Download(header, stream.chunks)

    # Members, which are the rows of files.

    async def upload_audience_members(
        self, destination_id: str, defaults: AudienceMemberDefaults
    ) -> "MediarithmicsFile":
        members.check(defaults, translate.DIALECT, now_ms=self.now_ms())
        source = await self._import(destination_id)
        form = translate.FORMS.get(source.mime_type or "")
        if form is None:
            raise self.http.named(ProtocolViolation(f"an import of user segments takes no {source.mime_type!a}"))
        return MediarithmicsFile(self, str(source.id), form, defaults)

    async def send_file(self, import_id: str, form: translate.Form, body: File, marker: str) -> ExportJob:
        """Hand a whole file to an import."""
        content_type, name = form.content_type, names.destination(self.connection, names.join_id(import_id))
        if marker and self.settings.mark_files:
            content_type, head, tail = translate.multipart(form, marker, token_hex(16))
            body = File(file=body.file, size_bytes=body.size_bytes, head=head, tail=tail)
        answer = await self._send(wire.CREATE_EXECUTION, import_id, body=body, content_type=content_type, resource=name)
        source = self.http.decode(answer, wire.CREATE_EXECUTION.reply).data
        return translate.export_job(self.connection, import_id, source)

    def now_ms(self) -> int:
        """Return the time in epoch milliseconds."""
        return int(self.transport.now() * 1000)

    # Calls.

    async def _stretch(
        self,
        operation: wire.Operation[wire.Many[R]],
        offset: int,
        limit: int,
        *ids: str,
        resource: str = "",
        full: bool = False,
    ) -> Page[R]:
        """Return *limit* items of a list, or what is left of it; the cursor is the next offset."""
        rows: list[R] = []
        while True:
            asked, at = limit - len(rows), offset + len(rows)
            found = await self._call(operation, *ids, query=_part(at, asked), resource=resource, full=full)
            rows += found.data
            # Where no total is said, a short page is the end, unless it is short because mediarithmics cut the size.
            used = min(asked, found.max_results or asked)
            left = len(found.data) == used if found.total is None else 0 < len(found.data) < found.total - at
            if not left or len(rows) >= limit:
                return Page(rows[:limit], str(offset + limit) if left else "")

    async def _call(
        self,
        operation: wire.Operation[T],
        *ids: str,
        query: Query = (),
        json: object = msgspec.UNSET,
        resource: str = "",
        full: bool = False,
    ) -> T:
        """Return what was answered; in the FULL view keep what is not modelled."""
        answer = await self._send(operation, *ids, query=query, json=json, resource=resource)
        found = self.http.decode(answer, operation.reply)
        if full:
            keep(found, self.http.decode(answer, wire.Json))
        return found

    def _refuse_a_page(self, answer: Answer) -> None:
        """Refuse what is no JSON, where nothing else of an answer is needed: a proxy's page says nothing was done."""
        if answer.body.strip():
            self.http.decode(answer, wire.Json)

    async def _send(
        self,
        operation: wire.Operation[object],
        *ids: str,
        query: Query = (),
        json: object = msgspec.UNSET,
        body: File | None = None,
        content_type: str = "",
        resource: str = "",
        conflict: str | None = None,
        retry: Retry | None = None,
    ) -> Answer:
        """Send one call below the datamart; *resource* is what a 404 is about, empty for the datamart itself."""
        try:
            return await self.http.send(
                operation.method,
                route(operation.path, self.settings.datamart_id, *ids),
                retry=retry or RETRIES[operation.method],
                query=query,
                json=json,
                body=body,
                headers={"Content-Type": content_type} if content_type else None,
                resource=resource,
                conflict=conflict,
            )
        except NotFound as error:
            if resource:
                raise
            message = f"mediarithmics shows no datamart {self.settings.datamart_id} to the user of this token"
            raise self.http.named(PermissionMissing(message, fault=error.fault)) from error


class MediarithmicsFile:
    """How one document import takes members."""

    max_bytes = MAX_FILE_BYTES

    def __init__(
        self,
        adapter: MediarithmicsAdapter,
        import_id: str,
        form: translate.Form,
        defaults: AudienceMemberDefaults,
    ) -> None:
        self.head = form.head
        self._adapter = adapter
        self._import_id = import_id
        self._form = form
        self._defaults = defaults

    def rows(self, batch: Iterable[AudienceMember], first_index: int) -> bytes:
        """Return the rows of members, checked. Raises: InvalidRequest."""
        now_ms = self._adapter.now_ms()
        made = members.rows(wire.Command, batch, first_index, self._defaults, translate.DIALECT, now_ms=now_ms)
        return self._form.write(made)

    async def send(self, file: IO[bytes], size_bytes: int, *, marker: str) -> ExportJob:
        """Hand a whole file to the import. Not idempotent."""
        body = File(file=file, size_bytes=size_bytes)
        return await self._adapter.send_file(self._import_id, self._form, body, marker)


def _part(offset: int, limit: int) -> Query:
    return [("first_result", str(offset)), ("max_results", str(limit))]


def _ids(destination_id: str) -> tuple[str, ...]:
    return names.split_id(destination_id, 1, "Destination")


def _job_ids(export_job_id: str) -> tuple[str, ...]:
    return names.split_id(export_job_id, 2)


def _wrong_state(job: ExportJob, reason: str) -> Precondition:
    state = ExportJob.State.Name(job.state)
    return Precondition(f"{job.name} is {state}", reason=reason, metadata={"state": state}, resource=job.name)


def _no_artifact(name: str, artifact_id: str) -> Missing:
    return Missing(f"{name} has no artifact {artifact_id[:64]!a}", reason="ARTIFACT_NOT_FOUND")
