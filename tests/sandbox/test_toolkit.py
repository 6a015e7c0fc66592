"""The simulator toolkit over loopback: routing, faults, journal, clock, switches, and what it refuses."""

import asyncio
import base64
import io
import math
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, ClassVar

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from adapters.sandbox import (
    ApiError,
    Call,
    Clock,
    Handler,
    Ids,
    Reply,
    Run,
    Sandbox,
    Switch,
    TokenBook,
    json_reply,
)

NOW = 1_767_225_600.0


class Shelf(Sandbox):
    """A vendor of nothing but books."""

    vendor = "shelf"
    prefixes = ("/v1",)
    max_body_bytes = 1024 * 1024
    switch_table: ClassVar[Mapping[str, Switch]] = {
        "cover": Switch("hard", ("hard", "soft"), "how books are bound"),
        "pages": Switch(100, int, "how thick they are"),
        "torn": Switch(1, (0, 1), "a flag that is a number"),
    }

    def routes(self) -> Mapping[str, Handler]:
        return {
            "GET /v1/books/{book}": lambda call: json_reply({"book": call.params["book"]}),
            "GET /v1/books/lost": lambda _: json_reply({"lost": []}),
            "GET /v1/books": lambda call: json_reply([call.integer("limit", 20, 1, 50), call.integer("offset", None)]),
            "POST /v1/books": self.add,
            "PUT /v1/books": self.add_later,
            "GET /v1/text": lambda _: Reply(b"plain", headers={"X-Shelf": "oak"}),
            "GET /v1/stream": lambda _: Reply(iter([b"one", b"two"])),
            "GET /v1/large": lambda _: Reply(iter([b"x" * 100_000] * 10), length=1_000_000),
            "GET /v1/nothing": lambda _: Reply(status=204),
        }

    def seed(self) -> None:
        self.books = ["first"]
        self.read_bytes = 0
        self.added = asyncio.Event()

    def authorize(self, call: Call) -> None:
        if call.headers.get("Authorization") == "wrong":
            raise self.error(401, "who are you", call)

    def error(self, status: int, message: str = "", call: Call | None = None) -> ApiError:
        return ApiError(status, {"oops": status, "at": call.path if call else None}, {"X-Oops": "yes"})

    def stamp(self, call: Call, reply: Reply) -> None:
        reply.headers["X-Route"] = call.route

    def state(self) -> dict[str, Any]:
        return {"books": self.books}

    def add(self, call: Call) -> Reply:
        self.read_bytes = len(call.body)
        self.added.set()
        self.books.append(call.json()["title"] if call.headers["Content-Type"] == "application/json" else "bytes")
        return json_reply({"books": len(self.books)}, 201)

    async def add_later(self, call: Call) -> Reply:
        await asyncio.sleep(0)
        return self.add(call)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until it is so."""
    for _ in range(100_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")


class Client:
    """A shelf and an ordinary HTTP client of it."""

    def __init__(self, shelf: Shelf, base_url: str, session: aiohttp.ClientSession) -> None:
        self.shelf, self.base_url, self.session = shelf, base_url, session

    async def ask(self, method: str, path: str, **keys: Any) -> tuple[int, Any, Mapping[str, str]]:
        """Return status, JSON (or text) and headers."""
        async with self.session.request(method, self.base_url + path, allow_redirects=False, **keys) as answer:
            is_json = answer.content_type == "application/json" and await answer.read()
            return answer.status, await answer.json() if is_json else await answer.text(), answer.headers

    async def control(self, method: str, name: str, body: object = None) -> Any:
        """Use the control surface and return its JSON."""
        status, answer, _ = await self.ask(method, f"/_sandbox/{name}", json=body)
        assert status == 200, answer
        return answer

    async def journal(self) -> list[dict[str, Any]]:
        requests: list[dict[str, Any]] = (await self.control("GET", "journal"))["requests"]
        return requests


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    shelf = Shelf(frozen_at=NOW)
    base_url = await shelf.start()
    async with aiohttp.ClientSession() as session:
        yield Client(shelf, base_url, session)
    await shelf.stop()


# Routing.


async def test_a_literal_wins_over_a_parameter_wherever_it_stands(client: Client) -> None:
    assert (await client.ask("GET", "/v1/books/lost"))[1] == {"lost": []}
    assert (await client.ask("GET", "/v1/books/found"))[1] == {"book": "found"}


@pytest.mark.parametrize("book", ["a/b", "..", "%", "ü", " ", "lost ", "\0", "a\nb"])
async def test_an_encoded_part_reaches_the_handler_decoded_and_whole(client: Client, book: str) -> None:
    encoded = "".join(f"%{byte:02X}" for byte in book.encode())
    url = URL(f"{client.base_url}/v1/books/{encoded}", encoded=True)
    async with client.session.get(url) as answer:
        assert await answer.json() == {"book": book}


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/books", "/v1/books/", "/v1/books/a/b", "/v1//books", "/_sandboxes"])
async def test_an_unknown_path_is_404_in_the_words_of_the_vendor(client: Client, path: str) -> None:
    status, body, headers = await client.ask("GET", path)
    assert (status, body, headers["X-Oops"]) == (404, {"oops": 404, "at": path}, "yes")


async def test_a_wrong_method_is_405_and_says_which_are_right(client: Client) -> None:
    status, body, headers = await client.ask("DELETE", "/v1/books")
    assert (status, body["oops"], headers["Allow"]) == (405, 405, "GET, POST, PUT")
    assert (await client.ask("DELETE", "/v1/books/lost"))[2]["Allow"] == "GET"


async def test_head_is_answered_404_without_a_body(client: Client) -> None:
    status, body, _ = await client.ask("HEAD", "/v1/books")
    assert (status, body) == (404, "")


async def test_the_credential_is_checked_before_the_path(client: Client) -> None:
    status, body, _ = await client.ask("GET", "/v1/nowhere", headers={"Authorization": "wrong"})
    assert (status, body["oops"]) == (401, 401)


async def test_every_handled_answer_is_stamped(client: Client) -> None:
    assert (await client.ask("GET", "/v1/books/x"))[2]["X-Route"] == "GET /v1/books/{book}"
    assert "X-Route" not in (await client.ask("GET", "/v1/nowhere"))[2]


@pytest.mark.parametrize("body", [b"{", b"NaN", b'{"title": 1e999}', b'{"title": "\\ud800"}', b"[" * 500_000, b"\xff"])
async def test_a_body_that_no_json_answer_could_repeat_is_400(client: Client, body: bytes) -> None:
    status, answer, _ = await client.ask("POST", "/v1/books", data=body, headers={"Content-Type": "application/json"})
    assert (status, answer["oops"]) == (400, 400)


async def test_a_handler_may_be_a_coroutine(client: Client) -> None:
    assert (await client.ask("PUT", "/v1/books", json={"title": "b"}))[:2] == (201, {"books": 2})


@pytest.mark.parametrize(
    ("query", "status", "body"),
    [
        ("", 200, [20, None]),
        ("?limit=50&offset=0", 200, [50, 0]),
        ("?limit=0", 400, None),
        ("?limit=51", 400, None),
        ("?limit=", 400, None),
        ("?limit=1.0", 400, None),
        ("?limit=\u0661", 400, None),  # a digit, but not ours
        ("?limit=" + "9" * 5000, 400, None),
        ("?offset=-1", 400, None),
    ],
)
async def test_numbers_in_a_query_are_whole_and_within_bounds(
    client: Client, query: str, status: int, body: object
) -> None:
    answer = await client.ask("GET", f"/v1/books{query}")
    assert answer[0] == status
    assert body is None or answer[1] == body


@pytest.mark.parametrize("text", ["", "{", "\xff", '{"title": '])
async def test_a_body_that_is_no_json_is_the_vendors_400(client: Client, text: str) -> None:
    json_type = {"Content-Type": "application/json"}
    status, body, _ = await client.ask("POST", "/v1/books", data=text.encode("latin-1"), headers=json_type)
    assert (status, body["oops"]) == (400, 400)


async def test_no_content_type_is_invented(client: Client) -> None:
    status, body, headers = await client.ask("GET", "/v1/text")
    assert (status, body, headers["X-Shelf"], "Content-Type" in headers) == (200, "plain", "oak", False)


async def test_a_body_of_known_length_announces_it_and_another_is_chunked(client: Client) -> None:
    _, body, headers = await client.ask("GET", "/v1/large")
    assert (len(body), headers["Content-Length"]) == (1_000_000, "1000000")
    _, body, headers = await client.ask("GET", "/v1/stream")
    assert (body, headers["Transfer-Encoding"]) == ("onetwo", "chunked")
    assert (await client.ask("GET", "/v1/nothing"))[:2] == (204, "")


# Bodies.


async def test_a_body_up_to_the_limit_is_taken_and_one_byte_more_is_413(client: Client) -> None:
    limit = client.shelf.max_body_bytes
    assert (await client.ask("POST", "/v1/books", data=io.BytesIO(b"x" * limit)))[0] == 201
    assert client.shelf.read_bytes == limit
    status, body, _ = await client.ask("POST", "/v1/books", data=io.BytesIO(b"x" * (limit + 1)))
    assert (status, body["oops"], len(client.shelf.books)) == (413, 413, 2)
    assert [entry["body_bytes"] for entry in await client.journal()] == [limit, limit + 1]


async def test_a_chunked_body_over_the_limit_is_413(client: Client) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(12):
            yield b"x" * 100_000

    assert (await client.ask("POST", "/v1/books", data=chunks()))[0] == 413
    assert client.shelf.books == ["first"]


async def test_an_upload_that_breaks_off_reaches_no_handler(client: Client) -> None:
    host, port = client.base_url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /v1/books HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nhalf")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await until(lambda: bool(client.shelf.journal and client.shelf.journal[0]["body"]))
    entry = (await client.journal())[0]
    assert (entry["body"], entry["status"], client.shelf.books) == ("half", None, ["first"])


# Faults.


async def fault(client: Client, **keys: Any) -> None:
    await client.control("POST", "faults", {"path": "/books*", **keys})


@pytest.mark.parametrize(
    ("keys", "status", "body", "headers"),
    [
        ({}, 503, {"oops": 503, "at": "/v1/books"}, {"X-Oops": "yes"}),
        ({"status": 429}, 429, {"oops": 429, "at": "/v1/books"}, {}),
        ({"status": 599}, 599, {"oops": 599, "at": "/v1/books"}, {}),
        ({"status": 429, "headers": {"retry-after": "7"}}, 429, {"oops": 429, "at": "/v1/books"}, {"Retry-After": "7"}),
        ({"status": 302, "headers": {"Location": "/v1/x"}}, 302, "", {"Location": "/v1/x"}),
        ({"status": 204}, 204, "", {}),
        ({"body": "<html>", "headers": {"content-type": "text/html"}}, 200, "<html>", {"Content-Type": "text/html"}),
        ({"body": '{"a":1}', "status": 418}, 418, {"a": 1}, {"Content-Type": "application/json"}),
        ({"body": {"a": [None]}}, 200, {"a": [None]}, {"Content-Type": "application/json"}),
        ({"body": "", "status": 500}, 500, "", {"Content-Type": "application/json"}),
        ({"method": "POST", "delay_s": 0.001, "status": 500, "drop": None}, 500, {"oops": 500, "at": "/v1/books"}, {}),
    ],
)
async def test_a_fault_answers_and_nothing_is_applied(
    client: Client, keys: dict[str, Any], status: int, body: object, headers: dict[str, str]
) -> None:
    await fault(client, **keys)
    answer = await client.ask("POST", "/v1/books", json={"title": "b"})
    assert answer[:2] == (status, body)
    assert headers.items() <= {name: answer[2].get(name) for name in headers}.items()
    assert client.shelf.books == ["first"]
    assert (await client.ask("POST", "/v1/books", json={"title": "b"}))[0] == 201


@pytest.mark.parametrize("keys", [{"delay_s": 0.001}, {"headers": {"X-More": "1"}}])
async def test_a_fault_that_only_delays_or_adds_headers_answers_normally(client: Client, keys: dict[str, Any]) -> None:
    await fault(client, **keys)
    status, body, headers = await client.ask("POST", "/v1/books", json={"title": "b"})
    assert (status, body, headers.get("X-More")) == (201, {"books": 2}, keys.get("headers", {}).get("X-More"))


@pytest.mark.parametrize(("drop", "books"), [("before", ["first"]), ("after", ["first", "b"])])
async def test_a_drop_closes_the_connection_before_or_after_the_write(
    client: Client, drop: str, books: list[str]
) -> None:
    await fault(client, drop=drop)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await client.ask("POST", "/v1/books", json={"title": "b"})
    assert client.shelf.books == books
    assert [(entry["body"], entry["status"]) for entry in await client.journal()] == [('{"title": "b"}', None)]


@pytest.mark.parametrize(
    ("path", "received", "length"),
    [("/books/found", 8, "16"), ("/large", 500_000, "1000000"), ("/stream", 3, None)],
)
async def test_a_truncated_answer_announces_all_and_sends_half(
    client: Client, path: str, received: int, length: str | None
) -> None:
    await client.control("POST", "faults", {"path": path, "drop": "truncate"})
    async with client.session.get(f"{client.base_url}/v1{path}") as answer:
        assert (answer.status, answer.headers.get("Content-Length")) == (200, length)
        body = bytearray()

        async def read() -> None:
            async for chunk in answer.content.iter_any():
                body.extend(chunk)

        with pytest.raises(aiohttp.ClientPayloadError):
            await read()
    assert len(body) == received
    assert (await client.journal())[0]["status"] == 200


async def test_a_truncated_fault_is_half_of_the_vendors_error(client: Client) -> None:
    await fault(client, drop="truncate", status=500)
    with pytest.raises(aiohttp.ClientPayloadError, match="received 14 of 29"):
        await client.ask("POST", "/v1/books", json={"title": "b"})
    assert client.shelf.books == ["first"]


async def test_the_journal_tells_what_was_accepted_even_where_nobody_was_told(client: Client) -> None:
    await fault(client, drop="after")
    await fault(client, drop="before")
    await fault(client, status=200)
    for _ in range(2):
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await client.ask("POST", "/v1/books", json={"title": "b"})
    await client.ask("POST", "/v1/books", json={"title": "b"})
    await client.ask("POST", "/v1/books", data=b"{", headers={"Content-Type": "application/json"})
    await client.ask("POST", "/v1/books", json={"title": "b"})

    assert [entry["accepted"] for entry in await client.journal()] == [True, False, False, False, True]


async def test_a_fault_may_send_its_body_many_times_over(client: Client) -> None:
    await fault(client, body="word ", times=3, headers={"Content-Type": "text/plain"})
    status, body, headers = await client.ask("POST", "/v1/books", json={"title": "b"})

    assert (status, body, headers["Content-Length"]) == (200, "word word word ", "15")
    assert client.shelf.books == ["first"]


async def test_a_trickled_answer_is_whole_in_the_end(client: Client) -> None:
    await fault(client, trickle_s=0.0001)
    status, body, _ = await client.ask("POST", "/v1/books", json={"title": "b"})

    assert (status, body, client.shelf.books) == (201, {"books": 2}, ["first", "b"])


async def test_a_trickled_answer_that_its_client_leaves_holds_up_nothing(client: Client) -> None:
    await client.control("POST", "faults", {"path": "/books/slow", "trickle_s": 3600})
    async with client.session.get(f"{client.base_url}/v1/books/slow") as answer:
        assert answer.status == 200

    assert (await client.ask("GET", "/v1/books/found"))[1] == {"book": "found"}


@pytest.mark.parametrize(
    ("path", "answered"),
    [("/v1/books/found", {"book": [["found"]]}), ("/v1/books/lost", {"lost": []}), ("/v1/text", "plain")],
)
async def test_wrong_types_are_lists_where_texts_and_numbers_were(client: Client, path: str, answered: object) -> None:
    await client.control("POST", "faults", {"path": path, "wrong_types": True})

    assert (await client.ask("GET", path))[:2] == (200, answered)


async def test_a_stuck_vendor_gives_its_first_answer_for_ever(client: Client) -> None:
    await fault(client, stuck=True, count=0)
    answers = [(await client.ask("POST", "/v1/books", json={"title": title}))[:2] for title in "bcd"]

    assert answers == [(201, {"books": 2})] * 3
    assert client.shelf.books == ["first", "b"]


async def test_faults_queue_in_order_and_last_as_often_as_they_say(client: Client) -> None:
    await fault(client, status=500, count=2)
    await fault(client, status=502, method="POST")
    await fault(client, status=429)
    statuses = [(await client.ask("GET", "/v1/books"))[0] for _ in range(4)]
    assert statuses == [500, 500, 429, 200]
    assert (await client.ask("POST", "/v1/books", json={"title": "b"}))[0] == 502


async def test_a_count_of_0_is_for_ever_until_the_faults_are_deleted(client: Client) -> None:
    await fault(client, count=0)
    assert {(await client.ask("GET", "/v1/books"))[0] for _ in range(5)} == {503}
    assert await client.control("DELETE", "faults") == {"faults": 0}
    assert (await client.ask("GET", "/v1/books"))[0] == 200


@pytest.mark.parametrize(
    ("glob", "path", "hit"),
    [
        ("/books*", "/v1/books/found", True),
        ("/v1/books*", "/v1/books/found", True),
        ("*/found", "/v1/books/found", True),
        ("/books", "/v1/books/found", False),
        ("/BOOKS*", "/v1/books/found", False),
        ("*limit*", "/v1/books?limit=1", False),
        ("/books/a%2Fb", "/v1/books/a%2Fb", True),
        ("*", "/anything", True),
    ],
)
async def test_a_fault_matches_the_path_as_received_with_or_without_the_prefix(
    client: Client, glob: str, path: str, hit: bool
) -> None:
    await client.control("POST", "faults", {"path": glob})
    async with client.session.get(URL(client.base_url + path, encoded=True)) as answer:
        assert (answer.status == 503) is hit


async def test_a_long_delay_does_not_hold_up_the_stop() -> None:
    shelf = Shelf()
    base_url = await shelf.start()
    shelf.fault(path="*", delay_s=3600)
    async with aiohttp.ClientSession() as session:
        call = asyncio.ensure_future(session.post(base_url))
        await until(lambda: bool(shelf.journal))
        await asyncio.wait_for(shelf.stop(), 5)
        with pytest.raises(aiohttp.ClientError):
            await call


async def test_a_client_that_gave_up_leaves_no_status(client: Client) -> None:
    await fault(client, delay_s=0.05)
    with pytest.raises(TimeoutError):
        await client.ask("POST", "/v1/books", json={"title": "b"}, timeout=aiohttp.ClientTimeout(total=0.01))
    await asyncio.wait_for(client.shelf.added.wait(), 5)
    assert (await client.journal())[0]["status"] is None


# Journal.


async def test_the_journal_shows_requests_as_received_and_oldest_first(client: Client) -> None:
    url = URL(f"{client.base_url}/v1/books/a%2fb?q=1&q=%32&empty=", encoded=True)
    async with client.session.get(url, headers={"x-LOUD": "1"}):
        pass
    headers = [("X-Twice", "a"), ("X-Twice", "b"), ("Content-Type", "application/json")]
    await client.ask("POST", "/v1/books", data='{"title":"ü"}', headers=headers)
    first, second = await client.journal()
    assert (first["method"], first["path"], first["query_string"]) == ("GET", "/v1/books/a%2fb", "q=1&q=%32&empty=")
    assert first["query"] == [["q", "1"], ["q", "2"], ["empty", ""]]
    assert (first["headers"]["x-LOUD"], first["body"], first["body_bytes"], first["status"]) == ("1", "", 0, 200)
    assert (second["headers"]["X-Twice"], second["body"], second["body_bytes"]) == ("a, b", '{"title":"ü"}', 14)
    assert second["status"] == 201


async def test_the_journal_shows_a_header_that_is_no_text(client: Client) -> None:
    host, port = client.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /v1/text HTTP/1.1\r\nHost: x\r\nX-Bytes: \xff\xe9\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    writer.close()
    await writer.wait_closed()
    assert (await client.journal())[0]["headers"]["X-Bytes"] == "??"


@pytest.mark.parametrize(
    ("body", "text", "encoded"),
    [
        (b"\xff\x00", "", b"\xff\x00"),
        ("é".encode() * 40_000, "é" * 32_768, None),
        (b"x" + "é".encode() * 40_000, "x" + "é" * 32_767, None),
        (b"\xff" * 70_000, "", b"\xff" * 65_536),
        (b"ends inside \xc3", "", b"ends inside \xc3"),
    ],
)
async def test_a_body_in_the_journal_is_text_or_base64_and_cut(
    client: Client, body: bytes, text: str, encoded: bytes | None
) -> None:
    await client.ask("POST", "/v1/books", data=body)
    entry = (await client.journal())[0]
    assert (entry["body"], entry["body_bytes"]) == (text, len(body))
    assert entry.get("body_base64") == (encoded and base64.b64encode(encoded).decode())


async def test_control_calls_are_not_in_the_journal_and_no_fault_hits_them(client: Client) -> None:
    await client.control("POST", "faults", {"path": "*", "count": 0})
    await client.control("POST", "clock", {"advance_s": 1})
    await client.control("GET", "switches")
    assert await client.journal() == []


# Clock, switches, reset, and what the control surface refuses.


async def test_the_clock_moves_only_when_told_while_it_is_frozen(client: Client) -> None:
    assert client.shelf.clock.now() == NOW
    assert await client.control("POST", "clock", {"advance_s": 60}) == {"now_s": NOW + 60}
    assert await client.control("POST", "clock", {"advance_s": 0.5}) == {"now_s": NOW + 60.5}


def test_a_clock_that_is_not_frozen_is_the_walls_plus_an_offset() -> None:
    clock = Clock()
    before = clock.now()
    clock.advance(1000)
    assert 1000 <= clock.now() - before < 1060


async def test_switches_are_set_shown_and_documented(client: Client) -> None:
    shown = await client.control("POST", "switches", {"cover": "soft", "pages": 7})
    assert shown == await client.control("GET", "switches")
    assert shown["switches"] == {"cover": "soft", "pages": 7, "torn": 1, "waiting_s": 5.0, "running_s": 20.0}
    assert shown["documentation"]["cover"] == {
        "default": "hard",
        "choices": ["hard", "soft"],
        "doc": "how books are bound",
    }
    assert client.shelf.switches["cover"] == "soft"


async def test_the_state_is_what_the_vendor_says_it_is(client: Client) -> None:
    await client.ask("POST", "/v1/books", json={"title": "b"})
    assert await client.control("GET", "state") == {"books": ["first", "b"]}


async def test_an_unknown_switch_is_400_with_the_list_and_nothing_is_set(client: Client) -> None:
    status, body, _ = await client.ask("POST", "/_sandbox/switches", json={"cover": "soft", "colour": "red"})
    assert status == 400
    assert "colour" in body["error"]
    assert set(body["switches"]) == {"cover", "pages", "torn", "waiting_s", "running_s"}
    assert client.shelf.switches["cover"] == "hard"


async def test_reset_goes_back_to_the_seed_in_every_way(client: Client) -> None:
    await client.ask("POST", "/v1/books", json={"title": "b"})
    await client.control("POST", "clock", {"advance_s": 60})
    await client.control("POST", "switches", {"cover": "soft"})
    await fault(client, count=0)
    await client.control("POST", "reset")
    assert client.shelf.clock.now() == NOW
    assert client.shelf.switches["cover"] == "hard"
    assert await client.journal() == []
    assert (await client.ask("POST", "/v1/books", json={"title": "b"}))[1] == {"books": 2}


@pytest.mark.parametrize(
    ("verb", "body", "complaint"),
    [
        ("POST clock", {}, "advance_s"),
        ("POST clock", {"advance_s": -1}, "advance_s"),
        ("POST clock", {"advance_s": True}, "advance_s"),
        ("POST clock", {"advance_s": "60"}, "advance_s"),
        ("POST clock", {"advance_s": 1, "now": 2}, "advance_s"),
        ("POST clock", [], "object"),
        ("POST faults", {}, "path"),
        ("POST faults", {"path": ""}, "path"),
        ("POST faults", {"path": None}, "path"),
        ("POST faults", {"path": "*", "self": 1}, "self"),
        ("POST faults", {"path": "*", "state": 503}, "state"),
        ("POST faults", {"path": "*", "status": 199}, "status"),
        ("POST faults", {"path": "*", "status": 600}, "status"),
        ("POST faults", {"path": "*", "status": "503"}, "status"),
        ("POST faults", {"path": "*", "count": -1}, "count"),
        ("POST faults", {"path": "*", "count": True}, "count"),
        ("POST faults", {"path": "*", "method": "get"}, "method"),
        ("POST faults", {"path": "*", "delay_s": -0.1}, "delay_s"),
        ("POST faults", {"path": "*", "drop": "during"}, "drop"),
        ("POST faults", {"path": "*", "times": 0}, "times"),
        ("POST faults", {"path": "*", "trickle_s": -0.1}, "trickle_s"),
        ("POST faults", {"path": "*", "wrong_types": 1}, "wrong_types"),
        ("POST faults", {"path": "*", "stuck": "yes"}, "stuck"),
        ("POST faults", {"path": "*", "headers": ["a"]}, "headers"),
        ("POST faults", {"path": "*", "headers": {"a": 1}}, "headers"),
        ("POST faults", {"path": "*", "headers": {"a": "b\r\nc: d"}}, "headers"),
        ("POST faults", {"path": "*", "headers": {"a b": "c"}}, "headers"),
        ("POST faults", {"path": "*", "headers": {"CONTENT-length": "1"}}, "headers"),
        ("POST switches", {"cover": "none"}, "hard"),
        ("POST switches", {"pages": -1}, "pages"),
        ("POST switches", {"pages": 1.5}, "pages"),
        ("POST switches", {"torn": True}, "torn"),
        ("POST switches", {"running_s": "fast"}, "running_s"),
    ],
)
async def test_a_wrong_control_body_is_400_and_says_why(
    client: Client, verb: str, body: object, complaint: str
) -> None:
    method, name = verb.split()
    status, answer, _ = await client.ask(method, f"/_sandbox/{name}", json=body)
    assert status == 400
    assert complaint in answer["error"]
    assert not client.shelf.faults


async def test_a_control_body_that_is_no_json_is_400(client: Client) -> None:
    assert (await client.ask("POST", "/_sandbox/clock", data=b"{"))[0] == 400
    assert (await client.ask("POST", "/_sandbox/clock", data=b'{"advance_s": NaN}'))[0] == 400
    assert (await client.ask("POST", "/_sandbox/faults", data=b"\xff"))[0] == 400


async def test_what_the_control_surface_lacks_is_404_or_405_with_what_there_is(client: Client) -> None:
    status, body, _ = await client.ask("GET", "/_sandbox/nothing")
    assert (status, body["surface"]) == (
        404,
        [
            "POST /_sandbox/reset",
            "POST /_sandbox/clock",
            "POST /_sandbox/faults",
            "DELETE /_sandbox/faults",
            "GET /_sandbox/journal",
            "GET /_sandbox/state",
            "GET /_sandbox/switches",
            "POST /_sandbox/switches",
        ],
    )
    assert (await client.ask("GET", "/_sandbox/reset"))[0] == 405


# Listening.


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.0.1", "10.0.0.1", "example.com", "localhost.example"])
async def test_anything_but_loopback_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="loopback only"):
        await Shelf().start(host)


async def test_it_may_be_stopped_and_started_again_on_the_same_port_with_its_state(client: Client) -> None:
    await client.ask("POST", "/v1/books", json={"title": "b"})
    await client.shelf.stop()
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.ask("GET", "/v1/books")
    port = int(client.base_url.rsplit(":", 1)[1])
    assert await client.shelf.start("localhost", port) == client.base_url
    assert (await client.ask("POST", "/v1/books", json={"title": "c"}))[1] == {"books": 3}


async def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_open(client: Client) -> None:
    with pytest.raises(OSError, match="address already in use"):
        await Shelf().start(port=int(client.base_url.rsplit(":", 1)[1]))


# Pieces.


@pytest.mark.parametrize(
    ("at_s", "stage", "progress"),
    [
        (0, "waiting", 0),
        (4.9, "waiting", 0),
        (5, "running", 0),
        (15, "running", 0.5),
        (25, "ended", 1),
        (99, "ended", 1),
    ],
)
def test_a_run_waits_5_seconds_and_runs_20(at_s: float, stage: str, progress: float) -> None:
    run = Run(NOW)
    assert (run.stage(NOW + at_s), run.progress(NOW + at_s)) == (stage, progress)


def test_a_cancelled_run_stays_where_it_was() -> None:
    run = Run(NOW, cancelled_s=NOW + 10, cancelling_s=2)
    assert [run.stage(NOW + at_s) for at_s in (10, 11.9, 12, 99)] == ["cancelling", "cancelling"] + ["cancelled"] * 2
    assert run.progress(NOW + 99) == 0.25


seconds = st.floats(0, 1e6)


@given(seconds, seconds, seconds, seconds)
def test_a_run_never_goes_back(waiting_s: float, running_s: float, one_s: float, other_s: float) -> None:
    run, order = Run(0, waiting_s, running_s), ["waiting", "running", "ended"]
    early_s, late_s = sorted((one_s, other_s))
    assert order.index(run.stage(early_s)) <= order.index(run.stage(late_s))
    assert 0 <= run.progress(early_s) <= run.progress(late_s) <= 1
    assert run.stage(run.ended_s) == "ended"


async def test_a_run_is_as_long_as_the_switches_said_when_it_started(client: Client) -> None:
    client.shelf.set_switches(waiting_s=0, running_s=2.5)
    run = client.shelf.start_run()
    client.shelf.set_switches(running_s=99)
    assert (run.created_s, run.started_s, run.ended_s) == (NOW, NOW, NOW + 2.5)


def test_ids_are_the_same_every_time_and_never_twice() -> None:
    def some() -> Iterator[object]:
        ids = Ids(100)
        for _ in range(50):
            yield from (ids.number(), ids.hex(), ids.uuid())

    assert list(some()) == list(some())
    assert len(set(some())) == 150
    assert next(some()) == 100


def test_a_token_is_live_until_its_very_end_and_found_after_it() -> None:
    clock = Clock(NOW)
    tokens = TokenBook(clock)
    token = tokens.issue(["read"], lifetime_s=60)
    clock.advance(59.9)
    assert tokens.live(token.value) == token
    clock.advance(0.1)
    assert (tokens.live(token.value), tokens.find(token.value)) == (None, token)
    assert tokens.add("permanent").expires_s == math.inf
    tokens.revoke("permanent")
    assert (tokens.find("permanent"), tokens.live(None), tokens.live("")) == (None, None, None)
