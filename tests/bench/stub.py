"""The vendors' stub: answers that were built before, from a bare asyncio protocol. Prints {"url": …} when ready.

It costs some tens of microseconds a call, a tenth of what it is there to measure. What a vendor's address begins with
says how it behaves: `/after-50/` answers after 50 ms, `/never/` takes calls and answers none, `/flaky/` refuses every
fifth call and hangs up on every seventeenth. `GET /_counted` says how many calls came so far, without itself, and
`GET /_looks` when those came that are answered in turn, in seconds.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from itertools import count
from typing import ClassVar, cast

from tests.bench.answers import ANSWERS, BUSY, COUNT, COUNTED, DOWNLOAD_BYTES, FILE_HEAD, IN_TURN, LOGGED_IN, NOT_FOUND

PIECE = b"0123456789abcde\n" * (256 * 1024 // 16)
AFTER, NEVER, FLAKY = b"after-", b"never", b"flaky"
REFUSES_EVERY, HANGS_UP_EVERY = 5, 17


class Stub(asyncio.Protocol):
    """One connection; one request at a time, as clients of HTTP/1.1 do."""

    counted = 0
    given: ClassVar[Counter[bytes]] = Counter()
    looks: ClassVar[list[float]] = []
    flaky = count(1)

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
        path = self._path
        if path in {b"/_counted", b"/_looks"}:
            said = json.dumps(Stub.counted if path == b"/_counted" else Stub.looks).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))
            return
        Stub.counted += 1
        response = ANSWERS.get(path)
        if response is not None:
            self._transport.write(response)
            return
        manner, _, rest = path[1:].partition(b"/")
        if manner.startswith(AFTER):
            delay_s = int(manner.removeprefix(AFTER)) / 1000
            asyncio.get_running_loop().call_later(delay_s, self._write, _response(b"/" + rest))
        elif manner == FLAKY:
            self._answer_flakily(b"/" + rest)
        elif path.endswith(b"/download"):
            self._file_left = DOWNLOAD_BYTES
            self._transport.write(FILE_HEAD)
            self._send_file()
        elif manner != NEVER:
            self._transport.write(_response(path))
        elif rest.endswith(b"token/v3"):
            # A vendor that let nobody in would not hang each call, but the first alone.
            self._transport.write(LOGGED_IN)

    def _answer_flakily(self, path: bytes) -> None:
        number = next(Stub.flaky)
        if number % HANGS_UP_EVERY == 0:
            self._transport.close()
        else:
            self._write(BUSY if number % REFUSES_EVERY == 0 else _response(path))

    def _write(self, response: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(response)

    def _send_file(self) -> None:
        while self._file_left and not self._paused:
            self._file_left -= len(PIECE)
            self._transport.write(PIECE)


def _response(path: bytes) -> bytes:
    """Return the whole response to a call that is not a download."""
    number = Stub.given[path]
    if path in IN_TURN:
        Stub.looks.append(time.monotonic())
        Stub.given[path] += 1
        return IN_TURN[path][number % len(IN_TURN[path])]
    if path in COUNTED:
        Stub.given[path] += 1
        return COUNTED[path].replace(b"%d" % COUNT, b"%d" % (COUNT + number))
    return ANSWERS.get(path, NOT_FOUND)


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
