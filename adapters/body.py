"""The body of one attempt, and whether the vendor can have had the whole of it."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from aiohttp import Payload
from aiohttp.abc import AbstractStreamWriter

PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A body that is a file, or has one in it; read from its start for every attempt, never as a whole."""

    file: IO[bytes]
    size_bytes: int
    """Of the file."""
    head: bytes = b""
    """What goes before it."""
    tail: bytes = b""
    """What goes behind it."""

    def __len__(self) -> int:
        return len(self.head) + self.size_bytes + len(self.tail)

    def pieces(self) -> Iterator[bytes]:
        """Yield the body in pieces.

        Raises:
            EOFError: The file is shorter than was said.
        """
        yield self.head
        self.file.seek(0)
        left = self.size_bytes
        while left:
            piece = self.file.read(min(left, PIECE_BYTES))
            if not piece:
                raise EOFError(f"{left} bytes of the file are not there")
            left -= len(piece)
            yield piece
        yield self.tail


class Body(Payload):
    """Bytes or a file, written in pieces, and the last byte by itself at the end.

    As long as `whole` is false that byte never left the process: the vendor can't have the request, whatever became
    of the connection. A piece that is not taken within *idle_s* ends the attempt; aiohttp watches only what it reads.
    """

    def __init__(self, data: bytes | File, *, idle_s: float) -> None:
        super().__init__(data)
        self._data = data
        self._size = len(data)
        self._idle_s = idle_s
        self.whole = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return b"".join(self._pieces()).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        held: bytes | memoryview = b""
        try:
            for piece in filter(len, self._pieces()):
                await self._write(writer, held)
                held = piece
            await self._write(writer, held[:-1])
            self.whole = True
        finally:
            if not self.whole and writer.transport is not None:
                # close() would keep the connection until the vendor has taken what is buffered, if it ever does.
                writer.transport.abort()
        await writer.write(held[-1:])

    async def _write(self, writer: AbstractStreamWriter, piece: bytes | memoryview) -> None:
        if piece:
            async with asyncio.timeout(self._idle_s):
                await writer.write(piece)

    def _pieces(self) -> Iterator[bytes | memoryview]:
        if isinstance(self._data, File):
            return self._data.pieces()
        data = memoryview(self._data)
        return (data[start : start + PIECE_BYTES] for start in range(0, len(data), PIECE_BYTES))
