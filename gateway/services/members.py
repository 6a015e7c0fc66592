"""AudienceMemberService: members on their way into audiences."""

from collections.abc import AsyncIterator
from typing import Any

import grpc

from adapters.base import MemberFile
from adapters.errors import InvalidRequest, VendorError
from audiencegateway.v1.export_jobs_pb2 import ExportJob
from audiencegateway.v1.members_pb2 import (
    IngestAudienceMembersRequest,
    IngestAudienceMembersResponse,
    UploadAudienceMembersRequest,
    UploadAudienceMembersResponse,
    UploadBatch,
    UploadedFile,
    UploadHeader,
)
from audiencegateway.v1.members_pb2_grpc import AudienceMemberServiceServicer
from gateway import etags, validation
from gateway.desk import Desk
from gateway.interceptors import identity
from gateway.interceptors.access_log import RECORD
from gateway.ledger import Asked, Key
from gateway.ledger.ledger import reused
from gateway.ledger.statements import REJECTED
from gateway.ledger.store import Row
from gateway.uploads import Send, Spool, Upload

Context = grpc.aio.ServicerContext[Any, Any]


class AudienceMemberService(AudienceMemberServiceServicer):
    """Checks members, gathers them into files, and hands each complete file to the vendor."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def IngestAudienceMembers(
        self, request: IngestAudienceMembersRequest, context: Context
    ) -> IngestAudienceMembersResponse:
        adapter, (destination_id,) = self._desk.find(request.destination, "Destination")
        member_file = await adapter.upload_audience_members(destination_id, request.defaults)
        header = UploadHeader(defaults=request.defaults)
        send = self._send(member_file, self._key(request.destination, request.request_id))
        upload = Upload(member_file, send, header, validate_only=request.validate_only)
        try:
            await upload.add(UploadBatch(audience_members=request.audience_members))
            response = await upload.finish()
        finally:
            upload.close()
        return IngestAudienceMembersResponse(export_job=response.files[0].export_job if response.files else None)

    async def UploadAudienceMembers(
        self, request_iterator: AsyncIterator[UploadAudienceMembersRequest], context: Context
    ) -> UploadAudienceMembersResponse:
        header = await self._header(request_iterator)
        adapter, (destination_id,) = self._desk.find(header.destination, "Destination")
        member_file = await adapter.upload_audience_members(destination_id, header.defaults)
        send = self._send(member_file, self._key(header.destination, header.request_id), several=True)
        upload = Upload(member_file, send, header, validate_only=header.validate_only)
        try:
            await _receive(request_iterator, upload)
            return await upload.finish() if upload.received else await self._so_far(header)
        except InvalidRequest as error:
            await upload.settle()
            error.metadata.setdefault("nextMemberIndex", str(upload.next_index))
            raise
        except VendorError as error:
            if not upload.stands:
                raise
            return upload.answer(error)
        finally:
            upload.close()

    async def _header(self, requests: AsyncIterator[UploadAudienceMembersRequest]) -> UploadHeader:
        """Return the header of an upload, once its caller may and it is right."""
        first = await anext(requests, None)
        if first is None or first.WhichOneof("payload") != "header":
            raise InvalidRequest("an upload begins with its header", reason="UPLOAD_PROTOCOL")
        RECORD.get().request_id = first.header.request_id
        identity.authorize(self._desk.callers, first.header.destination)
        validation.validate(first.header)
        return first.header

    def _send(self, member_file: MemberFile, key: Key, *, several: bool = False) -> Send:
        """Return what hands a spool to the vendor, once for its place under this request_id, where *several* may be."""
        store = self._desk.ledger.store

        async def send(spool: Spool) -> UploadedFile:
            place = {"first_member_index": spool.first_index, "member_count": spool.count}

            async def act(marker: str) -> UploadedFile:
                # Its place is its own by now, so of two files at once that overlap each finds the other.
                if several and key.scope and _overlap(spool, await store.places(key.scope)):
                    raise reused()
                spool.file.seek(0)
                job = await member_file.send(spool.file, spool.size_bytes, marker=marker)
                job.started_by_gateway = True
                etags.stamp(job)
                return UploadedFile(export_job=job, **place)

            asked = Asked(
                key=key,
                place=spool.first_index,
                connection=RECORD.get().connection,
                fingerprint=spool.fingerprint,
                kind=UploadedFile,
                wanted=UploadedFile(export_job=ExportJob(destination=key.parent), **place),
            )
            try:
                return (await self._desk.ledger.once(asked, act)).result
            finally:
                spool.file.close()

        return send

    async def _so_far(self, header: UploadHeader) -> UploadAudienceMembersResponse:
        """Return what the vendor has of the upload that came under this request_id before, up to the first gap."""
        key = self._key(header.destination, header.request_id)
        index, files = header.first_member_index, []
        for file in await self._desk.ledger.results(key, UploadedFile):
            if file.first_member_index == index:
                files.append(file)
                index += file.member_count
        return UploadAudienceMembersResponse(files=files, next_member_index=index)

    def _key(self, destination: str, request_id: str) -> Key:
        record = RECORD.get()
        return Key(record.caller.id, record.method.name, destination, request_id.lower())


def _overlap(spool: Spool, rows: list[Row]) -> bool:
    """Tell whether members of *spool* are, or may be, in a file that begins elsewhere: the upload was cut otherwise."""
    return any(
        row.place != spool.first_index
        and row.phase != REJECTED
        and row.place < spool.first_index + spool.count
        and row.place + UploadedFile.FromString(row.wanted or b"").member_count > spool.first_index
        for row in rows
    )


async def _receive(requests: AsyncIterator[UploadAudienceMembersRequest], upload: Upload) -> None:
    """Take in what follows the header, to the end of the stream.

    Raises:
        InvalidRequest: UPLOAD_PROTOCOL, UPLOAD_INCOMPLETE; as `Upload.add` does.
    """
    expected: int | None = None
    async for request in requests:
        payload = request.WhichOneof("payload")
        if expected is not None or payload not in {"batch", "finish"}:
            wrong = "a second header" if payload == "header" else "a message after the finish" if payload else "nothing"
            raise InvalidRequest(f"after the header come batches and a finish, not {wrong}", reason="UPLOAD_PROTOCOL")
        validation.validate(getattr(request, payload))
        if payload == "batch":
            await upload.add(request.batch)
        else:
            expected = request.finish.member_count
    if expected != upload.received:
        said = "there was no finish" if expected is None else f"the finish says {expected}"
        raise InvalidRequest(
            f"{upload.received} members were received, and {said}",
            reason="UPLOAD_INCOMPLETE",
            metadata={"expected": "" if expected is None else str(expected), "received": str(upload.received)},
        )
