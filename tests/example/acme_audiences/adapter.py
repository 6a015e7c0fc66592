"""Acme Audiences over REST v2: targets, and runs of segments to them.

Docs:   https://docs.acme.example/rest/v2 (read 2026-11-22)
Auth:   OAuth 2 client credentials; a bearer token that lives 8 hours.
Paging: `after`, an opaque cursor, and `limit`, at most 50; runs come newest first.
Limits: none documented; 429 carries Retry-After.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TypeVar

import msgspec

from acme_audiences import translate, wire
from adapters import lost, names
from adapters.auth import Auth, FixedAuth, Token, TokenAuth
from adapters.base import Adapter, ConnectionSettings, Download, Edit, Limits, Listing, ListQuery, Page
from adapters.errors import Conflict, Missing, NotFound, Precondition
from adapters.extras import keep
from adapters.http import Http, Query, route
from adapters.keys import Address
from adapters.retry import Retry
from adapters.secrets import Secret
from adapters.states import FINAL
from adapters.transport import Transport
from adapters.wellknown import timestamp
from audiencegateway.v1.connections_pb2 import CheckConnectionResponse
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import DownloadHeader, ExportJob

T = TypeVar("T")

RETRIES = {"GET": Retry.READ, "PATCH": Retry.IDEMPOTENT, "DELETE": Retry.IDEMPOTENT, "POST": Retry.ONCE}
MAX_LIMIT = 50


class AcmeSettings(ConnectionSettings, kw_only=True, frozen=True):
    """A connection to one Acme workspace."""

    base_url: Address
    """The API with its version, for example `https://eu.acme.example/v2/`."""
    client_id: str
    """The OAuth client; what its scopes allow is what the gateway can do."""
    client_secret: Secret
    """That client's secret."""


class AcmeAdapter(Adapter[AcmeSettings]):
    """One Acme workspace."""

    vendor = "acme"
    Settings = AcmeSettings
    sandbox = "acme_audiences.sandbox:AcmeSandbox"
    destination_fields = frozenset(translate.WRITES)
    export_job_fields = frozenset({"display_name", "destination", "audiences.audience_id"})
    limits = Limits(max_page_size=MAX_LIMIT)
    export_jobs = Listing(native_filters=frozenset({"destination"}))

    def __init__(self, connection: str, settings: AcmeSettings, transport: Transport) -> None:
        super().__init__(connection, settings, transport)
        self.auth = TokenAuth(self._log_in, _proof, settings.client_secret, now=transport.now)
        self.http = self._http(self.auth)

    @property
    def account(self) -> str:
        return self.settings.client_id

    async def check_connection(self) -> CheckConnectionResponse:
        await self._call(wire.LIST_TARGETS, query=[("limit", "1")])
        response = CheckConnectionResponse()
        response.credential_expire_time.FromSeconds(int(self.auth.expires_at_s or 0))
        return response

    # Destinations.

    async def list_destinations(self, query: ListQuery, cursor: str, size: int) -> Page[Destination]:
        found = await self._call(wire.LIST_TARGETS, query=_place(cursor, size), full=query.full)
        return Page([translate.destination(self.connection, row) for row in found.items], found.next or "")

    async def get_destination(self, destination_id: str, *, full: bool = False) -> Destination:
        destination = translate.destination(self.connection, await self._target(destination_id, full=full))
        if full:
            runs = await self._runs(_place("", MAX_LIMIT), destination.name)
            destination.running_export_job = next((job.name for job in runs.items if job.state not in FINAL), "")
        return destination

    async def create_destination(self, destination: Destination, *, validate_only: bool) -> Destination:
        body = translate.new_target(destination)
        if validate_only:
            return destination
        made = await self._call(wire.CREATE_TARGET, json=body, conflict="DESTINATION_ALREADY_EXISTS")
        return translate.destination(self.connection, made)

    async def update_destination(self, destination_id: str, edit: Edit[Destination]) -> Destination:
        present = await self._target(destination_id)
        shown = translate.destination(self.connection, present)
        change = edit(shown)
        body = translate.patch(change.merged, shown, present, change.paths)
        if change.settled:
            return change.merged
        ids = names.split_id(destination_id, 1, "Destination")
        written = await self._call(wire.PATCH_TARGET, *ids, json=body, resource=shown.name)
        return translate.destination(self.connection, written)

    async def delete_destination(self, destination: Destination, *, force: bool, validate_only: bool) -> Destination:
        if not validate_only:
            _, destination_id = names.parse(destination.name, "Destination")
            ids = names.split_id(destination_id, 1, "Destination")
            with suppress(NotFound):  # It was just read, so that this is what a repeated DELETE finds.
                await self._call(wire.DELETE_TARGET, *ids, resource=destination.name, conflict="DESTINATION_IN_USE")
        deleted = Destination()
        deleted.CopyFrom(destination)
        deleted.state = Destination.DELETED
        return deleted

    async def _target(self, destination_id: str, *, full: bool = False) -> wire.Target:
        ids = names.split_id(destination_id, 1, "Destination")
        name = names.destination(self.connection, destination_id)
        return await self._call(wire.GET_TARGET, *ids, resource=name, full=full)

    # Export jobs.

    async def list_export_jobs(self, query: ListQuery, cursor: str, size: int) -> Page[ExportJob]:
        return await self._runs(_place(cursor, size), query.fixed("destination"), full=query.full)

    async def _runs(self, place: Query, destination: str | None = None, *, full: bool = False) -> Page[ExportJob]:
        """Return runs, newest first; with *destination*, a full name, those to it."""
        if destination is not None:
            owner, destination_id = names.parse(destination, "Destination", "filter")
            if owner != self.connection:
                return Page([])
            (target_id,) = names.split_id(destination_id, 1, "Destination", "filter")
            place = [*place, ("target_id", target_id)]
        found = await self._call(wire.LIST_RUNS, query=place, full=full)
        return Page([translate.export_job(self.connection, row) for row in found.items], found.next or "")

    async def get_export_job(self, export_job_id: str, *, full: bool = False) -> ExportJob:
        ids, name = names.split_id(export_job_id, 1), names.export_job(self.connection, export_job_id)
        return translate.export_job(self.connection, await self._call(wire.GET_RUN, *ids, resource=name, full=full))

    async def create_export_job(self, export_job: ExportJob, *, marker: str, validate_only: bool) -> ExportJob:
        body = translate.new_run(self.connection, export_job, marker)
        if validate_only:
            return export_job
        try:
            started = await self._call(wire.START_RUN, json=body, conflict="DESTINATION_DISABLED")
        except NotFound as error:
            _, destination_id = names.parse(export_job.destination, "Destination")
            await self._target(destination_id)  # It may be this that is not there.
            message = "Acme does not have one of the segments"
            raise self.http.named(NotFound(message, reason="AUDIENCE_NOT_FOUND", fault=error.fault)) from error
        return translate.export_job(self.connection, started)

    async def find_export_jobs(self, wanted: ExportJob, *, marker: str, sent_at_s: float) -> list[ExportJob]:
        if not marker:
            raise self._no("find_export_jobs")

        async def read(cursor: str) -> Page[wire.Run]:
            query = [*_place(cursor, MAX_LIMIT), ("reference", marker)]
            found = await self._call(wire.LIST_RUNS, query=query)
            return Page(found.items, found.next or "")

        runs = await lost.newest(read, lambda run: timestamp(run.created_at), sent_at_s)
        return [translate.export_job(self.connection, run) for run in runs if run.reference == marker]

    async def cancel_export_job(self, export_job_id: str) -> ExportJob:
        ids, name = names.split_id(export_job_id, 1), names.export_job(self.connection, export_job_id)
        try:
            # Stopping twice is the same as once, and a run that is over stays as it is.
            stopped = await self._call(wire.STOP_RUN, *ids, resource=name, retry=Retry.IDEMPOTENT)
        except Conflict as error:
            job = await self.get_export_job(export_job_id)
            raise _wrong_state(job, "EXPORT_JOB_NOT_CANCELLABLE") from error
        return translate.export_job(self.connection, stopped)

    @asynccontextmanager
    async def download_export_job(
        self, export_job_id: str, *, artifact_id: str, offset: int
    ) -> AsyncIterator[Download]:
        ids, name = names.split_id(export_job_id, 1), names.export_job(self.connection, export_job_id)
        if artifact_id not in {"", translate.FILE}:
            raise Missing(f"{name} has no artifact {artifact_id[:64]!a}", reason="ARTIFACT_NOT_FOUND")
        path = route(wire.GET_FILE.path, *ids)
        async with AsyncExitStack() as opened:
            try:
                streaming = self.http.stream(path, offset=offset, resource=name, permission=wire.GET_FILE.scope)
                stream = await opened.enter_async_context(streaming)
            except Conflict as error:
                raise _wrong_state(await self.get_export_job(export_job_id), "EXPORT_JOB_NOT_DOWNLOADABLE") from error
            content_type = stream.headers.get("Content-Type", "application/octet-stream")
            header = DownloadHeader(content_type=content_type, filename=stream.filename, size_bytes=stream.size_bytes)
            yield Download(header, stream.chunks)

    # Calls.

    async def _call(
        self,
        operation: wire.Operation[T],
        *ids: str,
        query: Query = (),
        json: object = msgspec.UNSET,
        resource: str = "",
        conflict: str | None = None,
        retry: Retry | None = None,
        full: bool = False,
    ) -> T:
        """Send one call; in the FULL view keep what is not modelled."""
        answer = await self.http.send(
            operation.method,
            route(operation.path, *ids),
            retry=retry or RETRIES[operation.method],
            query=query,
            json=json,
            resource=resource,
            conflict=conflict,
            permission=operation.scope,
        )
        found = self.http.decode(answer, operation.reply)
        if full:
            keep(found, self.http.decode(answer, wire.Json))
        return found

    async def _log_in(self, _: Token | None) -> Token:
        secret = self.settings.client_secret
        http = self._http(FixedAuth({}, secret))
        asked_at_s = self.transport.now()
        proof = {"client_id": self.settings.client_id, "client_secret": secret.reveal()}
        # It may be sent again: a token more does no harm.
        answer = await http.send("POST", wire.LOG_IN.path, retry=Retry.IDEMPOTENT, json=proof)
        token = http.decode(answer, wire.LOG_IN.reply)
        return Token(Secret(token.access_token), asked_at_s + token.expires_in)

    def _http(self, auth: Auth) -> Http:
        return Http(self.transport, self.settings.base_url, auth=auth, read_fault=translate.fault)


def _proof(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _place(cursor: str, size: int) -> list[tuple[str, str]]:
    limit = ("limit", str(min(size, MAX_LIMIT)))
    return [limit, ("after", cursor)] if cursor else [limit]


def _wrong_state(job: ExportJob, reason: str) -> Precondition:
    state = ExportJob.State.Name(job.state)
    return Precondition(f"{job.name} is {state}", reason=reason, metadata={"state": state}, resource=job.name)
