"""What an adapter is: one method a verb, and nothing that it would have to remember.

A capability is a verb that the class overrides; what it does not override refuses with NOT_SUPPORTED_BY_VENDOR.
Ids given to verbs are those of the API: `adapters.names.split_id` turns them into the vendor's. The `find_` methods are
no verbs and no capability: the ledger asks them what became of a write whose answer was lost.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import IO, ClassVar, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from adapters.errors import NotSupported
from adapters.rates import Rate
from adapters.transport import Transport
from audiencegateway.v1.connections_pb2 import CheckConnectionResponse
from audiencegateway.v1.destinations_pb2 import (
    Destination,
    QueryDeliveryMetricsRequest,
    QueryDeliveryMetricsResponse,
    Subscription,
)
from audiencegateway.v1.export_jobs_pb2 import DownloadHeader, ExportJob, ExportJobRevision, LogEntry
from audiencegateway.v1.members_pb2 import AudienceMember, AudienceMemberDefaults

T = TypeVar("T")
M = TypeVar("M", Destination, Subscription)
S = TypeVar("S", bound=msgspec.Struct)


class Term(NamedTuple):
    """One comparison of a filter; all terms of a filter hold together."""

    field: str
    op: str
    """`=`, `!=`, `<`, `<=`, `>`, `>=` or `:`."""
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """What a list was asked for. The gateway evaluates every term again: a vendor may know it only in part."""

    terms: tuple[Term, ...] = ()
    order_by: str = ""
    """Empty: the vendor's own order, for jobs newest first."""
    descending: bool = False
    show_deleted: bool = False
    full: bool = False
    """The FULL view."""

    def fixed(self, name: str) -> str | None:
        """Return the value that a term fixes the field *name* to."""
        return next((term.value for term in self.terms if term.field == name and term.op in "=:"), None)


class Page(NamedTuple, Generic[T]):
    """Some items, in order, and the vendor's way to the next."""

    items: list[T]
    next_cursor: str = ""
    """Empty at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Generic[M]):
    """What an update comes to, once the present resource is known."""

    current: M
    merged: M
    paths: frozenset[str]
    """Fields that differ, for example `display_name`, `meiro.settings`."""
    settled: bool
    """True: send nothing, answer `merged`: nothing differs, or the caller only wants to know."""


Edit = Callable[[M], Change[M]]
"""Given the present resource, says what to write. Raises ETAG_MISMATCH, IMMUTABLE_FIELD, INVALID_FIELD."""


@dataclass(frozen=True, slots=True)
class Download:
    """A file under way: its header, and its bytes as they come."""

    header: DownloadHeader
    chunks: AsyncIterator[bytes]
    """Of any size; starts at the offset asked for."""


class MemberFile(Protocol):
    """How one destination takes members: as rows, gathered into whole files, each of which becomes a job."""

    head: bytes
    """What every file begins with, for example the names of its columns."""
    max_bytes: int
    """The most that a file may hold, its head included."""

    def rows(self, members: Sequence[AudienceMember], first_index: int) -> bytes:
        """Return the rows of *members*, checked; the first of them has *first_index* in the whole upload.

        Raises:
            InvalidRequest: INVALID_FIELD, with the first 20 violations by index, and no identifier in any of them.
        """
        ...

    async def send(self, file: IO[bytes], size_bytes: int, *, marker: str) -> ExportJob:
        """Hand a complete file, read from its start, to the vendor. Not idempotent, though its rows are."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the vendor is known to take at once. 0: none known."""

    max_page_size: int = 0
    max_upload_bytes: int = 0
    max_members_per_request: int = 0
    max_audiences_per_export: int = 0
    min_poll_interval_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """How a vendor lists one kind of resource."""

    native_filters: frozenset[str] = frozenset()
    """Fields that the vendor filters by itself; the rest is evaluated in the gateway."""
    native_orders: frozenset[str] = frozenset()
    """Fields that `order_by` may name."""
    required_filter: str = ""
    """The field that a filter must fix, since the vendor has no list without it."""


class Adapter(Generic[S]):
    """One connection to one vendor."""

    vendor: ClassVar[str]
    """The vendor's id, as in `Connection.vendor`."""
    Settings: ClassVar[type[msgspec.Struct]]
    """The keys of a connection in the configuration, a docstring under each."""
    sandbox: ClassVar[str]
    """Where the vendor's simulator is, as `package.module:Class`; loaded only to simulate."""
    destination_fields: ClassVar[frozenset[str]] = frozenset()
    """Paths of Destination that the vendor carries; what lies below a path is carried too."""
    export_job_fields: ClassVar[frozenset[str]] = frozenset()
    """The same for ExportJob."""
    subscription_fields: ClassVar[frozenset[str]] = frozenset()
    """The same for Subscription."""
    emulated: ClassVar[frozenset[str]] = frozenset()
    """Verbs that the vendor has no operation for, and that other answers of it allow."""
    limits: ClassVar[Limits] = Limits()
    destinations: ClassVar[Listing] = Listing()
    subscriptions: ClassVar[Listing] = Listing()
    export_jobs: ClassVar[Listing] = Listing()
    log_entries: ClassVar[Listing] = Listing()
    revisions: ClassVar[Listing] = Listing()
    listing_lag_s: ClassVar[float] = 120.0
    """How long the vendor's lists may take to show what it accepted."""
    rates: ClassVar[Mapping[str, Rate]] = MappingProxyType({})
    """How many calls the vendor takes in a time: `reads`, `writes`, and classes that it counts by themselves."""

    def __init__(self, connection: str, settings: S, transport: Transport) -> None:
        self.connection = connection
        """The connection's id, not its name."""
        self.settings = settings
        self.transport = transport
        transport.rates.declare(self.rates)

    @property
    def account(self) -> str:
        """Where the calls go: the workspace, datamart, or organization and sandbox."""
        return ""

    @classmethod
    @cache
    def verbs(cls) -> frozenset[str]:
        """Return the names of the verbs that the adapter implements."""
        return frozenset(verb for verb in VERBS if getattr(cls, verb) is not getattr(Adapter, verb))

    async def check_connection(self) -> CheckConnectionResponse:
        """Call the vendor once, as cheaply as it allows, with the stored credentials."""
        raise self._no("check_connection")

    async def list_destinations(self, query: ListQuery, cursor: str, size: int) -> Page[Destination]:
        """Return about *size* destinations from *cursor* on; an empty cursor is the start."""
        raise self._no("list_destinations")

    async def get_destination(self, destination_id: str, *, full: bool = False) -> Destination:
        """Return a destination; *full* adds vendor_extras and running_export_job."""
        raise self._no("get_destination")

    async def create_destination(self, destination: Destination, *, validate_only: bool) -> Destination:
        """Make a destination. Not idempotent."""
        raise self._no("create_destination")

    async def update_destination(self, destination_id: str, edit: Edit[Destination]) -> Destination:
        """Read the destination, let *edit* say what to write, write that."""
        raise self._no("update_destination")

    async def delete_destination(self, destination: Destination, *, force: bool, validate_only: bool) -> Destination:
        """Delete a destination that was just read; return it as it is afterwards."""
        raise self._no("delete_destination")

    async def undelete_destination(self, destination_id: str, *, validate_only: bool) -> Destination:
        """Bring a deleted destination back. A live one is AlreadyExists DESTINATION_NOT_DELETED."""
        raise self._no("undelete_destination")

    async def query_delivery_metrics(
        self, destination_id: str, request: QueryDeliveryMetricsRequest
    ) -> QueryDeliveryMetricsResponse:
        """Return what was delivered to a destination in a window of time."""
        raise self._no("query_delivery_metrics")

    async def list_subscriptions(
        self, destination_id: str, query: ListQuery, cursor: str, size: int
    ) -> Page[Subscription]:
        """Return about *size* subscriptions of a destination."""
        raise self._no("list_subscriptions")

    async def get_subscription(self, destination_id: str, subscription_id: str) -> Subscription:
        """Return a subscription."""
        raise self._no("get_subscription")

    async def create_subscription(
        self, destination_id: str, subscription: Subscription, *, validate_only: bool
    ) -> Subscription:
        """Make a subscription. Not idempotent."""
        raise self._no("create_subscription")

    async def update_subscription(
        self, destination_id: str, subscription_id: str, edit: Edit[Subscription]
    ) -> Subscription:
        """Read the subscription, let *edit* say what to write, write that."""
        raise self._no("update_subscription")

    async def delete_subscription(self, destination_id: str, subscription_id: str) -> None:
        """Delete a subscription for good."""
        raise self._no("delete_subscription")

    async def list_export_jobs(self, query: ListQuery, cursor: str, size: int) -> Page[ExportJob]:
        """Return about *size* jobs, newest first unless the query says otherwise."""
        raise self._no("list_export_jobs")

    async def get_export_job(self, export_job_id: str, *, full: bool = False) -> ExportJob:
        """Return a job; *full* adds vendor_extras."""
        raise self._no("get_export_job")

    async def create_export_job(self, export_job: ExportJob, *, marker: str, validate_only: bool) -> ExportJob:
        """Start a run. Not idempotent. *marker* is what the vendor should keep, to find the job by; may be empty."""
        raise self._no("create_export_job")

    async def cancel_export_job(self, export_job_id: str) -> ExportJob:
        """Stop a run. Cancelled or cancelling: nothing happens. Final: Precondition EXPORT_JOB_NOT_CANCELLABLE."""
        raise self._no("cancel_export_job")

    async def list_export_job_log_entries(
        self, export_job_id: str, query: ListQuery, cursor: str, size: int
    ) -> Page[LogEntry]:
        """Return about *size* lines of a job's log, oldest first unless the query says otherwise."""
        raise self._no("list_export_job_log_entries")

    async def list_export_job_revisions(
        self, export_job_id: str, query: ListQuery, cursor: str, size: int
    ) -> Page[ExportJobRevision]:
        """Return about *size* revisions of a job."""
        raise self._no("list_export_job_revisions")

    async def get_export_job_revision(self, export_job_id: str, revision_id: str) -> ExportJobRevision:
        """Return a revision of a job with what changed in it."""
        raise self._no("get_export_job_revision")

    def download_export_job(
        self, export_job_id: str, *, artifact_id: str, offset: int
    ) -> AbstractAsyncContextManager[Download]:
        """Open a job's file at *offset* bytes; an empty *artifact_id* is the job's only or main file."""
        raise self._no("download_export_job")

    async def upload_audience_members(self, destination_id: str, defaults: AudienceMemberDefaults) -> MemberFile:
        """Return how a destination takes members; *defaults* are what those get that leave a field unset."""
        raise self._no("upload_audience_members")

    async def find_export_jobs(self, wanted: ExportJob, *, marker: str, sent_at_s: float) -> list[ExportJob]:
        """Return every job at the vendor that the lost start of *wanted* may have made, newest first.

        Empty: none is there, or none yet (`listing_lag_s`). *wanted* is what `create_export_job` was asked for; for a
        file of members, `destination` alone. *marker* is what was given along with it, *sent_at_s* epoch seconds by our
        own clock, which the vendor's need not agree with.

        Raises:
            NotSupported: the vendor keeps nothing that a job could safely be told by.
        """
        raise self._no("find_export_jobs")

    async def find_destinations(self, wanted: Destination, *, sent_at_s: float) -> list[Destination]:
        """Return every destination that the lost creation of *wanted* may have made, as `find_export_jobs` does."""
        raise self._no("find_destinations")

    async def find_subscriptions(
        self, destination_id: str, wanted: Subscription, *, sent_at_s: float
    ) -> list[Subscription]:
        """Return every subscription that the lost creation of *wanted* may have made, as `find_export_jobs` does."""
        raise self._no("find_subscriptions")

    def _no(self, verb: str) -> NotSupported:
        return NotSupported(
            f"{self.vendor} has no {verb.replace('_', ' ')}",
            metadata={"operation": verb, "vendor": self.vendor, "connection": self.connection},
        )


VERBS: tuple[str, ...] = tuple(
    name for name, value in vars(Adapter).items() if callable(value) and not name.startswith(("_", "find_"))
)


class ConnectionSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """Base of every adapter's settings. What a value must be stands beside its type (`adapters.keys`)."""

    @classmethod
    def contradictions(cls, given: Collection[str]) -> Iterator[str]:  # noqa: ARG003 - for those who override it
        """Yield what is wrong with the keys that are *given*, whatever their values are."""
        return iter(())
