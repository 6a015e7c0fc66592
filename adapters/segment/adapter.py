"""Twilio Segment over its Public API: destinations, their subscriptions and deliveries, and Reverse ETL syncs.

Docs:   https://docs.segmentapis.com (read 2026-11-22)
Auth:   `Authorization: Bearer`: a Public API token, which is of one workspace and carries permissions.
Paging: count and cursor; the cursors of destinations and subscriptions are positions, see `_page`.
Limits: 5 writes of subscriptions a minute, of each kind; others by the token. A 401 may also be a missing permission.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from types import MappingProxyType
from typing import TypeVar

import msgspec

from adapters import lost, names, newest, offsets
from adapters.auth import FixedAuth
from adapters.base import Adapter, ConnectionSettings, Edit, Limits, Listing, ListQuery, Page
from adapters.errors import (
    Conflict,
    Fault,
    InvalidRequest,
    NotFound,
    Precondition,
    ProtocolViolation,
    Rejected,
    VendorError,
    Violation,
    invalid_field,
)
from adapters.extras import keep
from adapters.http import Http, Query, route
from adapters.keys import Address
from adapters.rates import Rate
from adapters.retry import Retry, retry_after_s, until_s
from adapters.secrets import Secret
from adapters.segment import translate, wire
from adapters.states import FINAL
from adapters.together import together
from adapters.transport import Transport
from audiencegateway.v1.connections_pb2 import CheckConnectionResponse
from audiencegateway.v1.destinations_pb2 import (
    Destination,
    QueryDeliveryMetricsRequest,
    QueryDeliveryMetricsResponse,
    Subscription,
)
from audiencegateway.v1.export_jobs_pb2 import ExportJob

T = TypeVar("T")
R = TypeVar("R", wire.Destination, wire.Subscription)

RETRIES = {"GET": Retry.READ, "PATCH": Retry.IDEMPOTENT, "DELETE": Retry.IDEMPOTENT, "POST": Retry.ONCE}
MINUTE_S = 61
"""Segment's, and a second for what the way there may differ from call to call."""
KINDS: Mapping[wire.Operation[object], str] = {
    wire.CREATE_SUBSCRIPTION: "subscription_creates",
    wire.UPDATE_SUBSCRIPTION: "subscription_updates",
    wire.DELETE_SUBSCRIPTION: "subscription_deletes",
    wire.START_SYNC: "sync_starts",
    wire.GET_SYNC: "sync_reads",
}
"""Operations that have a limit of their own; see `SegmentAdapter.rates`."""
MAX_COUNT = 100
"""The largest page of syncs; of the others 200 or 1000, but a destination brings its whole catalog entry."""
MIN_SYNCS = 10
"""Segment's default. Fewer would not show in which order they come."""
OPAQUE = "opaque:"
"""Begins our cursors where Segment's are no positions."""
STOPPED = frozenset({ExportJob.CANCELLING, ExportJob.CANCELLED})
LANDED = frozenset({ExportJob.SUCCEEDED, ExportJob.PARTIALLY_SUCCEEDED})


class SegmentSettings(ConnectionSettings, kw_only=True, frozen=True):
    """A connection to one Segment workspace."""

    token: Secret
    """A Public API token; what its roles allow is what the gateway can do."""
    base_url: Address = "https://api.segmentapis.com"
    """Where the workspace is: this, or https://eu1.api.segmentapis.com for one in the EU."""


class SegmentAdapter(Adapter[SegmentSettings]):
    """One Segment workspace."""

    vendor = "segment"
    Settings = SegmentSettings
    sandbox = "adapters.segment.sandbox:SegmentSandbox"
    destination_fields = frozenset(
        {"display_name", "disabled", "segment.source_id", "segment.metadata_id", "segment.settings"}
    )
    subscription_fields = frozenset(
        {
            *("display_name", "disabled", "segment.action_id", "segment.trigger", "segment.settings"),
            *("segment.model_id", "segment.schedule"),
        }
    )
    export_job_fields = frozenset({"destination", "segment.subscription", "segment.model_id", "segment.source_id"})
    limits = Limits(max_page_size=MAX_COUNT)
    # https://docs.segmentapis.com/tag/Rate-Limits, and what it says beside each operation. All others count together,
    # by a limit of the token that is not published.
    rates = MappingProxyType(
        {
            "subscription_creates": Rate(5, MINUTE_S),
            "subscription_updates": Rate(5, MINUTE_S),
            "subscription_deletes": Rate(5, MINUTE_S),
            "sync_starts": Rate(20, MINUTE_S),
            "sync_reads": Rate(250, MINUTE_S),
        }
    )
    export_jobs = Listing(native_filters=frozenset({"destination"}), required_filter="destination")

    def __init__(self, connection: str, settings: SegmentSettings, transport: Transport) -> None:
        super().__init__(connection, settings, transport)
        auth = FixedAuth({"Authorization": f"Bearer {settings.token.reveal()}"}, settings.token)
        self.http = Http(transport, settings.base_url, auth=auth, read_fault=self._fault)
        self._workspace = ""

    @property
    def account(self) -> str:
        return self._workspace

    async def check_connection(self) -> CheckConnectionResponse:
        self._workspace = (await self._call(wire.GET_WORKSPACE)).workspace.slug
        return CheckConnectionResponse()

    # Destinations.

    async def list_destinations(self, query: ListQuery, cursor: str, size: int) -> Page[Destination]:
        rows = await self._page(wire.LIST_DESTINATIONS, cursor, size, full=query.full)
        found = [translate.destination(self.connection, row) for row in rows.items]
        if query.full:
            await together(self._add_running_sync, found)
        return Page(found, rows.next_cursor)

    async def get_destination(self, destination_id: str, *, full: bool = False) -> Destination:
        destination = translate.destination(self.connection, await self._destination(destination_id, full=full))
        if full:
            await self._add_running_sync(destination)
        return destination

    async def create_destination(self, destination: Destination, *, validate_only: bool) -> Destination:
        body, planned = translate.new_destination(destination)
        if validate_only:
            return planned
        fields, conflict = translate.DESTINATION_FIELDS, "DESTINATION_ALREADY_EXISTS"
        try:
            made = await self._call(wire.CREATE_DESTINATION, json=body, fields=fields, conflict=conflict)
        except NotFound as error:
            text = "names a source or a catalog entry that Segment does not have"
            raise self._refused(error, "destination.segment", text) from error
        return translate.destination(self.connection, made.destination)

    async def find_destinations(self, wanted: Destination, *, sent_at_s: float) -> list[Destination]:
        if not wanted.display_name:
            raise self._no("find_destinations")

        async def read(cursor: str) -> Page[Destination]:
            return await self.list_destinations(ListQuery(), cursor, MAX_COUNT)

        return [one for one in await lost.everything(read) if translate.is_same_destination(one, wanted)]

    async def update_destination(self, destination_id: str, edit: Edit[Destination]) -> Destination:
        present = await self._destination(destination_id)
        shown = translate.destination(self.connection, present)
        change = edit(shown)
        body = translate.destination_patch(change.merged, shown, present, change.paths)
        if change.settled:
            return translate.discreet(change.merged)
        ids, fields = _ids(destination_id), translate.DESTINATION_FIELDS
        written = await self._call(wire.UPDATE_DESTINATION, *ids, json=body, resource=shown.name, fields=fields)
        updated = translate.destination(self.connection, written.destination)
        updated.unapplied_fields.extend(
            translate.unapplied(body.get("settings", {}), present.settings, written.destination.settings)
        )
        return updated

    async def delete_destination(self, destination: Destination, *, force: bool, validate_only: bool) -> Destination:
        if not validate_only:
            ids, name = _ids_of(destination), destination.name
            if not force and (await self._page(wire.LIST_SUBSCRIPTIONS, "", 1, *ids, resource=name)).items:
                message = f"{name} has subscriptions, which would be deleted with it"
                raise Precondition(message, reason="DESTINATION_HAS_SUBSCRIPTIONS", resource=name)
            with suppress(NotFound):  # It was just read, so that this is what a repeated DELETE finds.
                await self._call(wire.DELETE_DESTINATION, *ids, resource=name, conflict="DESTINATION_IN_USE")
        deleted = Destination()
        deleted.CopyFrom(destination)
        deleted.state = Destination.DELETED
        return deleted

    async def query_delivery_metrics(
        self, destination_id: str, request: QueryDeliveryMetricsRequest
    ) -> QueryDeliveryMetricsResponse:
        name, fields = names.destination(self.connection, destination_id), translate.METRICS_FIELDS
        source_id = request.source_id or (await self._destination(destination_id)).source_id
        asked = translate.window(request, self.transport.now())
        query = translate.metrics_query(request, asked, source_id)
        try:
            found = await self._call(wire.GET_METRICS, *_ids(destination_id), query=query, resource=name, fields=fields)
        except NotFound as error:
            await self._destination(destination_id)
            raise self._refused(error, "source_id", "is no source of this destination") from error
        asked.metrics.extend(translate.metrics(found.summary))
        return asked

    async def _destination(self, destination_id: str, *, full: bool = False) -> wire.Destination:
        name = names.destination(self.connection, destination_id)
        return (await self._call(wire.GET_DESTINATION, *_ids(destination_id), resource=name, full=full)).destination

    async def _add_running_sync(self, destination: Destination) -> None:
        _, destination_id = names.parse(destination.name, "Destination")
        destination.running_export_job = next((job.name for job in await self._running(destination_id)), "")

    async def _running(self, destination_id: str) -> list[ExportJob]:
        """Return what is not over of the newest syncs of a destination."""
        return [job for job in (await self._syncs(destination_id, "", MIN_SYNCS)).items if job.state not in FINAL]

    # Subscriptions.

    async def list_subscriptions(
        self, destination_id: str, query: ListQuery, cursor: str, size: int
    ) -> Page[Subscription]:
        rows = await self._subscriptions(destination_id, cursor, size)
        found = [translate.subscription(self.connection, destination_id, row) for row in rows.items]
        return Page(found, rows.next_cursor)

    async def get_subscription(self, destination_id: str, subscription_id: str) -> Subscription:
        source = await self._subscription(destination_id, subscription_id)
        return translate.subscription(self.connection, destination_id, source)

    async def create_subscription(
        self, destination_id: str, subscription: Subscription, *, validate_only: bool
    ) -> Subscription:
        body, planned = translate.new_subscription(subscription)
        if validate_only:
            return planned
        name, fields = names.destination(self.connection, destination_id), translate.SUBSCRIPTION_FIELDS
        try:
            made = await self._call(
                wire.CREATE_SUBSCRIPTION, *_ids(destination_id), json=body, resource=name, fields=fields, full=True
            )
        except NotFound as error:
            await self._destination(destination_id)
            raise self._no_model(error) from error
        return translate.subscription(self.connection, destination_id, made.subscription)

    async def find_subscriptions(
        self, destination_id: str, wanted: Subscription, *, sent_at_s: float
    ) -> list[Subscription]:
        if not wanted.display_name:
            raise self._no("find_subscriptions")

        async def read(cursor: str) -> Page[Subscription]:
            return await self.list_subscriptions(destination_id, ListQuery(), cursor, MAX_COUNT)

        try:
            found = await lost.everything(read)
        except NotFound:
            return []  # A destination that is not there has none, and gets none.
        return [one for one in found if translate.is_same_subscription(one, wanted)]

    async def update_subscription(
        self, destination_id: str, subscription_id: str, edit: Edit[Subscription]
    ) -> Subscription:
        present = await self._subscription(destination_id, subscription_id)
        shown = translate.subscription(self.connection, destination_id, present)
        change = edit(shown)
        body = translate.subscription_patch(change.merged, shown, present, change.paths)
        if change.settled:
            return translate.discreet(change.merged)
        ids, fields = _subscription_ids(destination_id, subscription_id), translate.SUBSCRIPTION_FIELDS
        try:
            written = await self._call(
                wire.UPDATE_SUBSCRIPTION, *ids, json={"input": body}, resource=shown.name, fields=fields, full=True
            )
        except NotFound as error:
            await self._subscription(destination_id, subscription_id)
            raise self._no_model(error) from error
        return translate.subscription(self.connection, destination_id, written.subscription)

    async def delete_subscription(self, destination_id: str, subscription_id: str) -> None:
        name = names.subscription(self.connection, destination_id, subscription_id)
        with suppress(NotFound):  # It was just read, so that this is what a repeated DELETE finds.
            await self._call(
                wire.DELETE_SUBSCRIPTION, *_subscription_ids(destination_id, subscription_id), resource=name
            )

    async def _subscription(self, destination_id: str, subscription_id: str) -> wire.Subscription:
        ids = _subscription_ids(destination_id, subscription_id)
        name = names.subscription(self.connection, destination_id, subscription_id)
        try:
            return (await self._call(wire.GET_SUBSCRIPTION, *ids, resource=name, full=True)).subscription
        except NotFound:
            await self._destination(destination_id)  # It may be this that is not there.
            raise

    async def _subscriptions(self, destination_id: str, cursor: str, size: int) -> Page[wire.Subscription]:
        ids, name = _ids(destination_id), names.destination(self.connection, destination_id)
        return await self._page(wire.LIST_SUBSCRIPTIONS, cursor, size, *ids, resource=name, full=True)

    def _no_model(self, error: NotFound) -> Rejected:
        return self._refused(error, "subscription.segment.model_id", "is no model that Segment has")

    # Export jobs, which are syncs.

    async def list_export_jobs(self, query: ListQuery, cursor: str, size: int) -> Page[ExportJob]:
        name = query.fixed("destination")
        if name is None:
            message = "Segment lists the syncs of one destination: the filter has to fix it"
            raise InvalidRequest(message, reason="FILTER_REQUIRED", metadata={"field": "destination"})
        owner, destination_id = names.parse(name, "Destination", "filter")
        if owner != self.connection:
            return Page([])
        names.split_id(destination_id, 1, "Destination", "filter")
        return await self._syncs(destination_id, cursor, size, full=query.full)

    async def _syncs(
        self, destination_id: str, cursor: str, size: int, *, through: newest.Ids = (), full: bool = False
    ) -> Page[ExportJob]:
        """Return the syncs of all subscriptions of a destination, or *through* one of them, newest first."""
        count = str(min(max(size, MIN_SYNCS), MAX_COUNT))

        async def lists() -> Sequence[newest.Ids]:
            if through:
                return [through]
            (vendor_id,), at = _ids(destination_id), ""
            found: list[wire.Subscription] = []
            while True:
                page = await self._subscriptions(destination_id, at, MAX_COUNT)
                found += page.items
                at = page.next_cursor
                if not at:
                    return [(vendor_id, row.id, row.model_id) for row in found if row.model_id]

        async def fetch(ids: newest.Ids, at: str) -> Page[tuple[newest.Ids, wire.Sync]]:
            _, subscription_id, model_id = ids
            name = names.subscription(self.connection, destination_id, names.join_id(subscription_id))
            query = [("count", count), *([("cursor", at)] if at else [])]
            try:
                found = await self._call(
                    wire.LIST_SYNCS, model_id, subscription_id, query=query, resource=name, full=full
                )
            except NotFound:
                if not cursor:
                    raise
                return Page([])  # The subscription was there when the walk began.
            return Page([(ids, row) for row in found.rows], _next(found))

        page = await newest.read(
            fetch, lists, cursor, size, when=lambda row: translate.start_ns(row[1]), key=lambda row: row[1].sync_id
        )
        jobs = [translate.export_job(self.connection, (*ids, row.sync_id), row) for ids, row in page.items]
        return Page(jobs, page.next_cursor)

    async def find_export_jobs(self, wanted: ExportJob, *, marker: str, sent_at_s: float) -> list[ExportJob]:
        destination_id, subscription_id = translate.through(self.connection, wanted)
        try:
            subscription = await self._subscription(destination_id, subscription_id)
            model_id = wanted.segment.model_id or subscription.model_id
            if not model_id:
                raise self._no("find_export_jobs")  # It had one.
            through = (*_ids(destination_id), subscription.id, model_id)

            async def read(cursor: str) -> Page[ExportJob]:
                return await self._syncs(destination_id, cursor, MAX_COUNT, through=through)

            jobs = await lost.newest(read, lost.created, sent_at_s)
        except NotFound:
            # What is gone has taken its syncs along: one may have run before.
            raise self._no("find_export_jobs") from None
        found = [job for job in jobs if lost.is_since(lost.created(job), sent_at_s)]
        if found and translate.is_scheduled(subscription):
            raise self._no("find_export_jobs")  # They look the same as those that the schedule starts.
        return found

    async def get_export_job(self, export_job_id: str, *, full: bool = False) -> ExportJob:
        ids, name = _job_ids(export_job_id), names.export_job(self.connection, export_job_id)
        found = await self._call(wire.GET_SYNC, *ids[2:], resource=name, full=full)
        return translate.export_job(self.connection, ids, found.sync)

    async def create_export_job(self, export_job: ExportJob, *, marker: str, validate_only: bool) -> ExportJob:
        parents = translate.through(self.connection, export_job)
        subscription = await self._subscription(*parents)
        spec = export_job.segment
        model_id = spec.model_id or subscription.model_id
        if not model_id:
            raise invalid_field("export_job.segment.subscription", "has no model, and a sync is of one")
        source_id = spec.source_id or (await self._destination(parents[0])).source_id
        if validate_only:
            planned = ExportJob(destination=export_job.destination, segment=spec)
            planned.segment.model_id, planned.segment.source_id = model_id, source_id
            return planned
        body = {"sourceId": source_id, "modelId": model_id, "subscriptionId": subscription.id}
        try:
            made = await self._call(wire.START_SYNC, json=body, fields=translate.SYNC_FIELDS)
        except (NotFound, Rejected, Conflict) as refusal:
            await self._explain(refusal, *parents)
            if isinstance(refusal, NotFound):
                message = f"Segment has no model {model_id[:64]!a} of source {source_id[:64]!a}"
                raise self.http.named(NotFound(message, reason="AUDIENCE_NOT_FOUND", fault=refusal.fault)) from refusal
            raise
        ids = (*_ids(parents[0]), subscription.id, model_id, made.sync.sync_id)
        return translate.started(self.connection, ids, source_id, made.sync)

    async def _explain(self, refusal: VendorError, destination_id: str, subscription_id: str) -> None:
        """Raise what a refused start does not say: that something is gone, disabled, or running."""
        try:
            destination = await self.get_destination(destination_id)
            subscription = await self.get_subscription(destination_id, subscription_id)
            running = await self._running(destination_id) if isinstance(refusal, Conflict) else []
        except NotFound:
            raise
        except VendorError:
            return
        for resource in (destination, subscription):
            if resource.disabled:
                message = f"{resource.name} is disabled"
                raise Precondition(message, reason="DESTINATION_DISABLED", resource=resource.name) from refusal
        for job in running:
            if job.segment.subscription == subscription.name:
                message, metadata = f"{job.name} is running", {"exportJob": job.name}
                raise Precondition(message, reason="EXPORT_ALREADY_RUNNING", metadata=metadata) from refusal

    async def cancel_export_job(self, export_job_id: str) -> ExportJob:
        ids, name = _job_ids(export_job_id), names.export_job(self.connection, export_job_id)
        is_stopped, refusal = False, None
        try:
            # It may be sent again: one that is cancelled already is answered as such.
            answer = await self._call(wire.CANCEL_SYNC, *ids[2:], json={}, resource=name, retry=Retry.IDEMPOTENT)
            is_stopped = answer.error_code in {None, "", translate.ALREADY_CANCELLED}
        except (Rejected, Conflict) as error:
            refusal = error
        job = await self.get_export_job(export_job_id)
        if is_stopped and job.state == ExportJob.RUNNING:
            job.state = ExportJob.CANCELLING  # What is read may be behind.
        if job.state in STOPPED or (is_stopped and job.state not in LANDED):
            return job
        if refusal and job.state not in FINAL:
            raise refusal
        state = ExportJob.State.Name(job.state)
        message, metadata = f"{name} is {state}", {"state": state}
        raise Precondition(message, reason="EXPORT_JOB_NOT_CANCELLABLE", metadata=metadata, resource=name) from refusal

    # Calls.

    async def _page(
        self,
        operation: wire.Operation[wire.Data[wire.Many[R]]],
        cursor: str,
        size: int,
        *ids: str,
        resource: str = "",
        full: bool = False,
    ) -> Page[R]:
        """Return a page of a list whose cursors are positions: in every sample, base64 of a decimal number.

        As long as they are, ours are made from the numbers, so that a page begins at an item that is known; whatever
        comes and goes before it shifts all others. Where they are not, Segment's are passed on as they are.
        """

        async def read(at: str, count: int) -> wire.Many[R]:
            query = [("pagination[count]", str(count)), *([("pagination[cursor]", at)] if at else [])]
            return await self._call(operation, *ids, query=query, resource=resource, full=full)

        if cursor.startswith(OPAQUE):
            found = await read(cursor.removeprefix(OPAQUE), min(size, MAX_COUNT))
            return Page(found.rows, _next(found) and OPAQUE + _next(found))
        opaque = ""

        async def fetch(offset: int, limit: int) -> Sequence[R]:
            nonlocal opaque
            rows: list[R] = []
            at = _position(offset)
            while True:
                found = await read(at, limit - len(rows))
                rows += found.rows
                asked, at = at, _next(found)
                if not at or len(rows) >= limit:
                    opaque = "" if at in {"", _position(offset + len(rows))} else at
                    return rows
                if at == asked:
                    raise self.http.named(ProtocolViolation("Segment names the same page again"))

        page = await offsets.read(fetch, lambda row: row.id, cursor, size, MAX_COUNT)
        return Page(page.items, OPAQUE + opaque) if opaque and not cursor else page

    async def _call(
        self,
        operation: wire.Operation[wire.Data[T]],
        *ids: str,
        query: Query = (),
        json: object = msgspec.UNSET,
        resource: str = "",
        fields: Mapping[str, str] = MappingProxyType({}),
        conflict: str | None = None,
        retry: Retry | None = None,
        full: bool = False,
    ) -> T:
        """Send one call; *fields* are those of its body or query under our names. *full* keeps what is not modelled."""
        method, path, version, reply = operation
        headers = {"Accept": f"{version}, application/json"}
        try:
            answer = await self.http.send(
                method,
                route(path, *ids),
                retry=retry or RETRIES[method],
                query=query,
                json=json,
                headers=headers if json is msgspec.UNSET else {**headers, "Content-Type": version},
                resource=resource,
                conflict=conflict,
                kind=KINDS.get(operation, ""),
            )
        except Rejected as refusal:
            refusal.violations = tuple(translate.violations(refusal.fault, fields))
            raise
        found = self.http.decode(answer, reply)
        if full:
            keep(found, self.http.decode(answer, wire.Json))
        return found.data

    def _fault(self, status: int, headers: Mapping[str, str], body: bytes) -> Fault:
        fault, now_s = translate.fault(body), self.transport.now()
        if status != HTTPStatus.TOO_MANY_REQUESTS:
            return replace(fault, retry_after_s=None)
        resets_in_s = until_s(headers.get("X-RateLimit-Reset", ""), now_s)
        waits = (retry_after_s(headers, now_s), fault.retry_after_s, resets_in_s)
        return replace(fault, retry_after_s=next((wait_s for wait_s in waits if wait_s is not None), None))

    def _refused(self, error: NotFound, field: str, text: str) -> Rejected:
        """Return the error for a *field* whose value Segment did not find."""
        violation = Violation(field, text, "REJECTED_BY_VENDOR")
        return self.http.named(Rejected(f"{field}: {text}", fault=error.fault, violations=[violation]))


def _next(page: wire.Many[T]) -> str:
    return (page.pagination.next if page.pagination else None) or ""


def _position(number: int) -> str:
    return b64encode(str(number).encode()).decode() if number else ""


def _ids(destination_id: str) -> tuple[str, ...]:
    return names.split_id(destination_id, 1, "Destination")


def _subscription_ids(destination_id: str, subscription_id: str) -> tuple[str, ...]:
    return (*_ids(destination_id), *names.split_id(subscription_id, 1, "Subscription"))


def _job_ids(export_job_id: str) -> tuple[str, ...]:
    return names.split_id(export_job_id, 4)


def _ids_of(destination: Destination) -> tuple[str, ...]:
    _, destination_id = names.parse(destination.name, "Destination")
    return _ids(destination_id)
