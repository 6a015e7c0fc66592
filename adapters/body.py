"""The body of one attempt, and whether the vendor can have had the whole of it."""

import asyncio

from aiohttp import Payload
from aiohttp.abc import AbstractStreamWriter

PIECE_BYTES = 64 * 1024


class Body(Payload):
    """Bytes, written in pieces, and their last byte by itself at the end.

    As long as `whole` is false that byte never left the process: the vendor can't have the request, whatever became
    of the connection. A piece that is not taken within *idle_s* ends the attempt; aiohttp watches only what it reads.
    """

    def __init__(self, data: bytes, *, idle_s: float) -> None:
        super().__init__(data)
        self._data = memoryview(data)
        self._size = len(data)
        self._idle_s = idle_s
        self.whole = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return bytes(self._data).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        first, last = self._data[:-1], self._data[-1:]
        try:
            for start in range(0, len(first), PIECE_BYTES):
                async with asyncio.timeout(self._idle_s):
                    await writer.write(first[start : start + PIECE_BYTES])
            self.whole = True
        finally:
            if not self.whole and writer.transport is not None:
                # close() would keep the connection until the vendor has taken what is buffered, if it ever does.
                writer.transport.abort()
        await writer.write(last)
