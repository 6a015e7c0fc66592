"""Adobe's two published documents, of Segmentation Service and of Catalog Service."""

from typing import Any

from adapters.adobe.adapter import AdobeAdapter
from adapters.adobe.sandbox import CATALOG, CLIENTS, IMS, ORGANIZATION, SANDBOX, SCOPES, SUITE, UPS, AdobeSandbox
from adapters.sandbox import Sandbox
from tests.contract.exploring import Seeds
from tests.contract.flaws import Flaw
from tests.contract.published import Published, Sender
from tests.vendors.adobe.instance import Adobe
from tests.vendors.adobe.test_requests import OPERATIONS

DAY_S = 86400
JOB: dict[str, Any] = {
    "fields": "identityMap,personalEmail.address",
    "mergePolicy": {"id": "example-merge-policy", "version": 1},
    "filter": {
        "segments": [{"segmentId": SUITE["audience_id"], "segmentNs": "ups", "status": ["realized"]}],
        "segmentQualificationTime": {"startTime": "2018-01-01T00:00:00Z", "endTime": "2018-02-01T00:00:00Z"},
        "fromIngestTimestamp": "2018-01-01T00:00:00Z",
        "emptyProfiles": True,
    },
    "additionalFields": {"eventList": {"fields": "_id", "filter": {"fromIngestTimestamp": "2018-01-01T00:00:00Z"}}},
    "destination": {"datasetId": SUITE["destination_id"]},
    "schema": {"name": "_xdm.context.profile"},
}

NO_JOB: dict[str, Any] = {
    "filter": {"segments": [{"segmentId": "", "status": ["member"]}], "fromIngestTimestamp": "yesterday"},
    "destination": {"datasetId": ""},
    "schema": {"name": ""},
}


def headers(simulator: Sandbox) -> dict[str, str]:
    """Return what tells who asks, with a token that outlives the check."""
    assert isinstance(simulator, AdobeSandbox)
    return {
        "Authorization": f"Bearer {simulator.tokens.issue(SCOPES, DAY_S).value}",
        "x-api-key": next(iter(CLIENTS)),
        "x-gw-ims-org-id": ORGANIZATION,
        "x-sandbox-name": SANDBOX,
    }


def job_seeds(simulator: Sandbox) -> Seeds:
    return Seeds(
        headers=headers(simulator),
        parameters={
            "path.EXPORT_JOB_ID": [SUITE["jobs"][state] for state in ("SUCCEEDED", "FAILED", "RUNNING", "PENDING")],
            "query.offset": ["1540974701302_96", "96"],
            "query.limit": [20, 0],
        },
        bodies={CREATE_JOB: [JOB, JOB | NO_JOB]},
    )


def catalog_seeds(simulator: Sandbox) -> Seeds:
    assert isinstance(simulator, AdobeSandbox)
    return Seeds(
        headers=headers(simulator),
        parameters={
            "path.DATASET_ID": [SUITE["destination_id"]],
            "path.BATCH_ID": [batch_id for job in simulator.jobs.values() for batch_id in job.batch_ids][:5],
            "query.limit": [20, 0],
            "query.start": [0, -1],
            "query.orderBy": ["desc:created", "down:created"],
            "query.property": ["name==Example*", "name is Example"],
            "query.tags": ["team:crm", "team"],
            "header.if-match": ["*", "another-version"],
            "header.if-none-match": ["another-version", "*"],
        },
        bodies={
            f"PATCH /v2{ONE_DATASET}": [
                {"description": "Example", "tags": {"adobe/pqs/table": ["example_table"]}},
                {"tags": {"team": "crm"}},
                {"tags": {"team": [7]}},
            ],
        },
    )


JOBS, ONE_JOB = "/export/jobs", "/export/jobs/{EXPORT_JOB_ID}"
CREATE_JOB, LIST_JOBS = f"POST {JOBS}", f"GET {JOBS}"
JOB_OPERATIONS = (LIST_JOBS, CREATE_JOB, f"GET {ONE_JOB}", f"DELETE {ONE_JOB}")
DATASETS, ONE_DATASET = "/dataSets", "/dataSets/{DATASET_ID}"
LIST_DATASETS, PATCH_V2, GET_BATCH = f"GET {DATASETS}", f"PATCH /v2{ONE_DATASET}", "GET /batches/{BATCH_ID}"
CATALOG_OPERATIONS = (
    *(f"{method} {ONE_DATASET}" for method in ("GET", "PUT", "PATCH", "DELETE")),
    *(LIST_DATASETS, f"POST {DATASETS}", PATCH_V2, GET_BATCH),
)

JOB_NAMES = r"(destination|schema|destination\.datasetId|schema\.name|filter\.segments\[\d+\]\.segmentId)"
NO_TOKEN = (
    "MissingHeaderNotRejected",
    "Got 403 when missing required 'Authorization' header, expected 401",
    "the tool thinks of 401, since the document has a header where OpenAPI wants a security scheme; Adobe has 403010",
)
REFUSED = "RejectedPositiveData"
JOB_FLAWS = (
    Flaw(JOB_OPERATIONS, *NO_TOKEN),
    Flaw(
        JOB_OPERATIONS,
        "UndefinedStatusCode",
        "400",
        "the troubleshooting guide has 400003 for a missing header, and bodies and queries can be wrong as well",
    ),
    Flaw((LIST_JOBS,), REFUSED, "400 limit must be .*", "limits below 1 make no page; the document has no bounds"),
    Flaw(
        (LIST_JOBS,),
        REFUSED,
        "400 offset must be a creation time and an id, .*",
        "the document takes any text; only its description of pageOffset says what an offset is",
    ),
    Flaw(
        (CREATE_JOB,),
        REFUSED,
        f"400 {JOB_NAMES} is required",
        "only the description says what is required",
    ),
    Flaw(
        (CREATE_JOB,),
        REFUSED,
        f"400 {JOB_NAMES} must be .* not empty",
        "an empty text names nothing",
    ),
    Flaw(
        (CREATE_JOB,),
        REFUSED,
        r"400 filter\.segments\[\d+\]\.status\[\d+\] must be one of realized, existing, exited",
        "only the description has the possible values",
    ),
    Flaw(
        (CREATE_JOB,),
        REFUSED,
        r"400 [\w.]+ must be a time as in RFC 3339",
        "only the description says that times are as in RFC 3339",
    ),
    Flaw(
        (CREATE_JOB,),
        REFUSED,
        "400 (The dataset|A segment) does not exist",
        "no schema can know, and 404 is not documented either",
    ),
)
CATALOG_FLAWS = (
    Flaw(CATALOG_OPERATIONS, *NO_TOKEN),
    Flaw(
        (LIST_DATASETS,),
        REFUSED,
        "400 (limit must be a whole number, 1 to 100|start must be a whole number, at least 0)",
        "only the description and the page on filters have the bounds",
    ),
    Flaw(
        (LIST_DATASETS,),
        REFUSED,
        "400 (property|orderBy|tags) must be .*",
        "only the page on filters says what they look like, the document takes any text",
    ),
    Flaw(
        (f"PATCH {ONE_DATASET}",),
        REFUSED,
        "400 A JSON Patch is an array of operations",
        "the document gives application/json-patch+json the schema of a dataset; its own example is an array",
    ),
    Flaw(
        (PATCH_V2,),
        REFUSED,
        r"400 tags\..* must be (an array|a string)",
        "everywhere else the document has lists of texts as tags",
    ),
    Flaw(
        (PATCH_V2,),
        "UndefinedStatusCode",
        "412",
        "the page on updates has it for an If-Match of another version; the other operations have a default",
    ),
    Flaw(
        (PATCH_V2, f"PUT {ONE_DATASET}", f"PATCH {ONE_DATASET}"),
        REFUSED,
        "412 The object was modified by another process",
        "no schema can know the version",
    ),
    Flaw(
        (GET_BATCH,),
        "AllowHeaderMismatch",
        "`Allow: GET` does not match .* DELETE, PATCH, POST, PUT.*",
        "nothing wrong with the document: the other operations are not simulated",
    ),
)

SEGMENTATION = Published(
    file="adobe-segmentation.yaml",
    simulator=AdobeSandbox,
    base=UPS,
    seeds=job_seeds,
    answer_flaws=JOB_FLAWS,
    request_flaws=(
        Flaw(
            (CREATE_JOB,),
            "InvalidRequestBody",
            r"\$\.destination: .* \('segmentPerBatch' was unexpected\)",
            "the document describes it and forgets it in the schema",
        ),
        Flaw(
            (CREATE_JOB,),
            "InvalidRequestBody",
            r"\$\.additionalFields\.eventList\.filter: .* \('toIngestTimestamp' was unexpected\)",
            "the page on export jobs has it",
        ),
        Flaw(
            (CREATE_JOB,),
            "InvalidRequestBody",
            r"\$: .* \('evaluationInfo' was unexpected\)",
            "the page on export jobs has it",
        ),
        Flaw(
            (CREATE_JOB,),
            "Undocumented",
            "header x-request-id",
            "the troubleshooting guide has it for every call; a lost job is found again by it",
        ),
    ),
)
CATALOG_SERVICE = Published(
    file="adobe-catalog.yaml",
    simulator=AdobeSandbox,
    base=CATALOG,
    seeds=catalog_seeds,
    unsimulated={
        "GET /batches": "a job names its batches",
        "POST /batches": "the vendor makes the batches of exports",
        **dict.fromkeys(
            (f"{method} /batches/{{BATCH_ID}}" for method in ("POST", "PUT", "PATCH", "DELETE")), "as above"
        ),
    },
    answer_flaws=CATALOG_FLAWS,
    request_flaws=(
        Flaw(
            (f"PATCH {ONE_DATASET}",),
            "Undocumented",
            "header if-match",
            "the page on updates has it; the document has if-none-match instead, and the right one with v2 only",
        ),
        Flaw(
            (f"POST {DATASETS}",),
            "Undocumented",
            "header pragma",
            "the appendix has Pragma: validate-only",
        ),
    ),
)
SENDER = Sender(
    adapter=AdobeAdapter,
    documents=(SEGMENTATION, CATALOG_SERVICE),
    addresses={"ups_url": SEGMENTATION, "catalog_url": CATALOG_SERVICE},
    connectable=Adobe,
    calls={name: call for name, (call, _) in OPERATIONS.items()},
    undocumented={f"POST {IMS}/token/v3": "the identity service has pages, and no OpenAPI document"},
)
