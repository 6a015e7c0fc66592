"""Every mutating call that makes something at a vendor, of every vendor that has it: what the kill test asks for."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from google.protobuf.json_format import ParseDict

from adapters import registry
from adapters.sandbox import Sandbox
from audiencegateway.v1.destinations_pb2 import CreateDestinationRequest, Destination
from audiencegateway.v1.export_jobs_pb2 import CreateExportJobRequest, ExportJob
from audiencegateway.v1.members_pb2 import (
    AudienceMember,
    IngestAudienceMembersRequest,
    UploadAudienceMembersRequest,
    UploadBatch,
    UploadFinish,
    UploadHeader,
)
from tests.conformance.client import Stubs

Verb = Literal["create_export_job", "ingest", "upload", "create_destination"]
CALL_S = 30.0


@dataclass(frozen=True, eq=False)
class Operation:
    """One RPC at one vendor."""

    vendor: str
    verb: Verb
    sample: Any
    """What is asked for: an ExportJob, a Destination, or members."""
    destination: str = ""
    """Where members go."""

    async def call(self, stubs: Stubs, request_id: str) -> Any:
        """Make the call; return the ExportJob or Destination that it answers."""
        parent = f"connections/{self.vendor}"
        match self.verb:
            case "create_export_job":
                start = CreateExportJobRequest(parent=parent, export_job=self.sample, request_id=request_id)
                return await stubs.export_jobs.CreateExportJob(start, timeout=CALL_S)
            case "create_destination":
                wanted = Destination()
                wanted.CopyFrom(self.sample)
                wanted.display_name = f"Made under {request_id}"
                create = CreateDestinationRequest(parent=parent, destination=wanted, request_id=request_id)
                return await stubs.destinations.CreateDestination(create, timeout=CALL_S)
            case "ingest":
                ingest = IngestAudienceMembersRequest(
                    destination=self.destination, audience_members=self.sample, request_id=request_id
                )
                return (await stubs.members.IngestAudienceMembers(ingest, timeout=CALL_S)).export_job
            case "upload":
                answer = await stubs.members.UploadAudienceMembers(self._messages(request_id), timeout=CALL_S)
                (file,) = answer.files
                return file.export_job

    async def _messages(self, request_id: str) -> AsyncIterator[UploadAudienceMembersRequest]:
        header = UploadHeader(destination=self.destination, request_id=request_id)
        yield UploadAudienceMembersRequest(header=header)
        yield UploadAudienceMembersRequest(batch=UploadBatch(audience_members=self.sample))
        yield UploadAudienceMembersRequest(finish=UploadFinish(member_count=len(self.sample)))


def operations(simulators: Mapping[str, Sandbox]) -> list[Operation]:
    """Return all that the registered vendors have."""
    found = []
    for vendor, simulator in simulators.items():
        verbs = registry.adapters()[vendor].verbs()
        suite = _filled(simulator.suite, vendor)
        if "create_export_job" in verbs:
            found.append(Operation(vendor, "create_export_job", ParseDict(suite["export_job"], ExportJob())))
        if "create_destination" in verbs:
            found.append(Operation(vendor, "create_destination", ParseDict(suite["destination"], Destination())))
        if "upload_audience_members" in verbs:
            members = [ParseDict(member, AudienceMember()) for member in suite["members"]]
            name = f"connections/{vendor}/destinations/{suite['member_destination_id']}"
            found += [Operation(vendor, verb, members, name) for verb in ("ingest", "upload")]
    return found


def _filled(value: Any, connection: str) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, connection) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, connection) for item in value]
    return value.replace("{connection}", connection) if isinstance(value, str) else value
