"""What Adobe Experience Platform takes and sends: its operations, and the JSON of their answers.

https://experienceleague.adobe.com/en/docs/experience-platform/segmentation/api/export-jobs, …/profile/api/export-jobs,
…/catalog/api, …/landing/troubleshooting, and the OpenAPI documents of Segmentation Service and Catalog Service.
Every key but the id of a job may be absent or null: the samples show a job with other keys in every place. Numbers may
have a fraction (the OpenAPI document calls ids and versions "number"), and times are in milliseconds, whatever it says.
"""

from typing import Any, Generic, Literal, NamedTuple, TypeVar

import msgspec

T_co = TypeVar("T_co", covariant=True)
Json = dict[str, Any]
Id = int | float | str
Number = int | float | None
Words = list[str] | str | None
"""A list, or as in one sample the bare text of its only word."""


class _Part(msgspec.Struct, kw_only=True, rename="camel"):
    """A part of an answer."""


class Segment(_Part, kw_only=True):
    """A segment to export, or the batch that holds the members of one."""

    segment_id: Id | None = None
    segment_ns: str | None = None
    status: Words = None
    batch_id: str | None = None


class JobDestination(_Part, kw_only=True):
    """Where a job writes to; the id of the dataset is spelled in two ways."""

    dataset_id: str | None = None
    data_set_id: str | None = None
    segment_per_batch: bool | None = None
    batch_id: str | None = None
    batches: list[Segment] | Segment | None = None
    """One for each segment, or as in the OpenAPI document a single one."""


class Schema(_Part, kw_only=True):
    """The schema of what is exported."""

    name: str | None = None


class Interval(_Part, kw_only=True):
    """When members qualified."""

    start_time: str | None = None
    end_time: str | None = None


class Filter(_Part, kw_only=True):
    """What is exported."""

    segments: list[Segment] | None = None
    segment_qualification_time: Interval | None = None
    from_ingest_timestamp: str | None = None
    empty_profiles: bool | None = None


class EventFilter(_Part, kw_only=True):
    """When events came in."""

    from_ingest_timestamp: str | None = None
    to_ingest_timestamp: str | None = None


class EventList(_Part, kw_only=True):
    """Which events are exported along."""

    fields: str | None = None
    filter: EventFilter | None = None


class AdditionalFields(_Part, kw_only=True):
    """What is exported beside profiles."""

    event_list: EventList | None = None


class MergePolicy(_Part, kw_only=True):
    """What makes profiles of their fragments; a version may be the word `Latest`."""

    id: str | None = None
    version: Id | None = None


class EvaluationInfo(_Part, kw_only=True):
    """What is done before the export."""

    segmentation: bool | None = None


class JobError(_Part, kw_only=True):
    """What went wrong in a job."""

    code: Id | None = None
    msg: str | None = None
    call_stack: str | None = None


class Job(_Part, kw_only=True):
    """An export job."""

    id: Id
    status: str | None = None
    destination: JobDestination | None = None
    fields: str | None = None
    schema: Schema | None = None
    filter: Filter | None = None
    additional_fields: AdditionalFields | None = None
    merge_policy: MergePolicy | None = None
    evaluation_info: EvaluationInfo | None = None
    errors: list[JobError] | None = None
    metrics: Json | None = None
    total_exported_profile_counter: Number = None
    """By a table of the documentation; by its samples it is one of the metrics."""
    creation_time: Number = None
    update_time: Number = None
    extras: Json = msgspec.field(default_factory=dict, name="(extras)")
    """The keys that are not modelled; filled in the FULL view, never decoded."""


class PageInfo(_Part, kw_only=True):
    """Where a page of jobs ends."""

    page_offset: Id | None = None


class Link(_Part, kw_only=True):
    """Where the next page is: relative to the service, and empty on the last one."""

    next: str | None = None


class Jobs(_Part, kw_only=True):
    """A page of jobs, newest first."""

    records: list[Job]
    page: PageInfo | None = None
    link: Link | None = None


class Cancellation(_Part, kw_only=True):
    """What DELETE of a job says, where it says anything."""

    status: bool | None = None


class SchemaRef(_Part, kw_only=True):
    """The schema of a dataset."""

    id: str | None = None
    content_type: str | None = None


class Dataset(_Part, kw_only=True):
    """A dataset of Catalog, without its id: that is the key it stands under."""

    name: str | None = None
    description: str | None = None
    schema_ref: SchemaRef | None = None
    tags: Json | None = None
    created: Number = None
    updated: Number = None
    extras: Json = msgspec.field(default_factory=dict, name="(extras)")
    """As in Job."""


Datasets = dict[str, Dataset]
References = list[str]
"""`@/dataSets/{id}`, also written `@/datasets/{id}`; an empty list where there was nothing to change."""


class Token(msgspec.Struct):
    """What the identity service gives."""

    access_token: str
    expires_in: int | float


class Problem(msgspec.Struct, kw_only=True):
    """Any of the forms of an error answer; none of its keys is certain, nor what stands under it."""

    error_code: Any = None
    """The gateway in front of all services."""
    message: Any = None
    errors: Any = None
    """UPS: from an HTTP status to a list of objects with `code` and `message`."""
    request_id: Any = msgspec.field(default=None, name="requestId")
    type: Any = None
    title: Any = None
    detail: Any = None
    report: Any = None
    error_message: Any = msgspec.field(default=None, name="errorMessage")
    retry_after_ms: Any = msgspec.field(default=None, name="retryAfterMs")
    error: Any = None
    """The identity service, as in RFC 6749."""
    error_description: Any = None


class Operation(NamedTuple, Generic[T_co]):
    """One documented call."""

    service: Literal["ups", "catalog"]
    method: str
    path: str
    reply: type[T_co]
    permission: str = ""
    """What a 403 of it misses: https://experienceleague.adobe.com/en/docs/experience-platform/access-control/home."""


_EXPORT = "Export Audience for Segment"
_VIEW, _MANAGE = "View Datasets or Manage Datasets", "Manage Datasets"

LIST_JOBS = Operation("ups", "GET", "export/jobs", Jobs)
GET_JOB = Operation("ups", "GET", "export/jobs/{}", Job)
CREATE_JOB = Operation("ups", "POST", "export/jobs", Job, _EXPORT)
CANCEL_JOB = Operation("ups", "DELETE", "export/jobs/{}", Cancellation, _EXPORT)
LIST_DATASETS = Operation("catalog", "GET", "dataSets", Datasets, _VIEW)
GET_DATASET = Operation("catalog", "GET", "dataSets/{}", Datasets, _VIEW)
CREATE_DATASET = Operation("catalog", "POST", "dataSets", References, _MANAGE)
PATCH_DATASET = Operation("catalog", "PATCH", "dataSets/{}", References, _MANAGE)
DELETE_DATASET = Operation("catalog", "DELETE", "dataSets/{}", References, _MANAGE)
