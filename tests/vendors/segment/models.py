"""What Segment's own clients take and send about Reverse ETL syncs, of which there is no published document.

Typed from the models of segmentio/public-api-sdk-python: a field with a default may be absent, a field that is not here
is refused.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field


class Model(Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """Base of the models."""


class CreateReverseETLManualSyncInput(Model):
    source_id: str
    model_id: str
    subscription_id: str


class ReverseETLManualSyncJobOutput(Model):
    started_at: str
    sync_id: str


class CancelReverseETLSyncForModelInput(Model):
    reason_for_canceling: Annotated[float, Meta(ge=0, le=4)] | None = None


class CancelReverseETLSyncForModelOutput(Model):
    model_id: str
    sync_id: str
    error_code: Literal["SyncAlreadyCanceled", "SyncFinishedCannotCancel"] | None = None
    error_message: Literal["sync already canceled", "sync already finished"] | None = None
    status: Literal["CANCELLING"] | None = None


class SyncExtractPhase(Model):
    added_count: str
    updated_count: str
    deleted_count: str
    extract_count: str
    error_code: str
    started_at: str
    finished_at: str


class SyncLoadPhase(Model):
    deliver_success_count: str
    deliver_failure_count: str
    error_code: str
    started_at: str
    finished_at: str


class ReverseETLSyncStatus(Model):
    sync_id: str
    model_id: str
    source_id: str
    sync_status: str
    duration: str
    started_at: str
    finished_at: str | None = None
    extract_phase: SyncExtractPhase | None = None
    load_phase: SyncLoadPhase | None = None
    error: str | None = None
    error_code: str | None = None


class PaginationOutput(Model):
    current: str
    next: str | None = None
    previous: str | None = None
    total_entries: float | None = None


class ListReverseETLSyncStatusesOutput(Model):
    sync_statuses: list[ReverseETLSyncStatus]
    pagination: PaginationOutput | None = None


class ListReverseETLSyncStatusesQuery(Struct, forbid_unknown_fields=True):
    count: Annotated[int, Meta(ge=1, le=100)] = 10
    cursor: str = ""


class ReverseEtlScheduleDefinition(Model):
    strategy: Literal["CRON", "DBT_CLOUD", "MANUAL", "PERIODIC", "SPECIFIC_DAYS"]
    config: dict[str, Any] | None = None


class DestinationSubscriptionUpdateInput(Model):
    name: str = ""
    trigger: str = ""
    enabled: bool = False
    settings: dict[str, Any] = {}
    reverse_etl_model_id: str = field(default="", name="reverseETLModelId")
    reverse_etl_schedule: ReverseEtlScheduleDefinition | None = field(default=None, name="reverseETLSchedule")


class UpdateSubscriptionForDestinationAlphaInput(Model):
    input: DestinationSubscriptionUpdateInput
