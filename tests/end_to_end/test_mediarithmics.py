"""mediarithmics' documented operations, and every field of its user segment command, from the sandbox's line alone."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict

from audiencegateway.v1 import members_pb2 as pb
from audiencegateway.v1.members_pb2_grpc import AudienceMemberServiceStub
from tests.end_to_end.operations import CALLS, Operation, by_stub, seen, suite
from tests.end_to_end.sandbox import Running, sandbox

SUITE = suite("mediarithmics")
CONNECTION = "connections/mediarithmics"
IMPORTS = "/v1/datamarts/1509/document_imports"
NDJSON, CSV = SUITE["member_destination_id"], "21507"
ADD = {"operation": "ADD", "userAccountId": "example-1", "audienceId": "8001", "ttl": "90s"}


def destination(destination_id: str) -> str:
    return f"{CONNECTION}/destinations/{destination_id}"


OPERATIONS = [
    Operation(
        "create the document import",
        "DestinationService/CreateDestination",
        {"parent": CONNECTION, "destination": {"displayName": "Example import"}},
        ("POST", IMPORTS),
    ),
    Operation(
        "create the execution",
        "AudienceMemberService/IngestAudienceMembers",
        {"destination": destination(NDJSON), "audienceMembers": [ADD]},
        ("POST", f"{IMPORTS}/{NDJSON}/executions"),
    ),
    Operation(
        "create the execution, CSV",
        "AudienceMemberService/IngestAudienceMembers",
        {"destination": destination(CSV), "audienceMembers": [ADD]},
        ("POST", f"{IMPORTS}/{CSV}/executions"),
    ),
]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with sandbox() as line:
        yield line


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.documented)
def test_an_operation_is_seen_at_the_vendor_as_documented(
    running: Running, operation: Operation, call: Callable[[Running, Operation], None]
) -> None:
    running.control("mediarithmics", "reset")
    call(running, operation)

    assert seen(running, "mediarithmics", operation)
    assert {entry["headers"]["Authorization"] for entry in running.journal("mediarithmics")} <= {
        "api:sandbox-token",
        "sandbox-token",
    }


def test_the_import_is_created_as_documented(running: Running) -> None:
    running.control("mediarithmics", "reset")
    by_stub(running, OPERATIONS[0])

    (sent,) = [json.loads(entry["body"]) for entry in running.journal("mediarithmics") if entry["method"] == "POST"]
    assert sent == {
        "document_type": "USER_SEGMENT",
        "mime_type": "APPLICATION_X_NDJSON",
        "encoding": "utf-8",
        "name": "Example import",
        # Not in the documentation's example: the contract promises the default, and the vendor names none.
        "priority": "MEDIUM",
    }


MEMBERS: list[dict[str, Any]] = [
    {"operation": "ADD", "userAccountId": "example-1", "compartmentId": "1000", "audienceId": "8001", "ttl": "90s"},
    {"operation": "REMOVE", "emailHash": "example-hash", "audienceKey": "example_technical_name"},
    {
        "operation": "ADD",
        "userAgentId": "vec:1",
        "audienceId": "8001",
        "neverExpires": True,
        "attributesJson": '{"score": 9007199254740993, "note": "a \\"b\\",\\nc"}',
    },
]
"""Every field of the command, ADD and REMOVE in one file."""
COMMANDS = [
    {
        "operation": "UPDATE",
        "user_account_id": "example-1",
        "compartment_id": "1000",
        "segment_id": "8001",
        "expiration_duration": 2,
    },
    {
        "operation": "DELETE",
        "email_hash": "example-hash",
        "segment_technical_name": "example_technical_name",
        "expiration_duration": 0,
    },
    {
        "operation": "UPDATE",
        "user_agent_id": "vec:1",
        "segment_id": "8001",
        "expiration_duration": 0,
        "data_bag": '{"score": 9007199254740993, "note": "a \\"b\\",\\nc"}',
    },
]


def _upload(running: Running, destination_id: str) -> tuple[pb.UploadAudienceMembersResponse, dict[str, Any]]:
    """Upload MEMBERS as a stream; return the answer and the request that the vendor got."""
    running.control("mediarithmics", "reset")
    batch = pb.UploadBatch(audience_members=[ParseDict(member, pb.AudienceMember()) for member in MEMBERS])
    requests = [
        pb.UploadAudienceMembersRequest(header=pb.UploadHeader(destination=destination(destination_id))),
        pb.UploadAudienceMembersRequest(batch=batch),
        pb.UploadAudienceMembersRequest(finish=pb.UploadFinish(member_count=len(MEMBERS))),
    ]
    with grpc.insecure_channel(running.grpc) as channel:
        response = AudienceMemberServiceStub(channel).UploadAudienceMembers(iter(requests), timeout=10)
    (sent,) = [entry for entry in running.journal("mediarithmics") if entry["method"] == "POST"]
    return response, sent


def test_an_ndjson_file_is_read_back_by_a_foreign_parser(running: Running) -> None:
    response, sent = _upload(running, NDJSON)

    assert sent["headers"]["Content-Type"] == "application/x-ndjson"
    assert sent["body"].endswith("\n")
    assert [json.loads(line) for line in sent["body"].splitlines()] == COMMANDS
    assert [(file.first_member_index, file.member_count) for file in response.files] == [(0, 3)]


def test_a_csv_file_is_read_back_by_a_foreign_parser(running: Running) -> None:
    _, sent = _upload(running, CSV)
    rows = list(csv.DictReader(io.StringIO(sent["body"], newline="")))

    assert sent["headers"]["Content-Type"] == "text/csv"
    found = [{name: cell for name, cell in row.items() if cell} for row in rows]
    assert found == [{name: str(value) for name, value in command.items()} for command in COMMANDS]
