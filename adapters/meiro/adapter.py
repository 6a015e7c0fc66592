"""Meiro CDP over REST: segment export destinations and segment exports.

Docs:   https://docs.meiro.dev/docs/api/meiro-cdp-api (read 2026-11-22)
Auth:   `X-Access-Token`: a ready token, or one by e-mail and password that lives 8 hours.
Paging: limit and offset, no total; order_by and order_dir are always sent, since the documented defaults disagree.
Limits: none documented; no limit above 100 is asked for. An export is of exactly one segment.
"""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from adapters import lost, names, offsets
from adapters.auth import Auth, FixedAuth, Token, TokenAuth
from adapters.base import Adapter, ConnectionSettings, Download, Edit, Limits, Listing, ListQuery, Page
from adapters.errors import (
    AlreadyExists,
    Conflict,
    CredentialsRejected,
    Fault,
    InvalidRequest,
    Missing,
    NotFound,
    Precondition,
    Rejected,
    VendorError,
    invalid_field,
)
from adapters.extras import keep
from adapters.http import MAX_VENDOR_MESSAGE_CHARS, Http, Query, route
from adapters.keys import Address, Word
from adapters.meiro import translate, wire
from adapters.retry import Retry
from adapters.secrets import Secret, scrub
from adapters.states import FINAL
from adapters.together import together
from adapters.transport import Transport
from adapters.wellknown import timestamp
from audiencegateway.v1.connections_pb2 import CheckConnectionResponse
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import DownloadHeader, ExportJob, ExportJobRevision, LogEntry

T = TypeVar("T")
R = TypeVar("R", wire.Destination, wire.Export, wire.History, wire.Log)


RETRIES = {"GET": Retry.READ, "PATCH": Retry.IDEMPOTENT, "DELETE": Retry.IDEMPOTENT, "POST": Retry.ONCE}
DESTINATION_ORDERS = {"": "id", "display_name": "name", "create_time": "created"}
LOG_ORDERS = {"": "id", "entry_id": "id", "log_time": "created"}
# A history item has no time of its own; its ids grow with time.
REVISION_ORDERS = {"": "id", "create_time": "id"}
AUDIENCE = "audiences.audience_id"
IN_TRASH = "trash:"
"""Begins the cursors of what comes after the live destinations."""
MAX_LIMIT = 100
TOKEN_LIFE_S = 8 * 3600.0
REFRESH_GRACE_S = 4 * 3600.0
"""How long after its end Meiro still refreshes a token."""
REFRESH_MARGIN_S = 300.0


class MeiroSettings(ConnectionSettings, kw_only=True, frozen=True):
    """A connection to one Meiro instance."""

    base_url: Address
    """The instance's API with its whole path, for example `https://acme.meiro.io/api/`."""
    token: Secret | None = None
    """A ready token. Either this, or `email` and `password`."""
    email: Word = ""
    """The user to log in as; what its role allows is what the gateway can do."""
    password: Secret | None = None
    """That user's password."""
    mark_exports: bool = True
    """Whether exports are named `<display_name> [gw:<mark>]`, to be found again where Meiro's answer was lost; nothing
    else could find them. The mark is taken off on every read."""

    @classmethod
    def contradictions(cls, given: Collection[str]) -> Iterator[str]:
        logins = tuple(name for name in ("token", "email", "password") if name in given)
        if logins not in {("token",), ("email", "password")}:
            yield "must have either token, or email and password"


class MeiroAdapter(Adapter[MeiroSettings]):
    """One Meiro instance."""

    vendor = "meiro"
    Settings = MeiroSettings
    sandbox = "adapters.meiro.sandbox:MeiroSandbox"
    destination_fields = frozenset(translate.WRITES)
    export_job_fields = frozenset({"display_name", "destination", AUDIENCE})
    limits = Limits(max_page_size=MAX_LIMIT, max_audiences_per_export=1)
    destinations = Listing(native_orders=frozenset(DESTINATION_ORDERS) - {""})
    export_jobs = Listing(
        native_filters=frozenset({AUDIENCE}), native_orders=frozenset({"create_time"}), required_filter=AUDIENCE
    )
    log_entries = Listing(native_orders=frozenset(LOG_ORDERS) - {""})
    revisions = Listing(native_orders=frozenset(REVISION_ORDERS) - {""})

    def __init__(self, connection: str, settings: MeiroSettings, transport: Transport) -> None:
        super().__init__(connection, settings, transport)
        self.auth: FixedAuth | TokenAuth
        if settings.token:
            self.auth = FixedAuth(_proof(settings.token.reveal()), settings.token)
        else:
            secrets = [Secret(settings.email), *filter(None, [settings.password])]
            self.auth = TokenAuth(self._log_in, _proof, *secrets, now=transport.now, margin_s=REFRESH_MARGIN_S)
        self.http = self._http(self.auth)

    @property
    def account(self) -> str:
        return urlsplit(self.settings.base_url).hostname or ""

    async def check_connection(self) -> CheckConnectionResponse:
        await self._call(wire.LIST_DESTINATIONS, query=[("limit", "1"), ("offset", "0"), *_order("id")])
        response = CheckConnectionResponse()
        if isinstance(self.auth, TokenAuth) and self.auth.expires_at_s:
            response.credential_expire_time.FromSeconds(int(self.auth.expires_at_s))
        return response

    # Destinations.

    async def list_destinations(self, query: ListQuery, cursor: str, size: int) -> Page[Destination]:
        state = query.fixed("state")
        if query.order_by and (query.show_deleted or state == "DELETED"):
            raise invalid_field("order_by", "Meiro has no order for deleted destinations", reason="INVALID_ORDER_BY")
        if state == "DELETED" or cursor.startswith(IN_TRASH):
            return await self._list_trash(query, cursor, size)
        order = _order(DESTINATION_ORDERS[query.order_by], descending=query.descending)
        rows = await self._page(wire.LIST_DESTINATIONS, cursor, size, query=order, full=query.full)
        found = [translate.destination(self.connection, row) for row in rows.items]
        live = [destination for destination in found if destination.state != Destination.DELETED]
        if query.full:
            await together(self._add_running_export, live)
        then = IN_TRASH if query.show_deleted and state is None else ""
        return Page(live, rows.next_cursor or then)

    async def _list_trash(self, query: ListQuery, cursor: str, size: int) -> Page[Destination]:
        searched = [term.value for term in query.terms if term.field == "display_name" and term.op == ":"]
        text = [("searched_text", value) for value in searched[:1]]
        rows = await self._page(wire.LIST_TRASH, cursor.removeprefix(IN_TRASH), size, query=text)
        items = [translate.destination(self.connection, row, deleted=True) for row in rows.items]
        return Page(items, rows.next_cursor and IN_TRASH + rows.next_cursor)

    async def get_destination(self, destination_id: str, *, full: bool = False) -> Destination:
        destination = translate.destination(self.connection, await self._live(destination_id, full=full))
        if full:
            await self._add_running_export(destination)
        return destination

    async def update_destination(self, destination_id: str, edit: Edit[Destination]) -> Destination:
        present = await self._live(destination_id)
        shown = translate.destination(self.connection, present)
        change = edit(shown)
        body = translate.patch(change.merged, shown, present, change.paths)
        if change.settled:
            return change.merged
        source = await self._one(wire.PATCH_DESTINATION, *_ids(destination_id), resource=shown.name, json=body)
        return translate.destination(self.connection, source)

    async def delete_destination(self, destination: Destination, *, force: bool, validate_only: bool) -> Destination:
        if not validate_only:
            ids, name = _ids_of(destination), destination.name
            with suppress(NotFound):  # It was just read, so that this is what a repeated DELETE finds.
                await self._call(wire.DELETE_DESTINATION, *ids, resource=name, conflict="DESTINATION_IN_USE")
        deleted = Destination()
        deleted.CopyFrom(destination)
        deleted.state = Destination.DELETED
        return deleted

    async def undelete_destination(self, destination_id: str, *, validate_only: bool) -> Destination:
        name = names.destination(self.connection, destination_id)
        with suppress(NotFound):
            await self._live(destination_id)
            raise AlreadyExists(f"{name} is not deleted", reason="DESTINATION_NOT_DELETED", resource=name)
        if validate_only:
            return await self._as_if_live(name)
        with suppress(NotFound):  # A repeated PATCH finds nothing in the trash.
            await self._call(wire.RESTORE_DESTINATION, *_ids(destination_id), resource=name)
        # Not the answer of PATCH: in its sample, a restored destination has lost its settings.
        return await self.get_destination(destination_id)

    async def _as_if_live(self, name: str) -> Destination:
        page = Page[Destination]([], IN_TRASH)
        while page.next_cursor:
            page = await self._list_trash(ListQuery(), page.next_cursor, MAX_LIMIT)
            for destination in page.items:
                if destination.name == name:
                    destination.state = Destination.SUSPENDED if destination.disabled else Destination.ACTIVE
                    return destination
        raise self.http.missing(name)

    async def _live(self, destination_id: str, *, full: bool = False) -> wire.Destination:
        name = names.destination(self.connection, destination_id)
        source = await self._one(wire.GET_DESTINATION, *_ids(destination_id), resource=name, full=full)
        if source.deleted:
            raise self.http.missing(name)
        return source

    async def _add_running_export(self, destination: Destination) -> None:
        # Where nothing runs: 404, null, or null inside; the documentation does not say which.
        with suppress(NotFound):
            source = await self._one(wire.GET_RUNNING_EXPORT, *_ids_of(destination), resource=destination.name)
            job = translate.export_job(self.connection, str(source.segment_id), source)
            if source.segment_id is not None and job.state not in FINAL:
                destination.running_export_job = job.name

    # Export jobs.

    async def list_export_jobs(self, query: ListQuery, cursor: str, size: int) -> Page[ExportJob]:
        audience_id = query.fixed(AUDIENCE)
        if audience_id is None:
            message = f"Meiro lists the exports of one segment: the filter has to fix {AUDIENCE}"
            raise InvalidRequest(message, reason="FILTER_REQUIRED", metadata={"field": AUDIENCE})
        order = _order("created", descending=query.descending) if query.order_by else _order("id", descending=True)
        try:
            rows = await self._page(wire.LIST_EXPORTS, cursor, size, audience_id, query=order, full=query.full)
        except NotFound as error:
            raise self._no_audience(audience_id, error) from None
        items = [translate.export_job(self.connection, audience_id, row) for row in rows.items]
        return Page(items, rows.next_cursor)

    async def get_export_job(self, export_job_id: str, *, full: bool = False) -> ExportJob:
        job = await self._job(wire.GET_EXPORT, export_job_id, full=full)
        if full and job.state == ExportJob.FAILED:
            translate.explain(job, await self._last_error(export_job_id))
        return job

    async def _last_error(self, export_job_id: str) -> str:
        """Return why an export failed, which Meiro says in its log alone; empty where it can't be told."""
        newest_first = ListQuery(order_by="entry_id", descending=True)
        try:
            page = await self.list_export_job_log_entries(export_job_id, newest_first, "", MAX_LIMIT)
        except VendorError:
            return ""
        text = next((entry.text for entry in page.items if entry.severity == LogEntry.ERROR), "")
        return scrub(text, self.auth.secrets())[:MAX_VENDOR_MESSAGE_CHARS]

    async def create_export_job(self, export_job: ExportJob, *, marker: str, validate_only: bool) -> ExportJob:
        audience_id, body = translate.run(self.connection, export_job, marker if self.settings.mark_exports else "")
        if validate_only:
            planned = ExportJob(display_name=export_job.display_name, destination=export_job.destination)
            planned.audiences.add(audience_id=audience_id)
            return planned
        try:
            source = await self._one(wire.RUN_EXPORT, audience_id, json=body)
        except NotFound as error:
            await self._blame_destination(export_job.destination, error)
            raise self._no_audience(audience_id, error) from error
        except (Rejected, Conflict) as error:
            await self._blame_destination(export_job.destination, error)
            raise
        return translate.export_job(self.connection, audience_id, source)

    async def find_export_jobs(self, wanted: ExportJob, *, marker: str, sent_at_s: float) -> list[ExportJob]:
        if not self.settings.mark_exports or not marker:
            raise self._no("find_export_jobs")
        audience_id = wanted.audiences[0].audience_id

        async def read(cursor: str) -> Page[wire.Export]:
            order = _order("id", descending=True)
            return await self._page(wire.LIST_EXPORTS, cursor, MAX_LIMIT, audience_id, query=order)

        try:
            rows = await lost.newest(read, lambda row: timestamp(row.created), sent_at_s)
        except NotFound:
            # A segment that is gone has taken its exports along: one may have run before.
            raise self._no("find_export_jobs") from None
        return [
            translate.export_job(self.connection, audience_id, row) for row in rows if translate.mark(row) == marker
        ]

    async def _blame_destination(self, name: str, refusal: VendorError) -> None:
        """Raise what a refused run does not say: that its destination is not there, or disabled."""
        _, destination_id = names.parse(name, "Destination")
        try:
            destination = await self.get_destination(destination_id)
        except NotFound:
            raise
        except VendorError:
            return
        if destination.disabled:
            raise Precondition(f"{name} is disabled", reason="DESTINATION_DISABLED", resource=name) from refusal

    def _no_audience(self, audience_id: str, error: NotFound) -> NotFound:
        message = f"Meiro has no segment {audience_id[:64]!a}"
        return self.http.named(NotFound(message, reason="AUDIENCE_NOT_FOUND", fault=error.fault))

    async def cancel_export_job(self, export_job_id: str) -> ExportJob:
        refusal = None
        try:
            job = await self._job(wire.CANCEL_EXPORT, export_job_id)
        except (Rejected, NotFound, Conflict) as error:
            refusal, job = error, await self.get_export_job(export_job_id)
            if job.state not in FINAL:
                raise
        if job.state in FINAL - {ExportJob.CANCELLED}:
            raise _wrong_state(job, "EXPORT_JOB_NOT_CANCELLABLE") from refusal
        return job

    async def list_export_job_log_entries(
        self, export_job_id: str, query: ListQuery, cursor: str, size: int
    ) -> Page[LogEntry]:
        order = _order(LOG_ORDERS[query.order_by], descending=query.descending)
        name, ids = names.export_job(self.connection, export_job_id), _job_ids(export_job_id)
        rows = await self._page(wire.LIST_LOGS, cursor, size, *ids, query=order, resource=name)
        return Page([translate.log_entry(row) for row in rows.items], rows.next_cursor)

    async def list_export_job_revisions(
        self, export_job_id: str, query: ListQuery, cursor: str, size: int
    ) -> Page[ExportJobRevision]:
        order = _order(REVISION_ORDERS[query.order_by], descending=query.descending)
        name, ids = names.export_job(self.connection, export_job_id), _job_ids(export_job_id)
        rows = await self._page(wire.LIST_HISTORY, cursor, size, *ids, query=order, resource=name)
        items = [translate.revision(self.connection, export_job_id, row) for row in rows.items]
        return Page(items, rows.next_cursor)

    async def get_export_job_revision(self, export_job_id: str, revision_id: str) -> ExportJobRevision:
        ids, name = _job_ids(export_job_id), names.revision(self.connection, export_job_id, revision_id)
        if revision_id == translate.CURRENT:
            source = wire.History(await self._one(wire.GET_EXPORT, *ids, resource=name))
        else:
            (history_id,) = names.split_id(revision_id, 1, "ExportJobRevision")
            source = await self._one(wire.GET_HISTORY, *ids, history_id, resource=name)
            source.id = history_id
        return translate.revision(self.connection, export_job_id, source)

    @asynccontextmanager
    async def download_export_job(
        self, export_job_id: str, *, artifact_id: str, offset: int
    ) -> AsyncIterator[Download]:
        name = names.export_job(self.connection, export_job_id)
        _, path, _, permission = wire.DOWNLOAD
        path = route(path, *_job_ids(export_job_id))
        if artifact_id not in {"", translate.FILE}:
            raise Missing(f"{name} has no artifact {artifact_id[:64]!a}", reason="ARTIFACT_NOT_FOUND")
        async with AsyncExitStack() as opened:
            try:
                streaming = self.http.stream(path, offset=offset, resource=name, permission=permission)
                stream = await opened.enter_async_context(streaming)
            except (Rejected, NotFound, Conflict) as error:
                job = await self.get_export_job(export_job_id)
                if job.state != ExportJob.SUCCEEDED:
                    raise _wrong_state(job, "EXPORT_JOB_NOT_DOWNLOADABLE") from error
                raise Missing(f"{name} made no file", reason="ARTIFACT_NOT_FOUND") from error
            content_type = stream.headers.get("Content-Type", "application/octet-stream")
            header = DownloadHeader(content_type=content_type, filename=stream.filename, size_bytes=stream.size_bytes)
            yield Download(header, stream.chunks)

    async def _job(
        self, operation: wire.Operation[wire.OneExport], export_job_id: str, *, full: bool = False
    ) -> ExportJob:
        ids, name = _job_ids(export_job_id), names.export_job(self.connection, export_job_id)
        source = await self._one(operation, *ids, resource=name, full=full)
        return translate.export_job(self.connection, ids[0], source)

    # Calls.

    async def _page(
        self,
        operation: wire.Operation[wire.Many[R]],
        cursor: str,
        size: int,
        *ids: str,
        query: Query,
        resource: str = "",
        full: bool = False,
    ) -> Page[R]:
        async def fetch(offset: int, limit: int) -> Sequence[R]:
            rows: list[R] = []
            while True:
                part = [("limit", str(limit - len(rows))), ("offset", str(offset + len(rows))), *query]
                found = await self._call(operation, *ids, query=part, resource=resource, full=full)
                rows += found.rows
                # Meiro may cut a limit, and says so: a list that is short for that reason goes on.
                used = found.selection_settings.limit if found.selection_settings else None
                if len(rows) >= limit or not used or len(found.rows) < used:
                    return rows

        return await offsets.read(fetch, lambda row: str(row.id), cursor, size, MAX_LIMIT)

    async def _one(
        self,
        operation: wire.Operation[wire.One[T]],
        *ids: str,
        json: object = msgspec.UNSET,
        resource: str = "",
        full: bool = False,
    ) -> T:
        found = (await self._call(operation, *ids, json=json, resource=resource, full=full)).found
        if found is None:
            raise self.http.missing(resource)
        return found

    async def _call(
        self,
        operation: wire.Operation[T],
        *ids: str,
        query: Query = (),
        json: object = msgspec.UNSET,
        resource: str = "",
        full: bool = False,
        conflict: str | None = None,
    ) -> T:
        """Send one call; in the FULL view ask for sub-entities, and keep what is not modelled."""
        method, path, reply, permission = operation
        answer = await self.http.send(
            method,
            route(path, *ids),
            retry=RETRIES[method],
            query=[*query, ("load_full_structure", "1")] if full else query,
            json=json,
            resource=resource,
            conflict=conflict,
            permission=permission,
        )
        # What is not there may also be answered so. After a POST, it would be no answer at all.
        if answer.body.strip() == b"null" and method != "POST":
            raise self.http.missing(resource, Fault(http_status=answer.status))
        found = self.http.decode(answer, reply)
        if full:
            keep(found, self.http.decode(answer, wire.Json))
        return found

    async def _log_in(self, present: Token | None) -> Token:
        """Return a new token: by refreshing *present* about its end, while Meiro takes it, else by password."""
        left_s = present.expires_at_s - self.transport.now() if present else REFRESH_MARGIN_S + 1
        # One with more time left was refused: Meiro would not refresh it either.
        if present and -REFRESH_GRACE_S < left_s <= REFRESH_MARGIN_S:
            with suppress(CredentialsRejected, Rejected):
                return await self._token("PATCH", token=present.secret.reveal())
        password = self.settings.password.reveal() if self.settings.password else ""
        return await self._token("POST", email=self.settings.email, password=password)

    async def _token(self, method: str, **proof: str) -> Token:
        expires_at_s = self.transport.now() + TOKEN_LIFE_S
        http = self._http(FixedAuth({}, *map(Secret, proof.values())))
        # Either may be sent again: a token more does no harm.
        answer = await http.send(method, "users/login", retry=Retry.IDEMPOTENT, json=proof)
        return Token(Secret(http.decode(answer, wire.Token).token), expires_at_s)

    def _http(self, auth: Auth) -> Http:
        headers = {"Content-Type": "application/json"}
        return Http(self.transport, self.settings.base_url, auth=auth, read_fault=translate.fault, headers=headers)


def _proof(token: str) -> Mapping[str, str]:
    return {"X-Access-Token": token}


def _order(column: str, *, descending: bool = False) -> Query:
    return [("order_by", column), ("order_dir", "DESC" if descending else "ASC")]


def _ids(destination_id: str) -> tuple[str, ...]:
    return names.split_id(destination_id, 1, "Destination")


def _job_ids(export_job_id: str) -> tuple[str, ...]:
    return names.split_id(export_job_id, 2)


def _ids_of(destination: Destination) -> tuple[str, ...]:
    _, destination_id = names.parse(destination.name, "Destination")
    return _ids(destination_id)


def _wrong_state(job: ExportJob, reason: str) -> Precondition:
    state = ExportJob.State.Name(job.state)
    return Precondition(f"{job.name} is {state}", reason=reason, metadata={"state": state}, resource=job.name)
