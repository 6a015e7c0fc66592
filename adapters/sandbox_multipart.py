"""multipart/form-data as it comes: what a simulator reads a large upload with."""

from collections.abc import Iterator
from email.message import Message
from email.parser import HeaderParser
from typing import Literal, NamedTuple

from adapters.sandbox_http import Invalid

MAX_HEADER_BYTES = 16 * 1024


class Part(NamedTuple):
    """The headers of one part."""

    name: str
    filename: str | None
    content_type: str
    """Without its parameters, in lower case; text/plain where there is none."""


class Multipart:
    """Reads RFC 7578 in pieces of any size; holds no more of it than a delimiter or the headers of a part."""

    def __init__(self, content_type: str) -> None:
        """Take the boundary from the request's Content-Type. Raises: Invalid."""
        header = Message()
        header["Content-Type"] = content_type
        boundary = header.get_boundary("")
        if header.get_content_type() != "multipart/form-data" or not boundary:
            raise Invalid("The Content-Type must be multipart/form-data with a boundary")
        self._delimiter = b"\r\n--" + boundary.encode(errors="replace")
        # So that the first delimiter looks like the others.
        self._held = bytearray(b"\r\n")
        self._within: Literal["preamble", "delimiter", "headers", "part", "epilogue"] = "preamble"

    def feed(self, piece: bytes) -> Iterator[Part | bytes]:
        """Yield the headers of each part that begins, and then its bytes. Raises: Invalid."""
        self._held += piece
        while self._within != "epilogue":
            if self._within == "headers":
                end = self._held.find(b"\r\n\r\n")
                if end < 0 and len(self._held) > MAX_HEADER_BYTES:
                    raise Invalid("The headers of a part are too long")
                if end < 0:
                    return
                yield _part(self._take(end))
                self._take(len(b"\r\n\r\n"))
                self._within = "part"
            elif self._within == "delimiter":
                if len(self._held) < len(b"--"):
                    return
                if not self._held.startswith((b"\r\n", b"--")):
                    raise Invalid("A boundary is followed by something else than a part or the end")
                # The line feed stays: it stands before the first header, as before the others.
                self._within = "headers" if self._held.startswith(b"\r\n") else "epilogue"
            else:
                end = self._held.find(self._delimiter)
                found = end >= 0
                data = self._take(end if found else max(0, len(self._held) - len(self._delimiter) + 1))
                if data and self._within == "part":
                    yield data
                if not found:
                    return
                self._take(len(self._delimiter))
                self._within = "delimiter"
        self._held.clear()

    def close(self) -> None:
        """Make sure that the end was there. Raises: Invalid."""
        if self._within != "epilogue":
            raise Invalid("The multipart body has no end")

    def _take(self, length: int) -> bytes:
        taken = bytes(self._held[:length])
        del self._held[:length]
        return taken


def _part(lines: bytes) -> Part:
    headers = HeaderParser().parsestr(lines.removeprefix(b"\r\n").decode(errors="replace"))
    name = headers.get_param("name", "", "Content-Disposition")
    if headers.get_content_disposition() != "form-data" or not isinstance(name, str) or not name:
        raise Invalid("A part is no form-data, or has no name")
    return Part(name, headers.get_filename(), headers.get_content_type())
