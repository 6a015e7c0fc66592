"""A download under way: where in the file it begins, and whether it came to its end."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.message import Message

import aiohttp
from multidict import CIMultiDictProxy

from adapters.errors import DownloadInterrupted, Fault, ProtocolViolation, invalid_field
from adapters.transport import Transport

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)")
_AS_IT_IS = frozenset({"identity", "utf-8"})
"""What a Content-Encoding may be that is none; some vendors put the charset there."""
_PARTIAL = 206
_NO_SUCH_RANGE = 416


@dataclass(frozen=True, slots=True)
class Stream:
    """A download under way."""

    headers: CIMultiDictProxy[str]
    size_bytes: int | None
    """Of the whole file; None where the vendor does not say."""
    chunks: AsyncIterator[bytes]
    """From the offset asked for to the end. Raises DownloadInterrupted."""

    @property
    def filename(self) -> str:
        """The name that the vendor gives the file, without any folder; empty where it gives none."""
        header = Message()
        header["Content-Disposition"] = self.headers.get("Content-Disposition", "").encode(errors="replace").decode()
        return re.split(r"[/\\]", header.get_filename() or "")[-1]


def beyond_the_end(response: aiohttp.ClientResponse, offset: int) -> bool:
    """Tell whether the vendor finds nothing at *offset*, not even the very end of the file."""
    return response.status == _NO_SUCH_RANGE and bool(offset) and not _at_the_end(response, offset)


def is_open(response: aiohttp.ClientResponse, offset: int) -> bool:
    """Tell whether *response* is what is left of a file from *offset* on."""
    return response.status < 300 or _at_the_end(response, offset)  # noqa: PLR2004 - 2xx


def stream(transport: Transport, response: aiohttp.ClientResponse, offset: int) -> Stream:
    """Return what is left of a file, given a response that is open.

    Raises:
        ProtocolViolation: It is another part of the file, or not the file as it is.
        InvalidRequest: INVALID_FIELD, where the file is known to end before *offset*.
    """
    if _at_the_end(response, offset):
        return Stream(response.headers, offset, _nothing())
    start, size_bytes = 0, response.content_length
    if response.status == _PARTIAL:
        span = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if span is None or int(span[1]) != offset:
            raise _violation(transport, response, "answered another range than the one asked for")
        start, size_bytes = offset, None if span[2] == "*" else int(span[2])
    if response.headers.get("Content-Encoding", "identity").lower() not in _AS_IT_IS:
        raise _violation(transport, response, "encoded a file that was asked for as it is")
    if size_bytes is not None and offset > size_bytes:
        raise invalid_field("read_offset", f"beyond the end of the file, which has {size_bytes} bytes")
    return Stream(response.headers, size_bytes, _chunks(transport, response, start, offset))


def _at_the_end(response: aiohttp.ClientResponse, offset: int) -> bool:
    # The range can't be satisfied, and yet nothing is missing.
    return response.status == _NO_SUCH_RANGE and response.headers.get("Content-Range") == f"bytes */{offset}"


def _violation(transport: Transport, response: aiohttp.ClientResponse, what: str) -> ProtocolViolation:
    return transport.named(ProtocolViolation(f"{transport.vendor} {what}", fault=Fault(http_status=response.status)))


async def _nothing() -> AsyncIterator[bytes]:
    nothing: tuple[bytes, ...] = ()
    for chunk in nothing:
        yield chunk


async def _chunks(
    transport: Transport, response: aiohttp.ClientResponse, position: int, offset: int
) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            start, position = position, position + len(chunk)
            if position > offset:
                yield chunk[max(0, offset - start) :]
    except (aiohttp.ClientError, OSError) as error:
        at = str(max(position, offset))
        message = f"{transport.vendor} broke off at byte {at} ({type(error).__name__})"
        raise transport.named(DownloadInterrupted(message, metadata={"offset": at})) from None
    if position < offset:
        raise invalid_field("read_offset", f"beyond the end of the file, which has {position} bytes")
