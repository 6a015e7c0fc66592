"""Adobe Experience Platform over REST: export jobs of Segmentation Service (UPS), and the Catalog datasets they fill.

Docs:   https://experienceleague.adobe.com/en/docs/experience-platform/segmentation/api/export-jobs (read 2026-11-22)
Auth:   bearer token by OAuth server-to-server, a day long; API key, organization and sandbox on every call.
Paging: jobs by the offset in `link.next`, newest first; datasets by limit and start, at most 100.
Limits: none published; 429 carries Retry-After in seconds, retryAfterMs, or nothing.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated, TypeVar
from urllib.parse import urlencode

import msgspec

from adapters import lost, names, offsets
from adapters.adobe import translate, wire
from adapters.auth import FixedAuth, Token, TokenAuth
from adapters.base import Adapter, ConnectionSettings, Edit, Limits, Listing, ListQuery, Page, Term
from adapters.errors import (
    Conflict,
    Fault,
    NotFound,
    OutcomeUnknown,
    Precondition,
    ProtocolViolation,
    Rejected,
    VendorError,
    VendorEtagMismatch,
)
from adapters.extras import keep
from adapters.http import Answer, Http, Query, route
from adapters.keys import Address, Must, Word
from adapters.retry import Retry
from adapters.secrets import Secret
from adapters.states import FINAL
from adapters.transport import Transport
from adapters.wellknown import instant
from audiencegateway.v1.connections_pb2 import CheckConnectionResponse
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import ExportJob, LogEntry
from audiencegateway.v1.vendor_config_pb2 import AdobeExportSpec

T = TypeVar("T")
Row = tuple[str, wire.Dataset]
"""A dataset under its id."""

RETRIES = {"GET": Retry.READ, "PATCH": Retry.IDEMPOTENT, "DELETE": Retry.IDEMPOTENT, "POST": Retry.ONCE}
# The second field decides among equals, so that pages fit together.
DATASET_ORDERS = {"": ("created", "name"), "display_name": ("name", "created"), "create_time": ("created", "name")}
MAX_LIMIT = 100
RUNNING_PAGES = 5
"""How many pages of jobs, newest first, are searched for those that run."""
STOPPABLE = frozenset({ExportJob.PENDING, ExportJob.RUNNING})
STOPPED = frozenset({ExportJob.CANCELLING, ExportJob.CANCELLED})
NOT_A_PLAIN_NAME = frozenset("!,*")
"""What has a meaning in Catalog's filter by name."""
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class AdobeSettings(ConnectionSettings, kw_only=True, frozen=True):
    """A connection to one sandbox of an organization."""

    client_id: Word
    """Of the OAuth server-to-server credential; it is the API key, too."""
    client_secret: Secret
    """Of the same credential."""
    organization: Word
    """The organization's id, for example `1BD6382559DF0C130A49422D@AdobeOrg`."""
    sandbox: Annotated[Word, Must("in lower case, as the names of sandboxes are", lambda text: text == text.lower())]
    """The name of the sandbox, in lower case, for example `prod`."""
    scope: Word = "openid,session,AdobeID,read_organizations,additional_info.projectedProductContext"
    """The scopes of the credential, separated by commas."""
    ups_url: Address = "https://platform.adobe.io/data/core/ups"
    """Segmentation Service with its whole path."""
    catalog_url: Address = "https://platform.adobe.io/data/foundation/catalog"
    """Catalog Service with its whole path."""
    ims_url: Address = "https://ims-na1.adobelogin.com/ims"
    """The identity service with its whole path, without `/token/v3`."""
    mark_exports: bool = True
    """Whether a job is started with a mark as its `x-request-id`, to be found again where Adobe's answer was lost."""


class AdobeAdapter(Adapter[AdobeSettings]):
    """One sandbox of an organization."""

    vendor = "adobe"
    Settings = AdobeSettings
    sandbox = "adapters.adobe.sandbox:AdobeSandbox"
    destination_fields = frozenset({*translate.WRITES, "adobe.schema_ref_id", "adobe.schema_content_type"})
    export_job_fields = frozenset(
        {"destination", "audiences", *(f"adobe.{field.name}" for field in AdobeExportSpec.DESCRIPTOR.fields)}
    )
    emulated = frozenset({"list_export_job_log_entries"})
    limits = Limits(max_page_size=MAX_LIMIT)
    destinations = Listing(
        native_filters=frozenset({"display_name"}), native_orders=frozenset({"display_name", "create_time"})
    )
    export_jobs = Listing(native_filters=frozenset({"state"}))

    def __init__(self, connection: str, settings: AdobeSettings, transport: Transport) -> None:
        super().__init__(connection, settings, transport)
        self.ims = Http(
            transport,
            settings.ims_url,
            auth=FixedAuth({}, settings.client_secret),
            read_fault=translate.login_fault,
        )
        self.auth = TokenAuth(self._log_in, _proof, settings.client_secret, now=transport.now)
        self.ups, self.catalog = (self._service(url) for url in (settings.ups_url, settings.catalog_url))

    @property
    def account(self) -> str:
        return f"{self.settings.organization}/{self.settings.sandbox}"

    async def check_connection(self) -> CheckConnectionResponse:
        await self._call(wire.LIST_JOBS, query=[("limit", "1")])
        response = CheckConnectionResponse()
        response.credential_expire_time.FromSeconds(int(self.auth.expires_at_s or 0))
        return response

    # Destinations.

    async def list_destinations(self, query: ListQuery, cursor: str, size: int) -> Page[Destination]:
        sign = "desc:" if query.descending else "asc:"
        order = ",".join(sign + field for field in DATASET_ORDERS[query.order_by])
        filters = [("orderBy", order), *_name_filter(query)]

        async def fetch(start: int, limit: int) -> Sequence[Row]:
            part = [("limit", str(limit)), ("start", str(start)), *filters]
            found = await self._call(wire.LIST_DATASETS, query=part, full=query.full)
            return list(found.items())

        rows = await offsets.read(
            fetch,
            lambda row: row[0],
            cursor,
            size,
            MAX_LIMIT,
            # Few datasets are destinations, and Catalog can't tell which.
            keep=lambda row: translate.is_destination(row[1]),
        )
        items = [self._destination(*row) for row in rows.items]
        if query.full:
            await self._add_running_jobs(items)
        return Page(items, rows.next_cursor)

    async def get_destination(self, destination_id: str, *, full: bool = False) -> Destination:
        row, _ = await self._row(destination_id, full=full)
        destination = self._destination(*row)
        if full:
            await self._add_running_jobs([destination])
        return destination

    async def create_destination(self, destination: Destination, *, validate_only: bool) -> Destination:
        body, conflict = translate.dataset(destination), "DESTINATION_ALREADY_EXISTS"
        planned = msgspec.convert(body, wire.Dataset)
        if validate_only:
            # Nothing comes of it, so that it may be sent again.
            dry_run = {"Pragma": "validate-only"}
            await self._send(wire.CREATE_DATASET, retry=Retry.READ, json=body, headers=dry_run, conflict=conflict)
            return self._destination("", planned)
        references = await self._call(wire.CREATE_DATASET, json=body, conflict=conflict)
        dataset_id = translate.dataset_id(references)
        if not dataset_id:
            raise self.catalog.named(ProtocolViolation("Adobe made a dataset and did not say which"))
        return await self._as_written(self._destination(dataset_id, planned))

    async def find_destinations(self, wanted: Destination, *, sent_at_s: float) -> list[Destination]:
        terms = (Term("display_name", "=", wanted.display_name),)
        query = ListQuery(terms=terms, order_by="create_time", descending=True)

        async def read(cursor: str) -> Page[Destination]:
            return await self.list_destinations(query, cursor, MAX_LIMIT)

        found = await lost.newest(read, lost.created, sent_at_s)
        # Not the rest of it: Adobe adds tags of its own.
        named = [one for one in found if one.display_name == wanted.display_name]
        return [one for one in named if lost.is_since(lost.created(one), sent_at_s)]

    async def update_destination(self, destination_id: str, edit: Edit[Destination]) -> Destination:
        (dataset_id, present), etag = await self._row(destination_id)
        shown = self._destination(dataset_id, present)
        change = edit(shown)
        body = translate.patch(change.merged, change.paths)
        if change.settled:
            return change.merged
        match = {"If-Match": etag} if etag else None
        try:
            changed = await self._call(wire.PATCH_DATASET, dataset_id, json=body, headers=match, resource=shown.name)
        except VendorEtagMismatch:
            # It may be our own doing: an attempt whose answer was lost made another version of it.
            now = await self.get_destination(destination_id)
            if translate.patch(now, change.paths) != body:
                raise
            return now
        if not changed:
            raise self.catalog.missing(shown.name)
        return await self._as_written(change.merged)

    async def delete_destination(self, destination: Destination, *, force: bool, validate_only: bool) -> Destination:
        if not validate_only:
            _, destination_id = names.parse(destination.name, "Destination")
            name, conflict = destination.name, "DESTINATION_IN_USE"
            # It was just read, so that finding nothing, in either form, is what a repeated DELETE does.
            with suppress(NotFound):
                await self._call(wire.DELETE_DATASET, *_ids(destination_id), resource=name, conflict=conflict)
        deleted = Destination()
        deleted.CopyFrom(destination)
        deleted.state = Destination.DELETED
        return deleted

    async def _row(self, destination_id: str, *, full: bool = False) -> tuple[Row, str]:
        """Return a dataset that is a destination, and its etag at Adobe, which may be empty."""
        (dataset_id,) = _ids(destination_id)
        name = names.destination(self.connection, destination_id)
        answer = await self._send(wire.GET_DATASET, dataset_id, resource=name)
        source = self._decode(wire.GET_DATASET, answer, full=full).get(dataset_id)
        if source is None or not translate.is_destination(source):
            raise self.catalog.missing(name, Fault(http_status=answer.status))
        return (dataset_id, source), answer.headers.get("ETag") or answer.headers.get("E-Tag") or ""

    async def _as_written(self, written: Destination) -> Destination:
        """Return a destination as it now is, or as it was written where that can't be read: the write is done."""
        _, destination_id = names.parse(written.name, "Destination")
        with suppress(VendorError):
            return await self.get_destination(destination_id)
        return written

    async def _add_running_jobs(self, destinations: Sequence[Destination]) -> None:
        """Say of each destination which is the newest job into it that is not over, as far as recent jobs tell."""
        waiting, cursor = {destination.name: destination for destination in destinations}, ""
        for _ in range(RUNNING_PAGES):
            if not waiting:
                return
            page = await self.list_export_jobs(ListQuery(), cursor, MAX_LIMIT)
            for job in page.items:
                if job.state not in FINAL and job.destination in waiting:
                    waiting.pop(job.destination).running_export_job = job.name
            cursor = page.next_cursor
            if not cursor:
                return

    def _destination(self, dataset_id: str, source: wire.Dataset) -> Destination:
        return translate.destination(self.connection, dataset_id, source, sandbox=self.settings.sandbox)

    # Export jobs.

    async def list_export_jobs(self, query: ListQuery, cursor: str, size: int) -> Page[ExportJob]:
        status = translate.LISTED_STATUSES.get(query.fixed("state") or "")
        page = await self._jobs(cursor, size, status=status, full=query.full)
        return Page([translate.export_job(self.connection, job) for job in page.items], page.next_cursor)

    async def _jobs(self, cursor: str, size: int, *, status: str | None = None, full: bool = False) -> Page[wire.Job]:
        optional = [(name, text) for name, text in (("offset", cursor), ("status", status)) if text]
        part = [("limit", str(min(size, MAX_LIMIT))), *optional]
        page = await self._call(wire.LIST_JOBS, query=part, full=full)
        offset = translate.next_offset(page)
        if offset is None:
            raise self.ups.named(ProtocolViolation("Adobe says that there are more jobs, and not where"))
        return Page(page.records, offset)

    async def get_export_job(self, export_job_id: str, *, full: bool = False) -> ExportJob:
        return translate.export_job(self.connection, await self._job(export_job_id, full=full))

    async def create_export_job(self, export_job: ExportJob, *, marker: str, validate_only: bool) -> ExportJob:
        body = translate.run(self.connection, export_job)
        if validate_only:
            return translate.planned(self.connection, body)
        mark = {"x-request-id": marker} if marker and self.settings.mark_exports else None
        try:
            source = await self._call(wire.CREATE_JOB, json=body, headers=mark)
        except (Rejected, NotFound, Conflict) as error:
            await self._blame_destination(export_job.destination)
            if isinstance(error, NotFound):
                raise self._no_audience(error) from error
            raise
        return translate.export_job(self.connection, translate.completed(source, body))

    async def find_export_jobs(self, wanted: ExportJob, *, marker: str, sent_at_s: float) -> list[ExportJob]:
        async def read(cursor: str) -> Page[wire.Job]:
            return await self._jobs(cursor, MAX_LIMIT, full=True)  # The mark is not modelled.

        rows = await lost.newest(read, lambda row: instant(row.creation_time), sent_at_s)
        # Nothing documents that marks are shown; where one is, they are, and the job without it is another.
        if marker and self.settings.mark_exports and any(map(translate.mark, rows)):
            rows = [row for row in rows if translate.mark(row) == marker]
        else:
            body = translate.run(self.connection, wanted)
            since = [row for row in rows if lost.is_since(instant(row.creation_time), sent_at_s)]
            rows = [row for row in since if translate.is_started_by(row, body) and not translate.mark(row)]
        for row in rows:
            row.extras = {}
        return [translate.export_job(self.connection, row) for row in rows]

    async def _blame_destination(self, name: str) -> None:
        """Raise what a refused job does not say for certain: that its destination is not there, or is none."""
        _, destination_id = names.parse(name, "Destination")
        try:
            await self.get_destination(destination_id)
        except NotFound:
            raise
        except VendorError:
            return

    def _no_audience(self, error: NotFound) -> NotFound:
        message = "Adobe does not have what the job is to export"
        return self.ups.named(NotFound(message, reason="AUDIENCE_NOT_FOUND", fault=error.fault))

    async def cancel_export_job(self, export_job_id: str) -> ExportJob:
        try:
            return await self._cancel(export_job_id)
        except (OutcomeUnknown, Rejected, Conflict):
            # By now the job may be over, or about to be: look before it is asked again.
            return await self._cancel(export_job_id)

    async def _cancel(self, export_job_id: str) -> ExportJob:
        job = await self.get_export_job(export_job_id)
        if job.state in STOPPED:
            return job
        # DELETE forgets a job that is over, and of one whose state nobody knows there is no telling.
        if job.state not in STOPPABLE:
            raise _not_cancellable(job)
        answer = await self._send(wire.CANCEL_JOB, *_ids(export_job_id), retry=Retry.ONCE, resource=job.name)
        if answer.body.strip() and self._decode(wire.CANCEL_JOB, answer).status is False:
            raise self.ups.named(Rejected("Adobe did not mark the job for cancelling"))
        return await self._stopped(job)

    async def _stopped(self, job: ExportJob) -> ExportJob:
        """Return a job as it is once it was marked for cancelling, given as it was before."""
        _, export_job_id = names.parse(job.name, "ExportJob")
        with suppress(VendorError):
            try:
                job = await self.get_export_job(export_job_id)
            except NotFound:
                job.state, job.vendor_state = ExportJob.CANCELLED, ""
        if job.state == ExportJob.SUCCEEDED:
            raise _not_cancellable(job)
        if job.state not in STOPPED:
            # Nothing shows the mark, or the job is over because of it and there is no word for that.
            job.state = ExportJob.CANCELLED if job.state in FINAL else ExportJob.CANCELLING
            job.ClearField("error")
        return job

    async def list_export_job_log_entries(
        self, export_job_id: str, query: ListQuery, cursor: str, size: int
    ) -> Page[LogEntry]:
        entries = translate.log_entries(await self._job(export_job_id))

        async def fetch(start: int, limit: int) -> Sequence[LogEntry]:
            return entries[start : start + limit]

        return await offsets.read(fetch, lambda entry: entry.entry_id, cursor, size, MAX_LIMIT)

    async def _job(self, export_job_id: str, *, full: bool = False) -> wire.Job:
        name = names.export_job(self.connection, export_job_id)
        return await self._call(wire.GET_JOB, *_ids(export_job_id, "ExportJob"), resource=name, full=full)

    # Calls.

    async def _call(
        self,
        operation: wire.Operation[T],
        *ids: str,
        query: Query = (),
        json: object = msgspec.UNSET,
        headers: Mapping[str, str] | None = None,
        resource: str = "",
        conflict: str | None = None,
        full: bool = False,
    ) -> T:
        answer = await self._send(
            operation, *ids, query=query, json=json, headers=headers, resource=resource, conflict=conflict
        )
        return self._decode(operation, answer, full=full)

    async def _send(
        self,
        operation: wire.Operation[T],
        *ids: str,
        retry: Retry | None = None,
        query: Query = (),
        json: object = msgspec.UNSET,
        headers: Mapping[str, str] | None = None,
        resource: str = "",
        conflict: str | None = None,
    ) -> Answer:
        service: Http = getattr(self, operation.service)
        return await service.send(
            operation.method,
            route(operation.path, *ids),
            retry=retry or RETRIES[operation.method],
            query=query,
            json=json,
            headers=headers,
            resource=resource,
            conflict=conflict,
            permission=operation.permission,
        )

    def _decode(self, operation: wire.Operation[T], answer: Answer, *, full: bool = False) -> T:
        """Return what was answered; in the FULL view keep what is not modelled."""
        found = self.ups.decode(answer, operation.reply)
        if full:
            keep(found, self.ups.decode(answer, wire.Json))
        return found

    async def _log_in(self, _: Token | None) -> Token:
        asked_at_s, settings = self.transport.now(), self.settings
        form = {
            "grant_type": "client_credentials",
            "client_id": settings.client_id,
            "client_secret": settings.client_secret.reveal(),
            "scope": settings.scope,
        }
        # It may be sent again: a token more does no harm.
        answer = await self.ims.send(
            "POST", "token/v3", retry=Retry.IDEMPOTENT, body=urlencode(form).encode(), headers=FORM
        )
        found = self.ims.decode(answer, wire.Token)
        return Token(Secret(found.access_token), asked_at_s + translate.token_life_s(found.expires_in))

    def _service(self, url: str) -> Http:
        headers = {
            "x-api-key": self.settings.client_id,
            "x-gw-ims-org-id": self.settings.organization,
            "x-sandbox-name": self.settings.sandbox,
        }
        return Http(self.transport, url, auth=self.auth, read_fault=translate.fault, headers=headers)


def _proof(token: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _ids(resource_id: str, kind: str = "Destination") -> tuple[str, ...]:
    return names.split_id(resource_id, 1, kind)


def _name_filter(query: ListQuery) -> Query:
    wanted = (term.value for term in query.terms if term.field == "display_name" and term.op == "=")
    return [("name", text) for text in wanted if text and not NOT_A_PLAIN_NAME & set(text)][:1]


def _not_cancellable(job: ExportJob) -> Precondition:
    state = ExportJob.State.Name(job.state)
    return Precondition(
        f"{job.name} is {state}", reason="EXPORT_JOB_NOT_CANCELLABLE", metadata={"state": state}, resource=job.name
    )
