"""Adobe Experience Platform's simulator, written from its documentation: IMS tokens, UPS export jobs, Catalog datasets.

Docs:    https://experienceleague.adobe.com/en/docs/experience-platform (read 2026-11), segmentation/api/export-jobs,
         catalog/api and landing/troubleshooting, and the OpenAPI documents of Segmentation Service and Catalog Service.
Auth:    `POST /ims/token/v3` gives a bearer token; every other call also has the API key, organization and sandbox.
Paging:  export jobs by `{creationTime}_{id}` of the last one, newest first; Catalog by limit (default 20) and start.
Silence: where the documentation says nothing or contradicts itself there is a switch, see `SWITCHES`. Its default is
         what the OpenAPI documents allow; `suite` names those that a caller should be tried with as well.
"""

import copy
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from adapters.sandbox import (
    ApiError,
    Call,
    Handler,
    Ids,
    Invalid,
    Reply,
    Run,
    Sandbox,
    Switch,
    TokenBook,
    json_reply,
    phrase,
)

Json = dict[str, Any]
Shape = str | list[Any] | dict[str, Any]
"""What a JSON value must be: a key of `KINDS`, a list of a shape, or an object of shapes by name."""

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S

ON, OFF = (True, (True, False)), (False, (False, True))
SWITCHES = {
    "token_lifetime_s": Switch(86399, int, "how long a token lives that is issued from now on"),
    "expires_in": Switch(
        "seconds", ("seconds", "milliseconds"), "the unit of a token's expires_in; the retired exchange had the other"
    ),
    "invalid_client_status": Switch(401, (401, 400), "the answer to a wrong client_id or client_secret"),
    "error_envelopes": Switch(
        "own", ("own", "generic"), "errors of UPS and Catalog: each its own, or the platform's with report and chain"
    ),
    "ups_error_codes": Switch("string", ("string", "number"), "`code` of an error of UPS"),
    "too_many": Switch("gateway", ("gateway", "profile"), "the body of a 429: error_code, or retryAfterMs in a string"),
    "retry_after": Switch("sent", ("sent", "absent"), "Retry-After of a 429"),
    "request_id": Switch("own", ("own", "echoed"), "requestId of jobs and errors: the platform's, or x-request-id"),
    "unknown_properties": Switch("ignored", ("ignored", "refused"), "what is in a body and in no documentation"),
    # Export jobs.
    "default_limit": Switch(100, int, "jobs of a list that asks for no limit; 0 is all, as the page says"),
    "max_limit": Switch(1000, int, "a larger limit is cut to this, silently"),
    "status_filter": Switch("strict", ("strict", "any"), "is a list by a status refused that is not one of the three"),
    "last_link": Switch("empty", ("empty", "absent", "no_link"), "link of a last page: next is empty, or not there"),
    "look_ahead": Switch(*ON, "does a page know that it is the last; otherwise a full one links to an empty one"),
    "dataset_key": Switch("datasetId", ("datasetId", "dataSetId"), "how jobs spell the id of their dataset"),
    "batches": Switch("object", ("object", "array"), "batches by segment: the first alone, or a list of all"),
    "batch_status": Switch("array", ("array", "string"), "status of such a batch; a sample has a bare string"),
    "failed_batch_id": Switch("empty", ("empty", "present"), "batchId of a job that failed"),
    "errors_on_success": Switch(*OFF, "whether jobs that went well have errors, as in the samples"),
    "counter": Switch("metrics", ("metrics", "top"), "where totalExportedProfileCounter is: by sample or by table"),
    "waiting_status": Switch("NEW", ("NEW", "QUEUED"), "a job that waits; the other word is one of segment jobs"),
    "odd_status": Switch(*OFF, "whether job 105 has a status that nobody knows"),
    "jobs_end_in": Switch("SUCCEEDED", ("SUCCEEDED", "FAILED"), "how jobs end that start from now on"),
    "unknown_dataset_status": Switch(400, (400, 404), "a job into a dataset that is not there"),
    "other_schema_status": Switch(400, (400, 200), "a job into a dataset that is not on the union schema; 200 fails"),
    "unknown_segment_status": Switch(400, (400, 404, 200), "a job of a segment that is not there; 200 fails"),
    "cancelling_s": Switch(5.0, float, "how long a cancel takes"),
    "after_cancel": Switch(
        "FAILED",
        ("FAILED", "CANCELLED", "gone", "ignored"),
        "what a cancelled job becomes: FAILED, CANCELLING and then CANCELLED, a 404, or what it would have become",
    ),
    "delete_job_status": Switch(200, (200, 204), "the answer to DELETE of a job: with its message, or without"),
    # Catalog.
    "etag_header": Switch("ETag", ("ETag", "E-Tag"), "the name of the header; the appendix has the other"),
    "etag": Switch("version", ("version", "updated"), "what it holds: by the appendix, or by the OpenAPI document"),
    "reference": Switch("@/dataSets/", ("@/dataSets/", "@/datasets/"), "what stands before a new dataset's id"),
    "validate_only": Switch("reference", ("reference", "empty"), "the answer to a dry run: as to the real one, or []"),
    "duplicate_name_status": Switch(200, (200, 400, 409), "a dataset of a name that is taken; 200 lets it pass"),
    "delete_unknown_status": Switch(200, (200, 404), "DELETE of a dataset that is not there; 200 answers []"),
}

IMS = "/ims"
UPS = "/data/core/ups"
CATALOG = "/data/foundation/catalog"
JOBS = f"{UPS}/export/jobs"
DATASETS = f"{CATALOG}/dataSets"

JSON_TYPE = "application/json"
JSON_PATCH_TYPE = "application/json-patch+json"
PATCH_OPERATIONS = ("add", "remove", "replace", "test")
FORM_TYPE = "application/x-www-form-urlencoded"

CLIENTS = {"sandbox-client-id": "sandbox-client-secret"}
ORGANIZATION = "EXAMPLE00000000000000000@AdobeOrg"
SANDBOX = "prod"
SCOPES = {
    *("openid", "session", "AdobeID", "read_organizations"),
    *("additional_info.projectedProductContext", "additional_info.roles"),
}

UNION_SCHEMA = "https://ns.adobe.com/xdm/context/profile__union"
SCHEMA_TYPE = "application/vnd.adobe.xed+json;version=1"
LISTED_STATUSES = ("NEW", "SUCCEEDED", "FAILED")
MEMBERSHIPS = ("realized", "existing", "exited")
FORMATS = ("", "csv", "text", "parquet", "json", "sequencefile", "avro")
CHARSETS = ("US-ASCII", "UTF-8", "ISO-8859-1", "")


def _is_time(value: object) -> bool:
    """Say whether it is in the format of RFC 3339."""
    form = r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)"
    if not isinstance(value, str) or not re.fullmatch(form, value, re.ASCII):
        return False
    try:
        return bool(datetime.fromisoformat(value[:19]))
    except ValueError:
        return False


KINDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "any": (lambda _: True, "anything"),
    "text": (lambda v: isinstance(v, str), "a string"),
    "name": (lambda v: isinstance(v, str) and v != "", "a string that is not empty"),
    "character": (lambda v: isinstance(v, str) and len(v) <= 1, "one character"),
    "flag": (lambda v: isinstance(v, bool), "a boolean"),
    "number": (lambda v: isinstance(v, int | float) and not isinstance(v, bool), "a number"),
    "whole": (lambda v: isinstance(v, int) and not isinstance(v, bool), "a whole number"),
    "time": (_is_time, "a time as in RFC 3339"),
    "membership": (lambda v: v in MEMBERSHIPS, f"one of {', '.join(MEMBERSHIPS)}"),
    "format": (lambda v: v in FORMATS, f"one of {', '.join(FORMATS[1:])}"),
    "charset": (lambda v: v in CHARSETS, f"one of {', '.join(CHARSETS[:-1])}"),
    "owner": (lambda v: v in ("CUSTOMER", "SYSTEM"), "CUSTOMER or SYSTEM"),
}

# Names that end with "!" are required; "*" is any name.
JOB_SHAPE: Shape = {
    "fields": "text",
    "mergePolicy": {"id": "text", "version": "number"},
    "filter": {
        "segments": [{"segmentId!": "name", "segmentNs": "text", "status": ["membership"]}],
        "segmentQualificationTime": {"startTime": "time", "endTime": "time"},
        "fromIngestTimestamp": "time",
        "emptyProfiles": "flag",
    },
    "additionalFields": {
        "eventList": {"fields": "text", "filter": {"fromIngestTimestamp": "time", "toIngestTimestamp": "time"}}
    },
    "destination!": {"datasetId!": "name", "segmentPerBatch": "flag"},
    "schema!": {"name!": "name"},
    "evaluationInfo": {"segmentation": "flag"},
}
ECHOED = ("fields", "schema", "filter", "additionalFields", "mergePolicy")
DATASET_SHAPE: dict[str, Shape] = {
    "name": "text",
    "description": "text",
    "tags": {"*": ["text"]},
    "enableErrorDiagnostics": "flag",
    "observableSchema": {"*": "any"},
    "fileDescription": {
        **dict.fromkeys(("format", "containerFormat"), "format"),
        **dict.fromkeys(("persisted", "header"), "flag"),
        **{name: ["text"] for name in ("quotes", "escapes", "nullMarkers")},
        "delimiters": ["character"],
        "charset": "charset",
    },
    "schema": "text",
    "schemaRef": {"id": "text", "contentType": "text"},
    "dataSourceId": "whole",
    "state": "text",
    "classification": {"dataBehavior!": "text", "managedBy!": "owner"},
    "extensions": {"adobe_lakeHouse!": {"rowExpiration!": {"ttlValue!": "text"}}},
}
# What a whole object may have in a PUT, too; it is not written.
READ_ONLY_SHAPE: dict[str, Shape] = {
    **dict.fromkeys(("version", "imsOrg", "createdClient", "createdUser", "updatedUser", "viewId", "basePath"), "text"),
    **dict.fromkeys(("created", "updated"), "whole"),
    **dict.fromkeys(("files", "lastBatchId", "lastBatchStatus", "lastSuccessfulBatch", "lastFailedBatch"), "text"),
    "persistence": {"*": "any"},
}

# Simple filters, by the kind of the property.
DATASET_FILTERS = {
    **dict.fromkeys(("version", "createdClient", "createdUser", "updatedUser", "name", "description"), "text"),
    **dict.fromkeys(("created", "updated"), "whole"),
    "enableErrorDiagnostics": "flag",
}
FILTER_FORMS = {"text": r"(?s:.*)", "whole": r"!?-?\d{1,19}(,-?\d{1,19})*", "flag": "true|false"}
COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

# https://www.rfc-editor.org/rfc/rfc6749#section-5.2; IMS documents none.
OAUTH_ERRORS = {400: "invalid_request", 401: "invalid_client", 404: "not_found"}


class Segment(NamedTuple):
    """A segment definition, as far as exports know it."""

    merge_policy: str
    profiles: int


SEGMENTS = {
    "5ca1ab1e-0000-4000-8000-000000000001": Segment("example-merge-policy", 1200),
    "5ca1ab1e-0000-4000-8000-000000000002": Segment("example-merge-policy", 300),
    "5ca1ab1e-0000-4000-8000-000000000003": Segment("example-second-merge-policy", 450),
}
REGULAR, LAPSED, SUBSCRIBED = SEGMENTS
ALL_PROFILES = 5000

LOGGER = "com.example.unifiedprofile.common.logging.Logger"
FAILURE = [
    {"code": "0090000009", "msg": "Error writing profiles to output path 'adl://shop.example/1'", "callStack": LOGGER},
    {"code": "unknown", "msg": "Job aborted.", "callStack": "org.example.spark.SparkException: Job aborted."},
]
CANCELLATION = [{"code": "unknown", "msg": "Job was cancelled.", "callStack": LOGGER}]
HARMLESS = [{"code": "0100000003", "msg": "Error in Export Job", "callStack": LOGGER}]


@dataclass
class Job:
    """One export job. Its status follows from the clock alone."""

    id: int
    request: Json
    """As it was posted."""
    run: Run
    request_id: str
    outcome: str = "SUCCEEDED"
    profile_instance: str = "ups"
    type: str = "BATCH"
    odd_status: str = ""
    """What it ends in where the switch says so."""

    dataset_id: str = field(init=False)
    segments: list[Json] = field(init=False)

    def __post_init__(self) -> None:
        self.dataset_id = self.request["destination"]["datasetId"]
        self.segments = self.request.get("filter", {}).get("segments", [])

    @property
    def key(self) -> tuple[int, int]:
        """What lists are ordered by."""
        return _ms(self.run.created_s), self.id

    @property
    def is_per_batch(self) -> bool:
        """Say whether each segment has a batch of its own."""
        return bool(self.request["destination"].get("segmentPerBatch")) and bool(self.segments)

    @property
    def batch_ids(self) -> list[str]:
        """One, or one for each segment."""
        ids = Ids(self.id * 1000)
        return [ids.hex(32) for _ in self.profiles]

    @property
    def profiles(self) -> list[int]:
        """How many profiles each batch gets."""
        counts = [SEGMENTS[s["segmentId"]].profiles if s["segmentId"] in SEGMENTS else 0 for s in self.segments]
        return counts if self.is_per_batch else [sum(counts) if counts else ALL_PROFILES]


class AdobeSandbox(Sandbox):
    """One sandbox of an obviously invented shop's organization, and the identity service that it trusts."""

    vendor = "adobe"
    prefixes = (UPS, CATALOG, IMS)
    switch_table = SWITCHES
    tokens: TokenBook

    def routes(self) -> Mapping[str, Handler]:
        return {
            f"POST {IMS}/token/v3": self.issue_token,
            # Clients and link.next have a slash at the end.
            **{f"GET {JOBS}{slash}": self.list_jobs for slash in ("", "/")},
            **{f"POST {JOBS}{slash}": self.create_job for slash in ("", "/")},
            f"GET {JOBS}/{{id}}": self.get_job,
            f"DELETE {JOBS}/{{id}}": self.delete_job,
            f"GET {DATASETS}": self.list_datasets,
            f"POST {DATASETS}": self.create_dataset,
            f"GET {DATASETS}/{{id}}": self.get_datasets,
            f"PUT {DATASETS}/{{id}}": self.replace_dataset,
            f"PATCH {DATASETS}/{{id}}": self.patch_dataset,
            f"DELETE {DATASETS}/{{id}}": self.delete_dataset,
            f"PATCH {CATALOG}/v2/dataSets/{{id}}": self.merge_dataset,
            f"GET {CATALOG}/batches/{{id}}": self.get_batch,
        }

    def connection_settings(self, base_url: str) -> dict[str, Any]:
        ((client_id, client_secret),) = CLIENTS.items()
        return {
            "ups_url": base_url + UPS,
            "catalog_url": base_url + CATALOG,
            "ims_url": base_url + IMS,
            "client_id": client_id,
            "client_secret": client_secret,
            "organization": ORGANIZATION,
            "sandbox": SANDBOX,
        }

    def seed(self) -> None:
        now = self.clock.now()
        self.ids, self.job_ids, self.request_ids = Ids(), Ids(3001), Ids()
        # Tokens outlive a reset, as the identity service is nothing that the platform could reset.
        vars(self).setdefault("tokens", TokenBook(self.clock))
        self.datasets = {_dataset_id(n): row for n, row in enumerate(_seed_datasets(now), 1)}
        self.jobs = {job.id: job for job in _seed_jobs(now)}

    @property
    def suite(self) -> dict[str, Any]:
        return copy.deepcopy(SUITE)

    # Access.

    def issue_token(self, call: Call) -> Reply:
        if call.body and _media_type(call) != FORM_TYPE:
            raise self._no_token("invalid_request", f"The Content-Type must be {FORM_TYPE}")
        form = {**call.query, **dict(parse_qsl(call.body.decode(errors="replace")))}
        for name in ("grant_type", "client_id", "client_secret"):
            if not form.get(name):
                raise self._no_token("invalid_request", f"{name} is missing")
        if form["grant_type"] != "client_credentials":
            raise self._no_token("unsupported_grant_type", "grant_type must be client_credentials")
        if CLIENTS.get(form["client_id"]) != form["client_secret"]:
            raise self._no_token("invalid_client", "client_id or client_secret is wrong")
        scopes = form.get("scope", "").split(",")
        if not SCOPES.issuperset(scopes):
            raise self._no_token("invalid_scope", "scope must be a list of known scopes, separated by commas")
        lifetime_s = self.switches["token_lifetime_s"]
        token = self.tokens.issue(scopes, lifetime_s)
        # The retired exchange answered 86399992.
        expires_in = lifetime_s if self.switches["expires_in"] == "seconds" else lifetime_s * 1000 + 992
        answer = {"access_token": token.value, "token_type": "bearer", "expires_in": expires_in}
        return json_reply(answer, headers={"Cache-Control": "no-store"})

    def _no_token(self, error: str, description: str) -> ApiError:
        status = self.switches["invalid_client_status"] if error == "invalid_client" else 400
        return ApiError(status, {"error": error, "error_description": description})

    def authorize(self, call: Call) -> None:
        if call.path.startswith(f"{IMS}/"):
            return
        scheme, _, value = call.headers.get("Authorization", "").partition(" ")
        call.token = self.tokens.live(value.strip()) if scheme.lower() == "bearer" else None
        key, organization, sandbox = (
            call.headers.get(name) for name in ("x-api-key", "x-gw-ims-org-id", "x-sandbox-name")
        )
        for is_wrong, code, message in (
            (not scheme, "403010", "Oauth token is missing."),
            (call.token is None, "401013", "Oauth token is not valid"),
            (not key, "403000", "Api Key is required"),
            (key not in CLIENTS, "403003", "Api Key is invalid"),
            (not organization, "400003", "Missing header"),
            (organization != ORGANIZATION, "403025", "Profile is not valid"),
            (not sandbox, "400003", "Missing header"),
            # Names are lower case, and nothing documents a code for one that is not there.
            (sandbox != SANDBOX, "403025", "Profile is not valid"),
        ):
            if is_wrong:
                # By convention a code begins with its status.
                raise ApiError(int(code[:3]), {"error_code": code, "message": message})

    # Errors: IMS, UPS and Catalog have envelopes of their own, and so have the gateway before them and the platform.

    def error(self, status: int, message: str = "", call: Call | None = None) -> ApiError:
        return self.errors(status, [message or phrase(status)], call)

    def errors(self, status: int, messages: Sequence[str], call: Call | None) -> ApiError:
        """Make the error of the service that the call was for."""
        path = call.path if call else ""
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return self._too_many()
        if path.startswith(IMS):
            error = OAUTH_ERRORS.get(status, "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "")
            return ApiError(status, {"error": error or "invalid_request", "error_description": "; ".join(messages)})
        if not path.startswith((UPS, CATALOG)):
            return ApiError(status, {"error_code": f"{status}000", "message": "; ".join(messages)})
        if self.switches["error_envelopes"] == "generic":
            return self._generic_error(status, messages)
        if path.startswith(CATALOG):
            return _catalog_error(status, "; ".join(messages))
        code = str(status) if self.switches["ups_error_codes"] == "string" else status
        body = {
            "requestId": self._request_id(call),
            "errors": {str(status): [{"code": code, "message": message} for message in messages]},
            "type": f"https://ns.adobe.com/aep/errors/UPAPI-113430-{status}",
            "title": phrase(status),
            "status": status,
        }
        return ApiError(status, body)

    def _generic_error(self, status: int, messages: Sequence[str]) -> ApiError:
        code, now = f"EXAMPLE-1000-{status}", self.clock.now()
        body = {
            "type": f"http://ns.adobe.com/aep/errors/{code}",
            "title": phrase(status),
            "status": status,
            "detail": messages[0],
            "report": {
                "timestamp": datetime.fromtimestamp(now, UTC).isoformat(),
                "detailed-message": messages[0],
                "sub-errors": list(messages[1:]),
            },
            "error-chain": [
                {"serviceId": "EXAMPLE", "errorCode": code, "invokingServiceId": "", "unixTimeStampMs": _ms(now)}
            ],
        }
        return ApiError(status, body)

    def _too_many(self) -> ApiError:
        headers = {"Retry-After": "1"} if self.switches["retry_after"] == "sent" else {}
        text = "Too many requests"
        body = {
            "gateway": {"error_code": "429050", "message": text},
            "profile": {"message": text, "cause": text, "retryAfterMs": "500", "statusCode": "429"},
        }
        return ApiError(429, body[self.switches["too_many"]], headers)

    def _request_id(self, call: Call | None) -> str:
        own = self.request_ids.uuid()
        return call.headers.get("x-request-id", own) if call and self.switches["request_id"] == "echoed" else own

    # Export jobs.

    def list_jobs(self, call: Call) -> Reply:
        wanted, cursor = call.query.get("status"), call.query.get("offset", "")
        if wanted is not None and wanted not in LISTED_STATUSES and self.switches["status_filter"] == "strict":
            raise Invalid(f"status must be one of {', '.join(LISTED_STATUSES)}")
        place = re.fullmatch(r"(\d{1,15})_(\d{1,15})", cursor, re.ASCII)
        if cursor and place is None:
            raise Invalid("offset must be a creation time and an id, such as 1540974701302_96")
        before = (int(place[1]), int(place[2])) if place else (math.inf, math.inf)
        jobs = [job for job in self._present_jobs() if job.key < before and wanted in (None, self._status(job))]
        jobs.sort(key=lambda job: job.key, reverse=True)
        limit = call.integer("limit", self.switches["default_limit"], 1) or len(jobs)
        limit = min(limit, self.switches["max_limit"])
        page = jobs[:limit]
        last = "{}_{}".format(*page[-1].key) if page else ""
        is_last = len(jobs) <= limit if self.switches["look_ahead"] else len(page) < limit
        query = {"limit": limit, "offset": last} | ({"status": wanted} if wanted else {})
        answer: Json = {
            "records": [self._job(job) for job in page],
            "page": {"sortField": "createdTime", "sort": "desc", "pageOffset": last, "pageSize": len(page)},
        }
        if not is_last:
            answer["link"] = {"next": f"/export/jobs/?{urlencode(query)}"}
        elif self.switches["last_link"] != "no_link":
            answer["link"] = {"next": ""} if self.switches["last_link"] == "empty" else {}
        return json_reply(answer)

    def create_job(self, call: Call) -> Reply:
        request = self._body(call, JOB_SHAPE)
        job = Job(
            id=self.job_ids.number(),
            request=request,
            run=self.start_run(),
            request_id=self._request_id(call),
            outcome=self.switches["jobs_end_in"],
            profile_instance=call.headers.get("x-profile-instance-id", "ups"),
        )
        if self._refusals(job, call):
            job.outcome = "FAILED"
        if "mergePolicy" not in request and job.segments and job.segments[0]["segmentId"] in SEGMENTS:
            request["mergePolicy"] = {"id": SEGMENTS[job.segments[0]["segmentId"]].merge_policy, "version": 1}
        self.jobs[job.id] = job
        return json_reply(self._job(job), headers={"X-Location": f"/export/jobs/{job.id}"})

    def get_job(self, call: Call) -> Reply:
        return json_reply(self._job(self._job_of(call)))

    def delete_job(self, call: Call) -> Reply:
        """Cancel a job that is not final, and forget one that is."""
        job, now = self._job_of(call), self.clock.now()
        stage = self._run(job).stage(now)
        if stage in {"waiting", "running"}:
            job.run.cancelled_s, job.run.cancelling_s = now, self.switches["cancelling_s"]
        elif stage != "cancelling":
            del self.jobs[job.id]
        if self.switches["delete_job_status"] == HTTPStatus.NO_CONTENT:
            return Reply(status=204)
        return json_reply({"status": True, "message": "Export job has been marked for cancelling"})

    def _refusals(self, job: Job, call: Call) -> list[str]:
        """Return what makes the job fail. Raises: ApiError for what keeps it from starting."""
        dataset = self.datasets.get(job.dataset_id)
        if dataset is None:
            raise self.error(self.switches["unknown_dataset_status"], "The dataset does not exist", call)
        own = [s["segmentId"] for s in job.segments if s.get("segmentNs", "ups") == "ups"]
        known = [SEGMENTS[segment_id] for segment_id in own if segment_id in SEGMENTS]
        if "mergePolicy" not in job.request and len({segment.merge_policy for segment in known}) > 1:
            raise self.error(400, "mergePolicy is required: the segments have different ones", call)
        is_on_union = dataset.get("schemaRef", {}).get("id") == UNION_SCHEMA
        refusals = []
        for is_refused, switch, message in (
            (not is_on_union, "other_schema_status", "The dataset is not on the union schema"),
            (len(known) < len(own), "unknown_segment_status", "A segment does not exist"),
        ):
            if is_refused and self.switches[switch] != HTTPStatus.OK:
                raise self.error(self.switches[switch], message, call)
            refusals += [message] if is_refused else []
        return refusals

    def _job_of(self, call: Call) -> Job:
        job = next((job for job in self._present_jobs() if str(job.id) == call.params["id"]), None)
        if job is None:
            raise self.error(404, "The export job was not found", call)
        return job

    def _present_jobs(self) -> list[Job]:
        now, gone = self.clock.now(), self.switches["after_cancel"] == "gone"
        return [job for job in self.jobs.values() if not (gone and job.run.stage(now) == "cancelled")]

    def _run(self, job: Job) -> Run:
        return replace(job.run, cancelled_s=None) if self.switches["after_cancel"] == "ignored" else job.run

    def _status(self, job: Job) -> str:
        run, is_documented = self._run(job), self.switches["after_cancel"] != "CANCELLED"
        waiting = self.switches["waiting_status"]
        has_started = run.cancelled_s is not None and run.cancelled_s >= run.started_s
        before = "PROCESSING" if has_started else waiting
        statuses: dict[str, str] = {
            "waiting": waiting,
            "running": "PROCESSING",
            "ended": (self.switches["odd_status"] and job.odd_status) or job.outcome,
            "cancelling": before if is_documented else "CANCELLING",
            "cancelled": "FAILED" if is_documented else "CANCELLED",
        }
        return statuses[run.stage(self.clock.now())]

    def _job(self, job: Job) -> Json:
        now, run, status = self.clock.now(), self._run(job), self._status(job)
        stage = run.stage(now)
        errors = {
            "FAILED": CANCELLATION if stage == "cancelled" else FAILURE,
            "SUCCEEDED": HARMLESS if self.switches["errors_on_success"] else [],
        }.get(status, [])
        metrics = _timings(job, run, now)
        counter: Json = {}
        if stage == "ended" and job.outcome == "SUCCEEDED":
            counter = {"totalExportedProfileCounter": sum(job.profiles)}
            metrics["exportedProfileByNamespaceCounter"] = _by_namespace(sum(job.profiles))
        if self.switches["counter"] == "metrics":
            metrics, counter = metrics | counter, {}
        gateway_ids = Ids(job.id * 1000 + 500)
        return {
            "id": job.id,
            "jobType": job.type,
            "destination": self._destination(job, status),
            **{name: job.request[name] for name in ECHOED if name in job.request},
            "imsOrgId": ORGANIZATION,
            "status": status,
            "profileInstanceId": job.profile_instance,
            **({"errors": errors} if errors else {}),
            **counter,
            "metrics": metrics,
            "computeGatewayJobId": {"exportJob": gateway_ids.uuid() if "profileExportTime" in metrics else ""}
            | ({"pushJob": gateway_ids.uuid()} if "aCPDatasetWriteTime" in metrics else {}),
            "creationTime": _ms(run.created_s),
            "updateTime": _ms(_updated(run, now)),
            "requestId": job.request_id,
        }

    def _destination(self, job: Job, status: str) -> Json:
        hides_ids = status == "FAILED" and self.switches["failed_batch_id"] == "empty"
        batch_ids = ["" for _ in job.batch_ids] if hides_ids else job.batch_ids
        is_per_batch = job.request["destination"].get("segmentPerBatch", False)
        shown: Json = {self.switches["dataset_key"]: job.dataset_id, "segmentPerBatch": is_per_batch}
        if not job.is_per_batch:
            return shown | {"batchId": batch_ids[0]}
        batches = []
        for segment, batch_id in zip(job.segments, batch_ids, strict=True):
            words = segment.get("status", ["realized", "existing"])
            is_list = self.switches["batch_status"] == "array"
            batches.append(
                {
                    "segmentId": segment["segmentId"],
                    "segmentNs": segment.get("segmentNs", "ups"),
                    "status": words if is_list else ",".join(words),
                    "batchId": batch_id,
                }
            )
        return shown | {"batches": batches if self.switches["batches"] == "array" else batches[0]}

    # Catalog: datasets, and the batches that export jobs put into them.

    def list_datasets(self, call: Call) -> Reply:
        batches = self._batches()
        rows = {id_: self._dataset(id_, batches) for id_ in self.datasets}
        limit, start, properties = call.integer("limit", 20, 1, 100), call.integer("start", 0), _properties(call)
        if properties and "observableSchema" in properties:
            limit = min(limit, 20)
        tests = _filters(call)
        chosen = [(id_, row) for id_, row in rows.items() if all(test(row) for test in tests)]
        for name, is_descending in reversed(_order(call)):
            chosen.sort(key=_place_by(name), reverse=is_descending)
        return json_reply({id_: _only(row, properties) for id_, row in chosen[start : start + limit]})

    def get_datasets(self, call: Call) -> Reply:
        """Answer one dataset, or those of a list of ids that are there."""
        ids = [id_ for id_ in call.params["id"].split(",") if id_ in self.datasets]
        if not ids:
            raise self._missing_dataset(call)
        properties, batches = _properties(call), self._batches()
        answer = json_reply({id_: _only(self._dataset(id_, batches), properties) for id_ in ids})
        if len(ids) == 1:
            answer.headers[self.switches["etag_header"]] = f'"{self._etag(self.datasets[ids[0]])}"'
        return answer

    def create_dataset(self, call: Call) -> Reply:
        given = self._body(call, DATASET_SHAPE)
        self._refuse_taken_name(call, given)
        id_ = self.ids.hex(24)
        if _is_dry_run(call):
            return self._referring([id_] if self.switches["validate_only"] == "reference" else [], 201)
        self.datasets[id_] = _written(given) | _made(id_, self.clock.now())
        reply = self._referring([id_], 201)
        reply.headers["Location"] = f"{DATASETS}/{id_}"
        return reply

    def replace_dataset(self, call: Call) -> Reply:
        row = self._dataset_to_change(call)
        return self._write(call, row, _written(self._body(call, DATASET_SHAPE | READ_ONLY_SHAPE)))

    def patch_dataset(self, call: Call) -> Reply:
        row = self._dataset_to_change(call)
        if _media_type(call) == JSON_PATCH_TYPE:
            changed = _patched(copy.deepcopy(_written(row)), call.json())
            return self._write(call, row, _written(self._checked(call, changed, DATASET_SHAPE)))
        # As far as is documented, a part of the object is given, and nothing below is merged.
        return self._write(call, row, _written(row) | _written(self._body(call, DATASET_SHAPE)))

    def merge_dataset(self, call: Call) -> Reply:
        row = self._dataset_to_change(call)
        return self._write(call, row, _merged(_written(row), _written(self._body(call, DATASET_SHAPE))))

    def delete_dataset(self, call: Call) -> Reply:
        id_ = call.params["id"]
        if id_ not in self.datasets and self.switches["delete_unknown_status"] == HTTPStatus.OK:
            return json_reply([])
        self._dataset_to_change(call)
        del self.datasets[id_]
        return self._referring([id_], 200)

    def get_batch(self, call: Call) -> Reply:
        # Nothing is below these batches, so that either way they have the same status.
        if not re.fullmatch(FILTER_FORMS["flag"], call.query.get("aggregate", "false")):
            raise Invalid(f"aggregate must be {KINDS['flag'][1]}")
        rows, id_ = self._batches(), call.params["id"]
        if id_ not in rows:
            raise self.error(404, "Batch not found.", call)
        return json_reply({id_: rows[id_]})

    def _write(self, call: Call, row: Json, written: Json) -> Reply:
        self._refuse_taken_name(call, written, but=row)
        if not _is_dry_run(call):
            for name in DATASET_SHAPE:
                row.pop(name, None)
            major_minor, _, patch = row["version"].rpartition(".")
            row |= written | {"version": f"{major_minor}.{int(patch) + 1}", "updated": _ms(self.clock.now())}
        return self._referring([call.params["id"]], 200)

    def _referring(self, ids: Iterable[str], status: int) -> Reply:
        before = self.switches["reference"] if status == HTTPStatus.CREATED else "@/dataSets/"
        return json_reply([before + id_ for id_ in ids], status)

    def _dataset_to_change(self, call: Call) -> Json:
        """Return the dataset. Raises: ApiError where it is not there, or not in the version that is meant."""
        row = self.datasets.get(call.params["id"])
        if row is None:
            raise self._missing_dataset(call)
        etag = self._etag(row)
        wanted, unwanted = (_etags(call.headers.get(name)) for name in ("If-Match", "If-None-Match"))
        if (wanted and not wanted & {"*", etag}) or unwanted & {"*", etag}:
            raise self.error(412, "The object was modified by another process", call)
        return row

    def _missing_dataset(self, call: Call) -> ApiError:
        return self.error(404, "DataSet not found.", call)

    def _refuse_taken_name(self, call: Call, given: Json, but: Json | None = None) -> None:
        status, name = self.switches["duplicate_name_status"], given.get("name")
        is_taken = name is not None and any(row.get("name") == name for row in self.datasets.values() if row is not but)
        if is_taken and status != HTTPStatus.OK:
            raise self.error(status, "A dataset of this name exists", call)

    def _etag(self, row: Json) -> str:
        return str(row[self.switches["etag"]])

    def _dataset(self, id_: str, batches: Mapping[str, Json]) -> Json:
        own = [(batch_id, row["status"]) for batch_id, row in batches.items() if row["relatedObjects"][0]["id"] == id_]
        last = {status: batch_id for batch_id, status in own}
        return {
            **self.datasets[id_],
            **({"lastBatchId": own[-1][0], "lastBatchStatus": own[-1][1]} if own else {}),
            **({"lastSuccessfulBatch": last["success"]} if "success" in last else {}),
            **({"lastFailedBatch": last["failed"]} if "failed" in last else {}),
        }

    def _batches(self) -> dict[str, Json]:
        """Return the batches of jobs that have started, oldest first."""
        now, rows = self.clock.now(), {}
        for job in sorted(self._present_jobs(), key=lambda job: job.key):
            run = self._run(job)
            stage, finished_s = run.stage(now), _finished(run, now)
            if "profileExportTime" not in _timings(job, run, now):
                continue
            has_exported = stage == "ended" and job.outcome == "SUCCEEDED"
            ended_as = "success" if has_exported else "failed"
            for batch_id, profiles in zip(job.batch_ids, job.profiles, strict=True):
                rows[batch_id] = {
                    **_made_by(run.started_s, _updated(run, now)),
                    "status": {"ended": ended_as, "cancelled": "aborted"}.get(stage, "processing"),
                    "started": _ms(run.started_s),
                    **({"completed": _ms(finished_s)} if finished_s is not None else {}),
                    **({"recordCount": profiles, "failedRecordCount": 0} if has_exported else {}),
                    "relatedObjects": [{"type": "dataSet", "id": job.dataset_id}],
                }
        return rows

    # What all requests share.

    def _body(self, call: Call, shape: Shape) -> Json:
        if _media_type(call) != JSON_TYPE:
            # The troubleshooting guide has this one envelope for all services.
            raise _catalog_error(400, "A valid content-type must be specified")
        return self._checked(call, call.json(), shape)

    def _checked(self, call: Call, value: object, shape: Shape) -> Json:
        if not isinstance(value, dict):
            raise self.error(400, "The request body must be a JSON object", call)
        if problems := list(_problems(value, shape, known_only=self.switches["unknown_properties"] == "refused")):
            raise self.errors(400, problems, call)
        return value


def _ms(epoch_s: float) -> int:
    return round(epoch_s * 1000)


def _media_type(call: Call) -> str:
    return call.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _is_dry_run(call: Call) -> bool:
    return call.headers.get("Pragma", "").strip().lower() == "validate-only"


def _etags(header: str | None) -> set[str]:
    return {tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")} if header is not None else set()


def _catalog_error(status: int, detail: str) -> ApiError:
    title = phrase(status).replace(" ", "") + "Error" * (not phrase(status).endswith("Error"))
    return ApiError(status, {"type": "/placeholder/type/uri", "status": status, "title": title, "detail": detail})


def _problems(value: object, shape: Shape, path: str = "", *, known_only: bool) -> Iterator[str]:
    """Yield what is wrong with a value, each with its path."""
    if isinstance(shape, str):
        is_valid, wanted = KINDS[shape]
        if not is_valid(value):
            yield f"{path} must be {wanted}"
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{path} must be an array"
            return
        for n, item in enumerate(value):
            yield from _problems(item, shape[0], f"{path}[{n}]", known_only=known_only)
    elif not isinstance(value, dict):
        yield f"{path} must be an object"
    else:
        within = f"{path}." if path else ""
        inner = {name.rstrip("!"): kind for name, kind in shape.items()}
        missing = [name[:-1] for name in shape if name.endswith("!") and name[:-1] not in value]
        yield from (f"{within}{name} is required" for name in missing)
        for name, item in value.items():
            if name in inner or "*" in inner:
                kind = inner[name] if name in inner else inner["*"]
                yield from _problems(item, kind, within + name, known_only=known_only)
            elif known_only:
                yield f"{within}{name} is not known"


# Jobs.


def _finished(run: Run, now_s: float) -> float | None:
    """Return when it became final; None where it has not."""
    return {"ended": run.ended_s, "cancelled": (run.cancelled_s or 0.0) + run.cancelling_s}.get(run.stage(now_s))


def _updated(run: Run, now_s: float) -> float:
    """Return when it last changed."""
    started_s = run.started_s if run.cancelled_s is None or run.started_s <= run.cancelled_s else None
    steps = (run.created_s, started_s, run.cancelled_s, _finished(run, now_s))
    return max(at for at in steps if at is not None and at <= now_s)


def _timings(job: Job, run: Run, now_s: float) -> Json:
    """Return the phases that have begun: after four fifths of a run its profiles are exported and get written."""
    never = math.inf
    finished_s = _finished(run, now_s) or never
    written_s = run.started_s + 0.8 * run.running_s
    fails = job.outcome == "FAILED"
    phases = {
        "totalTime": (run.created_s, finished_s),
        "profileExportTime": (run.started_s, finished_s if fails else min(written_s, finished_s)),
        "aCPDatasetWriteTime": (never if fails else written_s, finished_s),
    }
    reached_s = now_s if run.cancelled_s is None else min(now_s, run.cancelled_s)
    timings = {}
    for name, (start_s, end_s) in phases.items():
        if start_s <= reached_s:
            timings[name] = {"startTimeInMs": _ms(start_s)}
            if end_s <= now_s:
                timings[name] |= {"endTimeInMs": _ms(end_s), "totalTimeInMs": _ms(end_s) - _ms(start_s)}
    return timings


def _by_namespace(profiles: int) -> Json:
    """Return counts that do not add up to the whole: some profiles have several identities, some none."""
    return {"email": profiles - profiles // 10, "crmid": profiles // 2}


# Catalog: filters and order.


def _order(call: Call) -> list[tuple[str, bool]]:
    """Return properties, and whether each is descending."""
    order = []
    for text in call.query["orderBy"].split(",") if call.query.get("orderBy") else ():
        match = re.fullmatch(r"(?:(asc|desc):)?(\w+)", text, re.ASCII)
        if match is None:
            raise Invalid("orderBy must be properties, each with asc: or desc: before it or not")
        order.append((match[2], match[1] == "desc"))
    return order


def _place_by(name: str) -> Callable[[tuple[str, Json]], tuple[bool, bool, Any]]:
    def place(pair: tuple[str, Json]) -> tuple[bool, bool, Any]:
        value = pair[1].get(name)
        magnitude = _magnitude(value)
        return value is None, magnitude is None, str(value) if magnitude is None else magnitude

    return place


def _magnitude(value: object) -> tuple[float, ...] | None:
    """Return what numbers and versions are compared by; None for other values."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,18}(\.\d{1,18})*", value, re.ASCII):
        return tuple(int(part) for part in value.split("."))
    return (value,) if isinstance(value, int | float) else None


def _properties(call: Call) -> set[str] | None:
    """Return the names of the top-level properties to show; None for all."""
    return set(call.query["properties"].split(",")) if "properties" in call.query else None


def _only(row: Json, properties: set[str] | None) -> Json:
    return {name: value for name, value in row.items() if properties is None or name in properties}


def _filters(call: Call) -> list[Callable[[Json], bool]]:
    """Return the tests of `{name}=a,b` and `{name}=!a,b`, of tags and of property; all have to hold."""
    tests = []
    for name, kind in DATASET_FILTERS.items():
        for text in call.query.getall(name, []):
            values = text.removeprefix("!").split(",")
            if not re.fullmatch(FILTER_FORMS[kind], text, re.ASCII) or (
                kind == "whole" and any(not -(2**63) <= int(value) < 2**63 for value in values)
            ):
                raise Invalid(f"{name} must be {KINDS[kind][1]}")
            tests.append(_equals(name, values, negated=text.startswith("!")))
    tests += [_has_tag(tag) for text in call.query.getall("tags", []) for tag in text.split(",") if text]
    return tests + [_condition(text) for text in call.query.getall("property", []) if text]


def _equals(name: str, values: Iterable[str], *, negated: bool) -> Callable[[Json], bool]:
    # Only name has wildcards.
    patterns = [_wildcard(value) if name == "name" else re.escape(value) for value in values]

    def test(row: Json) -> bool:
        value = row.get(name)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return negated != (value is not None and any(re.fullmatch(pattern, text) for pattern in patterns))

    return test


def _wildcard(text: str) -> str:
    """Return the regular expression of a text in which * is anything and ** an asterisk."""
    meanings = {"*": "(?s:.*)", "**": r"\*"}
    return "".join(meanings.get(part, re.escape(part)) for part in re.split(r"(\*\*|\*)", text))


def _has_tag(text: str) -> Callable[[Json], bool]:
    name, colon, value = text.partition(":")
    if not name or not colon:
        raise Invalid("tags must be pairs of the form name:value")

    def test(row: Json) -> bool:
        values = row.get("tags", {}).get(name)
        return values is not None and (value == "*" or any(re.fullmatch(_wildcard(value), v) for v in values))

    return test


def _condition(text: str) -> Callable[[Json], bool]:
    match = re.fullmatch(r"(!?)(\w+)(?:(==|!=|<=|>=|<|>|~)((?s:.*)))?", text, re.ASCII)
    if match is None or (match[1] and match[3]):
        raise Invalid("property must be a name, !name, or a name, an operator and a value")
    negation, name, sign, value = match.groups()
    if sign is None:
        return lambda row: (name in row) != bool(negation)
    if sign in ("==", "!="):
        return _equals(name, [value], negated=sign == "!=")
    if sign == "~":
        try:
            pattern = re.compile(value)
        except (re.error, OverflowError, RecursionError) as error:
            raise Invalid("property has a regular expression that is none") from error
        return lambda row: isinstance(row.get(name), str) and pattern.search(row[name]) is not None

    def test(row: Json) -> bool:
        own, given = _magnitude(row.get(name)), _magnitude(value)
        if own is not None and given is not None:
            return COMPARISONS[sign](own, given)
        return isinstance(row.get(name), str) and COMPARISONS[sign](row[name], value)

    return test


# Catalog: what a dataset is made of, and how it changes.


def _made_by(created_s: float, updated_s: float) -> Json:
    return {
        "version": "1.0.0",
        "imsOrg": ORGANIZATION,
        "created": _ms(created_s),
        "updated": _ms(updated_s),
        "createdClient": "example_client",
        "createdUser": "example_user@AdobeID",
        "updatedUser": "example_user@AdobeID",
    }


def _made(id_: str, created_s: float) -> Json:
    """Return what the platform adds to a dataset."""
    location = f"adl://shop.example/{id_}"
    return _made_by(created_s, created_s) | {
        "viewId": Ids(int(id_, 16)).hex(24),
        "basePath": location,
        "files": f"@/dataSetFiles?dataSetId={id_}",
        "persistence": {"adls": {"location": location, "credentials": f"@/dataSets/{id_}/credentials"}},
    }


def _written(given: Json) -> Json:
    """Return the part that callers write."""
    return {name: value for name, value in given.items() if name in DATASET_SHAPE}


def _merged(old: object, new: object) -> Any:  # noqa: ANN401 - any JSON
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return old | {name: _merged(old.get(name), value) for name, value in new.items()}


def _patched(document: Json, patch: object) -> Json:
    """Apply a JSON Patch (RFC 6902; nothing is copied or moved) to *document*. Raises: Invalid."""
    if not isinstance(patch, list):
        raise Invalid("A JSON Patch is an array of operations")
    for n, step in enumerate(patch):
        try:
            before, *parents, last = (name.replace("~1", "/").replace("~0", "~") for name in step["path"].split("/"))
            if before:
                raise ValueError(before)
            target: Any = document
            for name in parents:
                target = target[int(name) if isinstance(target, list) else name]
            _apply(target, last, step)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise Invalid(f"Operation {n} of the JSON Patch can't be applied") from error
    return document


def _apply(target: Any, name: Any, step: Json) -> None:  # noqa: ANN401 - any JSON
    operation, is_list = step["op"], isinstance(target, list)
    if is_list:
        size = len(target) + (operation == "add")
        name = size - 1 if name == "-" else int(name)
        if not 0 <= name < size:
            raise IndexError(name)
    if operation not in PATCH_OPERATIONS or (operation == "test" and target[name] != step["value"]):
        raise ValueError(operation)
    if operation == "add" and is_list:
        target.insert(name, step["value"])
    elif operation == "remove":
        del target[name]
    elif operation == "add" or target[name] != step["value"]:
        # To be replaced, it has to be there.
        target[name] = step["value"]


# The seed: an obviously invented shop. Times are so many days before now, so that states hold under any clock.

EXPORT_DATASETS = {
    2: "profile export",
    5: "newsletter audience",
    9: "loyalty club, busy",
    14: "loyalty club, stopping",
    23: "push audience",
    31: "partner feed",
    57: "archive",
    # Behind the largest page that Catalog gives, and as bare as can be.
    108: "late export",
}
DATASET_COUNT = 110


def _dataset_id(n: int) -> str:
    return f"5ca1ab1e{n:016x}"


def _seed_datasets(now: float) -> Iterator[Json]:
    """Yield datasets, oldest first; few of them are on the union schema."""
    for n in range(1, DATASET_COUNT + 1):
        name = EXPORT_DATASETS.get(n)
        schema = UNION_SCHEMA if name else f"https://ns.adobe.com/example/schemas/{n:032x}"
        row: Json = {
            "name": f"Example shop {name or f'events {n:03}'}",
            "description": f"Invented dataset number {n}",
            "schemaRef": {"id": schema, "contentType": SCHEMA_TYPE},
            "fileDescription": {"format": "parquet", "containerFormat": "parquet", "persisted": True},
            "tags": {"adobe/pqs/table": [f"example_table_{n}"]},
            "classification": {"dataBehavior": "record" if name else "time-series", "managedBy": "CUSTOMER"},
        }
        if n == min(EXPORT_DATASETS):
            row["tags"] |= {"unifiedProfile": ["enabled:true"], "team": ["crm", "web"]}
        if n == max(EXPORT_DATASETS):
            row = {"name": row["name"], "schemaRef": row["schemaRef"]}
        yield row | _made(_dataset_id(n), now - (400 - n) * DAY_S)


def _seed_jobs(now: float) -> Iterator[Job]:
    """Yield jobs in every status, and enough for several pages. Nothing that runs ends within the hour."""

    def job(id_: int, dataset: int, run: Run, segments: Sequence[str] = (REGULAR,), **keys: Any) -> Job:
        chosen = [{"segmentId": segment, "segmentNs": "ups", "status": ["realized"]} for segment in segments]
        request = {
            "fields": "identityMap,personalEmail.address",
            "mergePolicy": {"id": SEGMENTS[(*segments, REGULAR)[0]].merge_policy, "version": 1},
            **({"filter": {"segments": chosen}} if chosen else {}),
            "destination": {"datasetId": _dataset_id(dataset), "segmentPerBatch": keys.pop("per_batch", False)},
            "schema": {"name": "_xdm.context.profile"},
        }
        return Job(id_, request | keys.pop("more", {}), run, f"example-request-{id_}", **keys)

    full = {
        "filter": {
            "segments": [
                {"segmentId": REGULAR, "segmentNs": "ups", "status": ["realized"]},
                {"segmentId": LAPSED},
                {"segmentId": "1234567", "segmentNs": "AAM", "status": ["exited"]},
            ],
            "segmentQualificationTime": {"startTime": "2018-01-01T00:00:00Z", "endTime": "2018-02-01T00:00:00Z"},
            "fromIngestTimestamp": "2018-01-01T00:00:00Z",
            "emptyProfiles": True,
        },
        "additionalFields": {
            "eventList": {"fields": "_id,_experience", "filter": {"fromIngestTimestamp": "2018-01-01T00:00:00Z"}}
        },
    }
    yield job(101, 5, Run(now - 90 * DAY_S, 60, 1200), more=full)
    yield job(102, 5, Run(now - 80 * DAY_S, 60, 505.864), outcome="FAILED")
    yield job(103, 23, Run(now - 70 * DAY_S, 60, HOUR_S, cancelled_s=now - 70 * DAY_S + 90, cancelling_s=5))
    yield job(104, 31, Run(now - 60 * DAY_S), (REGULAR, LAPSED), per_batch=True)
    yield job(105, 31, Run(now - 50 * DAY_S), odd_status="ARCHIVING")
    yield job(106, 57, Run(now - 45 * DAY_S), (), profile_instance="example-instance", type="STREAMING")
    yield job(107, 9, Run(now - 600, 60, 2 * HOUR_S))
    yield job(108, 14, Run(now - 300, 60, 2 * HOUR_S, cancelled_s=now - 10, cancelling_s=2 * HOUR_S))
    yield job(109, 9, Run(now - 60, 2 * HOUR_S, HOUR_S))
    # In pairs of the same millisecond.
    for n in range(30):
        yield job(201 + n, 2, Run(now - (40 - n // 2) * DAY_S))


SUITE: Json = {
    # Harder than the documents ask for, or what they do not know.
    "switches": {
        "after_cancel": "CANCELLED",
        "odd_status": True,
        "batches": "array",
        "unknown_properties": "refused",
    },
    "logins": [f"{IMS}/token/v3"],
    "secrets": list(CLIENTS.values()),
    "destination_id": _dataset_id(5),
    "used_destination_id": _dataset_id(9),
    "used_job_id": "109",
    "unknown_destination_id": _dataset_id(999),
    "destination_count": len(EXPORT_DATASETS),
    "destination": {
        "displayName": "Example shop new export",
        "description": "Made by a test",
        "adobe": {"tags": {"team": ["crm", "web"]}},
    },
    "destination_patch": {
        "displayName": "Example shop newsletter audience, renamed",
        "description": "Renamed by a test",
        "adobe": {"tags": {"team": ["crm"]}},
    },
    "audience_id": REGULAR,
    "unknown_audience_id": "5ca1ab1e-0000-4000-8000-999999999999",
    "export_job": {
        "destination": f"connections/{{connection}}/destinations/{_dataset_id(5)}",
        "audiences": [{"audienceId": REGULAR, "namespace": "ups", "membershipStates": ["realized"]}],
        "adobe": {"mergePolicyId": "example-merge-policy", "mergePolicyVersion": 1},
    },
    "jobs": {
        "SUCCEEDED": "101",
        "FAILED": "102",
        "CANCELLED": "103",
        "UNRECOGNIZED": "105",
        "RUNNING": "107",
        "CANCELLING": "108",
        "PENDING": "109",
    },
    "unknown_job_id": "999999",
    "export_jobs_filter": "",
    "many_export_jobs_filter": "",
    "many_export_job_count": 39,
    "log_job_id": "102",
}
