"""The bare pipe: what the same calls cost by hand, with none of the gateway's features. Prints {"grpc": …} when ready.

grpc.aio handlers over aiohttp and msgspec, in as few steps as give the same answer: no validation, no identity, no
deadline, no retry, no log, no checks of members, no etag. What a figure is divided by.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime
from tempfile import SpooledTemporaryFile
from typing import Any

import aiohttp
import grpc
import msgspec
from google.protobuf.message import Message

from audiencegateway.v1.destinations_pb2 import (
    Destination,
    GetDestinationRequest,
    ListDestinationsRequest,
    ListDestinationsResponse,
)
from audiencegateway.v1.export_jobs_pb2 import (
    CreateExportJobRequest,
    DownloadExportJobRequest,
    DownloadExportJobResponse,
    ExportAudience,
    ExportJob,
    GetExportJobRequest,
    WatchExportJobRequest,
    WatchExportJobResponse,
)
from audiencegateway.v1.members_pb2 import (
    AudienceMember,
    UploadAudienceMembersRequest,
    UploadAudienceMembersResponse,
)

Context = grpc.aio.ServicerContext[Any, Any]

JSON = {"Content-Type": "application/json"}
OPERATIONS = {AudienceMember.ADD: "UPDATE", AudienceMember.REMOVE: "DELETE"}
IN_MEMORY_BYTES = 1024 * 1024
PIECE_BYTES = 64 * 1024
MAX_FILE_BYTES = 100 * 1024 * 1024 - 1
MAX_CHUNK_BYTES = 256 * 1024
LOOKS_EVERY_S = 1.7
"""About as often as the gateway looks at a job that changes at every third look."""


class MeiroDestination(msgspec.Struct):
    """A destination as the vendor writes it."""

    id: int
    name: str
    description: str
    settings: dict[str, Any]
    frontend_settings: dict[str, Any]
    attribute_ids: list[str]
    mandatory_attribute_ids: list[str]
    disabled: int
    icon: str
    created: str
    last_export: str
    mi_workspace_id: int
    user_id: int


class MeiroExport(msgspec.Struct):
    """An export as the vendor writes it."""

    id: int
    segment_id: int
    segment_export_destination_id: int
    name: str
    settings: dict[str, Any]
    frontend_settings: dict[str, Any]
    status: str
    stats: dict[str, dict[str, str]]
    created: str
    user_id: int


class OneExport(msgspec.Struct):
    """The envelope of an export."""

    segment_export: MeiroExport


class One(msgspec.Struct):
    """The envelope of one."""

    segment_export_destination: MeiroDestination


class Many(msgspec.Struct):
    """The envelope of a list."""

    segment_export_destinations: list[MeiroDestination]


ONE = msgspec.json.Decoder(One)
EXPORT = msgspec.json.Decoder(OneExport)
MANY = msgspec.json.Decoder(Many)
ROWS = msgspec.json.Encoder()
STATES = {"waiting": ExportJob.PENDING, "running": ExportJob.RUNNING, "finished": ExportJob.SUCCEEDED}


def destination(parent: str, source: MeiroDestination) -> Destination:
    """Return the message."""
    operator = source.settings.pop("mandatory_attributes_operator", "")
    message = Destination(
        name=f"{parent}/destinations/{source.id}",
        display_name=source.name,
        description=source.description,
        disabled=bool(source.disabled),
        state=Destination.SUSPENDED if source.disabled else Destination.ACTIVE,
    )
    message.create_time.FromDatetime(_time(source.created))
    message.last_export_time.FromDatetime(_time(source.last_export))
    config = message.meiro
    config.attribute_ids.extend(source.attribute_ids)
    config.mandatory_attribute_ids.extend(source.mandatory_attribute_ids)
    config.mandatory_attributes_operator = operator
    config.workspace_id = str(source.mi_workspace_id)
    config.owner_user_id = str(source.user_id)
    config.icon = source.icon
    config.settings.update(source.settings)
    config.frontend_settings.SetInParent()
    config.frontend_settings.update(source.frontend_settings)
    return message


def export_job(parent: str, source: MeiroExport) -> ExportJob:
    """Return the message."""
    job = ExportJob(
        name=f"{parent}/exportJobs/{source.segment_id}~{source.id}",
        display_name=source.name,
        destination=f"{parent}/destinations/{source.segment_export_destination_id}",
        audiences=[ExportAudience(audience_id=str(source.segment_id))],
        state=STATES[source.status.lower()],
        vendor_state=source.status,
        vendor_job_id=str(source.id),
    )
    job.create_time.FromDatetime(_time(source.created))
    if job.state != ExportJob.PENDING:
        job.start_time.FromDatetime(_time(source.stats["statuses_history"]["running"]))
    job.meiro.settings.update(source.settings)
    job.meiro.frontend_settings.SetInParent()
    job.meiro.frontend_settings.update(source.frontend_settings)
    job.meiro.owner_user_id = str(source.user_id)
    for state, text in source.stats["statuses_history"].items():
        job.meiro.state_times[state].FromDatetime(_time(text))
    return job


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def row(member: AudienceMember) -> dict[str, object]:
    """Return a member as the vendor takes it: any member that is right, and whatever comes of one that is not."""
    command: dict[str, object] = {"operation": OPERATIONS[member.operation]}
    if member.user_account_id:
        command["user_account_id"] = member.user_account_id
        if member.compartment_id:
            command["compartment_id"] = member.compartment_id
    elif member.email_hash:
        command["email_hash"] = member.email_hash
    else:
        command["user_agent_id"] = member.user_agent_id
    if member.audience_id:
        command["segment_id"] = member.audience_id
    else:
        command["segment_technical_name"] = member.audience_key
    expiration = member.WhichOneof("expiration")
    if member.operation == AudienceMember.REMOVE or expiration == "never_expires":
        command["expiration_duration"] = 0
    elif expiration == "ttl":
        command["expiration_duration"] = -(-member.ttl.seconds // 60)
    else:
        command["expiration_duration"] = 0
        command["expiration_ts"] = member.expire_time.ToMilliseconds()
    if member.attributes_json:
        command["data_bag"] = member.attributes_json
    return command


class BarePipe:
    """The handlers."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._seen: ExportJob | None = None
        self._looking: asyncio.Task[None] | None = None
        self._waiting: list[asyncio.Future[None]] = []

    async def get_destination(self, request: GetDestinationRequest, context: Context) -> Destination:
        parent, _, destination_id = request.name.rpartition("/destinations/")
        async with self._session.get(f"/api/segments/export/destinations/{destination_id}") as response:
            return destination(parent, ONE.decode(await response.read()).segment_export_destination)

    async def list_destinations(self, request: ListDestinationsRequest, context: Context) -> ListDestinationsResponse:
        path = f"/api/segments/export/destinations?limit={request.page_size}&offset=0"
        async with self._session.get(path) as response:
            rows = MANY.decode(await response.read()).segment_export_destinations
        return ListDestinationsResponse(destinations=[destination(request.parent, source) for source in rows])

    async def create_export_job(self, request: CreateExportJobRequest, context: Context) -> ExportJob:
        wanted = request.export_job
        body = {
            "segment_export_destination_id": int(wanted.destination.rpartition("/")[2]),
            "name": wanted.display_name,
        }
        path = f"/api/segments/{wanted.audiences[0].audience_id}/exports"
        async with self._session.post(path, data=ROWS.encode(body), headers=JSON) as response:
            return export_job(request.parent, EXPORT.decode(await response.read()).segment_export)

    async def get_nothing(self, request: GetExportJobRequest, context: Context) -> ExportJob:
        """Ask nobody: what the load itself costs."""
        return ExportJob(name=request.name)

    async def watch(self, request: WatchExportJobRequest, context: Context) -> AsyncGenerator[WatchExportJobResponse]:
        """Tell the job as it was seen at the last look, and then as it is at each; the looks go on for ever."""
        self._looking = self._looking or asyncio.create_task(self._look(request.name))
        while True:
            if self._seen is not None:
                yield WatchExportJobResponse(export_job=self._seen)
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter

    async def _look(self, name: str) -> None:
        parent, _, ids = name.rpartition("/exportJobs/")
        segment_id, export_id = ids.split("~")
        while True:
            async with self._session.get(f"/api/segments/{segment_id}/exports/{export_id}") as response:
                job = export_job(parent, EXPORT.decode(await response.read()).segment_export)
            if job != self._seen:
                self._seen = job
                waiting, self._waiting = self._waiting, []
                for waiter in waiting:
                    if not waiter.done():
                        waiter.set_result(None)
            await asyncio.sleep(LOOKS_EVERY_S)

    async def download(
        self, request: DownloadExportJobRequest, context: Context
    ) -> AsyncGenerator[DownloadExportJobResponse]:
        segment_id, export_id = request.name.rpartition("/")[2].split("~")
        async with self._session.get(f"/api/segments/{segment_id}/exports/{export_id}/download") as response:
            async for chunk in response.content.iter_any():
                for start in range(0, len(chunk), MAX_CHUNK_BYTES):
                    yield DownloadExportJobResponse(data=chunk[start : start + MAX_CHUNK_BYTES])

    async def upload(
        self, requests: AsyncIterator[UploadAudienceMembersRequest], context: Context
    ) -> UploadAudienceMembersResponse:
        await anext(requests)
        spool = SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115 - closed once it is sent
        size_bytes = count = 0
        async for request in requests:
            members = request.batch.audience_members
            lines = ROWS.encode_lines([row(member) for member in members])
            if size_bytes + len(lines) > MAX_FILE_BYTES:
                await self._post(spool, size_bytes)
                spool, size_bytes = SpooledTemporaryFile(max_size=IN_MEMORY_BYTES), 0  # noqa: SIM115 - as above
            spool.write(lines)
            size_bytes += len(lines)
            count += len(members)
        await self._post(spool, size_bytes)
        return UploadAudienceMembersResponse(next_member_index=count)

    async def _post(self, spool: SpooledTemporaryFile[bytes], size_bytes: int) -> None:
        async def pieces() -> AsyncGenerator[bytes]:
            while piece := spool.read(PIECE_BYTES):
                yield piece

        spool.seek(0)
        path = "/v1/datamarts/1509/document_imports/21577/executions"
        headers = {"Content-Type": "application/x-ndjson", "Content-Length": str(size_bytes)}
        async with self._session.post(path, data=pieces(), headers=headers) as response:
            await response.read()
        spool.close()

    def services(self) -> list[grpc.GenericRpcHandler]:
        """Return what is served, under the names of the contract."""
        unary = grpc.unary_unary_rpc_method_handler
        handlers = {
            "DestinationService": {
                "GetDestination": unary(self.get_destination, *_codecs(GetDestinationRequest, Destination)),
                "ListDestinations": unary(
                    self.list_destinations, *_codecs(ListDestinationsRequest, ListDestinationsResponse)
                ),
            },
            "ExportJobService": {
                "CreateExportJob": unary(self.create_export_job, *_codecs(CreateExportJobRequest, ExportJob)),
                "GetExportJob": unary(self.get_nothing, *_codecs(GetExportJobRequest, ExportJob)),
                "WatchExportJob": grpc.unary_stream_rpc_method_handler(
                    self.watch, *_codecs(WatchExportJobRequest, WatchExportJobResponse)
                ),
                "DownloadExportJob": grpc.unary_stream_rpc_method_handler(
                    self.download, *_codecs(DownloadExportJobRequest, DownloadExportJobResponse)
                ),
            },
            "AudienceMemberService": {
                "UploadAudienceMembers": grpc.stream_unary_rpc_method_handler(
                    self.upload, *_codecs(UploadAudienceMembersRequest, UploadAudienceMembersResponse)
                ),
            },
        }
        return [
            grpc.method_handlers_generic_handler(f"audiencegateway.v1.{service}", methods)
            for service, methods in handlers.items()
        ]


def _codecs(request: type[Message], response: type[Message]) -> tuple[Any, Any]:
    return request.FromString, response.SerializeToString


async def serve(vendor_url: str) -> None:
    """Serve until killed."""
    async with aiohttp.ClientSession(vendor_url, connector=aiohttp.TCPConnector(limit=0)) as session:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(BarePipe(session).services())
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        sys.stdout.write(json.dumps({"grpc": f"127.0.0.1:{port}"}) + "\n")
        sys.stdout.flush()
        await server.wait_for_termination()


if __name__ == "__main__":
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    sys.exit(asyncio.run(serve(sys.argv[1])))
