"""The vendors' stub: answers that were built before, from a bare asyncio protocol. Prints {"url": …} when ready.

It costs some tens of microseconds a call, a tenth of what it is there to measure. `GET /_counted` says how many calls
came so far, without itself.
"""

import asyncio
import json
import sys
from typing import cast

from tests.bench.answers import DOWNLOAD_BYTES, FILE_HEAD, SLOW, answer

PIECE = b"0123456789abcde\n" * (256 * 1024 // 16)
THINKS_S = 0.1


class Stub(asyncio.Protocol):
    """One connection; one request at a time, as clients of HTTP/1.1 do."""

    counted = 0

    def __init__(self) -> None:
        self._held = b""
        self._path = b""
        self._body_left = 0
        self._file_left = 0
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._body_left:
            self._body_left -= len(data)
        else:
            self._held += data
            head, end, body = self._held.partition(b"\r\n\r\n")
            if not end:
                return
            self._held = b""
            self._path = head.split(b" ", 2)[1].partition(b"?")[0]
            self._body_left = _content_length(head) - len(body)
        if not self._body_left:
            self._answer()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._send_file()

    def _answer(self) -> None:
        if self._path == b"/_counted":
            count = json.dumps(Stub.counted).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(count), count))
            return
        Stub.counted += 1
        if self._path.endswith(b"/download"):
            self._file_left = DOWNLOAD_BYTES
            self._transport.write(FILE_HEAD)
            self._send_file()
            return
        response = answer(self._path)
        if response is SLOW:
            asyncio.get_running_loop().call_later(THINKS_S, self._transport.write, response)
        else:
            self._transport.write(response)

    def _send_file(self) -> None:
        while self._file_left and not self._paused:
            self._file_left -= len(PIECE)
            self._transport.write(PIECE)


def _content_length(head: bytes) -> int:
    _, _, after = head.lower().partition(b"\r\ncontent-length:")
    return int(after.partition(b"\r\n")[0] or 0)


async def serve() -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0, backlog=1024)
    host, port = server.sockets[0].getsockname()
    sys.stdout.write(json.dumps({"url": f"http://{host}:{port}"}) + "\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    sys.exit(asyncio.run(serve()))
