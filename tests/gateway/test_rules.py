"""The rules beside the annotations: fields of a request that depend on each other."""

from typing import Any

import pytest

from adapters.errors import InvalidRequest
from audiencegateway.v1.destinations_pb2 import (
    CreateSubscriptionRequest,
    Subscription,
    UpdateSubscriptionRequest,
)
from audiencegateway.v1.export_jobs_pb2 import (
    CreateExportJobRequest,
    ExportJob,
    ResolveExportJobRequest,
)
from gateway.validation import supported
from tests.gateway.arbitrary import new
from tests.gateway.judged import DESTINATION, JOB, SUBSCRIPTION, start, wrong

# --- Fields that depend on each other ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"adobe": {}}, ["export_job.audiences"]),
        ({"adobe": {"all_profiles": True}}, []),
        ({"adobe": {}, "audiences": [{"audience_id": "a"}]}, []),
        ({"adobe": {"all_profiles": True}, "audiences": [{"audience_id": "a"}]}, ["export_job.adobe.all_profiles"]),
        ({"meiro": {}}, []),
        ({}, []),
    ],
)
def test_everybody_is_exported_on_purpose_only(fields: dict[str, Any], expected: list[str]) -> None:
    assert wrong(start(**fields)) == [(field, "INVALID_FIELD") for field in expected]


def test_everybody_is_exported_on_purpose_only_also_without_the_arm() -> None:
    with pytest.raises(InvalidRequest, match=r"`adobe\.all_profiles`") as caught:
        supported(new(ExportJob, destination=DESTINATION), "adobe", frozenset({"destination", "audiences", "adobe"}))
    assert [violation.field for violation in caught.value.violations] == ["export_job.audiences"]


def test_a_schedule_is_set_by_update_only() -> None:
    arm: dict[str, Any] = {"action_id": "a", "trigger": "t", "schedule": {"strategy": "MANUAL"}}
    created = new(Subscription, display_name="s", segment=arm)
    assert wrong(new(CreateSubscriptionRequest, parent=DESTINATION, subscription=created)) == [
        ("subscription.segment.schedule", "INVALID_FIELD")
    ]
    updated = new(Subscription, name=SUBSCRIPTION, segment={"schedule": {"strategy": "MANUAL"}})
    assert wrong(new(UpdateSubscriptionRequest, subscription=updated)) == []


@pytest.mark.parametrize(
    ("resolution", "expected"),
    [
        ({"never_submitted": True}, []),
        ({"export_job": JOB}, []),
        ({"never_submitted": False}, ["resolution"]),
        ({"export_job": ""}, ["export_job", "resolution"]),
        ({"export_job": "connections/other/exportJobs/1~2"}, ["export_job"]),
    ],
)
def test_a_job_is_resolved_by_one_of_its_own_connection_or_none(
    resolution: dict[str, Any], expected: list[str]
) -> None:
    request = new(ResolveExportJobRequest, name="connections/main/exportJobs/g~1", **resolution)
    assert [field for field, _ in wrong(request)] == expected


def test_a_job_stays_within_one_connection_and_destination() -> None:
    for other in ("4", "421"):
        elsewhere = start(segment={"subscription": f"connections/main/destinations/{other}/subscriptions/s"})
        assert wrong(elsewhere) == [("export_job.segment.subscription", "INVALID_FIELD")]
    assert wrong(start(segment={"subscription": SUBSCRIPTION})) == []
    request = new(
        CreateExportJobRequest, parent="connections/other", export_job=new(ExportJob, destination=DESTINATION)
    )
    assert wrong(request) == [("export_job.destination", "INVALID_FIELD")]
