"""Names of jobs that no vendor knows: answered without asking one."""

from typing import Any

import pytest
from grpc import StatusCode

from audiencegateway.v1 import export_jobs_pb2 as pb
from tests.gateway.scripted import refused, scripted, serving

ALIAS = "connections/a/exportJobs/g~1"


async def _asked(self: object, *args: object, **kwargs: object) -> Any:
    raise AssertionError("the vendor was asked")


VERBS = dict.fromkeys(
    ("get_export_job", "cancel_export_job", "list_export_job_log_entries", "download_export_job"), _asked
)


@pytest.mark.parametrize(
    ("method", "request_", "code", "reason"),
    [
        ("GetExportJob", pb.GetExportJobRequest(name=ALIAS), StatusCode.NOT_FOUND, "EXPORT_JOB_NOT_FOUND"),
        ("WaitExportJob", pb.WaitExportJobRequest(name=ALIAS), StatusCode.NOT_FOUND, "EXPORT_JOB_NOT_FOUND"),
        (
            "ListExportJobLogEntries",
            pb.ListExportJobLogEntriesRequest(parent=ALIAS),
            StatusCode.NOT_FOUND,
            "EXPORT_JOB_NOT_FOUND",
        ),
        (
            "ResolveExportJob",
            pb.ResolveExportJobRequest(name=ALIAS, never_submitted=True),
            StatusCode.NOT_FOUND,
            "EXPORT_JOB_NOT_FOUND",
        ),
        (
            "CancelExportJob",
            pb.CancelExportJobRequest(name=ALIAS),
            StatusCode.FAILED_PRECONDITION,
            "EXPORT_JOB_NOT_CANCELLABLE",
        ),
    ],
)
async def test_an_alias_is_never_asked_of_a_vendor(method: str, request_: Any, code: StatusCode, reason: str) -> None:
    async with serving(scripted("a", **VERBS)) as stubs:
        answer = await refused(getattr(stubs.export_jobs, method)(request_))

    assert (answer.code, answer.reason, answer.resource) == (code, reason, ALIAS)


async def test_an_alias_has_no_file() -> None:
    async with serving(scripted("a", **VERBS)) as stubs:
        answer = await refused(stubs.export_jobs.DownloadExportJob(pb.DownloadExportJobRequest(name=ALIAS)).read())

    assert (answer.code, answer.reason) == (StatusCode.FAILED_PRECONDITION, "EXPORT_JOB_NOT_DOWNLOADABLE")
