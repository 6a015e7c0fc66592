"""AudienceMemberService: members on their way into audiences."""

from collections.abc import AsyncIterator
from typing import Any

import grpc

from adapters.errors import InvalidRequest, NotSupported
from audiencegateway.v1.members_pb2 import (
    IngestAudienceMembersRequest,
    IngestAudienceMembersResponse,
    UploadAudienceMembersRequest,
    UploadAudienceMembersResponse,
)
from audiencegateway.v1.members_pb2_grpc import AudienceMemberServiceServicer
from gateway import validation
from gateway.desk import Desk
from gateway.interceptors import identity

Context = grpc.aio.ServicerContext[Any, Any]


class AudienceMemberService(AudienceMemberServiceServicer):
    """Refuses for every vendor so far: none of the adapters takes members."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def IngestAudienceMembers(
        self, request: IngestAudienceMembersRequest, context: Context
    ) -> IngestAudienceMembersResponse:
        raise self._refusal(request.destination)

    async def UploadAudienceMembers(
        self, request_iterator: AsyncIterator[UploadAudienceMembersRequest], context: Context
    ) -> UploadAudienceMembersResponse:
        first = await anext(request_iterator, None)
        if first is None or first.WhichOneof("payload") != "header":
            raise InvalidRequest("an upload begins with its header", reason="UPLOAD_PROTOCOL")
        identity.authorize(self._desk.callers, first.header.destination)
        validation.validate(first.header)
        raise self._refusal(first.header.destination)

    def _refusal(self, destination: str) -> NotSupported:
        adapter, _ = self._desk.find(destination, "Destination")
        return NotSupported(f"members of {adapter.vendor} can't be taken yet", metadata={"vendor": adapter.vendor})
