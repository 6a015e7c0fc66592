"""Bodies that a simulator reads as they come: their limits, faults and journal; and multipart in pieces of any size."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, ClassVar

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.sandbox import ApiError, Call, Handler, Invalid, Multipart, Part, Reply, Sandbox, json_reply

KEY = "POST /v1/files/{file}"


class Shredder(Sandbox):
    """A vendor that counts bytes and keeps none."""

    vendor = "shredder"
    prefixes = ("/v1",)
    max_body_bytes = 1024 * 1024
    streamed: ClassVar[frozenset[str]] = frozenset({KEY})

    def routes(self) -> Mapping[str, Handler]:
        return {KEY: self.shred}

    def seed(self) -> None:
        self.shredded: dict[str, int] = {}
        self.begun = asyncio.Event()

    def authorize(self, call: Call) -> None:
        if call.headers.get("Authorization") == "wrong":
            raise self.error(401)

    def error(self, status: int, message: str = "", call: Call | None = None) -> ApiError:
        return ApiError(status, {"oops": status})

    async def shred(self, call: Call) -> Reply:
        if call.params["file"] == "secret":
            raise Invalid("no")
        count, largest = 0, 0
        while piece := await call.piece():
            self.begun.set()
            count, largest = count + len(piece), max(largest, len(piece))
        assert not call.body
        self.shredded[call.params["file"]] = count
        return json_reply({"bytes": count, "largest": largest})


class Client:
    """A shredder and an ordinary HTTP client of it."""

    def __init__(self, shredder: Shredder, base_url: str, session: aiohttp.ClientSession) -> None:
        self.shredder, self.base_url, self.session = shredder, base_url, session

    async def post(self, name: str, data: Any, **headers: str) -> tuple[int, Any]:
        async with self.session.post(f"{self.base_url}/v1/files/{name}", data=data, headers=headers) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    shredder = Shredder(frozen_at=0)
    base_url = await shredder.start()
    async with aiohttp.ClientSession() as session:
        yield Client(shredder, base_url, session)
    await shredder.stop()


async def in_chunks(count: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * size


async def test_a_streamed_body_comes_in_pieces_and_is_in_the_journal(client: Client) -> None:
    limit = client.shredder.max_body_bytes
    status, answer = await client.post("a", io.BytesIO(b"x" * limit))
    assert (status, answer["bytes"]) == (200, limit)
    assert answer["largest"] < limit
    assert (await client.post("b", in_chunks(8, 100_000)))[1]["bytes"] == 800_000
    whole, chunked = client.shredder.journal
    assert (whole["body"], whole["body_bytes"], whole["status"]) == ("x" * 65_536, limit, 200)
    assert (chunked["body"], chunked["body_bytes"]) == ("x" * 65_536, 800_000)


async def test_a_streamed_body_over_the_limit_is_413_and_nothing_is_applied(client: Client) -> None:
    assert await client.post("a", io.BytesIO(b"x" * (client.shredder.max_body_bytes + 1))) == (413, {"oops": 413})
    assert await client.post("b", in_chunks(12, 100_000)) == (413, {"oops": 413})
    assert client.shredder.shredded == {}


@pytest.mark.parametrize(
    ("name", "headers", "status"), [("secret", {}, 400), ("a", {"Authorization": "wrong"}, 401), ("a/b", {}, 404)]
)
async def test_what_a_refusal_leaves_of_the_body_is_read_all_the_same(
    client: Client, name: str, headers: dict[str, str], status: int
) -> None:
    assert await client.post(name, b"x" * 500_000, **headers) == (status, {"oops": status})
    assert [(entry["body_bytes"], entry["body"]) for entry in client.shredder.journal] == [(500_000, "x" * 65_536)]
    assert client.shredder.shredded == {}


async def test_a_streamed_upload_that_breaks_off_is_not_applied(client: Client) -> None:
    for framing, sent in (("Content-Length: 10", "half"), ("Transfer-Encoding: chunked", "4\r\nhalf\r\n")):
        client.shredder.reset()
        host, port = client.base_url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"POST /v1/files/a HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n{sent}".encode())
        await asyncio.wait_for(client.shredder.begun.wait(), 5)
        writer.close()
        await writer.wait_closed()
        for _ in range(1000):
            await asyncio.sleep(0)
        assert client.shredder.shredded == {}
        entry = client.shredder.journal[0]
        assert (entry["body"], entry["status"]) == ("half", None)


@pytest.mark.parametrize(
    ("keys", "applied"), [({"drop": "before"}, {}), ({"drop": "after"}, {"a": 4}), ({"status": 503}, {})]
)
async def test_a_fault_applies_to_a_streamed_body_as_to_any(
    client: Client, keys: dict[str, Any], applied: dict[str, int]
) -> None:
    client.shredder.fault(path="/files/*", **keys)
    try:
        answer = await client.post("a", b"data")
    except aiohttp.ServerDisconnectedError:
        assert "drop" in keys
    else:
        assert answer == (503, {"oops": 503})
    assert client.shredder.shredded == applied
    assert [(entry["body"], entry["body_bytes"]) for entry in client.shredder.journal] == [("data", 4)]
    assert (await client.post("a", b"data"))[0] == 200


async def test_a_delay_or_a_header_is_no_refusal_of_a_streamed_body(client: Client) -> None:
    client.shredder.fault(path="*", delay_s=0.001, headers={"X-More": "1"})
    async with client.session.post(f"{client.base_url}/v1/files/a", data=b"data") as answer:
        assert (answer.headers["X-More"], (await answer.json())["bytes"]) == ("1", 4)


# Multipart.

BOUNDARY = "--limit"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def encoded(parts: list[tuple[str, bytes]]) -> bytes:
    lines = [f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() for name, _ in parts]
    body = b"".join(line + data + b"\r\n" for line, (_, data) in zip(lines, parts, strict=True))
    return body + f"--{BOUNDARY}--\r\n".encode()


def read(body: bytes, sizes: Iterator[int]) -> list[tuple[Part, bytes]]:
    """Return the parts of a body that comes in pieces of these sizes."""
    multipart, parts = Multipart(TYPE), list[tuple[Part, bytearray]]()
    while body:
        size = next(sizes)
        for event in multipart.feed(body[:size]):
            if isinstance(event, Part):
                parts.append((event, bytearray()))
            else:
                parts[-1][1].extend(event)
        body = body[size:]
    multipart.close()
    return [(part, bytes(data)) for part, data in parts]


nasty = st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--", b"\r\n--", b"\r\n--" + BOUNDARY[:-1].encode(), b"x"]))


@given(st.lists(st.tuples(st.sampled_from(["file", "type"]), nasty.map(b"".join)), max_size=4), st.data())
def test_parts_are_the_same_however_they_are_cut(parts: list[tuple[str, bytes]], data: st.DataObject) -> None:
    sizes = iter(lambda: data.draw(st.integers(1, 40)), None)
    found = read(encoded(parts), sizes)
    assert [(part.name, body) for part, body in found] == parts
    assert {part.content_type for part, _ in found} <= {"text/plain"}


async def test_what_ordinary_clients_write_is_read(client: Client) -> None:
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("file", b'{"a":1}\n', filename="gw-1.ndjson", content_type="application/x-ndjson")
    form.add_field("type", "application/x-ndjson")
    await client.post("a", form)
    entry = client.shredder.journal[0]
    multipart = Multipart(entry["headers"]["Content-Type"])
    assert list(multipart.feed(entry["body"].encode())) == [
        Part("file", "gw-1.ndjson", "application/x-ndjson"),
        b'{"a":1}\n',
        Part("type", None, "text/plain"),
        b"application/x-ndjson",
    ]
    multipart.close()


def test_a_preamble_and_what_follows_the_end_are_skipped() -> None:
    body = b"before\r\n" + encoded([("file", b"data")]) + b"after"
    assert [data for _, data in read(body, iter([len(body)]))] == [b"data"]


@pytest.mark.parametrize(
    "type_", ["", "text/plain", "multipart/form-data", "multipart/mixed; boundary=x", "multipart/form-data; boundary="]
)
def test_another_content_type_is_refused(type_: str) -> None:
    with pytest.raises(Invalid):
        Multipart(type_)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary",
        encoded([("file", b"data")])[:-4],
        encoded([("", b"data")]),
        encoded([("file", b"data")]).replace(b"form-data", b"attachment"),
        encoded([("file", b"data")]).replace(b"Content-Disposition", b"X-Other"),
        f"--{BOUNDARY}and more\r\n\r\n".encode(),
        f"--{BOUNDARY}\r\nX-Long: {'x' * 20_000}".encode(),
    ],
)
def test_a_broken_multipart_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        read(body, iter([len(body)]))
