"""A name that no id of the vendor makes: refused where it stands in the request, and nothing is sent."""

import json
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict

from audiencegateway.v1 import destinations_pb2, export_jobs_pb2, members_pb2
from gateway.desk import VERBS

from .client import refused
from .conftest import Vendor

PARENT = "connections/{connection}"
NO_DESTINATION, NO_JOB = f"{PARENT}/destinations/a~b~c~d~e~f", f"{PARENT}/exportJobs/a~b~c~d~e~f"
"""More parts than any vendor's ids have."""
SUITE = ("subscription", "export_job", "members")
"""What stands for the suite's message of that key."""
FILES = {"destinations": destinations_pb2, "export_jobs": export_jobs_pb2, "members": members_pb2}

CASES: list[tuple[str, str, dict[str, Any], str]] = [
    ("destinations", "GetDestination", {"name": NO_DESTINATION}, "name"),
    ("destinations", "UpdateDestination", {"destination": {"name": NO_DESTINATION}}, "destination.name"),
    ("destinations", "DeleteDestination", {"name": NO_DESTINATION}, "name"),
    ("destinations", "QueryDeliveryMetrics", {"name": NO_DESTINATION, "granularity": "DAY"}, "name"),
    ("destinations", "ListSubscriptions", {"parent": NO_DESTINATION}, "parent"),
    ("destinations", "CreateSubscription", {"parent": NO_DESTINATION, "subscription": "subscription"}, "parent"),
    ("export_jobs", "GetExportJob", {"name": NO_JOB}, "name"),
    ("export_jobs", "ListExportJobs", {"parent": PARENT, "filter": f'destination = "{NO_DESTINATION}"'}, "filter"),
    ("export_jobs", "CreateExportJob", {"parent": PARENT, "exportJob": "export_job"}, "export_job.destination"),
    ("export_jobs", "CancelExportJob", {"name": NO_JOB}, "name"),
    ("export_jobs", "ListExportJobLogEntries", {"parent": NO_JOB}, "parent"),
    ("export_jobs", "ListExportJobRevisions", {"parent": NO_JOB}, "parent"),
    ("members", "IngestAudienceMembers", {"destination": NO_DESTINATION, "audienceMembers": "members"}, "destination"),
]
"""Service, method, request, and the field to blame."""


@pytest.mark.parametrize(("service", "method", "request_", "field"), CASES, ids=[case[1] for case in CASES])
async def test_it_is_refused_by_the_field_it_stands_in(
    vendor: Vendor, service: str, method: str, request_: dict[str, Any], field: str
) -> None:
    verb = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in method).strip("_")
    vendor.can(VERBS.get(verb, verb))
    if method == "ListExportJobs" and "destination" not in vendor.adapter.export_jobs.native_filters:
        pytest.skip(f"{vendor.id} lists jobs whatever their destination")
    whole = {key: vendor[value] if value in SUITE else value for key, value in request_.items()}
    known, none = vendor.destination(), NO_DESTINATION.replace("{connection}", vendor.id)
    text = json.dumps(whole).replace("{connection}", vendor.id).replace(known, none)
    message = getattr(FILES[service], f"{method}Request")()
    answer = await refused(getattr(getattr(vendor.stubs, service), method)(ParseDict(json.loads(text), message)))

    assert (answer.code, answer.violations) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        [(field, "INVALID_RESOURCE_NAME")],
    )
    assert not vendor.requests()
