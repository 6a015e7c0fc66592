"""Between mediarithmics' JSON and the contract's messages, and how files are written. Pure: nobody is asked here."""

import csv
import io
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote

import msgspec

from adapters import names
from adapters.errors import Fault, invalid_field
from adapters.mediarithmics import wire
from adapters.members import Dialect
from adapters.secrets import scrub
from adapters.states import FINAL, lookup
from adapters.wellknown import failure, instant, show
from audiencegateway.v1.destinations_pb2 import Destination
from audiencegateway.v1.export_jobs_pb2 import ExportArtifact, ExportJob, ExportMetrics
from audiencegateway.v1.members_pb2 import AudienceMember
from audiencegateway.v1.vendor_config_pb2 import MediarithmicsDestinationConfig, MediarithmicsExportSpec

VENDOR = "mediarithmics"

# https://developer.mediarithmics.io/data-ingestion/bulk-processing has the words of samples; the others are those of
# the vendor's own interface, older ones among them.
JOB_STATES = {
    "pending": ExportJob.PENDING,
    "scheduled": ExportJob.PENDING,
    "waiting_dependent_job": ExportJob.PENDING,
    "running": ExportJob.RUNNING,
    # It may answer again, or become LOST.
    "executor_not_responding": ExportJob.RUNNING,
    # Of these two, rows may have failed: see `state`.
    "succeeded": ExportJob.SUCCEEDED,
    "success": ExportJob.SUCCEEDED,
    "failed": ExportJob.FAILED,
    "lost": ExportJob.FAILED,
    "canceled": ExportJob.CANCELLED,
}
USER_SEGMENT = "USER_SEGMENT"
NDJSON, CSV = "APPLICATION_X_NDJSON", "TEXT_CSV"
ENCODING, PRIORITY = "utf-8", "MEDIUM"
"""What is written where a caller says nothing."""
INPUT, ERROR = "input", "error"
"""The ids of a job's artifacts."""
MAX_ERROR_CHARS = 256

# https://developer.mediarithmics.io/data-ingestion/bulk-processing/imports/segments: a duration is in minutes.
DIALECT = Dialect(words={AudienceMember.ADD: "UPDATE", AudienceMember.REMOVE: "DELETE"}, unit_ms=60_000)


def fault(_status: int, _headers: Mapping[str, str], body: bytes) -> Fault:
    """Read an error answer. Raises: msgspec.DecodeError."""
    refusal = msgspec.json.decode(body, type=wire.Refusal)
    return Fault(message=refusal.error or "", code=refusal.error_code or "", request_id=refusal.error_id or "")


# Destinations, which are document imports.


def is_destination(source: wire.Import) -> bool:
    """Tell whether an import is one of user segments."""
    return source.document_type == USER_SEGMENT


def destination(connection: str, source: wire.Import) -> Destination:
    """Return an import of user segments as a destination."""
    message = Destination(
        name=names.destination(connection, names.join_id(str(source.id))),
        display_name=source.name or "",
        state=Destination.ACTIVE,
        mediarithmics=MediarithmicsDestinationConfig(
            datamart_id=_text(source.datamart_id),
            mime_type=source.mime_type or "",
            encoding=source.encoding or "",
            priority=source.priority or "",
        ),
    )
    if source.extras:
        show(message.vendor_extras, source.extras)
    return message


def new_import(wanted: Destination) -> wire.Json:
    """Return the body of the POST that makes a destination.

    Raises:
        InvalidRequest: INVALID_FIELD.
    """
    mime_type = wanted.mediarithmics.mime_type or NDJSON
    return {"document_type": USER_SEGMENT, "mime_type": mime_type, **changes(wanted, WRITES)}


def planned(datamart_id: str, body: wire.Json) -> Destination:
    """Return the destination that the POST of *body* would make, without a name."""
    message = destination("", msgspec.convert({"id": "", "datamart_id": datamart_id, **body}, wire.Import))
    message.name = ""
    return message


def whole(source: wire.Import) -> wire.Json:
    """Return an import as it was read, with what is not modelled."""
    modelled = msgspec.to_builtins(source)
    extras: wire.Json = modelled.pop("(extras)")
    return extras | {key: value for key, value in modelled.items() if value is not None}


def changes(merged: Destination, paths: Collection[str]) -> wire.Json:
    """Return what makes an import that of *merged*, as far as *paths* go.

    Raises:
        InvalidRequest: INVALID_FIELD.
    """
    writes = (WRITES[path] for path in WRITES if path in paths)
    return {key: write(merged) for key, write in writes}


def _name(wanted: Destination) -> str:
    if not wanted.display_name:
        raise invalid_field("destination.display_name", "is required by mediarithmics")
    return wanted.display_name


WRITES: Mapping[str, tuple[str, Callable[[Destination], str]]] = {
    "mediarithmics.encoding": ("encoding", lambda new: new.mediarithmics.encoding or ENCODING),
    "display_name": ("name", _name),
    "mediarithmics.priority": ("priority", lambda new: new.mediarithmics.priority or PRIORITY),
}
"""From the path of a field of ours that can change to mediarithmics' key, and its value."""


# Export jobs, which are executions.


def is_export_job(source: wire.Execution) -> bool:
    """Tell whether an execution is one over members, as far as it says."""
    return source.parameters is None or source.parameters.document_type in {None, USER_SEGMENT}


def state(source: wire.Execution) -> ExportJob.State.ValueType:
    """Return how far an execution is."""
    reached, (succeeded, failed) = lookup(JOB_STATES, source.status or "", VENDOR), _counts(source)
    if reached == ExportJob.SUCCEEDED and failed:
        return ExportJob.FAILED if succeeded == 0 else ExportJob.PARTIALLY_SUCCEEDED
    return reached


def created_ms(source: wire.Execution) -> int:
    """Return when an execution was made, in epoch milliseconds; 0 where that is not said."""
    return int(source.creation_date or 0)


def export_job(connection: str, import_id: str, source: wire.Execution) -> ExportJob:
    """Return an execution of the import that it was found under."""
    succeeded, failed = _counts(source)
    reached = state(source)
    start, duration = source.start_date, source.duration
    message = ExportJob(
        name=names.export_job(connection, names.join_id(import_id, str(source.id))),
        destination=names.destination(connection, names.join_id(import_id)),
        state=reached,
        vendor_state=source.status or "",
        vendor_job_id=str(source.id),
        create_time=instant(source.creation_date),
        start_time=instant(start),
        end_time=instant(start + duration) if reached in FINAL and start and duration is not None else None,
        artifacts=_artifacts(source),
        mediarithmics=MediarithmicsExportSpec(document_import_id=import_id),
    )
    metrics = ExportMetrics(
        records_succeeded_count=succeeded,
        records_failed_count=failed,
        vendor_metrics={key: number for key in TASKS if (number := _count(getattr(source, key))) is not None},
    )
    if succeeded is not None and failed is not None and reached in FINAL:
        metrics.records_total_count = succeeded + failed
    if duration is not None:
        metrics.run_duration.FromMilliseconds(int(duration))
    if metrics.ListFields():
        message.metrics.CopyFrom(metrics)
    _explain(message, connection, source)
    _extend(message, source)
    return message


def is_named(job: ExportJob) -> bool:
    """Tell whether mediarithmics says already how the file of a job is called."""
    return any(artifact.artifact_id == INPUT for artifact in job.artifacts)


def is_marked(job: ExportJob, marker: str) -> bool:
    """Tell whether the file of a job was sent under the name of *marker*."""
    filenames = [artifact.filename for artifact in job.artifacts if artifact.artifact_id == INPUT]
    return any(filename == f"gw-{marker}.{form.suffix}" for filename in filenames for form in FORMS.values())


def uris(source: wire.Execution) -> dict[str, str]:
    """Return where the files of an execution are, by the id of the artifact."""
    result, parameters = source.result or wire.Result(), source.parameters or wire.Parameters()
    found = {INPUT: result.input_file_uri or parameters.file_uri}
    if _counts(source)[1]:
        found[ERROR] = result.error_file_uri
    return {artifact_id: uri for artifact_id, uri in found.items() if uri}


TASKS = ("num_tasks", "completed_tasks", "erroneous_tasks")


def _counts(source: wire.Execution) -> tuple[int | None, int | None]:
    """Return how many rows succeeded and failed, so far or in all; None where it is not said."""
    result, parameters = source.result or wire.Result(), source.parameters or wire.Parameters()
    totals = [(place.total_success, place.total_failure) for place in (result, parameters)]
    succeeded, failed = (next(filter(_is_said, map(_count, each)), None) for each in zip(*totals, strict=True))
    return succeeded, failed


def _is_said(count: int | None) -> bool:
    return count is not None


def _artifacts(source: wire.Execution) -> list[ExportArtifact]:
    given = {INPUT: source.result.input_file_name if source.result else None}
    return [
        ExportArtifact(artifact_id=id_, downloadable=True, filename=given.get(id_) or unquote(uri.rpartition("/")[2]))
        for id_, uri in uris(source).items()
    ]


def _explain(job: ExportJob, connection: str, source: wire.Execution) -> None:
    """Say on a job that and why it failed, and what mediarithmics says of one that did not."""
    text = (source.error and source.error.message) or ""
    if job.state == ExportJob.FAILED:
        is_over_rows = JOB_STATES[job.vendor_state.lower()] == ExportJob.SUCCEEDED
        message = "mediarithmics took none of the rows" if is_over_rows else "the execution failed at mediarithmics"
    elif text:
        message = "mediarithmics reports an error"
    else:
        return
    shown = scrub(text)[:MAX_ERROR_CHARS]
    job.error.CopyFrom(failure(message, vendor=VENDOR, connection=connection, vendorMessage=shown))


def _extend(message: ExportJob, source: wire.Execution) -> None:
    inside = {"parameters": source.parameters, "result": source.result}
    extras = source.extras | {key: part.extras for key, part in inside.items() if part and part.extras}
    if extras:
        show(message.vendor_extras, extras)


def _count(number: wire.Count) -> int | None:
    return int(number) if isinstance(number, int) or (number and number.isdecimal()) else None


def _text(source: wire.Id | None) -> str:
    return "" if source is None else str(source)


# Members, which are the rows of files.


def _ndjson(rows: Sequence[wire.Command]) -> bytes:
    return _ENCODER.encode_lines(rows)


def _csv(rows: Sequence[wire.Command]) -> bytes:
    for row in rows:
        # Only white space can be meant: in the strings of JSON, line breaks are escaped.
        if "\n" in row.data_bag or "\r" in row.data_bag:
            row.data_bag = row.data_bag.translate(ONE_LINE)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(map(msgspec.structs.astuple, rows))
    return text.getvalue().encode()


_ENCODER = msgspec.json.Encoder()
ONE_LINE = str.maketrans("\r\n", "  ")


class Form(NamedTuple):
    """How a file is written."""

    content_type: str
    suffix: str
    head: bytes
    write: Callable[[Sequence[wire.Command]], bytes]


FORMS: Mapping[str, Form] = {
    NDJSON: Form("application/x-ndjson", "ndjson", b"", _ndjson),
    CSV: Form("text/csv", "csv", f"{','.join(wire.Command.__struct_fields__)}\r\n".encode(), _csv),
}
"""By mime type. RFC 4180 where the documentation says no more than CSV."""


def multipart(form: Form, marker: str, boundary: str) -> tuple[str, bytes, bytes]:
    """Return the content type of a file that is sent under a name, and what goes before and behind it."""
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="type"\r\n\r\n{form.content_type}\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="gw-{marker}.{form.suffix}"\r\n'
        f"Content-Type: {form.content_type}\r\n\r\n"
    )
    return f"multipart/form-data; boundary={boundary}", head.encode(), f"\r\n--{boundary}--\r\n".encode()
