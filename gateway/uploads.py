"""Members on their way to a vendor: rows into a spool, and each full spool to the vendor while the next one fills.

Nothing is handed to a vendor before the file that holds it is complete, so a client that dies makes no short file. At
most two spools are there at a time, one that fills and one that is sent, so memory and disk stay flat, and a vendor
that is slower than the caller holds the caller back.
"""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from contextlib import suppress
from tempfile import SpooledTemporaryFile
from typing import Any

from adapters.base import MemberFile
from adapters.errors import ApiError
from audiencegateway.v1.members_pb2 import UploadAudienceMembersResponse, UploadBatch, UploadedFile, UploadHeader
from gateway.errors import status_of

IN_MEMORY_BYTES = 1024 * 1024
"""A spool above this is in a temporary file, which has no name."""


class Spool:
    """One file of members that is not complete yet."""

    def __init__(self, head: bytes, first_index: int, defaults: bytes) -> None:
        self.first_index = first_index
        self.count = 0
        self.size_bytes = len(head)
        self.file = SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115 - closed once it is sent or dropped
        self.file.write(head)
        self._digest = hashlib.sha256(defaults)

    def add(self, rows: bytes, count: int, asked: bytes) -> None:
        """Append the rows of *count* members; *asked* is what the caller sent for them."""
        self.file.write(rows)
        self.size_bytes += len(rows)
        self.count += count
        self._digest.update(asked)

    @property
    def fingerprint(self) -> bytes:
        """The SHA-256 of what was asked for. Not of the rows: an expiration in them depends on when they were made."""
        return self._digest.digest()


Send = Callable[[Spool], Coroutine[Any, Any, UploadedFile]]
"""Hands a complete spool to the vendor, once."""


class Upload:
    """One upload under way. Close it, whatever became of it."""

    def __init__(
        self, member_file: MemberFile, send: Send, header: UploadHeader, *, validate_only: bool = False
    ) -> None:
        self.received = 0
        self._member_file = member_file
        self._send = send
        self._validate_only = validate_only
        self._defaults = header.defaults.SerializeToString(deterministic=True)
        self._spool = self._new_spool(header.first_member_index)
        self._sending: tuple[Spool, asyncio.Task[UploadedFile]] | None = None
        self._files: list[UploadedFile] = []

    @property
    def next_index(self) -> int:
        """The index of the first member that is in no file that the vendor has, or is not checked where that is all."""
        if self._sending:
            return self._sending[0].first_index
        return self._spool.first_index + (self._spool.count if self._validate_only else 0)

    async def add(self, batch: UploadBatch) -> None:
        """Check members and take them in.

        Raises:
            ApiError: A member breaks a rule, or the vendor refused a file before this one.
        """
        members = batch.audience_members
        rows = self._member_file.rows(members, self._spool.first_index + self._spool.count)
        self.received += len(members)
        if self._validate_only:
            self._spool.count += len(members)
            return
        if self._spool.count and self._spool.size_bytes + len(rows) > self._member_file.max_bytes:
            await self._hand_over()
        self._spool.add(rows, len(members), batch.SerializeToString())
        if self._sending and self._sending[1].done():
            await self._settle()

    async def finish(self) -> UploadAudienceMembersResponse:
        """Hand over what is left; return what the vendor has.

        Raises:
            ApiError: The vendor refused the last file.
        """
        if self._spool.count and not self._validate_only:
            await self._hand_over()
        await self._settle()
        return self.answer()

    def answer(self, error: ApiError | None = None) -> UploadAudienceMembersResponse:
        """Return what the vendor has by now, and why it is not all."""
        response = UploadAudienceMembersResponse(files=self._files, next_member_index=self.next_index)
        if error is not None:
            response.error.CopyFrom(status_of(error))
        return response

    @property
    def stands(self) -> bool:
        """Whether the vendor has anything of it."""
        return bool(self._files)

    async def settle(self) -> None:
        """Wait for what becomes of the file that is being sent, so that `next_index` and `stands` hold from now on."""
        with suppress(ApiError):
            await self._settle()

    def close(self) -> None:
        """Drop what is not handed over; a file that is being sent is sent to its end."""
        self._spool.file.close()
        if self._sending:
            # Nobody asks for its result any more, the ledger has it.
            self._sending[1].add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _hand_over(self) -> None:
        await self._settle()
        full = self._spool
        self._spool = self._new_spool(full.first_index + full.count)
        self._sending = full, asyncio.get_running_loop().create_task(self._send(full))

    def _new_spool(self, first_index: int) -> Spool:
        return Spool(self._member_file.head, first_index, self._defaults)

    async def _settle(self) -> None:
        """Wait for the file that is being sent, if one is."""
        if self._sending is None:
            return
        self._files.append(await asyncio.shield(self._sending[1]))
        self._sending = None
